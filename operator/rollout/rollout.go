package rollout

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/ir"
)

// Options make a Tracker; all of them may be left zero.
type Options struct {
	// Log is told at V(1) of each object that all its Envoys have acknowledged.
	Log logr.Logger
	// Clock is the real one when nil.
	Clock clock.PassiveClock
	// MaxPending bounds the changes that one fleet has not acknowledged (16,384).
	MaxPending int
}

// Tracker follows changes. All methods may be called at any time by any
// goroutine, but for Commit, which one goroutine calls in order.
type Tracker struct {
	opts    Options
	metrics metrics

	mu      sync.Mutex
	newest  uint64 // the last revision
	records map[Object]record
	open    map[Object]slots
	fleets  map[ir.Name]*fleet // those with resources or Envoys
}

// record is the newest state of an object.
type record struct {
	*commit
	since time.Time
}

// commit is shared by the objects of one revision.
type commit struct {
	revision uint64
	fleets   []ir.Name
}

// slots are the two changes of an object that may be under way.
type slots struct{ oldest, newest *pending }

// pending is a revision with changes that not all Envoys have acknowledged.
type pending struct {
	revision uint64
	changes  map[Object]time.Time // when they were delivered
	earliest time.Time            // of them
	parts    []*part
	left     int // parts that wait
	last     time.Time
}

// New makes a tracker that knows no object and no Envoy.
func New(o Options) *Tracker {
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 16_384
	}
	return &Tracker{
		opts: o, metrics: newMetrics(),
		records: map[Object]record{}, open: map[Object]slots{}, fleets: map[ir.Name]*fleet{},
	}
}

// Now is the time by the tracker's clock.
func (t *Tracker) Now() time.Time { return t.opts.Clock.Now() }

// Commit begins to follow what a revision changed. It comes before any
// acknowledgement of the revision, so call it before the revision is published.
func (t *Tracker) Commit(c Commit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.newest == 0
	t.newest = c.Revision
	fleets, room := t.changed(&c)
	at := &commit{revision: c.Revision, fleets: c.Fleets}
	for i := range c.Changes {
		if ch := &c.Changes[i]; ch.Gone {
			t.forget(ch.Object)
		} else {
			t.records[ch.Object] = record{commit: at, since: ch.Delivered}
		}
	}
	switch {
	case first:
	case len(c.Fleets) == 0:
		t.skip(c.Changes, Untouched)
	case len(fleets) == 0:
		t.skip(c.Changes, NoEnvoy)
	case !room:
		t.skip(c.Changes, Overflow)
	case len(c.Changes) > 0:
		t.follow(&c, fleets)
	}
}

// changed tells the fleets that a revision changed them, and returns those with
// Envoys. Room says whether each can hold the changes.
func (t *Tracker) changed(c *Commit) (fleets []*fleet, room bool) {
	room = true
	for _, name := range c.Fleets {
		f := t.fleet(name)
		f.change(c.Revision)
		if len(f.envoys) > 0 {
			fleets = append(fleets, f)
			room = room && f.pending+len(c.Changes) <= t.opts.MaxPending
		}
	}
	return fleets, room
}

func (t *Tracker) fleet(name ir.Name) *fleet {
	f := t.fleets[name]
	if f == nil {
		f = &fleet{name: name, envoys: map[uint64]*envoy{}}
		t.fleets[name] = f
	}
	f.gone = false
	return f
}

// forget drops an object, and a fleet with it.
func (t *Tracker) forget(o Object) {
	delete(t.records, o)
	if f := t.fleets[o.Name]; o.Kind == EnvoyFleet && f != nil {
		f.gone = true
		t.release(f)
	}
}

// release drops a fleet that is no more when its last Envoy has gone.
func (t *Tracker) release(f *fleet) {
	if f.gone && len(f.envoys) == 0 {
		delete(t.fleets, f.name)
	}
}

func (t *Tracker) skip(changes []Change, why Reason) {
	for i := range changes {
		t.metrics.unobserved(changes[i].Kind, why)
	}
}

// follow waits for the Envoys that are connected now.
func (t *Tracker) follow(c *Commit, fleets []*fleet) {
	p := &pending{revision: c.Revision, changes: make(map[Object]time.Time, len(c.Changes)), left: len(fleets)}
	for i := range c.Changes {
		ch := &c.Changes[i]
		p.changes[ch.Object] = ch.Delivered
		if i == 0 || ch.Delivered.Before(p.earliest) {
			p.earliest = ch.Delivered
		}
		s := t.open[ch.Object]
		if s.newest != nil {
			t.supersede(s.newest, ch.Object)
		}
		if s.oldest == nil {
			s.oldest = p
		} else {
			s.newest = p
		}
		t.open[ch.Object] = s
	}
	for _, f := range fleets {
		p.parts = append(p.parts, f.await(p))
	}
}

// supersede takes a change out of a revision that has not arrived: a later one
// of the same object takes its place.
func (t *Tracker) supersede(p *pending, o Object) {
	delete(p.changes, o)
	t.metrics.unobserved(o.Kind, Superseded)
	for _, part := range p.parts {
		part.fleet.pending--
		if len(p.changes) == 0 {
			part.fleet.bury()
		}
	}
}

// OnJoin implements xds.Presence.
func (t *Tracker) OnJoin(s xds.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.fleets[s.Fleet]
	if f == nil { // a stream may wait for its fleet
		f = t.fleet(s.Fleet)
		f.gone = true
	}
	f.join(s.ID, t.newest)
}

// OnLeave implements xds.Presence.
func (t *Tracker) OnLeave(s xds.Stream) {
	t.mu.Lock()
	f := t.fleets[s.Fleet]
	if f == nil {
		t.mu.Unlock()
		return
	}
	arrived := t.finish(f.leave(s.ID))
	t.release(f)
	t.mu.Unlock()
	t.tell(arrived)
}

// OnAck implements xds.Observer.
func (t *Tracker) OnAck(a xds.Ack) {
	now := t.Now()
	t.mu.Lock()
	f := t.fleets[a.Fleet]
	if f == nil {
		t.mu.Unlock()
		return
	}
	arrived := t.finish(f.acknowledge(a.Stream, a.Revision, now))
	t.mu.Unlock()
	t.tell(arrived)
}

// OnNack implements xds.Observer. What is refused is not acknowledged: it goes
// on waiting.
func (*Tracker) OnNack(xds.Nack) {}

// arrival is a revision for which nobody is waited any more.
type arrival struct {
	*pending
	acknowledged, envoys int
}

// finish measures revisions for which nobody is waited any more. The lock is
// held.
func (t *Tracker) finish(done []*pending) []arrival {
	var out []arrival
	for _, p := range done {
		a := arrival{pending: p}
		for _, part := range p.parts {
			a.acknowledged += part.acknowledged
			a.envoys += part.envoys
			part.fleet.pending -= len(p.changes)
		}
		for o, delivered := range p.changes {
			t.close(o, p)
			if a.acknowledged == 0 {
				t.metrics.unobserved(o.Kind, Abandoned)
			} else {
				t.metrics.observe(o.Kind, p.last.Sub(delivered))
			}
		}
		if a.acknowledged > 0 {
			out = append(out, a)
		}
	}
	return out
}

// close takes a revision from an object's slots. Revisions of different fleets
// arrive in any order.
func (t *Tracker) close(o Object, p *pending) {
	s := t.open[o]
	switch p {
	case s.oldest:
		s.oldest, s.newest = s.newest, nil
	case s.newest:
		s.newest = nil
	}
	if s.oldest == nil {
		delete(t.open, o)
		return
	}
	t.open[o] = s
}

// tell logs what has arrived.
func (t *Tracker) tell(arrived []arrival) {
	log := t.opts.Log.V(1)
	if !log.Enabled() {
		return
	}
	for _, a := range arrived {
		for o, delivered := range a.changes {
			log.Info("Acknowledged", "object", o.String(), "revision", a.revision,
				"acknowledged", a.acknowledged, "envoys", a.envoys, "after", a.last.Sub(delivered).String())
		}
	}
}

// Progress is how far the newest state of an object has come.
type Progress struct {
	// Revision holds the newest state.
	Revision uint64
	// Since is when the source delivered it.
	Since time.Time
	// Acknowledged of the connected Envoys have acknowledged it.
	Acknowledged, Envoys int
}

// Progress returns how far an object has come, in the fleets that it concerns;
// nil means those that its revision changed. It is false for an object that no
// revision holds.
func (t *Tracker) Progress(o Object, fleets []ir.Name) (Progress, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.records[o]
	if !ok {
		return Progress{}, false
	}
	if fleets == nil {
		fleets = r.fleets
	}
	out := Progress{Revision: r.revision, Since: r.since}
	for _, name := range fleets {
		if f := t.fleets[name]; f != nil {
			out.Envoys += len(f.envoys)
			out.Acknowledged += f.covers(r.revision)
		}
	}
	return out, true
}
