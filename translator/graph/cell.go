package graph

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// cell is one thing that can be read: a row, a whole table, or one aspect of an
// index entry. It exists whether or not the thing does, so that misses are
// recorded like hits. Cells belong to the writer; revisions refer to them only
// for what never changes: owner.
type cell struct {
	owner owner
	seen  uint64             // the last recording that met the cell
	few   []*cell            // units that have read it,
	many  map[*cell]struct{} // or here, when they are many
	table int32              // id of the table, for the cells of units
	marks uint8
}

// owner is the typed cell around a cell.
type owner interface {
	describe(r *Reader) Dependency
	forget()
}

const (
	markStale uint8 = 1 << iota // something that the unit has read has changed
	markLive                    // an index has begun or ceased to list its key
	markHeld  uint8 = 1 << 4    // the unit has a row in some state
	markKnown uint8 = 1 << 5    // the cell knows what the main state has
	marksBits       = 2         // per kind of draft
)

// fewReaders is the size up to which a slice is smaller and quicker than a map.
const fewReaders = 16

func (c *cell) addReader(u *cell) {
	if c.many != nil {
		c.many[u] = struct{}{}
		return
	}
	if slices.Contains(c.few, u) {
		return
	}
	if len(c.few) < fewReaders {
		c.few = append(c.few, u)
		return
	}
	c.many = make(map[*cell]struct{}, 2*fewReaders)
	for _, f := range c.few {
		c.many[f] = struct{}{}
	}
	c.many[u] = struct{}{}
	c.few = nil
}

// removeReader forgets the cell when nothing needs it any longer.
func (c *cell) removeReader(u *cell) {
	if c.many != nil {
		delete(c.many, u)
	} else if i := slices.Index(c.few, u); i >= 0 {
		last := len(c.few) - 1
		c.few[i] = c.few[last]
		c.few[last] = nil
		c.few = c.few[:last]
	}
	c.release()
}

func (c *cell) release() {
	if len(c.few) == 0 && len(c.many) == 0 && c.marks&^markKnown == 0 {
		c.few, c.many = nil, nil
		c.owner.forget()
	}
}

// source makes the cells of one kind. T is what is found under a key: a row, or the
// head of an index entry.
type source[K Key, T any] struct {
	of    *meta
	index string
	kind  string
	slot  int // where things are found
	cells map[K]*keyed[K, T]
	found func(r *Reader, k K) bool
}

// keyed is a cell that knows its key and, if it is marked so, what the main state
// has under it.
type keyed[K Key, T any] struct {
	cell
	src   *source[K, T]
	key   K
	known *T
}

func newSource[K Key, T any](of *meta, index, kind string, slot int, found func(r *Reader, k K) bool) *source[K, T] {
	return &source[K, T]{of: of, index: index, kind: kind, slot: slot, cells: map[K]*keyed[K, T]{}, found: found}
}

// at returns the cell of k, made if need be.
func (s *source[K, T]) at(k K) *keyed[K, T] {
	if c, ok := s.cells[k]; ok {
		return c
	}
	c := &keyed[K, T]{src: s, key: k}
	c.owner = c
	c.table = int32(s.of.id) //nolint:gosec // a graph has few tables
	s.cells[k] = c
	return c
}

// expect makes room for n cells, if there are none yet.
func (s *source[K, T]) expect(n int) {
	if n > keepCapacity && len(s.cells) == 0 {
		s.cells = make(map[K]*keyed[K, T], n)
	}
}

// note records that k is read.
func (s *source[K, T]) note(rec *recording, k K) *keyed[K, T] {
	c := s.guess(rec, k)
	if c == nil {
		c = s.at(k)
	}
	if c.seen != rec.run && !rec.blind {
		c.seen = rec.run
		rec.deps = append(rec.deps, &c.cell)
		rec.next++
	}
	return c
}

// guess spares the look-up: a unit mostly reads what it has read the last time, in
// the same order, or what it has just read.
func (s *source[K, T]) guess(rec *recording, k K) *keyed[K, T] {
	if rec.next < len(rec.past) {
		if c, ok := rec.past[rec.next].owner.(*keyed[K, T]); ok && c.src == s && c.key == k {
			return c
		}
	}
	for i := len(rec.deps) - 1; i >= max(0, len(rec.deps)-4); i-- {
		if c, ok := rec.deps[i].owner.(*keyed[K, T]); ok && c.src == s && c.key == k {
			return c
		}
	}
	return nil
}

// borrow returns what is found under the key of the cell, from the cell itself if
// it knows: a large tree is seldom in the processor's cache.
func (c *keyed[K, T]) borrow(r *Reader) *T {
	if !r.rec.lends {
		found, _ := lookup[K, T](r, c.src.slot, c.key)
		return found
	}
	if c.marks&markKnown == 0 {
		found, _ := lookup[K, T](r, c.src.slot, c.key)
		c.learn(found)
	}
	return c.known
}

// learn is told what the main state has under the key.
func (c *keyed[K, T]) learn(now *T) {
	c.known = now
	c.marks |= markKnown
}

func (c *keyed[K, T]) forget() { delete(c.src.cells, c.key) }

func (c *keyed[K, T]) describe(r *Reader) Dependency {
	return Dependency{
		Table: c.src.of.name, Index: c.src.index, Kind: c.src.kind,
		Key: printKey(c.key), Found: c.src.found(r, c.key),
	}
}

// whole is the key of the one cell that stands for a whole table.
type whole struct{}

func (whole) AppendKey(b []byte) []byte { return b }
func (whole) String() string            { return "" }

func printKey[K Key](k K) string { return fmt.Sprint(any(k)) }

// maxEncoding keeps an index key together with a row key, escaped, below the
// 65,535 bytes that the trees can hold.
const maxEncoding = 1 << 14

// encode appends the encoding of k. A longer one than the trees can hold keeps
// its head and gets a digest for a tail, so that it stays unambiguous.
func encode[K Key](b []byte, k K) []byte {
	start := len(b)
	b = k.AppendKey(b)
	if len(b)-start <= maxEncoding {
		return b
	}
	sum := sha256.Sum256(b[start:])
	return append(b[:start+maxEncoding-len(sum)], sum[:]...)
}

// encodePair appends an encoding of ik that is no prefix of any other one, and
// then that of a row key, so that all pairs of one ik lie together.
func encodePair(b, ik, k []byte) []byte {
	for _, c := range ik {
		if b = append(b, c); c == 0 {
			b = append(b, 0xff)
		}
	}
	b = append(b, 0, 0)
	return append(b, k...)
}
