//go:build linux

package folder

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInotify holds what the kernel is asked to tell.
func TestInotify(t *testing.T) {
	const (
		in    = "in/a.yaml"
		aside = "aside.yaml"
	)
	cases := map[string]struct {
		reason string
		change func(at func(string) string) error
		want   []event
	}{
		"a file is written in place": {
			reason: "it is truncated, written and closed; the same twice is told once",
			change: func(at func(string) string) error { return os.WriteFile(at(in), []byte("2"), 0o600) },
			want:   []event{{in, modified}, {in, written}},
		},
		"a file is written twice": {
			reason: "the second truncation comes after the first close, and is told",
			change: func(at func(string) string) error {
				if err := os.WriteFile(at(in), []byte("2"), 0o600); err != nil {
					return err
				}
				return os.Truncate(at(in), 0)
			},
			want: []event{{in, modified}, {in, written}, {in, modified}},
		},
		"one that was removed is closed": {
			reason: "another may have its name by then, and be in the middle of a write",
			change: func(at func(string) string) error {
				f, err := os.OpenFile(at(in), os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				if err := os.Remove(at(in)); err != nil {
					return err
				}
				return f.Close()
			},
			want: []event{{in, removed}},
		},
		"a file beside the folder is written": {
			reason: "of the folder that the watched one is in, names are told alone",
			change: func(at func(string) string) error {
				if err := os.WriteFile(at(aside), []byte("2"), 0o600); err != nil {
					return err
				}
				return os.Remove(at(aside))
			},
			want: []event{{aside, created}, {aside, removed}},
		},
		"the folder is removed": {
			reason: "its watch has ended",
			change: func(at func(string) string) error { return os.RemoveAll(at("in")) },
			want:   []event{{in, removed}, {"in", lapsed}, {"in", removed}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(os.Mkdir(at("in"), 0o700))
			must(os.WriteFile(at(in), []byte("1"), 0o600))
			w, err := newWatcher()
			must(err)
			defer w.close()
			must(w.add(dir, namesAlone))
			must(w.add(at("in"), everything))
			must(tc.change(at))
			got, err := w.next(0)
			must(err)
			want := make([]event, 0, len(tc.want))
			for _, e := range tc.want {
				want = append(want, event{at(e.path), e.kind})
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestInotifyForgets holds that a folder is watched for as long as somebody
// wants it by any of its names, and not longer.
func TestInotifyForgets(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	w, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	paths := []string{dir, dir, link, link, dir}
	for _, path := range paths {
		if err := w.add(path, everything); err != nil {
			t.Fatal(err)
		}
	}
	told := func(want ...event) {
		t.Helper()
		path := filepath.Join(dir, "a")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		got, err := w.next(0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("(-want, +got):\n%s", diff)
		}
	}
	of := func(dir string) []event {
		path := filepath.Join(dir, "a")
		return []event{{path, created}, {path, written}, {path, removed}}
	}
	w.remove(dir)
	w.remove(link)
	w.remove(dir)
	both := []event{}
	for i := range of(dir) {
		both = append(both, of(dir)[i], of(link)[i])
	}
	told(both...)
	w.remove(dir)
	told(of(link)...)
	w.remove(link)
	if in, ok := w.(*inotify); !ok || len(in.paths) != 0 || len(in.watch) != 0 {
		t.Errorf("%v is left", w)
	}
}
