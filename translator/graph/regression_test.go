package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/graph"
)

// Cases that random histories do not reach by themselves.

func TestKeysLongerThanTheTreesHoldStayApart(t *testing.T) {
	t.Parallel()
	w := newWorld(func(*world, *reader, key) (string, error) { return "", nil })
	long := strings.Repeat("x", 70_000)
	rev := w.commit(long+"1=a", long+"2=aa", "short=a")
	var got []int
	for _, n := range w.lengths.All(rev.Reader()) {
		got = append(got, n)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int{1, 1, 2}, got); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	rev = w.commit("-" + long + "1")
	if keys := w.byLetter.Keys(rev.Reader(), "a"); len(keys) != 2 || !slices.Contains(keys, key(long+"2")) {
		t.Errorf("%d keys are left, want the short one and the second long one", len(keys))
	}
}

func TestARowWithManyEntriesAndAnEntryWithManyRows(t *testing.T) {
	t.Parallel()
	g := graph.New()
	in := graph.NewInput[key, int](g, "in", graph.Main, nil)
	x := graph.NewIndex(in, "divisors", func(_ key, n int) []key {
		list := []key{"all", "all"} // duplicates count once
		for i := range n {
			list = append(list, key(fmt.Sprintf("%03d", i%100)))
		}
		return list
	})
	computed := 0
	units := graph.NewUnit(g, graph.UnitSpec[key, int]{
		Name: "units", Live: []graph.Liveness[key]{x},
		Compute: func(r *reader, k key) (int, error) {
			computed++
			n, _ := in.Get(r, "hub")
			return n + len(x.Keys(r, k)), nil
		},
	})
	commit := func(k key, n int) *graph.Revision {
		c := graph.NewChanges()
		if n < 0 {
			in.Delete(c, k)
		} else {
			in.Put(c, k, n)
		}
		return g.Commit(c)
	}
	for i := range 40 {
		commit(key(fmt.Sprintf("row%02d", i)), 150)
	}
	rev := commit("hub", 0)
	if got, _ := units.Get(rev.Reader(), "099"); got != 40 {
		t.Errorf("099 is %d, want 40", got)
	}
	computed = 0
	rev = commit("hub", 1) // lists 000 too, whose 41 rows are then counted
	zero, _ := units.Get(rev.Reader(), "000")
	last, _ := units.Get(rev.Reader(), "099")
	if computed != 101 || zero != 42 || last != 41 {
		t.Errorf("%d computed, 000 is %d, 099 is %d; want 101, 42 and 41", computed, zero, last)
	}
	for i := range 40 {
		rev = commit(key(fmt.Sprintf("row%02d", i)), -1)
	}
	if got := slices.Collect(x.All(rev.Reader())); !slices.Equal(got, []key{"000", "all"}) {
		t.Errorf("left in the index: %v", got)
	}
}
