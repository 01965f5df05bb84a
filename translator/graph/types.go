package graph

import (
	"context"
	"iter"
	"time"
)

// Key is the key of a row. Two keys are the same row if and only if they are
// equal by ==.
//
// AppendKey appends an encoding of the key to b and returns the result, as
// append does. Different keys have different encodings, and the order of the
// encodings, byte by byte, is the order of every iteration. A key of several
// parts needs a separator that no part contains.
type Key interface {
	comparable
	AppendKey(b []byte) []byte
}

// String is a key for tables that are keyed by one string.
type String string

// AppendKey appends the bytes of the string.
func (s String) AppendKey(b []byte) []byte { return append(b, s...) }

// Lane says how urgent a table is.
type Lane uint8

const (
	// Main is the lane of everything that may take long.
	Main Lane = iota
	// Fast is the lane of inputs that must not wait for a long commit, such as
	// endpoints, and of the units that read them. Fast units may read Main
	// tables; Main units never read Fast ones.
	Fast
)

// String returns "main" or "fast".
func (l Lane) String() string {
	if l == Fast {
		return "fast"
	}
	return "main"
}

// Option changes how a Graph works.
type Option func(*Graph)

// CheckImmutable makes every unit prove that it changed nothing it had read:
// each value is fingerprinted when it is read and again when Compute returns. A
// unit that changed one is withheld with ErrMutated. This is slow and meant for
// tests. A nil fingerprint walks the whole value, unexported fields included;
// give one for values that change inside by themselves, such as caches.
func CheckImmutable(fingerprint func(value any) string) Option {
	return func(g *Graph) {
		if fingerprint == nil {
			fingerprint = deepFingerprint
		}
		g.fingerprint = fingerprint
	}
}

// New returns an empty graph, whose current revision has the number 0. Add every
// table and index before the first change: doing it later panics.
func New(options ...Option) *Graph { return newGraph(options) }

// Table is an Input or a Unit: what an index can be built on.
type Table[K Key, V any] interface {
	core() *table[K, V]
}

// Input is a table whose rows come from outside.
//
// Values must not be changed after Put; replace them by another Put.
type Input[K Key, V any] struct{ table[K, V] }

// NewInput adds an input. The name is shown to people and is unique in the
// graph. A nil equal means reflect.DeepEqual; values on which equal panics
// differ. It panics when the graph has already seen a change or the name is taken.
func NewInput[K Key, V any](g *Graph, name string, lane Lane, equal func(a, b V) bool) *Input[K, V] {
	t := &Input[K, V]{}
	t.init(g, t, name, lane, equal)
	return t
}

// Put sets a row in c. Nothing happens until c is committed or submitted; then a
// value that is equal to the present one is no change, and the present one
// stays.
func (t *Input[K, V]) Put(c *Changes, k K, v V) { t.add(c, op[K, V]{key: k, val: v}) }

// Delete removes a row in c. Deleting what does not exist is no change.
func (t *Input[K, V]) Delete(c *Changes, k K) { t.add(c, op[K, V]{key: k, gone: true}) }

// Get returns the row's value. A unit that calls it is recomputed when this row
// appears, changes or disappears, and so also when it did not exist.
func (t *Input[K, V]) Get(r *Reader, k K) (V, bool) { return t.get(r, k) }

// All yields every row in key order. A unit that calls it is recomputed when any
// row of the table changes, so prefer an index.
func (t *Input[K, V]) All(r *Reader) iter.Seq2[K, V] { return t.all(r) }

// UnitSpec describes a table of units.
type UnitSpec[K Key, V any] struct {
	// Name is shown to people and is unique in the graph.
	Name string
	// Lane of the table. All of Live must be readable from it.
	Lane Lane
	// Live are the indexes that keep units alive: a unit exists while any of
	// them lists its key. They are indexes over tables added earlier.
	Live []Liveness[K]
	// Compute derives the value of one unit from what it reads through r, and
	// from nothing else. It runs on the goroutine that commits, must not keep r,
	// must not change what it reads, and must return a value that nobody
	// changes later. An error withholds the unit until something it has read
	// changes; so does a panic (PanicError) and a read of a table that is not
	// below this one (ErrLayer).
	Compute func(r *Reader, k K) (V, error)
	// Equal says that two values are the same, so that whoever read the old one
	// need not be recomputed. Nil means reflect.DeepEqual.
	Equal func(a, b V) bool
}

// Unit is a table of values derived from earlier tables.
type Unit[K Key, V any] struct {
	table[K, V]
	live    []Liveness[K]
	compute func(r *Reader, k K) (V, error)
}

// NewUnit adds a table of units. It panics when the graph has already seen a
// change, the name is taken, Compute is missing, or a Main unit would live by an
// index of the Fast lane.
func NewUnit[K Key, V any](g *Graph, spec UnitSpec[K, V]) *Unit[K, V] {
	if spec.Compute == nil {
		panic("graph: unit " + spec.Name + " has no Compute")
	}
	t := &Unit[K, V]{live: spec.Live, compute: spec.Compute}
	t.init(g, t, spec.Name, spec.Lane, spec.Equal)
	t.follow()
	return t
}

// Get returns the unit's value, and false when no index lists the key or the
// unit is withheld. A unit that calls it is recomputed when the answer changes.
func (t *Unit[K, V]) Get(r *Reader, k K) (V, bool) { return t.get(r, k) }

// Failure returns why a live unit is withheld: what Compute returned, a
// *PanicError, or an error that wraps ErrLayer or ErrMutated. It is nil when the
// unit has a value or does not live. It is recorded as Get is.
func (t *Unit[K, V]) Failure(r *Reader, k K) error { return t.failure(r, k) }

// All yields every unit that has a value, in key order. A unit that calls it is
// recomputed when any of them changes.
func (t *Unit[K, V]) All(r *Reader) iter.Seq2[K, V] { return t.all(r) }

// Liveness is an index that can keep units alive.
type Liveness[K Key] interface {
	lists(r *Reader, k K) bool
	listen(t *meta, f func(d *draft, k K))
}

// Index lists the rows of a table under keys made from each row. Rows that are
// withheld are not listed.
type Index[IK, K Key] struct{ *index[IK, K, struct{}] }

// NewIndex adds an index. keys is a pure function of one row; duplicates count
// once. A row for which it panics is listed nowhere and shown by Failures.
func NewIndex[IK, K Key, V any](t Table[K, V], name string, keys func(k K, v V) []IK) *Index[IK, K] {
	return &Index[IK, K]{newIndex(t.core(), name, func(k K, v V, to []Entry[IK, struct{}]) []Entry[IK, struct{}] {
		for _, ik := range keys(k, v) {
			to = append(to, Entry[IK, struct{}]{Key: ik})
		}
		return to
	})}
}

// Keys returns the keys of the rows listed under ik, in key order, none when
// there are none. The slice is the caller's. A unit that calls it is recomputed
// when a row comes or goes under ik, not when a listed row changes its value.
func (x *Index[IK, K]) Keys(r *Reader, ik IK) []K { return x.keys(r, ik) }

// Has says whether any row is listed under ik. A unit that calls it is
// recomputed when the answer changes.
func (x *Index[IK, K]) Has(r *Reader, ik IK) bool { return x.has(r, ik) }

// Count returns how many rows are listed under ik, whatever their number at the
// same cost. A unit that calls it is recomputed when the number changes.
func (x *Index[IK, K]) Count(r *Reader, ik IK) int { return x.count(r, ik) }

// First returns the smallest key listed under ik. A unit that calls it is
// recomputed when the answer changes.
func (x *Index[IK, K]) First(r *Reader, ik IK) (K, bool) { return x.smallest(r, ik) }

// All yields every index key that lists a row, in order. It is for readers of
// revisions: a unit that calls it is withheld with ErrLayer.
func (x *Index[IK, K]) All(r *Reader) iter.Seq[IK] { return x.all(r) }

// Entry is one key of an interned index with its payload.
type Entry[IK Key, P any] struct {
	Key     IK
	Payload P
}

// Interned is an index whose keys stand for their payloads, such as a digest of
// a shared value. Many rows may bring the same entry; the first payload is kept
// while any row lists its key, the others are dropped.
type Interned[IK Key, P any] struct{ interned[IK, P] }

// NewInterned adds an interned index. entries is a pure function of one row.
// Entries with equal keys must have equal payloads.
func NewInterned[IK Key, P any, K Key, V any](
	t Table[K, V], name string, entries func(k K, v V) []Entry[IK, P],
) *Interned[IK, P] {
	return &Interned[IK, P]{newIndex(t.core(), name, func(k K, v V, to []Entry[IK, P]) []Entry[IK, P] {
		return append(to, entries(k, v)...)
	})}
}

// Payload returns what ik stands for, and false when no row lists it. A unit
// that calls it is recomputed when ik appears or disappears.
func (x *Interned[IK, P]) Payload(r *Reader, ik IK) (P, bool) { return x.payload(r, ik) }

// All yields every key that a row lists, in order. It is for readers of revisions:
// a unit that calls it is withheld with ErrLayer.
func (x *Interned[IK, P]) All(r *Reader) iter.Seq[IK] { return x.all(r) }

// RowsOf returns the keys of the rows that list ik in x, as Index.Keys does. K is
// the type of the keys of the table that x was made of: with another it panics.
func RowsOf[K, IK Key, P any](x *Interned[IK, P], r *Reader, ik IK) []K {
	return x.interned.(*index[IK, K, P]).keys(r, ik) //nolint:forcetypeassert // as said: a mistake of the program
}

// Reader reads one state of the graph. A unit's reader records what it reads and
// is good only until Compute returns; a revision's reader records nothing, never
// blocks, and may be used by any number of goroutines.
type Reader struct {
	roots []any
	rec   *recording // nil: a revision's
}

// Changes collects puts and deletes that are committed together. For one row the
// last one wins. The zero value is ready for use. It is not safe for concurrent
// use and must be left alone after Commit or Submit.
type Changes struct {
	batches []batch
	notes   []any
	length  int
	main    bool
	fast    bool
}

// NewChanges returns an empty collection.
func NewChanges() *Changes { return &Changes{} }

// Note attaches a note, such as when the changes came about. It decides nothing:
// Revision.Notes hands it out again. A note must not be changed any more.
func (c *Changes) Note(note any) { c.notes = append(c.notes, note) }

// Len returns the number of puts and deletes.
func (c *Changes) Len() int { return c.length }

// Commit applies c, recomputes what has read anything that changed, publishes the
// result as the current revision and returns it. If no input changed, it returns
// the current revision. It panics while Run or another Commit is under way: a
// graph has one writer.
func (g *Graph) Commit(c *Changes) *Revision { return g.commitAlone(c) }

// Current returns the last revision. It never blocks.
func (g *Graph) Current() *Revision { return g.current.Load() }

// Submit hands c to Run. It never waits for a commit and may be called from any
// goroutine, also before Run. Changes that touch only Fast inputs may be
// committed before others, though never before one that touches the same row.
func (g *Graph) Submit(c *Changes) { g.inbox.put(c) }

// Pending returns the number of puts and deletes that were submitted and are in no
// commit yet.
func (g *Graph) Pending() int { return g.inbox.length() }

// Run commits what is submitted until ctx ends, then returns nil. Everything that
// is pending goes into one commit, at once. Changes of the Fast lane are committed
// before others and, while a commit of the Main lane is under way, between two of
// its units; the Main commit then goes on with the Fast changes included. The
// first revision alone is not divided: it holds all that was pending.
//
// publish, if not nil, is called for each new revision, in order, on Run's
// goroutine. It must not block for long: commits wait for it. Run returns ErrBusy
// if the graph has a writer already.
func (g *Graph) Run(ctx context.Context, publish func(*Revision)) error { return g.run(ctx, publish) }

// Change is what a commit did to one row. A withheld unit counts as absent.
type Change[K Key, V any] struct {
	Key            K
	Old, New       V
	HadOld, HasNew bool
}

// ChangesOf returns exactly what differs in t between rev and the revision before
// it, in key order. The slice is shared: do not change it. It costs nothing.
func ChangesOf[K Key, V any](rev *Revision, t Table[K, V]) []Change[K, V] {
	return changesOf(rev, t.core())
}

// Number is 0 for the empty revision of a new graph and grows by 1 with each
// revision.
func (rev *Revision) Number() uint64 { return rev.number }

// Notes are the notes of all changes that went into this revision, in the order of
// submission. Those of changes that changed nothing are among them when another
// made the revision, and are lost when there was none. The slice is shared.
func (rev *Revision) Notes() []any { return rev.notes }

// Took is how long the commit took, of the commits of the Fast lane that overtook
// it included; 0 for the empty revision.
func (rev *Revision) Took() time.Duration { return rev.took }

// Reader returns a reader of this revision.
func (rev *Revision) Reader() *Reader { return &rev.reader }

// Failures returns every unit that is withheld, in order of tables and keys, and
// every row that an index could not place. It costs as many steps as there are.
func (rev *Revision) Failures() []Failure { return rev.failures() }

// Failure is one withheld unit.
type Failure struct {
	Table string // name of the table, or of the index whose function panicked
	Key   string // printable
	Err   error
}

// Explain says what the unit had read when it was last computed, and false when
// the table or the key does not exist. The key is as Failure and Dependency print
// it. It walks the table: use Unit.Explain where the key is at hand.
func (rev *Revision) Explain(table, key string) (Explanation, bool) { return rev.explain(table, key) }

// Explain says what the unit had read when it was last computed, and false when
// it does not live.
func (t *Unit[K, V]) Explain(rev *Revision, k K) (Explanation, bool) { return t.explain(rev, k) }

// Explanation is why a row is as it is.
type Explanation struct {
	Table, Key   string
	ComputedAt   uint64       // number of the revision; 0 for an input
	Err          error        // why it is withheld
	Dependencies []Dependency // in the order of reading, each once
}

// Dependency is one thing that a unit has read.
type Dependency struct {
	Table string // name of the table
	Index string // name of the index, empty for a row of the table
	Kind  string // "row", "table", "keys", "has" (also of a payload) or "first"
	Key   string // printable; empty for a whole table
	Found bool
}

// Stats returns the figures of each table, in the order in which they were added.
func (rev *Revision) Stats() []TableStats { return rev.stats() }

// TableStats are the figures of one table in one revision.
type TableStats struct {
	Name     string
	Lane     Lane
	Unit     bool // false: an input
	Rows     int  // withheld units included
	Withheld int
	Computed int // calls of Compute by the commit of this revision
	Changed  int // rows in ChangesOf
	CutOff   int // computed, and equal to what they were
}
