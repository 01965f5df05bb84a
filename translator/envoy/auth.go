package envoy

import (
	"fmt"
	"strings"
	"time"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	compositev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/composite/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

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
	answer := &authzv3.AuthorizationResponse{}
	if answer.AllowedUpstreamHeaders, err = exactNames(a.HTTP.Copied); err != nil {
		return nil, in("copied", err)
	}
	if len(a.HTTP.Copied) == 0 {
		answer.AllowedUpstreamHeaders, out.DecoderHeaderMutationRules = anything, butItsFrame
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

// Of an answer from which all is to be copied a request goes on with anything
// but what is about the answer itself, or its body, and what Envoy adds to
// answers: its rules leave out host, x-envoy-* and, here, pseudo-headers.
var (
	anything = &matcherv3.ListStringMatcher{Patterns: []*matcherv3.StringMatcher{{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: ".*"}},
	}}}
	butItsFrame = &mutationv3.HeaderMutationRules{
		DisallowSystem:     wrapperspb.Bool(true),
		DisallowExpression: &matcherv3.RegexMatcher{Regex: "content-.*|" + strings.Join(ir.MessageFields(), "|")},
	}
)

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
