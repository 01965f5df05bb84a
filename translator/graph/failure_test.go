package graph_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/graph"
)

func TestAFailureIsContained(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("own error")
	cases := map[string]struct {
		reason string
		fail   func(w *world, r *reader) error
		is     error
		text   string
	}{
		"error":       {"returned by Compute", func(*world, *reader) error { return errOwn }, errOwn, "own error"},
		"panic":       {"nothing escapes", func(*world, *reader) error { panic("boom") }, nil, `tested "u" panicked: boom`},
		"panic error": {"the error can be found", func(*world, *reader) error { panic(errOwn) }, errOwn, "panicked: own error"},
		"own table": {"a unit below itself is a cycle", func(w *world, r *reader) error {
			w.tested.Get(r, "other")
			return nil
		}, graph.ErrLayer, "unit tested reads tested"},
		"later table": {"it is not settled yet", func(w *world, r *reader) error {
			w.later.Get(r, "u")
			return nil
		}, graph.ErrLayer, "unit tested reads later"},
		"fast input": {"main never waits for fast", func(w *world, r *reader) error {
			w.fast.Get(r, "u")
			return nil
		}, graph.ErrLayer, "unit tested reads fast"},
		"whole table": {"a breach as well", func(w *world, r *reader) error {
			for range w.later.All(r) {
				break
			}
			return nil
		}, graph.ErrLayer, "unit tested reads later"},
		"whole index": {"for readers of revisions", func(w *world, r *reader) error {
			for range w.byLetter.All(r) {
				return errOwn
			}
			return nil
		}, graph.ErrLayer, "whole index letters"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(func(w *world, r *reader, k key) (string, error) {
				if v, _ := w.words.Get(r, "mood"); v == "fine" || k != "u" {
					return "fine", nil
				}
				return "lost", c.fail(w, r)
			})
			w.want("u", "v")
			rev := w.g.Current()
			if got, ok := w.tested.Get(rev.Reader(), "u"); ok || got != "" {
				t.Errorf("%s: a failed unit has the value %q", c.reason, got)
			}
			err := w.tested.Failure(rev.Reader(), "u")
			if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s: failure %v, want %q", c.reason, err, c.text)
			}
			want := []graph.Failure{{Table: "tested", Key: "u", Err: err}}
			if diff := cmp.Diff(want, rev.Failures(), cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })); diff != "" {
				t.Errorf("failures (-want, +got):\n%s", diff)
			}
			if got, _ := w.tested.Get(rev.Reader(), "v"); got != "fine" {
				t.Errorf("%s: a neighbour suffers: %q", c.reason, got)
			}
			rev = w.commit("mood=fine")
			if got, _ := w.tested.Get(rev.Reader(), "u"); got != "fine" || len(rev.Failures()) != 0 {
				t.Errorf("%s: not tried again: %q %v", c.reason, got, rev.Failures())
			}
		})
	}
}

func TestEqualFailuresCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(func(w *world, r *reader, k key) (string, error) {
		v, _ := w.words.Get(r, "a")
		return "", errors.New(v[:1])
	})
	w.commit("a=x1")
	w.want("u")
	stats := func(rev *graph.Revision, name string) graph.TableStats {
		for _, s := range rev.Stats() {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("no table %q", name)
		return graph.TableStats{}
	}
	rev := w.commit("a=x2")
	want := graph.TableStats{Name: "tested", Unit: true, Rows: 1, Withheld: 1, Computed: 1, CutOff: 1}
	if diff := cmp.Diff(want, stats(rev, "tested")); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	if got := stats(rev, "later").Computed; got != 0 {
		t.Errorf("%d units above were computed", got)
	}
}

func TestThePanicOfAUnitShowsWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(func(*world, *reader, key) (string, error) { return panickyUnit(), nil })
	w.want("u")
	var failed *graph.PanicError
	if !errors.As(w.tested.Failure(w.g.Current().Reader(), "u"), &failed) {
		t.Fatal("no PanicError")
	}
	if !strings.HasPrefix(failed.Stack, "github.com/signetproxy/signet/translator/graph_test.panickyUnit") {
		t.Errorf("the stack does not begin where the panic was:\n%s", failed.Stack)
	}
	if strings.Contains(failed.Stack, "Commit") || strings.Contains(failed.Error(), "\n") {
		t.Errorf("the stack goes on into the engine, or the message has it:\n%s", failed.Stack)
	}
}

//go:noinline
func panickyUnit() string {
	none := make([]string, strings.Count("", "x"))
	return none[len(none)-1]
}

func TestAPanickingIndexListsNothing(t *testing.T) {
	t.Parallel()
	g := graph.New()
	in := graph.NewInput[key, int](g, "in", graph.Main, nil)
	x := graph.NewIndex(in, "halves", func(k key, v int) []key { return []key{key("ab"[10/v-1]), k} })
	commit := func(edit func(c *graph.Changes)) *graph.Revision {
		c := graph.NewChanges()
		edit(c)
		return g.Commit(c)
	}
	rev := commit(func(c *graph.Changes) { in.Put(c, "good", 10); in.Put(c, "bad", 0) })
	if f := rev.Failures(); len(f) != 1 || f[0].Table != "in/halves" || f[0].Key != "bad" {
		t.Errorf("failures: %v", f)
	}
	if x.Has(rev.Reader(), "bad") || !x.Has(rev.Reader(), "good") {
		t.Error("the wrong rows are listed")
	}
	rev = commit(func(c *graph.Changes) { in.Put(c, "bad", 5) })
	if f := rev.Failures(); len(f) != 0 || !x.Has(rev.Reader(), "bad") {
		t.Errorf("the row is not tried again: %v", f)
	}
	commit(func(c *graph.Changes) { in.Put(c, "bad", 0) })
	rev = commit(func(c *graph.Changes) { in.Delete(c, "bad") })
	if f := rev.Failures(); len(f) != 0 {
		t.Errorf("the failure outlives the row: %v", f)
	}
}

func TestCheckImmutableNamesWhatAUnitChanged(t *testing.T) {
	t.Parallel()
	type shared struct {
		words []string
		self  *shared
		notes map[string]int
	}
	cases := map[string]struct {
		reason string
		touch  func(s *shared)
		bad    bool
	}{
		"left alone": {"reading is fine", func(*shared) {}, false},
		"slice":      {"an element", func(s *shared) { s.words[0] = "new" }, true},
		"map":        {"an entry", func(s *shared) { s.notes["a"]++ }, true},
		"pointer":    {"what it points to", func(s *shared) { s.self.self = nil }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := graph.New(graph.CheckImmutable(nil))
			in := graph.NewInput[key, *shared](g, "in", graph.Main, nil)
			unit := graph.NewUnit(g, graph.UnitSpec[key, int]{
				Name: "unit", Live: []graph.Liveness[key]{graph.NewIndex(in, "itself", itself[*shared])},
				Compute: func(r *reader, k key) (int, error) {
					s, _ := in.Get(r, k)
					c.touch(s)
					return 0, nil
				},
			})
			s := &shared{words: []string{"old"}, notes: map[string]int{"a": 1, "b": 2, "c": 3}}
			s.self = s
			changes := graph.NewChanges()
			in.Put(changes, "k", s)
			err := unit.Failure(g.Commit(changes).Reader(), "k")
			if errors.Is(err, graph.ErrMutated) != c.bad || err != nil && !strings.Contains(err.Error(), `in "k"`) {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
}

func TestExplainShowsWhatAUnitHadRead(t *testing.T) {
	t.Parallel()
	w := newWorld(func(w *world, r *reader, k key) (string, error) {
		w.words.Get(r, "a")
		w.words.Get(r, "missing")
		w.words.Get(r, "a")
		w.byLetter.Keys(r, "x")
		w.byLetter.First(r, "?")
		w.byLetter.Has(r, "x")
		for range w.lengths.All(r) {
			break
		}
		return "", errBad
	})
	w.commit("a=x")
	w.want("u")
	rev := w.commit("b=y")
	want := graph.Explanation{
		Table: "tested", Key: "u", ComputedAt: 3, Err: errBad,
		Dependencies: []graph.Dependency{
			{Table: "words", Kind: "row", Key: "a", Found: true},
			{Table: "words", Kind: "row", Key: "missing"},
			{Table: "words", Index: "letters", Kind: "keys", Key: "x", Found: true},
			{Table: "words", Index: "letters", Kind: "first", Key: "?"},
			{Table: "words", Index: "letters", Kind: "has", Key: "x", Found: true},
			{Table: "lengths", Kind: "table", Found: true},
		},
	}
	sameErr := cmp.Comparer(errors.Is)
	if got, ok := rev.Explain("tested", "u"); !ok {
		t.Error("not found by its name")
	} else if diff := cmp.Diff(want, got, sameErr); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	if got, ok := w.tested.Explain(rev, "u"); !ok || !cmp.Equal(want, got, sameErr) {
		t.Error("the table explains it otherwise")
	}
	if got, ok := rev.Explain("words", "a"); !ok || got.Dependencies != nil {
		t.Errorf("an input: %v %v", got, ok)
	}
	for _, name := range []string{"tested", "no such table"} {
		if _, ok := rev.Explain(name, "nobody"); ok {
			t.Errorf("%s explains a key that does not exist", name)
		}
	}
}
