package upstream

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// What is accepted as a bundle is read by crypto/x509 in the same way, and is
// its own normal form.
func FuzzTrustBundle(f *testing.F) {
	f.Fuzz(func(t *testing.T, ca, crl []byte) {
		in := &corev1.Secret{Data: map[string][]byte{keyCA: ca, keyCRL: crl}}
		b, p := ParseTrust(trustRef, in, nil, now)
		if p != nil {
			if b != nil || p.Reason == "" || p.Message == "" {
				t.Fatalf("ParseTrust() = %v, %#v: a problem has a reason and a message and no bundle", b, p)
			}
			return
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(b.PEM) || len(b.CAs) == 0 || len(b.CAs) != bytes.Count(b.PEM, []byte(begin)) {
			t.Fatalf("ParseTrust(): %d CAs, PEM:\n%s", len(b.CAs), b.PEM)
		}
		again, p := ParseTrust(trustRef, &corev1.Secret{Data: map[string][]byte{keyCA: b.PEM, keyCRL: b.CRL}}, nil, now)
		if diff := cmp.Diff(b, again); diff != "" || p != nil {
			t.Fatalf("the normal form is another bundle: problem %v, -want, +got:\n%s", p, diff)
		}
		if next := NextTrustChange(b, nil, now); !next.IsZero() && !next.After(now) {
			t.Fatalf("NextTrustChange() = %v is over at %v", next, now)
		}
	})
}

// What is accepted as a key pair is one to crypto/tls, and no message ever
// holds a part of the key.
func FuzzKeyPair(f *testing.F) {
	f.Fuzz(func(t *testing.T, chain, private []byte) {
		in := &corev1.Secret{Data: map[string][]byte{corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: private}}
		k, p := ParseKeyPair(pairRef, in, now)
		if p != nil {
			for word := range bytes.FieldsSeq(private) {
				if len(word) > 32 && strings.Contains(p.Message, string(word)) {
					t.Fatalf("the message holds a part of the key: %s", p.Message)
				}
			}
			return
		}
		if _, err := tls.X509KeyPair(k.Chain, k.Key); err != nil {
			t.Fatalf("crypto/tls does not take what was accepted: %v", err)
		}
		again, p := ParseKeyPair(pairRef, &corev1.Secret{Data: map[string][]byte{corev1.TLSCertKey: k.Chain, corev1.TLSPrivateKeyKey: k.Key}}, now)
		if diff := cmp.Diff(k, again); diff != "" || p != nil {
			t.Fatalf("the normal form is another key pair: problem %v, -want, +got:\n%s", p, diff)
		}
	})
}

// The annotations mean what Contour's folding of them into one map means.
func FuzzAnnotations(f *testing.F) {
	f.Fuzz(func(t *testing.T, overTLS, h2, h2c, name string, port int32, app string) {
		svc := good(annotate("upstream-protocol.tls", overTLS, "upstream-protocol.h2", h2, "upstream-protocol.h2c", h2c, "max-requests", h2))
		svc.Spec.Ports = []corev1.ServicePort{{Name: name, Port: port, AppProtocol: &app}}
		folded := map[string]string{}
		for _, a := range []struct{ word, value string }{{wordH2, h2}, {wordH2C, h2c}, {wordTLS, overTLS}} {
			for element := range strings.SplitSeq(a.value, ",") {
				if element = strings.TrimSpace(element); element != "" {
					folded[element] = a.word
				}
			}
		}
		want := folded[name]
		if want == "" {
			want = folded[strconv.Itoa(int(port))]
		}
		if got, _ := annotatedProtocol(svc, &svc.Spec.Ports[0]); got != want {
			t.Fatalf("annotatedProtocol() = %q, want %q", got, want)
		}
		if want == "" {
			want = appProtocol(app)
		}
		u, p := Decide(holding(svc), to(port))
		if p != nil {
			t.Fatalf("Decide(): %v", p)
		}
		if (u.TLS != nil) != (want == wordTLS || want == wordH2) || (u.Protocol == ir.HTTP2) != (want == wordH2 || want == wordH2C) {
			t.Fatalf("Decide() = %v, TLS %v for %q", u.Protocol, u.TLS, want)
		}
		_, p = Decide(holding(svc), to(port, validate()))
		if (p == nil) != (u.TLS != nil) {
			t.Fatalf("with validation: problem %v, TLS %v", p, u.TLS)
		}
		CheckService(svc)
	})
}

// A name that is accepted can stand in a certificate, and a certificate with
// it is one for that name.
func FuzzSubjectNames(f *testing.F) {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, written, host string) {
		for _, h := range []string{written, host} {
			if sni, ok := sniName(withoutPort(h)); ok && (net.ParseIP(sni) != nil || strings.ContainsAny(sni, "*:% ")) {
				t.Fatalf("sniName(%q) = %q", h, sni)
			}
		}
		name, fault := subjectName(written)
		if fault != "" {
			return
		}
		if again, fault := subjectName(name.Value); again != name || fault != "" {
			t.Fatalf("subjectName(%q) = %v, %q: not the normal form", name.Value, again, fault)
		}
		c := selfSigned(t, signer, template("", func(c *x509.Certificate) { addName(t, c, name) })).cert
		switch name.Kind {
		case ir.DNSName:
			if c.DNSNames[0] != name.Value {
				t.Fatalf("DNS name %q reads as %q", name.Value, c.DNSNames)
			}
		case ir.IPName:
			if c.IPAddresses[0].String() != name.Value {
				t.Fatalf("address %q reads as %q", name.Value, c.IPAddresses)
			}
		case ir.URIName:
			if c.URIs[0].String() != name.Value {
				t.Fatalf("URI %q reads as %q", name.Value, c.URIs)
			}
		}
		if name.Kind == ir.URIName || strings.HasPrefix(name.Value, "*.") {
			return
		}
		if err := c.VerifyHostname(name.Value); err != nil {
			t.Fatalf("a certificate for %q is not: %v", name.Value, err)
		}
	})
}

func addName(t *testing.T, c *x509.Certificate, n ir.SubjectName) {
	t.Helper()
	switch n.Kind {
	case ir.DNSName:
		c.DNSNames = []string{n.Value}
	case ir.IPName:
		c.IPAddresses = []net.IP{net.ParseIP(n.Value)}
	case ir.URIName:
		u, err := url.Parse(n.Value)
		if err != nil {
			t.Fatalf("URI %q: %v", n.Value, err)
		}
		c.URIs = []*url.URL{u}
	}
}

// Whatever is written for ciphers and curves, what passes is of the lists.
func FuzzFleetSettings(f *testing.F) {
	f.Fuzz(func(t *testing.T, lowest, highest, cipher, curve string) {
		got, problems := FleetTLS(FleetSettings{Min: lowest, Max: highest, Ciphers: []string{cipher}, Curves: []string{curve}}, fakes{})
		if (got.Failure == "") != (len(problems) == 0) {
			t.Fatalf("failure %q with %d problems", got.Failure, len(problems))
		}
		if got.Failure != "" {
			return
		}
		if got.Profile.Min > got.Profile.Max || got.Profile.Min == "" || cipher == "" || strings.ContainsAny(cipher, ":!+@ \n") {
			t.Fatalf("accepted: %+v", got.Profile)
		}
	})
}
