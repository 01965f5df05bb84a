package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/rig"
)

// quiet is how long nothing is written when all is written.
const quiet = 2 * time.Second

// runStart is S1. All is in the API server before the operator is.
func runStart(b *bench) error {
	if err := errors.Join(b.StopOperator(), b.declareFleet(b.ctx)); err != nil {
		return err
	}
	first := b.take(b.objects)
	if err := b.Create(b.ctx, "unrelated Secrets", b.secrets, func(i int) []client.Object {
		return []client.Object{rig.Unrelated(i)}
	}); err != nil {
		return err
	}
	if err := b.Create(b.ctx, "HTTPProxies", b.objects, func(i int) []client.Object { return proxyObjects(b.stage, first+i) }); err != nil {
		return err
	}
	statuses, err := b.Watch(b.ctx, &contourv1.HTTPProxyList{}, isValid)
	if err != nil {
		return err
	}
	defer statuses.Stop()
	_, written := statuses.Writes()
	proxies, err := b.proxies(b.ctx)
	if err != nil {
		return err
	}
	if err := b.started(proxies, statuses, first); err != nil {
		return err
	}
	_, now := statuses.Writes()
	b.Count("status writes of HTTPProxies, first start", now-written, figures.Max(float64(b.objects)))
	return b.restart(proxies, first)
}

func isValid(o client.Object) bool {
	p, ok := o.(*contourv1.HTTPProxy)
	return ok && p.Status.CurrentStatus == "valid"
}

// started measures the operator that has just begun.
func (b *bench) started(f *front, statuses *rig.Watcher, first int) error {
	began := b.Operator.Began
	b.Value("operator ready after its start", since(time.Now(), began), figures.Seconds)
	ctx, cancel := context.WithTimeout(b.ctx, long)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	var served, written time.Time
	g.Go(func() (err error) {
		served, err = b.sweep(f.envoy, first, b.objects)
		return err
	})
	g.Go(func() (err error) {
		written, err = statuses.Good(ctx, b.objects)
		return err
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	b.Value("every host answered 200 after the operator's start", since(served, began), figures.Seconds, figures.Max(60))
	b.Value("every status written after the operator's start", since(written, began), figures.Seconds, figures.Max(60))
	if err := statuses.Quiet(b.ctx, quiet); err != nil {
		return err
	}
	b.memory("the first start")
	return nil
}

func (b *bench) memory(when string) {
	u := b.Operator.Usage()
	b.Value("memory of the operator after "+when, float64(u.MiB), figures.MiB, figures.Max(300))
	b.Value("most memory of the operator until "+when, float64(u.PeakMiB), figures.MiB, figures.Max(300))
	b.Value("processor time of the operator until "+when, u.Busy.Seconds(), figures.Seconds)
}

// restart starts the operator again, and counts what it writes.
func (b *bench) restart(f *front, first int) error {
	before, err := b.versions()
	if err != nil {
		return err
	}
	fleets := &v1alpha1.EnvoyFleetList{}
	if err := b.Client.List(b.ctx, fleets, client.InNamespace(rig.Namespace)); err != nil {
		return fmt.Errorf("EnvoyFleets: %w", err)
	}
	if err := b.StopOperator(); err != nil {
		return err
	}
	if err := b.operator(b.ctx); err != nil {
		return err
	}
	began := b.Operator.Began
	b.Value("operator ready after its restart", since(time.Now(), began), figures.Seconds)
	// All are looked at when a term begins; what is touched later is written later.
	for range 2 {
		if err := b.marker(); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
	}
	b.Value("a new object's status after the restart", since(time.Now(), began), figures.Seconds)
	statuses, err := b.Watch(b.ctx, &contourv1.HTTPProxyList{}, isValid)
	if err != nil {
		return err
	}
	defer statuses.Stop()
	if err := statuses.Quiet(b.ctx, quiet); err != nil {
		return err
	}
	after, err := b.versions()
	if err != nil {
		return err
	}
	var wrong error
	for kind, was := range before {
		n, some := 0, ""
		for name, version := range was {
			if after[kind][name] != version {
				n, some = n+1, name
			}
		}
		b.Count(kind+" written by a restart", n, figures.Max(0))
		if n > 0 {
			wrong = errors.Join(wrong, fmt.Errorf("the restart wrote %d %s, %s for one", n, kind, some))
		}
	}
	if wrong != nil {
		now := &v1alpha1.EnvoyFleetList{}
		err := b.Client.List(b.ctx, now, client.InNamespace(rig.Namespace))
		wrong = errors.Join(wrong, err, fmt.Errorf("EnvoyFleets (-before, +after):\n%s", cmp.Diff(fleets.Items, now.Items)))
	}
	if _, err := b.sweep(f.envoy, first, min(b.objects, 100)); err != nil {
		return errors.Join(wrong, err)
	}
	b.memory("the restart")
	return wrong
}

// versions are the resource versions of what has a status.
func (b *bench) versions() (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for kind, list := range map[string]client.ObjectList{
		"HTTPProxies": &contourv1.HTTPProxyList{}, "EnvoyFleets": &v1alpha1.EnvoyFleetList{},
	} {
		versions, err := b.Versions(b.ctx, list)
		if err != nil {
			return nil, err
		}
		out[kind] = versions
	}
	return out, nil
}

// marker makes an HTTPProxy and waits for its status.
func (b *bench) marker() error {
	i := b.take(1)
	if err := b.createAll(b.ctx, proxyObjects(b.stage, i)); err != nil {
		return err
	}
	p := &contourv1.HTTPProxy{}
	return rig.Await(b.ctx, "status of a new HTTPProxy", func(ctx context.Context) error {
		if err := b.Client.Get(ctx, client.ObjectKey{Namespace: rig.Namespace, Name: rig.Name(i)}, p); err != nil {
			return err
		}
		if !isValid(p) {
			return fmt.Errorf("it is %q", p.Status.CurrentStatus)
		}
		return nil
	})
}
