//go:build linux

package folder_test

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/signetproxy/signet/operator/source/folder"
)

// denials are paths that may not be watched, as root may watch all.
type denials struct {
	mu     sync.Mutex
	errors map[string]error
}

func (d *denials) set(path string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errors[path] = err
}

func (d *denials) of(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.errors[path]
}

func TestWatchUnreadableFolder(t *testing.T) {
	cases := map[string]struct {
		reason      string
		deny        string
		err         error
		change      func(w *watched, d *denials)
		want        map[string]string
		wantProblem string
		// After path is allowed again and mend was called.
		mend     func(w *watched)
		wantThen map[string]string
	}{
		"from the start": {
			reason: "what may not be read is named, the rest serves; it is read when its attributes change",
			deny:   "x", err: syscall.EACCES,
			want:        map[string]string{"a": "1"},
			wantProblem: "x: cannot be read: permission denied",
			mend:        func(w *watched) { w.must(os.Chmod(w.path("x"), 0o700)) },
			wantThen:    map[string]string{"a": "1", "b": "1", "c": "1"},
		},
		"watches run out": {
			reason: "a limit of the kernel ends nothing, and is tried again without any event",
			deny:   "x/y", err: syscall.ENOSPC,
			want:        map[string]string{"a": "1", "b": "1"},
			wantProblem: "x/y: cannot be read: no space left on device",
			mend:        func(*watched) {},
			wantThen:    map[string]string{"a": "1", "b": "1", "c": "1"},
		},
		"a new folder": {
			reason: "mkdir -m 700 by another user",
			deny:   "new", err: syscall.EACCES,
			change: func(w *watched, _ *denials) { write(w.T, w.dir, map[string]string{"new/d.yaml": configMap("d", "1")}) },
			want:   map[string]string{"a": "1", "b": "1", "c": "1"}, wantProblem: "new: cannot be read: permission denied",
			mend:     func(w *watched) { w.must(os.Chmod(w.path("new"), 0o700)) },
			wantThen: map[string]string{"a": "1", "b": "1", "c": "1", "d": "1"},
		},
		"later": {
			reason: "what was known from below a folder stays, and what has gone meanwhile goes when it can be read",
			change: func(w *watched, d *denials) {
				d.set(w.path("x"), syscall.EACCES)
				write(w.T, filepath.Dir(w.dir), map[string]string{"other/b.yaml": configMap("b", "2")})
				w.must(unix.Renameat2(unix.AT_FDCWD, filepath.Join(filepath.Dir(w.dir), "other"), unix.AT_FDCWD, w.path("x"),
					unix.RENAME_EXCHANGE))
			},
			want:        map[string]string{"a": "1", "b": "1", "c": "1"},
			wantProblem: "x: cannot be read: permission denied",
			deny:        "x",
			mend:        func(*watched) {},
			wantThen:    map[string]string{"a": "1", "b": "2"},
		},
		"removed": {
			reason: "a folder that cannot be read takes its problem along when it goes",
			deny:   "x", err: syscall.EACCES,
			want:        map[string]string{"a": "1"},
			wantProblem: "x: cannot be read: permission denied",
			mend:        func(w *watched) { w.must(os.RemoveAll(w.path("x"))) },
			wantThen:    map[string]string{"a": "1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "manifests")
			write(t, dir, map[string]string{"a.yaml": configMap("a", "1"), "x/b.yaml": configMap("b", "1"), "x/y/c.yaml": configMap("c", "1")})
			d := &denials{errors: map[string]error{filepath.Join(dir, tc.deny): tc.err}}
			w := watchSource(t, dir, folder.NewDenied(dir, d.of))
			if tc.change != nil {
				tc.change(w, d)
			}
			w.until(tc.want, tc.wantProblem)
			d.set(w.path(tc.deny), nil)
			tc.mend(w)
			w.until(tc.wantThen)
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

// TestWatchUnwatchableTarget holds that a link is read though nobody may watch
// where it leads.
func TestWatchUnwatchableTarget(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"a.yaml": configMap("a", "1")})
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(outside, "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	d := &denials{errors: map[string]error{outside: syscall.EACCES}}
	w := watchSource(t, dir, folder.NewDenied(dir, d.of))
	problem := "a.yaml: warning: read once a second: what it leads to cannot be watched: permission denied"
	w.until(map[string]string{"a": "1"}, problem)
	write(t, outside, map[string]string{"a.yaml": configMap("a", "2")})
	w.until(map[string]string{"a": "2"}, problem)
	d.set(outside, nil)
	w.until(map[string]string{"a": "2"})
}
