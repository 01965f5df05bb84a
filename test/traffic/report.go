package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/signetproxy/signet/test/load"
)

// Units of figures.
const (
	millis = "ms"
	mib    = "MiB"
	one    = ""
)

// report is all that was measured; it is the JSON document.
type report struct {
	Time       time.Time `json:"time"`
	Processors int       `json:"processors"`
	Go         string    `json:"go"`
	// Figures of each run, then what all runs say together.
	Figures []figure  `json:"figures"`
	Summary []summary `json:"summary"`
	Wrong   []string  `json:"wrong,omitempty"`
}

// figure is what one run says; with N 1 it is a single value, else the times of
// N changes or requests.
type figure struct {
	Scenario string  `json:"scenario"`
	Hosts    int     `json:"hosts"`
	Run      int     `json:"run"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	N        int     `json:"n"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`

	bars bars
}

// bars are the most that a figure should be; nil where none is set.
type bars map[string]float64

// none is the bar of what must not happen.
var none = bars{"max": 0}

// summary joins the runs of a figure: medians of P50 and P99, the largest Max.
type summary struct {
	Scenario string  `json:"scenario"`
	Hosts    int     `json:"hosts"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Runs     int     `json:"runs"`
	N        int     `json:"n"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
	// LowP50 and HighP50 are the spread between runs.
	LowP50  float64 `json:"lowP50"`
	HighP50 float64 `json:"highP50"`
	// Bars say which figure is at most what, and whether that is so.
	Bars []verdict `json:"bars,omitempty"`

	bars bars
}

type verdict struct {
	Of   string  `json:"of"`
	Most float64 `json:"most"`
	Met  bool    `json:"met"`
}

func newReport() *report {
	return &report{Time: time.Now(), Processors: runtime.NumCPU(), Go: runtime.Version()}
}

func (b *bench) add(f figure) {
	f.Scenario, f.Hosts, f.Run = b.id, b.Hosts, b.nth
	b.out.Figures = append(b.out.Figures, f)
	if f.N > 1 {
		_, _ = fmt.Fprintf(b.Progress, "  %-52s p50 %8.2f  p99 %8.2f  max %8.2f %s\n", f.What, f.P50, f.P99, f.Max, f.Unit)
	} else {
		_, _ = fmt.Fprintf(b.Progress, "  %-52s %g %s\n", f.What, f.Max, f.Unit)
	}
}

func (b *bench) value(what string, v int, unit string, limits bars) {
	x := float64(v)
	b.add(figure{What: what, Unit: unit, N: 1, P50: x, P99: x, Max: x, bars: limits})
}

func (b *bench) times(what string, took []time.Duration, limits bars) {
	slices.Sort(took)
	n := len(took)
	if n == 0 {
		return
	}
	b.add(figure{What: what, Unit: millis, N: n, P50: ms(took[n/2]), P99: ms(took[(n*99-1)/100]), Max: ms(took[n-1]), bars: limits})
}

func (b *bench) histogram(what string, h *load.Histogram, limits bars) {
	b.add(figure{What: what, Unit: millis, N: h.N(), P50: ms(h.At(0.5)), P99: ms(h.At(0.99)), Max: ms(h.Max()), bars: limits})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// summarize joins the runs and adds the ratios between figures.
func (r *report) summarize() {
	type key struct {
		scenario, what string
		hosts          int
	}
	var order []key
	groups := map[key][]figure{}
	for _, f := range r.Figures {
		k := key{f.Scenario, f.What, f.Hosts}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], f)
	}
	for _, k := range order {
		r.Summary = append(r.Summary, join(groups[k]))
	}
	r.Summary = append(r.Summary, ratios(r.Summary)...)
	for i := range r.Summary {
		r.Summary[i].judge()
	}
}

func join(runs []figure) summary {
	f := runs[0]
	s := summary{Scenario: f.Scenario, Hosts: f.Hosts, What: f.What, Unit: f.Unit, Runs: len(runs), bars: f.bars}
	pick := func(of func(figure) float64) []float64 {
		out := make([]float64, len(runs))
		for i, f := range runs {
			out[i] = of(f)
		}
		slices.Sort(out)
		return out
	}
	p50 := pick(func(f figure) float64 { return f.P50 })
	p99 := pick(func(f figure) float64 { return f.P99 })
	worst := pick(func(f figure) float64 { return f.Max })
	for _, f := range runs {
		s.N += f.N
	}
	last := len(runs) - 1
	s.P50, s.P99, s.Max, s.LowP50, s.HighP50 = p50[len(p50)/2], p99[len(p99)/2], worst[last], p50[0], p50[last]
	return s
}

func (s *summary) judge() {
	for _, of := range []string{"p50", "p99", "max"} {
		most, set := s.bars[of]
		if !set {
			continue
		}
		got := map[string]float64{"p50": s.P50, "p99": s.P99, "max": s.Max}[of]
		s.Bars = append(s.Bars, verdict{Of: of, Most: most, Met: got <= most})
	}
}

// ratios compare a figure at the largest size with the smallest, and a figure
// under pressure with the same without.
func ratios(rows []summary) []summary {
	var out []summary
	for i := range rows {
		large := &rows[i]
		for j := range rows {
			small := &rows[j]
			if large.Scenario != "D1" || small.Scenario != "D1" || large.What != small.What || large.Hosts <= small.Hosts ||
				len(large.bars) == 0 || large.Unit != millis || !isExtreme(rows, large.Hosts, small.Hosts) {
				continue
			}
			out = append(out, ratio(large, small, fmt.Sprintf("%s, by %d hosts", large.What, small.Hosts), bars{"p50": 1.3}))
		}
	}
	for i := range rows {
		for j := range rows {
			if rows[i].What == edits+withOthers && rows[j].What == edits+alone && rows[i].Hosts == rows[j].Hosts {
				out = append(out, ratio(&rows[i], &rows[j], edits+withOthers+", by alone", bars{"p50": 2, "p99": 2}))
			}
		}
	}
	return out
}

func isExtreme(rows []summary, large, small int) bool {
	for i := range rows {
		if rows[i].Scenario == "D1" && (rows[i].Hosts > large || rows[i].Hosts < small) {
			return false
		}
	}
	return true
}

func ratio(a, b *summary, what string, limits bars) summary {
	return summary{
		Scenario: a.Scenario, Hosts: a.Hosts, What: what, Unit: "x", Runs: a.Runs, N: a.N,
		P50: a.P50 / b.P50, P99: a.P99 / b.P99, Max: a.Max / b.Max,
		LowP50: a.LowP50 / b.HighP50, HighP50: a.HighP50 / b.LowP50, bars: limits,
	}
}

func (r *report) print(w io.Writer) {
	const row = "%-4s %6s  %-56s %-4s %7s %9s %9s %9s  %-17s %s\n"
	_, _ = fmt.Fprintf(w, "\nMedians over runs; max over all; spread is of p50 between runs. %d processors.\n", r.Processors)
	_, _ = fmt.Fprintf(w, row, "", "hosts", "what", "unit", "n", "p50", "p99", "max", "spread", "bars")
	for i := range r.Summary {
		s := &r.Summary[i]
		p50, p99 := fmt.Sprintf("%.2f", s.P50), fmt.Sprintf("%.2f", s.P99)
		if s.N == s.Runs {
			p50, p99 = "", ""
		}
		var verdicts []string
		for _, v := range s.Bars {
			word := "MISSED"
			if v.Met {
				word = "met"
			}
			verdicts = append(verdicts, fmt.Sprintf("%s <= %g %s", v.Of, v.Most, word))
		}
		_, _ = fmt.Fprintf(w, row, s.Scenario, fmt.Sprint(s.Hosts), s.What, cmp.Or(s.Unit, "-"), fmt.Sprint(s.N), p50, p99,
			fmt.Sprintf("%.2f", s.Max), fmt.Sprintf("%.2f to %.2f", s.LowP50, s.HighP50), strings.Join(verdicts, ", "))
	}
	for _, x := range r.Wrong {
		_, _ = fmt.Fprintf(w, "WRONG: %s\n", x)
	}
}

func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}
