package host

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
)

func TestSweep(t *testing.T) {
	parent := t.TempDir()
	live, err := openFolder(parent, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	stale, err := openFolder(parent, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := stale.write("identity.json", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := stale.lock.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"signet-run-half", "signet-new-young", "signet-new-old", "other"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * birthTimeout)
	if err := os.Chtimes(filepath.Join(parent, "signet-new-old"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "signet-run-file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := openFolder(parent, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Base(live.path), filepath.Base(next.path), "signet-new-young", "signet-run-file", "other"}
	slices.Sort(want)
	if diff := cmp.Diff(want, children(t, parent)); diff != "" {
		t.Errorf("only what nobody holds is removed (-want, +got):\n%s", diff)
	}
	for _, f := range []*folder{live, next} {
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
}

// TestManyRunsAtOnce opens folders while others sweep.
func TestManyRunsAtOnce(t *testing.T) {
	parent := t.TempDir()
	folders := make(chan *folder)
	const runs = 30
	for range runs {
		go func() {
			f, err := openFolder(parent, logr.Discard())
			if err != nil {
				t.Error(err)
			}
			folders <- f
		}()
	}
	var all []*folder
	for range runs {
		if f := <-folders; f != nil {
			all = append(all, f)
		}
	}
	if got := len(children(t, parent)); got != runs {
		t.Errorf("%d folders for %d runs", got, runs)
	}
	for _, f := range all {
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
}

func TestSweepDoesNotFollowLinks(t *testing.T) {
	parent, elsewhere := t.TempDir(), t.TempDir()
	precious := filepath.Join(elsewhere, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(parent, "signet-run-link")); err != nil {
		t.Fatal(err)
	}
	sweep(parent, logr.Discard())
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a link led to the removal of another's file: %v", err)
	}
}

func TestFolderWriteReplaces(t *testing.T) {
	f, err := openFolder(t.TempDir(), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first, and longer", "second"} {
		if err := f.write("a.json", []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.file("a.json"))
		if err != nil || string(got) != content {
			t.Errorf("got %q (%v), want %q", got, err, content)
		}
	}
	if diff := cmp.Diff([]string{"a.json", "lock"}, children(t, f.path)); diff != "" {
		t.Errorf("no draft stays (-want, +got):\n%s", diff)
	}
	if err := f.remove(); err != nil {
		t.Fatal(err)
	}
	if err := f.write("a.json", nil); !errors.Is(err, ErrFolder) {
		t.Errorf("write to a removed folder: error %v, want ErrFolder", err)
	}
}

// TestSupervisorRemovesNothingElse gives the check what a mistaken or hostile
// caller might.
func TestSupervisorRemovesNothingElse(t *testing.T) {
	f, err := openFolder(t.TempDir(), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	other, err := openFolder(filepath.Dir(f.path), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []*folder{f, other} {
		t.Cleanup(func() { _ = g.remove() })
	}
	home := t.TempDir()
	if err := os.Link(f.file(lockName), filepath.Join(home, lockName)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		path   string
		good   bool
	}{
		"own":      {"the folder of the lock", f.path, true},
		"other":    {"the folder of another run", other.path, false},
		"home":     {"a folder of another name, even with the lock in it", home, false},
		"none":     {"a folder that is not there", f.path + "x", false},
		"relative": {"a path that depends on where one is", filepath.Base(f.path), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := checkFolder(tc.path, f.lock); (err == nil) != tc.good || (err != nil && !errors.Is(err, ErrFolder)) {
				t.Errorf("%s: error %v, want good %v", tc.reason, err, tc.good)
			}
		})
	}
}

func TestSupervisorNeedsItsParent(t *testing.T) {
	if _, err := newSupervisor([]string{"folder"}); !errors.Is(err, errSupervisor) {
		t.Errorf("too few arguments: error %v", err)
	}
	if _, err := newSupervisor([]string{"folder", "soon", "envoy"}); !errors.Is(err, errSupervisor) {
		t.Errorf("a time-out that is none: error %v", err)
	}
}

func TestBackoff(t *testing.T) {
	cases := map[string]struct {
		reason string
		ran    []time.Duration
		want   []time.Duration
	}{
		"doubles": {
			"each crash doubles the wait", make([]time.Duration, 5),
			[]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second},
		},
		"resets": {
			"an Envoy that ran for a minute is a good one", []time.Duration{0, 0, time.Minute, 0},
			[]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond},
		},
		"stays": {
			"almost a minute is not enough", []time.Duration{0, time.Minute - 1},
			[]time.Duration{250 * time.Millisecond, 500 * time.Millisecond},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var b backoff
			var got []time.Duration
			for _, ran := range tc.ran {
				var wait time.Duration
				wait, b = b.next(ran)
				got = append(got, wait)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
	wait, b := time.Duration(0), backoff{}
	for range 100 {
		wait, b = b.next(0)
	}
	if wait != backoffMax {
		t.Errorf("after 100 crashes the wait is %s, want %s", wait, backoffMax)
	}
}

func TestLineWriterIsBounded(t *testing.T) {
	var got []int
	w := &lineWriter{pass: func(line string) { got = append(got, len(line)) }}
	chunk := bytes.Repeat([]byte("a"), 1000)
	for range 200 {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
		if cap(w.rest) > 4*longestLine {
			t.Fatalf("%d bytes are kept", cap(w.rest))
		}
	}
	_, _ = w.Write([]byte("\nb\n"))
	if diff := cmp.Diff([]int{longestLine, 1}, got); diff != "" {
		t.Errorf("a long line is cut, the next is whole (-want, +got):\n%s", diff)
	}
}

// FuzzLineWriter holds that lines do not depend on how they were written.
func FuzzLineWriter(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"), 1)
	f.Add([]byte("\n\n"), 2)
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		step = max(1, step%64)
		lines := func(step int) []string {
			var got []string
			w := &lineWriter{pass: func(line string) { got = append(got, line) }}
			for part := range slices.Chunk(text, step) {
				if n, err := w.Write(part); n != len(part) || err != nil {
					t.Fatalf("Write gives %d, %v", n, err)
				}
			}
			w.flush()
			return got
		}
		if diff := cmp.Diff(lines(max(1, len(text))), lines(step)); diff != "" {
			t.Errorf("(-whole, +in parts):\n%s", diff)
		}
	})
}

func TestLogEnvoy(t *testing.T) {
	cases := map[string]struct {
		reason string
		line   string
		want   entry
	}{
		"warning": {"an operator sees warnings", `warning|config|stream \"a\" it\'s C:\\x`, entry{0, nil, `stream "a" it's C:\x`, []any{"level", "warning", "component", "config"}}},
		"debug":   {"debug is for those who ask", "debug|http|a|b", entry{1, nil, "a|b", []any{"level", "debug", "component", "http"}}},
		"error":   {"an error is one here too", "critical|main|no", entry{0, errEnvoySays, "no", []any{"level", "critical", "component", "main"}}},
		"forged":  {"a line break of a peer stays escaped", `info|tls|a\nerror|b`, entry{0, nil, `a\nerror|b`, []any{"level", "info", "component", "tls"}}},
		"other":   {"what is no entry is passed on", "Segmentation fault | x", entry{0, nil, "Segmentation fault | x", nil}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got entry
			logEnvoy(logr.New(&sink{to: &got}))(tc.line)
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(errors.Is)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

type entry struct {
	Level   int
	Err     error
	Message string
	Values  []any
}

type sink struct{ to *entry }

func (*sink) Init(logr.RuntimeInfo)               {}
func (*sink) Enabled(int) bool                    { return true }
func (s *sink) Info(l int, m string, v ...any)    { *s.to = entry{l, nil, m, v} }
func (s *sink) Error(e error, m string, v ...any) { *s.to = entry{0, e, m, v} }
func (s *sink) WithValues(...any) logr.LogSink    { return s }
func (s *sink) WithName(string) logr.LogSink      { return s }
