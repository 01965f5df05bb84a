package upstream

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// now is the moment that every test judges at.
var now = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

// authority makes test certificates; its own is of the current year.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	return k
}

// template is a certificate that is valid now.
func template(name string, change ...func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1)
}

func future(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = now.AddDate(0, 0, 1), now.AddDate(1, 0, 0)
}

// selfSigned makes a certificate for a key.
func selfSigned(t testing.TB, key crypto.Signer, c *x509.Certificate) authority {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	return authority{cert: cert, key: key}
}

func newCA(t testing.TB, name string, change ...func(*x509.Certificate)) authority {
	t.Helper()
	return selfSigned(t, newKey(t, elliptic.P256()), template(name, append([]func(*x509.Certificate){isCA}, change...)...))
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: a.cert.Raw}))
}

func (a authority) keyPEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: blockPKCS8, Bytes: der}))
}

// crl makes a revocation list of the authority, signed by signer.
func (a authority) crl(t testing.TB, signer crypto.Signer, from, until time.Time) string {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: from, NextUpdate: until,
	}, a.cert, signer)
	if err != nil {
		// CreateRevocationList checks the signature: a foreign key fails it.
		t.Fatalf("revocation list: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: blockCRL, Bytes: der}))
}

func secret(kind corev1.SecretType, data ...string) *corev1.Secret {
	s := &corev1.Secret{Namespace: "hand", Name: "thing", Type: kind, Data: map[string][]byte{}}
	for i := 0; i < len(data); i += 2 {
		s.Data[data[i]] = []byte(data[i+1])
	}
	return s
}

func opaque(data ...string) *corev1.Secret { return secret(corev1.SecretTypeOpaque, data...) }

var trustRef = ir.TrustRef{Kind: ir.TrustSecret, Name: ir.Name{Namespace: "hand", Name: "ca"}}

var pairRef = ir.CertificateRef{Name: ir.Name{Namespace: "hand", Name: "client"}}

// lines counts the lines of a text that ends with a line break.
func lines(s string) int { return strings.Count(s, "\n") }

// fakes is Objects of literal parts.
type fakes struct {
	services  map[ir.Name]*corev1.Service
	trust     map[ir.TrustRef]*Problem
	pairs     map[ir.CertificateRef]*Problem
	delegated map[ir.Name]string
}

func (f fakes) Service(n ir.Name) (*corev1.Service, bool) { s, ok := f.services[n]; return s, ok }
func (f fakes) Trust(r ir.TrustRef) *Problem              { return f.trust[r] }
func (f fakes) KeyPair(r ir.CertificateRef) *Problem      { return f.pairs[r] }
func (f fakes) Validity(ir.CertificateRef) *Problem       { return nil }
func (f fakes) Delegated(secret ir.Name, to string) bool {
	return f.delegated[secret] == to && to != ""
}
