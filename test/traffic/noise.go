package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/load"
)

const (
	// noiseRequests are sent one after the other, while nothing changes.
	noiseRequests = 1000
	// pausedRequests are sent after a pause, as those that follow a change are.
	pausedRequests = 100
)

// noise measures the machine: what a request takes while nothing changes. What
// a figure of changes has beyond it is not the change's.
func (b *bench) noise(when string) error {
	took := make([]time.Duration, noiseRequests)
	for i := range took {
		var err error
		if took[i], err = b.quiet(b.request(0)); err != nil {
			return err
		}
	}
	b.Times("noise: one request while nothing changes, "+when, took)
	return nil
}

// handshakes measures what no control plane can save, after the same pause as
// before a change: a request, one that makes Envoy open a connection to its
// backend, and a handshake with Envoy.
func (b *bench) handshakes() error {
	n := min(pausedRequests, b.Hosts/8)
	kinds := []struct {
		what string
		once func(i int) (time.Duration, error)
	}{
		{"one request after a pause", func(int) (time.Duration, error) { return b.quiet(b.request(0)) }},
		{"one that opens a backend connection", func(i int) (time.Duration, error) {
			return b.quiet(b.request(2 * (b.Hosts/2 - 1 - i))) // a plain host that nobody has asked for yet
		}},
		{"a handshake with Envoy", func(int) (time.Duration, error) {
			began := time.Now()
			_, err := b.Handshake(estate.Host(1))
			return time.Since(began), err
		}},
	}
	for _, k := range kinds {
		took := make([]time.Duration, n)
		for i := range took {
			<-time.After(pause)
			if _, err := b.quiet(b.request(0)); err != nil {
				return err
			}
			var err error
			if took[i], err = k.once(i); err != nil {
				return err
			}
		}
		b.Times("noise: "+k.what, took)
	}
	return nil
}

// quiet sends a request that must succeed and returns what it took.
func (b *bench) quiet(r load.Request) (time.Duration, error) {
	o := b.Ask(r)
	if o.Err != nil {
		return 0, fmt.Errorf("while nothing changes: %w", o.Err)
	}
	if o.Code != http.StatusOK {
		return 0, fmt.Errorf("%s answers %d while nothing changes", r.Host, o.Code)
	}
	return o.Latency(), nil
}
