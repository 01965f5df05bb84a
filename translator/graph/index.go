package graph

import (
	"bytes"
	"iter"
	"slices"
	"unsafe"

	"github.com/cilium/statedb/part"
)

// head is one key of an index. While it lists a single row the head is all there
// is; from the second row on, all rows are in the tree of members.
type head[IK, K Key, P any] struct {
	ik      IK
	first   K
	payload P
	n       int
	edit    uint64 // the edit that owns the head and may change it
	spilled bool   // rows are in members
	stale   bool   // first has gone
}

// index is an index over a table with keys K, whatever its values.
type index[IK, K Key, P any] struct {
	of             *meta
	name           string
	id             int // for failures
	heads, members int // slots
	byKeys         *source[IK, head[IK, K, P]]
	byHas          *source[IK, head[IK, K, P]]
	byFirst        *source[IK, head[IK, K, P]]
	byCount        *source[IK, head[IK, K, P]]
	followers      []func(d *draft, ik IK)
	edits          [2]indexEdit[IK, K, P] // by kind of draft
}

// indexEdit is the work of one draft on one index.
type indexEdit[IK, K Key, P any] struct {
	id       uint64
	heads    *txn
	members  *part.Txn[K]
	touched  []touched[IK, K, P]
	old, now []Entry[IK, P]
	enc      []byte
	other    []byte
}

// touched is a head before and after an edit.
type touched[IK, K Key, P any] struct{ before, after *head[IK, K, P] }

// interned is an index that hides the keys of the rows.
type interned[IK Key, P any] interface {
	Liveness[IK]
	payload(r *Reader, ik IK) (P, bool)
	all(r *Reader) iter.Seq[IK]
}

// placed joins an index to the type of its rows.
type placed[IK, K Key, V, P any] struct {
	*index[IK, K, P]
	entries func(k K, v V, to []Entry[IK, P]) []Entry[IK, P]
}

func newIndex[IK, K Key, V, P any](
	t *table[K, V], name string, entries func(k K, v V, to []Entry[IK, P]) []Entry[IK, P],
) *index[IK, K, P] {
	x := &index[IK, K, P]{of: &t.meta, name: name}
	x.heads = t.g.addSlot(newTree())
	x.members = t.g.addSlot(newRoot[K]())
	x.id = indexFailures + x.heads
	x.byKeys = newSource[IK, head[IK, K, P]](x.of, name, "keys", x.heads, x.lists)
	x.byHas = newSource[IK, head[IK, K, P]](x.of, name, "has", x.heads, x.lists)
	x.byFirst = newSource[IK, head[IK, K, P]](x.of, name, "first", x.heads, x.lists)
	x.byCount = newSource[IK, head[IK, K, P]](x.of, name, "count", x.heads, x.lists)
	t.indexes = append(t.indexes, &placed[IK, K, V, P]{index: x, entries: entries})
	return x
}

// lists says whether ik lists any row, without recording that it was asked.
func (x *index[IK, K, P]) lists(r *Reader, ik IK) bool {
	_, ok := lookup[IK, head[IK, K, P]](r, x.heads, ik)
	return ok
}

func (x *index[IK, K, P]) listen(t *meta, f func(d *draft, ik IK)) {
	if t.g != x.of.g || t.id <= x.of.id || t.lane == Main && x.of.lane == Fast {
		panic("graph: unit " + t.name + " cannot live by index " + x.name + ", which is not below it")
	}
	x.followers = append(x.followers, f)
}

// read finds the head of ik and records the aspect that is read.
func (x *index[IK, K, P]) read(r *Reader, ik IK, aspect *source[IK, head[IK, K, P]]) *head[IK, K, P] {
	if !r.permits(x.of) {
		return nil
	}
	if r.rec != nil {
		return aspect.note(r.rec, ik).borrow(r)
	}
	h, _ := lookup[IK, head[IK, K, P]](r, x.heads, ik)
	return h
}

func (x *index[IK, K, P]) keys(r *Reader, ik IK) []K {
	h := x.read(r, ik, x.byKeys)
	switch {
	case h == nil:
		return nil
	case h.n == 1:
		return []K{h.first}
	}
	keys := make([]K, 0, h.n)
	members := rootOf[K](r.roots, x.members).Prefix(encodePair(nil, encode(nil, ik), nil))
	for _, k := range members.All {
		keys = append(keys, k)
	}
	return keys
}

func (x *index[IK, K, P]) has(r *Reader, ik IK) bool { return x.read(r, ik, x.byHas) != nil }

func (x *index[IK, K, P]) smallest(r *Reader, ik IK) (K, bool) {
	if h := x.read(r, ik, x.byFirst); h != nil {
		return h.first, true
	}
	var none K
	return none, false
}

func (x *index[IK, K, P]) count(r *Reader, ik IK) int {
	if h := x.read(r, ik, x.byCount); h != nil {
		return h.n
	}
	return 0
}

func (x *index[IK, K, P]) payload(r *Reader, ik IK) (P, bool) {
	if h := x.read(r, ik, x.byHas); h != nil {
		if r.rec != nil && r.rec.check != nil {
			r.rec.check.saw(x.of.name+"/"+x.name, printKey(ik), h.payload)
		}
		return h.payload, true
	}
	var none P
	return none, false
}

func (x *index[IK, K, P]) all(r *Reader) iter.Seq[IK] {
	return func(yield func(IK) bool) {
		if r.rec != nil {
			r.rec.refuse(wholeIndexError(r.rec.unit, x.of, x.name))
			return
		}
		for _, h := range treeOf(r.roots, x.heads).All {
			if !yield((*head[IK, K, P])(h).ik) {
				return
			}
		}
	}
}

// update moves one row from its old entries to its new ones.
func (x *placed[IK, K, V, P]) update(d *draft, k K, enc []byte, old, now *row[K, V]) {
	e := &x.edits[d.kind]
	e.old, e.now = e.old[:0], e.now[:0]
	if old.shown() {
		e.old, _ = x.list(old, e.old)
	}
	d.unfail(x.id, enc)
	if now.shown() {
		var err error
		if e.now, err = x.list(now, e.now); err != nil {
			d.fail(x.id, enc, Failure{Table: x.of.name + "/" + x.name, Key: printKey(k), Err: err})
		}
	}
	wasAt, isAt := positions(e.old), positions(e.now)
	for i, was := range e.old {
		if !among(e.now, isAt, was.Key) && !among(e.old[:i], wasAt, was.Key) {
			x.change(x.open(d), was, k, enc, false)
		}
	}
	for i, is := range e.now {
		if !among(e.old, wasAt, is.Key) && !among(e.now[:i], isAt, is.Key) {
			x.change(x.open(d), is, k, enc, true)
		}
	}
	clear(e.old)
	clear(e.now)
}

// list calls the index function; a panic lists nothing.
func (x *placed[IK, K, V, P]) list(r *row[K, V], to []Entry[IK, P]) (entries []Entry[IK, P], err error) {
	defer func() {
		if p := recover(); p != nil {
			entries, err = to[:0], newPanicError(x.of.name+"/"+x.name, printKey(r.key), p)
		}
	}()
	return x.entries(r.key, r.val, to), nil
}

// positions maps each key to its first position, when the list is too long for
// searching.
func positions[IK Key, P any](entries []Entry[IK, P]) map[IK]int {
	if len(entries) <= fewReaders {
		return nil
	}
	at := make(map[IK]int, len(entries))
	for i, e := range slices.Backward(entries) {
		at[e.Key] = i
	}
	return at
}

// among says whether ik is in entries, a head of the list that at was made from.
func among[IK Key, P any](entries []Entry[IK, P], at map[IK]int, ik IK) bool {
	if at != nil {
		i, ok := at[ik]
		return ok && i < len(entries)
	}
	for i := range entries {
		if entries[i].Key == ik {
			return true
		}
	}
	return false
}

func (x *index[IK, K, P]) open(d *draft) *indexEdit[IK, K, P] {
	e := &x.edits[d.kind]
	if e.heads == nil {
		e.id = d.g.nextEdit()
		e.heads = treeOf(d.roots, x.heads).Txn()
		e.members = rootOf[K](d.roots, x.members).Txn()
	}
	return e
}

// change adds the row k to an entry or removes it.
func (x *index[IK, K, P]) change(e *indexEdit[IK, K, P], entry Entry[IK, P], k K, enc []byte, add bool) {
	e.enc = encode(e.enc[:0], entry.Key)
	h := e.own(entry)
	switch {
	case add && h.n == 0:
		h.first, h.n, h.stale = k, 1, false
	case add:
		e.spill(h)
		e.members.Insert(encodePair(nil, e.enc, enc), k)
		e.other = encode(e.other[:0], h.first)
		if !h.stale && bytes.Compare(enc, e.other) < 0 {
			h.first = k
		}
		h.n++
	default:
		if h.spilled {
			e.other = encodePair(e.other[:0], e.enc, enc)
			e.members.Delete(e.other)
		}
		h.n--
		h.spilled = h.spilled && h.n > 0
		h.stale = h.stale || h.first == k
	}
}

// own returns the head of the entry, which the edit may change.
func (e *indexEdit[IK, K, P]) own(entry Entry[IK, P]) *head[IK, K, P] {
	p, found := e.heads.Get(e.enc)
	before := (*head[IK, K, P])(p)
	if found && before.edit == e.id {
		return before
	}
	h := &head[IK, K, P]{ik: entry.Key, payload: entry.Payload}
	key := e.enc
	if found {
		*h = *before
	} else {
		key = bytes.Clone(key)
	}
	h.edit = e.id
	e.heads.Insert(key, unsafe.Pointer(h)) //nolint:gosec // see tree
	e.touched = append(e.touched, touched[IK, K, P]{before, h})
	return h
}

// spill moves the single row of a head to the tree of members.
func (e *indexEdit[IK, K, P]) spill(h *head[IK, K, P]) {
	if !h.spilled {
		h.spilled = true
		e.members.Insert(encodePair(nil, e.enc, encode(nil, h.first)), h.first)
	}
}

// finish publishes the edit to the draft and marks whoever must look again.
func (x *index[IK, K, P]) finish(d *draft) {
	e := &x.edits[d.kind]
	if e.heads == nil {
		return
	}
	members := e.members.Commit()
	for _, t := range e.touched {
		e.enc = encode(e.enc[:0], t.after.ik)
		switch {
		case t.after.n == 0:
			e.heads.Delete(e.enc)
		case t.after.stale:
			e.other = encodePair(e.other[:0], e.enc, nil)
			first := members.Prefix(e.other)
			_, t.after.first, _ = first.Next()
			t.after.stale = false
		}
	}
	heads := e.heads.Commit()
	d.roots[x.heads], d.roots[x.members] = &heads, &members
	e.heads, e.members = nil, nil
	for _, t := range e.touched {
		x.wake(d, t)
	}
	clear(e.touched)
	e.touched = e.touched[:0]
}

// wake marks the readers of an entry whose answers differ.
func (x *index[IK, K, P]) wake(d *draft, t touched[IK, K, P]) {
	ik, had, now := t.after.ik, t.before != nil, t.after
	if now.n == 0 {
		now = nil
	}
	if !had && now == nil {
		return
	}
	existence := had != (now != nil)
	x.byKeys.tell(d, ik, now, true)
	x.byFirst.tell(d, ik, now, existence || t.before.first != now.first)
	x.byCount.tell(d, ik, now, existence || t.before.n != now.n)
	x.byHas.tell(d, ik, now, existence)
	if existence {
		for _, follow := range x.followers {
			follow(d, ik)
		}
	}
}

// tell gives the new head to the cell of ik and marks its readers.
func (s *source[K, T]) tell(d *draft, k K, now *T, mark bool) {
	c, ok := s.cells[k]
	if !ok {
		return
	}
	if d.rec.lends {
		c.learn(now)
	}
	if mark {
		d.markReaders(&c.cell)
	}
}
