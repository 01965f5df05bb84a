package upstream

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

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
