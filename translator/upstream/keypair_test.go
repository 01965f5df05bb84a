package upstream

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

const (
	crt = corev1.TLSCertKey
	key = corev1.TLSPrivateKeyKey
)

func pair(data ...string) *corev1.Secret { return secret(corev1.SecretTypeTLS, data...) }

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestParseKeyPairProblems(t *testing.T) {
	leaf, other := selfSigned(t, newKey(t, elliptic.P256()), template("leaf")), newCA(t, "other")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := selfSigned(t, small, template("weak"))
	p224 := selfSigned(t, newKey(t, elliptic.P224()), template("p224"))
	nameless := selfSigned(t, newKey(t, elliptic.P256()), template("", func(c *x509.Certificate) { c.Subject = pkix.Name{} }))
	oneLine := strings.ReplaceAll(leaf.keyPEM(t), "\n", "")
	cases := map[string]struct {
		reason  string
		secret  *corev1.Secret
		want    reason.Reason
		message string
	}{
		"NotFound": {reason: "a missing Secret", want: reason.SecretNotFound, message: `Secret not found`},
		"WrongType": {
			reason: "as of a CA", secret: secret(corev1.SecretTypeBasicAuth, crt, leaf.pem(), key, leaf.keyPEM(t)), want: reason.WrongSecretType,
			message: `secret type is not "kubernetes.io/tls" or "Opaque": it is "kubernetes.io/basic-auth"`,
		},
		"NoCertificate": {
			reason: "key tls.crt absent", secret: pair(key, leaf.keyPEM(t)), want: reason.KeyMissing,
			message: `missing TLS certificate: empty "tls.crt" key: the key is missing, there is tls.key`,
		},
		"NoKey": {
			reason: "key tls.key absent", secret: pair(crt, leaf.pem()), want: reason.KeyMissing,
			message: `missing TLS private key: empty "tls.key" key: the key is missing, there is tls.crt`,
		},
		"EmptyKey": {
			reason: "key tls.key empty", secret: pair(crt, leaf.pem(), key, ""), want: reason.KeyMissing,
			message: `missing TLS private key: empty "tls.key" key: the key is there and holds nothing`,
		},
		"CertificateNotPEM": {
			reason: "text", secret: pair(crt, "hello", key, leaf.keyPEM(t)), want: reason.NotPEM,
			message: `invalid TLS certificate: failed to locate certificate: there is no PEM block in tls.crt`,
		},
		"CertificateDER": {
			reason: "binary", secret: pair(crt, string(leaf.cert.Raw), key, leaf.keyPEM(t)), want: reason.NotPEM,
			message: `invalid TLS certificate: failed to locate certificate: there is no PEM block in tls.crt, it looks like DER: convert it to PEM`,
		},
		"KeyInCertificate": {
			reason: "a combined file", secret: pair(crt, leaf.pem()+leaf.keyPEM(t), key, leaf.keyPEM(t)), want: reason.UnexpectedBlock,
			message: fmt.Sprintf(`invalid TLS certificate: unexpected block type 'PRIVATE KEY': block 2 at line %d of "tls.crt" `+
				`is no certificate and does not belong there`, lines(leaf.pem())+1),
		},
		"BadChain": {
			reason: "every certificate of the chain is parsed", want: reason.NotACertificate,
			secret:  pair(crt, leaf.pem()+encode(blockCertificate, []byte{0}), key, leaf.keyPEM(t)),
			message: fmt.Sprintf(`invalid TLS certificate: block 2 at line %d of "tls.crt" is not a certificate: x509: malformed certificate`, lines(leaf.pem())+1),
		},
		"Nameless": {
			reason: "Contour's rule", secret: pair(crt, nameless.pem(), key, nameless.keyPEM(t)), want: reason.NameMissing,
			message: `invalid TLS certificate: certificate has no common name or subject alt name`,
		},
		"WeakRSA": {
			reason: "Envoy refuses it", secret: pair(crt, weak.pem(), key, weak.keyPEM(t)), want: reason.WeakKey,
			message: `invalid TLS certificate: the RSA key has 1024 bits, Envoy needs 2048`,
		},
		"P224": {
			reason: "Envoy refuses it", secret: pair(crt, p224.pem(), key, p224.keyPEM(t)), want: reason.WeakKey,
			message: `invalid TLS certificate: the ECDSA key is on P-224, Envoy takes P-256, P-384 and P-521`,
		},
		"KeyNotPEM": {
			reason: "text", secret: pair(crt, leaf.pem(), key, "hello"), want: reason.NotPEM,
			message: `invalid TLS private key: failed to locate private key: there is no PEM block of a key in tls.key`,
		},
		"OneLine": {
			reason: "a key on one line must not be quoted as a block type", secret: pair(crt, leaf.pem(), key, oneLine), want: reason.NotPEM,
			message: `invalid TLS private key: failed to parse PEM block: line 1 of "tls.key": the BEGIN line holds more or less than -----BEGIN, a type and -----`,
		},
		"TwoKeys": {
			reason: "Contour's words", secret: pair(crt, leaf.pem(), key, leaf.keyPEM(t)+other.keyPEM(t)), want: reason.NotAKey,
			message: `invalid TLS private key: multiple private keys: 2 PEM blocks in tls.key`,
		},
		"Encrypted": {
			reason: "nobody can type a passphrase", secret: pair(crt, leaf.pem(), key, encode("ENCRYPTED PRIVATE KEY", []byte{0})),
			want: reason.NotAKey, message: `invalid TLS private key: block 1 at line 1 of "tls.key" is encrypted: store it without a passphrase`,
		},
		"EncryptedOldStyle": {
			reason: "RFC 1421 headers", want: reason.NotAKey,
			secret: pair(crt, leaf.pem(), key, string(pem.EncodeToMemory(&pem.Block{
				Type: blockPKCS1, Bytes: []byte{0}, Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
			}))),
			message: `invalid TLS private key: block 1 at line 1 of "tls.key" is encrypted: store it without a passphrase`,
		},
		"OpenSSH": {
			reason: "another kind of key", secret: pair(crt, leaf.pem(), key, encode("OPENSSH PRIVATE KEY", []byte{0})), want: reason.UnexpectedBlock,
			message: `invalid TLS private key: unexpected block type 'OPENSSH PRIVATE KEY': block 1 at line 1 of "tls.key" is no private key that Envoy reads`,
		},
		"BadKey": {
			reason: "the parser's error is kept back", secret: pair(crt, leaf.pem(), key, encode(blockPKCS8, []byte{0})), want: reason.NotAKey,
			message: `invalid TLS private key: block 1 at line 1 of "tls.key" cannot be read as a PRIVATE KEY`,
		},
		"Mismatch": {
			reason: "Contour calls it valid", secret: pair(crt, leaf.pem(), key, other.keyPEM(t)), want: reason.KeyMismatch,
			message: `invalid TLS private key: the key does not belong to the certificate "CN=leaf"`,
		},
		"LeafLast": {
			reason: "a chain in the wrong order", secret: pair(crt, other.pem()+leaf.pem(), key, leaf.keyPEM(t)), want: reason.KeyMismatch,
			message: `invalid TLS private key: the key belongs to certificate 2 of tls.crt: put that one first`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, p := ParseKeyPair(pairRef, tc.secret, now)
			want := &Problem{Reason: tc.want, Message: `Secret "hand/client" is invalid: ` + tc.message}
			if diff := cmp.Diff(want, p); diff != "" || got != nil {
				t.Errorf("%s: ParseKeyPair() problem -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseKeyPairAccepts(t *testing.T) {
	ca := newCA(t, "ca")
	p256, p521 := newKey(t, elliptic.P256()), newKey(t, elliptic.P521())
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	spiffe := func(c *x509.Certificate) {
		c.Subject, c.URIs = pkix.Name{}, []*url.URL{{Scheme: "spiffe", Host: "td", Path: "/a"}}
	}
	cases := map[string]struct {
		reason string
		leaf   authority
		key    string // PKCS #8 when empty
		more   []authority
		kind   corev1.SecretType
		kept   string // the key as delivered; key when empty
	}{
		"TLS":       {reason: "the usual", leaf: selfSigned(t, p256, template("a")), kind: corev1.SecretTypeTLS},
		"Opaque":    {reason: "as Contour", leaf: selfSigned(t, p256, template("a")), kind: corev1.SecretTypeOpaque},
		"Chain":     {reason: "every certificate is delivered", leaf: selfSigned(t, p256, template("a")), more: []authority{ca}},
		"P521":      {reason: "Envoy takes it", leaf: selfSigned(t, p521, template("a"))},
		"Ed25519":   {reason: "Envoy takes it", leaf: selfSigned(t, edwards, template("a"))},
		"RSA":       {reason: "PKCS #8", leaf: selfSigned(t, big, template("a"))},
		"PKCS1":     {reason: "what openssl rsa writes", leaf: selfSigned(t, big, template("a")), key: encode(blockPKCS1, x509.MarshalPKCS1PrivateKey(big))},
		"SEC1":      {reason: "what openssl ec writes", leaf: selfSigned(t, p256, template("a")), key: encode(blockSEC1, sec1)},
		"ECParams":  {reason: "what openssl ecparam writes", leaf: selfSigned(t, p256, template("a")), key: encode(blockECParams, []byte{5, 0}) + encode(blockSEC1, sec1), kept: encode(blockSEC1, sec1)},
		"Expired":   {reason: "a client decides about an expired server", leaf: selfSigned(t, p256, template("a", expired))},
		"URI":       {reason: "a SPIFFE identity has no other name", leaf: selfSigned(t, p256, template("", spiffe))},
		"TextAbove": {reason: "comments are dropped", leaf: selfSigned(t, p256, template("a")), key: "note\n" + encode(blockSEC1, sec1), kept: encode(blockSEC1, sec1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := tc.leaf.keyPEM(t)
			if tc.key != "" {
				in = tc.key
			}
			kept := in
			if tc.kept != "" {
				kept = tc.kept
			}
			chain := tc.leaf.pem()
			for _, a := range tc.more {
				chain += a.pem()
			}
			got, p := ParseKeyPair(pairRef, secret(tc.kind, crt, "text\n"+chain, key, in), now)
			want := &ir.KeyPair{
				Ref: pairRef, Chain: []byte(chain), Key: []byte(kept), Fingerprint: fingerprint(tc.leaf.cert),
				Subject: tc.leaf.cert.Subject.String(), NotBefore: tc.leaf.cert.NotBefore, NotAfter: tc.leaf.cert.NotAfter,
			}
			if diff := cmp.Diff(want, got); diff != "" || p != nil {
				t.Errorf("%s: ParseKeyPair() problem %v, -want, +got:\n%s", tc.reason, p, diff)
			}
		})
	}
}

func TestCheckValidity(t *testing.T) {
	k := &ir.KeyPair{Ref: pairRef, Subject: "CN=a", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	cases := map[string]struct {
		reason string
		at     time.Time
		want   *Problem
		next   time.Time
	}{
		"Valid": {reason: "in the middle", at: now, next: k.NotAfter.Add(1)},
		"First": {reason: "both ends are valid", at: k.NotBefore, next: k.NotAfter.Add(1)},
		"Last":  {reason: "both ends are valid", at: k.NotAfter, next: k.NotAfter.Add(1)},
		"Early": {
			reason: "time ends it", at: k.NotBefore.Add(-1), next: k.NotBefore,
			want: &Problem{
				Reason: reason.NotYetValid, Until: k.NotBefore,
				Message: `Secret "hand/client" is invalid: certificate "CN=a" is not valid before 2026-06-01T11:00:00Z`,
			},
		},
		"Late": {
			reason: "backends refuse it: fail closed and say so", at: k.NotAfter.Add(1),
			want: &Problem{Reason: reason.Expired, Message: `Secret "hand/client" is invalid: certificate "CN=a" expired at 2026-06-01T13:00:00Z`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, CheckValidity(k, tc.at)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			if p := CheckValidity(k, tc.at); p != nil && !NextKeyPairChange(nil, p, tc.at).Equal(tc.next) {
				t.Errorf("%s: NextKeyPairChange() of the problem is not %v", tc.reason, tc.next)
			}
			if got := NextKeyPairChange(k, nil, tc.at); !got.Equal(tc.next) {
				t.Errorf("%s: NextKeyPairChange() = %v, want %v", tc.reason, got, tc.next)
			}
		})
	}
}
