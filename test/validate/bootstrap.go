package validate

import (
	"fmt"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/translator/envoy"
)

// Part is what one translation gave to one fleet.
type Part struct {
	// Name is unique among the parts that are validated together.
	Name      string
	Resources []*envoy.Resource
}

const (
	adsCluster     = "ads"
	httpOptionName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// Bootstrap returns a static bootstrap with all resources of the parts. Names
// of two parts never meet: each is put behind its part's.
func Bootstrap(parts ...Part) (*bootstrapv3.Bootstrap, error) {
	out := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: "validate", Cluster: "validate"},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
		// For what only a server can answer: certificates by SNI, on demand.
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType:             corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: adsCluster},
			}}},
		}},
	}
	server, err := anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("the ADS cluster's options: %w", err)
	}
	out.StaticResources.Clusters = []*clusterv3.Cluster{{
		Name: adsCluster, TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptionName: server},
	}}
	for i := range parts {
		own, err := static(parts[i].Resources)
		if err == nil {
			own.move(i)
			err = own.rename(parts[i].Name + "/")
		}
		if err != nil {
			return nil, fmt.Errorf("part %s: %w", parts[i].Name, err)
		}
		proto.Merge(out.GetStaticResources(), own.out)
	}
	return out, nil
}

// assembly makes the static resources of one part.
type assembly struct {
	out *bootstrapv3.Bootstrap_StaticResources

	clusters    []*clusterv3.Cluster
	listeners   []*listenerv3.Listener
	scopes      []*routev3.ScopedRouteConfiguration
	assignments map[string]*endpointv3.ClusterLoadAssignment
	secrets     map[string]bool
	// managed are the names of connection managers, which hold scopes.
	managed map[string]bool
}

func static(resources []*envoy.Resource) (*assembly, error) {
	a := &assembly{
		out:         &bootstrapv3.Bootstrap_StaticResources{},
		assignments: map[string]*endpointv3.ClusterLoadAssignment{},
		secrets:     map[string]bool{},
		managed:     map[string]bool{},
	}
	for _, r := range resources {
		if err := a.take(r); err != nil {
			return nil, err
		}
	}
	for _, c := range a.clusters {
		a.addCluster(c)
	}
	for name, e := range a.assignments {
		a.addCluster(endpoints(name, e))
	}
	for _, l := range a.listeners {
		if err := a.addListener(l); err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.GetName(), err)
		}
	}
	for _, s := range a.scopes {
		if !a.managed[managerOf(s)] {
			return nil, fmt.Errorf("scope %s: its listener has no connection manager", s.GetRouteConfiguration().GetName())
		}
	}
	return a, nil
}

func (a *assembly) take(r *envoy.Resource) error {
	m, err := r.Message()
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	switch m := m.(type) {
	case *clusterv3.Cluster:
		a.clusters = append(a.clusters, m)
	case *endpointv3.ClusterLoadAssignment:
		a.assignments[m.GetClusterName()] = m
	case *tlsv3.Secret:
		a.secrets[m.GetName()] = true
		return a.addSecret(m)
	case *listenerv3.Listener:
		a.listeners = append(a.listeners, m)
	case *routev3.ScopedRouteConfiguration:
		a.scopes = append(a.scopes, m)
	default:
		return fmt.Errorf("%s: there is no place for a %T in a bootstrap", r, m)
	}
	return nil
}

// addCluster gives a cluster the endpoints that it would ask for.
func (a *assembly) addCluster(c *clusterv3.Cluster) {
	if c.GetType() == clusterv3.Cluster_EDS {
		e := a.assignments[c.GetEdsClusterConfig().GetServiceName()]
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.EdsClusterConfig = nil
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
			ClusterName: c.GetName(), Endpoints: e.GetEndpoints(), Policy: e.GetPolicy(),
		}
	}
	a.out.Clusters = append(a.out.GetClusters(), c)
}

// endpoints has Envoy build a load assignment whether a cluster asks for it or
// not.
func endpoints(name string, e *endpointv3.ClusterLoadAssignment) *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: "endpoints/" + name, LoadAssignment: e}
}

// addSecret also makes a cluster that uses the secret: Envoy looks into a
// secret when it is used, and a host's certificate is used on demand alone.
func (a *assembly) addSecret(s *tlsv3.Secret) error {
	a.out.Secrets = append(a.out.GetSecrets(), s)
	common := &tlsv3.CommonTlsContext{}
	ref := &tlsv3.SdsSecretConfig{Name: s.GetName()}
	if s.GetValidationContext() != nil {
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: ref}
	} else {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{ref}
	}
	packed, err := anypb.New(&tlsv3.UpstreamTlsContext{CommonTlsContext: common})
	if err != nil {
		return fmt.Errorf("secret %s: %w", s.GetName(), err)
	}
	a.out.Clusters = append(a.out.GetClusters(), &clusterv3.Cluster{
		Name:            "secret/" + s.GetName(),
		TransportSocket: &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed}},
	})
	return nil
}

// scopesOf are the scopes whose keys begin with a name.
func (a *assembly) scopesOf(name string) []*routev3.ScopedRouteConfiguration {
	var out []*routev3.ScopedRouteConfiguration
	for _, s := range a.scopes {
		if managerOf(s) == name {
			out = append(out, s)
		}
	}
	return out
}

// addListener gives the connection managers of a listener their scopes inline.
// The name of a manager's statistics is what the keys of its scopes begin with.
func (a *assembly) addListener(l *listenerv3.Listener) error {
	for _, c := range l.GetFilterChains() {
		for _, f := range c.GetFilters() {
			m := &hcmv3.HttpConnectionManager{}
			if !f.GetTypedConfig().MessageIs(m) {
				continue
			}
			if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
				return fmt.Errorf("connection manager: %w", err)
			}
			a.managed[m.GetStatPrefix()] = true
			if own := a.scopesOf(m.GetStatPrefix()); len(own) > 0 {
				m.GetScopedRoutes().ConfigSpecifier = &hcmv3.ScopedRoutes_ScopedRouteConfigurationsList{
					ScopedRouteConfigurationsList: &hcmv3.ScopedRouteConfigurationsList{ScopedRouteConfigurations: own},
				}
			}
			if err := f.GetTypedConfig().MarshalFrom(m); err != nil {
				return fmt.Errorf("connection manager: %w", err)
			}
		}
	}
	a.out.Listeners = append(a.out.GetListeners(), l)
	return nil
}

// managerOf is the connection manager whose requests a scope serves: a
// listener's, or that of one of its chains.
func managerOf(s *routev3.ScopedRouteConfiguration) string {
	name, _, _ := strings.Cut(s.GetKey().GetFragments()[0].GetStringKey(), "|")
	return name
}
