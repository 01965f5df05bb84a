package envoy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	compositev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/composite/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	authFilter = "signet.external-auth"

	// authPatience is how long an authorization server may take to answer.
	authPatience = 5 * time.Second
)

// externalAuth is an empty place: a route puts the whole filter into it, so
// that no chain depends on what routes ask. Envoy looks into the route when a
// request gets here, after the fallback filter has settled which it is.
var externalAuth = &hcmv3.HttpFilter{
	Name:       authFilter,
	ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: constant(&compositev3.Composite{})},
}

// authPolicy is what a route puts there.
func authPolicy(a *ir.ExternalAuth) (*anypb.Any, error) {
	filter, err := authorization(a)
	if err != nil {
		return nil, err
	}
	packed, err := pack(filter)
	if err != nil {
		return nil, err
	}
	action, err := pack(&compositev3.ExecuteFilterAction{
		TypedConfig: &corev3.TypedExtensionConfig{Name: "envoy.filters.http.ext_authz", TypedConfig: packed},
	})
	if err != nil {
		return nil, err
	}
	return pack(&compositev3.CompositePerRoute{Matcher: &xdsmatcherv3.Matcher{OnNoMatch: &xdsmatcherv3.Matcher_OnMatch{
		OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{Action: &xdscorev3.TypedExtensionConfig{Name: authFilter, TypedConfig: action}},
	}}})
}

// authorization lets nothing through that the server did not (failure_mode_allow
// is false), and never chooses another route afterwards.
func authorization(a *ir.ExternalAuth) (*authzv3.ExtAuthz, error) {
	if a.Upstream == nil {
		return nil, refuse("upstream", "there is none")
	}
	out := &authzv3.ExtAuthz{
		TransportApiVersion: corev3.ApiVersion_V3,
		StatusOnError:       &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		ValidateMutations:   true,
		DisallowedHeaders:   &matcherv3.ListStringMatcher{Patterns: []*matcherv3.StringMatcher{exactly(scopeHeader)}},
	}
	var err error
	if out.AllowedHeaders, err = exactNames(a.RequestHeaders); err != nil {
		return nil, in("requestHeaders", err)
	}
	if a.MaxBody > 0 {
		out.WithRequestBody = &authzv3.BufferSettings{MaxRequestBytes: a.MaxBody}
	}
	service := a.Upstream.Service
	host := service.Name.Name + "." + service.Namespace
	if a.HTTP == nil {
		out.Services = &authzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: a.Upstream.Name(), Authority: host,
			}},
			Timeout: durationpb.New(authPatience),
		}}
		return out, nil
	}
	if p := a.HTTP.PathPrefix; p != "" && (!strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#")) {
		return nil, refuse("pathPrefix", "%q is no path", p)
	}
	answer := &authzv3.AuthorizationResponse{AllowedUpstreamHeaders: copyable}
	if len(a.HTTP.Copied) > 0 {
		if answer.AllowedUpstreamHeaders, err = exactNames(a.HTTP.Copied); err != nil {
			return nil, in("copied", err)
		}
	}
	scheme := "http"
	if a.Upstream.TLS != nil {
		scheme = "https"
	}
	out.Services = &authzv3.ExtAuthz_HttpService{HttpService: &authzv3.HttpService{
		ServerUri: &corev3.HttpUri{
			// The request has the client's host; where it goes is the cluster's.
			Uri:              scheme + "://" + host,
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: a.Upstream.Name()},
			Timeout:          durationpb.New(authPatience),
		},
		PathPrefix: a.HTTP.PathPrefix, AuthorizationResponse: answer,
	}}
	return out, nil
}

// exactNames matches names of header fields; none is nil.
func exactNames(names []string) (*matcherv3.ListStringMatcher, error) {
	if len(names) == 0 {
		return nil, nil
	}
	out := &matcherv3.ListStringMatcher{}
	for _, n := range names {
		if !headerName.MatchString(n) {
			return nil, refuse("name", "%q is no header name", n)
		}
		m := exactly(n)
		m.IgnoreCase = true
		out.Patterns = append(out.Patterns, m)
	}
	return out, nil
}

// copyable matches what a request goes on with of an answer from which all is to
// be copied: neither what is about the answer itself, or its body, nor what
// Envoy adds to answers.
var copyable = &matcherv3.ListStringMatcher{Patterns: []*matcherv3.StringMatcher{{
	MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
		Regex: noneOf(append(ir.MessageFields(), ":*", "content-*", "x-envoy-*")),
	}},
}}}

// noneOf is an expression for all names but some, and but those that begin as
// one that ends in an asterisk says. RE2 has no negation.
func noneOf(names []string) string {
	if slices.Contains(names, "*") {
		return ""
	}
	rest, ends := map[byte][]string{}, false
	for _, n := range names {
		if n == "" {
			ends = true
			continue
		}
		rest[n[0]] = append(rest[n[0]], n[1:])
	}
	if len(rest) == 0 {
		return ".+" // longer than the one that ends here
	}
	begin := slices.Sorted(maps.Keys(rest))
	class := ""
	for _, c := range begin {
		class += strings.ReplaceAll(regexp.QuoteMeta(string(c)), "-", `\-`)
	}
	alternatives := []string{"[^" + class + "].*"}
	if !ends {
		alternatives = append(alternatives, "")
	}
	for _, c := range begin {
		if tail := noneOf(rest[c]); tail != "" {
			alternatives = append(alternatives, regexp.QuoteMeta(string(c))+tail)
		}
	}
	return "(?:" + strings.Join(alternatives, "|") + ")"
}

// authCluster is the cluster of the server that a route asks; "" for none.
func authCluster(r *routev3.Route) (string, error) {
	packed := r.GetTypedPerFilterConfig()[authFilter]
	if packed == nil {
		return "", nil
	}
	var place compositev3.CompositePerRoute
	if err := packed.UnmarshalTo(&place); err != nil {
		return "", fmt.Errorf("route %q: %w", r.GetName(), err)
	}
	var action compositev3.ExecuteFilterAction
	if err := place.GetMatcher().GetOnNoMatch().GetAction().GetTypedConfig().UnmarshalTo(&action); err != nil {
		return "", fmt.Errorf("route %q: %w", r.GetName(), err)
	}
	var filter authzv3.ExtAuthz
	if err := action.GetTypedConfig().GetTypedConfig().UnmarshalTo(&filter); err != nil {
		return "", fmt.Errorf("route %q: %w", r.GetName(), err)
	}
	if g := filter.GetGrpcService(); g != nil {
		return g.GetEnvoyGrpc().GetClusterName(), nil
	}
	return filter.GetHttpService().GetServerUri().GetCluster(), nil
}
