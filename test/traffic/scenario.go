package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/traffic/gateways"
)

// scenario is one row of what is measured.
type scenario struct {
	id, about string
	// hosts are the sizes of the folder.
	hosts []int
	// changes of each kind, and requests a second beside them.
	changes int
	rate    float64
	// shared gives each host a route to a Service that all share.
	shared bool
	// prepare adds manifests before signet starts; it may be nil.
	prepare func(b *bench) error
	// run changes things and adds figures; it returns what was wrong.
	run func(b *bench) error
}

func scenarios() []scenario {
	return []scenario{
		{
			id: "D1", about: "each kind of change alone, light load: from a file's rename to the first answer that shows it",
			hosts: []int{1000, 5000, 20000}, changes: 100, rate: 50, prepare: prepareChanges, run: runChanges,
		},
		{
			id: "D2", about: "header edits, first alone and then with 20 other changes a second",
			hosts: []int{5000}, changes: 200, rate: 50, run: runTrickle,
		},
		{
			id: "D3", about: "one route switched between Services, between CAs, between plain and TLS: no request lost, none stale",
			hosts: []int{1000}, changes: 1000, rate: 500, run: runSwitches,
		},
		{
			id: "D4", about: "a trust bundle and the client certificate rotated: no request lost, no connection closed",
			hosts: []int{1000}, changes: 200, rate: 500, prepare: prepareRotations, run: runRotations,
		},
		{
			id: "G6", about: "each kind of change of a Gateway's routes, policies and certificates: every answer is that of its time",
			hosts: []int{1000}, changes: 100, rate: 500, prepare: prepareGateways, run: runGateways,
		},
		{
			id: "D8", about: "endpoints changed while a Service that every host routes to is changed: all routes are translated again",
			hosts: []int{5000}, changes: 50, rate: 50, shared: true, run: runRetranslation,
		},
		{
			id: "D10", about: "resident memory after the start and after edits",
			hosts: []int{5000}, changes: 2000, rate: 50, run: runMemory,
		},
	}
}

func describe() string {
	var b strings.Builder
	for _, s := range scenarios() {
		fmt.Fprintf(&b, "%-4s %s\n", s.id, s.about)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func choose(list string) ([]scenario, error) {
	all := scenarios()
	if list == "" {
		return all, nil
	}
	var out []scenario
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return strings.EqualFold(s.id, name) })
		if i < 0 {
			return nil, fmt.Errorf("--scenario %q: there are\n%s", name, describe())
		}
		out = append(out, all[i])
	}
	return out, nil
}

// bench is one run of a scenario at one size.
type bench struct {
	*estate.Estate
	scenario

	ctx context.Context
	// nth run, from 1.
	nth int
	out *report
	// seq numbers what must be new; on holds the backend of hosts that were moved.
	seq   int
	on    map[int]int
	added []int
	// rotation is D4's, gateways G6's.
	rotation *rotation
	gateways *gateways.Stage
}

// runAll runs what was chosen and returns what was wrong. A scenario that went
// wrong does not keep the others from running.
func (r *report) runAll(ctx context.Context, w io.Writer, o *options) error {
	var wrong []error
	for _, s := range o.scenarios {
		s.changes, s.rate = cmp.Or(o.changes, s.changes), cmp.Or(o.rate, s.rate)
		sizes := s.hosts
		if len(o.hosts) > 0 {
			sizes = o.hosts
		}
		for _, n := range sizes {
			for i := range o.runs {
				if ctx.Err() != nil {
					return errors.Join(append(wrong, ctx.Err())...)
				}
				_, _ = fmt.Fprintf(w, "%s, %d hosts, run %d of %d: %s\n", s.id, n, i+1, o.runs, s.about)
				e := estate.Options{Binary: o.binary, Hosts: n, Shared: s.shared, Progress: w}
				if err := r.runOne(ctx, &s, i+1, e); err != nil {
					err = fmt.Errorf("%s, %d hosts, run %d: %w", s.id, n, i+1, err)
					_, _ = fmt.Fprintf(w, "  WRONG: %v\n", err)
					r.Wrong = append(r.Wrong, err.Error())
					wrong = append(wrong, err)
				}
			}
		}
	}
	return errors.Join(wrong...)
}

func (r *report) runOne(ctx context.Context, s *scenario, run int, o estate.Options) error {
	e, err := estate.New(o)
	if e != nil {
		defer e.Close()
	}
	if err != nil {
		return err
	}
	b := &bench{Estate: e, scenario: *s, ctx: ctx, nth: run, out: r, on: map[int]int{}}
	defer func() {
		if b.rotation != nil {
			b.rotation.close()
		}
		if b.gateways != nil {
			b.gateways.Close()
		}
	}()
	if s.prepare != nil {
		if err := s.prepare(b); err != nil {
			return err
		}
	}
	if err := e.Start(ctx); err != nil {
		return err
	}
	if err := b.noise("before"); err != nil {
		return err
	}
	if err := s.run(b); err != nil {
		return err
	}
	b.value("memory of signet", e.Signet().MiB, mib, nil)
	b.value("memory of Envoy", e.Envoy().MiB, mib, nil)
	return b.noise("after")
}

// lightLoad asks for the same hosts all over the folder, each of which must
// answer 200 whatever changes.
func (b *bench) lightLoad() *load.Load {
	const some = 50
	step := max(1, b.Hosts/some)
	c := b.Load(b.rate)
	c.Next = func(n int) load.Request { return b.request((n % some * step) % b.Hosts) }
	return load.Start(c)
}

// request is a plain request of a host that must answer 200.
func (b *bench) request(k int) load.Request {
	return load.Request{Host: estate.Host(k), TLS: estate.IsTLS(k)}
}

// settle ends a load and records it; its error says that answers were wrong.
func (b *bench) settle(l *load.Load, what string) error {
	r := l.Stop()
	b.histogram("requests, "+what, &r.Latency, nil)
	b.value("unexpected answers, "+what, r.Unexpected, one, none)
	return wrongAnswers(what, &r)
}

// wrongAnswers is an error if any answer was.
func wrongAnswers(what string, r *load.Result) error {
	if r.Unexpected == 0 {
		return nil
	}
	var b strings.Builder
	for _, f := range r.Failures[:min(len(r.Failures), 10)] {
		b.WriteString("\n    " + f.String())
	}
	return fmt.Errorf("%s: %d of %d answers were not the expected ones, %d of them connection errors; the first:%s",
		what, r.Unexpected, r.Requests, r.Errors, b.String())
}
