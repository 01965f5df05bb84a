package folder_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
)

// deadline bounds the wait for an event.
const deadline = 20 * time.Second

// watched is a folder with a running source, and what it has delivered.
type watched struct {
	*testing.T

	dir      string
	batches  chan source.Batch
	values   map[string]string
	problems []string
	// seen are all values that each object ever had.
	seen map[string][]string
	// deleted are the objects that were ever gone.
	deleted []string
}

func watch(t *testing.T, files map[string]string) *watched {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "manifests")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, files)
	return watchDir(t, dir)
}

func watchDir(t *testing.T, dir string) *watched {
	t.Helper()
	s, watches, asked := folder.NewCounted(dir)
	w := watchSource(t, dir, s)
	t.Cleanup(func() { w.watchesNoMore(watches, asked) })
	return w
}

// watchesNoMore holds that what is watched in the end is what is there.
func (w *watched) watchesNoMore(watches func() map[string]int, asked <-chan struct{}) {
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	for !w.Failed() {
		want, whole := folder.Watches(w.dir)
		if !whole || maps.Equal(want, watches()) {
			return
		}
		select {
		case <-asked:
		case <-timer.C:
			w.Errorf("watches (-want, +got):\n%s", cmp.Diff(want, watches()))
		}
	}
}

// neverGone holds that no object was gone but those.
func (w *watched) neverGone(but ...string) {
	w.Helper()
	for _, name := range w.deleted {
		if !slices.Contains(but, name) && !strings.HasPrefix(name, "fence") {
			w.Errorf("%s was gone for a while: %v", name, w.deleted)
		}
	}
}

func watchSource(t *testing.T, dir string, s source.Source) *watched {
	t.Helper()
	w := &watched{T: t, dir: dir, batches: make(chan source.Batch, 1000), values: map[string]string{}, seen: map[string][]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, source.SinkFunc(func(b source.Batch) { w.batches <- b }))
		close(w.batches)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	w.take(<-w.batches)
	return w
}

func (w *watched) take(b source.Batch) {
	for _, k := range b.Deleted {
		delete(w.values, k.Name)
		w.deleted = append(w.deleted, k.Name)
	}
	for _, o := range b.Changed {
		c, ok := o.(*corev1.ConfigMap)
		if !ok {
			w.Fatalf("got a %T, want a ConfigMap", o)
		}
		w.values[c.Name] = c.Data["value"]
		w.seen[c.Name] = append(w.seen[c.Name], c.Data["value"])
	}
	if b.Problems != nil {
		w.problems = problems(b)
	}
}

// until takes batches until the objects and the number of problems are as
// wanted.
func (w *watched) until(want map[string]string, wantProblems ...string) {
	w.Helper()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	for !maps.Equal(w.values, want) || !w.complains(wantProblems) {
		select {
		case b, ok := <-w.batches:
			if !ok {
				w.Fatal("the source has ended")
			}
			w.take(b)
		case <-timer.C:
			w.Fatalf("objects (-want, +got):\n%sproblems: %q, want %q", cmp.Diff(want, w.values), w.problems, wantProblems)
		}
	}
}

func (w *watched) complains(want []string) bool {
	if len(w.problems) != len(want) {
		return false
	}
	for i := range want {
		if !strings.Contains(w.problems[i], want[i]) {
			return false
		}
	}
	return true
}

func (w *watched) path(name string) string { return filepath.Join(w.dir, name) }

func (w *watched) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// fence waits until everything before has been taken.
func (w *watched) fence() {
	w.Helper()
	want := maps.Clone(w.values)
	mark := fmt.Sprintf("fence%d", len(w.seen))
	write(w.T, w.dir, map[string]string{mark + ".yaml": configMap(mark, "x")})
	want[mark] = "x"
	w.until(want, w.problems...)
	w.must(os.Remove(w.path(mark + ".yaml")))
	delete(want, mark)
	w.until(want, w.problems...)
}
