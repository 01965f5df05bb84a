package graph_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/graph"
)

// diary is what happens on the goroutine of Run, in order.
type diary struct {
	*world
	lines   []string
	publish func(rev *graph.Revision)
}

// newDiary returns a world that writes down computations and revisions. during is
// called in each computation of a tested unit.
func newDiary(during func(d *diary, k key)) *diary {
	d := &diary{}
	d.world = newWorld(func(w *world, r *reader, k key) (string, error) {
		v, _ := w.words.Get(r, "shared")
		d.lines = append(d.lines, "compute "+string(k))
		during(d, k)
		return v, nil
	})
	d.publish = func(*graph.Revision) {}
	d.want("u1", "u2", "u3")
	d.lines = nil
	return d
}

// run runs until nothing is left to do. It must be called in a bubble, in which the
// graph was made too.
func (d *diary) run(t *testing.T, submit func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- d.g.Run(ctx, func(rev *graph.Revision) {
			fast, _ := d.fastUnit.Get(rev.Reader(), "u1")
			d.lines = append(d.lines, fmt.Sprintf("revision %d u1=%s", rev.Number(), fast))
			d.publish(rev)
		})
	}()
	submit()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

// overtaking submits a fast change while u1 is computed, once the first revision is
// there.
func overtaking(d *diary, k key) {
	if k == "u1" && d.g.Current().Number() > 0 {
		d.g.Submit(d.changes("fast:u1=new"))
	}
}

func TestAFastChangeOvertakesAMainCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(overtaking)
		d.run(t, func() {
			d.g.Submit(d.changes("shared=x"))
			d.g.Submit(d.changes("fast:u1=old"))
		})
		want := []string{
			"revision 2 u1=old/", // before the main commit is begun
			"compute u1",
			"revision 3 u1=new/", // between two of its units, on the state before
			"compute u2", "compute u3",
			"revision 4 u1=new/x", // and not lost
		}
		if diff := cmp.Diff(want, d.lines); diff != "" {
			t.Errorf("(-want, +got):\n%s", diff)
		}
	})
}

func TestTheChangesOfAnOvertakenCommitAreAgainstTheRevisionBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(overtaking)
		var got [][]graph.Change[key, string]
		d.publish = func(rev *graph.Revision) { got = append(got, graph.ChangesOf(rev, d.fastUnit)) }
		d.run(t, func() { d.g.Submit(d.changes("shared=x")) })
		want := [][]graph.Change[key, string]{
			{{Key: "u1", Old: "/", New: "new/", HadOld: true, HasNew: true}},
			{
				{Key: "u1", Old: "new/", New: "new/x", HadOld: true, HasNew: true},
				{Key: "u2", Old: "/", New: "/x", HadOld: true, HasNew: true},
				{Key: "u3", Old: "/", New: "/x", HadOld: true, HasNew: true},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want, +got):\n%s", diff)
		}
	})
}

func TestTheOrderOfChangesToOneFastRowIsKept(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		submit func(d *diary)
		want   string
	}{
		"mixed, then fast": {"the fast one waits for the mixed one ahead", func(d *diary) {
			d.g.Submit(d.changes("shared=x", "fast:u1=first"))
			d.g.Submit(d.changes("fast:u1=second"))
		}, "second/x"},
		"fast, then mixed": {"the mixed one comes last", func(d *diary) {
			d.g.Submit(d.changes("fast:u1=first"))
			d.g.Submit(d.changes("shared=x", "fast:u1=second"))
		}, "second/x"},
		"held up by one that waits": {"and so on", func(d *diary) {
			d.g.Submit(d.changes("shared=x", "fast:u1=first"))
			d.g.Submit(d.changes("fast:u1=second", "fast:u2=second"))
			d.g.Submit(d.changes("fast:u2=third", "fast:u1=third"))
		}, "third/x"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDiary(func(*diary, key) {})
				d.run(t, func() { c.submit(d) })
				if got, _ := d.fastUnit.Get(d.g.Current().Reader(), "u1"); got != c.want {
					t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
				}
			})
		})
	}
}

func TestAFloodOfFastChangesDoesNotStopTheMainLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(func(*diary, key) {})
		revisions, arrived := 0, 0
		d.publish = func(rev *graph.Revision) {
			revisions++
			if shared, _ := d.words.Get(rev.Reader(), "shared"); shared != "" && arrived == 0 {
				arrived = revisions
			}
			if arrived == 0 && revisions < 100 {
				d.g.Submit(d.changes(fmt.Sprintf("fast:u1=%d", revisions)))
			}
		}
		d.run(t, func() {
			d.g.Submit(d.changes("shared=x"))
			d.g.Submit(d.changes("fast:u1=first"))
		})
		// One before, one after each of the commit's ten units at most, and itself.
		if arrived < 3 || arrived > 12 {
			t.Errorf("the main commit came as revision %d", arrived)
		}
	})
}

func TestTheFirstRevisionHoldsAllThatWasPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(*world, *reader, key) (string, error) { return "", nil })
		w.g.Submit(w.changes("fast:u1=fast"))
		w.g.Submit(w.changes("a=x"))
		w.g.Submit(w.changes("b=y"))
		var got []string
		d := &diary{world: w, publish: func(rev *graph.Revision) {
			f, _ := w.fast.Get(rev.Reader(), "u1")
			a, _ := w.words.Get(rev.Reader(), "a")
			b, _ := w.words.Get(rev.Reader(), "b")
			got = append(got, f+a+b)
		}}
		d.run(t, func() {
			synctest.Wait()
			w.g.Submit(w.changes()) // nothing to do
			w.g.Submit(w.changes("a=x"))
		})
		if diff := cmp.Diff([]string{"fastxy"}, got); diff != "" {
			t.Errorf("revisions (-want, +got):\n%s", diff)
		}
	})
}

func TestAGraphHasOneWriter(t *testing.T) {
	t.Parallel()
	var w *world
	busy, panicked := error(nil), any(nil)
	w = newWorld(func(w *world, _ *reader, _ key) (string, error) {
		busy = w.g.Run(t.Context(), nil)
		defer func() { panicked = recover() }()
		w.commit("a=x")
		return "", nil
	})
	w.want("u")
	if !errors.Is(busy, graph.ErrBusy) {
		t.Errorf("a second Run returned %v", busy)
	}
	if panicked == nil {
		t.Error("a Commit inside a Commit did not panic")
	}
}

// TestReadersSeeWholeRevisions has readers at work while revisions are made. In each
// revision every unit is the sum of its two inputs, and all inputs are equal.
func TestReadersSeeWholeRevisions(t *testing.T) {
	t.Parallel()
	const keys, rounds, readers = 20, 200, 3
	g := graph.New()
	in := graph.NewInput[key, int](g, "in", graph.Main, nil)
	fast := graph.NewInput[key, int](g, "fast", graph.Fast, nil)
	x := graph.NewIndex(in, "itself", itself[int])
	sum := graph.NewUnit(g, graph.UnitSpec[key, [2]int]{
		Name: "sum", Lane: graph.Fast, Live: []graph.Liveness[key]{x},
		Compute: func(r *reader, k key) ([2]int, error) {
			a, _ := in.Get(r, k)
			b, _ := fast.Get(r, k)
			return [2]int{a, b}, nil
		},
	})
	put := func(t *graph.Input[key, int], n int) {
		c := graph.NewChanges()
		for k := range keys {
			t.Put(c, key(fmt.Sprint("k", k)), n)
		}
		g.Submit(c)
	}
	put(in, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	reached := make(chan struct{})
	wg.Go(func() {
		if err := g.Run(ctx, func(rev *graph.Revision) {
			a, _ := in.Get(rev.Reader(), "k0")
			b, _ := fast.Get(rev.Reader(), "k0")
			if a == rounds && b == rounds {
				close(reached)
			}
		}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		for n := range rounds {
			put(in, n+1)
		}
	})
	wg.Go(func() {
		for n := range rounds {
			put(fast, n+1)
		}
	})
	for range readers {
		wg.Go(func() {
			for ctx.Err() == nil {
				checkWhole(t, g.Current(), in, fast, sum)
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(time.Minute):
		t.Error("the last change never arrived")
	}
	cancel()
	wg.Wait()
}

func checkWhole(t *testing.T, rev *graph.Revision, in, fast *graph.Input[key, int], sum *graph.Unit[key, [2]int]) {
	t.Helper()
	r := rev.Reader()
	a, ok := in.Get(r, "k0")
	if !ok {
		return
	}
	b, _ := fast.Get(r, "k0")
	n := 0
	for k, got := range sum.All(r) {
		if want := [2]int{a, b}; got != want {
			t.Errorf("revision %d: %s is %v, want %v", rev.Number(), k, got, want)
		}
		n++
	}
	if why, ok := sum.Explain(rev, "k0"); n != 20 || !ok || len(why.Dependencies) != 2 {
		t.Errorf("revision %d: %d units, explained by %v", rev.Number(), n, why)
	}
}
