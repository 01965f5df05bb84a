package graph

import "time"

// Revision is one committed state of all tables. It never changes and may be read
// by any number of goroutines. Keep only those that are needed: what a revision
// shares with no other stays in memory as long as it does.
type Revision struct {
	g       *Graph
	number  uint64
	reader  Reader
	counts  []counts
	changes []any // by table: *[]Change
	notes   []any
	took    time.Duration
}

func (rev *Revision) failures() []Failure {
	tree := rootOf[Failure](rev.reader.roots, 0)
	list := make([]Failure, 0, tree.Len())
	for _, f := range tree.All {
		list = append(list, f)
	}
	return list
}

func (rev *Revision) stats() []TableStats {
	withheld := map[string]int{}
	for _, f := range rev.failures() {
		withheld[f.Table]++
	}
	list := make([]TableStats, 0, len(rev.g.tables))
	for i, t := range rev.g.tables {
		m := t.info()
		s := TableStats{
			Name: m.name, Lane: m.lane, Unit: m.unit,
			Rows: t.size(rev.reader.roots), Withheld: withheld[m.name],
		}
		if i < len(rev.counts) {
			c := rev.counts[i]
			s.Computed, s.CutOff, s.Changed = c.computed, c.cutOff, c.changed
		}
		list = append(list, s)
	}
	return list
}

func (rev *Revision) explain(name, key string) (Explanation, bool) {
	for _, t := range rev.g.tables {
		if t.info().name == name {
			return t.explainByName(rev, key)
		}
	}
	return Explanation{}, false
}

func (t *table[K, V]) explainByName(rev *Revision, key string) (Explanation, bool) {
	for _, p := range treeOf(rev.reader.roots, t.slot).All {
		if found := (*row[K, V])(p); printKey(found.key) == key {
			return t.explain(rev, found.key)
		}
	}
	return Explanation{}, false
}

func (t *table[K, V]) explain(rev *Revision, k K) (Explanation, bool) {
	found := t.peek(&rev.reader, k)
	if found == nil {
		return Explanation{}, false
	}
	e := Explanation{Table: t.name, Key: printKey(k)}
	if found.derivation == nil {
		return e, true
	}
	e.ComputedAt, e.Err = *found.at, found.err
	for _, c := range found.deps {
		e.Dependencies = append(e.Dependencies, c.owner.describe(&rev.reader))
	}
	return e, true
}
