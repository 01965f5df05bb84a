package figures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// Report is all that was measured; it is the JSON document.
type Report struct {
	// Time is when it was begun.
	Time       time.Time `json:"time"`
	Processors int       `json:"processors"`
	// Go is the version that the benchmark was built with.
	Go string `json:"go"`
	// Sizes says what a size counts, such as hosts.
	Sizes string `json:"sizes"`
	// Figures of each run, then what all runs say together.
	Figures []Figure  `json:"figures"`
	Summary []Summary `json:"summary"`
	// Wrong is what was wrong with runs.
	Wrong []string `json:"wrong,omitempty"`

	progress io.Writer
	errs     []error
}

// New begins a report whose sizes count something, such as hosts; what happens
// is said on progress.
func New(sizes string, progress io.Writer) *Report {
	return &Report{Time: time.Now(), Processors: runtime.NumCPU(), Go: runtime.Version(), Sizes: sizes, progress: progress}
}

// Measure does runs of a scenario at one size, one after the other, until the
// context ends. once does one of them, adds its figures, and returns what was
// wrong: that is noted, and the next run begins.
func (r *Report) Measure(ctx context.Context, s Scenario, size, runs int, once func(*Run) error) {
	for nth := 1; nth <= runs && ctx.Err() == nil; nth++ {
		r.say("%s, %d %s, run %d of %d: %s", s.ID, size, r.Sizes, nth, runs, s.About)
		if err := once(&Run{report: r, id: s.ID, size: size, nth: nth}); err != nil {
			err = fmt.Errorf("%s, %d %s, run %d: %w", s.ID, size, r.Sizes, nth, err)
			r.say("  WRONG: %v", err)
			r.Wrong = append(r.Wrong, err.Error())
			r.errs = append(r.errs, err)
		}
	}
}

// Err is what was wrong with runs, nil if nothing was.
func (r *Report) Err() error { return errors.Join(r.errs...) }

// Summarize joins the runs of each subject, in the order in which they were
// first measured, and judges their bars.
func (r *Report) Summarize() {
	var order []Subject
	runs := map[Subject][]Figure{}
	for i := range r.Figures {
		f := &r.Figures[i]
		if runs[f.Subject] == nil {
			order = append(order, f.Subject)
		}
		runs[f.Subject] = append(runs[f.Subject], *f)
	}
	r.Summary = make([]Summary, 0, len(order))
	for _, s := range order {
		r.Summary = append(r.Summary, join(runs[s]))
	}
}

// Print writes the summary as a table, and what was wrong.
func (r *Report) Print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\nMedians over runs; max over all; spread is of p50 between runs. %d processors.\n", r.Processors)
	_, _ = fmt.Fprintf(w, row, "", r.Sizes, "what", "unit", "n", "p50", "p99", "max", "spread", "bars")
	for i := range r.Summary {
		_, _ = io.WriteString(w, r.Summary[i].String())
	}
	for _, x := range r.Wrong {
		_, _ = fmt.Fprintf(w, "WRONG: %s\n", x)
	}
}

// Write makes the report a JSON file; no path is no file.
func (r *Report) Write(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}

func (r *Report) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.progress, format+"\n", args...)
}
