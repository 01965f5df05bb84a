package graph

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The model is a random program that is evaluated twice: by the graph, one change
// after another, and by maps and loops, from the inputs alone.

// view is how a program of the model reads, whoever evaluates it.
type view interface {
	get(table int, k String) (int, bool)
	failure(table int, k String) string
	all(table int) iter.Seq2[String, int]
	keys(index int, ik String) []String
	has(index int, ik String) bool
	first(index int, ik String) (String, bool)
	count(index int, ik String) int
	payload(index int, ik String) (string, bool)
}

// layer is one table of a program, with its index and its interned index.
type layer struct {
	lane Lane
	unit bool
	live []int // indexes of earlier layers
	salt uint64
}

type program struct{ layers []layer }

// modelKeys hold prefixes of each other, zero bytes and the empty key, in order.
var modelKeys = []String{"", "a", "a\x00", "a\x00\x00b", "ab", "b", "c", "d"}

func newProgram(rnd *rand.Rand) program {
	p := program{layers: []layer{{lane: Main}, {lane: Fast}, {lane: Main}}}
	for i := range p.layers {
		p.layers[i].salt = rnd.Uint64()
	}
	for range 3 + rnd.IntN(4) {
		l := layer{lane: Lane(rnd.IntN(2)), unit: true, salt: rnd.Uint64()}
		for range 1 + rnd.IntN(2) {
			if i := rnd.IntN(len(p.layers)); l.lane == Fast || p.layers[i].lane == Main {
				l.live = append(l.live, i)
			}
		}
		if len(l.live) == 0 {
			l.live = []int{0}
		}
		p.layers = append(p.layers, l)
	}
	return p
}

func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func mixString(h uint64, s String) uint64 {
	for i := range min(len(s), 20) {
		h = mix(h, uint64(s[i])+1)
	}
	return mix(h, uint64(len(s)))
}

func mixBool(h uint64, b bool) uint64 {
	if b {
		return mix(h, 3)
	}
	return mix(h, 5)
}

// listed are the index keys of a row.
func (p program) listed(layer int, k String, v int) []String {
	h := mix(mixString(p.layers[layer].salt, k), uint64(v))
	var list []String
	for range h % 3 {
		h = mix(h, 7)
		list = append(list, modelKeys[h%uint64(len(modelKeys))])
	}
	if h%23 == 0 {
		panic("index function")
	}
	return list
}

var errModel = errors.New("model")

// compute derives a unit of a layer. What it reads depends on what it has read.
func (p program) compute(at int, v view, k String) (int, error) {
	h := mixString(p.layers[at].salt, k)
	below := 0
	for i := range at {
		if p.layers[at].lane == Fast || p.layers[i].lane == Main {
			below++
		}
	}
	for range 1 + h%5 {
		h = mix(h, 11)
		h = p.read(v, p.below(at, int(h>>20%uint64(below))), h)
	}
	switch {
	case h%11 == 0:
		return 0, fmt.Errorf("%w %d", errModel, h>>8%3)
	case h%29 == 0:
		panic("unit")
	}
	return int(h >> 8 % 5), nil
}

// below returns the nth layer that the layer may read.
func (p program) below(at, n int) int {
	for i := range at {
		if p.layers[at].lane == Fast || p.layers[i].lane == Main {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return 0
}

// read does one of the things a unit can do with a layer, and mixes it into h.
func (p program) read(v view, from int, h uint64) uint64 {
	k := modelKeys[h>>40%uint64(len(modelKeys))]
	switch h >> 12 % 18 {
	case 0:
		for k, x := range v.all(from) {
			h = mix(mixString(h, k), uint64(x))
		}
	case 1, 2:
		h = mixString(h, String(v.failure(from, k)))
	case 3, 4, 5:
		for _, k := range v.keys(from, k) {
			h = mixString(h, k)
		}
	case 6, 7:
		h = mixBool(h, v.has(from, k))
	case 8, 9, 10:
		first, ok := v.first(from, k)
		h = mixBool(mixString(h, first), ok)
	case 16, 17:
		h = mix(h, uint64(v.count(from, k)))
	case 11:
		s, ok := v.payload(from, k)
		h = mixBool(mixString(h, String(s)), ok)
	default:
		x, ok := v.get(from, k)
		h = mixBool(mix(h, uint64(x)), ok)
	}
	return h
}

// result is one evaluated row.
type result struct {
	Val int
	Err string
}

// evaluation is a state of all tables, made without the graph.
type evaluation struct {
	p       program
	rows    []map[String]result
	indexed []map[String][]String
}

// evaluate computes everything from the inputs, in order of the layers.
func (p program) evaluate(inputs []map[String]int) *evaluation {
	e := &evaluation{p: p}
	for i, l := range p.layers {
		rows := map[String]result{}
		if !l.unit {
			for k, v := range inputs[i] {
				rows[k] = result{Val: v}
			}
		} else {
			for _, k := range modelKeys {
				if slices.ContainsFunc(l.live, func(x int) bool { return e.has(x, k) }) {
					rows[k] = e.derive(i, k)
				}
			}
		}
		e.rows = append(e.rows, rows)
		e.indexed = append(e.indexed, e.place(i, rows))
	}
	return e
}

func (e *evaluation) derive(i int, k String) (r result) {
	defer func() {
		if recover() != nil {
			r = result{Err: "panic"}
		}
	}()
	v, err := e.p.compute(i, e, k)
	if err != nil {
		return result{Err: err.Error()}
	}
	return result{Val: v}
}

func (e *evaluation) place(i int, rows map[String]result) map[String][]String {
	at := map[String][]String{}
	for k, r := range rows {
		if r.Err != "" {
			continue
		}
		func() {
			defer func() { _ = recover() }()
			for _, ik := range e.p.listed(i, k, r.Val) {
				if !slices.Contains(at[ik], k) {
					at[ik] = append(at[ik], k)
				}
			}
		}()
	}
	for _, list := range at {
		slices.Sort(list)
	}
	return at
}

func (e *evaluation) get(t int, k String) (int, bool) {
	r, ok := e.rows[t][k]
	return r.Val, ok && r.Err == ""
}
func (e *evaluation) failure(t int, k String) string { return e.rows[t][k].Err }
func (e *evaluation) all(t int) iter.Seq2[String, int] {
	return func(yield func(String, int) bool) {
		for _, k := range slices.Sorted(maps.Keys(e.rows[t])) {
			if r := e.rows[t][k]; r.Err == "" && !yield(k, r.Val) {
				return
			}
		}
	}
}
func (e *evaluation) keys(x int, ik String) []String { return e.indexed[x][ik] }
func (e *evaluation) has(x int, ik String) bool      { return len(e.indexed[x][ik]) > 0 }
func (e *evaluation) first(x int, ik String) (String, bool) {
	if list := e.indexed[x][ik]; len(list) > 0 {
		return list[0], true
	}
	return "", false
}
func (e *evaluation) count(x int, ik String) int { return len(e.indexed[x][ik]) }
func (e *evaluation) payload(x int, ik String) (string, bool) {
	if e.has(x, ik) {
		return "payload of " + string(ik), true
	}
	return "", false
}

// built is the same program as a graph.
type built struct {
	p        program
	g        *Graph
	inputs   map[int]*Input[String, int]
	units    map[int]*Unit[String, int]
	indexes  []*Index[String, String]
	interned []*Interned[String, string]
	between  func() // called by every unit
}

func (p program) build() *built {
	b := &built{
		p: p, g: New(), inputs: map[int]*Input[String, int]{}, units: map[int]*Unit[String, int]{},
		between: func() {},
	}
	for i, l := range p.layers {
		var t Table[String, int]
		if l.unit {
			b.units[i] = b.unit(i, l)
			t = b.units[i]
		} else {
			b.inputs[i] = NewInput[String, int](b.g, fmt.Sprint("input", i), l.lane, nil)
			t = b.inputs[i]
		}
		listed := func(k String, v int) []String { return p.listed(i, k, v) }
		b.indexes = append(b.indexes, NewIndex(t, fmt.Sprint("index", i), listed))
		b.interned = append(b.interned, NewInterned(t, fmt.Sprint("interned", i), func(k String, v int) []Entry[String, string] {
			var list []Entry[String, string]
			for _, ik := range listed(k, v) {
				list = append(list, Entry[String, string]{ik, "payload of " + string(ik)})
			}
			return list
		}))
	}
	return b
}

func (b *built) unit(i int, l layer) *Unit[String, int] {
	var live []Liveness[String]
	for n, x := range l.live {
		if n%2 == 0 {
			live = append(live, b.indexes[x])
		} else {
			live = append(live, b.interned[x])
		}
	}
	return NewUnit(b.g, UnitSpec[String, int]{
		Name: fmt.Sprint("unit", i), Lane: l.lane, Live: live,
		Compute: func(r *Reader, k String) (int, error) {
			b.between()
			return b.p.compute(i, reading{b, r}, k)
		},
	})
}

// reading is a view of a graph through a reader.
type reading struct {
	b *built
	r *Reader
}

func (v reading) get(t int, k String) (int, bool) {
	if u, ok := v.b.units[t]; ok {
		return u.Get(v.r, k)
	}
	return v.b.inputs[t].Get(v.r, k)
}

func (v reading) failure(t int, k String) string {
	u, ok := v.b.units[t]
	if !ok {
		return ""
	}
	err := u.Failure(v.r, k)
	var panicked *PanicError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &panicked):
		return "panic"
	}
	return err.Error()
}

func (v reading) all(t int) iter.Seq2[String, int] {
	if u, ok := v.b.units[t]; ok {
		return u.All(v.r)
	}
	return v.b.inputs[t].All(v.r)
}
func (v reading) keys(x int, ik String) []String          { return v.b.indexes[x].Keys(v.r, ik) }
func (v reading) has(x int, ik String) bool               { return v.b.indexes[x].Has(v.r, ik) }
func (v reading) first(x int, ik String) (String, bool)   { return v.b.indexes[x].First(v.r, ik) }
func (v reading) count(x int, ik String) int              { return v.b.indexes[x].Count(v.r, ik) }
func (v reading) payload(x int, ik String) (string, bool) { return v.b.interned[x].Payload(v.r, ik) }

// dump is everything that can be seen of a state.
type dump struct {
	Rows    []map[String]result
	Indexed []map[String][]String
}

func (p program) dump(v view) dump {
	var d dump
	for i := range p.layers {
		rows, at := map[String]result{}, map[String][]String{}
		for k, x := range v.all(i) {
			rows[k] = result{Val: x}
		}
		for _, k := range modelKeys {
			if f := v.failure(i, k); f != "" {
				rows[k] = result{Err: f}
			}
			if keys := v.keys(i, k); len(keys) > 0 {
				at[k] = keys
			}
			first, ok := v.first(i, k)
			_, payload := v.payload(i, k)
			if ok != (len(at[k]) > 0) || v.has(i, k) != ok || v.count(i, k) != len(at[k]) || payload != ok || ok && first != at[k][0] {
				at[k] = append(at[k], "(aspects disagree)")
			}
		}
		d.Rows, d.Indexed = append(d.Rows, rows), append(d.Indexed, at)
	}
	return d
}

// judge compares a revision with the model, and its changes with its predecessor.
func (b *built) judge(rev *Revision, inputs []map[String]int, before dump) (dump, error) {
	got, want := b.p.dump(reading{b, rev.Reader()}), b.p.dump(b.p.evaluate(inputs))
	if !reflect.DeepEqual(want, got) {
		return got, fmt.Errorf("revision %d (-model, +graph):\n%s", rev.Number(), cmp.Diff(want, got))
	}
	for i := range b.p.layers {
		want, got := differences(before.Rows[i], got.Rows[i]), b.changes(rev, i)
		if !slices.Equal(want, got) {
			return dump{}, fmt.Errorf("changes of table %d in revision %d (-model, +graph):\n%s",
				i, rev.Number(), cmp.Diff(want, got))
		}
	}
	return got, nil
}

func (b *built) changes(rev *Revision, i int) []Change[String, int] {
	if u, ok := b.units[i]; ok {
		return ChangesOf(rev, u)
	}
	return ChangesOf(rev, b.inputs[i])
}

func differences(before, after map[String]result) []Change[String, int] {
	var list []Change[String, int]
	for _, k := range modelKeys {
		old, had := before[k]
		now, has := after[k]
		c := Change[String, int]{
			Key: k, Old: old.Val, New: now.Val,
			HadOld: had && old.Err == "", HasNew: has && now.Err == "",
		}
		if c.HadOld != c.HasNew || c.HadOld && c.Old != c.New {
			list = append(list, c)
		}
	}
	return list
}

// edges checks that the writer remembers precisely what the rows have read.
func (b *built) edges() error {
	want, got := 0, 0
	aspects := func(t *table[String, int], x *index[String, String, struct{}], y interned[String, string]) {
		got += edgesTo(t.rows) + edgesTo(t.entire)
		got += edgesTo(x.byKeys) + edgesTo(x.byHas) + edgesTo(x.byFirst) + edgesTo(x.byCount)
		got += edgesTo(y.(*index[String, String, string]).byHas)
	}
	for i := range b.p.layers {
		if u, ok := b.units[i]; ok {
			for _, found := range treeOf(b.g.Current().reader.roots, u.slot).All {
				want += len((*row[String, int])(found).deps)
			}
			aspects(u.core(), b.indexes[i].index, b.interned[i].interned)
		} else {
			aspects(b.inputs[i].core(), b.indexes[i].index, b.interned[i].interned)
		}
	}
	if want != got {
		return fmt.Errorf("the writer keeps %d edges, the rows have %d", got, want)
	}
	return nil
}

// edgesTo counts the edges to all cells of a source. A cell that nothing needs, or
// that is still marked, counts as a great many.
func edgesTo[K Key, V any](s *source[K, V]) int {
	n := 0
	for _, c := range s.cells {
		n += len(c.few) + len(c.many)
		if c.marks&^(markHeld|markKnown) != 0 || c.marks&markHeld == 0 && len(c.few)+len(c.many) == 0 {
			n += 1 << 30
		}
	}
	return n
}

// change is one random step.
type change struct {
	table int
	key   String
	val   int
	gone  bool
}

func randomChange(rnd *rand.Rand, tables ...int) change {
	return change{tables[rnd.IntN(len(tables))], modelKeys[rnd.IntN(len(modelKeys))], rnd.IntN(4), rnd.IntN(3) == 0}
}

func (b *built) changesFor(list []change) *Changes {
	c := NewChanges()
	for _, x := range list {
		if x.gone {
			b.inputs[x.table].Delete(c, x.key)
		} else {
			b.inputs[x.table].Put(c, x.key, x.val)
		}
	}
	return c
}

func apply(inputs []map[String]int, list []change) {
	for _, x := range list {
		if x.gone {
			delete(inputs[x.table], x.key)
		} else {
			inputs[x.table][x.key] = x.val
		}
	}
}

func noInputs() []map[String]int {
	return []map[String]int{{}, {}, {}}
}

// history runs random batches through a graph and the model.
func history(seed uint64, steps int, blind bool) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := newProgram(rnd).build()
	b.g.blind = blind
	inputs := noInputs()
	rev, seen := b.g.Current(), b.p.dump(b.p.evaluate(inputs))
	for steps > 0 {
		batch := make([]change, 1+rnd.IntN(6))
		for i := range batch {
			batch[i] = randomChange(rnd, 0, 1, 2)
		}
		steps -= len(batch)
		old := rev
		rev = b.g.Commit(b.changesFor(batch))
		apply(inputs, batch)
		if rev == old {
			if diff := cmp.Diff(b.p.dump(b.p.evaluate(inputs)), seen); diff != "" {
				return fmt.Errorf("seed %d: no new revision, but (-model, +graph):\n%s", seed, diff)
			}
			continue
		}
		var err error
		if seen, err = b.judge(rev, inputs, seen); err == nil && !blind {
			err = b.edges()
		}
		if err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

func TestIncrementalEqualsFromScratch(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		if err := history(seed, 200, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestModelSeesAMissingDependency(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		if err := history(seed, 200, true); err != nil {
			return
		}
	}
	t.Error("a reader that records nothing goes unnoticed")
}
