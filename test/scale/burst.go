package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/rig"
)

const (
	// burstWriters create hosts, and burstAskers ask for them, at the same time.
	burstWriters = 8
	burstAskers  = 2
)

// runBurst is S5.
func runBurst(b *bench) error {
	for _, x := range []struct {
		front   func(context.Context) (*front, error)
		objects func(*stage, int) []client.Object
	}{{b.routes, ownRouteObjects}, {b.proxies, ownProxyObjects}} {
		f, err := x.front(b.ctx)
		if err != nil {
			return err
		}
		f.objects = x.objects
		if err := (&burst{b: b, f: f, first: b.take(b.objects), life: make([]life, b.objects)}).run(); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// ownRouteObjects are those of a host whose CA is its own, as cert-manager makes
// one for each certificate: the operator must read it before the policy is of use.
func ownRouteObjects(s *stage, i int) []client.Object {
	policy := rig.Policy(i)
	policy.Spec.Validation.CACertificateRefs[0].Name = gatewayv1.ObjectName(rig.Name(i))
	return []client.Object{s.CAConfigMap(rig.Name(i)), rig.Service(i, false), rig.Slice(i, s.Backends[0]), policy, rig.Route(i, "v0")}
}

func ownProxyObjects(s *stage, i int) []client.Object {
	proxy := rig.Proxy(i, "v0")
	proxy.Spec.Routes[0].Services[0].UpstreamValidation.CACertificate = rig.Name(i)
	return []client.Object{s.CASecret(rig.Name(i)), rig.Service(i, true), rig.Slice(i, s.Backends[0]), proxy}
}

// burst is the creation of many hosts.
type burst struct {
	b     *bench
	f     *front
	first int

	mu   sync.Mutex
	life []life
	// codes counts answers.
	codes map[int]int
}

// life is what became of a host.
type life struct {
	// created is when the API server had answered its last object's creation,
	// and served when it first answered 200.
	created, served time.Time
	// refused counts 5xx, and lost what was not 200 once it had been.
	refused, lost int
}

func (x *burst) run() error {
	cleartext := x.b.Cleartext()
	x.codes = map[int]int{}
	ctx, cancel := context.WithTimeout(x.b.ctx, long)
	defer cancel()
	asked, ask := errgroup.WithContext(ctx)
	for k := range burstAskers {
		asked.Go(func() error { return x.ask(ask, k) })
	}
	written, write := errgroup.WithContext(ctx)
	for k := range burstWriters {
		written.Go(func() error { return x.write(write, k) })
	}
	err := written.Wait()
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, asked.Wait()); err != nil {
		return err
	}
	x.report()
	return x.judge(cleartext)
}

func (x *burst) write(ctx context.Context, k int) error {
	for i := k; i < len(x.life); i += burstWriters {
		if err := x.b.createAll(ctx, x.f.objects(x.b.stage, x.first+i)); err != nil {
			return err
		}
		now := time.Now()
		x.mu.Lock()
		x.life[i].created = now
		x.mu.Unlock()
	}
	return nil
}

// ask goes round its hosts without a pause, until all have answered 200, and
// once more.
func (x *burst) ask(ctx context.Context, k int) error {
	for last := false; ; {
		left := 0
		for i := k; i < len(x.life); i += burstAskers {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("%d hosts of a round did not answer 200: %w", left, err)
			}
			if !x.note(i, x.f.envoy.Ask(load.Request{Host: rig.Host(x.first + i)})) {
				left++
			}
		}
		if last {
			return nil
		}
		last = left == 0
	}
}

// note takes an answer, and returns whether it was a 200.
func (x *burst) note(i int, o *load.Outcome) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &x.life[i]
	x.codes[o.Code]++
	switch {
	case o.Code == http.StatusOK:
		if l.served.IsZero() {
			l.served = o.Done
		}
		return true
	case o.Code >= 500:
		l.refused++
	}
	if !l.served.IsZero() {
		l.lost++
	}
	return false
}

func (x *burst) report() {
	took := make([]time.Duration, len(x.life))
	refused, with := 0, 0
	for i, l := range x.life {
		took[i] = max(0, l.served.Sub(l.created))
		refused += l.refused
		with += min(1, l.refused)
	}
	x.b.Times(x.f.name+": first 200 after the last creation's answer", took)
	x.b.Count(x.f.name+": answers of 5xx while hosts appeared", refused)
	x.b.Count(x.f.name+": hosts with an answer of 5xx", with)
	all := 0
	for _, n := range x.codes {
		all += n
	}
	x.b.Count(x.f.name+": answers meanwhile", all)
}

// judge says what was wrong: cleartext at a backend, a handshake without a name,
// a host that went away.
func (x *burst) judge(before int64) error {
	var wrong error
	cleartext, nameless := x.b.Cleartext()-before, x.b.Backends[0].Nameless()+x.b.Backends[1].Nameless()
	x.b.Count(x.f.name+": connections in cleartext at backends", int(cleartext), figures.Max(0))
	x.b.Count(x.f.name+": handshakes without a server name", int(nameless), figures.Max(0))
	if cleartext > 0 || nameless > 0 {
		wrong = fmt.Errorf("at TLS backends: %d connections in cleartext, %d handshakes without a server name", cleartext, nameless)
	}
	lost := 0
	for _, l := range x.life {
		lost += l.lost
	}
	x.b.Count(x.f.name+": answers other than 200 after the first 200", lost, figures.Max(0))
	if lost > 0 {
		wrong = errors.Join(wrong, fmt.Errorf("%d answers were not 200 after a host's first 200: %v", lost, x.codes))
	}
	return wrong
}
