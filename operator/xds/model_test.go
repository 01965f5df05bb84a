package xds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/operator/xds/peer"
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

// envoyModel is what an Envoy would do: it takes responses of a type in order, and
// keeps of what it acknowledges what it subscribes to then. It refuses a response for
// one bad resource in it, and may have kept good ones. It looks at the order.
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
	spoilt map[string]string // the version of each secret that it refused last
	since  map[string]uint64 // the revision that brought each cluster
	past   *past
	// removals are clusters that were removed while there was a user of an earlier
	// revision to wait for, refusals those for a bad resource.
	removals, refusals int
}

// past is what the fleet held, and when.
type past struct {
	editions map[ResourceKey][]edition // oldest first
}

type edition struct {
	revision uint64
	version  string // empty when it was removed
}

func (p *past) note(revision uint64, key ResourceKey, version string) {
	p.editions[key] = append(p.editions[key], edition{revision, version})
}

// stale says whether a version was replaced or removed by a revision, and is none
// since.
func (p *past) stale(revision uint64, key ResourceKey, version string) bool {
	for _, e := range slices.Backward(p.editions[key]) {
		if e.version == version {
			return false
		}
		if e.revision <= revision {
			return true
		}
	}
	return true // Envoy has it from nowhere
}

// dropped is when a name was removed first since a revision; it may have come and
// gone again, both too fast for Envoy.
func (p *past) dropped(since uint64, key ResourceKey) uint64 {
	for _, e := range p.editions[key] {
		if e.version == "" && e.revision > since {
			return e.revision
		}
	}
	return 0
}

func newModel(t *testing.T, s *Server) *envoyModel {
	m := &envoyModel{t: t, server: s, good: map[ResourceKey][]string{}, past: &past{map[ResourceKey][]edition{}}}
	m.spoilt, m.since = map[string]string{}, map[string]uint64{}
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
	m.stream = newStream(m.server, peer.Identity{Fleet: edge}, m.wire)
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
	if k == clusters {
		for _, name := range r.GetRemovedResources() {
			m.unused(name)
		}
	}
	m.owed = append(m.owed, r)
}

// unused checks that Envoy has none of the users that the fleet had before it dropped
// the cluster: any listener or scope may be one.
func (m *envoyModel) unused(name string) {
	at := m.past.dropped(m.since[name], ResourceKey{envoy.ClusterType, name})
	if at == 0 || m.has[clusters][name] == "" {
		return // it never was there for this Envoy
	}
	for _, k := range []kind{listeners, scopes} {
		for user, version := range m.has[k] {
			key := ResourceKey{types[k], user}
			if m.past.stale(at, key, version) {
				m.t.Errorf("cluster %s, which revision %d dropped, is removed before Envoy has taken what replaces %s %s", name, at, k, user)
			}
			if len(m.past.editions[key]) > 1 {
				m.removals++
			}
		}
	}
}

// answer answers the oldest response of the type of a random one. A moody Envoy
// refuses it without a cause, and takes it when it comes again.
func (m *envoyModel) answer(rnd *rand.Rand, moody bool) {
	if len(m.owed) == 0 {
		return
	}
	typ := m.owed[rnd.IntN(len(m.owed))].GetTypeUrl()
	i := slices.IndexFunc(m.owed, func(r *discoveryv3.DeltaDiscoveryResponse) bool { return r.GetTypeUrl() == typ })
	r := m.owed[i]
	m.owed = slices.Delete(m.owed, i, i+1)
	k, _ := kindOf(envoy.Type(typ))
	bad := m.bad(k, r)
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typ, ResponseNonce: r.GetNonce()}
	refuse := len(bad) > 0 || moody && len(r.GetResources()) > 0
	if refuse {
		req.ErrorDetail = &spb.Status{Code: 13, Message: "for a cause"}
	}
	for _, res := range r.GetResources() {
		// Of a refused response it keeps what it met before it found what is bad.
		if !refuse || !bad[res.GetName()] && len(r.GetResources()) > 1 && rnd.IntN(2) == 0 {
			m.keep(k, res, !refuse)
			if k == clusters {
				m.since[res.GetName()], _ = parseNonce(r.GetSystemVersionInfo())
			}
		}
	}
	for _, name := range r.GetRemovedResources() {
		if !refuse {
			delete(m.has[k], name)
		}
	}
	if len(bad) > 0 {
		m.refusals++
	}
	m.request(req)
}

// bad are the resources for which Envoy refuses a response. It refuses a secret once,
// and takes the same bytes when they come again, without using them.
func (m *envoyModel) bad(k kind, r *discoveryv3.DeltaDiscoveryResponse) map[string]bool {
	bad := map[string]bool{}
	for _, res := range r.GetResources() {
		name := res.GetName()
		if !bytes.Contains(res.GetResource().GetValue(), []byte(badEdition)) || !k.wildcard() && !m.asked[k][name] {
			continue
		}
		if k == secrets && m.spoilt[name] == res.GetVersion() {
			continue
		}
		if k == secrets {
			m.spoilt[name] = res.GetVersion()
		}
		bad[name] = true
	}
	return bad
}

func (m *envoyModel) keep(k kind, res *discoveryv3.Resource, acknowledged bool) {
	name := res.GetName()
	if !k.wildcard() && !m.asked[k][name] || k == secrets && m.spoilt[name] == res.GetVersion() {
		return
	}
	m.has[k][name] = res.GetVersion()
	if acknowledged {
		key := ResourceKey{types[k], name}
		m.good[key] = append(m.good[key], res.GetVersion())
	}
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
		delete(m.spoilt, name)
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
