package gateways

import (
	"context"
	"errors"

	"github.com/signetproxy/signet/test/figures"
)

// Measure makes n changes of each kind beside requests at a rate, in 1/s, and
// adds its figures with their bars. The error says which answers were wrong.
func (s *Stage) Measure(ctx context.Context, run *figures.Run, n int, rate float64) error {
	var wrong []error
	for _, k := range Kinds() {
		changes := n
		if k.Back != "" {
			changes *= 2
		}
		r, err := s.Run(ctx, &k, changes, rate)
		for what, took := range r.Took {
			run.Times(what, took, figures.P50(8), figures.P99(25))
		}
		run.Histogram("requests, "+k.Name, &r.Requests.Latency)
		run.Count("unexpected answers, "+k.Name, r.Requests.Unexpected, figures.Max(0))
		run.Count("connection errors, "+k.Name, r.Requests.Errors, figures.Max(0))
		wrong = append(wrong, err, r.Requests.Wrong(k.Name))
	}
	return errors.Join(wrong...)
}
