package quarantine

import (
	"context"
	"maps"
	"sync"

	"github.com/go-logr/logr"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Options make a Quarantine; all may be left out.
type Options struct {
	Log logr.Logger
	// Event is called when something is held back and its culprit is known, once
	// for each version that is refused, from one goroutine; it must not block.
	Event func(Event)
}

// Event says that Envoy refuses what was made of objects.
type Event struct {
	Fleet ir.Name
	// Objects are those concerned; none when it is the fleet's own.
	Objects []ir.ObjectRef
	Reason  reason.Reason
	Message string
}

// Quarantine listens to Envoys (xds.Observer) and writes the translator's
// Quarantine input.
type Quarantine struct {
	opts Options
	wake chan struct{}

	mu      sync.Mutex
	heard   heard
	seen    progress
	counted map[label]*count
	warming warming
	told    []Told // by Run, for others
	learned []Told // from others

	// Of the goroutine of Run.
	book      *book
	pending   writes // what was submitted last
	said      map[translator.RefusalKey]*translator.Refusal
	elsewhere map[translator.RefusalKey]*translator.Refusal
}

// New makes a Quarantine; Run runs it.
func New(o Options) *Quarantine {
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	return &Quarantine{
		opts: o, wake: make(chan struct{}, 1),
		seen: newProgress(), counted: map[label]*count{}, warming: newWarming(),
		book: newBook(), said: map[translator.RefusalKey]*translator.Refusal{},
		elsewhere: map[translator.RefusalKey]*translator.Refusal{},
	}
}

var (
	_ xds.Observer      = (*Quarantine)(nil)
	_ xds.ProbeObserver = (*Quarantine)(nil)
)

// OnAck implements xds.Observer.
func (q *Quarantine) OnAck(a xds.Ack) {
	q.mu.Lock()
	q.seen.acknowledged(a.Fleet, a.Revision)
	q.mu.Unlock()
	q.look()
}

// OnNack implements xds.Observer. A response of several is told apart by the
// server, which sends each by itself.
func (q *Quarantine) OnNack(n xds.Nack) {
	if len(n.Resources) != 1 || len(n.Removed) > 0 {
		return
	}
	if n.Resources[0].Probe {
		q.OnProbed(xds.Probed{Fleet: n.Fleet, Resource: n.Resources[0], Refused: true, Message: n.Message})
		return
	}
	q.mu.Lock()
	kept := q.heard.nack(&n)
	q.count(n.Fleet, n.Type).refusals++
	q.mu.Unlock()
	if !kept {
		q.opts.Log.Info("too many refusals at once: one is not held back", "fleet", n.Fleet, "type", n.Type, "name", n.Resources[0].Name)
	}
	q.look()
}

// OnProbed implements xds.ProbeObserver.
func (q *Quarantine) OnProbed(p xds.Probed) {
	q.mu.Lock()
	kept := q.heard.probe(&p)
	q.mu.Unlock()
	if !kept {
		q.opts.Log.Info("too many answers at once: one to a probe is lost", "fleet", p.Fleet, "name", p.Resource.Name)
	}
	q.look()
}

// Committed says that there is a new revision, which is every one in order, and
// which fleets it changes. It never waits.
func (q *Quarantine) Committed(u *xds.Update) {
	q.mu.Lock()
	q.seen.committed(u)
	q.mu.Unlock()
	q.look()
}

func (q *Quarantine) look() {
	select {
	case q.wake <- struct{}{}:
	default: // it looks already
	}
}

// Run decides until ctx ends, then returns nil. The graph of t must be run by
// somebody.
func (q *Quarantine) Run(ctx context.Context, t *translator.Translator) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
			q.step(t)
		}
	}
}

// step looks at the newest revision and at what Envoys have said since.
func (q *Quarantine) step(t *translator.Translator) {
	if !q.pending.reflected(t, t.Current()) {
		return // the commit of what was submitted wakes it again
	}
	q.pending = writes{}
	what := q.listen()
	// Read after them: it holds all that was refused, which nobody says twice.
	rev := t.Current()
	inEffect := func(k translator.RefusalKey) bool { return t.InEffect(rev, k) }
	serves := func(fleet ir.Name, x *envoy.Resource) bool {
		now := t.Served(rev, fleet, x)
		return now != nil && now.Version == x.Version
	}
	changes := q.book.settle(rev.Number(), inEffect)
	q.forget()
	q.tell(t, rev)
	changes = append(changes, q.probed(what.probes)...)
	changes = append(changes, q.refused(what.nacks, inEffect, serves)...)
	changes = append(changes, q.book.abandon(serves)...)
	for fleet := range q.book.waiting() {
		q.mu.Lock()
		taken := q.seen.taken(fleet)
		q.mu.Unlock()
		changes = append(changes, q.book.acknowledged(fleet, taken)...)
	}
	q.submit(t, changes)
}

// forget drops what is known of fleets that are no more.
func (q *Quarantine) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.book.mended, func(fleet ir.Name, _ uint64) bool { return q.seen.fleets[fleet] == nil })
}

// listen returns what Envoys have said since it was asked last.
func (q *Quarantine) listen() heard {
	q.mu.Lock()
	defer q.mu.Unlock()
	what := q.heard
	q.heard = heard{}
	return what
}

func (q *Quarantine) probed(probes []xds.Probed) []change {
	var changes []change
	for i := range probes {
		p := &probes[i]
		more, err := q.book.probed(p.Fleet, answer{p.Resource, p.Refused, p.Message})
		if err != nil {
			q.opts.Log.Error(err, "a refused resource is held back as a whole", "fleet", p.Fleet)
		}
		changes = append(changes, more...)
	}
	return changes
}

func (q *Quarantine) refused(
	nacks []xds.Nack, inEffect func(translator.RefusalKey) bool, serves func(ir.Name, *envoy.Resource) bool,
) []change {
	var changes []change
	done := map[translator.RefusalKey]bool{}
	for i := range nacks {
		n := &nacks[i]
		x := &refused{
			key:      translator.RefusalKey{Fleet: n.Fleet, Type: n.Type, Name: n.Resources[0].Name},
			resource: n.Resources[0], message: n.Message,
			doubtful: n.Type == envoy.ClusterType && n.Revision < q.book.mended[n.Fleet],
		}
		if len(n.LastGood) == 1 {
			x.lastGood = n.LastGood[0]
		}
		// Other bytes are on their way already, or another Envoy said the same.
		if done[x.key] || !serves(n.Fleet, x.resource) {
			continue
		}
		done[x.key] = true
		more, err := q.book.refuse(x, inEffect)
		if err != nil {
			q.opts.Log.Error(err, "a refused resource is not held back", "fleet", n.Fleet, "type", n.Type, "name", x.key.Name)
		}
		changes = append(changes, more...)
	}
	return changes
}

func (q *Quarantine) submit(t *translator.Translator, changes []change) {
	q.show()
	c := graph.NewChanges()
	q.mu.Lock()
	q.warmth(t, c)
	q.mu.Unlock()
	w := writes{rows: map[translator.RefusalKey]*translator.Refusal{}, probes: map[translator.RefusalKey]*envoy.Resource{}}
	for _, x := range changes {
		if x.probing {
			w.probes[x.key] = x.probe
		} else {
			w.rows[x.key] = x.row
		}
	}
	q.adopt(w.rows)
	w.put(t, c)
	q.pending = w
	t.Submit(c)
}

// tell logs what came and went, and calls Event for culprits.
func (q *Quarantine) tell(t *translator.Translator, rev *graph.Revision) {
	for key := range q.said {
		if q.book.rows[key] == nil {
			delete(q.said, key)
			q.opts.Log.Info("no longer held back", "fleet", key.Fleet.String(), "type", key.Type, "name", key.Name, "part", key.Part)
		}
	}
	for key, row := range q.book.rows {
		if row.Suspect || q.said[key] == row {
			continue
		}
		x, ok := t.Refusals.Get(rev.Reader(), key)
		if !ok || x.Idle {
			continue
		}
		q.said[key] = row
		e := Event{Fleet: key.Fleet, Objects: x.Objects, Reason: reason.RefusedByEnvoy, Message: x.Message(key.Fleet)}
		q.opts.Log.Info(e.Message, "objects", e.Objects, "type", key.Type, "name", key.Name, "part", key.Part, "version", row.Version)
		if q.opts.Event != nil {
			q.opts.Event(e)
		}
	}
	q.publish(t, rev)
}
