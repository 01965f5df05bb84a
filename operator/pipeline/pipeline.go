package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// Options are what a pipeline needs.
type Options struct {
	Source source.Source
	// XDS takes every revision.
	XDS *xds.Server
	// Fleet is the local fleet without an EnvoyFleet to shape it.
	Fleet translator.FleetSpec
	// Others are further fleets, served as they are: no EnvoyFleet of the source
	// shapes them.
	Others []translator.FleetSpec
	// Each makes every EnvoyFleet a fleet of its own name, as in a cluster: the
	// result is what its spec is laid over. With it Fleet counts for nothing.
	Each func(*v1alpha1.EnvoyFleet) translator.FleetSpec
	// Gateway makes each Gateway of a class of Signet's a fleet, beside Each; shape
	// is the EnvoyFleet that parametersRef names, nil for none. Nil makes none.
	Gateway func(g *gatewayv1.Gateway, shape *v1alpha1.EnvoyFleet) translator.FleetSpec
	// SystemTrust are the certificates that the system trusts, as PEM; "" says
	// that they are not known.
	SystemTrust string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log logr.Logger
	// Rollout, if not nil, follows changes to their acknowledgement.
	Rollout *rollout.Tracker
	// Committed is called with every revision after it was handed to the xDS
	// server, in order, from one goroutine; it must not block. It may be nil.
	Committed func(*graph.Revision)
	// Quarantine holds back what Envoys refuse; the xDS server tells it. It may
	// be nil.
	Quarantine *quarantine.Quarantine
	// Tamper is translator.Tamper's, for tests of refusals; nil in life.
	Tamper func(*envoy.Resource) *envoy.Resource
}

// Pipeline runs a source into a translator and a translator into an xDS server.
type Pipeline struct {
	options    Options
	translator *translator.Translator

	mu       sync.Mutex // guards intake and problems
	intake   intake
	problems []source.Problem
	// complete is closed when the source has given its first full list.
	complete chan struct{}
	held     *graph.Changes
	again    *time.Timer
	served   atomic.Uint64 // the last revision handed to the xDS server
	commits  prometheus.Histogram
	wake     chan time.Time
	// Of the publishing goroutine.
	began       bool
	appointment time.Time
	withheld    map[string]bool
}

// New makes a pipeline; Run runs it.
func New(o Options) *Pipeline {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := translator.New(translator.Tamper(o.Tamper))
	in := intake{inputs: &t.Inputs, fleets: newLocalFleet(o.Fleet, o.Others)}
	if o.Each != nil {
		in.fleets = newEachFleet(o.Each, o.Gateway)
	}
	return &Pipeline{
		options: o, translator: t,
		intake:   in,
		complete: make(chan struct{}),
		commits:  newCommitSeconds(),
		wake:     make(chan time.Time, 1),
	}
}

// Translator is the graph; only its reading side is for others.
func (p *Pipeline) Translator() *translator.Translator { return p.translator }

// Complete is closed when the source has given its complete first list.
func (p *Pipeline) Complete() <-chan struct{} { return p.complete }

// IsComplete says whether Complete is closed.
func (p *Pipeline) IsComplete() bool {
	select {
	case <-p.complete:
		return true
	default:
		return false
	}
}

// Served is the last revision that was handed to the xDS server, 0 before that of
// the source's first list.
func (p *Pipeline) Served() uint64 { return p.served.Load() }

// Problems are what the source could not read, as of now.
func (p *Pipeline) Problems() []source.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problems
}

// Fleets are the EnvoyFleets that the source gave, for a report.
func (p *Pipeline) Fleets() []report.FleetObject {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.intake.fleets.report()
}

// Run runs until ctx ends or the source fails.
func (p *Pipeline) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := p.options.Source.Run(ctx, p); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("source: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		if err := p.translator.Run(ctx, p.publish); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("translator: %w", err)
		}
		return nil
	})
	g.Go(func() error { return p.keepTime(ctx) })
	if q := p.options.Quarantine; q != nil {
		g.Go(func() error { return q.Run(ctx, p.translator) })
	}
	return g.Wait() //nolint:wrapcheck // both errors say where they come from
}

// Apply implements source.Sink. Until the first list is complete, changes are
// held back: a revision of half a folder would answer 404 for the other half.
func (p *Pipeline) Apply(b source.Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.Problems != nil {
		p.logProblems(b.Problems)
		p.problems = b.Problems
	}
	select {
	case <-p.complete:
		c := graph.NewChanges()
		p.delivered(c, b)
		now := p.options.Now()
		p.intake.add(c, b, now)
		p.translator.Submit(c)
		p.lookAgain(now)
		return
	default:
	}
	if p.held == nil {
		p.held = graph.NewChanges()
		p.begin(p.held, p.options.Now())
	}
	p.delivered(p.held, b)
	p.intake.add(p.held, b, p.options.Now())
	if b.Complete {
		p.translator.Submit(p.held)
		p.held = nil
		close(p.complete)
		p.lookAgain(p.options.Now())
	}
}

func (p *Pipeline) publish(rev *graph.Revision) {
	p.commits.Observe(rev.Took().Seconds())
	u := p.update(rev)
	p.follow(rev, &u)
	p.options.XDS.Publish(u)
	p.logStatuses(rev)
	p.logWithheld(rev)
	// The clock is first put with the source's first list. A revision before it has
	// what other replicas know of refusals, and nothing to serve.
	p.began = p.began || len(graph.ChangesOf(rev, p.translator.Clock)) > 0
	if p.began {
		p.served.Store(rev.Number())
	}
	if q := p.options.Quarantine; q != nil {
		q.Committed(&u)
	}
	if p.options.Committed != nil {
		p.options.Committed(rev)
	}
	p.scheduleClock(rev)
}

func (p *Pipeline) update(rev *graph.Revision) xds.Update {
	u := xds.Update{Revision: rev.Number()}
	at := map[ir.Name]int{}
	of := func(fleet ir.Name) *xds.FleetUpdate {
		i, ok := at[fleet]
		if !ok {
			i = len(u.Fleets)
			at[fleet] = i
			u.Fleets = append(u.Fleets, xds.FleetUpdate{Fleet: fleet})
		}
		return &u.Fleets[i]
	}
	for _, c := range graph.ChangesOf(rev, p.translator.Fleets) {
		if c.HadOld && !c.HasNew {
			of(c.Key).Gone = true // its Envoys serve on until they are removed
		}
	}
	for _, c := range p.translator.Changed(rev) {
		f := of(c.Fleet)
		if c.Resource == nil {
			f.Removed = append(f.Removed, xds.ResourceKey{Type: c.Type, Name: c.Name})
		} else {
			f.Changed = append(f.Changed, c.Resource)
		}
	}
	return u
}

// Once translates one batch without Run: for a translation that serves nobody.
func (p *Pipeline) Once(b source.Batch, now time.Time) *graph.Revision {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := graph.NewChanges()
	p.begin(c, now)
	p.intake.add(c, b, now)
	return p.translator.Commit(c)
}

// begin records what is there before the source has given anything.
func (p *Pipeline) begin(c *graph.Changes, now time.Time) {
	p.translator.Clock.Put(c, translator.ClockKey, now)
	if p.options.SystemTrust != "" {
		p.translator.SystemTrust.Put(c, translator.SystemTrustKey, p.options.SystemTrust)
	}
}
