package xds

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signetproxy/signet/translator/envoy"
)

// After any history of revisions, subscriptions, late answers, refusals and
// reconnects, an Envoy has exactly what its fleet holds; and no cluster is removed
// that something may use which Envoy has still.
func TestAnyHistoryEndsInTheFleet(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	heard, removals, refusals, waited := 0, 0, 0, 0
	for round := range uint64(60) {
		h := newHistory(t, rand.New(rand.NewPCG(seed, round)))
		h.run(150)
		h.end()
		heard, removals, refusals = heard+h.m.heard, removals+h.m.removals, refusals+h.m.refusals
		waited += h.waited
	}
	if heard == 0 || removals == 0 || refusals == 0 || waited == 0 {
		t.Errorf("%d refused resources had a good predecessor, %d removals of clusters had something to wait for, "+
			"%d responses were bad, %d revisions waited for a cluster: want some", heard, removals, refusals, waited)
	}
}

// history is a fleet and an Envoy of it, to which things happen at random.
type history struct {
	t        *testing.T
	rnd      *rand.Rand
	server   *Server
	m        *envoyModel
	fleet    map[ResourceKey]*envoy.Resource
	revision uint64
	waited   int // looks at something that waits for a cluster
}

func newHistory(t *testing.T, rnd *rand.Rand) *history {
	t.Helper()
	// Clusters linger in every other history, until the next turn.
	s := New(Options{MaxUnacknowledged: 1 + rnd.IntN(40), Linger: time.Duration(rnd.IntN(2))})
	h := &history{t: t, rnd: rnd, server: s, fleet: map[ResourceKey]*envoy.Resource{}, m: newModel(t, s)}
	s.opts.Observer = h.m
	return h
}

func (h *history) publish() {
	h.revision++
	if h.revision > 1 && h.rnd.IntN(40) == 0 {
		h.server.Publish(Update{Revision: h.revision, Fleets: []FleetUpdate{{Fleet: edge, Gone: true}}})
		h.revision++ // Envoy learns of it with the next
		for key := range h.fleet {
			h.m.past.note(h.revision, key, "")
		}
		clear(h.fleet)
	}
	u := FleetUpdate{Fleet: edge}
	for range h.rnd.IntN(6) {
		r := randomResource(h.rnd)
		if r.Type == envoy.ClusterType && h.rnd.IntN(2) == 0 {
			r = checked(h.t, r) // what names it waits for its ACK
		}
		key := ResourceKey{r.Type, r.Name}
		if slices.ContainsFunc(u.Changed, func(c *envoy.Resource) bool { return c.Type == r.Type && c.Name == r.Name }) {
			continue
		}
		if h.rnd.IntN(3) > 0 {
			u.Changed = append(u.Changed, r)
			h.fleet[key] = r
			h.m.past.note(h.revision, key, r.Version)
		} else if h.fleet[key] != nil {
			u.Removed = append(u.Removed, key)
			delete(h.fleet, key)
			h.m.past.note(h.revision, key, "")
		}
	}
	h.server.Publish(Update{Revision: h.revision, Fleets: []FleetUpdate{u}})
}

func (h *history) run(steps int) {
	for range steps {
		switch h.rnd.IntN(12) {
		case 0, 1, 2:
			h.publish()
		case 3:
			r := randomResource(h.rnd)
			if k, _ := kindOf(r.Type); !k.wildcard() {
				h.m.toggle(k, r.Name)
			}
		case 4:
			h.m.request(nil)
		case 5:
			if h.rnd.IntN(6) == 0 {
				h.m.connect()
			}
		case 6:
			h.m.answer(h.rnd, h.rnd.IntN(4) == 0)
		default:
			h.m.answer(h.rnd, false)
		}
		if h.m.stream.view.Load().Waiting > 0 {
			h.waited++
		}
	}
}

// end publishes new bytes of all, so that nothing stays refused, and compares.
func (h *history) end() {
	h.t.Helper()
	h.revision++
	u := FleetUpdate{Fleet: edge}
	for key, r := range h.fleet {
		body := bytes.ReplaceAll(r.Body, []byte(badEdition), []byte("new edition"))
		body = protowire.AppendVarint(protowire.AppendTag(body, 1000, protowire.VarintType), h.revision)
		h.fleet[key] = &envoy.Resource{Type: key.Type, Name: key.Name, Version: fmt.Sprint("last ", h.revision), Body: body}
		h.m.past.note(h.revision, key, h.fleet[key].Version)
		u.Changed = append(u.Changed, h.fleet[key])
	}
	h.server.Publish(Update{Revision: h.revision, Fleets: []FleetUpdate{u}})
	h.m.request(nil)
	for n := 0; ; n++ {
		if n > 100_000 {
			h.t.Fatal("the stream does not come to rest")
		}
		if len(h.m.owed) == 0 {
			h.m.request(nil)
			if len(h.m.owed) == 0 {
				break
			}
		}
		h.m.answer(h.rnd, false)
	}
	if diff := cmp.Diff(h.m.want(h.fleet), h.m.has); diff != "" {
		h.t.Fatalf("what Envoy has in the end (-want, +got):\n%s", diff)
	}
	st := h.server.State().Fleets[0].Streams[0]
	if st.Acknowledged != h.revision || st.Unacknowledged != 0 || st.Lingering+st.Waiting != 0 || len(st.Rejected) != 0 || st.Held {
		h.t.Fatalf("after revision %d: %+v", h.revision, st)
	}
	h.server.leave(h.m.stream)
}

// badEdition is of resources that Envoy refuses.
const badEdition = "bad edition"

func randomResource(rnd *rand.Rand) *envoy.Resource {
	name, edition := fmt.Sprint("n", rnd.IntN(4)), []string{"0", "1", "2", badEdition}[rnd.IntN(4)]
	switch rnd.IntN(6) {
	case 0:
		return cluster(name, fmt.Sprint("n", rnd.IntN(4)), fmt.Sprint("trust/", rnd.IntN(3)), edition)
	case 1:
		return assignment(name, edition)
	case 2:
		return secret(fmt.Sprint("trust/", rnd.IntN(3)), edition)
	case 3:
		return secret([]string{"*.x", "a.x", "b.x"}[rnd.IntN(3)], edition)
	case 4:
		return listener(name, edition)
	default:
		return scope(name, edition)
	}
}

// What the history says has changed is what a comparison finds.
func TestHistoryAndComparisonAgree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	f := &fleet{name: edge}
	var all []*snapshot
	for rev := range uint64(400) {
		u := FleetUpdate{Fleet: edge}
		for range rnd.IntN(5) {
			r := randomResource(rnd)
			if rnd.IntN(2) == 0 {
				u.Changed = append(u.Changed, r)
			} else {
				u.Removed = append(u.Removed, ResourceKey{r.Type, r.Name})
			}
		}
		f.commit(rev, &u)
		now := f.head.Load()
		all = append(all, now)
		if len(now.history) > maxHistory {
			t.Fatalf("the history has %d entries", len(now.history))
		}
		old := all[rnd.IntN(len(all))]
		if diff := cmp.Diff(names(now.compare(old)), names(now.since(old))); diff != "" {
			t.Fatalf("from %d to %d (-comparison, +history):\n%s", old.seq, now.seq, diff)
		}
	}
	big := FleetUpdate{Fleet: edge}
	for i := range maxHistoryNames + 1 {
		big.Changed = append(big.Changed, scope(fmt.Sprint("big", i), "1"))
	}
	f.commit(1000, &big)
	if n := len(f.head.Load().history); n != 0 {
		t.Errorf("the history has %d entries behind a change that is beyond its bound", n)
	}
}

func names(c *changes) (out [kindCount][]string) {
	for k := range c {
		for _, ch := range c[k] {
			out[k] = append(out[k], fmt.Sprint(ch.name, ch.old != nil, ch.now != nil))
		}
	}
	return out
}
