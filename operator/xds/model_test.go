package xds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/envoy"
)

// fakeWire is a stream without a network: the test plays Envoy by hand.
type fakeWire struct {
	ctx  context.Context
	sent []*discoveryv3.DeltaDiscoveryResponse
	size int
}

func (w *fakeWire) Context() context.Context { return w.ctx }

func (w *fakeWire) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	return nil, errors.New("nothing is read in this test")
}

func (w *fakeWire) SendMsg(m any) error {
	buffers, ok := m.(mem.BufferSlice)
	if !ok {
		return fmt.Errorf("%T is sent", m)
	}
	w.size += buffers.Len()
	var r discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(buffers.Materialize(), &r); err != nil {
		return err
	}
	w.sent = append(w.sent, &r)
	return nil
}

// envoyModel is what an Envoy would do: it keeps what it is sent, of what it
// subscribes to, and looks at the order.
type envoyModel struct {
	t      *testing.T
	server *Server
	stream *stream
	wire   *fakeWire
	asked  [kindCount]map[string]bool // by name
	good   map[ResourceKey][]string   // the versions it has acknowledged
	heard  int                        // how often one of those was said to be good
	has    [kindCount]map[string]string
	owed   []*discoveryv3.DeltaDiscoveryResponse
}

func newModel(t *testing.T, s *Server) *envoyModel {
	m := &envoyModel{t: t, server: s, good: map[ResourceKey][]string{}}
	for k := range m.has {
		m.has[k], m.asked[k] = map[string]string{}, map[string]bool{}
	}
	m.connect()
	return m
}

// connect begins a new stream with what Envoy has.
func (m *envoyModel) connect() {
	if m.stream != nil {
		m.server.leave(m.stream)
	}
	m.owed = nil
	m.wire = &fakeWire{ctx: m.t.Context()}
	m.stream = newStream(m.server, identity{fleet: edge}, m.wire)
	if err := m.server.join(m.stream); err != nil {
		m.t.Fatal(err)
	}
	m.request(nil)
	for k := range kindCount {
		for name, version := range m.has[k] { // it says that it has taken these
			key := ResourceKey{types[k], name}
			m.good[key] = append(m.good[key], version)
		}
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(types[k]), InitialResourceVersions: maps.Clone(m.has[k])}
		if !k.wildcard() {
			req.ResourceNamesSubscribe = slices.Sorted(maps.Keys(m.asked[k]))
		}
		m.request(req)
	}
}

func (m *envoyModel) request(req *discoveryv3.DeltaDiscoveryRequest) {
	if err := m.stream.turn(req, nil); err != nil {
		m.t.Fatal(err)
	}
	for _, r := range m.wire.sent {
		m.take(r)
	}
	m.wire.sent = nil
}

func (m *envoyModel) take(r *discoveryv3.DeltaDiscoveryResponse) {
	k, ok := kindOf(envoy.Type(r.GetTypeUrl()))
	if !ok {
		m.t.Fatalf("type %q is sent", r.GetTypeUrl())
	}
	for _, res := range r.GetResources() {
		if k.wildcard() || m.asked[k][res.GetName()] {
			m.has[k][res.GetName()] = res.GetVersion()
		}
	}
	for _, name := range r.GetRemovedResources() {
		delete(m.has[k], name)
	}
	m.owed = append(m.owed, r)
}

// answer answers the oldest response of the type of a random one.
func (m *envoyModel) answer(rnd *rand.Rand, refuse bool) {
	if len(m.owed) == 0 {
		return
	}
	typ := m.owed[rnd.IntN(len(m.owed))].GetTypeUrl()
	i := slices.IndexFunc(m.owed, func(r *discoveryv3.DeltaDiscoveryResponse) bool { return r.GetTypeUrl() == typ })
	r := m.owed[i]
	m.owed = slices.Delete(m.owed, i, i+1)
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typ, ResponseNonce: r.GetNonce()}
	if refuse {
		req.ErrorDetail = &spb.Status{Code: 13, Message: "at random"}
	} else {
		for _, res := range r.GetResources() {
			key := ResourceKey{envoy.Type(typ), res.GetName()}
			m.good[key] = append(m.good[key], res.GetVersion())
		}
	}
	m.request(req)
}

// OnAck implements Observer.
func (m *envoyModel) OnAck(Ack) {}

// OnNack implements Observer: what is said to be good was acknowledged.
func (m *envoyModel) OnNack(n Nack) {
	for i, r := range n.Resources {
		good := n.LastGood[i]
		switch k, _ := kindOf(n.Type); {
		case good == nil || k == secrets: // those go by other names too
		case good.Name != r.Name || !slices.Contains(m.good[ResourceKey{n.Type, r.Name}], good.Version):
			m.t.Errorf("%s %s is said to be good, and was not acknowledged", good.Name, good.Version)
		default:
			m.heard++
		}
	}
}

func (m *envoyModel) toggle(k kind, name string) {
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(types[k])}
	if m.asked[k][name] {
		delete(m.asked[k], name)
		delete(m.has[k], name)
		req.ResourceNamesUnsubscribe = []string{name}
	} else {
		m.asked[k][name] = true
		req.ResourceNamesSubscribe = []string{name}
	}
	m.request(req)
}

// want is what Envoy must have in the end.
func (m *envoyModel) want(fleet map[ResourceKey]*envoy.Resource) [kindCount]map[string]string {
	var out [kindCount]map[string]string
	for k := range kindCount {
		out[k] = map[string]string{}
		if k.wildcard() {
			for key, r := range fleet {
				if key.Type == types[k] {
					out[k][key.Name] = r.Version
				}
			}
			continue
		}
		for name := range m.asked[k] {
			if r := fleet[ResourceKey{types[k], name}]; r != nil {
				out[k][name] = r.Version
				continue
			}
			for _, w := range secretFallback(name) {
				if r := fleet[ResourceKey{types[k], w}]; k == secrets && r != nil {
					out[k][name] = envoy.RenamedSecret(r, name).Version
				}
			}
		}
	}
	return out
}

// After any history of revisions, subscriptions, late answers, refusals and
// reconnects, an Envoy has exactly what its fleet holds.
func TestAnyHistoryEndsInTheFleet(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	heard := 0
	for round := range uint64(60) {
		heard += runHistory(t, rand.New(rand.NewPCG(seed, round)), 150)
	}
	if heard == 0 {
		t.Error("no refused resource had a good predecessor")
	}
}

// runHistory returns how many refused resources had a good predecessor.
func runHistory(t *testing.T, rnd *rand.Rand, steps int) int {
	t.Helper()
	s := New(Options{MaxUnacknowledged: 1 + rnd.IntN(40)})
	fleet := map[ResourceKey]*envoy.Resource{}
	revision := uint64(0)
	publish := func() {
		revision++
		u := FleetUpdate{Fleet: edge}
		if revision > 1 && rnd.IntN(40) == 0 {
			s.Publish(Update{Revision: revision, Fleets: []FleetUpdate{{Fleet: edge, Gone: true}}})
			clear(fleet)
			revision++
		}
		for range rnd.IntN(6) {
			r := randomResource(rnd)
			key := ResourceKey{r.Type, r.Name}
			if rnd.IntN(3) > 0 {
				u.Changed = append(u.Changed, r)
				fleet[key] = r
			} else if !slices.ContainsFunc(u.Changed, func(c *envoy.Resource) bool { return c.Type == r.Type && c.Name == r.Name }) {
				u.Removed = append(u.Removed, key)
				delete(fleet, key)
			}
		}
		s.Publish(Update{Revision: revision, Fleets: []FleetUpdate{u}})
	}
	m := newModel(t, s)
	s.opts.Observer = m
	for range steps {
		switch rnd.IntN(12) {
		case 0, 1, 2:
			publish()
		case 3:
			r := randomResource(rnd)
			if k, _ := kindOf(r.Type); !k.wildcard() {
				m.toggle(k, r.Name)
			}
		case 4:
			m.request(nil)
		case 5:
			if rnd.IntN(6) == 0 {
				m.connect()
			}
		case 6:
			m.answer(rnd, rnd.IntN(2) == 0)
		default:
			m.answer(rnd, false)
		}
	}
	if revision == 0 {
		publish()
	}
	// New bytes for all, so that nothing stays refused.
	revision++
	u := FleetUpdate{Fleet: edge}
	for key := range fleet {
		body := protowire.AppendVarint(protowire.AppendTag(slices.Clone(fleet[key].Body), 1000, protowire.VarintType), revision)
		fleet[key] = &envoy.Resource{Type: key.Type, Name: key.Name, Version: fmt.Sprint("last ", revision), Body: body}
		u.Changed = append(u.Changed, fleet[key])
	}
	s.Publish(Update{Revision: revision, Fleets: []FleetUpdate{u}})
	m.request(nil)
	for n := 0; len(m.owed) > 0; n++ {
		if n > 100_000 {
			t.Fatal("the stream does not come to rest")
		}
		m.answer(rnd, false)
	}
	if diff := cmp.Diff(m.want(fleet), m.has); diff != "" {
		t.Fatalf("what Envoy has in the end (-want, +got):\n%s", diff)
	}
	st := s.State().Fleets[0].Streams[0]
	if st.Acknowledged != revision || st.Unacknowledged != 0 || st.Lingering != 0 || len(st.Rejected) != 0 || st.Held {
		t.Fatalf("after revision %d: %+v", revision, st)
	}
	m.server.leave(m.stream)
	return m.heard
}

func randomResource(rnd *rand.Rand) *envoy.Resource {
	name, edition := fmt.Sprint("n", rnd.IntN(4)), fmt.Sprint(rnd.IntN(4))
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

// FuzzRequests plays requests that are any bytes.
func FuzzRequests(f *testing.F) {
	add := func(rs ...*discoveryv3.DeltaDiscoveryRequest) {
		var all []byte
		for _, r := range rs {
			b, err := proto.Marshal(r)
			if err != nil {
				f.Fatal(err)
			}
			all = append(append(all, byte(len(b))), b...)
		}
		f.Add(all)
	}
	add(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ClusterType)},
		&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ClusterType), ResponseNonce: "1"})
	add(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.SecretType), ResourceNamesSubscribe: []string{"trust/a", "a.b.c", "*"}},
		&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.SecretType), ResourceNamesUnsubscribe: []string{"a.b.c", "*"}})
	add(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), InitialResourceVersions: map[string]string{"http|a": "", "x": "y"}},
		&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), ResponseNonce: "1", ErrorDetail: &spb.Status{Message: "inline_bytes"}})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(Options{MaxNames: 8, MaxUnacknowledged: 4})
		s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: world()}}})
		w := &fakeWire{ctx: t.Context()}
		st := newStream(s, identity{fleet: edge}, w)
		if err := s.join(st); err != nil {
			t.Fatal(err)
		}
		defer s.leave(st)
		for rev := uint64(2); len(data) > 0 && rev < 100; rev++ {
			n := min(int(data[0]), len(data)-1)
			var req discoveryv3.DeltaDiscoveryRequest
			if proto.Unmarshal(data[1:1+n], &req) == nil {
				if st.turn(&req, nil) != nil {
					return // it may end the stream
				}
			}
			data = data[1+n:]
			s.Publish(Update{Revision: rev, Fleets: []FleetUpdate{{Fleet: edge, Changed: list(scope("http|a", fmt.Sprint(rev)))}}})
			if st.names > 8 || st.outstanding > 2*4+8+requestBuffer {
				t.Fatalf("bounds are passed: %d names, %d responses", st.names, st.outstanding)
			}
		}
	})
}
