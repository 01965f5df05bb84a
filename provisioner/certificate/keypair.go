package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// KeyPair is a certificate with its private key. It is immutable, and prints
// as the certificate alone, whatever the verb or encoder.
type KeyPair struct {
	certificate *x509.Certificate
	key         crypto.Signer // *ecdsa.PrivateKey or *rsa.PrivateKey
}

// Errors of [ParseKeyPair].
var (
	ErrNoCertificate = errors.New("no PEM block of type CERTIFICATE")
	ErrNoKey         = errors.New("no PEM block of type PRIVATE KEY")
	ErrKeyType       = errors.New("not an ECDSA or RSA key")
	ErrKeyMismatch   = errors.New("the private key is not the certificate's")
)

// ParseKeyPair reads back what [KeyPair.CertificatePEM] and [KeyPair.KeyPEM]
// wrote.
func ParseKeyPair(certificate, key []byte) (*KeyPair, error) {
	block, _ := pem.Decode(certificate)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, ErrNoCertificate
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	block, _ = pem.Decode(key)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, ErrNoKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	var private crypto.Signer
	var public interface{ Equal(crypto.PublicKey) bool }
	switch k := parsed.(type) {
	case *ecdsa.PrivateKey:
		private, public = k, &k.PublicKey
	case *rsa.PrivateKey:
		private, public = k, &k.PublicKey
	default:
		return nil, ErrKeyType
	}
	if !public.Equal(leaf.PublicKey) {
		return nil, ErrKeyMismatch
	}
	return &KeyPair{certificate: leaf, key: private}, nil
}

// Certificate returns the parsed certificate, which is shared: do not change it.
func (k KeyPair) Certificate() *x509.Certificate { return k.certificate }

// CertificatePEM returns the certificate as one CERTIFICATE block.
func (k KeyPair) CertificatePEM() []byte { return certificatePEM(k.certificate) }

// KeyPEM returns the private key as one PKCS #8 PRIVATE KEY block. It is the
// one way by which a key leaves this package.
func (k KeyPair) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("encode the private key of %s: %w", k, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Fingerprint returns the hex SHA-256 of the certificate's DER bytes.
func (k KeyPair) Fingerprint() string {
	sum := sha256.Sum256(k.certificate.Raw)
	return hex.EncodeToString(sum[:])
}

func (k KeyPair) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{k.certificate.Raw}, PrivateKey: k.key, Leaf: k.certificate}
}

// String tells the certificate's subject and expiry, never the key.
func (k KeyPair) String() string {
	if k.certificate == nil {
		return "no certificate"
	}
	return fmt.Sprintf("%q until %s (private key redacted)",
		k.certificate.Subject.String(), k.certificate.NotAfter.UTC().Format(time.RFC3339))
}

// GoString is [KeyPair.String].
func (k KeyPair) GoString() string { return k.String() }

// Format prints [KeyPair.String] for every verb: some verbs would reach past
// String to the fields.
func (k KeyPair) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue implements slog.LogValuer as [KeyPair.String].
func (k KeyPair) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText encodes [KeyPair.String].
func (k KeyPair) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalJSON encodes [KeyPair.String].
func (k KeyPair) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(k.String())
	if err != nil {
		return nil, fmt.Errorf("encode key pair: %w", err)
	}
	return b, nil
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
