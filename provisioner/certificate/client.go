package certificate

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// KeyType is a kind of private key with its size.
type KeyType string

// The kinds of keys of client certificates.
const (
	ECDSAP256 KeyType = "ECDSA-P256"
	ECDSAP384 KeyType = "ECDSA-P384"
	RSA2048   KeyType = "RSA-2048"
	RSA3072   KeyType = "RSA-3072"
	RSA4096   KeyType = "RSA-4096"
)

// ClientRequest says what a client certificate is to be.
type ClientRequest struct {
	CommonName string
	DNSNames   []string
	URIs       []string
	// Lifetime of a certificate; RenewBefore its end it is replaced, 0 is a
	// third of Lifetime.
	Lifetime, RenewBefore time.Duration
	// KeyType is [ECDSAP256] when empty.
	KeyType KeyType
}

// ErrRequest says that no certificate can be issued as it is asked for.
var ErrRequest = errors.New("client certificate request")

// Client issues a client certificate with a key of its own. The authority must
// have been made with [Policy.Clients].
func (a *Authority) Client(r ClientRequest, now time.Time, p Policy) (*KeyPair, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	uris, err := r.uris()
	if err != nil {
		return nil, err
	}
	// Certificates count in seconds, and the begin is rounded down: a part of one
	// could make the life a second longer than it was asked for.
	end := now.Add(min(r.Lifetime, p.LeafLife).Truncate(time.Second))
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	usage := x509.KeyUsageDigitalSignature
	return sign(&x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: r.CommonName},
		NotBefore: now.Add(-p.Skew), NotAfter: end,
		KeyUsage: usage, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
		DNSNames: r.DNSNames, URIs: uris,
	}, a, r.generate)
}

func (r ClientRequest) uris() ([]*url.URL, error) {
	out := make([]*url.URL, 0, len(r.URIs))
	for _, text := range r.URIs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%w: URI: %w", ErrRequest, err)
		}
		out = append(out, u)
	}
	return out, nil
}

func (r ClientRequest) generate() (crypto.Signer, error) {
	bits := map[KeyType]int{RSA2048: 2048, RSA3072: 3072, RSA4096: 4096}[r.KeyType]
	var key crypto.Signer
	var err error
	switch t := cmp.Or(r.KeyType, ECDSAP256); {
	case t == ECDSAP256:
		return newP256()
	case t == ECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case bits > 0:
		key, err = rsa.GenerateKey(rand.Reader, bits)
	default:
		return nil, fmt.Errorf("%w: key type %q is not known", ErrRequest, r.KeyType)
	}
	if err != nil {
		return nil, fmt.Errorf("generate a key of type %s: %w", r.KeyType, err)
	}
	return key, nil
}

// ClientDue returns why a client certificate must be issued anew, or "". A nil
// pair is due.
func ClientDue(pair *KeyPair, r ClientRequest, signing *Authority, now time.Time, p Policy) string {
	if pair == nil {
		return "there is none yet"
	}
	if !bytes.Equal(pair.certificate.AuthorityKeyId, signing.certificate.SubjectKeyId) {
		return "another authority signed it"
	}
	if why := r.differs(pair, p); why != "" {
		return why
	}
	switch {
	case now.Before(pair.certificate.NotBefore):
		return "it is not valid yet: the clock has gone back"
	case !now.Before(ClientRenewal(pair, r)):
		return "it is time to renew it"
	}
	return ""
}

// ClientServes says whether a certificate that is due can be presented until
// another can be had: it is what is asked for, valid, and of an authority that
// backends are told to trust.
func ClientServes(pair *KeyPair, r ClientRequest, s State, now time.Time, p Policy) bool {
	return pair != nil && r.differs(pair, p) == "" && valid(pair.certificate, now) &&
		slices.ContainsFunc(s.Trusted(), func(a *x509.Certificate) bool {
			return valid(a, now) && bytes.Equal(pair.certificate.AuthorityKeyId, a.SubjectKeyId)
		})
}

// differs returns what of a certificate is not as it is asked for, or "".
func (r ClientRequest) differs(pair *KeyPair, p Policy) string {
	c := pair.certificate
	switch {
	case !r.names(c):
		return "other names are asked for"
	case keyTypeOf(pair.key) != cmp.Or(r.KeyType, ECDSAP256):
		return "another type of key is asked for"
	case c.NotAfter.Sub(c.NotBefore)-p.Skew > min(r.Lifetime, p.LeafLife):
		return "a shorter life is asked for"
	}
	return ""
}

// ClientRenewal is when a client certificate is replaced. One that the
// authority's end cut short is renewed after two thirds of what it has.
func ClientRenewal(pair *KeyPair, r ClientRequest) time.Time {
	c := pair.certificate
	third := c.NotAfter.Sub(c.NotBefore) / 3
	before := third
	if r.RenewBefore > 0 && r.RenewBefore < c.NotAfter.Sub(c.NotBefore) {
		before = r.RenewBefore
	}
	return c.NotAfter.Add(-before)
}

// names says whether a certificate bears the names that are asked for, and no
// others. A certificate holds a URI in its normal form, whatever was written.
func (r ClientRequest) names(c *x509.Certificate) bool {
	uris, err := r.uris()
	return err == nil && c.Subject.CommonName == r.CommonName && slices.Equal(c.DNSNames, r.DNSNames) &&
		slices.EqualFunc(c.URIs, uris, func(have, want *url.URL) bool { return have.String() == want.String() })
}

func keyTypeOf(key crypto.Signer) KeyType {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return KeyType(fmt.Sprintf("ECDSA-P%d", k.Curve.Params().BitSize))
	case *rsa.PrivateKey:
		return KeyType(fmt.Sprintf("RSA-%d", k.N.BitLen()))
	}
	return ""
}

// IdentityDue returns why a fleet's identity must be issued anew, or "". A nil
// pair is due. Nothing else is while the authority is not valid yet: what is issued
// by such a clock may have expired by all others.
func IdentityDue(pair *KeyPair, s State, now time.Time, p Policy) string {
	if pair != nil && s.early(now) {
		return ""
	}
	return leafDue(pair, s.Signing, now, p)
}

// Renewal is when an identity, or the server's certificate, is replaced.
func Renewal(pair *KeyPair, p Policy) time.Time { return renewAt(pair.certificate, p) }
