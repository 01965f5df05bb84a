package figures

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/load"
)

const (
	what = "header edited"
	size = 1000
)

// measured is a report of one scenario; each run is one of the functions.
func measured(runs ...func(*Run)) *Report {
	r := New("hosts", io.Discard)
	r.Measure(context.Background(), Scenario{ID: "D1"}, size, len(runs), func(run *Run) error {
		runs[run.nth-1](run)
		return nil
	})
	r.Summarize()
	return r
}

// steps are durations of 1 ms, 2 ms and so on.
func steps(n int, bars ...Bar) func(*Run) {
	took := make([]time.Duration, n)
	for i := range took {
		took[i] = time.Duration(n-i) * time.Millisecond
	}
	return func(r *Run) { r.Times(what, took, bars...) }
}

func value(v float64, bars ...Bar) func(*Run) {
	return func(r *Run) { r.Value(what, v, MiB, bars...) }
}

func TestSummary(t *testing.T) {
	times := Subject{Scenario: "D1", Size: size, What: what, Unit: Millis}
	memory := Subject{Scenario: "D1", Size: size, What: what, Unit: MiB}
	cases := map[string]struct {
		reason string
		runs   []func(*Run)
		want   []Summary
	}{
		"OneRun": {
			"percentiles are values that were measured, whatever order they came in",
			[]func(*Run){steps(100)},
			[]Summary{{Subject: times, Runs: 1, N: 100, P50: 51, P99: 99, Max: 100, LowP50: 51, HighP50: 51}},
		},
		"OddRuns": {
			"medians of p50 and p99, the largest max, the spread of p50",
			[]func(*Run){steps(200), steps(40), steps(100)},
			[]Summary{{Subject: times, Runs: 3, N: 340, P50: 51, P99: 99, Max: 200, LowP50: 21, HighP50: 101}},
		},
		"EvenRuns": {
			"of two runs the worse one counts",
			[]func(*Run){steps(100), steps(40)},
			[]Summary{{Subject: times, Runs: 2, N: 140, P50: 51, P99: 99, Max: 100, LowP50: 21, HighP50: 51}},
		},
		"SingleValues": {
			"a single value counts by its largest, and shows its spread",
			[]func(*Run){value(70), value(90), value(80)},
			[]Summary{{Subject: memory, Runs: 3, N: 3, P50: 80, P99: 80, Max: 90, LowP50: 70, HighP50: 90}},
		},
		"Count": {
			"a count has no unit",
			[]func(*Run){func(r *Run) { r.Count(what, 2) }},
			[]Summary{{Scenario: "D1", Size: size, What: what, Runs: 1, N: 1, P50: 2, P99: 2, Max: 2, LowP50: 2, HighP50: 2}},
		},
		"NoTimes": {"what was never measured has no figure", []func(*Run){steps(0)}, []Summary{}},
		"Bars": {
			"a bar is met by its very value, and judged over all runs",
			[]func(*Run){steps(200, P50(51), P99(98), Max(200)), steps(40, P50(51), P99(98), Max(200)), steps(100, P50(51), P99(98), Max(200))},
			[]Summary{{
				Subject: times, Runs: 3, N: 340, P50: 51, P99: 99, Max: 200, LowP50: 21, HighP50: 101,
				Bars: []Verdict{{"p50", 51, true}, {"p99", 98, false}, {"max", 200, true}},
			}},
		},
		"BarOfOneRun": {
			"one run that is above a bar of the largest value misses it",
			[]func(*Run){value(0, Max(0)), value(1, Max(0)), value(0, Max(0))},
			[]Summary{{
				Subject: memory, Runs: 3, N: 3, Max: 1, HighP50: 1, Bars: []Verdict{{"max", 0, false}},
			}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, measured(c.runs...).Summary); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}

func TestSubjectsStayApart(t *testing.T) {
	r := New("hosts", io.Discard)
	for _, s := range []Scenario{{ID: "D2"}, {ID: "D1"}} {
		for _, n := range []int{5000, 1000} {
			r.Measure(t.Context(), s, n, 2, func(run *Run) error {
				run.Count("b", 0)
				run.Count("a", 0)
				return nil
			})
		}
	}
	r.Summarize()
	var got []Subject
	for i := range r.Summary {
		got = append(got, r.Summary[i].Subject)
		if r.Summary[i].Runs != 2 {
			t.Errorf("%+v has %d runs, want 2", r.Summary[i].Subject, r.Summary[i].Runs)
		}
	}
	want := []Subject{
		{"D2", 5000, "b", ""}, {"D2", 5000, "a", ""}, {"D2", 1000, "b", ""}, {"D2", 1000, "a", ""},
		{"D1", 5000, "b", ""}, {"D1", 5000, "a", ""}, {"D1", 1000, "b", ""}, {"D1", 1000, "a", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subjects in the order of their first run: -want, +got:\n%s", diff)
	}
}

func TestHistogram(t *testing.T) {
	var h load.Histogram
	for i := range 100 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	f := measured(func(r *Run) { r.Histogram("requests", &h) }).Figures[0]
	if f.N != 100 || f.Max != 100 || f.P50 < 50 || f.P50 > 51 || f.P99 < 99 || f.P99 > 100 {
		t.Errorf("1 to 100 ms: %+v", f.Values)
	}
}

func TestMeasure(t *testing.T) {
	lost := errors.New("an answer was lost")
	cases := map[string]struct {
		reason string
		// once is given the context's end.
		once func(end func(), run *Run) error
		runs []int
		want []string
	}{
		"Right": {"nothing was wrong", func(func(), *Run) error { return nil }, []int{1, 2, 3}, nil},
		"Wrong": {
			"a run that went wrong keeps no other from running, and its figures stay",
			func(_ func(), run *Run) error {
				if run.nth == 2 {
					return lost
				}
				return nil
			},
			[]int{1, 2, 3},
			[]string{"S1, 20 objects, run 2: an answer was lost"},
		},
		"Ended": {
			"no run begins when the context has ended",
			func(end func(), _ *Run) error {
				end()
				return nil
			},
			[]int{1}, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			defer end()
			r := New("objects", io.Discard)
			r.Measure(ctx, Scenario{ID: "S1"}, 20, 3, func(run *Run) error {
				run.Count(what, 0)
				return c.once(end, run)
			})
			var runs []int
			for i := range r.Figures {
				runs = append(runs, r.Figures[i].Run)
			}
			if diff := cmp.Diff(c.runs, runs); diff != "" {
				t.Errorf("%s: runs: -want, +got:\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(c.want, r.Wrong); diff != "" {
				t.Errorf("%s: wrong: -want, +got:\n%s", c.reason, diff)
			}
			if got := errors.Is(r.Err(), lost); got != (c.want != nil) {
				t.Errorf("%s: the error is %v", c.reason, r.Err())
			}
		})
	}
}

func TestPrint(t *testing.T) {
	r := New("objects", io.Discard)
	r.Measure(t.Context(), Scenario{ID: "S1"}, 50, 1, func(run *Run) error {
		run.Value("memory", 310, MiB, Max(300))
		run.Times(what, []time.Duration{time.Millisecond, 2 * time.Millisecond}, P50(3))
		run.Count("writes", 0)
		return errors.New("lost")
	})
	r.Summarize()
	var out bytes.Buffer
	r.Print(&out)
	var got [][]string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line))
	}
	want := [][]string{
		strings.Fields("objects what unit n p50 p99 max spread bars"),
		strings.Fields("S1 50 memory MiB 1 310.00 310.00 to 310.00 max <= 300 MISSED"),
		strings.Fields("S1 50 header edited ms 2 2.00 2.00 2.00 2.00 to 2.00 p50 <= 3 met"),
		strings.Fields("S1 50 writes - 1 0.00 0.00 to 0.00"),
		strings.Fields("WRONG: S1, 50 objects, run 1: lost"),
	}
	if diff := cmp.Diff(want, got[2:]); diff != "" {
		t.Errorf("the table's words: -want, +got:\n%s", diff)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	r := New("hosts", &out)
	r.Measure(t.Context(), Scenario{ID: "D1", About: "edits"}, size, 1, func(run *Run) error {
		run.Count("a", 2)
		return errors.New("lost")
	})
	got := strings.Fields(out.String())
	want := strings.Fields("D1, 1000 hosts, run 1 of 1: edits a 2 WRONG: D1, 1000 hosts, run 1: lost")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is said meanwhile: -want, +got:\n%s", diff)
	}
}

func TestWrite(t *testing.T) {
	r := measured(value(7, Max(8)))
	r.Wrong = []string{"lost"}
	path := filepath.Join(t.TempDir(), "figures.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"time", "processors", "go"} {
		if got[field] == nil {
			t.Errorf("%s is missing", field)
		}
		delete(got, field)
	}
	subject := map[string]any{"scenario": "D1", "size": 1000.0, "what": what, "unit": "MiB", "n": 1.0, "p50": 7.0, "p99": 7.0, "max": 7.0}
	want := map[string]any{
		"sizes":   "hosts",
		"figures": []any{with(subject, map[string]any{"run": 1.0})},
		"summary": []any{with(subject, map[string]any{
			"runs": 1.0, "lowP50": 7.0, "highP50": 7.0,
			"bars": []any{map[string]any{"of": "max", "most": 8.0, "met": true}},
		})},
		"wrong": []any{"lost"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the document: -want, +got:\n%s", diff)
	}
	if err := r.Write(""); err != nil {
		t.Errorf("no path is no file: %v", err)
	}
	if err := r.Write(filepath.Join(path, "below")); err == nil {
		t.Error("a file that cannot be written is no error")
	}
}

func with(fields, more map[string]any) map[string]any {
	out := maps.Clone(fields)
	maps.Copy(out, more)
	return out
}

func TestChoose(t *testing.T) {
	type scenario struct {
		Scenario

		hosts int
	}
	all := []scenario{{Scenario{"D1", "edits"}, 1}, {Scenario{"D2", "more"}, 2}, {Scenario{"D10", "memory"}, 3}}
	cases := map[string]struct {
		reason string
		list   string
		want   []int
		err    string
	}{
		"All":     {"nothing chosen is all", "", []int{1, 2, 3}, ""},
		"Some":    {"in the order of the list, in any case", "d10,D1", []int{3, 1}, ""},
		"Unknown": {"the error lists what there is", "D1,D9", nil, "--scenario \"D9\": there are\nD1   edits\nD2   more\nD10  memory"},
		"Part":    {"a part of a name is none", "D", nil, "--scenario \"D\": there are\n" + Describe(all)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			chosen, err := Choose(all, c.list)
			var got []int
			for _, s := range chosen {
				got = append(got, s.hosts)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(c.err, text); diff != "" {
				t.Errorf("%s: error: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}
