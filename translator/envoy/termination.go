package envoy

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

// GivenParts are the filter chains of a listener that names all of its own
// (ir.Listener.Chains), as parts of it, in the order of their server names.
// Other listeners have none.
func GivenParts(l *ir.Listener) ([]*Resource, error) {
	given := slices.Clone(l.Chains)
	slices.SortFunc(given, func(a, b ir.Chain) int { return strings.Compare(a.ServerName, b.ServerName) })
	out := make([]*Resource, 0, len(given))
	for i := range given {
		c := &given[i]
		if i > 0 && c.ServerName == given[i-1].ServerName {
			return nil, refuse(l.Name, "chain of %s: the server name has two chains", c.ServerName)
		}
		if err := checkHost(c.ServerName); err != nil {
			return nil, in(l.Name, err)
		}
		if !l.TLS && (c.ServerName != "*" || c.TLS != nil) {
			return nil, refuse(l.Name, "chain of %s: the listener does not speak TLS", c.ServerName)
		}
		chain, err := givenChain(l, c)
		if err != nil {
			return nil, in(l.Name, in("chain of "+c.ServerName, err))
		}
		part, err := seal(ChainType, c.ServerName, chain)
		if err != nil {
			return nil, in(l.Name, in("chain of "+c.ServerName, err))
		}
		out = append(out, part)
	}
	return out, nil
}

func givenChain(l *ir.Listener, c *ir.Chain) (*listenerv3.FilterChain, error) {
	out := &listenerv3.FilterChain{Name: defaultChain, Filters: []*listenerv3.Filter{closeConnection}}
	if l.TLS {
		// The slash makes it a part: see Parts.
		out.Name = "gateway/" + c.ServerName
		out.FilterChainMatch = bySNI(c.ServerName)
	}
	var alpn []string
	if c.Scope != "" {
		if err := checkListener(c.Scope); err != nil {
			return nil, err
		}
		filter, err := httpManager(c.Scope, false, gatewayFilters, l.AccessLog)
		if err != nil {
			return nil, err
		}
		out.Filters, alpn = []*listenerv3.Filter{filter}, httpALPN
	}
	if c.TLS == nil {
		return out, nil
	}
	var err error
	out.TransportSocket, err = termination(c.TLS, alpn)
	return out, err
}

// termination is TLS with clients. Sessions are never resumed: a resumed
// handshake would not ask for the client's certificate again.
func termination(t *ir.Termination, alpn []string) (*corev3.TransportSocket, error) {
	params, err := tlsParameters(&t.Profile)
	if err != nil {
		return nil, err
	}
	if len(t.Certificates) == 0 {
		return nil, refuse("TLS", "there is no certificate")
	}
	common := &tlsv3.CommonTlsContext{TlsParams: params, AlpnProtocols: alpn}
	for _, c := range t.Certificates {
		common.TlsCertificateSdsSecretConfigs = append(common.GetTlsCertificateSdsSecretConfigs(), sds(c.SecretName()))
	}
	out := &tlsv3.DownstreamTlsContext{
		CommonTlsContext: common,
		SessionTicketKeysType: &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{
			DisableStatelessSessionResumption: true,
		},
		DisableStatefulSessionResumption: true,
	}
	if t.Client != nil {
		if err := clientValidation(out, t.Client); err != nil {
			return nil, err
		}
	}
	return tlsSocket(out)
}

// clientValidation asks clients for a certificate. An optional one is asked
// for and never judged: that is what AllowInsecureFallback of the Gateway API
// means, and the one use of ACCEPT_UNTRUSTED.
func clientValidation(out *tlsv3.DownstreamTlsContext, v *ir.ClientValidation) error {
	if len(v.Trust) == 0 {
		return refuse("client validation", "there is no trust bundle")
	}
	checks := &tlsv3.CertificateValidationContext{}
	if v.Optional {
		checks.TrustChainVerification = tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	out.RequireClientCertificate = wrapperspb.Bool(!v.Optional)
	out.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         checks,
			ValidationContextSdsSecretConfig: sds(TrustName(v.Trust)),
		},
	}
	return nil
}
