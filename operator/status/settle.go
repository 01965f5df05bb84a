package status

import (
	"sync"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	// settleQuiet is how long an object must be left alone before a look that can
	// wait, and settleMost how long such a look waits at most.
	settleQuiet = 600 * time.Millisecond
	settleMost  = 10 * time.Second
)

// settling are the objects whose look waits until they are left alone.
type settling struct {
	mu    sync.Mutex
	waits map[item]*wait
}

// wait is how long a look has waited, and when it was last put off.
type wait struct{ first, last time.Time }

// left is how long a look still waits; 0 or less is no longer.
func (w *wait) left(now time.Time) time.Duration {
	return min(settleQuiet-now.Sub(w.last), settleMost-now.Sub(w.first))
}

// TouchSettled has an object looked at when it has not been touched in this way
// for settleQuiet, or after settleMost: for what changes again and again while
// many objects come, such as the number of those that are attached to it. It
// never blocks.
func (w *Writer) TouchSettled(k Kind, n ir.Name) {
	i, now := item{k, n}, time.Now()
	w.settling.mu.Lock()
	defer w.settling.mu.Unlock()
	if x, waits := w.settling.waits[i]; waits {
		x.last = now
		return
	}
	w.settling.waits[i] = &wait{first: now, last: now}
	time.AfterFunc(settleQuiet, func() { w.settle(i) })
}

// settle looks at an object whose wait may be over.
func (w *Writer) settle(i item) {
	w.settling.mu.Lock()
	defer w.settling.mu.Unlock()
	if left := w.settling.waits[i].left(time.Now()); left > 0 {
		time.AfterFunc(left, func() { w.settle(i) })
		return
	}
	delete(w.settling.waits, i)
	w.look(i)
}
