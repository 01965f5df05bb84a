package figures

import (
	"fmt"
	"slices"
	"time"

	"github.com/signetproxy/signet/test/load"
)

// Units of figures; a count has none.
const (
	Millis  = "ms"
	Seconds = "s"
	MiB     = "MiB"
)

// Subject is what a figure is of.
type Subject struct {
	Scenario string `json:"scenario"`
	// Size of the scenario, in what Report.Sizes says.
	Size int    `json:"size"`
	What string `json:"what"`
	Unit string `json:"unit"`
}

// Values are what was measured, in the subject's unit. With N 1 they are a
// single value, the same in all three, else those of N changes or requests.
type Values struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Figure is what one run says of a subject.
type Figure struct {
	Subject

	// Run counts from 1.
	Run int `json:"run"`
	Values

	bars []Bar
}

// String is the figure on one line, for progress.
func (f *Figure) String() string {
	if f.N > 1 {
		return fmt.Sprintf("%-58s p50 %8.2f  p99 %8.2f  max %8.2f %s", f.What, f.P50, f.P99, f.Max, f.Unit)
	}
	return fmt.Sprintf("%-58s %g %s", f.What, f.Max, f.Unit)
}

// Run is one run of a scenario at one size; what it measures is added to it, in
// the order of the table.
type Run struct {
	report *Report
	id     string
	size   int
	nth    int
}

// Value adds a single value.
func (r *Run) Value(what string, v float64, unit string, bars ...Bar) {
	r.add(what, unit, Values{N: 1, P50: v, P99: v, Max: v}, bars)
}

// Count adds how often something was so.
func (r *Run) Count(what string, n int, bars ...Bar) { r.Value(what, float64(n), "", bars...) }

// Times adds how long each of some changes took, in ms; none are no figure.
func (r *Run) Times(what string, took []time.Duration, bars ...Bar) {
	n := len(took)
	if n == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(took))
	r.add(what, Millis, Values{N: n, P50: millis(sorted[n/2]), P99: millis(sorted[(n*99-1)/100]), Max: millis(sorted[n-1])}, bars)
}

// Histogram adds the latencies of a load, in ms.
func (r *Run) Histogram(what string, h *load.Histogram, bars ...Bar) {
	r.add(what, Millis, Values{N: h.N(), P50: millis(h.At(0.5)), P99: millis(h.At(0.99)), Max: millis(h.Max())}, bars)
}

func (r *Run) add(what, unit string, v Values, bars []Bar) {
	f := Figure{Scenario: r.id, Size: r.size, What: what, Unit: unit, Run: r.nth, Values: v, bars: bars}
	r.report.Figures = append(r.report.Figures, f)
	r.report.say("  %s", f.String())
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
