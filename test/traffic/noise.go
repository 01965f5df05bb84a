package main

import (
	"fmt"
	"net/http"
	"time"
)

// noiseRequests are sent one after the other, while nothing changes.
const noiseRequests = 1000

// noise measures the machine: what a request takes while nothing changes. What
// a figure of changes has beyond it is not the change's.
func (b *bench) noise(when string) error {
	took := make([]time.Duration, noiseRequests)
	r := b.request(0)
	for i := range took {
		o := b.Ask(r)
		if o.Err != nil || o.Code != http.StatusOK {
			return fmt.Errorf("%s answers %d while nothing changes: %w", r.Host, o.Code, o.Err)
		}
		took[i] = o.Latency()
	}
	b.Times("noise: one request while nothing changes, "+when, took)
	return nil
}
