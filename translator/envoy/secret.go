package envoy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/signetproxy/signet/translator/ir"
)

// TrustName is the name of the secret that holds the union of trust bundles:
// the bundle's own name for one; for several, which Envoy can only take as one
// validation context, a name made of a digest of theirs. The order of the
// references does not matter.
func TrustName(refs []ir.TrustRef) string {
	if len(refs) == 1 {
		return refs[0].SecretName()
	}
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.SecretName()
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(names), "\n")))
	return "trust/joined/" + hex.EncodeToString(sum[:16]) + ir.NoHost
}

// TrustSecret is the secret that holds the union of trust bundles; name is
// their TrustName. Revocation lists are joined too, and then judge the
// backend's own certificate alone: Envoy would otherwise ask for a list of
// every authority in the chain. A backend whose issuer has no list fails then.
func TrustSecret(name string, bundles []*ir.TrustBundle) (*Resource, error) {
	var pem, crl []byte
	for _, b := range bundles {
		pem = appendPEM(pem, b.PEM)
		crl = appendPEM(crl, b.CRL)
	}
	if len(bytes.TrimSpace(pem)) == 0 {
		// Envoy reads a context without a CA as "verify nothing".
		return nil, refuse(name, "trusted_ca: the bundle holds no certificate")
	}
	v := &tlsv3.CertificateValidationContext{TrustedCa: inline(pem)}
	if len(crl) != 0 {
		v.Crl, v.OnlyVerifyLeafCertCrl = inline(crl), true
	}
	return seal(SecretType, name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}})
}

// appendPEM keeps the blocks of two files apart.
func appendPEM(to, pem []byte) []byte {
	if len(to) != 0 && len(pem) != 0 && to[len(to)-1] != '\n' {
		to = append(to, '\n')
	}
	return append(to, pem...)
}

// CertificateSecret is the secret with a certificate and its private key. The
// name is that of the key pair's reference, or, for a host of a TLS listener,
// the host.
func CertificateSecret(name string, k *ir.KeyPair) (*Resource, error) {
	if len(k.Chain) == 0 || len(k.Key) == 0 {
		return nil, refuse(name, "tls_certificate: the chain or the key is empty")
	}
	return seal(SecretType, name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(k.Chain), PrivateKey: inline(k.Key)},
	}})
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

// ads is the one configuration source. It must be the same everywhere: Envoy
// keeps a subscription per source, and a second source that differs, be it in
// initial_fetch_timeout alone, is never served the names that the first has
// subscribed to. So the time-out keeps its default of 15 s.
var ads = &corev3.ConfigSource{
	ResourceApiVersion:    corev3.ApiVersion_V3,
	ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
}

func sds(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: ads}
}
