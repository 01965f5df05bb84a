package envoy

import (
	"net/netip"
	"slices"
	"strings"

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
	if err := checkListener(l.Name); err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(l.Address)
	if err != nil {
		return nil, refuse(l.Name, "address: %q is not an IP address", l.Address)
	}
	out := &listenerv3.Listener{Name: l.Name, Address: socketAddress(l.Address, l.Port), StatPrefix: l.Name}
	if addr == netip.IPv6Unspecified() {
		out.Address.GetSocketAddress().Ipv4Compat = true
	}
	if l.Chains != nil {
		if len(chains) != 0 {
			return nil, refuse(l.Name, "chain of host %q: the listener has all its chains", chains[0].host())
		}
		if l.TLS {
			out.ListenerFilters = inspector
		}
		if out.FilterChains, err = givenChains(l); err != nil {
			return nil, in(l.Name, err)
		}
		return seal(ListenerType, l.Name, out)
	}
	http, err := httpFilter(l.Name, l.TLS)
	if l.CORS {
		http, err = httpManager(l.Name, l.TLS, corsFilters)
	}
	if err != nil {
		return nil, in(l.Name, err)
	}
	switch {
	case l.TLS:
		out.ListenerFilters = inspector
		out.FilterChains, err = tlsChains(l, http, chains)
		if err != nil {
			return nil, in(l.Name, err)
		}
	case len(chains) != 0:
		return nil, refuse(l.Name, "chain of host %q: the listener does not speak TLS", chains[0].host())
	default:
		out.FilterChains = []*listenerv3.FilterChain{{Name: "default", Filters: []*listenerv3.Filter{http}}}
	}
	return seal(ListenerType, l.Name, out)
}

// tlsChains are the default chain and those of single hosts, in the order of
// the hosts, so that the order of the input does not matter.
func tlsChains(l *ir.Listener, http *listenerv3.Filter, chains []Chain) ([]*listenerv3.FilterChain, error) {
	own := slices.Clone(chains)
	slices.SortFunc(own, func(a, b Chain) int { return strings.Compare(a.host(), b.host()) })
	out := make([]*listenerv3.FilterChain, 0, len(own)+1)
	taken := map[string]bool{}
	for i := range own {
		c := &own[i]
		host := c.host()
		if taken[host] {
			return nil, refuse("chain of host "+host, "the host has two chains")
		}
		taken[host] = true
		chain, err := c.build(http)
		if err != nil {
			return nil, in("chain of host "+host, err)
		}
		out = append(out, chain)
	}
	if taken["*"] {
		return out, nil
	}
	chain, err := httpsChain("default", "*", &l.Profile, http)
	if err != nil {
		return nil, in("default chain", err)
	}
	return append(out, chain), nil
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
