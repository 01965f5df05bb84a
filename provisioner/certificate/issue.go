package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

// Authority is an issuing certificate authority. It can sign fleet identities
// and the xDS server's certificate; its name constraints forbid all else to
// whoever might get hold of its key. One made with [Policy.Clients] can sign
// client certificates alone, of any name.
type Authority struct{ KeyPair }

// ErrNotAuthority says that a key pair cannot issue.
var ErrNotAuthority = errors.New("not a certificate authority")

// serialBits of randomness are in a serial number (RFC 5280, 4.1.2.2, allows
// 20 octets).
const serialBits = 127

// NewAuthority makes an authority that is valid from now on, less the policy's
// skew, for the policy's AuthorityLife.
func NewAuthority(now time.Time, p Policy) (*Authority, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// Two authorities are trusted at a time, and verifiers find an issuer
		// by its name: so each has a name of its own.
		Subject:               pkix.Name{CommonName: "Signet authority " + hex.EncodeToString(serial.Bytes()[:4])},
		NotBefore:             now.Add(-p.Skew),
		NotAfter:              now.Add(p.AuthorityLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if p.Clients {
		template.Subject.CommonName = "Signet client authority " + hex.EncodeToString(serial.Bytes()[:4])
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	} else {
		template.PermittedDNSDomainsCritical = true
		template.PermittedDNSDomains, template.PermittedURIDomains = []string{ServerName}, []string{TrustDomain}
	}
	pair, err := sign(template, nil, newP256)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	return &Authority{KeyPair: *pair}, nil
}

// ParseAuthority reads back an authority from its two PEM documents.
func ParseAuthority(certificate, key []byte) (*Authority, error) {
	pair, err := ParseKeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	if c := pair.certificate; !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotAuthority, pair)
	}
	return &Authority{KeyPair: *pair}, nil
}

// Identity issues a client certificate whose one URI name is the fleet's.
func (a *Authority) Identity(fleet ir.Name, now time.Time, p Policy) (*KeyPair, error) {
	if err := checkFleet(fleet); err != nil {
		return nil, fmt.Errorf("issue the identity of fleet %s: %w", fleet, err)
	}
	pair, err := a.leaf(now, p, x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "Signet fleet"}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: TrustDomain, Path: fleetPath + fleet.String()}}
	})
	if err != nil {
		return nil, fmt.Errorf("issue the identity of fleet %s: %w", fleet, err)
	}
	return pair, nil
}

// Server issues the xDS server's certificate, whose one DNS name is
// [ServerName].
func (a *Authority) Server(now time.Time, p Policy) (*KeyPair, error) {
	pair, err := a.leaf(now, p, x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: ServerName}
		c.DNSNames = []string{ServerName}
	})
	if err != nil {
		return nil, fmt.Errorf("issue the server's certificate: %w", err)
	}
	return pair, nil
}

// leaf issues a certificate that never outlives its issuer.
func (a *Authority) leaf(
	now time.Time, p Policy, usage x509.ExtKeyUsage, name func(*x509.Certificate),
) (*KeyPair, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	end := now.Add(p.LeafLife)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             now.Add(-p.Skew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
	}
	name(template)
	return sign(template, a, newP256)
}

func newP256() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a P-256 key: %w", err)
	}
	return key, nil
}

// sign makes a key of its own for the template. Without an issuer the
// certificate signs itself.
func sign(template *x509.Certificate, issuer *Authority, generate func() (crypto.Signer, error)) (*KeyPair, error) {
	key, err := generate()
	if err != nil {
		return nil, err
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the signed certificate: %w", err)
	}
	return &KeyPair{certificate: parsed, key: key}, nil
}

func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), serialBits)
	floor := new(big.Int).Rsh(limit, 1) // a full-length serial, so that its first bytes exist
	n, err := rand.Int(rand.Reader, floor)
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return n.Add(n, floor), nil
}
