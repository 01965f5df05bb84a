package gateways

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/load"
)

// Result is what has come of the changes of a kind.
type Result struct {
	// Took is how long each change took, by its name, to the first answer that
	// shows it.
	Took map[string][]time.Duration
	// Requests are those of the load.
	Requests load.Result
}

// pause lets some requests use each version.
const pause = 20 * time.Millisecond

// Run makes n changes of a kind beside requests at a rate, in 1/s. The error
// says why it ended early, and what was wrong with answers of the loop that
// waits for a change to show; what was wrong with the load is in the result.
func (s *Stage) Run(ctx context.Context, k *Kind, n int, rate float64) (Result, error) {
	out := Result{Took: map[string][]time.Duration{}}
	r := &runner{Stage: s, kind: k, asks: k.asks(s)}
	if err := r.begin(); err != nil {
		return out, fmt.Errorf("before the changes: %w", err)
	}
	c := s.site.Load(rate)
	c.Next = func(n int) load.Request {
		a := &r.asks[n%len(r.asks)]
		q := a.request
		q.Expect = func(o *load.Outcome) error { return a.judge(&r.Timeline, o) }
		return q
	}
	l := load.Start(c)
	var err error
	for i := 0; i < n && err == nil && ctx.Err() == nil; i++ {
		<-time.After(pause)
		var took time.Duration
		if took, err = r.change(); err != nil {
			err = fmt.Errorf("change %d: %w", i, err)
			break
		}
		what := k.Name
		if i%2 == 1 && k.Back != "" {
			what = k.Back
		}
		out.Took[what] = append(out.Took[what], took)
	}
	<-time.After(pause)
	out.Requests = l.Stop()
	return out, errors.Join(err, r.wrong(), ctx.Err())
}

// runner makes the changes of one kind.
type runner struct {
	*Stage
	load.Timeline

	kind *Kind
	asks []ask
	// misses counts wrong answers of the loop that waits, of which miss is the first.
	misses int
	miss   error
}

// begin makes version 0 and waits until every ask shows it.
func (r *runner) begin() error {
	if r.kind.begin != nil {
		if err := r.kind.begin(r.Stage); err != nil {
			return err
		}
	}
	make0, err := r.kind.ready(r.Stage, 0)
	if err != nil {
		return err
	}
	r.Write()
	if _, err := make0(); err != nil {
		return err
	}
	for i := range r.asks {
		a := &r.asks[i]
		last := ""
		if _, err := estate.Until(func() (bool, error) {
			o := r.site.Ask(a.request)
			got, _, err := a.look(o)
			last = fmt.Sprintf("%d %+v %v", o.Code, got, err)
			return err == nil && got == a.want(0), nil
		}); err != nil {
			return fmt.Errorf("%s%s: %w: want %+v, last was %s", a.request.Host, a.request.Path, err, a.want(0), last)
		}
	}
	r.Saw(time.Now())
	return nil
}

// change makes the next version, waits until the first ask shows it, and
// returns how long that took.
func (r *runner) change() (time.Duration, error) {
	apply, err := r.kind.ready(r.Stage, r.Next())
	if err != nil {
		return 0, err
	}
	v := r.Write()
	began, err := apply()
	if err != nil {
		return 0, err
	}
	a := &r.asks[0]
	seen, err := estate.Until(func() (bool, error) {
		o := r.site.Ask(a.request)
		if err := a.judge(&r.Timeline, o); err != nil {
			r.misses++
			if r.miss == nil {
				r.miss = fmt.Errorf("%d, %q: %w", o.Code, o.Body, err)
			}
			return false, nil
		}
		got, _, err := a.look(o)
		return err == nil && got == a.want(v), nil
	})
	if err != nil {
		return 0, errors.Join(err, r.miss)
	}
	r.Saw(seen)
	return seen.Sub(began), nil
}

func (r *runner) wrong() error {
	if r.misses == 0 {
		return nil
	}
	return fmt.Errorf("%d answers were wrong in the loop that waits for a change; the first: %w", r.misses, r.miss)
}
