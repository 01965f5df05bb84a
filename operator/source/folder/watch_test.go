package folder_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatch(t *testing.T) {
	initial := map[string]string{"a.yaml": configMap("a", "1"), "b.yaml": configMap("b", "1")}
	cases := map[string]struct {
		reason       string
		change       func(w *watched)
		want         map[string]string
		wantProblems []string
	}{
		"written": {
			reason: "a file written in place",
			change: func(w *watched) { write(w.T, w.dir, map[string]string{"a.yaml": configMap("a", "2")}) },
			want:   map[string]string{"a": "2", "b": "1"},
		},
		"new": {
			reason: "a new file",
			change: func(w *watched) { write(w.T, w.dir, map[string]string{"c.yaml": configMap("c", "1")}) },
			want:   map[string]string{"a": "1", "b": "1", "c": "1"},
		},
		"removed": {
			reason: "a removed file takes its objects along",
			change: func(w *watched) { w.must(os.Remove(w.path("a.yaml"))) },
			want:   map[string]string{"b": "1"},
		},
		"renamed": {
			reason: "a renamed file keeps its objects",
			change: func(w *watched) {
				w.must(os.Rename(w.path("a.yaml"), w.path("z.yaml")))
				write(w.T, w.dir, map[string]string{"z.yaml": configMap("a", "2")})
			},
			want: map[string]string{"a": "2", "b": "1"},
		},
		"renamed away": {
			reason: "a file that is no manifest any more is gone",
			change: func(w *watched) { w.must(os.Rename(w.path("a.yaml"), w.path("a.yaml~"))) },
			want:   map[string]string{"b": "1"},
		},
		"atomic replacement": {
			reason: "what editors and careful writers do",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{".a.yaml.tmp": configMap("a", "2")})
				w.must(os.Rename(w.path(".a.yaml.tmp"), w.path("a.yaml")))
			},
			want: map[string]string{"a": "2", "b": "1"},
		},
		"hard link": {
			reason: "a new name of a whole file is read though nobody closes it",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{".c.tmp": configMap("c", "1")})
				w.must(os.Link(w.path(".c.tmp"), w.path("c.yaml")))
			},
			want: map[string]string{"a": "1", "b": "1", "c": "1"},
		},
		"new sub-folder": {
			reason: "files in folders that come later are found, however deep",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{"x/y/z/c.yaml": configMap("c", "1"), "x/d.yaml": configMap("d", "1")})
			},
			want: map[string]string{"a": "1", "b": "1", "c": "1", "d": "1"},
		},
		"folder moved in": {
			reason: "a folder that comes with its files",
			change: func(w *watched) {
				write(w.T, filepath.Dir(w.dir), map[string]string{"outside/c.yaml": configMap("c", "1")})
				w.must(os.Rename(filepath.Join(filepath.Dir(w.dir), "outside"), w.path("inside")))
			},
			want: map[string]string{"a": "1", "b": "1", "c": "1"},
		},
		"folder removed": {
			reason: "a removed folder takes its objects along, and only its own",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{"x/y/c.yaml": configMap("c", "1")})
				w.until(map[string]string{"a": "1", "b": "1", "c": "1"})
				w.must(os.RemoveAll(w.path("x")))
			},
			want: map[string]string{"a": "1", "b": "1"},
		},
		"folder moved away": {
			reason: "what happens in a folder that has left is nobody's business",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{"x/y/c.yaml": configMap("c", "1")})
				w.until(map[string]string{"a": "1", "b": "1", "c": "1"})
				away := filepath.Join(filepath.Dir(w.dir), "away")
				w.must(os.Rename(w.path("x"), away))
				w.until(map[string]string{"a": "1", "b": "1"})
				write(w.T, away, map[string]string{"y/c.yaml": configMap("c", "2")})
				w.fence()
			},
			want: map[string]string{"a": "1", "b": "1"},
		},
		"broken": {
			reason: "a file that cannot be parsed keeps what it gave, and is read again",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{"a.yaml": configMap("a", "2") + "kind: [\n"})
				w.until(map[string]string{"a": "1", "b": "1"}, "a.yaml:5: ")
				write(w.T, w.dir, map[string]string{"a.yaml": configMap("a", "3")})
			},
			want: map[string]string{"a": "3", "b": "1"},
		},
		"emptied": {
			reason: "an empty file holds nothing",
			change: func(w *watched) { write(w.T, w.dir, map[string]string{"a.yaml": ""}) },
			want:   map[string]string{"b": "1"},
		},
		"refused": {
			reason: "a version that the kind's rules forbid leaves the one before",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{"a.yaml": configMap("a", "2") + "dat: {}\n"})
			},
			want:         map[string]string{"a": "1", "b": "1"},
			wantProblems: []string{`a.yaml:5: ConfigMap default/a: dat: strict decoding error: unknown field "dat"`},
		},
		"taken over": {
			reason: "when the first of two files goes, the second takes over",
			change: func(w *watched) {
				write(w.T, w.dir, map[string]string{"c.yaml": configMap("a", "second")})
				w.until(map[string]string{"a": "1", "b": "1"}, "c.yaml:1: ConfigMap default/a: stated already at a.yaml:1")
				w.must(os.Remove(w.path("a.yaml")))
			},
			want: map[string]string{"a": "second", "b": "1"},
		},
		"unreadable": {
			reason: "a file that cannot be read is named and keeps what it gave",
			change: func(w *watched) {
				w.must(os.Symlink("nowhere.yaml", w.path(".tmp")))
				w.must(os.Rename(w.path(".tmp"), w.path("a.yaml")))
			},
			want:         map[string]string{"a": "1", "b": "1"},
			wantProblems: []string{"a.yaml: cannot be read: no such file or directory"},
		},
		"folder replaced": {
			reason: "the folder itself is replaced as a whole",
			change: func(w *watched) {
				write(w.T, filepath.Dir(w.dir), map[string]string{"next/a.yaml": configMap("a", "2")})
				w.must(os.Rename(w.dir, w.dir+".old"))
				w.until(map[string]string{"a": "1", "b": "1"}, "the folder is gone")
				w.must(os.Rename(filepath.Join(filepath.Dir(w.dir), "next"), w.dir))
				w.until(map[string]string{"a": "2"})
				write(w.T, w.dir, map[string]string{"a.yaml": configMap("a", "3")})
			},
			want: map[string]string{"a": "3"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := watch(t, initial)
			tc.change(w)
			w.until(tc.want, tc.wantProblems...)
			for name := range tc.want {
				if slices.Contains(w.deleted, name) {
					t.Errorf("%s was gone for a while", name)
				}
			}
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

// TestWatchHalfWritten holds that a file is not read before its writer has
// closed it: not when it is truncated, and not when a part of it is valid.
func TestWatchHalfWritten(t *testing.T) {
	w := watch(t, map[string]string{"a.yaml": configMap("a", "1") + "---\n" + configMap("b", "1")})
	f, err := os.Create(w.path("a.yaml"))
	w.must(err)
	w.fence()
	_, err = f.WriteString(configMap("a", "2"))
	w.must(err)
	w.fence()
	_, err = f.WriteString("---\n" + configMap("b", "2"))
	w.must(err)
	w.must(f.Close())
	w.until(map[string]string{"a": "2", "b": "2"})
	for _, name := range []string{"a", "b"} {
		if diff := cmp.Diff([]string{"1", "2"}, w.seen[name]); diff != "" {
			t.Errorf("values of %s (-want, +got):\n%s", name, diff)
		}
	}
}

// TestWatchProjectedVolume swaps a folder as the kubelet does for a mounted
// ConfigMap or Secret.
func TestWatchProjectedVolume(t *testing.T) {
	w := watch(t, nil)
	swap := func(n int, files map[string]string) {
		version := fmt.Sprintf("..version%d", n)
		write(t, w.path(version), files)
		w.must(os.Symlink(version, w.path("..data_tmp")))
		w.must(os.Rename(w.path("..data_tmp"), w.path("..data")))
		for name := range files {
			err := os.Symlink(filepath.Join("..data", name), w.path(name))
			if err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
		}
		w.must(os.RemoveAll(w.path(fmt.Sprintf("..version%d", n-1))))
	}
	for n := 1; n <= 3; n++ {
		value := fmt.Sprint(n)
		swap(n, map[string]string{"a.yaml": configMap("a", value), "b.yaml": configMap("b", value)})
		w.until(map[string]string{"a": value, "b": value})
	}
	w.neverGone()
	if diff := cmp.Diff([]string{"1", "2", "3"}, w.seen["a"]); diff != "" {
		t.Errorf("values of a (-want, +got):\n%s", diff)
	}
}

// TestWatchLinks follows symbolic links to files and folders elsewhere, and
// ends at a cycle.
func TestWatchLinks(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"a.yaml": configMap("a", "1"), "dir/b.yaml": configMap("b", "1")})
	w := watch(t, nil)
	w.must(os.Symlink(filepath.Join(outside, "a.yaml"), w.path("a.yaml")))
	w.must(os.Symlink(filepath.Join(outside, "dir"), w.path("dir")))
	w.must(os.Symlink(w.dir, w.path("cycle")))
	w.until(map[string]string{"a": "1", "b": "1"})
	write(t, outside, map[string]string{"a.yaml": configMap("a", "2"), "dir/b.yaml": configMap("b", "2")})
	w.until(map[string]string{"a": "2", "b": "2"})
	write(t, outside, map[string]string{"tmp": configMap("a", "3")})
	w.must(os.Rename(filepath.Join(outside, "tmp"), filepath.Join(outside, "a.yaml")))
	w.until(map[string]string{"a": "3", "b": "2"})
	w.must(os.Rename(filepath.Join(outside, "a.yaml"), filepath.Join(outside, "gone")))
	w.until(map[string]string{"a": "3", "b": "2"}, "a.yaml: cannot be read")
	write(t, outside, map[string]string{"a.yaml": configMap("a", "4")})
	w.until(map[string]string{"a": "4", "b": "2"})
	w.neverGone()
	w.must(os.Remove(w.path("dir")))
	w.must(os.Remove(w.path("a.yaml")))
	w.until(map[string]string{})
}

// TestWatchMany holds that nothing is lost while many files change at once,
// and that an unchanged file is not delivered again.
func TestWatchMany(t *testing.T) {
	const count = 300
	w := watch(t, map[string]string{"still.yaml": configMap("still", "1")})
	want := map[string]string{"still": "1"}
	for i := range count {
		name := fmt.Sprintf("f%03d", i)
		write(t, w.dir, map[string]string{fmt.Sprintf("d%d/%s.yaml", i%7, name): configMap(name, "1")})
		want[name] = "1"
	}
	w.until(want)
	write(t, w.dir, map[string]string{"still.yaml": "# a comment\n" + configMap("still", "1")})
	w.fence()
	for name, values := range w.seen {
		if len(slices.Compact(slices.Clone(values))) != len(values) {
			t.Errorf("%s was delivered again without a change: %q", name, values)
		}
	}
}

func TestRunWithoutFolder(t *testing.T) {
	err := folder.New(filepath.Join(t.TempDir(), "missing"), folder.Options{}).Run(t.Context(), source.SinkFunc(func(source.Batch) {
		t.Error("there is nothing to deliver")
	}))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
