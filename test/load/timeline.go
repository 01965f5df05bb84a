package load

import (
	"sync"
	"time"
)

// Timeline knows when each version of a state was written and first seen in
// traffic, and so which versions an outcome may show. Its zero value is ready,
// and its methods may be called concurrently.
type Timeline struct {
	mu            sync.Mutex
	written, seen []time.Time
}

// Write notes that the next version is about to be written, and returns it; the
// first is 0.
func (t *Timeline) Write() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = append(t.written, time.Now())
	return len(t.written) - 1
}

// Saw notes when the next version was in traffic: it is called once for each
// that was written, in their order.
func (t *Timeline) Saw(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, at)
}

// Next is the version that Write will return.
func (t *Timeline) Next() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.written)
}

// Window returns the first and the last version that an outcome may show. A
// request that was sent after a version was seen must not get one before it, and
// none may get one that was not yet written when its answer was read. newest is
// -1 where that is true of all versions.
func (t *Timeline) Window(o *Outcome) (oldest, newest int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest, newest = len(t.seen)-1, len(t.written)-1
	for newest >= 0 && t.written[newest].After(o.Done) {
		newest--
	}
	for oldest > 0 && t.seen[oldest].After(o.Sent) {
		oldest--
	}
	return max(oldest, 0), newest
}
