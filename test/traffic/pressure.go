package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/world"
)

const (
	alone      = ", alone"
	withOthers = ", with 20 other changes a second"
)

// runTrickle measures header edits with and without other changes beside them.
func runTrickle(b *bench) error {
	l := b.lightLoad()
	err := b.edits(alone)
	if err == nil {
		ctx, stop := context.WithCancel(b.ctx)
		done := make(chan error, 1)
		go func() { done <- b.trickle(ctx, 50*time.Millisecond) }()
		err = b.edits(withOthers)
		stop()
		err = errors.Join(err, <-done)
	}
	return errors.Join(err, b.settle(l, "beside the changes"))
}

func (b *bench) edits(when string) error {
	c := change{name: edits + when, next: headerEdited}
	took, err := b.measure(&c, b.changes)
	b.Times(c.name, took)
	return err
}

// trickle makes a change at every tick, whatever becomes of those before: of
// hosts of the second half, edits, endpoints, additions and removals in turn.
func (b *bench) trickle(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		k := b.Hosts/2 + (i*7919)%max(1, b.Hosts-b.Hosts/2)
		name := fmt.Sprintf("x%d", i/4)
		var err error
		switch i % 4 {
		case 0:
			_, err = b.Write(estate.ProxyFile(k), b.Proxy(k, fmt.Sprintf("x%d", i)))
		case 1:
			_, err = b.Write(estate.SliceFile(k), world.Endpoints("default", estate.ServiceName(k), b.Backends[i/4%2]))
		case 2:
			_, err = b.Write(name, b.extra(name, name+"."+estate.Domain, "ca", false))
		default:
			_, err = b.Remove(name)
		}
		if err != nil {
			return err
		}
	}
}

// runRetranslation changes endpoints while every host is translated again,
// because a Service that each has a route to has changed: first in a note, so
// that all outcomes are equal, then in its protocol, so that each host moves
// to another cluster.
func runRetranslation(b *bench) error {
	const some = 20
	c := b.Load(b.rate)
	c.Next = func(n int) load.Request {
		r := b.request(n % some * max(1, b.Hosts/some) % b.Hosts)
		if n/some%2 == 1 {
			r.Path = estate.SharedPath
		}
		return r
	}
	l := load.Start(c)
	kind := change{name: "endpoints changed", next: endpointsChanged}
	took, err := b.measure(&kind, b.changes)
	b.Times(kind.name+alone, took)
	if err == nil {
		err = b.retranslate("no outcome differs", func(i int) (string, func() (bool, error)) {
			return b.SharedManifest("tls", fmt.Sprintf("v%d", i+1)), nil
		})
	}
	if err == nil {
		err = b.retranslate("every host moves to another cluster", func(i int) (string, func() (bool, error)) {
			protocol, proto := "h2", "HTTP/2.0"
			if i%2 == 1 {
				protocol, proto = "tls", "HTTP/1.1"
			}
			return b.SharedManifest(protocol, "moved"), b.allSpeak(proto)
		})
	}
	return errors.Join(err, b.settle(l, "beside the changes"))
}

// retranslate changes the shared Service, then endpoints, then a header. The
// header's edit is not in the fast lane: when it is seen, the translation of
// all hosts is over, which tells how long that took.
func (b *bench) retranslate(what string, shared func(i int) (doc string, all func() (bool, error))) error {
	var r round
	busy := b.Signet().Busy
	var err error
	for i := 0; i < b.changes && err == nil; i++ {
		if err = b.ctx.Err(); err == nil {
			doc, all := shared(i)
			err = r.make(b, i, doc, all)
		}
	}
	spent := (b.Signet().Busy - busy) / time.Duration(max(1, len(r.header)))
	b.Times("endpoints changed, all translated, "+what, r.endpoints, figures.P50(3), figures.P99(10))
	b.Times("header edited behind it, "+what, r.header)
	b.Times("until all have moved", r.everywhere)
	b.Value("processor time of signet a round, "+what, float64(spent.Milliseconds()), figures.Millis)
	if err != nil {
		return fmt.Errorf("while all is translated, %s: %w", what, err)
	}
	return nil
}

// round gathers what each re-translation gave: how long endpoints and a header
// took, and all hosts.
type round struct{ endpoints, header, everywhere []time.Duration }

// lead is how long before the endpoints the shared Service is changed: its
// translation is under way then.
const lead = 3 * time.Millisecond

func (r *round) make(b *bench, i int, doc string, all func() (bool, error)) error {
	e, err := endpointsChanged(b, 2*i)
	if err != nil {
		return err
	}
	h, err := headerEdited(b, 2*i+1)
	if err != nil {
		return err
	}
	<-time.After(pause)
	began, err := b.Write(estate.SharedService, doc)
	if err != nil {
		return err
	}
	<-time.After(lead)
	at, err := e.apply()
	if err != nil {
		return err
	}
	edited, err := h.apply()
	if err != nil {
		return err
	}
	for _, wait := range []struct {
		what  string
		fresh func() (bool, error)
		since time.Time
		took  *[]time.Duration
	}{{"endpoints", e.fresh, at, &r.endpoints}, {"header", h.fresh, edited, &r.header}, {"all hosts", all, began, &r.everywhere}} {
		if wait.fresh == nil {
			continue
		}
		seen, err := estate.Until(wait.fresh)
		if err != nil {
			return fmt.Errorf("%s: %w", wait.what, err)
		}
		*wait.took = append(*wait.took, seen.Sub(wait.since))
	}
	return nil
}

// allSpeak asks hosts all over the folder whether their shared backend is
// reached by a protocol.
func (b *bench) allSpeak(proto string) func() (bool, error) {
	const some = 20
	next := 0
	return func() (bool, error) {
		r := b.request(next * max(1, b.Hosts/some) % b.Hosts)
		r.Path = estate.SharedPath
		o := b.Ask(r)
		if o.Err != nil {
			return false, o.Err
		}
		var seen backend.Request
		if o.Code != http.StatusOK || json.Unmarshal(o.Body, &seen) != nil {
			return false, fmt.Errorf("%s%s answered %d, %q", r.Host, r.Path, o.Code, o.Body)
		}
		if seen.Proto != proto {
			return false, nil
		}
		next++
		return next == some, nil
	}
}
