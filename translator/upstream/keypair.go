package upstream

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// ParseKeyPair judges the Secret that ref names; nil means that it does not
// exist. The key tls.crt holds the chain, leaf first; tls.key the leaf's
// private key, not encrypted.
//
// Validity is not judged, so the time is not read: an expired serving
// certificate is presented all the same, and the client decides. Whoever needs
// a valid one, or is to warn, asks CheckValidity.
func ParseKeyPair(ref ir.CertificateRef, secret *corev1.Secret, _ time.Time) (*ir.KeyPair, *Problem) {
	out, f := keyPair(secret)
	if f != nil {
		return nil, &Problem{Reason: f.reason, Message: reason.FormatSecret.With(ref.Name, f.text)}
	}
	out.Ref = ref
	return out, nil
}

// CheckValidity says why peers would refuse the certificate of a key pair at
// now: backends a client certificate, clients a serving one; nil when they need
// not.
func CheckValidity(k *ir.KeyPair, now time.Time) *Problem {
	v := validity(k.NotBefore, k.NotAfter, now)
	if v == "" {
		return nil
	}
	p := &Problem{Reason: reason.Expired,
		Message: reason.FormatSecret.With(k.Ref.Name, fmt.Sprintf("certificate %q %s", clip(k.Subject), v))}
	if now.Before(k.NotBefore) {
		p.Reason, p.Until = reason.NotYetValid, k.NotBefore
	}
	return p
}

func keyPair(secret *corev1.Secret) (*ir.KeyPair, *fault) {
	if f := secretFault(secret); f != nil {
		return nil, f
	}
	data, f := required(corev1.TLSCertKey, secret.Data)
	if f != nil {
		return nil, &fault{f.reason, string(reason.MessageNoCertificate) + ": " + f.text}
	}
	certs, f := chain(data)
	if f != nil {
		return nil, &fault{f.reason, reason.FormatCertificate.With(f.text)}
	}
	if data, f = required(corev1.TLSPrivateKeyKey, secret.Data); f != nil {
		return nil, &fault{f.reason, string(reason.MessageNoPrivateKey) + ": " + f.text}
	}
	keyPEM, key, f := privateKey(data)
	if f == nil {
		f = matching(certs, key)
	}
	if f != nil {
		return nil, &fault{f.reason, reason.FormatPrivateKey.With(f.text)}
	}
	leaf := certs[0]
	out := &ir.KeyPair{
		Key: keyPEM, Fingerprint: fingerprint(leaf), Subject: leaf.Subject.String(),
		DNSNames: slices.Clone(leaf.DNSNames), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
	}
	for _, c := range certs {
		out.Chain = append(out.Chain, block{kind: blockCertificate, der: c.Raw}.pem()...)
	}
	return out, nil
}

// chain parses tls.crt and checks that Envoy can present its leaf.
func chain(data []byte) ([]*x509.Certificate, *fault) {
	const key = corev1.TLSCertKey
	read, f := blocks(key, data)
	if f != nil {
		return nil, f
	}
	var certs []*x509.Certificate
	for _, b := range read {
		if b.kind != blockCertificate {
			return nil, unexpected(key, b, " is no certificate and does not belong there")
		}
		c, err := x509.ParseCertificate(b.der)
		if err != nil {
			return nil, faultf(reason.NotACertificate, "%s is not a certificate: %s", b.where(key), clip(err.Error()))
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		hint := ""
		if looksLikeDER(data) {
			hint = ", it looks like DER: convert it to PEM"
		}
		return nil, faultf(reason.NotPEM, "failed to locate certificate: there is no PEM block in %s%s", key, hint)
	}
	leaf := certs[0]
	if leaf.Subject.CommonName == "" && len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs)+len(leaf.EmailAddresses) == 0 {
		return nil, faultf(reason.NameMissing, "certificate has no common name or subject alt name")
	}
	return certs, weakKey(leaf)
}

// weakKey says why Envoy would refuse to present a certificate with this key.
func weakKey(leaf *x509.Certificate) *fault {
	switch k := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.Size() < minRSA/8 {
			return faultf(reason.WeakKey, "the RSA key has %d bits, Envoy needs %d", k.N.BitLen(), minRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return faultf(reason.WeakKey, "the ECDSA key is on %s, Envoy takes P-256, P-384 and P-521", k.Params().Name)
	case ed25519.PublicKey:
		return nil
	default:
		return faultf(reason.WeakKey, "Envoy does not know this type of key: %s", leaf.PublicKeyAlgorithm)
	}
}

// signer is what every private key of crypto/x509 is.
type signer interface{ Public() crypto.PublicKey }

// privateKey parses tls.key and returns it as PEM too. No error of a parser
// goes into the fault: it might quote the key.
func privateKey(data []byte) ([]byte, signer, *fault) {
	const name = corev1.TLSPrivateKeyKey
	read, f := blocks(name, data)
	if f != nil {
		return nil, nil, f
	}
	read = slices.DeleteFunc(read, func(b block) bool { return b.kind == blockECParams })
	switch len(read) {
	case 0:
		return nil, nil, faultf(reason.NotPEM, "failed to locate private key: there is no PEM block of a key in %s", name)
	case 1:
	default:
		return nil, nil, faultf(reason.NotAKey, "multiple private keys: %d PEM blocks in %s", len(read), name)
	}
	b := read[0]
	if b.encrypted || b.kind == "ENCRYPTED PRIVATE KEY" {
		return nil, nil, faultf(reason.NotAKey, "%s is encrypted: store it without a passphrase", b.where(name))
	}
	var (
		key any
		err error
	)
	switch b.kind {
	case blockPKCS8:
		key, err = x509.ParsePKCS8PrivateKey(b.der)
	case blockPKCS1:
		key, err = x509.ParsePKCS1PrivateKey(b.der)
	case blockSEC1:
		key, err = x509.ParseECPrivateKey(b.der)
	default:
		return nil, nil, unexpected(name, b, " is no private key that Envoy reads")
	}
	s, ok := key.(signer)
	if err != nil || !ok {
		return nil, nil, faultf(reason.NotAKey, "%s cannot be read as a %s", b.where(name), b.kind)
	}
	return b.pem(), s, nil
}

// matching compares the public halves of the leaf and of the key.
func matching(certs []*x509.Certificate, key signer) *fault {
	public, ok := key.Public().(interface {
		Equal(other crypto.PublicKey) bool
	})
	if !ok {
		return faultf(reason.NotAKey, "Envoy does not know this type of key")
	}
	for i, c := range certs {
		switch {
		case !public.Equal(c.PublicKey):
		case i == 0:
			return nil
		default:
			return faultf(reason.KeyMismatch, "the key belongs to certificate %d of %s: put that one first", i+1, corev1.TLSCertKey)
		}
	}
	return faultf(reason.KeyMismatch, "the key does not belong to the certificate %q", clip(certs[0].Subject.String()))
}

// NextChange returns the first moment after now at which one of the validities
// begins or has ended; zero when there is none. Bounds come in pairs: not
// before, not after; a zero bound is none.
func NextChange(now time.Time, bounds ...time.Time) time.Time {
	var next time.Time
	for i, t := range bounds {
		if t.IsZero() {
			continue
		}
		if i%2 == 1 {
			t = t.Add(1) // the last moment is still valid
		}
		if t.After(now) {
			next = earliest(next, t)
		}
	}
	return next
}

// NextTrustChange is when time alone may change what ParseTrust answers: the
// verdict or the notes. Zero is never.
func NextTrustChange(b *ir.TrustBundle, p *Problem, now time.Time) time.Time {
	if p != nil {
		return p.Until
	}
	bounds := make([]time.Time, 0, 2*len(b.CAs))
	for _, c := range b.CAs {
		bounds = append(bounds, c.NotBefore, c.NotAfter)
	}
	for rest := b.CRL; len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if l, err := x509.ParseRevocationList(block.Bytes); err == nil {
			bounds = append(bounds, l.ThisUpdate, l.NextUpdate)
		}
	}
	return NextChange(now, bounds...)
}

// NextKeyPairChange is when time alone may change what CheckValidity
// answers for the key pair. Zero is never.
func NextKeyPairChange(k *ir.KeyPair, p *Problem, now time.Time) time.Time {
	if p != nil {
		return p.Until
	}
	return NextChange(now, k.NotBefore, k.NotAfter)
}

// earliest treats zero as never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
