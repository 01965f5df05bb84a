package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/rig"
)

const (
	outageRate = 100
	// changesEach are made after each outage.
	changesEach = 5
)

// runOutage is S6. The hosts that are asked for are not those that change.
func runOutage(b *bench) error {
	f, err := b.proxies(b.ctx)
	if err != nil {
		return err
	}
	first := b.take(b.objects)
	if err := b.Create(b.ctx, f.name, b.objects, func(i int) []client.Object { return f.objects(b.stage, first+i) }); err != nil {
		return err
	}
	if _, err := b.sweep(f.envoy, first, b.objects); err != nil {
		return err
	}
	half := b.objects / 2
	config := f.envoy.Load(outageRate)
	config.Next = func(n int) load.Request { return load.Request{Host: rig.Host(first + half + n*7919%(b.objects-half))} }
	l := load.Start(config)
	c := &changing{b: b, f: f, first: first, on: map[int]int{}}
	err = c.outages()
	r := l.Stop()
	b.Histogram("requests meanwhile", &r.Latency)
	b.Count("unexpected answers meanwhile", r.Unexpected, figures.Max(0))
	if err != nil {
		return err
	}
	if r.Unexpected > 0 || r.Requests == 0 {
		var some strings.Builder
		for _, x := range r.Failures[:min(10, len(r.Failures))] {
			some.WriteString("\n    " + x.String())
		}
		return fmt.Errorf("%d of %d answers were unexpected; the first:%s", r.Unexpected, r.Requests, some.String())
	}
	return nil
}

// outages compacts etcd, and kills the API server, again and again, and makes
// changes afterwards: each must arrive.
func (c *changing) outages() error {
	var compacted, first, later []time.Duration
	for n := range c.b.changes {
		if err := c.b.Compact(c.b.ctx); err != nil {
			return fmt.Errorf("compaction: %w", err)
		}
		took, err := c.seen(n)
		if err != nil {
			return fmt.Errorf("after compaction %d: %w", n, err)
		}
		compacted = append(compacted, took)

		// What is written last before the end is what watches have not seen.
		if err := c.b.merge(c.f.host(c.pick(n), "before"), "spec"); err != nil {
			return err
		}
		if err := c.b.Server.Pause(); err != nil {
			return fmt.Errorf("end of the API server: %w", err)
		}
		if err := c.b.Compact(c.b.ctx); err != nil {
			return fmt.Errorf("compaction: %w", err)
		}
		if err := c.b.Server.Resume(); err != nil {
			return fmt.Errorf("API server: %w", err)
		}
		if err := c.serverAnswers(); err != nil {
			return err
		}
		for k := range changesEach {
			took, err := c.seen(n*changesEach + k)
			if err != nil {
				return fmt.Errorf("after the API server's end %d: %w", n, err)
			}
			if k == 0 {
				first = append(first, took)
			} else {
				later = append(later, took)
			}
		}
	}
	c.b.Times("header edited right after a compaction", compacted)
	c.b.Times("header edited as soon as the API server is back", first)
	c.b.Times("header edited after that", later)
	return nil
}

// serverAnswers waits until the API server takes writes.
func (c *changing) serverAnswers() error {
	return rig.Await(c.b.ctx, "the API server's return", func(ctx context.Context) error {
		o := c.f.host(c.first, "")
		err := c.b.Client.Get(ctx, client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// seen edits a header and returns how long that took to reach traffic.
func (c *changing) seen(n int) (time.Duration, error) {
	host, fresh, err := c.editHeader(n)
	if err != nil {
		return 0, err
	}
	at := time.Now()
	seen, err := estate.Until(func() (bool, error) {
		o := c.f.envoy.Ask(load.Request{Host: host})
		return o.Err == nil && fresh(o), load.Code(http.StatusOK)(o)
	})
	return seen.Sub(at), err
}
