package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/rig"
)

// others is how many other hosts are edited a second.
const others = 20

// runChanges is S2 and S3.
func runChanges(b *bench, of func(context.Context) (*front, error)) error {
	f, err := of(b.ctx)
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
	c := &changing{b: b, f: f, first: first, on: map[int]int{}}
	for _, k := range c.kinds() {
		if err := c.measure(&k, "", figures.P50(8), figures.P99(25)); err != nil {
			return err
		}
	}
	stop := c.editOthers()
	for _, k := range c.kinds() {
		if err = c.measure(&k, fmt.Sprintf(", %d other edits a second", others), figures.P50(16), figures.P99(50)); err != nil {
			break
		}
	}
	err = errors.Join(err, stop())
	u := b.Operator.Usage()
	b.Value("memory of the operator", float64(u.MiB), figures.MiB)
	b.Value("most memory of the operator", float64(u.PeakMiB), figures.MiB)
	return err
}

// changing are the changes of one run.
type changing struct {
	b *bench
	f *front

	// first is the number of the first host; the second half is edited beside
	// what is measured.
	first, seq int
	// on holds the backend of hosts that were moved.
	on    map[int]int
	added []int
	gone  int
}

// kind is one kind of change.
type kind struct {
	name string
	// change makes the n-th one, and returns the host that shows it and what an
	// answer is like that does. Its last request to the API server has just been
	// answered when it returns.
	change func(n int) (host string, fresh func(*load.Outcome) bool, err error)
	// after follows what is measured; nil is nothing.
	after func() error
}

// pick is a host of the first half; neighbours in time are far apart.
func (c *changing) pick(n int) int { return c.first + (n*7919)%max(1, c.b.objects/2) }

func (c *changing) kinds() []kind {
	return []kind{
		{name: "header edited", change: c.editHeader},
		{name: "endpoints replaced", change: c.replaceEndpoints},
		{name: "host and Service added", change: c.add},
		{name: "host and Service removed", change: c.remove, after: c.removeRest},
	}
}

func (c *changing) editHeader(n int) (string, func(*load.Outcome) bool, error) {
	c.seq++
	i, version := c.pick(n), fmt.Sprintf("v%d", c.seq)
	fresh := func(o *load.Outcome) bool { return o.Header.Get(rig.VersionHeader) == version }
	return rig.Host(i), fresh, c.b.merge(c.f.host(i, version), "spec")
}

func (c *changing) replaceEndpoints(n int) (string, func(*load.Outcome) bool, error) {
	i := c.pick(n)
	to := 1 - c.on[i]
	c.on[i] = to
	fresh := func(o *load.Outcome) bool { return o.Header.Get("X-Backend") == []string{"a", "b"}[to] }
	return rig.Host(i), fresh, c.b.merge(rig.Slice(i, c.b.Backends[to]), "endpoints", "ports")
}

func (c *changing) add(int) (string, func(*load.Outcome) bool, error) {
	i := c.b.take(1)
	c.added = append(c.added, i)
	fresh := func(o *load.Outcome) bool { return o.Code == http.StatusOK }
	return rig.Host(i), fresh, c.b.createAll(c.b.ctx, c.f.objects(c.b.stage, i))
}

func (c *changing) remove(int) (string, func(*load.Outcome) bool, error) {
	c.gone, c.added = c.added[0], c.added[1:]
	fresh := func(o *load.Outcome) bool { return o.Code == http.StatusNotFound }
	return rig.Host(c.gone), fresh, c.b.Client.Delete(c.b.ctx, c.f.host(c.gone, ""))
}

func (c *changing) removeRest() error {
	objects := c.f.objects(c.b.stage, c.gone)
	for _, o := range objects[:len(objects)-1] {
		if err := c.b.Client.Delete(c.b.ctx, o); err != nil {
			return fmt.Errorf("%T %s: %w", o, o.GetName(), err)
		}
	}
	return nil
}

// measure makes changes one after the other. Until a change is in traffic its
// host is asked in a loop.
func (c *changing) measure(k *kind, beside string, bars ...figures.Bar) error {
	took := make([]time.Duration, 0, c.b.changes)
	for n := range c.b.changes {
		if err := c.b.ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		host, fresh, err := k.change(n)
		at := time.Now()
		if err != nil {
			return fmt.Errorf("%s, change %d of %s: %w", k.name, n, host, err)
		}
		seen, err := estate.Until(func() (bool, error) {
			o := c.f.envoy.Ask(load.Request{Host: host})
			if o.Err == nil && !fresh(o) && o.Code != http.StatusOK && o.Code != http.StatusNotFound {
				return false, fmt.Errorf("the answer is %d %s", o.Code, o.Body)
			}
			return o.Err == nil && fresh(o), o.Err
		})
		if err != nil {
			return fmt.Errorf("%s, change %d of %s: %w", k.name, n, host, err)
		}
		took = append(took, seen.Sub(at))
		if k.after != nil {
			if err := k.after(); err != nil {
				return err
			}
		}
	}
	c.b.Times(k.name+beside, took, bars...)
	return nil
}

// editOthers edits hosts of the second half at a fixed rate until the returned
// function is called.
func (c *changing) editOthers() (stop func() error) {
	ctx, cancel := context.WithCancel(c.b.ctx)
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Second / others)
		defer tick.Stop()
		half := c.b.objects / 2
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
			}
			i := c.first + half + (n*7919)%max(1, c.b.objects-half)
			if err := c.b.merge(c.f.host(i, fmt.Sprintf("other%d", n)), "spec"); err != nil {
				done <- fmt.Errorf("other edits: %w", err)
				return
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// merge writes some fields of an object, whatever its version is.
func (b *bench) merge(o client.Object, fields ...string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	some := map[string]json.RawMessage{}
	for _, f := range fields {
		some[f] = all[f]
	}
	patch, err := json.Marshal(some)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := b.Client.Patch(b.ctx, o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("%T %s: %w", o, o.GetName(), err)
	}
	return nil
}
