package rollout

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

// fleet is a fleet that has resources or Envoys.
type fleet struct {
	name   ir.Name
	gone   bool              // it has no resources
	envoys map[uint64]*envoy // by stream
	// queue are the revisions that some Envoy has yet to acknowledge, in order.
	// Who waits for one waits for all behind it, so they are done in order too.
	queue []*part
	// pending are the changes in the queue, buried the entries without any.
	pending, buried int
	// changes are the last revisions that changed the fleet, at most maxChanges.
	changes []uint64
	cut     bool // there were more
	// reach is, of each Envoy, the last revision that it covers, sorted; nil
	// when it must be worked out anew.
	reach []uint64
}

// maxChanges bounds what is remembered of the revisions of a fleet. Nothing is
// claimed of an Envoy that is further behind but what it has acknowledged.
const maxChanges = 1024

// envoy is one stream.
type envoy struct {
	joined uint64 // the newest revision when it came
	acked  uint64 // 0: none
}

// part is what one fleet owes to a revision.
type part struct {
	*pending
	fleet *fleet
	// Of envoys that were connected, waiting have not answered, and acknowledged
	// have; the rest is gone.
	envoys, waiting, acknowledged int
}

// through is the last revision that the Envoy does not owe.
func (e *envoy) through() uint64 { return max(e.joined, e.acked) }

func (f *fleet) join(stream, newest uint64) {
	f.envoys[stream] = &envoy{joined: newest}
	f.reach = nil
}

// change notes that a revision changed the fleet.
func (f *fleet) change(revision uint64) {
	switch {
	case len(f.envoys) == 0: // who comes is sent the newest
		f.changes, f.cut = f.changes[:0], false
	case len(f.changes) >= maxChanges:
		f.changes = slices.Delete(f.changes, 0, maxChanges/2)
		f.cut = true
	}
	f.changes = append(f.changes, revision)
	f.reach = nil
}

// await makes the fleet's Envoys owe a revision.
func (f *fleet) await(p *pending) *part {
	x := &part{pending: p, fleet: f, envoys: len(f.envoys), waiting: len(f.envoys)}
	f.queue = append(f.queue, x)
	f.pending += len(p.changes)
	return x
}

// leave forgets an Envoy and returns what has arrived by that.
func (f *fleet) leave(stream uint64) []*pending {
	e := f.envoys[stream]
	if e == nil {
		return nil
	}
	delete(f.envoys, stream)
	f.reach = nil
	for _, x := range f.after(e.through()) {
		x.waiting--
	}
	return f.arrived()
}

// acknowledge notes an acknowledgement and returns what has arrived by that.
func (f *fleet) acknowledge(stream, revision uint64, now time.Time) []*pending {
	e := f.envoys[stream]
	if e == nil || revision <= e.acked {
		return nil
	}
	through := e.through()
	e.acked = revision
	f.reach = nil
	for _, x := range f.after(through) {
		if x.revision > revision {
			break
		}
		x.waiting--
		x.acknowledged++
		x.last = now
	}
	return f.arrived()
}

// after are the entries behind a revision.
func (f *fleet) after(revision uint64) []*part {
	i, _ := slices.BinarySearchFunc(f.queue, revision+1, func(x *part, r uint64) int { return cmp.Compare(x.revision, r) })
	return f.queue[i:]
}

// arrived takes the entries that nobody owes any more.
func (f *fleet) arrived() []*pending {
	var out []*pending
	n := 0
	for ; n < len(f.queue) && f.queue[n].waiting == 0; n++ {
		x := f.queue[n]
		f.queue[n] = nil
		if len(x.changes) == 0 {
			f.buried--
			continue
		}
		x.left--
		if x.left == 0 {
			out = append(out, x.pending)
		}
	}
	if f.queue = f.queue[n:]; len(f.queue) == 0 {
		f.queue = nil
	}
	return out
}

// bury notes that an entry has no change left. The entries that are left stay
// more than the buried ones.
func (f *fleet) bury() {
	f.buried++
	if 2*f.buried <= len(f.queue) {
		return
	}
	f.queue = slices.DeleteFunc(f.queue, func(x *part) bool { return len(x.changes) == 0 })
	f.buried = 0
}

// oldest returns the first entry with a change, or nil.
func (f *fleet) oldest() *part {
	for _, x := range f.queue {
		if len(x.changes) > 0 {
			return x
		}
	}
	return nil
}

// covers counts the Envoys that have acknowledged all that the fleet was
// changed by up to a revision.
func (f *fleet) covers(revision uint64) int {
	if f.reach == nil {
		for _, e := range f.envoys {
			if e.acked > 0 {
				f.reach = append(f.reach, f.reaches(e.acked))
			}
		}
		slices.Sort(f.reach)
	}
	i, _ := slices.BinarySearch(f.reach, revision)
	return len(f.reach) - i
}

// reaches is the last revision that is covered by the acknowledgement of one:
// the one before the next that changed the fleet.
func (f *fleet) reaches(acked uint64) uint64 {
	if f.cut && acked < f.changes[0] {
		return acked
	}
	i, _ := slices.BinarySearch(f.changes, acked+1)
	if i == len(f.changes) {
		return math.MaxUint64
	}
	return f.changes[i] - 1
}
