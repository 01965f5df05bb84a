package graph

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// overlap is a history in which fast changes, and others, arrive while a commit is
// under way. Every revision must be what the model makes of the inputs that it
// claims to hold.
type overlap struct {
	*built
	rnd       *rand.Rand
	inputs    []map[String]int // of the last revision
	urgent    []change         // submitted since, fast alone, that may overtake
	fastSeen  []change         // committed by overtaking during the main commit
	seen      dump
	last      *Revision
	computing bool
	overtaken int
	err       error
}

func newOverlap(seed uint64) *overlap {
	rnd := rand.New(rand.NewPCG(seed, 2))
	o := &overlap{built: newProgram(rnd).build(), rnd: rnd, inputs: noInputs()}
	// The first revision is never divided; have it behind us.
	first := change{table: 0, key: "a", val: 1}
	o.last = o.g.Commit(o.changesFor([]change{first}))
	apply(o.inputs, []change{first})
	o.seen = o.p.dump(reading{o.built, o.last.Reader()})
	o.between = o.interfere
	return o
}

// interfere runs before each computation of the main commit.
func (o *overlap) interfere() {
	if o.computing && o.rnd.IntN(3) == 0 {
		x := randomChange(o.rnd, 1)
		o.urgent = append(o.urgent, x)
		o.g.Submit(o.changesFor([]change{x}))
	}
}

// publish judges a revision that was made by overtaking.
func (o *overlap) publish(rev *Revision) {
	if o.err != nil {
		return
	}
	if o.last.Number()+1 != rev.Number() {
		o.err = fmt.Errorf("revision %d follows %d", rev.Number(), o.last.Number())
		return
	}
	o.seen, o.err = o.judge(rev, o.inputs, o.seen)
	o.last = rev
}

// step makes one main commit of a batch.
func (o *overlap) step(batch []change) error {
	o.computing = true
	w := &worker{g: o.g, publish: func(rev *Revision) {
		o.overtaken++
		o.publish(rev)
	}}
	before := o.g.Current()
	rev := o.g.commit([]*Changes{o.changesFor(batch)}, func(d *draft) {
		apply(o.inputs, o.urgent)
		o.fastSeen = append(o.fastSeen, o.urgent...)
		o.urgent = nil // the units of the fast revision may submit more
		w.overtake(d)
	})
	o.computing = false
	if o.err != nil {
		return o.err
	}
	// In the end the fast changes come after the batch.
	apply(o.inputs, batch)
	apply(o.inputs, o.fastSeen)
	o.fastSeen = nil
	if rev != before {
		o.publish(rev)
	}
	if o.err == nil {
		o.err = o.edges()
	}
	return o.err
}

// drain commits what came too late to overtake.
func (o *overlap) drain() error {
	if len(o.urgent) == 0 {
		return nil
	}
	rev := o.g.commitFast(o.g.inbox.takeFast())
	apply(o.inputs, o.urgent)
	o.urgent = nil
	if rev != o.last {
		o.publish(rev)
	} else if got := o.p.dump(o.p.evaluate(o.inputs)); !reflect.DeepEqual(got, o.seen) {
		return fmt.Errorf("no new revision, but (-model, +graph):\n%s", cmp.Diff(got, o.seen))
	}
	return o.err
}

func TestEveryRevisionIsConsistentWhenFastChangesOvertake(t *testing.T) {
	t.Parallel()
	overtaken := 0
	for seed := range uint64(100) {
		o := newOverlap(seed)
		for range 30 {
			batch := make([]change, 1+o.rnd.IntN(6))
			for i := range batch {
				batch[i] = randomChange(o.rnd, 0, 1, 2) // mixed: kept whole
			}
			if err := o.step(batch); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := o.drain(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		overtaken += o.overtaken
	}
	if overtaken < 500 {
		t.Errorf("only %d revisions overtook a main commit; the test does not test", overtaken)
	}
}
