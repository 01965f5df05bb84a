package envoy

import (
	"math"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

// maxBody limits the body of a direct response, which every Envoy holds in
// memory.
const maxBody = 1 << 20

// maxDuration is a century; Envoy refuses a whole response for one duration
// near the limit of 64 bits of nanoseconds.
const maxDuration = 100 * 365 * 24 * time.Hour

// appendRoutes writes one route, which takes two of Envoy's where a prefix is
// replaced by the root, and where a share of the requests is refused.
func appendRoutes(to []*routev3.Route, r *ir.Route) ([]*routev3.Route, error) {
	out, err := route(r)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Forward != nil:
		if r.Forward.Refused != 0 {
			to = append(to, refusedShare(out, r.Forward))
		}
		a, err := forward(out, r)
		if err != nil {
			return nil, err
		}
		out.Action = &routev3.Route_Route{Route: a}
		if r.Forward.Rewrite != nil {
			return rewritten(to, out, r)
		}
	case r.Redirect != nil:
		a, err := redirect(r.Redirect)
		if err != nil {
			return nil, in("redirect", err)
		}
		out.Action = &routev3.Route_Redirect{Redirect: a}
		if r.Redirect.HasPrefix {
			return redirected(to, out, r)
		}
	default:
		a, err := directResponse(r.Response)
		if err != nil {
			return nil, in("response", err)
		}
		out.Action = &routev3.Route_DirectResponse{DirectResponse: a}
	}
	return append(to, out), nil
}

// route is a route but for its action.
func route(r *ir.Route) (*routev3.Route, error) {
	if r.Name == "" {
		return nil, refuse("name", "it is empty")
	}
	actions := 0
	for _, set := range []bool{r.Forward != nil, r.Redirect != nil, r.Response != nil} {
		if set {
			actions++
		}
	}
	if actions != 1 {
		return nil, refuse("action", "there are %d; exactly one of forward, redirect and response is needed", actions)
	}
	m, err := routeMatch(&r.Match)
	if err != nil {
		return nil, err
	}
	request, err := headerPolicy("requestHeaders", &r.RequestHeaders)
	if err != nil {
		return nil, err
	}
	response, err := headerPolicy("responseHeaders", &r.ResponseHeaders)
	if err != nil {
		return nil, err
	}
	out := &routev3.Route{
		Name: r.Name, Match: m,
		RequestHeadersToAdd: request.add, RequestHeadersToRemove: request.remove,
		ResponseHeadersToAdd: response.add, ResponseHeadersToRemove: response.remove,
	}
	out.TypedPerFilterConfig, err = filterConfigs(r)
	return out, err
}

// filterConfigs is what a route brings to the filters of its listener.
func filterConfigs(r *ir.Route) (map[string]*anypb.Any, error) {
	out := map[string]*anypb.Any{}
	var err error
	if r.CORS != nil {
		if out[corsFilter], err = corsPolicy(r.CORS); err != nil {
			return nil, in("cors", err)
		}
	}
	if r.Auth != nil {
		if out[authFilter], err = authPolicy(r.Auth); err != nil {
			return nil, in("auth", err)
		}
	}
	if r.Forward != nil && r.Forward.Session != nil {
		if out[sessionFilter], err = sessionPolicy(r.Forward.Session); err != nil {
			return nil, in("forward.session", err)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func directResponse(d *ir.DirectResponse) (*routev3.DirectResponseAction, error) {
	if len(d.Body) > maxBody {
		return nil, refuse("body", "it has %d bytes; %d are allowed", len(d.Body), maxBody)
	}
	out := &routev3.DirectResponseAction{Status: d.StatusCode}
	if d.Body != "" {
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: d.Body}}
	}
	return out, nil
}

func forward(out *routev3.Route, r *ir.Route) (*routev3.RouteAction, error) {
	f := r.Forward
	a := &routev3.RouteAction{}
	var err error
	if a.Timeout, err = duration("forward.timeout", f.Timeout); err != nil {
		return nil, err
	}
	if a.IdleTimeout, err = duration("forward.idleTimeout", f.IdleTimeout); err != nil {
		return nil, err
	}
	if err := backends(a, f); err != nil {
		return nil, in("forward.backends", err)
	}
	for i := range f.Mirrors {
		m, err := mirror(&f.Mirrors[i])
		if err != nil {
			return nil, in("forward.mirrors", err)
		}
		a.RequestMirrorPolicies = append(a.RequestMirrorPolicies, m)
	}
	for i := range f.Hash {
		h, err := hashPolicy(&f.Hash[i])
		if err != nil {
			return nil, in("forward.hash", err)
		}
		a.HashPolicy = append(a.HashPolicy, h)
	}
	if f.Retry != nil {
		if a.RetryPolicy, err = retryPolicy(f.Retry); err != nil {
			return nil, in("forward.retry", err)
		}
	}
	if f.Websockets {
		allowWebsockets(out, a)
	}
	return a, nil
}

// duration is Envoy's form of an optional duration; nil stays nil.
func duration(field string, d *time.Duration) (*durationpb.Duration, error) {
	switch {
	case d == nil:
		return nil, nil
	case *d < 0:
		return nil, refuse(field, "%s is negative", *d)
	case *d > maxDuration:
		return nil, refuse(field, "%s is too long; at most %s is allowed", *d, maxDuration)
	}
	return durationpb.New(*d), nil
}

func durationOr(field string, d, otherwise time.Duration) (*durationpb.Duration, error) {
	if d == 0 {
		d = otherwise
	}
	return duration(field, &d)
}

// backends chooses the cluster. A backend with changes of its own needs the
// weighted form even when it is alone. Envoy applies a backend's changes before
// the route's, so that the route's win.
func backends(a *routev3.RouteAction, f *ir.Forward) error {
	weights, err := backendWeights(f.Backends)
	if err != nil {
		return err
	}
	if len(f.Backends) == 1 && plain(&f.Backends[0]) {
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: f.Backends[0].Upstream.Name()}
		return rewriteHost(a, f)
	}
	spread(weights, refusedNumerator(f))
	own := 0
	w := &routev3.WeightedCluster{}
	for i := range f.Backends {
		b := &f.Backends[i]
		if weights[i] == 0 {
			continue
		}
		c, err := weighted(b, weights[i])
		if err != nil {
			return in(b.Upstream.Service.String(), err)
		}
		// A route's literal would win over a backend's.
		if host := firstOf(b.HostRewrite, f.HostRewrite); host != "" {
			own++
			c.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: host}
		}
		w.Clusters = append(w.Clusters, c)
	}
	a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: w}
	switch {
	case own == len(w.GetClusters()):
		return nil
	case own != 0 && f.HostFromHeader != "":
		// The route's header would win over a backend's literal.
		return refuse("hostRewrite", "Envoy cannot take one backend's host from a literal and another's from a header")
	}
	return rewriteHost(a, f)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func plain(b *ir.Backend) bool {
	return b.HostRewrite == "" && unchanged(&b.RequestHeaders) && unchanged(&b.ResponseHeaders)
}

// backendWeights are the weights to use: where all are 0 each backend gets the
// same share, as in HTTPProxy.
func backendWeights(bs []ir.Backend) ([]uint32, error) {
	if len(bs) == 0 {
		return nil, refuse("backends", "there are none")
	}
	var sum uint64
	out := make([]uint32, len(bs))
	for i := range bs {
		if bs[i].Upstream == nil {
			return nil, refuse("backends", "one has no upstream")
		}
		out[i] = bs[i].Weight
		sum += uint64(bs[i].Weight)
	}
	if sum > math.MaxUint32 {
		return nil, refuse("weight", "the sum of the weights is %d; at most %d is allowed", sum, uint32(math.MaxUint32))
	}
	if sum == 0 {
		for i := range out {
			out[i] = 1
		}
	}
	return out, nil
}

func weighted(b *ir.Backend, weight uint32) (*routev3.WeightedCluster_ClusterWeight, error) {
	request, err := headerPolicy("requestHeaders", &b.RequestHeaders)
	if err != nil {
		return nil, err
	}
	response, err := headerPolicy("responseHeaders", &b.ResponseHeaders)
	if err != nil {
		return nil, err
	}
	return &routev3.WeightedCluster_ClusterWeight{
		Name: b.Upstream.Name(), Weight: wrapperspb.UInt32(weight),
		RequestHeadersToAdd: request.add, RequestHeadersToRemove: request.remove,
		ResponseHeadersToAdd: response.add, ResponseHeadersToRemove: response.remove,
	}, nil
}

func rewriteHost(a *routev3.RouteAction, f *ir.Forward) error {
	switch {
	case f.HostRewrite != "" && f.HostFromHeader != "":
		return refuse("hostRewrite", "a literal and a header are both given")
	case f.HostRewrite != "":
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: f.HostRewrite}
	case f.HostFromHeader != "":
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteHeader{HostRewriteHeader: f.HostFromHeader}
	}
	return nil
}

func mirror(m *ir.Mirror) (*routev3.RouteAction_RequestMirrorPolicy, error) {
	if m.Upstream == nil {
		return nil, refuse("upstream", "there is none")
	}
	if m.Denominator == 0 || m.Numerator > m.Denominator {
		return nil, refuse("fraction", "%d of %d is not a share", m.Numerator, m.Denominator)
	}
	share := &typev3.FractionalPercent{Numerator: m.Numerator}
	switch m.Denominator {
	case 100:
		share.Denominator = typev3.FractionalPercent_HUNDRED
	case 10_000:
		share.Denominator = typev3.FractionalPercent_TEN_THOUSAND
	default:
		share.Denominator = typev3.FractionalPercent_MILLION
		share.Numerator = uint32(uint64(m.Numerator) * million / uint64(m.Denominator)) //nolint:gosec // at most a million
	}
	changes, err := mutationsOf("requestHeaders", &m.RequestHeaders)
	if err != nil {
		return nil, err
	}
	return &routev3.RouteAction_RequestMirrorPolicy{
		Cluster: m.Upstream.Name(), RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: share},
		RequestHeadersMutations: changes, HostRewriteLiteral: m.HostRewrite, DisableShadowHostSuffixAppend: m.KeepHost,
	}, nil
}

func retryPolicy(r *ir.Retry) (*routev3.RetryPolicy, error) {
	out := &routev3.RetryPolicy{
		RetryOn:              strings.Join(r.On, ","),
		NumRetries:           wrapperspb.UInt32(r.Count),
		RetriableStatusCodes: r.StatusCodes,
	}
	if r.Backoff != 0 {
		interval, err := duration("backoff", &r.Backoff)
		if err != nil {
			return nil, err
		}
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: interval}
	}
	if r.PerTryTimeout != 0 {
		var err error
		if out.PerTryTimeout, err = duration("perTryTimeout", &r.PerTryTimeout); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func hashPolicy(h *ir.HashPolicy) (*routev3.RouteAction_HashPolicy, error) {
	out := &routev3.RouteAction_HashPolicy{Terminal: h.Terminal}
	set := 0
	if h.Header != "" {
		set++
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: h.Header},
		}
	}
	if h.Query != "" {
		set++
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: h.Query},
		}
	}
	if h.SourceIP {
		set++
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
		}
	}
	if h.Cookie != "" {
		set++
		ttl, err := duration("cookieTTL", &h.CookieTTL)
		if err != nil {
			return nil, err
		}
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: &routev3.RouteAction_HashPolicy_Cookie{
			Name: h.Cookie, Ttl: ttl, Path: h.CookiePath,
		}}
	}
	if set != 1 {
		return nil, refuse("hash", "there are %d sources; exactly one of header, query, source IP and cookie is needed", set)
	}
	return out, nil
}

func redirect(r *ir.Redirect) (*routev3.RedirectAction, error) {
	out := &routev3.RedirectAction{HostRedirect: r.Host, PortRedirect: r.Port}
	switch {
	case r.HTTPS:
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true}
	case r.Scheme != "":
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	if !r.HasPrefix && r.Path != "" {
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: r.Path}
	}
	code, ok := redirectCodes[r.StatusCode]
	if !ok {
		return nil, refuse("statusCode", "%d is none of 301, 302, 303, 307 and 308", r.StatusCode)
	}
	out.ResponseCode = code
	if r.Port > math.MaxUint16 {
		return nil, refuse("port", "%d is above %d", r.Port, math.MaxUint16)
	}
	return out, nil
}

var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	301: routev3.RedirectAction_MOVED_PERMANENTLY,
	302: routev3.RedirectAction_FOUND,
	303: routev3.RedirectAction_SEE_OTHER,
	307: routev3.RedirectAction_TEMPORARY_REDIRECT,
	308: routev3.RedirectAction_PERMANENT_REDIRECT,
}
