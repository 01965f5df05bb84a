package main

import (
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
	millis  = "ms"
	seconds = "s"
	mib     = "MiB"
	one     = ""
)

// report is all that was measured; it is the JSON document.
type report struct {
	Time       time.Time `json:"time"`
	Processors int       `json:"processors"`
	Go         string    `json:"go"`
	Figures    []figure  `json:"figures"`
	Wrong      []string  `json:"wrong,omitempty"`
}

// figure is what a scenario says; with N 1 it is a single value, the same in all
// three fields, else the times of N changes or requests.
type figure struct {
	Scenario string    `json:"scenario"`
	Objects  int       `json:"objects"`
	What     string    `json:"what"`
	Unit     string    `json:"unit"`
	N        int       `json:"n"`
	P50      float64   `json:"p50"`
	P99      float64   `json:"p99"`
	Max      float64   `json:"max"`
	Bars     []verdict `json:"bars,omitempty"`
}

// verdict says whether a value of a figure is at most what it should be.
type verdict struct {
	Of   string  `json:"of"`
	Most float64 `json:"most"`
	Met  bool    `json:"met"`
}

// bars are the most that a figure's values should be; nil where none is set.
type bars map[string]float64

// atMost is the bar of a single value.
func atMost(v float64) bars { return bars{"max": v} }

func newReport() *report {
	return &report{Time: time.Now(), Processors: runtime.NumCPU(), Go: runtime.Version()}
}

func (b *bench) add(f figure, limits bars) {
	f.Scenario, f.Objects = b.id, b.objects
	values := map[string]float64{"p50": f.P50, "p99": f.P99, "max": f.Max}
	for _, of := range []string{"p50", "p99", "max"} {
		if most, set := limits[of]; set {
			f.Bars = append(f.Bars, verdict{Of: of, Most: most, Met: values[of] <= most})
		}
	}
	b.out.Figures = append(b.out.Figures, f)
	_, _ = fmt.Fprintln(b.Progress, "  "+f.String())
}

func (b *bench) value(what string, v float64, unit string, limits bars) {
	b.add(figure{What: what, Unit: unit, N: 1, P50: v, P99: v, Max: v}, limits)
}

func (b *bench) times(what string, took []time.Duration, limits bars) {
	n := len(took)
	if n == 0 {
		return
	}
	slices.Sort(took)
	b.add(figure{What: what, Unit: millis, N: n, P50: ms(took[n/2]), P99: ms(took[(n*99-1)/100]), Max: ms(took[n-1])}, limits)
}

func (b *bench) histogram(what string, h *load.Histogram) {
	b.add(figure{What: what, Unit: millis, N: h.N(), P50: ms(h.At(0.5)), P99: ms(h.At(0.99)), Max: ms(h.Max())}, nil)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// row is one line of the table.
const row = "%-4s %7s  %-58s %-4s %6s %9s %9s %9s  %s"

// String is the figure as a row of the table.
func (f *figure) String() string {
	p50, p99 := fmt.Sprintf("%.2f", f.P50), fmt.Sprintf("%.2f", f.P99)
	if f.N == 1 {
		p50, p99 = "", ""
	}
	var verdicts []string
	for _, v := range f.Bars {
		word := "MISSED"
		if v.Met {
			word = "met"
		}
		verdicts = append(verdicts, fmt.Sprintf("%s <= %g %s", v.Of, v.Most, word))
	}
	return fmt.Sprintf(row, f.Scenario, fmt.Sprint(f.Objects), f.What, f.Unit, fmt.Sprint(f.N), p50, p99,
		fmt.Sprintf("%.2f", f.Max), strings.Join(verdicts, ", "))
}

func (r *report) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n%d processors.\n"+row+"\n", r.Processors, "", "objects", "what", "unit", "n", "p50", "p99", "max", "bars")
	for i := range r.Figures {
		_, _ = fmt.Fprintln(w, r.Figures[i].String())
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
