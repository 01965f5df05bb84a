package upstream

import (
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

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

// NextKeyPairChange is when time alone may change what CheckClientCertificate
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
