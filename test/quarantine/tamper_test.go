package quarantine

import (
	"bytes"
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/translator/envoy"
)

// mark in what a manifest says spoils what is made of it.
const (
	mark        = "poison"
	markChain   = "venom" // in the name of a TCP route's Service
	markAddress = "127.0.0.66"
)

// tamper spoils marked resources and parts in the ways that pass Signet's own
// checks of a type only if Signet had a bug. Secrets are marked by what they
// hold.
func tamper(secrets ...[]byte) func(*envoy.Resource) *envoy.Resource {
	return func(r *envoy.Resource) *envoy.Resource {
		var spoil func(proto.Message)
		switch r.Type {
		case envoy.ClusterType:
			spoil = when(r, mark, spoilCluster)
		case envoy.EndpointType:
			spoil = when(r, markAddress, spoilEndpoints)
		case envoy.HostType:
			spoil = when(r, mark, spoilHost)
		case envoy.ChainType:
			spoil = when(r, markChain, spoilChain)
		case envoy.SecretType:
			for _, s := range secrets {
				if bytes.Contains(r.Body, s) {
					spoil = spoilSecret
				}
			}
		case envoy.ListenerType, envoy.ScopeType, envoy.DatagramType:
		}
		if spoil == nil {
			return r
		}
		m, err := r.Message()
		if err != nil {
			panic(err)
		}
		spoil(m)
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			panic(err)
		}
		return envoy.NewResource(r.Type, r.Name, body)
	}
}

func when(r *envoy.Resource, text string, spoil func(proto.Message)) func(proto.Message) {
	if bytes.Contains(r.Body, []byte(text)) {
		return spoil
	}
	return nil
}

func as[T any](m proto.Message) T {
	out, ok := m.(T)
	if !ok {
		panic(fmt.Sprintf("%T is not what its type says", m))
	}
	return out
}

func spoilCluster(m proto.Message) {
	as[*clusterv3.Cluster](m).LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
}

func spoilEndpoints(m proto.Message) {
	a := as[*endpointv3.ClusterLoadAssignment](m)
	a.GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress().Address = "no-address"
}

func spoilHost(m proto.Message) {
	for _, r := range as[*routev3.VirtualHost](m).GetRoutes() {
		if strings.Contains(r.String(), mark) {
			r.Match.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}}
		}
	}
}

func spoilChain(m proto.Message) {
	f := as[*listenerv3.FilterChain](m).GetFilters()[0]
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/signet.test.Unknown"}}
}

func spoilSecret(m proto.Message) {
	garbage := &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "garbage"}}
	s := as[*tlsv3.Secret](m)
	if c := s.GetTlsCertificate(); c != nil {
		c.CertificateChain = garbage
	}
	if v := s.GetValidationContext(); v != nil {
		v.TrustedCa = garbage
	}
}
