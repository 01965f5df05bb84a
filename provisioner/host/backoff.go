package host

import "time"

const (
	backoffBase = 250 * time.Millisecond
	backoffMax  = 30 * time.Second
	// stableAfter is how long an Envoy runs until its crash counts as a first
	// one again.
	stableAfter = time.Minute
)

// backoff is the wait before the next start; its zero value is before the
// first crash.
type backoff struct{ last time.Duration }

// next returns the wait after a crash of an Envoy that ran for so long, and the
// state for the crash after it.
func (b backoff) next(ran time.Duration) (time.Duration, backoff) {
	wait := min(max(backoffBase, 2*b.last), backoffMax)
	if ran >= stableAfter {
		wait = backoffBase
	}
	return wait, backoff{last: wait}
}
