package envoy

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	connectionIdle = 60 * time.Second
	delayedClose   = time.Second
)

// scopedRoutes is the same in every connection manager of every listener, so
// that all of them share one subscription and one table in Envoy.
var scopedRoutes = &hcmv3.HttpConnectionManager_ScopedRoutes{ScopedRoutes: &hcmv3.ScopedRoutes{
	Name: "signet",
	ScopeKeyBuilder: &hcmv3.ScopedRoutes_ScopeKeyBuilder{
		Fragments: []*hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder{{
			Type: &hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_{
				HeaderValueExtractor: &hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor{
					Name: scopeHeader,
					// What stands before the first ':' is the key without the port.
					ElementSeparator: ":",
					ExtractType:      &hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Index{Index: 0},
				},
			},
		}},
	},
	RdsConfigSource: ads,
	ConfigSpecifier: &hcmv3.ScopedRoutes_ScopedRds{ScopedRds: &hcmv3.ScopedRds{ScopedRdsConfigSource: ads}},
}}

var (
	router = &hcmv3.HttpFilter{
		Name:       "envoy.filters.http.router",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: constant(&routerv3.Router{})},
	}
	plainFilters = []*hcmv3.HttpFilter{lowercase, fallback, router}
	tlsFilters   = []*hcmv3.HttpFilter{lowercase, fallbackTLS, router}
	// gatewayFilters hold a place for whatever a route of the Gateway API may
	// ask: what one does ask is in the route. A preflight carries no
	// credentials, so it is answered before anybody is asked.
	gatewayFilters = []*hcmv3.HttpFilter{lowercase, fallback, cors, externalAuth, session, router}
)

// httpFilter is the connection manager of a listener, with the defaults that
// users of HTTPProxy know.
func httpFilter(l *ir.Listener) (*listenerv3.Filter, error) {
	switch {
	case l.CORS:
		return httpManager(l.Name, l.TLS, gatewayFilters, l.AccessLog)
	case l.TLS:
		return httpManager(l.Name, true, tlsFilters, l.AccessLog)
	}
	return httpManager(l.Name, false, plainFilters, l.AccessLog)
}

// httpManager looks hosts up in a scope; sni says that the key holds the SNI.
func httpManager(scope string, sni bool, filters []*hcmv3.HttpFilter, log *ir.AccessLog) (*listenerv3.Filter, error) {
	mutation, err := pack(scopeMutation(scope, sni))
	if err != nil {
		return nil, err
	}
	logs, err := accessLog(log, false)
	if err != nil {
		return nil, err
	}
	packed, err := pack(&hcmv3.HttpConnectionManager{
		CodecType:      hcmv3.HttpConnectionManager_AUTO,
		StatPrefix:     scope,
		RouteSpecifier: scopedRoutes,
		HttpFilters:    filters,
		AccessLog:      logs,
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout: durationpb.New(connectionIdle),
		},
		// HTTP/1.0 with a Host header is still about, in health checks.
		HttpProtocolOptions:       &corev3.Http1ProtocolOptions{AcceptHttp_10: true},
		StreamIdleTimeout:         durationpb.New(ir.StreamIdle),
		RequestTimeout:            durationpb.New(0),
		DelayedCloseTimeout:       durationpb.New(delayedClose),
		UseRemoteAddress:          wrapperspb.Bool(true),
		NormalizePath:             wrapperspb.Bool(true),
		MergeSlashes:              true,
		PreserveExternalRequestId: true,
		// A backend may tell "%2F" from "/", so the path goes on as it came.
		PathWithEscapedSlashesAction:  hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{{Name: "signet.scope", TypedConfig: mutation}},
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
	}, nil
}

// scopeMutation overwrites what a client may have sent in the scope header.
func scopeMutation(listener string, tls bool) *earlyv3.HeaderMutation {
	key := listener + "|%REQ(:authority)%"
	if tls {
		key = listener + "|%REQUESTED_SERVER_NAME%|%REQ(:authority)%"
	}
	return &earlyv3.HeaderMutation{Mutations: []*mutationv3.HeaderMutation{{
		Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: scopeHeader, Value: key},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}}}
}

// websocketsAllowed tells the fallback filter what upgrade_configs tells Envoy.
var websocketsAllowed = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
	fallbackFilter: {Fields: map[string]*structpb.Value{"upgrade": structpb.NewStringValue("websocket")}},
}}

var websocketUpgrade = []*routev3.RouteAction_UpgradeConfig{{UpgradeType: "websocket"}}

func allowWebsockets(r *routev3.Route, a *routev3.RouteAction) {
	a.UpgradeConfigs = websocketUpgrade
	r.Metadata = websocketsAllowed
}
