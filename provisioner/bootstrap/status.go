package bootstrap

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// adminCluster is the admin interface, as the status listener reaches it.
const adminCluster = "admin"

// StatusPaths are the paths of the admin interface that the status listener
// passes on: readiness, which fails while Envoy drains, and metrics. All else
// of the admin interface stays behind its socket.
var StatusPaths = []string{"/ready", "/stats/prometheus"}

// statusListener answers for Envoy over TCP. Envoy opens it when it has its
// first configuration; until then connections are refused, which is not ready.
func statusListener(c Config) (*listenerv3.Listener, error) {
	router, err := pack(&routerv3.Router{})
	if err != nil {
		return nil, err
	}
	host := &routev3.VirtualHost{Name: "status", Domains: []string{"*"}}
	for _, path := range StatusPaths {
		host.Routes = append(host.Routes, &routev3.Route{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: adminCluster},
			}},
		})
	}
	manager, err := pack(&managerv3.HttpConnectionManager{
		StatPrefix: "status",
		RouteSpecifier: &managerv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: "status", VirtualHosts: []*routev3.VirtualHost{host},
		}},
		HttpFilters: []*managerv3.HttpFilter{{
			Name: "envoy.filters.http.router", ConfigType: &managerv3.HttpFilter_TypedConfig{TypedConfig: router},
		}},
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name: "status",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: c.StatusAddress, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: c.StatusPort},
		}}},
		// An Envoy with all its connections taken, or one that drains, must
		// still answer for itself.
		IgnoreGlobalConnLimit: true, DrainType: listenerv3.Listener_MODIFY_ONLY,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}, nil
}

func statusCluster(c Config) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 adminCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(connectTimeout),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: adminCluster,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
					Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: c.AdminSocket}}},
				}},
			}}}},
		},
	}
}
