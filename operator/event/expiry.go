package event

import (
	"fmt"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

// thresholds are the times before expiry at which an Event is due, the longest
// first.
var thresholds = []time.Duration{30 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, 0}

// none says that no threshold is passed.
const none = -1

// passed returns the index of the last threshold that is passed. One of more
// than a third of the lifetime counts for nothing: whoever keeps such a
// certificate has not begun to renew it by then.
func passed(now, notBefore, notAfter time.Time) int {
	out := none
	left, lifetime := notAfter.Sub(now), notAfter.Sub(notBefore)
	for i, t := range thresholds {
		if left <= t && 3*t <= lifetime {
			out = i
		}
	}
	return out
}

// use is a certificate in use, by the object that holds it.
type use struct {
	kind ir.TrustKind
	name ir.Name
	// trust says that it is a bundle of authorities.
	trust bool
}

// told is what was said last.
type told struct {
	notAfter  time.Time
	threshold int
}

func (u *use) message(now, notAfter time.Time) string {
	what := "the certificate"
	if u.trust {
		what = "the last authority of ca.crt"
	}
	if left := notAfter.Sub(now); left > 0 {
		return fmt.Sprintf("%s expires in %s, at %s: renew it", what, days(left), notAfter.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s has expired at %s: what needs it fails closed", what, notAfter.UTC().Format(time.RFC3339))
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
