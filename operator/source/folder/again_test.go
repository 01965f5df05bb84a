//go:build linux

package folder_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	d := &denials{errors: map[string]error{outside: fmt.Errorf("raise the limit: %w", syscall.ENOSPC)}}
	w := watchSource(t, dir, folder.NewDenied(dir, d.of))
	problem := "a.yaml: warning: read once a second: what it leads to cannot be watched: raise the limit: no space left on device"
	w.until(map[string]string{"a": "1"}, problem)
	write(t, outside, map[string]string{"a.yaml": configMap("a", "2")})
	w.until(map[string]string{"a": "2"}, problem)
	d.set(outside, nil)
	w.until(map[string]string{"a": "2"})
}

// TestWatchReplacedAncestor replaces the folder through what leads to it.
func TestWatchReplacedAncestor(t *testing.T) {
	cases := map[string]struct {
		reason  string
		replace func(w *watched, at func(string) string)
		// The object a is in both folders, b in the first alone.
		wantDeleted []string
	}{
		"a link is switched": {
			reason: "ln -sfn, as deployments of releases do",
			replace: func(w *watched, at func(string) string) {
				w.must(os.Symlink("v2", at("next")))
				w.must(os.Rename(at("next"), at("current")))
			},
			wantDeleted: []string{"b"},
		},
		"the folder that the link leads to is replaced": {
			reason: "the link stays",
			replace: func(w *watched, at func(string) string) {
				w.must(os.Rename(at("v1"), at("old")))
				w.must(os.Rename(at("v2"), at("v1")))
			},
			wantDeleted: []string{"b"},
		},
		"what has left changes": {
			reason: "a folder that was moved away is nobody's business, and what it held serves on",
			replace: func(w *watched, at func(string) string) {
				w.must(os.Rename(at("v1"), at("old")))
				w.must(os.RemoveAll(at("old/manifests")))
				w.until(map[string]string{"a": "1", "b": "1"}, "the folder is gone")
				w.must(os.Rename(at("v2"), at("v1")))
			},
			wantDeleted: []string{"b"},
		},
		"it is found again soon": {
			reason: "the same folder, with its inode",
			replace: func(w *watched, at func(string) string) {
				w.must(os.Rename(at("v1"), at("old")))
				w.until(map[string]string{"a": "1", "b": "1"}, "the folder is gone")
				w.must(os.Rename(at("old"), at("v1")))
				w.until(map[string]string{"a": "1", "b": "1"})
				w.must(os.Remove(at("v1/manifests/b.yaml")))
				write(w.T, at("v1"), map[string]string{"manifests/a.yaml": configMap("a", "2")})
			},
			wantDeleted: []string{"b"},
		},
		"removed and made anew": {
			reason: "rm -rf and a new clone; what is removed slowly is gone for a while, so that nothing is said of it",
			replace: func(w *watched, at func(string) string) {
				w.must(os.RemoveAll(at("v1")))
				write(w.T, at("v1"), map[string]string{"manifests/a.yaml": configMap("a", "2")})
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			write(t, dir, map[string]string{
				"v1/manifests/a.yaml": configMap("a", "1"), "v1/manifests/b.yaml": configMap("b", "1"),
				"v2/manifests/a.yaml": configMap("a", "2"),
			})
			if err := os.Symlink("v1", at("current")); err != nil {
				t.Fatal(err)
			}
			w := watchDir(t, at("current/manifests"))
			tc.replace(w, at)
			w.until(map[string]string{"a": "2"})
			if tc.wantDeleted != nil && !slices.Equal(w.deleted, tc.wantDeleted) {
				t.Errorf("%s: %v were gone, want %v", tc.reason, w.deleted, tc.wantDeleted)
			}
			write(t, w.dir, map[string]string{"a.yaml": configMap("a", "3")})
			w.until(map[string]string{"a": "3"})
		})
	}
}

// TestWatchLinked puts whole files in place by a name alone: no writer closes
// them.
func TestWatchLinked(t *testing.T) {
	w := watch(t, nil)
	write(t, w.dir, map[string]string{".tmp": configMap("a", "1")})
	w.must(os.Link(w.path(".tmp"), w.path("a.yaml")))
	w.must(os.Remove(w.path(".tmp")))
	w.until(map[string]string{"a": "1"})

	fd, err := unix.Open(w.dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the file system has no files without a name")
	}
	w.must(err)
	f := os.NewFile(uintptr(fd), "nameless")
	defer f.Close()
	_, err = f.WriteString(configMap("b", "1"))
	w.must(err)
	w.must(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, w.path("b.yaml"), unix.AT_SYMLINK_FOLLOW))
	w.until(map[string]string{"a": "1", "b": "1"})
}
