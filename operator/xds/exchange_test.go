package xds

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// The exchanges are recorded anew, for another version of Envoy, by
//
//	go test ./operator/xds -run TestExchangesOfEnvoy -record
var recordAgain = flag.Bool("record", false, "record testdata/exchanges from a real Envoy")

const exchangeFile = "testdata/exchanges/envoy.jsonl"

// event is one line of a recorded exchange; one field is set.
type event struct {
	// Phase names what follows, for people.
	Phase string `json:"phase,omitempty"`
	// Publish is a revision of the fleet.
	Publish *published `json:"publish,omitempty"`
	// Connect begins a stream, and Disconnect ends it.
	Connect    bool `json:"connect,omitempty"`
	Disconnect bool `json:"disconnect,omitempty"`
	// Request is a DeltaDiscoveryRequest as Envoy sent it, but for most of its
	// node.
	Request json.RawMessage `json:"request,omitempty"`
	// Response is what was sent.
	Response *sentResponse `json:"response,omitempty"`
}

type published struct {
	Revision uint64            `json:"revision"`
	Changed  []*envoy.Resource `json:"changed"`
	Removed  []ResourceKey     `json:"removed,omitempty"`
}

type sentResponse struct {
	Type  string `json:"type"`
	Nonce string `json:"nonce"`
	// Resources are "name version".
	Resources []string `json:"resources,omitempty"`
	Removed   []string `json:"removed,omitempty"`
}

func summary(r *discoveryv3.DeltaDiscoveryResponse) *sentResponse {
	out := &sentResponse{Type: r.GetTypeUrl(), Nonce: r.GetNonce(), Removed: r.GetRemovedResources()}
	for _, res := range r.GetResources() {
		out.Resources = append(out.Resources, res.GetName()+" "+res.GetVersion())
	}
	return out
}

// TestExchangesOfEnvoy plays what a real Envoy has said, at its start, at
// updates and when it came back, and demands what it was answered then.
func TestExchangesOfEnvoy(t *testing.T) {
	if *recordAgain {
		recordExchanges(t)
	}
	file, err := os.Open(exchangeFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := &replay{t: t, server: New(Options{})}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	seen := map[string]int{}
	for lines.Scan() {
		var e event
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		p.line++
		p.play(&e, seen)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	p.rest()
	if seen["phase"] < 5 || seen["connect"] < 2 || seen["request"] < 20 || seen["response"] < 10 {
		t.Errorf("the recording holds %v: it does not show what it is for", seen)
	}
}

// replay is a server with a recorded Envoy.
type replay struct {
	t      *testing.T
	line   int
	phase  string
	server *Server
	stream *stream
	wire   *fakeWire
	// nonces are those of this run, by the recorded ones.
	nonces map[string]string
}

func (p *replay) play(e *event, seen map[string]int) {
	p.t.Helper()
	switch {
	case e.Phase != "":
		p.rest()
		p.phase = e.Phase
		seen["phase"]++
	case e.Publish != nil:
		p.server.Publish(Update{Revision: e.Publish.Revision, Fleets: []FleetUpdate{
			{Fleet: edge, Changed: e.Publish.Changed, Removed: e.Publish.Removed},
		}})
		p.turn(nil)
	case e.Disconnect:
		p.rest()
		p.server.leave(p.stream)
		p.stream, p.wire = nil, nil
	case e.Connect:
		seen["connect"]++
		p.wire, p.nonces = &fakeWire{ctx: p.t.Context()}, map[string]string{}
		p.stream = newStream(p.server, peer.Identity{Fleet: edge}, p.wire)
		if err := p.server.join(p.stream); err != nil {
			p.t.Fatal(err)
		}
		p.turn(nil)
	case e.Request != nil:
		seen["request"]++
		var req discoveryv3.DeltaDiscoveryRequest
		if err := protojson.Unmarshal(e.Request, &req); err != nil {
			p.t.Fatalf("line %d: %v", p.line, err)
		}
		if recorded := req.GetResponseNonce(); recorded != "" {
			req.ResponseNonce = p.nonces[recorded]
		}
		p.turn(&req)
	case e.Response != nil:
		seen["response"]++
		p.expect(e.Response)
	}
}

func (p *replay) turn(req *discoveryv3.DeltaDiscoveryRequest) {
	p.t.Helper()
	if p.stream == nil {
		return
	}
	if err := p.stream.turn(req, nil); err != nil {
		p.t.Fatalf("line %d: %v", p.line, err)
	}
}

// expect takes the next response of the type: the order within a type is
// Envoy's, between types it depends on what was read at once.
func (p *replay) expect(want *sentResponse) {
	p.t.Helper()
	for i, r := range p.wire.sent {
		if r.GetTypeUrl() != want.Type {
			continue
		}
		got := summary(r)
		p.nonces[want.Nonce] = got.Nonce
		got.Nonce = want.Nonce
		if diff := cmp.Diff(want, got); diff != "" {
			p.t.Errorf("%s, line %d: -recorded, +sent:\n%s", p.phase, p.line, diff)
		}
		p.wire.sent = append(p.wire.sent[:i], p.wire.sent[i+1:]...)
		return
	}
	p.t.Errorf("%s, line %d: not sent: %+v", p.phase, p.line, *want)
}

// rest demands that nothing else was sent.
func (p *replay) rest() {
	p.t.Helper()
	if p.wire == nil {
		return
	}
	for _, r := range p.wire.sent {
		p.t.Errorf("%s, line %d: also sent: %s", p.phase, p.line, describe(r))
	}
	p.wire.sent = nil
	if n := p.stream.status.Ignored; n != 0 {
		p.t.Errorf("%s, line %d: %d parts of what Envoy said were ignored", p.phase, p.line, n)
	}
}

// tape writes events in order.
type tape struct {
	mu sync.Mutex
	t  *testing.T
	to *os.File
}

func (p *tape) write(e *event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = fmt.Fprintln(p.to, string(line))
	}
	if err != nil {
		p.t.Error(err)
	}
}

// tapped is a stream whose messages are recorded.
type tapped struct {
	wire
	tape *tape
}

func (w *tapped) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	req, err := w.wire.Recv()
	if err != nil {
		return nil, err
	}
	brief, ok := proto.Clone(req).(*discoveryv3.DeltaDiscoveryRequest)
	if node := req.GetNode(); node != nil && ok { // its list of extensions is long
		brief.Node = &corev3.Node{Id: node.GetId(), Cluster: node.GetCluster(), UserAgentName: node.GetUserAgentName()}
	}
	line, err := protojson.Marshal(brief)
	if err != nil {
		return nil, err
	}
	w.tape.write(&event{Request: line})
	return req, nil
}

func (w *tapped) SendMsg(m any) error {
	var r discoveryv3.DeltaDiscoveryResponse
	buffers, ok := m.(mem.BufferSlice)
	if !ok {
		return errors.New("not a response")
	}
	if err := proto.Unmarshal(buffers.Materialize(), &r); err != nil {
		return err
	}
	w.tape.write(&event{Response: summary(&r)})
	return w.wire.SendMsg(m)
}

// recorder serves the server's streams, and records them.
type recorder struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
	tape   *tape
	// next gives each stream leave to begin, and the channel that ends it.
	next chan chan struct{}
}

func (r *recorder) DeltaAggregatedResources(conn discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	who, err := peer.Identify(conn.Context(), certificate.ParseFleetURI)
	if err != nil {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	var hangUp chan struct{}
	select {
	case hangUp = <-r.next:
	case <-conn.Context().Done():
		return nil
	}
	r.tape.write(&event{Connect: true})
	st := newStream(r.server, who, &tapped{wire: conn, tape: r.tape})
	if err := r.server.join(st); err != nil {
		return err
	}
	defer r.server.leave(st)
	return st.run(hangUp)
}

// recordExchanges plays a real Envoy's life and writes it down. The addresses
// and certificates of the fleet are made up: no request is served.
func recordExchanges(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(exchangeFile), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(exchangeFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{server: New(Options{}), tape: &tape{t: t, to: file}, next: make(chan chan struct{})}
	h := &harness{Server: r.server, addr: l.Addr().String(), keeper: keeper}
	g := grpc.NewServer(grpc.Creds(peer.Credentials(keeper.ServerTLS(), h.opts.MaxAge)), grpc.ForceServerCodecV2(newCodec()))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, r)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	defer func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	revision := uint64(0)
	phase := func(name string, changed []*envoy.Resource, removed ...*envoy.Resource) {
		revision++
		p := &published{Revision: revision, Changed: changed}
		for _, res := range removed {
			p.Removed = append(p.Removed, ResourceKey{res.Type, res.Name})
		}
		r.tape.write(&event{Phase: name})
		r.tape.write(&event{Publish: p})
		h.publish(revision, changed, removed...)
	}
	quiet := func() {
		h.until(t, "Envoy is through", func(s StreamState) bool {
			return s.Acknowledged == revision && s.Lingering == 0 && s.Unacknowledged == 0
		})
	}
	s := newSite(t)
	next := newSite(t)
	up, other := s.upstream("a", "ca"), s.upstream("b", "ca-b")
	assign := func(u *ir.Upstream, port uint32) *envoy.Resource {
		return s.ok(envoy.LoadAssignment(&ir.LoadAssignment{Service: u.Service, Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: port}}}))
	}
	a := list(s.ok(envoy.Cluster(up)), assign(up, 1), s.trust("ca", s.ca))
	b := list(s.ok(envoy.Cluster(other)), assign(other, 2), s.trust("ca-b", s.ca))

	hangUp := make(chan struct{})
	phase("start", join(s.listener("http"), a, list(s.route("http", "shop.test", up))))
	h.envoy(t, edge)
	r.next <- hangUp
	quiet()
	phase("a host and its upstream are added", append(b, s.route("http", "new.test", other)))
	quiet()
	phase("endpoints change", list(assign(other, 3)))
	quiet()
	phase("trust rotates", list(s.trust("ca-b", s.ca, next.ca)))
	quiet()
	phase("a host moves to another upstream, and the old one goes", list(s.route("http", "new.test", up)), b...)
	quiet()
	back := func() {
		close(hangUp)
		hangUp = make(chan struct{})
		h.untilAll(t, "it is away", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
		r.tape.write(&event{Disconnect: true})
	}
	back()
	r.tape.write(&event{Phase: "Envoy comes back, and is up to date"})
	r.next <- hangUp
	h.until(t, "it has asked for all", func(s StreamState) bool { return s.Resumed && s.Acknowledged == revision && s.Names == 2 })
	back()
	phase("Envoy comes back, and much has changed", join(list(s.trust("ca", next.ca), s.route("http", "new.test", other)), b),
		s.route("http", "shop.test", up))
	r.next <- hangUp
	quiet()
}
