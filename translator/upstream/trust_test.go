package upstream

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

func TestParseTrustProblems(t *testing.T) {
	ca, other := newCA(t, "ca"), newCA(t, "other")
	old, older, coming := newCA(t, "old", expired), newCA(t, "older", expired), newCA(t, "coming", future)
	good := ca.pem()
	listless := selfSigned(t, ca.key, template("ca", isCA, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }))
	day := 24 * time.Hour
	cases := map[string]struct {
		reason  string
		secret  *corev1.Secret
		want    reason.Reason
		message string
		until   time.Time
	}{
		"NotFound": {
			reason: "a missing Secret has Contour's words",
			want:   reason.SecretNotFound, message: `invalid CA Secret "hand/ca": Secret not found`,
		},
		"WrongType": {
			reason: "only Opaque and kubernetes.io/tls hold certificates",
			secret: secret(corev1.SecretTypeDockercfg, keyCA, good), want: reason.WrongSecretType,
			message: `invalid CA Secret "hand/ca": secret type is not "kubernetes.io/tls" or "Opaque": it is "kubernetes.io/dockercfg"`,
		},
		"KeyMissing": {
			reason: "a misspelled key shows in the message",
			secret: opaque("ca.cert", good, "b", "x"), want: reason.KeyMissing,
			message: `invalid CA Secret "hand/ca": empty "ca.crt" key: the key is missing, there is b, ca.cert`,
		},
		"NoKeys": {
			reason: "a Secret without data", secret: opaque(), want: reason.KeyMissing,
			message: `invalid CA Secret "hand/ca": empty "ca.crt" key: the key is missing, there are none`,
		},
		"ManyKeys": {
			reason: "a long list of keys is cut", secret: opaque("a", "", "b", "", "c", "", "d", "", "e", "", "f", ""),
			want:    reason.KeyMissing,
			message: `invalid CA Secret "hand/ca": empty "ca.crt" key: the key is missing, there is a, b, c, d, e, ...`,
		},
		"Empty": {
			reason: "white space is nothing", secret: opaque(keyCA, " \n"), want: reason.KeyMissing,
			message: `invalid CA Secret "hand/ca": empty "ca.crt" key: the key is there and holds nothing`,
		},
		"TooLarge": {
			reason: "the size is bounded", secret: opaque(keyCA, strings.Repeat("x", maxPEM+1)), want: reason.TooLarge,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: "ca.crt" has %d bytes, more than %d`, maxPEM+1, maxPEM),
		},
		"NotPEM": {
			reason: "text without a block", secret: opaque(keyCA, "hello"), want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to locate certificate: there is no PEM block in ca.crt`,
		},
		"DER": {
			reason: "binary certificates are recognised", secret: opaque(keyCA, string(ca.cert.Raw)), want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to locate certificate: ` +
				`there is no PEM block in ca.crt, it looks like DER: convert it to PEM`,
		},
		"NoEnd": {
			reason: "a truncated second block loses a CA", secret: opaque(keyCA, good+other.pem()[:100]), want: reason.NotPEM,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line %d of "ca.crt": `+
				`the block has no END line`, lines(good)+1),
		},
		"NoEndBeforeBegin": {
			reason: "a block without END swallows its neighbour",
			secret: opaque(keyCA, strings.Replace(good, "-----END CERTIFICATE-----\n", "", 1)+good), want: reason.NotPEM,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line %d of "ca.crt": `+
				`the block begun at line 1 has no END line`, lines(good)),
		},
		"NoBegin": {
			reason: "an END alone means that a CA is cut", secret: opaque(keyCA, good+"-----END CERTIFICATE-----\n"), want: reason.NotPEM,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line %d of "ca.crt": `+
				`the END line does not match a BEGIN line`, lines(good)+1),
		},
		"RunTogether": {
			reason: "two files joined without a line break", secret: opaque(keyCA, strings.TrimSpace(good)+good), want: reason.NotPEM,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line %d of "ca.crt": `+
				`-----BEGIN does not stand at the beginning of the line`, lines(good)),
		},
		"Indented": {
			reason: "a badly indented YAML block", secret: opaque(keyCA, "  "+good), want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line 1 of "ca.crt": ` +
				`-----BEGIN does not stand at the beginning of the line`,
		},
		"FourDashes": {
			reason: "a damaged BEGIN line", secret: opaque(keyCA, strings.Replace(good, "CERTIFICATE-----", "CERTIFICATE----", 1)),
			want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line 1 of "ca.crt": ` +
				`the BEGIN line holds more or less than -----BEGIN, a type and -----`,
		},
		"LongType": {
			reason: "what stands there may be anything", secret: opaque(keyCA, "-----BEGIN "+strings.Repeat("A", 33)+"-----\n"),
			want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line 1 of "ca.crt": ` +
				`the BEGIN line holds more or less than -----BEGIN, a type and -----`,
		},
		"NotBase64": {
			reason: "a block of something else", secret: opaque(keyCA, "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"),
			want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to parse PEM block: line 1 of "ca.crt": ` +
				`the block is not base64`,
		},
		"PrivateKey": {
			reason: "a key in a bundle is a leak", secret: opaque(keyCA, good+ca.keyPEM(t)), want: reason.UnexpectedBlock,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: unexpected block type 'PRIVATE KEY': `+
				`block 2 at line %d of "ca.crt" is no certificate and does not belong there`, lines(good)+1),
		},
		"CRLInBundle": {
			reason: "a list has its own key",
			secret: opaque(keyCA, "text\n"+ca.crl(t, ca.key, now, now.Add(day))), want: reason.UnexpectedBlock,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: unexpected block type 'X509 CRL': ` +
				`block 1 at line 2 of "ca.crt" belongs under the key crl.pem`,
		},
		"BadDER": {
			reason: "what Contour hands to Envoy unseen",
			secret: opaque(keyCA, good+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), want: reason.NotACertificate,
			message: fmt.Sprintf(`invalid CA Secret "hand/ca": invalid CA certificate bundle: block 2 at line %d of "ca.crt" `+
				`is not a certificate: x509: malformed certificate`, lines(good)+1),
		},
		"TrailingData": {
			reason: "bytes behind the certificate in its block",
			secret: opaque(keyCA, string(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: append(slices.Clip(ca.cert.Raw), 0)}))),
			want:   reason.NotACertificate,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: block 1 at line 1 of "ca.crt" ` +
				`is not a certificate: x509: trailing data`,
		},
		"Expired": {
			reason: "one CA, expired", secret: opaque(keyCA, old.pem()), want: reason.Expired,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: certificate "CN=old" expired at 2026-05-31T12:00:00Z`,
		},
		"AllExpired": {
			reason: "several, all expired", secret: opaque(keyCA, old.pem()+older.pem()), want: reason.Expired,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: none of 2 certificates is valid now, ` +
				`the first: certificate "CN=old" expired at 2026-05-31T12:00:00Z`,
		},
		"NotYetValid": {
			reason: "time alone will end it", secret: opaque(keyCA, coming.pem()), want: reason.NotYetValid, until: now.AddDate(0, 0, 1),
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: certificate "CN=coming" is not valid before 2026-06-02T12:00:00Z`,
		},
		"ExpiredAndNotYetValid": {
			reason: "the one to come decides", secret: opaque(keyCA, old.pem()+coming.pem()), want: reason.NotYetValid, until: now.AddDate(0, 0, 1),
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: none of 2 certificates is valid now, ` +
				`the first: certificate "CN=old" expired at 2026-05-31T12:00:00Z`,
		},
		"GarbageCRL": {
			reason: "Envoy takes it and then fails every handshake", secret: opaque(keyCA, good, keyCRL, "hello"), want: reason.NotPEM,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: failed to locate revocation list: there is no PEM block in crl.pem`,
		},
		"CertificateAsCRL": {
			reason: "a certificate under crl.pem", secret: opaque(keyCA, good, keyCRL, good), want: reason.UnexpectedBlock,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: unexpected block type 'CERTIFICATE': ` +
				`block 1 at line 1 of "crl.pem" is no revocation list and does not belong there`,
		},
		"BadCRL": {
			reason: "a list that is not DER", secret: opaque(keyCA, good, keyCRL, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
			want: reason.NotACRL,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: block 1 at line 1 of "crl.pem" ` +
				`is not a revocation list: x509: malformed crl`,
		},
		"StaleCRL": {
			reason: "Envoy refuses what a stale list speaks of",
			secret: opaque(keyCA, good, keyCRL, ca.crl(t, ca.key, now.Add(-2*day), now.Add(-day))), want: reason.Expired,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: the revocation list of "CN=ca" in crl.pem expired at 2026-05-31T12:00:00Z`,
		},
		"FutureCRL": {
			reason: "time alone will end it", until: now.Add(day),
			secret: opaque(keyCA, good, keyCRL, ca.crl(t, ca.key, now.Add(day), now.Add(2*day))), want: reason.NotYetValid,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: the revocation list of "CN=ca" in crl.pem is not valid before 2026-06-02T12:00:00Z`,
		},
		"DeltaCRL": {
			reason: "Envoy does not read the changes alone",
			secret: opaque(keyCA, good, keyCRL, ca.deltaCRL(t)), want: reason.NotACRL,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: block 1 at line 1 of "crl.pem" ` +
				`has a critical extension that Envoy does not know: 2.5.29.27`,
		},
		"ListlessCA": {
			reason: "the CA may sign certificates, but no lists", secret: opaque(keyCA, listless.pem(), keyCRL, ca.crlOwn(t)), want: reason.NotACRL,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: block 1 at line 1 of "crl.pem" is not signed by the CA that it names: CN=ca`,
		},
		"ForeignCRL": {
			reason: "a list of a CA with the same name and another key",
			secret: opaque(keyCA, good, keyCRL, newCA(t, "ca").crlOwn(t)), want: reason.NotACRL,
			message: `invalid CA Secret "hand/ca": invalid CA certificate bundle: block 1 at line 1 of "crl.pem" is not signed by the CA that it names: CN=ca`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, p := ParseTrust(trustRef, tc.secret, nil, now)
			want := &Problem{Reason: tc.want, Message: tc.message, Until: tc.until}
			if diff := cmp.Diff(want, p); diff != "" || got != nil {
				t.Errorf("%s: ParseTrust() bundle %v, problem -want, +got:\n%s", tc.reason, got, diff)
			}
		})
	}
}

func (a authority) deltaCRL(t testing.TB) string {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(2), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}},
	}, a.cert, a.key)
	if err != nil {
		t.Fatalf("revocation list: %v", err)
	}
	return encode(blockCRL, der)
}

func (a authority) crlOwn(t testing.TB) string {
	t.Helper()
	return a.crl(t, a.key, now.Add(-time.Hour), now.Add(time.Hour))
}

func TestParseTrustAccepts(t *testing.T) {
	ca, other, old, coming := newCA(t, "ca"), newCA(t, "other"), newCA(t, "old", expired), newCA(t, "coming", future)
	leaf := selfSigned(t, newKey(t, elliptic.P256()), template("leaf"))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := selfSigned(t, small, template("weak", isCA))
	p224 := selfSigned(t, newKey(t, elliptic.P224()), template("p224", isCA))
	unsigning := newCA(t, "unsigning", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	cases := map[string]struct {
		reason string
		secret *corev1.Secret
		want   []authority
		notes  [][]string
		crl    bool
	}{
		"Opaque":   {reason: "the usual type", secret: opaque(keyCA, ca.pem()), want: []authority{ca}},
		"TLS":      {reason: "Contour takes this type too", secret: secret(corev1.SecretTypeTLS, keyCA, ca.pem()), want: []authority{ca}},
		"Untyped":  {reason: "a manifest without a type is Opaque", secret: secret("", keyCA, ca.pem()), want: []authority{ca}},
		"Text":     {reason: "text around and between blocks", secret: opaque(keyCA, "# one\n"+ca.pem()+"two\n"+other.pem()+"end"), want: []authority{ca, other}},
		"Windows":  {reason: "CR LF and a byte order mark", secret: opaque(keyCA, "\ufeff"+strings.ReplaceAll(ca.pem(), "\n", "\r\n")), want: []authority{ca}},
		"NoBreak":  {reason: "no line break at the end", secret: opaque(keyCA, strings.TrimSpace(ca.pem())), want: []authority{ca}},
		"Repeated": {reason: "repetitions are dropped", secret: opaque(keyCA, ca.pem()+other.pem()+ca.pem()), want: []authority{ca, other}},
		"Beside": {
			reason: "one valid certificate carries the bundle", secret: opaque(keyCA, old.pem()+ca.pem()+coming.pem()), want: []authority{old, ca, coming},
			notes: [][]string{{"expired at 2026-05-31T12:00:00Z"}, nil, {"is not valid before 2026-06-02T12:00:00Z"}},
		},
		"Leaf":      {reason: "a self-signed backend vouches for itself", secret: opaque(keyCA, leaf.pem()), want: []authority{leaf}, notes: [][]string{{"not a CA"}}},
		"WeakRSA":   {reason: "Envoy takes it, a person should know", secret: opaque(keyCA, weak.pem()), want: []authority{weak}, notes: [][]string{{"RSA 1024"}}},
		"WeakECDSA": {reason: "as with RSA", secret: opaque(keyCA, p224.pem()), want: []authority{p224}, notes: [][]string{{"ECDSA P-224"}}},
		"Unsigning": {
			reason: "a CA that may not sign", secret: opaque(keyCA, unsigning.pem()), want: []authority{unsigning},
			notes: [][]string{{"its key usage does not allow signing certificates"}},
		},
		"CRL": {
			reason: "a CA beside one with a list", secret: opaque(keyCA, ca.pem()+other.pem(), keyCRL, "text\n"+ca.crlOwn(t)), want: []authority{ca, other}, crl: true,
			notes: [][]string{nil, {"no revocation list in crl.pem: what it issued is refused"}},
		},
		"CRLOfIntermediate": {
			reason: "the issuer may come with the backend", secret: opaque(keyCA, leaf.pem(), keyCRL, ca.crlOwn(t)), want: []authority{leaf}, crl: true,
			notes: [][]string{{"not a CA"}},
		},
		"EmptyCRL": {reason: "an empty key is none", secret: opaque(keyCA, ca.pem(), keyCRL, "\n"), want: []authority{ca}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, p := ParseTrust(trustRef, tc.secret, nil, now)
			if p != nil {
				t.Fatalf("%s: ParseTrust(): %v", tc.reason, p)
			}
			want := &ir.TrustBundle{Ref: trustRef}
			for i, a := range tc.want {
				want.PEM = append(want.PEM, a.pem()...)
				ca := ir.CertificateAuthority{
					Subject: a.cert.Subject.String(), Fingerprint: fingerprint(a.cert),
					NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
				}
				if tc.notes != nil {
					ca.Notes = tc.notes[i]
				}
				want.CAs = append(want.CAs, ca)
			}
			if (got.CRL != nil) != tc.crl {
				t.Errorf("%s: CRL = %q", tc.reason, got.CRL)
			}
			want.CRL = got.CRL
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: ParseTrust() -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseTrustOfOtherKinds(t *testing.T) {
	ca := newCA(t, "ca")
	ref := func(k ir.TrustKind) ir.TrustRef { return ir.TrustRef{Kind: k, Name: trustRef.Name} }
	cases := map[string]struct {
		reason    string
		ref       ir.TrustRef
		configMap *corev1.ConfigMap
		want      string
	}{
		"ConfigMap": {reason: "text", ref: ref(ir.TrustConfigMap), configMap: &corev1.ConfigMap{Data: map[string]string{keyCA: ca.pem()}}},
		"Binary": {
			reason: "bytes", ref: ref(ir.TrustConfigMap),
			configMap: &corev1.ConfigMap{BinaryData: map[string][]byte{keyCA: []byte(ca.pem())}},
		},
		"NotFound": {reason: "the message names the kind", ref: ref(ir.TrustConfigMap), want: `invalid CA ConfigMap "hand/ca": ConfigMap not found`},
		"NoKey": {
			reason: "as of a Secret", ref: ref(ir.TrustConfigMap), configMap: &corev1.ConfigMap{Data: map[string]string{"ca": "x"}},
			want: `invalid CA ConfigMap "hand/ca": empty "ca.crt" key: the key is missing, there is ca`,
		},
		"System": {
			reason: "never an empty bundle", ref: ref(ir.TrustSystem),
			want: `invalid CA System "hand/ca": the system's trusted certificates are not known`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, p := ParseTrust(tc.ref, nil, tc.configMap, now)
			got := ""
			if p != nil {
				got = p.Message
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// The moment that NextTrustChange names is the first at which the answer
// differs from the one of now.
func TestNextTrustChange(t *testing.T) {
	ca, old, coming := newCA(t, "ca"), newCA(t, "old", expired), newCA(t, "coming", future)
	cases := map[string]struct {
		reason string
		secret *corev1.Secret
		want   time.Time
	}{
		"Expiry":       {reason: "the last moment is still valid", secret: opaque(keyCA, ca.pem()), want: ca.cert.NotAfter.Add(1)},
		"Beginning":    {reason: "the nearest counts", secret: opaque(keyCA, ca.pem()+coming.pem()), want: coming.cert.NotBefore},
		"Past":         {reason: "the past is over", secret: opaque(keyCA, old.pem()+ca.pem()), want: ca.cert.NotAfter.Add(1)},
		"Expired":      {reason: "nothing but an edit helps", secret: opaque(keyCA, old.pem())},
		"NotYetValid":  {reason: "time will end the problem", secret: opaque(keyCA, coming.pem()), want: coming.cert.NotBefore},
		"CRL":          {reason: "a list goes stale", secret: opaque(keyCA, ca.pem(), keyCRL, ca.crlOwn(t)), want: now.Add(time.Hour + 1)},
		"SecretAbsent": {reason: "time does not bring Secrets"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b, p := ParseTrust(trustRef, tc.secret, nil, now)
			got := NextTrustChange(b, p, now)
			if !got.Equal(tc.want) {
				t.Fatalf("%s: NextTrustChange() = %v, want %v", tc.reason, got, tc.want)
			}
			if got.IsZero() {
				return
			}
			before, pBefore := ParseTrust(trustRef, tc.secret, nil, got.Add(-1))
			after, pAfter := ParseTrust(trustRef, tc.secret, nil, got)
			if diff := cmp.Diff([]any{b, p}, []any{before, pBefore}); diff != "" {
				t.Errorf("%s: it changed before: -want, +got:\n%s", tc.reason, diff)
			}
			if cmp.Equal([]any{b, p}, []any{after, pAfter}) {
				t.Errorf("%s: nothing changed at %v", tc.reason, got)
			}
		})
	}
}
