package graph

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Graph holds tables and the revisions made of them. See New.
type Graph struct {
	tables      []anyTable
	current     atomic.Pointer[Revision]
	writer      sync.Mutex
	drafts      [2]*draft
	discards    []discard
	runs, edits uint64
	underWay    bool // a main draft may be overtaken by fast ones
	sealed      bool
	inbox       inbox

	fingerprint func(any) string
	blind       bool // tests only
}

// anyTable is a table without its types.
type anyTable interface {
	info() *meta
	settle(d *draft)
	rebase(d *draft, prev *Revision)
	depsOf(r *Reader, c *cell) ([]*cell, bool)
	size(roots []any) int
	changed(changes []any) int
	explainByName(rev *Revision, key string) (Explanation, bool)
}

func newGraph(options []Option) *Graph {
	g := &Graph{}
	g.inbox.init()
	g.current.Store(&Revision{g: g})
	g.drafts = [2]*draft{g.newDraft(mainDraft), g.newDraft(fastDraft)}
	g.addSlot(newRoot[Failure]())
	for _, o := range options {
		o(g)
	}
	return g
}

// addSlot adds a root to every revision to come.
func (g *Graph) addSlot(root any) int {
	if g.sealed {
		panic("graph: add every table and index before the first change")
	}
	empty := g.Current()
	empty.reader.roots = append(empty.reader.roots, root)
	return len(empty.reader.roots) - 1
}

func (g *Graph) addTable(t anyTable) {
	name := t.info().name
	if slices.ContainsFunc(g.tables, func(o anyTable) bool { return o.info().name == name }) {
		panic("graph: two tables with the name " + name)
	}
	g.tables = append(g.tables, t)
}

func (g *Graph) nextRun() uint64 {
	g.runs++
	return g.runs
}

func (g *Graph) nextEdit() uint64 {
	g.edits++
	return g.edits
}

func (g *Graph) commitAlone(c *Changes) *Revision {
	if !g.writer.TryLock() {
		panic("graph: Commit while another commit or Run is under way; a graph has one writer")
	}
	defer g.writer.Unlock()
	return g.commit([]*Changes{c}, nil)
}

// commit makes a revision of every lane. urgent is called between units when
// there is something for the fast lane.
func (g *Graph) commit(list []*Changes, urgent func(d *draft)) *Revision {
	d := g.open(mainDraft)
	defer d.close()
	d.begin(list)
	if !d.wrote {
		return g.Current()
	}
	if urgent != nil {
		g.underWay = true
		d.urgent = func() { urgent(d) }
	}
	d.settle(Main)
	d.settle(Fast)
	g.underWay = false
	return g.publish(d)
}

// commitFast makes a revision of changes that touch only Fast inputs, also while
// a main draft is under way.
func (g *Graph) commitFast(list []*Changes) *Revision {
	d := g.open(fastDraft)
	defer d.close()
	d.begin(list)
	if !d.wrote {
		return g.Current()
	}
	d.settle(Fast)
	return g.publish(d)
}

// publish makes the draft the current revision.
func (g *Graph) publish(d *draft) *Revision {
	if d.failing != nil {
		tree := d.failing.Commit()
		d.roots[0], d.failing = &tree, nil
	}
	prev := g.Current()
	for _, t := range g.tables {
		if len(d.overtaken) > 0 && t.info().lane == Fast {
			t.rebase(d, prev)
		}
		d.counts[t.info().id].changed = t.changed(d.changes)
	}
	*d.number = prev.number + 1
	rev := &Revision{g: g, number: *d.number, counts: d.counts, changes: d.changes, notes: d.notes, took: time.Since(d.begun)}
	rev.reader.roots = slices.Clone(d.roots)
	g.current.Store(rev)
	if !g.underWay {
		g.prune(rev)
	}
	return rev
}

// wholeIndexError refuses to iterate an index inside a unit.
func wholeIndexError(unit, of *meta, name string) error {
	return fmt.Errorf("unit %s reads the whole index %s of %s; ask for its keys: %w", unit.name, name, of.name, ErrLayer)
}
