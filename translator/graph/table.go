package graph

import (
	"bytes"
	"iter"
	"reflect"
	"slices"
	"unsafe"
)

// meta is what the engine knows of a table without knowing its types.
type meta struct {
	g    *Graph
	id   int // position in the order of layers
	name string
	lane Lane
	unit bool
	slot int // of the rows
}

// row is one row of a table, immutable once published.
type row[K Key, V any] struct {
	key K
	val V
	*derivation
}

// derivation is how a unit came to be. Inputs have none.
type derivation struct {
	err  error
	deps []*cell
	at   *uint64 // the number of the revision, known when it is published
}

// shown says whether the row exists for readers.
func (r *row[K, V]) shown() bool { return r != nil && (r.derivation == nil || r.err == nil) }

// reason returns why the row is withheld.
func (r *row[K, V]) reason() error {
	if r == nil || r.derivation == nil {
		return nil
	}
	return r.err
}

// table is what inputs and units have in common.
type table[K Key, V any] struct {
	meta
	equal   func(a, b V) bool
	rows    *source[K, row[K, V]]
	entire  *source[whole, struct{}]
	indexes []indexer[K, V]
	edits   [2]edit[K, V] // by kind of draft
}

// edit is the work of one draft on one table.
type edit[K Key, V any] struct {
	tree  *tree
	txn   *txn
	log   *[]Change[K, V] // what the draft has changed so far
	start int             // its length when the edit began
}

// indexer is an index as its table sees it.
type indexer[K Key, V any] interface {
	update(d *draft, k K, enc []byte, old, now *row[K, V])
	finish(d *draft)
}

func (t *table[K, V]) core() *table[K, V] { return t }
func (t *table[K, V]) info() *meta        { return &t.meta }

func (t *table[K, V]) init(g *Graph, self anyTable, name string, lane Lane, equal func(a, b V) bool) {
	if equal == nil {
		equal = func(a, b V) bool { return reflect.DeepEqual(a, b) }
	}
	t.equal = equal
	t.meta = meta{g: g, id: len(g.tables), name: name, lane: lane, slot: g.addSlot(newTree())}
	t.rows = newSource[K, row[K, V]](&t.meta, "", "row", t.slot, func(r *Reader, k K) bool { return t.peek(r, k).shown() })
	t.entire = newSource[whole, struct{}](&t.meta, "", "table", t.slot, func(r *Reader, _ whole) bool {
		return treeOf(r.roots, t.slot).Len() > 0
	})
	g.addTable(self)
}

func (t *table[K, V]) peek(r *Reader, k K) *row[K, V] {
	found, _ := lookup[K, row[K, V]](r, t.slot, k)
	return found
}

// read is peek, recorded.
func (t *table[K, V]) read(r *Reader, k K) *row[K, V] {
	if r.rec == nil {
		return t.peek(r, k)
	}
	if !r.permits(&t.meta) {
		return nil
	}
	found := t.rows.note(r.rec, k).borrow(r)
	if r.rec.check != nil && found.shown() {
		r.rec.check.saw(t.name, printKey(k), found.val)
	}
	return found
}

func (t *table[K, V]) get(r *Reader, k K) (V, bool) {
	if found := t.read(r, k); found.shown() {
		return found.val, true
	}
	var none V
	return none, false
}

func (t *table[K, V]) all(r *Reader) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if !r.permits(&t.meta) {
			return
		}
		if r.rec != nil {
			t.entire.note(r.rec, whole{})
		}
		for _, p := range treeOf(r.roots, t.slot).All {
			found := (*row[K, V])(p)
			if !found.shown() {
				continue
			}
			if r.rec != nil && r.rec.check != nil {
				r.rec.check.saw(t.name, printKey(found.key), found.val)
			}
			if !yield(found.key, found.val) {
				return
			}
		}
	}
}

// alike is equal; values on which it panics differ.
func (t *table[K, V]) alike(a, b V) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return t.equal(a, b)
}

// begin opens the table for a draft that is about to write some n rows.
func (t *table[K, V]) begin(d *draft, n int) {
	e := &t.edits[d.kind]
	e.tree, e.txn = treeOf(d.roots, t.slot), nil
	e.log = t.log(d)
	e.start = len(*e.log)
	if e.tree.Len() == 0 {
		*e.log = slices.Grow(*e.log, n)
	}
}

// write replaces old by now; either may be nil. enc may be reused afterwards. c is
// the cell of the row, or nil if nobody ever asked for it.
func (t *table[K, V]) write(d *draft, k K, enc []byte, c *keyed[K, row[K, V]], old, now *row[K, V]) {
	if c != nil && d.rec.lends {
		c.learn(now)
	}
	e := &t.edits[d.kind]
	if e.txn == nil {
		e.txn = e.tree.Txn()
	}
	switch {
	case now == nil:
		e.txn.Delete(enc)
	case old == nil: // the tree keeps the key
		enc = bytes.Clone(enc)
		e.txn.Insert(enc, unsafe.Pointer(now)) //nolint:gosec // see tree
	default:
		e.txn.Insert(enc, unsafe.Pointer(now)) //nolint:gosec // see tree
	}
	d.wrote = true
	t.report(d, k, enc, old.reason(), now.reason())
}

// announce makes a change known: to ChangesOf, to indexes and to those who have
// read the row.
func (t *table[K, V]) announce(d *draft, k K, enc []byte, c *keyed[K, row[K, V]], old, now *row[K, V]) {
	if old.shown() || now.shown() {
		change := Change[K, V]{Key: k, HadOld: old.shown(), HasNew: now.shown()}
		if change.HadOld {
			change.Old = old.val
		}
		if change.HasNew {
			change.New = now.val
		}
		log := t.edits[d.kind].log
		*log = append(*log, change)
		for _, x := range t.indexes {
			x.update(d, k, enc, old, now)
		}
	}
	if c != nil {
		d.markReaders(&c.cell)
	}
}

// report keeps the list of failures.
func (t *table[K, V]) report(d *draft, k K, enc []byte, old, now error) {
	switch {
	case now != nil:
		d.fail(t.id, enc, Failure{Table: t.name, Key: printKey(k), Err: now})
	case old != nil:
		d.unfail(t.id, enc)
	}
}

// finish closes the table and settles its indexes.
func (t *table[K, V]) finish(d *draft) {
	e := &t.edits[d.kind]
	if e.txn != nil {
		tree := e.txn.Commit()
		d.roots[t.slot] = &tree
	}
	same := len(*e.log) == e.start
	*e = edit[K, V]{}
	if same {
		return
	}
	for _, x := range t.indexes {
		x.finish(d)
	}
	t.entire.tell(d, whole{}, nil, true)
}

// log returns the draft's changes of the table, made if need be.
func (t *table[K, V]) log(d *draft) *[]Change[K, V] {
	log, ok := d.changes[t.id].(*[]Change[K, V])
	if !ok {
		log = new([]Change[K, V])
		d.changes[t.id] = log
	}
	return log
}

// changesOf returns the changes of t in rev.
func changesOf[K Key, V any](rev *Revision, t *table[K, V]) []Change[K, V] {
	if t.id >= len(rev.changes) {
		return nil
	}
	if log, ok := rev.changes[t.id].(*[]Change[K, V]); ok {
		return *log
	}
	return nil
}

// rebase restates the changes of a draft against a revision that was published
// while the draft was under way.
func (t *table[K, V]) rebase(d *draft, prev *Revision) {
	log := t.log(d)
	list := slices.Clone(*log)
	for _, rev := range d.overtaken {
		list = append(list, changesOf(rev, t)...)
	}
	if len(list) == 0 {
		return
	}
	before, after := prev.Reader(), &Reader{roots: d.roots}
	byKey := make(map[K]struct{}, len(list))
	list = slices.DeleteFunc(list, func(c Change[K, V]) bool {
		_, twice := byKey[c.Key]
		byKey[c.Key] = struct{}{}
		return twice
	})
	restated := list[:0]
	for _, c := range list {
		old, now := t.peek(before, c.Key), t.peek(after, c.Key)
		c = Change[K, V]{Key: c.Key, HadOld: old.shown(), HasNew: now.shown()}
		if c.HadOld {
			c.Old = old.val
		}
		if c.HasNew {
			c.New = now.val
		}
		if c.HadOld != c.HasNew || c.HadOld && !t.alike(c.Old, c.New) {
			restated = append(restated, c)
		}
	}
	slices.SortFunc(restated, func(a, b Change[K, V]) int {
		return bytes.Compare(encode(nil, a.Key), encode(nil, b.Key))
	})
	*log = restated
}

func (t *table[K, V]) size(roots []any) int { return treeOf(roots, t.slot).Len() }

func (t *table[K, V]) changed(changes []any) int {
	if log, ok := changes[t.id].(*[]Change[K, V]); ok {
		return len(*log)
	}
	return 0
}
