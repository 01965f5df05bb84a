package envoy

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	snimapperv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_mappers/sni/v3"
	selectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_selectors/on_demand_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

// NoServerName is the name of the secret that Envoy asks for when a client
// sends no SNI. It can be no host, so that the answer is always that there is
// none, and the handshake fails.
const NoServerName = "-"

var (
	inspector = []*listenerv3.ListenerFilter{{
		Name:       "envoy.filters.listener.tls_inspector",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: constant(&inspectorv3.TlsInspector{})},
	}}

	// onDemand has a certificate looked up by SNI when a handshake needs it: the
	// secret's name is the host's.
	onDemand = &corev3.TypedExtensionConfig{
		Name: "envoy.tls.certificate_selectors.on_demand_secret",
		TypedConfig: constant(&selectorv3.Config{
			ConfigSource: ads,
			CertificateMapper: &corev3.TypedExtensionConfig{
				Name:        "envoy.tls.certificate_mappers.sni",
				TypedConfig: constant(&snimapperv3.SNI{DefaultValue: NoServerName}),
			},
		}),
	}

	httpALPN = []string{"h2", "http/1.1"}
)

// Listener is the LDS resource of a listener. On a TLS listener every HTTPS
// host shares the default chain but for those that have one of the chains; a
// connection that fits no chain is closed.
func Listener(l *ir.Listener, chains []Chain) (*Resource, error) {
	if l.Chains != nil {
		if len(chains) != 0 {
			return nil, refuse(l.Name, "chain of host %q: the listener has all its chains", chains[0].host())
		}
		parts, err := GivenParts(l)
		if err != nil {
			return nil, err
		}
		return ComposeListener(l, parts)
	}
	http, err := httpFilter(l.Name, l.TLS)
	if err != nil {
		return nil, in(l.Name, err)
	}
	parts := make([]*Resource, len(chains))
	for i := range chains {
		if parts[i], err = chainPart(l, &chains[i], http); err != nil {
			return nil, err
		}
	}
	return ComposeListener(l, parts)
}

// listenerBase is a listener without filter chains, and the one that all hosts
// without one of their own share: none on a listener that names all its chains.
func listenerBase(l *ir.Listener) (*listenerv3.Listener, *listenerv3.FilterChain, error) {
	if err := checkListener(l.Name); err != nil {
		return nil, nil, err
	}
	addr, err := netip.ParseAddr(l.Address)
	if err != nil {
		return nil, nil, refuse(l.Name, "address: %q is not an IP address", l.Address)
	}
	out := &listenerv3.Listener{Name: l.Name, Address: socketAddress(l.Address, l.Port), StatPrefix: l.Name}
	if l.UDP {
		out.Address.GetSocketAddress().Protocol = corev3.SocketAddress_UDP
		out.UdpListenerConfig = &listenerv3.UdpListenerConfig{}
		return out, nil, nil
	}
	if addr == netip.IPv6Unspecified() {
		out.Address.GetSocketAddress().Ipv4Compat = true
	}
	if l.Chains != nil {
		if l.TLS {
			out.ListenerFilters = inspector
		}
		return out, nil, nil
	}
	http, err := httpFilter(l.Name, l.TLS)
	if l.CORS {
		http, err = httpManager(l.Name, l.TLS, gatewayFilters)
	}
	if err != nil {
		return nil, nil, in(l.Name, err)
	}
	if !l.TLS {
		return out, &listenerv3.FilterChain{Name: defaultChain, Filters: []*listenerv3.Filter{http}}, nil
	}
	out.ListenerFilters = inspector
	chain, err := httpsChain(defaultChain, "*", &l.Profile, http)
	if err != nil {
		return nil, nil, in(l.Name, in("default chain", err))
	}
	return out, chain, nil
}

func httpsChain(name, host string, p *ir.TLSProfile, http *listenerv3.Filter) (*listenerv3.FilterChain, error) {
	params, err := tlsParameters(p)
	if err != nil {
		return nil, err
	}
	socket, err := tlsSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                    params,
			AlpnProtocols:                httpALPN,
			CustomTlsCertificateSelector: onDemand,
		},
		RequireClientCertificate: wrapperspb.Bool(false),
		// Envoy refuses certificates on demand while sessions can be resumed.
		SessionTicketKeysType: &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{
			DisableStatelessSessionResumption: true,
		},
		DisableStatefulSessionResumption: true,
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.FilterChain{
		Name: name, FilterChainMatch: bySNI(host), TransportSocket: socket, Filters: []*listenerv3.Filter{http},
	}, nil
}

// bySNI matches TLS alone: plaintext sent to a TLS port finds no chain.
func bySNI(host string) *listenerv3.FilterChainMatch {
	m := &listenerv3.FilterChainMatch{TransportProtocol: "tls"}
	if host != "*" {
		m.ServerNames = []string{host}
	}
	return m
}
