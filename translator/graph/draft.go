package graph

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cilium/statedb/part"
)

// Kinds of drafts: a fast one may be settled while a main one is under way.
const (
	mainDraft = iota
	fastDraft
)

// draft is a revision in the making. The graph has one of each kind and uses it
// again and again.
type draft struct {
	g       *Graph
	kind    int
	roots   []any
	number  *uint64
	queues  [][]*cell // by table: units to settle
	counts  []counts
	changes []any // by table: *[]Change
	notes   []any
	begun   time.Time
	reader  Reader
	rec     recording
	wrote   bool
	urgent  func() // plays what cannot wait, nil when there is no such thing

	overtaken []*Revision // published since the draft was begun
	failing   *part.Txn[Failure]

	items []item
	arena []byte // encodings of items
	keys  []byte // encodings of what is played
}

// counts are the figures of one table in one commit.
type counts struct{ computed, cutOff, changed int }

// indexFailures is above every id of a table.
const indexFailures = 1 << 15

// keepCapacity is the length up to which scratch space is kept between commits.
const keepCapacity = 4096

func (g *Graph) newDraft(kind int) *draft {
	d := &draft{g: g, kind: kind}
	d.reader.rec = &d.rec
	return d
}

// open starts a draft on the current revision.
func (g *Graph) open(kind int) *draft {
	g.sealed = true
	d := g.drafts[kind]
	d.roots = append(d.roots[:0], g.Current().reader.roots...)
	d.reader.roots = d.roots
	d.number = new(uint64)
	if d.queues == nil {
		d.queues = make([][]*cell, len(g.tables))
	}
	d.counts = make([]counts, len(g.tables))
	d.changes = make([]any, len(g.tables))
	d.rec.blind = g.blind
	d.rec.lends = kind == mainDraft || !g.underWay
	if g.fingerprint != nil {
		d.rec.check = &witness{fingerprint: g.fingerprint}
	}
	d.wrote, d.urgent, d.begun = false, nil, time.Now()
	return d
}

// close lets go of everything that only this draft needed.
func (d *draft) close() {
	d.number, d.counts, d.changes, d.urgent, d.notes = nil, nil, nil, nil, nil
	d.overtaken = nil
	clear(d.roots)
	clear(d.rec.deps)
	d.rec.past = nil
	if cap(d.items) > keepCapacity {
		d.items, d.arena = nil, nil
	}
	if cap(d.keys) > keepCapacity {
		d.keys = nil
	}
	for i, q := range d.queues {
		if cap(q) > keepCapacity {
			d.queues[i] = nil
		}
	}
}

// begin plays what a commit is made for, and takes its notes. What is played later
// on a draft under way has left its notes in a revision of its own.
func (d *draft) begin(list []*Changes) {
	d.play(list)
	for _, c := range list {
		d.notes = append(d.notes, c.notes...)
	}
}

// play applies changes to the inputs, in order of the tables.
func (d *draft) play(list []*Changes) {
	var batches []batch
	for _, c := range list {
		batches = append(batches, c.batches...)
	}
	slices.SortStableFunc(batches, func(a, b batch) int { return cmp.Compare(a.table().id, b.table().id) })
	for len(batches) > 0 {
		n := 1
		for n < len(batches) && batches[n].table() == batches[0].table() {
			n++
		}
		batches[0].play(d, batches[1:n])
		batches = batches[n:]
	}
}

// settle settles the units of a lane. Changes that are played meanwhile may mark
// units of tables that are settled already: these are settled in a second pass,
// which nothing interrupts, so that it ends.
func (d *draft) settle(lane Lane) {
	d.pass(lane)
	if lane == Fast {
		d.urgent = nil
		d.pass(lane)
	}
}

func (d *draft) pass(lane Lane) {
	for i, t := range d.g.tables {
		if t.info().lane == lane && len(d.queues[i]) > 0 {
			t.settle(d)
		}
	}
}

// breathe is called between two units.
func (d *draft) breathe() {
	if d.urgent != nil && d.g.inbox.urgent.Load() {
		d.urgent()
	}
}

// mark queues a unit.
func (d *draft) mark(c *cell, mark uint8) {
	shift := d.kind * marksBits
	if c.marks&((markStale|markLive)<<shift) == 0 {
		d.queues[c.table] = append(d.queues[c.table], c)
	}
	c.marks |= mark << shift
}

// unmark returns the marks of a unit and removes them.
func (d *draft) unmark(c *cell) uint8 {
	shift := d.kind * marksBits
	marks := c.marks >> shift & (markStale | markLive)
	c.marks &^= marks << shift
	return marks
}

// markReaders queues every unit that has read c, which may be nil.
func (d *draft) markReaders(c *cell) {
	if c == nil {
		return
	}
	for _, u := range c.few {
		d.mark(u, markStale)
	}
	for u := range c.many {
		d.mark(u, markStale)
	}
}

// connect makes the unit u a reader of what it has just read, at once, and returns
// the list. past is what it had read before, if it existed.
func (d *draft) connect(u *cell, existed bool, past []*cell) []*cell {
	if existed && slices.Equal(d.rec.deps, past) {
		return past
	}
	deps := slices.Clone(d.rec.deps)
	if existed {
		d.discard(u, past)
	}
	for _, c := range deps {
		c.addReader(u)
	}
	if d.kind == fastDraft && d.g.underWay {
		// The main draft will put another row in the place of this one.
		d.discard(u, deps)
	}
	return deps
}

// discard notes that u has ceased to read deps in some state. The edges go when no
// state under way can need them.
func (d *draft) discard(u *cell, deps []*cell) {
	d.g.discards = append(d.g.discards, discard{u, deps})
}

type discard struct {
	unit *cell
	deps []*cell
}

// prune removes the edges that the published state does not have.
func (g *Graph) prune(rev *Revision) {
	for _, old := range g.discards {
		deps, held := g.tables[old.unit.table].depsOf(&rev.reader, old.unit)
		run := g.nextRun()
		for _, c := range deps {
			c.seen = run
		}
		for _, c := range old.deps {
			if c.seen != run {
				c.removeReader(old.unit)
			}
		}
		if !held {
			old.unit.marks &^= markHeld
			old.unit.release()
		}
	}
	clear(g.discards)
	if g.discards = g.discards[:0]; cap(g.discards) > keepCapacity {
		g.discards = nil
	}
}

func failureKey(id int, enc []byte) []byte {
	key := make([]byte, 0, 2+len(enc))
	key = binary.BigEndian.AppendUint16(key, uint16(id)) //nolint:gosec // far fewer tables
	return append(key, bytes.Clone(enc)...)
}

func (d *draft) fail(id int, enc []byte, f Failure) {
	if d.failing == nil {
		d.failing = rootOf[Failure](d.roots, 0).Txn()
	}
	d.failing.Insert(failureKey(id, enc), f)
}

func (d *draft) unfail(id int, enc []byte) {
	if d.failing == nil {
		if rootOf[Failure](d.roots, 0).Len() == 0 {
			return
		}
		d.failing = rootOf[Failure](d.roots, 0).Txn()
	}
	d.failing.Delete(failureKey(id, enc))
}
