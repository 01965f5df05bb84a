package envoy

import (
	"math"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

const tlsSocketName = "envoy.transport_sockets.tls"

// noResumption makes every upstream connection a full handshake. A resumed
// session skips the backend's certificate altogether: one that has expired
// since would still be served, and a session of one endpoint would vouch for
// the others of the cluster.
var noResumption = wrapperspb.UInt32(0)

// upstreamSocket is TLS to a backend. Its material comes by SDS, so that a
// rotation touches neither the cluster nor its connections.
func upstreamSocket(t *ir.UpstreamTLS) (*corev3.TransportSocket, error) {
	params, err := tlsParameters(&t.Profile)
	if err != nil {
		return nil, in("TLS", err)
	}
	for _, p := range t.ALPN {
		// Envoy dies of a list that BoringSSL does not take (RFC 7301, section 3.1).
		if p == "" || len(p) > math.MaxUint8 {
			return nil, refuse("TLS", "the ALPN protocol %q must have 1 to %d bytes", p, math.MaxUint8)
		}
	}
	common := &tlsv3.CommonTlsContext{TlsParams: params, AlpnProtocols: t.ALPN}
	if t.ClientCertificate != nil {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{sds(t.ClientCertificate.SecretName())}
	}
	if t.Verify != nil {
		if common.ValidationContextType, err = verification(t.Verify); err != nil {
			return nil, in("TLS", err)
		}
	}
	return tlsSocket(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: t.SNI, MaxSessionKeys: noResumption})
}

func tlsSocket(m message) (*corev3.TransportSocket, error) {
	packed, err := pack(m)
	if err != nil {
		return nil, in("TLS", err)
	}
	return &corev3.TransportSocket{
		Name:       tlsSocketName,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed},
	}, nil
}

// verification joins the accepted names, which belong to the cluster, with the
// trust bundle, which is a secret.
func verification(v *ir.Verify) (*tlsv3.CommonTlsContext_CombinedValidationContext, error) {
	if len(v.Trust) == 0 {
		return nil, refuse("verify", "there is no trust bundle")
	}
	if len(v.Names) == 0 {
		// Envoy would accept any name.
		return nil, refuse("verify", "there is no accepted name")
	}
	names := make([]*tlsv3.SubjectAltNameMatcher, len(v.Names))
	for i, n := range v.Names {
		kind, err := sanType(n.Kind)
		if err != nil {
			return nil, err
		}
		if n.Value == "" {
			return nil, refuse("verify", "an accepted %s name is empty", n.Kind)
		}
		names[i] = &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n.Value},
		}}
	}
	return &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
			ValidationContextSdsSecretConfig: sds(TrustName(v.Trust)),
		},
	}, nil
}

func sanType(k ir.NameKind) (tlsv3.SubjectAltNameMatcher_SanType, error) {
	switch k {
	case ir.DNSName:
		return tlsv3.SubjectAltNameMatcher_DNS, nil
	case ir.IPName:
		return tlsv3.SubjectAltNameMatcher_IP_ADDRESS, nil
	case ir.URIName:
		return tlsv3.SubjectAltNameMatcher_URI, nil
	}
	return 0, refuse("verify", "the kind of name %q is unknown", k)
}

// tlsParameters always says both versions: Envoy alone offers at most TLS 1.2
// to a backend.
func tlsParameters(p *ir.TLSProfile) (*tlsv3.TlsParameters, error) {
	low, err := tlsVersion(p.Min)
	if err != nil {
		return nil, err
	}
	high, err := tlsVersion(p.Max)
	if err != nil {
		return nil, err
	}
	if low > high {
		return nil, refuse("TLS profile", "the minimum version %s is above the maximum version %s", p.Min, p.Max)
	}
	return &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: low,
		TlsMaximumProtocolVersion: high,
		CipherSuites:              slices.Clone(p.Ciphers),
		EcdhCurves:                slices.Clone(p.Curves),
	}, nil
}

func tlsVersion(v ir.TLSVersion) (tlsv3.TlsParameters_TlsProtocol, error) {
	switch v {
	case ir.TLS12:
		return tlsv3.TlsParameters_TLSv1_2, nil
	case ir.TLS13:
		return tlsv3.TlsParameters_TLSv1_3, nil
	}
	return 0, refuse("TLS profile", "the version %q is unknown; use 1.2 or 1.3", v)
}
