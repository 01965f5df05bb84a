package graph

import (
	"fmt"
	"sync"

	"github.com/cilium/statedb/part"
)

// recording is what a unit's reader notes down.
type recording struct {
	unit   *meta
	run    uint64 // distinguishes this computation from all others
	deps   []*cell
	past   []*cell // what the unit had read the last time,
	next   int     // and what of it is probably next
	breach error
	buf    []byte
	lends  bool // the draft is the main state: cells know its rows
	blind  bool // tests only: note nothing down
	check  *witness
}

func (rec *recording) start(unit *meta, run uint64, past []*cell) {
	rec.unit, rec.run, rec.breach = unit, run, nil
	rec.past, rec.next = past, 0
	clear(rec.deps)
	rec.deps = rec.deps[:0]
	if rec.check != nil {
		rec.check.reset()
	}
}

// permits says whether the reader may read from m; if not, the unit fails.
func (r *Reader) permits(m *meta) bool {
	if r.rec == nil {
		return true
	}
	u := r.rec.unit
	if m.id < u.id && (m.lane == Main || u.lane == Fast) {
		return true
	}
	r.rec.refuse(fmt.Errorf("unit %s reads %s, which is not below it (%s lane reads %s lane): %w",
		u.name, m.name, u.lane, m.lane, ErrLayer))
	return false
}

func (rec *recording) refuse(err error) {
	if rec.breach == nil {
		rec.breach = err
	}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// lookup finds k in the tree of a slot, whose pointers are to T.
func lookup[K Key, T any](r *Reader, slot int, k K) (*T, bool) {
	tree := treeOf(r.roots, slot)
	if r.rec != nil {
		r.rec.buf = encode(r.rec.buf[:0], k)
		p, ok := tree.Get(r.rec.buf)
		return (*T)(p), ok
	}
	buf := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	*buf = encode((*buf)[:0], k)
	p, ok := tree.Get(*buf)
	buffers.Put(buf)
	return (*T)(p), ok
}

// rootOf returns the tree of a slot that has values and not pointers.
func rootOf[T any](roots []any, slot int) *part.Tree[T] {
	return roots[slot].(*part.Tree[T]) //nolint:forcetypeassert // a slot never changes its type
}

func newRoot[T any]() *part.Tree[T] {
	tree := part.New[T](part.RootOnlyWatch)
	return &tree
}
