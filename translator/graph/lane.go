package graph

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// inbox holds what was submitted and not yet committed.
type inbox struct {
	mu     sync.Mutex
	fast   []*Changes // may be committed before the rest
	rest   []*Changes // in order
	held   map[rowKey]struct{}
	urgent atomic.Bool // fast is not empty
	wake   chan struct{}
}

// rowKey is a row of the Fast lane that something in the rest will change.
type rowKey struct {
	table int
	key   any
}

func (in *inbox) init() {
	in.wake = make(chan struct{}, 1)
	in.held = map[rowKey]struct{}{}
}

// put queues c. Changes of the Fast lane alone may overtake, unless one ahead
// touches a row of theirs.
func (in *inbox) put(c *Changes) {
	if c.Len() == 0 {
		return
	}
	in.mu.Lock()
	if !c.main && !in.meets(c) {
		in.fast = append(in.fast, c)
		in.urgent.Store(true)
	} else {
		in.rest = append(in.rest, c)
		in.hold(c)
	}
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// meets says whether c touches a row that is held.
func (in *inbox) meets(c *Changes) bool {
	if len(in.held) == 0 {
		return false
	}
	met := false
	for _, b := range c.batches {
		b.each(func(key any) {
			_, held := in.held[rowKey{b.table().id, key}]
			met = met || held
		})
	}
	return met
}

// hold keeps the rows of the Fast lane in c from being overtaken.
func (in *inbox) hold(c *Changes) {
	for _, b := range c.batches {
		if b.table().lane == Fast {
			b.each(func(key any) { in.held[rowKey{b.table().id, key}] = struct{}{} })
		}
	}
}

func (in *inbox) takeFast() []*Changes {
	in.mu.Lock()
	defer in.mu.Unlock()
	list := in.fast
	in.fast = nil
	in.urgent.Store(false)
	return list
}

func (in *inbox) length() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for _, list := range [][]*Changes{in.fast, in.rest} {
		for _, c := range list {
			n += c.Len()
		}
	}
	return n
}

// takeAll takes both at once: a fast change that is put later than a change of the
// rest must not be played before it.
func (in *inbox) takeAll() (fast, rest []*Changes) {
	in.mu.Lock()
	defer in.mu.Unlock()
	fast, rest = in.fast, in.rest
	in.fast, in.rest = nil, nil
	in.urgent.Store(false)
	clear(in.held)
	return fast, rest
}

func (g *Graph) run(ctx context.Context, publish func(*Revision)) error {
	if !g.writer.TryLock() {
		return ErrBusy
	}
	defer g.writer.Unlock()
	w := &worker{g: g, publish: publish}
	for ctx.Err() == nil {
		if w.step() {
			continue
		}
		select {
		case <-ctx.Done():
		case <-g.inbox.wake:
		}
	}
	return nil
}

// worker is one Run.
type worker struct {
	g       *Graph
	publish func(*Revision)
}

// step commits what is pending and says whether there was anything. The rest
// follows the fast changes at once, so that a flood of them cannot keep it out.
func (w *worker) step() bool {
	fast, rest := w.g.inbox.takeAll()
	if w.g.Current().number == 0 {
		rest = slices.Concat(fast, rest)
		w.tell(func() *Revision { return w.g.commit(rest, nil) })
		return len(rest) > 0
	}
	if len(fast) > 0 {
		w.tell(func() *Revision { return w.g.commitFast(fast) })
	}
	if len(rest) > 0 {
		w.tell(func() *Revision { return w.g.commit(rest, w.overtake) })
	}
	return len(fast)+len(rest) > 0
}

// overtake commits what is urgent while d is under way, and plays it on d too.
func (w *worker) overtake(d *draft) {
	list := w.g.inbox.takeFast()
	if len(list) == 0 {
		return
	}
	w.tell(func() *Revision {
		rev := w.g.commitFast(list)
		if len(d.overtaken) == 0 || d.overtaken[len(d.overtaken)-1] != rev {
			d.overtaken = append(d.overtaken, rev)
		}
		return rev
	})
	d.play(list)
}

// tell publishes the revision that commit makes, if it makes a new one.
func (w *worker) tell(commit func() *Revision) {
	before := w.g.Current()
	if rev := commit(); rev != before && w.publish != nil {
		w.publish(rev)
	}
}
