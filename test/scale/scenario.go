package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/rig"
)

// scenario is one row of what is measured.
type scenario struct {
	figures.Scenario

	// objects are HTTPProxies or HTTPRoutes, each with what it refers to.
	objects int
	// secrets are those that nothing refers to.
	secrets int
	// changes of each kind, and requests a second beside them.
	changes int
	rate    float64
	// run does it and adds figures; it returns what was wrong.
	run func(b *bench) error
}

func scenarios() []scenario {
	return []scenario{
		{
			ID: "S1", About: "the operator starts, and starts again: all served, all statuses, memory, writes",
			objects: 5000, secrets: 20000, run: runStart,
		},
		{
			ID: "S2", About: "HTTPProxies: each kind of change, from the API server's answer to the first answer that shows it",
			objects: 5000, changes: 100, run: func(b *bench) error { return runChanges(b, b.proxies) },
		},
		{
			ID: "S3", About: "HTTPRoutes with BackendTLSPolicies on one Gateway: the same",
			objects: 5000, changes: 100, run: func(b *bench) error { return runChanges(b, b.routes) },
		},
		{
			ID: "S4", About: "HTTPRoutes created at once on one Gateway: attachedRoutes, writes of statuses",
			objects: 1000, run: runAttach,
		},
		{
			ID: "S5", About: "hosts created by eight writers while each is asked: cleartext at backends, time to the first 200",
			objects: 100, run: runBurst,
		},
		{
			ID: "S6", About: "etcd compacted, the API server killed, under traffic: unexpected answers, changes afterwards",
			objects: 1000, changes: 3, run: runOutage,
		},
		{
			ID: "S7", About: "each kind of change of a Gateway's routes, policies and certificates under load: every answer is that of its time",
			objects: 1000, changes: 100, rate: 500, run: runGateways,
		},
	}
}

// measure runs what was chosen, each run on a rig of its own.
func measure(ctx context.Context, r *figures.Report, o *options) {
	for _, s := range o.scenarios {
		s.objects, s.changes = cmp.Or(o.objects, s.objects), cmp.Or(o.changes, s.changes)
		if o.secrets >= 0 {
			s.secrets = o.secrets
		}
		r.Measure(ctx, s.Scenario, s.objects, o.runs, func(run *figures.Run) error { return s.once(ctx, run, o.rig) })
	}
}

// once is one run of a scenario.
func (s *scenario) once(ctx context.Context, run *figures.Run, o rig.Options) (err error) {
	p, err := newStage(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	b := &bench{stage: p, Run: run, scenario: *s, ctx: ctx}
	err = s.run(b)
	if n := p.Cleartext(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d connections in cleartext at TLS backends", n))
	}
	if err != nil && p.Operator != nil {
		err = fmt.Errorf("%w\n  the operator's log ends:\n%s", err, p.Operator.LogTail())
	}
	return err
}

// stage is a rig and what of it stands already; scenarios share it in tests.
type stage struct {
	*rig.Rig

	fleetAddress, gatewayAddress string
	fleet, gateway               *rig.Envoy
	// used is the first number that no object has.
	used int
}

func newStage(ctx context.Context, o rig.Options) (*stage, error) {
	r, err := rig.New(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("rig: %w", err)
	}
	s := &stage{Rig: r}
	if err := s.createAll(ctx, r.Trust()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return s, nil
}

func (s *stage) createAll(ctx context.Context, objects []client.Object) error {
	for _, o := range objects {
		if err := s.Client.Create(ctx, o); err != nil {
			return fmt.Errorf("%T %s: %w", o, o.GetName(), err)
		}
	}
	return nil
}

// take returns the first of n numbers that no object has.
func (s *stage) take(n int) int {
	first := s.used
	s.used += n
	return first
}

// front is one way to ask for hosts.
type front struct {
	name  string
	envoy *rig.Envoy
	// objects of a host, in the order in which they are created; the last one
	// makes it a host.
	objects func(s *stage, i int) []client.Object
	// host is the last of them, with a version.
	host func(i int, version string) client.Object
}

// operator starts the operator, unless it runs.
func (s *stage) operator(ctx context.Context) error {
	if s.Operator != nil {
		return nil
	}
	return s.StartOperator(ctx)
}

// declareFleet makes the EnvoyFleet, unless it is there.
func (s *stage) declareFleet(ctx context.Context) (err error) {
	if s.fleetAddress == "" {
		s.fleetAddress, err = s.Fleet(ctx)
	}
	return err
}

// proxies are HTTPProxies, served by the operator and an Envoy.
func (s *stage) proxies(ctx context.Context) (*front, error) {
	err := s.declareFleet(ctx)
	if err == nil {
		err = s.operator(ctx)
	}
	if err == nil && s.fleet == nil {
		s.fleet, err = s.StartFleet(ctx, s.fleetAddress)
	}
	return &front{
		name: "HTTPProxies", envoy: s.fleet, objects: proxyObjects,
		host: func(i int, version string) client.Object { return rig.Proxy(i, version) },
	}, err
}

func proxyObjects(s *stage, i int) []client.Object {
	return []client.Object{rig.Service(i, true), rig.Slice(i, s.Backends[0]), rig.Proxy(i, "v0")}
}

// routes are HTTPRoutes, served in the same way.
func (s *stage) routes(ctx context.Context) (*front, error) {
	var err error
	if s.gatewayAddress == "" {
		s.gatewayAddress, err = s.Gateway(ctx)
	}
	if err == nil {
		err = s.operator(ctx)
	}
	if err == nil && s.gateway == nil {
		s.gateway, err = s.StartGateway(ctx, rig.GatewayName, s.gatewayAddress)
	}
	return &front{
		name: "HTTPRoutes", envoy: s.gateway, objects: routeObjects,
		host: func(i int, version string) client.Object { return rig.Route(i, version) },
	}, err
}

func routeObjects(s *stage, i int) []client.Object {
	return []client.Object{rig.Service(i, false), rig.Slice(i, s.Backends[0]), rig.Policy(i), rig.Route(i, "v0")}
}

// bench is one run of a scenario.
type bench struct {
	*stage
	*figures.Run
	scenario

	ctx context.Context
}

// long bounds what takes tens of seconds with thousands of objects.
const long = 5 * time.Minute

// sweep asks hosts in their order, each until it answers 200, and returns when
// the last one did.
func (b *bench) sweep(e *rig.Envoy, first, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(b.ctx, long)
	defer cancel()
	for i := first; i < first+n; i++ {
		if err := rig.Await(ctx, "first 200 of "+rig.Host(i), func(context.Context) error {
			return load.Code(http.StatusOK)(e.Ask(load.Request{Host: rig.Host(i)}))
		}); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
}

func since(t, began time.Time) float64 { return t.Sub(began).Seconds() }
