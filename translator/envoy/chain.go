package envoy

import (
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	directv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/direct_response/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/signetproxy/signet/translator/ir"
)

// defaultTCPIdle is the idle time-out of a TCP route: longer than the two hours
// of a TCP keep-alive.
const defaultTCPIdle = 9001 * time.Second

// closeConnection answers nothing.
var closeConnection = &listenerv3.Filter{
	Name:       "envoy.filters.network.direct_response",
	ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: constant(&directv3.Config{})},
}

// Chain is a filter chain for one host of a TLS listener that cannot share the
// listener's: an HTTPS host with a TLS profile of its own, or a TCP route. The
// zero Chain is not valid: make one with HTTPChain or TCPChain.
type Chain struct {
	https *ir.HostCertificate
	tcp   *ir.TCPRoute
}

// HTTPChain is the chain of an HTTPS host with a TLS profile of its own. Its
// certificate comes on demand, by SNI, like that of every other host.
func HTTPChain(c *ir.HostCertificate) *Chain { return &Chain{https: c} }

// TCPChain is the chain of a TCP route: it passes TLS through, or terminates
// it where the route names a certificate.
func TCPChain(t *ir.TCPRoute) *Chain { return &Chain{tcp: t} }

func (c *Chain) host() string {
	switch {
	case c.https != nil:
		return c.https.Host
	case c.tcp != nil:
		return c.tcp.Host
	}
	return ""
}

func (c *Chain) build(http *listenerv3.Filter, log *ir.AccessLog) (*listenerv3.FilterChain, error) {
	if err := checkHost(c.host()); err != nil {
		return nil, err
	}
	if c.https != nil {
		return httpsChain("https/"+c.https.Host, c.https.Host, &c.https.Profile, http)
	}
	filter, err := tcpFilter(c.tcp, log)
	if err != nil {
		return nil, err
	}
	out := &listenerv3.FilterChain{
		Name: "tcp/" + c.tcp.Host, FilterChainMatch: bySNI(c.tcp.Host), Filters: []*listenerv3.Filter{filter},
	}
	if c.tcp.Certificate == nil {
		return out, nil
	}
	params, err := tlsParameters(&c.tcp.Profile)
	if err != nil {
		return nil, err
	}
	out.TransportSocket, err = tlsSocket(&tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsParams:                      params,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(c.tcp.Certificate.SecretName())},
	}})
	return out, err
}

// tcpFilter forwards to the route's backends; without any it closes the
// connection.
func tcpFilter(t *ir.TCPRoute, log *ir.AccessLog) (*listenerv3.Filter, error) {
	if len(t.Backends) == 0 {
		return closeConnection, nil
	}
	shares, err := sharesOf(t)
	if err != nil {
		return nil, in("backends", err)
	}
	out := &tcpv3.TcpProxy{StatPrefix: "tcp_" + t.Host}
	if out.AccessLog, err = accessLog(log, true); err != nil {
		return nil, err
	}
	if t.Plain {
		out.StatPrefix = "tcp_" + t.Listener
	}
	if out.IdleTimeout, err = durationOr("idleTimeout", t.IdleTimeout, defaultTCPIdle); err != nil {
		return nil, err
	}
	if len(shares) == 1 {
		out.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: shares[0].cluster}
	} else {
		w := &tcpv3.TcpProxy_WeightedCluster{}
		for _, s := range shares {
			w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: s.cluster, Weight: s.weight})
		}
		out.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}
	}
	packed, err := pack(out)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.tcp_proxy",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
	}, nil
}
