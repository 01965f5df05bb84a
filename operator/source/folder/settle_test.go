package folder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/operator/source"
)

// scripted is a watcher that says what a test tells it to.
type scripted struct {
	*counts

	events chan []event
	done   chan struct{}
	// soon is what is told while files are read.
	soon []event
}

func (s *scripted) add(path string, _ interest) error {
	_, err := os.Stat(path)
	if err == nil {
		s.change(path, 1)
	}
	return err
}

func (s *scripted) remove(path string) { s.change(path, -1) }
func (*scripted) close()               {}
func (s *scripted) interrupt()         { close(s.done) }

func (s *scripted) next(wait time.Duration) ([]event, error) {
	if soon := s.soon; wait == 0 && soon != nil {
		s.soon = nil
		return soon, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case e := <-s.events:
		return e, nil
	case <-timer.C:
		return nil, nil
	case <-s.done:
		return nil, errors.New("interrupted")
	}
}

// script is a folder in a bubble of time, and when it delivered what.
type script struct {
	*testing.T
	*scripted

	dir   string
	start time.Time
	log   []string
	// broken is set while no file can be read.
	broken atomic.Bool
}

func (s *script) contents(path string) ([]byte, stamp, error) {
	if s.broken.Load() {
		return nil, stamp{}, syscall.EMFILE
	}
	return contents(path)
}

func (s *script) Apply(b source.Batch) {
	for _, o := range b.Changed {
		s.log = append(s.log, fmt.Sprintf("%v: %s", time.Since(s.start), o.GetName()))
	}
	for _, k := range b.Deleted {
		s.log = append(s.log, fmt.Sprintf("%v: no %s", time.Since(s.start), k.Name))
	}
}

func (s *script) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *script) path(name string) string { return filepath.Join(s.dir, name) }

// tell hands the watcher an event and waits until the folder has done with it.
func (s *script) tell(kind eventKind, name string) {
	s.events <- []event{{s.path(name), kind}}
	synctest.Wait()
}

func (s *script) write(name, text string) { s.must(os.WriteFile(s.path(name), []byte(text), 0o600)) }

func (s *script) remove(name string) {
	s.must(os.Remove(s.path(name)))
	s.tell(removed, name)
}

func (*script) pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble
	synctest.Wait()
}

func states(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {value: \"" + value + "\"}\n"
}

// run plays a script in a folder of a.yaml and b.yaml. What is watched in the
// end must be what is there.
func run(t *testing.T, play func(s *script)) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "manifests")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var log []string
	synctest.Test(t, func(t *testing.T) {
		s := &script{T: t, dir: dir, scripted: &scripted{
			counts: &counts{watches: map[string]int{}}, events: make(chan []event), done: make(chan struct{}),
		}}
		s.write("a.yaml", states("a", "1"))
		s.write("b.yaml", states("b", "1"))
		f := &folder{root: dir, contents: s.contents, watcher: func() (watcher, error) { return s.scripted, nil }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx, s) }()
		synctest.Wait()
		s.start, s.log = time.Now(), nil
		play(s)
		s.pass(2 * time.Second)
		if want, whole := Watches(dir); whole {
			if diff := cmp.Diff(want, s.all()); diff != "" {
				t.Errorf("watches (-want, +got):\n%s", diff)
			}
		}
		cancel()
		s.must(<-done)
		log = s.log
	})
	return log
}

// TestVanished holds that what is put back at once was never gone, and that
// nothing else waits for it.
func TestVanished(t *testing.T) {
	cases := map[string]struct {
		reason string
		play   func(s *script)
		want   []string
	}{
		"removed": {
			reason: "a plain removal waits for as long as a writer takes between two calls",
			play:   func(s *script) { s.remove("a.yaml") },
			want:   []string{"1ms: no a"},
		},
		"renamed": {
			reason: "the two halves of a rename may come apart",
			play: func(s *script) {
				s.must(os.Rename(s.path("a.yaml"), s.path("z.yaml")))
				s.tell(removed, "a.yaml")
				s.pass(time.Millisecond / 2)
				s.tell(moved, "z.yaml")
			},
		},
		"saved by vim": {
			reason: "it moves the file aside, writes it anew and closes it",
			play: func(s *script) {
				s.must(os.Rename(s.path("a.yaml"), s.path("a.yaml~")))
				s.tell(removed, "a.yaml")
				s.tell(moved, "a.yaml~")
				s.pass(time.Millisecond / 2)
				s.write("a.yaml", "")
				s.tell(created, "a.yaml")
				s.pass(50 * time.Millisecond)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
			},
			want: []string{"50.5ms: a"},
		},
		"moved by git": {
			reason: "it removes first, and then writes another file that states the same",
			play: func(s *script) {
				s.remove("a.yaml")
				s.write("z.yaml", "")
				s.tell(created, "z.yaml")
				s.pass(20 * time.Millisecond)
				s.write("z.yaml", states("a", "2"))
				s.tell(written, "z.yaml")
			},
			want: []string{"20ms: a"},
		},
		"moved by git into a new folder": {
			reason: "of whose files only the close is told",
			play: func(s *script) {
				s.remove("a.yaml")
				s.must(os.Mkdir(s.path("new"), 0o700))
				s.write("new/a.yaml", "")
				s.tell(created, "new")
				s.pass(20 * time.Millisecond)
				s.write("new/a.yaml", states("a", "2"))
				s.tell(written, "new/a.yaml")
			},
			want: []string{"20ms: a"},
		},
		"git takes its time": {
			reason: "its lock says that it has not done",
			play: func(s *script) {
				s.must(os.Mkdir(s.path(".git"), 0o700))
				s.write(".git/index.lock", "")
				s.remove("a.yaml")
				s.remove("b.yaml")
				s.pass(30 * time.Millisecond)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
				s.pass(time.Millisecond / 2)
				s.must(os.Remove(s.path(".git/index.lock")))
			},
			want: []string{"30ms: a", "31ms: no b"},
		},
		"git takes its time in a work tree of its own": {
			reason: "a file leads to where the lock is, and the folder may be below",
			play: func(s *script) {
				git := filepath.Join(filepath.Dir(s.dir), "main.git")
				s.must(os.Mkdir(git, 0o700))
				s.write("../.git", "gitdir: main.git\n")
				s.write("../main.git/index.lock", "")
				s.remove("a.yaml")
			},
			want: []string{"100ms: no a"},
		},
		"another file is written meanwhile": {
			reason: "it decides nothing once it is closed, and waits for nothing",
			play: func(s *script) {
				s.remove("a.yaml")
				s.write("z.yaml", "")
				s.tell(created, "z.yaml")
				s.write("b.yaml", states("b", "2"))
				s.tell(written, "b.yaml")
				s.pass(20 * time.Millisecond)
				s.write("z.yaml", states("z", "1"))
				s.tell(written, "z.yaml")
			},
			want: []string{"0s: b", "20ms: z", "21ms: no a"},
		},
		"a writer that does not end": {
			reason: "nothing is held back for long",
			play: func(s *script) {
				s.remove("a.yaml")
				s.write("z.yaml", "")
				s.tell(created, "z.yaml")
			},
			want: []string{"100ms: no a"},
		},
		"events that do not end": {
			reason: "nor by others' changes",
			play: func(s *script) {
				s.remove("a.yaml")
				for range 300 {
					s.pass(time.Millisecond / 2)
					s.tell(touched, "b.yaml")
				}
			},
			want: []string{"100ms: no a"},
		},
		"a stated object is let go": {
			reason: "a file that is there says what it says",
			play: func(s *script) {
				s.write("a.yaml", "")
				s.tell(written, "a.yaml")
			},
			want: []string{"0s: no a"},
		},
		"the folder leaves": {
			reason: "files that go just before their folder are what it held last",
			play: func(s *script) {
				s.remove("a.yaml")
				s.must(os.RemoveAll(s.dir))
				s.tell(removed, "")
				s.pass(time.Second)
				s.must(os.Mkdir(s.dir, 0o700))
				s.write("a.yaml", states("a", "1"))
				s.write("b.yaml", states("b", "1"))
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, run(t, tc.play)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestNotClosed holds that a new file is read though nobody closes it, and
// none that is still being written.
func TestNotClosed(t *testing.T) {
	cases := map[string]struct {
		reason string
		play   func(s *script)
		want   []string
	}{
		"linked and unlinked": {
			reason: "a whole file was given its name, and has no other any more",
			play: func(s *script) {
				s.write("c.yaml", states("c", "1"))
				s.tell(created, "c.yaml")
			},
			want: []string{"200ms: c"},
		},
		"the target of a link": {
			reason: "it may be put in place in the same way",
			play: func(s *script) {
				s.write("../c.yaml", states("c", "1"))
				s.must(os.Symlink("../c.yaml", s.path("c.yaml")))
				s.tell(created, "c.yaml")
				s.write("../c.yaml", states("c", "2"))
				s.tell(created, "../c.yaml")
			},
			want: []string{"0s: c", "200ms: c"},
		},
		"a slow writer": {
			reason: "a file that changes is left to its writer",
			play: func(s *script) {
				for i := range 4 {
					s.write("c.yaml", states("c", "1234"[:i+1]))
					if i == 0 {
						s.tell(created, "c.yaml")
					}
					s.pass(150 * time.Millisecond)
				}
				s.tell(written, "c.yaml")
			},
			want: []string{"600ms: c"},
		},
		"an idle writer": {
			reason: "an empty file states nothing yet",
			play: func(s *script) {
				s.must(os.Rename(s.path("a.yaml"), s.path("a.yaml~")))
				s.write("a.yaml", "")
				s.tell(created, "a.yaml")
				s.pass(time.Second)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
			},
			want: []string{"1s: a"},
		},
		"gone again": {
			reason: "a passing file is none",
			play: func(s *script) {
				s.write("c.yaml", states("c", "1"))
				s.tell(created, "c.yaml")
				s.remove("c.yaml")
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, run(t, tc.play)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}
