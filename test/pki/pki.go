// Package pki makes certificate authorities and certificates for tests and
// examples: real keys, real X.509, nothing on disk. It is never part of the
// product.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// Authority is a certificate authority.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
	chain       [][]byte // DER of intermediates, nearest first
}

// NewAuthority makes a self-signed root that is valid from an hour ago for a
// day.
func NewAuthority(name string) (*Authority, error) {
	return newAuthority(name, nil, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
}

// NewAuthorityAt makes a self-signed root with the given validity.
func NewAuthorityAt(name string, notBefore, notAfter time.Time) (*Authority, error) {
	return newAuthority(name, nil, notBefore, notAfter)
}

// Intermediate makes an authority that is signed by a.
func (a *Authority) Intermediate(name string) (*Authority, error) {
	return newAuthority(name, a, a.Certificate.NotBefore, a.Certificate.NotAfter)
}

func newAuthority(name string, parent *Authority, notBefore, notAfter time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: notBefore, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	signer, issuer := crypto.Signer(key), template
	if parent != nil {
		signer, issuer = parent.key, parent.Certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	a := &Authority{Certificate: cert, key: key}
	if parent != nil {
		a.chain = append([][]byte{der}, parent.chain...)
	}
	return a, nil
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.Certificate.Raw) }

// Pool returns a pool that trusts the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Certificate)
	return p
}

// Leaf says what a certificate is for. Zero times are an hour ago and a day
// from now.
type Leaf struct {
	CommonName          string
	Organizations       []string
	DNS                 []string
	IPs                 []net.IP
	URIs                []string
	NotBefore, NotAfter time.Time
	// RSABits makes an RSA key of that size; 0 makes an ECDSA P-256 key.
	RSABits int
	// SelfSigned ignores the authority.
	SelfSigned bool
}

// Pair is a certificate chain with its private key.
type Pair struct {
	CertPEM, KeyPEM []byte
	TLS             tls.Certificate
}

// Leaf returns the parsed leaf.
func (p *Pair) Leaf() *x509.Certificate { return p.TLS.Leaf }

// Issue makes a certificate for servers and clients.
func (a *Authority) Issue(l Leaf) (*Pair, error) {
	key, err := newKey(l.RSABits)
	if err != nil {
		return nil, err
	}
	template, err := l.template()
	if err != nil {
		return nil, err
	}
	issuer, signer := a.Certificate, a.key
	if l.SelfSigned {
		issuer, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("certificate of %v: %w", l.DNS, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key of %v: %w", l.DNS, err)
	}
	p := &Pair{CertPEM: encode("CERTIFICATE", der), KeyPEM: encode("PRIVATE KEY", keyDER)}
	if !l.SelfSigned {
		for _, c := range a.chain {
			p.CertPEM = append(p.CertPEM, encode("CERTIFICATE", c)...)
		}
	}
	if p.TLS, err = tls.X509KeyPair(p.CertPEM, p.KeyPEM); err != nil {
		return nil, fmt.Errorf("key pair of %v: %w", l.DNS, err)
	}
	return p, nil
}

func (l *Leaf) template() (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: l.CommonName, Organization: l.Organizations},
		NotBefore: l.NotBefore, NotAfter: l.NotAfter,
		DNSNames: l.DNS, IPAddresses: l.IPs,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Now().Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = time.Now().Add(24 * time.Hour)
	}
	for _, s := range l.URIs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("URI %q: %w", s, err)
		}
		t.URIs = append(t.URIs, u)
	}
	return t, nil
}

func newKey(rsaBits int) (crypto.Signer, error) {
	if rsaBits != 0 {
		k, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return nil, fmt.Errorf("RSA key: %w", err)
		}
		return k, nil
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ECDSA key: %w", err)
	}
	return k, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(fmt.Sprintf("pki: no randomness: %v", err))
	}
	return n
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
