package figures

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Summary joins the runs of a subject: medians of P50 and P99 (with an even
// number of runs the larger of the two in the middle), the largest Max, and N
// of all together.
type Summary struct {
	Subject

	Runs int `json:"runs"`
	Values

	// LowP50 and HighP50 are the spread of P50 between runs.
	LowP50  float64 `json:"lowP50"`
	HighP50 float64 `json:"highP50"`
	// Bars are the verdicts on Values.
	Bars []Verdict `json:"bars,omitempty"`
}

// Judge adds verdicts on the values.
func (s *Summary) Judge(bars ...Bar) {
	for _, b := range bars {
		s.Bars = append(s.Bars, b.judge(s.Values))
	}
}

// join makes the summary of a subject's runs, of which there is at least one.
func join(runs []Figure) Summary {
	pick := func(of func(Values) float64) []float64 {
		out := make([]float64, len(runs))
		for i := range runs {
			out[i] = of(runs[i].Values)
		}
		slices.Sort(out)
		return out
	}
	p50 := pick(func(v Values) float64 { return v.P50 })
	p99 := pick(func(v Values) float64 { return v.P99 })
	largest := pick(func(v Values) float64 { return v.Max })
	middle, last := len(runs)/2, len(runs)-1
	s := Summary{
		Subject: runs[0].Subject, Runs: len(runs),
		P50: p50[middle], P99: p99[middle], Max: largest[last],
		LowP50: p50[0], HighP50: p50[last],
	}
	for i := range runs {
		s.N += runs[i].N
	}
	s.Judge(runs[0].bars...)
	return s
}

// row is one line of the table.
const row = "%-4s %7s  %-58s %-4s %7s %9s %9s %9s  %-17s %s\n"

// String is the summary as a line of the table.
func (s *Summary) String() string {
	p50, p99 := fmt.Sprintf("%.2f", s.P50), fmt.Sprintf("%.2f", s.P99)
	if s.N == s.Runs {
		p50, p99 = "", ""
	}
	verdicts := make([]string, len(s.Bars))
	for i, v := range s.Bars {
		word := "MISSED"
		if v.Met {
			word = "met"
		}
		verdicts[i] = fmt.Sprintf("%s <= %g %s", v.Of, v.Most, word)
	}
	return fmt.Sprintf(row, s.Scenario, fmt.Sprint(s.Size), s.What, cmp.Or(s.Unit, "-"), fmt.Sprint(s.N), p50, p99,
		fmt.Sprintf("%.2f", s.Max), fmt.Sprintf("%.2f to %.2f", s.LowP50, s.HighP50), strings.Join(verdicts, ", "))
}
