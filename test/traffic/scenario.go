package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/traffic/gateways"
)

// scenario is one row of what is measured.
type scenario struct {
	figures.Scenario

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
			ID: "D1", About: "each kind of change alone, light load: from a file's rename to the first answer that shows it",
			hosts: []int{1000, 5000, 20000}, changes: 100, rate: 50, prepare: prepareChanges, run: runChanges,
		},
		{
			ID: "D2", About: "header edits, first alone and then with 20 other changes a second",
			hosts: []int{5000}, changes: 200, rate: 50, run: runTrickle,
		},
		{
			ID: "D3", About: "one route switched between Services, between CAs, between plain and TLS: no request lost, none stale",
			hosts: []int{1000}, changes: 1000, rate: 500, run: runSwitches,
		},
		{
			ID: "D4", About: "a trust bundle and the client certificate rotated: no request lost, no connection closed",
			hosts: []int{1000}, changes: 200, rate: 500, prepare: prepareRotations, run: runRotations,
		},
		{
			ID: "G6", About: "each kind of change of a Gateway's routes, policies and certificates: every answer is that of its time",
			hosts: []int{1000}, changes: 100, rate: 500, prepare: prepareGateways, run: runGateways,
		},
		{
			ID: "D8", About: "endpoints changed while a Service that every host routes to is changed: all routes are translated again",
			hosts: []int{5000}, changes: 50, rate: 50, shared: true, run: runRetranslation,
		},
		{
			ID: "D10", About: "resident memory after the start and after edits",
			hosts: []int{5000}, changes: 2000, rate: 50, run: runMemory,
		},
	}
}

// bench is one run of a scenario at one size.
type bench struct {
	*estate.Estate
	*figures.Run
	scenario

	ctx context.Context
	// seq numbers what must be new; on holds the backend of hosts that were moved.
	seq   int
	on    map[int]int
	added []int
	// rotation is D4's, gateways G6's.
	rotation *rotation
	gateways *gateways.Stage
}

// measure runs what was chosen, each run on an estate of its own.
func measure(ctx context.Context, r *figures.Report, o *options) {
	for _, s := range o.scenarios {
		s.changes, s.rate = cmp.Or(o.changes, s.changes), cmp.Or(o.rate, s.rate)
		sizes := s.hosts
		if len(o.hosts) > 0 {
			sizes = o.hosts
		}
		for _, n := range sizes {
			r.Measure(ctx, s.Scenario, n, o.runs, func(run *figures.Run) error {
				return s.once(ctx, run, estate.Options{Binary: o.binary, Hosts: n, Shared: s.shared, Progress: o.progress})
			})
		}
	}
}

// once is one run of a scenario.
func (s *scenario) once(ctx context.Context, run *figures.Run, o estate.Options) error {
	e, err := estate.New(o)
	if e != nil {
		defer e.Close()
	}
	if err != nil {
		return err
	}
	b := &bench{Estate: e, Run: run, scenario: *s, ctx: ctx, on: map[int]int{}}
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
	if err := errors.Join(b.noise("before"), b.handshakes()); err != nil {
		return err
	}
	if err := s.run(b); err != nil {
		return err
	}
	b.Value("memory of signet", float64(e.Signet().MiB), figures.MiB)
	b.Value("memory of Envoy", float64(e.Envoy().MiB), figures.MiB)
	return b.noise("after")
}

// putAll puts manifests into the folder before signet starts, unless making
// them has failed.
func (b *bench) putAll(files map[string]string, err error) error {
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := b.Put(name, content); err != nil {
			return err
		}
	}
	return nil
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
	b.Histogram("requests, "+what, &r.Latency)
	b.Count("unexpected answers, "+what, r.Unexpected, figures.Max(0))
	return r.Wrong(what)
}
