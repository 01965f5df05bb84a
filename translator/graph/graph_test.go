package graph_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/graph"
)

type (
	key    = graph.String
	reader = graph.Reader
)

// world is a small graph: words, listed by their letters, and one unit "u" that does
// what a test wants and counts how often.
type world struct {
	g        *graph.Graph
	words    *graph.Input[key, string]
	byLetter *graph.Index[key, key]
	lengths  *graph.Unit[key, int] // of each word; withheld for the word "bad"
	wanted   *graph.Input[key, bool]
	tested   *graph.Unit[key, string]
	later    *graph.Unit[key, int]
	fast     *graph.Input[key, string]
	fastUnit *graph.Unit[key, string]
	computed []string
}

func itself[V any](k key, _ V) []key { return []key{k} }

var errBad = errors.New("bad word")

func newWorld(compute func(w *world, r *reader, k key) (string, error), options ...graph.Option) *world {
	w := &world{g: graph.New(options...)}
	w.words = graph.NewInput[key, string](w.g, "words", graph.Main, nil)
	w.byLetter = graph.NewIndex(w.words, "letters", func(_ key, word string) []key {
		var letters []key
		for _, l := range word {
			letters = append(letters, key(l))
		}
		return letters
	})
	w.lengths = graph.NewUnit(w.g, graph.UnitSpec[key, int]{
		Name: "lengths", Live: []graph.Liveness[key]{graph.NewIndex(w.words, "itself", itself[string])},
		Compute: func(r *reader, k key) (int, error) {
			word, _ := w.words.Get(r, k)
			if word == "bad" {
				return 0, errBad
			}
			return len(word), nil
		},
	})
	w.wanted = graph.NewInput[key, bool](w.g, "wanted", graph.Main, nil)
	live := []graph.Liveness[key]{graph.NewIndex(w.wanted, "itself", itself[bool])}
	w.tested = graph.NewUnit(w.g, graph.UnitSpec[key, string]{
		Name: "tested", Live: live,
		Compute: func(r *reader, k key) (string, error) {
			w.computed = append(w.computed, string(k))
			return compute(w, r, k)
		},
	})
	w.later = graph.NewUnit(w.g, graph.UnitSpec[key, int]{
		Name: "later", Live: live,
		Compute: func(r *reader, k key) (int, error) {
			v, _ := w.tested.Get(r, k)
			return len(v), nil
		},
	})
	w.fast = graph.NewInput[key, string](w.g, "fast", graph.Fast, nil)
	w.fastUnit = graph.NewUnit(w.g, graph.UnitSpec[key, string]{
		Name: "fast unit", Lane: graph.Fast, Live: live,
		Compute: func(r *reader, k key) (string, error) {
			v, _ := w.fast.Get(r, k)
			t, _ := w.tested.Get(r, k)
			return v + "/" + t, nil
		},
	})
	return w
}

// commit takes "key=value" and "-key", for words, and "fast:key=value".
func (w *world) commit(edits ...string) *graph.Revision {
	return w.g.Commit(w.changes(edits...))
}

func (w *world) changes(edits ...string) *graph.Changes {
	c := graph.NewChanges()
	for _, e := range edits {
		in := w.words
		if rest, ok := strings.CutPrefix(e, "fast:"); ok {
			in, e = w.fast, rest
		}
		if k, ok := strings.CutPrefix(e, "-"); ok {
			in.Delete(c, key(k))
			continue
		}
		k, v, _ := strings.Cut(e, "=")
		in.Put(c, key(k), v)
	}
	return c
}

func (w *world) want(keys ...key) {
	c := graph.NewChanges()
	for _, k := range keys {
		w.wanted.Put(c, k, true)
	}
	w.g.Commit(c)
}

func TestAUnitIsComputedAgainExactlyWhenWhatItReadChanges(t *testing.T) {
	t.Parallel()
	type read = func(w *world, r *reader) string
	get := func(k key) read {
		return func(w *world, r *reader) string { v, ok := w.words.Get(r, k); return fmt.Sprintf("%v %v", v, ok) }
	}
	keys := func(k key) read {
		return func(w *world, r *reader) string { return fmt.Sprint(w.byLetter.Keys(r, k)) }
	}
	has := func(k key) read {
		return func(w *world, r *reader) string { return fmt.Sprint(w.byLetter.Has(r, k)) }
	}
	first := func(k key) read {
		return func(w *world, r *reader) string { v, ok := w.byLetter.First(r, k); return fmt.Sprintf("%v %v", v, ok) }
	}
	count := func(k key) read {
		return func(w *world, r *reader) string { return fmt.Sprint(w.byLetter.Count(r, k)) }
	}
	all := func(w *world, r *reader) string {
		n := 0
		for range w.words.All(r) {
			n++
		}
		return fmt.Sprint(n)
	}
	length := func(k key) read {
		return func(w *world, r *reader) string { v, ok := w.lengths.Get(r, k); return fmt.Sprintf("%v %v", v, ok) }
	}
	failure := func(k key) read {
		return func(w *world, r *reader) string { return fmt.Sprint(w.lengths.Failure(r, k)) }
	}
	follow := func(w *world, r *reader) string {
		v, _ := w.words.Get(r, "pointer")
		v, _ = w.words.Get(r, key(v))
		return v
	}
	cases := map[string]struct {
		reason string
		before []string
		read   read
		edit   []string
		again  bool
		want   string
	}{
		"row changed":      {"the row was read", []string{"a=x"}, get("a"), []string{"a=y"}, true, "y true"},
		"row deleted":      {"the hit was recorded", []string{"a=x"}, get("a"), []string{"-a"}, true, " false"},
		"row added":        {"the miss was recorded", nil, get("a"), []string{"a=x"}, true, "x true"},
		"other row":        {"it was not read", []string{"a=x"}, get("a"), []string{"b=y"}, false, "x true"},
		"equal value":      {"nothing changes", []string{"a=x"}, get("a"), []string{"a=x"}, false, "x true"},
		"there and back":   {"the last edit of a row wins", []string{"a=x"}, get("a"), []string{"a=y", "a=x"}, false, "x true"},
		"keys, row added":  {"the list grew", []string{"a=x"}, keys("x"), []string{"b=x"}, true, "[a b]"},
		"keys, from none":  {"an empty list is recorded", nil, keys("x"), []string{"b=x"}, true, "[b]"},
		"keys, row gone":   {"the list shrank", []string{"a=x", "b=x", "c=x"}, keys("x"), []string{"-b"}, true, "[a c]"},
		"keys, row moved":  {"the row left the entry", []string{"a=x", "b=x"}, keys("x"), []string{"b=y"}, true, "[a]"},
		"keys, new value":  {"the row stays listed", []string{"a=x", "b=x"}, keys("x"), []string{"b=xy"}, false, "[a b]"},
		"keys, other key":  {"another entry changed", []string{"a=x"}, keys("x"), []string{"b=y"}, false, "[a]"},
		"has, third row":   {"emptiness is the same", []string{"a=x", "b=x"}, has("x"), []string{"c=x"}, false, "true"},
		"has, last row":    {"the entry became empty", []string{"a=x", "b=x"}, has("x"), []string{"-a", "-b"}, true, "false"},
		"has, first row":   {"the entry is no longer empty", nil, has("x"), []string{"b=x"}, true, "true"},
		"has, swapped":     {"one came as one went", []string{"a=x"}, has("x"), []string{"-a", "b=x"}, false, "true"},
		"first, larger":    {"the first stays", []string{"b=x"}, first("x"), []string{"c=x"}, false, "b true"},
		"first, smaller":   {"there is a new first", []string{"b=x"}, first("x"), []string{"a=x"}, true, "a true"},
		"first, gone":      {"the next one is first", []string{"a=x", "b=x", "c=x"}, first("x"), []string{"-a"}, true, "b true"},
		"first, all gone":  {"there is none", []string{"a=x", "b=x"}, first("x"), []string{"-a", "-b"}, true, " false"},
		"first, other one": {"the first stays", []string{"a=x", "b=x"}, first("x"), []string{"-b"}, false, "a true"},
		"count, row added": {"there are more", []string{"a=x"}, count("x"), []string{"b=x"}, true, "2"},
		"count, from none": {"that there is none is recorded", nil, count("x"), []string{"a=x"}, true, "1"},
		"count, row gone":  {"there are fewer", []string{"a=x", "b=x", "c=x"}, count("x"), []string{"-a"}, true, "2"},
		"count, all gone":  {"there is none", []string{"a=x", "b=x"}, count("x"), []string{"-a", "-b"}, true, "0"},
		"count, swapped":   {"one came as one went", []string{"a=x", "b=x"}, count("x"), []string{"-a", "c=x"}, false, "2"},
		"count, new value": {"the row stays listed", []string{"a=x", "b=x"}, count("x"), []string{"b=xy"}, false, "2"},
		"all":              {"any row counts", []string{"a=x"}, all, []string{"b=y"}, true, "3"},
		"unit changed":     {"its value differs", []string{"a=x"}, length("a"), []string{"a=xx"}, true, "2 true"},
		"unit cut off":     {"its value is equal", []string{"a=x"}, length("a"), []string{"a=y"}, false, "1 true"},
		"unit withheld":    {"its value has gone", []string{"a=x"}, length("a"), []string{"a=bad"}, true, "0 false"},
		"unit healed":      {"its value is back", []string{"a=bad"}, length("a"), []string{"a=x"}, true, "1 true"},
		"unit fails":       {"the failure was read", []string{"a=x"}, failure("a"), []string{"a=bad"}, true, "bad word"},
		"unit born":        {"the miss was recorded", nil, length("a"), []string{"a=x"}, true, "1 true"},
		"unit dies":        {"nothing keeps it alive", []string{"a=x"}, length("a"), []string{"-a"}, true, "0 false"},
		"no longer read":   {"the pointer had turned", []string{"pointer=b", "a=x", "b=y"}, follow, []string{"a=z"}, false, "y"},
		"now read":         {"the pointer had turned", []string{"pointer=b", "a=x", "b=y"}, follow, []string{"b=z"}, true, "z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(func(w *world, r *reader, _ key) (string, error) { return c.read(w, r), nil })
			w.commit("pointer=a")
			w.want("u")
			w.commit(c.before...)
			w.computed = nil
			rev := w.commit(c.edit...)
			if again := len(w.computed) == 1; again != c.again || len(w.computed) > 1 {
				t.Errorf("%s: computed %d times, want %v", c.reason, len(w.computed), c.again)
			}
			got, _ := w.tested.Get(rev.Reader(), "u")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestAnEqualValueStaysInItsPlace(t *testing.T) {
	t.Parallel()
	g := graph.New()
	in := graph.NewInput[key, *int](g, "in", graph.Main, func(a, b *int) bool { return *a == *b })
	first, second := new(1), new(1)
	c := graph.NewChanges()
	in.Put(c, "a", first)
	before := g.Commit(c)
	c = graph.NewChanges()
	in.Put(c, "a", second)
	in.Delete(c, "missing")
	after := g.Commit(c)
	if got, _ := in.Get(after.Reader(), "a"); got != first || after != before {
		t.Errorf("an equal value made revision %d and replaced the old one: %v", after.Number(), got != first)
	}
}

func TestChangesOfAreThoseOfTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(func(*world, *reader, key) (string, error) { return "", nil })
	w.commit("a=x", "b=xx", "c=bad", "d=y")
	rev := w.commit("b=yyy", "c=ok", "-a", "d=z", "e=bad", "f=")
	want := []graph.Change[key, int]{
		{Key: "a", Old: 1, HadOld: true},
		{Key: "b", Old: 2, New: 3, HadOld: true, HasNew: true},
		{Key: "c", New: 2, HasNew: true}, // withheld before
		{Key: "f", New: 0, HasNew: true}, // d is equal, e is withheld
	}
	if diff := cmp.Diff(want, graph.ChangesOf(rev, w.lengths)); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	if got := graph.ChangesOf(rev, w.tested); len(got) != 0 {
		t.Errorf("a table that did not change has changes: %v", got)
	}
}

func TestARevisionNeverChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(func(*world, *reader, key) (string, error) { return "", nil })
	old := w.commit("a=x", "b=xx")
	w.commit("a=yyy", "-b", "c=x")
	var rows []string
	for k, n := range w.lengths.All(old.Reader()) {
		rows = append(rows, fmt.Sprint(k, n))
	}
	if diff := cmp.Diff([]string{"a1", "b2"}, rows); diff != "" {
		t.Errorf("rows (-want, +got):\n%s", diff)
	}
	if diff := cmp.Diff([]key{"a", "b"}, w.byLetter.Keys(old.Reader(), "x")); diff != "" {
		t.Errorf("index (-want, +got):\n%s", diff)
	}
	if diff := cmp.Diff([]key{"x"}, slices.Collect(w.byLetter.All(old.Reader()))); diff != "" {
		t.Errorf("index keys (-want, +got):\n%s", diff)
	}
	if diff := cmp.Diff([]key{"x", "y"}, slices.Collect(w.byLetter.All(w.g.Current().Reader()))); diff != "" {
		t.Errorf("index keys of the next revision (-want, +got):\n%s", diff)
	}
}

func TestAUnitLivesWhileAnyIndexListsIt(t *testing.T) {
	t.Parallel()
	g := graph.New()
	left := graph.NewInput[key, int](g, "left", graph.Main, nil)
	right := graph.NewInput[key, int](g, "right", graph.Main, nil)
	unit := graph.NewUnit(g, graph.UnitSpec[key, int]{
		Name: "unit",
		Live: []graph.Liveness[key]{
			graph.NewIndex(left, "itself", itself[int]), graph.NewIndex(right, "itself", itself[int]),
		},
		Compute: func(r *reader, k key) (int, error) {
			l, _ := left.Get(r, k)
			return l, nil
		},
	})
	type step struct {
		reason string
		edit   func(c *graph.Changes)
		lives  bool
	}
	for _, s := range []step{
		{"the left lists it", func(c *graph.Changes) { left.Put(c, "k", 1) }, true},
		{"both list it", func(c *graph.Changes) { right.Put(c, "k", 1) }, true},
		{"the right still does", func(c *graph.Changes) { left.Delete(c, "k") }, true},
		{"nobody does", func(c *graph.Changes) { right.Delete(c, "k") }, false},
		{"from one to the other", func(c *graph.Changes) { left.Put(c, "k", 2) }, true},
		{"in one commit", func(c *graph.Changes) { left.Delete(c, "k"); right.Put(c, "k", 2) }, true},
	} {
		c := graph.NewChanges()
		s.edit(c)
		rev := g.Commit(c)
		if _, lives := unit.Get(rev.Reader(), "k"); lives != s.lives {
			t.Errorf("%s: lives %v, want %v", s.reason, lives, s.lives)
		}
	}
}

func TestInternedKeepsTheFirstPayload(t *testing.T) {
	t.Parallel()
	g := graph.New()
	in := graph.NewInput[key, *string](g, "in", graph.Main, nil)
	x := graph.NewInterned(in, "digests", func(_ key, v *string) []graph.Entry[key, *string] {
		return []graph.Entry[key, *string]{{Key: key((*v)[:1]), Payload: v}}
	})
	put := func(edit func(c *graph.Changes)) *string {
		c := graph.NewChanges()
		edit(c)
		p, _ := x.Payload(g.Commit(c).Reader(), "d")
		return p
	}
	one, two, three := new("d1"), new("d2"), new("d3")
	if got := put(func(c *graph.Changes) { in.Put(c, "a", one); in.Put(c, "b", two) }); got != one {
		t.Error("the first payload is not kept")
	}
	if got := put(func(c *graph.Changes) { in.Delete(c, "a") }); got != one {
		t.Error("the payload goes with the row that brought it, though another lists it")
	}
	if got := put(func(c *graph.Changes) { in.Delete(c, "b"); in.Put(c, "c", three) }); got != one {
		t.Error("the payload is replaced though the key never went")
	}
	if got := put(func(c *graph.Changes) { in.Delete(c, "c") }); got != nil {
		t.Error("the payload outlives the rows")
	}
	if got := put(func(c *graph.Changes) { in.Put(c, "c", three) }); got != three {
		t.Error("a new first payload is not kept")
	}
}

func TestMisuseAtStartUpPanics(t *testing.T) {
	t.Parallel()
	spec := func(w *world, lane graph.Lane, live graph.Liveness[key]) graph.UnitSpec[key, int] {
		return graph.UnitSpec[key, int]{
			Name: "new", Lane: lane, Live: []graph.Liveness[key]{live},
			Compute: func(*reader, key) (int, error) { return 0, nil },
		}
	}
	cases := map[string]struct {
		reason string
		misuse func(w *world)
	}{
		"same name": {"a name is a table", func(w *world) { graph.NewInput[key, int](w.g, "words", graph.Main, nil) }},
		"late table": {"revisions have been made", func(w *world) {
			w.commit("a=x")
			graph.NewInput[key, int](w.g, "new", graph.Main, nil)
		}},
		"no compute": {"nothing to call", func(w *world) { graph.NewUnit(w.g, graph.UnitSpec[key, int]{Name: "new"}) }},
		"lane": {"main units cannot live by fast tables", func(w *world) {
			graph.NewUnit(w.g, spec(w, graph.Main, graph.NewIndex(w.fast, "itself", itself[string])))
		}},
		"other graph": {"its commits are not ours", func(w *world) {
			graph.NewUnit(w.g, spec(w, graph.Main, newWorld(nil).byLetter))
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(func(*world, *reader, key) (string, error) { return "", nil })
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", c.reason)
				}
			}()
			c.misuse(w)
		})
	}
}
