package upstream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// minRSA is the smallest RSA key that is not noted as weak, in bits.
const minRSA = 2048

// TrustText is the form in which ParseTrust takes what is no ConfigMap: the
// text of a ClusterTrustBundle, or of the system's trusted certificates.
func TrustText(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{Data: map[string]string{keyCA: text}}
}

// ParseTrust judges the object that ref names; nil means that it does not
// exist. Only the argument of ref's kind is looked at; what is neither a Secret
// nor a ConfigMap comes as TrustText.
//
// The key ca.crt holds PEM certificates, with any text around them. One that
// cannot be read spoils the bundle: a CA would be missing in silence. Outside
// its validity a certificate is noted, and spoils the bundle only when none is
// valid at now. Certificates that are no CA are trusted for themselves, as
// Envoy does, and noted; so are weak keys. The optional key crl.pem holds
// revocation lists; one that would make every handshake fail is a problem.
func ParseTrust(ref ir.TrustRef, secret *corev1.Secret, configMap *corev1.ConfigMap, now time.Time) (*ir.TrustBundle, *Problem) {
	ca, crl, f := trustData(ref, secret, configMap)
	if f != nil {
		return nil, trustProblem(ref, f)
	}
	certs, f := authorities(ca)
	if f == nil {
		if p := noneValid(ref, certs, now); p != nil {
			return nil, p
		}
	}
	var lists []*x509.RevocationList
	out := &ir.TrustBundle{Ref: ref}
	if f == nil && len(bytes.TrimSpace(crl)) > 0 {
		lists, out.CRL, f = revocationLists(crl, certs)
	}
	if f != nil {
		return nil, trustProblem(ref, &fault{f.reason, reason.FormatBundle.With(f.text)})
	}
	if p := staleList(ref, lists, now); p != nil {
		return nil, p
	}
	for _, c := range certs {
		out.PEM = append(out.PEM, block{kind: blockCertificate, der: c.Raw}.pem()...)
		out.CAs = append(out.CAs, ir.CertificateAuthority{
			Subject:     c.Subject.String(),
			Fingerprint: fingerprint(c),
			NotBefore:   c.NotBefore,
			NotAfter:    c.NotAfter,
			Notes:       notes(c, lists, now),
		})
	}
	return out, nil
}

// authorities parses the certificates of a bundle and drops repetitions.
func authorities(data []byte) ([]*x509.Certificate, *fault) {
	read, f := blocks(keyCA, data)
	if f != nil {
		return nil, f
	}
	if len(read) == 0 {
		hint := ": there is no PEM block in " + keyCA
		if looksLikeDER(data) {
			hint += ", it looks like DER: convert it to PEM"
		}
		return nil, faultf(reason.NotPEM, "failed to locate certificate%s", hint)
	}
	var certs []*x509.Certificate
	for _, b := range read {
		switch b.kind {
		case blockCertificate:
		case blockCRL:
			return nil, unexpected(keyCA, b, " belongs under the key "+keyCRL)
		default:
			return nil, unexpected(keyCA, b, " is no certificate and does not belong there")
		}
		c, err := x509.ParseCertificate(b.der)
		if err != nil {
			return nil, faultf(reason.NotACertificate, "%s is not a certificate: %s", b.where(keyCA), clip(err.Error()))
		}
		if !slices.ContainsFunc(certs, c.Equal) {
			certs = append(certs, c)
		}
	}
	return certs, nil
}

// noneValid is the problem of a bundle without a certificate that is valid at
// now. It ends by itself when one is yet to become valid.
func noneValid(ref ir.TrustRef, certs []*x509.Certificate, now time.Time) *Problem {
	var until time.Time
	for _, c := range certs {
		switch {
		case validity(c.NotBefore, c.NotAfter, now) == "":
			return nil
		case now.Before(c.NotBefore):
			until = earliest(until, c.NotBefore)
		}
	}
	why := reason.Expired
	if !until.IsZero() {
		why = reason.NotYetValid
	}
	first := certs[0]
	text := fmt.Sprintf("certificate %q %s", clip(first.Subject.String()), validity(first.NotBefore, first.NotAfter, now))
	if len(certs) > 1 {
		text = fmt.Sprintf("none of %d certificates is valid now, the first: %s", len(certs), text)
	}
	p := trustProblem(ref, &fault{why, reason.FormatBundle.With(text)})
	p.Until = until
	return p
}

// validity says how a validity misses now; "" when it does not. Both ends
// belong to it (RFC 5280, 4.1.2.5).
func validity(notBefore, notAfter, now time.Time) string {
	switch {
	case now.Before(notBefore):
		return "is not valid before " + notBefore.UTC().Format(time.RFC3339)
	case now.After(notAfter):
		return "expired at " + notAfter.UTC().Format(time.RFC3339)
	default:
		return ""
	}
}

// notes are the weaknesses of a certificate that do not disqualify it.
func notes(c *x509.Certificate, lists []*x509.RevocationList, now time.Time) []string {
	var out []string
	if v := validity(c.NotBefore, c.NotAfter, now); v != "" {
		out = append(out, v)
	}
	switch {
	case !c.IsCA:
		out = append(out, "not a CA")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		out = append(out, "its key usage does not allow signing certificates")
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA {
			out = append(out, fmt.Sprintf("RSA %d", bits))
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			out = append(out, "ECDSA P-224")
		}
	}
	issued := func(l *x509.RevocationList) bool { return bytes.Equal(l.RawIssuer, c.RawSubject) }
	if len(lists) > 0 && c.IsCA && !slices.ContainsFunc(lists, issued) {
		out = append(out, "no revocation list in "+keyCRL+": what it issued is refused")
	}
	return out
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func trustProblem(ref ir.TrustRef, f *fault) *Problem {
	return &Problem{Reason: f.reason, Message: reason.FormatCA.With(ref.Kind, ref.Name, f.text)}
}

// issuingDistributionPoint is the one extension of a list that may be critical
// (RFC 5280, 5.2.5); a delta list (5.2.4) is not enough by itself.
var issuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// revocationLists parses the lists of crl.pem and returns them as PEM too.
// Envoy would take garbage and then fail every handshake.
func revocationLists(data []byte, certs []*x509.Certificate) ([]*x509.RevocationList, []byte, *fault) {
	read, f := blocks(keyCRL, data)
	if f != nil {
		return nil, nil, f
	}
	if len(read) == 0 {
		return nil, nil, faultf(reason.NotPEM, "failed to locate revocation list: there is no PEM block in %s", keyCRL)
	}
	var (
		lists []*x509.RevocationList
		text  []byte
	)
	for _, b := range read {
		if b.kind != blockCRL {
			return nil, nil, unexpected(keyCRL, b, " is no revocation list and does not belong there")
		}
		l, err := x509.ParseRevocationList(b.der)
		if err != nil {
			return nil, nil, faultf(reason.NotACRL, "%s is not a revocation list: %s", b.where(keyCRL), clip(err.Error()))
		}
		if why := listFault(l, certs); why != "" {
			return nil, nil, faultf(reason.NotACRL, "%s %s", b.where(keyCRL), why)
		}
		lists, text = append(lists, l), append(text, b.pem()...)
	}
	return lists, text, nil
}

// listFault says why Envoy would refuse each certificate that a list speaks
// of. A list of an issuer outside of the bundle cannot be judged: it may be of
// an intermediate CA that the backend sends.
func listFault(l *x509.RevocationList, certs []*x509.Certificate) string {
	for _, e := range l.Extensions {
		if e.Critical && !e.Id.Equal(issuingDistributionPoint) {
			return fmt.Sprintf("has a critical extension that Envoy does not know: %s", e.Id)
		}
	}
	named := false
	for _, c := range certs {
		if !bytes.Equal(c.RawSubject, l.RawIssuer) {
			continue
		}
		named = true
		mayList := c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCRLSign != 0
		if mayList && c.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature) == nil {
			return ""
		}
	}
	if named {
		return fmt.Sprintf("is not signed by the CA that it names: %s", clip(l.Issuer.String()))
	}
	return ""
}

// staleList is the problem of a list that is not of this time: Envoy then
// refuses every certificate of its issuer.
func staleList(ref ir.TrustRef, lists []*x509.RevocationList, now time.Time) *Problem {
	for _, l := range lists {
		after := l.NextUpdate
		if after.IsZero() {
			after = now
		}
		v := validity(l.ThisUpdate, after, now)
		if v == "" {
			continue
		}
		p := trustProblem(ref, &fault{reason.Expired, reason.FormatBundle.With(
			fmt.Sprintf("the revocation list of %q in %s %s", clip(l.Issuer.String()), keyCRL, v))})
		if now.Before(l.ThisUpdate) {
			p.Reason, p.Until = reason.NotYetValid, l.ThisUpdate
		}
		return p
	}
	return nil
}
