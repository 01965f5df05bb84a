package xds

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// What is asked of the server under load and abuse, and what shows it:
//   - hundreds of streams, a change costs each what it changed:
//     TestOneChangeCosts199EnvoysWhatItCostsOne, BenchmarkFlat_OneChangePerStream
//   - a slow or stuck Envoy costs others nothing, and no memory:
//     TestAStuckEnvoyDelaysNobody, TestAStuckEnvoyCostsNoMemory,
//     TestServeEndsStuckStreams, TestAnExpiredCertificateEndsAStuckStream
//   - the names of another fleet: TestAFleetSeesItselfAlone
//   - malformed: TestWhatIsNoRequest, TestTextThatIsNotUTF8, TestOddRequestsAreContained,
//     FuzzRequests; oversized: TestTooLongARequest, TestTooManyNames; never
//     acknowledging: TestAnEnvoyThatNeverAcknowledges; refusing without end:
//     TestAClientThatRefusesWithoutEnd; replayed nonces:
//     TestOddRequestsAreContained, FuzzParseNonce; much at once:
//     TestRequestsReadAheadAreBounded, TestTheBytesOfNamesAreBounded
//   - keepalive: TestKeepalive
//   - a maximum of streams: TestTooManyStreams, TestAFleetShutsNoOtherOut
//   - no valid identity: TestStrangersGetNothing, TestWithoutAParserNobodyIsServed,
//     TestADroppedAuthorityEndsItsStreams, peer.TestAnExpiredConnectionIsNobody

func TestTooManyStreams(t *testing.T) {
	h := serve(t, Options{MaxStreams: 1})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	if got, _ := ask(t, h.addr, h.identity(t, edge)); got != codes.ResourceExhausted {
		t.Errorf("code %v, want ResourceExhausted", got)
	}
	c.silent() // the first is not harmed
	c.close()
	h.untilAll(t, "the stream is gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
	if got, _ := ask(t, h.addr, h.identity(t, edge)); got != codes.OK {
		t.Errorf("code %v, want OK: there is room again", got)
	}
}

// A fleet may have no revision for long: what its clients ask for meanwhile is kept
// once, and not without bound.
func TestNamesBeforeTheFirstRevisionAreBounded(t *testing.T) {
	const most = 10
	s := New(Options{MaxNames: most})
	st := newStream(s, peer.Identity{Fleet: edge}, nil)
	st.fleet = s.fleetLocked(edge)
	asks := func(k kind, subscribe, unsubscribe string) {
		t.Helper()
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(types[k]), ResourceNamesSubscribe: []string{subscribe}}
		if unsubscribe != "" {
			req.ResourceNamesUnsubscribe = []string{unsubscribe}
		}
		if err := st.handle(req); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * most {
		asks(secrets, "a", "")
	}
	if n := len(st.subs[secrets].owed); n != 1 {
		t.Errorf("one name, asked for again and again, is owed %d times", n)
	}
	for i := range 2 * most {
		asks(secrets, fmt.Sprint(i), "")
		asks(clusters, wildcard, "")
		asks(clusters, "again", "again")
	}
	for _, k := range []kind{secrets, clusters} {
		if n := len(st.subs[k].owed); n > most {
			t.Errorf("%d %s are owed, want at most %d", n, k, most)
		}
	}
}

func TestOddRequestsAreContained(t *testing.T) {
	cases := map[string]struct {
		reason string
		req    *discoveryv3.DeltaDiscoveryRequest
		want   uint64 // ignored parts
	}{
		"unknown type": {
			"a type of Envoy's that is not served", &discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ResourceNamesSubscribe: []string{"x"},
			}, 1,
		},
		"no type":       {"an empty request", &discoveryv3.DeltaDiscoveryRequest{}, 1},
		"unknown nonce": {"of another stream, or made up", &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), ResponseNonce: "999"}, 1},
		"odd nonce":     {"no spelling but ours", &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), ResponseNonce: "+1"}, 1},
		"replay":        {"each nonce counts once", &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ClusterType), ResponseNonce: "1"}, 1},
		"nonce of another type": {
			"a nonce belongs to its type", &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), ResponseNonce: "1"}, 1,
		},
		"NACK of nothing": {
			"an error without a nonce", &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), ErrorDetail: status.New(codes.Internal, "x").Proto()}, 1,
		},
		"long and empty names": {
			"not kept, not answered", &discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: string(envoy.SecretType), ResourceNamesSubscribe: []string{"", strings.Repeat("x", maxName+1)},
			}, 2,
		},
		"unsubscribed unknown": {
			"what is not there cannot go",
			&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.SecretType), ResourceNamesUnsubscribe: []string{"none"}}, 0,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Options{})
			h.publish(1, world())
			c := h.connect(t, edge)
			c.start(world()...)
			c.send(tc.req)
			c.silent()
			got := h.acknowledged(t, 1)
			if got.Ignored != tc.want || got.Nacks != 0 {
				t.Errorf("%s: %d ignored, want %d; %d NACKs", tc.reason, got.Ignored, tc.want, got.Nacks)
			}
		})
	}
}

func TestTooManyNames(t *testing.T) {
	h := serve(t, Options{MaxNames: 2})
	h.publish(1, list(secret("a/1", "1"), secret("a/2", "1"), secret("a/3", "1")))
	c := h.connect(t, edge)
	c.subscribe(envoy.SecretType, "a/1", "a/2", "a/3")
	c.want("secrets +a/1", "secrets +a/2", "secrets +a/3")
	h.publish(2, list(secret("a/1", "2"), secret("a/2", "2"), secret("a/3", "2")))
	c.want("secrets +a/1", "secrets +a/2")
	c.unsubscribe(envoy.SecretType, "a/1")
	c.subscribe(envoy.SecretType, "a/3")
	c.want("secrets +a/3")
	h.publish(3, list(secret("a/3", "3")))
	c.want("secrets +a/3")
}

func TestTooLongARequest(t *testing.T) {
	h := serve(t, Options{MaxMessage: 1 << 10})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.subscribe(envoy.SecretType, strings.Repeat("x", 2<<10))
	if _, err := c.stream.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v, want ResourceExhausted", err)
	}
	h.untilAll(t, "it is counted", func(State) bool { return h.counters.ended.request.Load() == 1 })
}

// rawCodec sends bytes as they are.
type rawCodec struct{ encoding.CodecV2 }

func (rawCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer("\xff\xff\xff")}, nil
}

func TestWhatIsNoRequest(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	good := h.connect(t, edge)
	good.start(world()...)
	conn, err := grpc.NewClient("passthrough:///"+h.addr, grpc.WithTransportCredentials(credentials.NewTLS(h.identity(t, edge))),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = st.Send(&discoveryv3.DeltaDiscoveryRequest{}) // an error of Send is that of Recv
	if _, err := st.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("error %v, want Internal", err)
	}
	h.untilAll(t, "it is counted", func(State) bool { return h.counters.ended.request.Load() == 1 })
	good.silent()
}

// The streams of one fleet that come back all at once leave room for others.
func TestAFleetShutsNoOtherOut(t *testing.T) {
	h := serve(t, Options{MaxStreams: 3, MaxFleetStreams: 2})
	h.publish(1, world())
	other := ir.Name{Namespace: "prod", Name: "other"}
	h.Publish(Update{Revision: 2, Fleets: []FleetUpdate{{Fleet: other, Changed: world()}}})
	for range 2 {
		h.connect(t, edge).start(world()...)
	}
	for range 5 {
		if got, _ := ask(t, h.addr, h.identity(t, edge)); got != codes.ResourceExhausted {
			t.Errorf("code %v, want ResourceExhausted", got)
		}
	}
	h.connect(t, other).start(world()...)
	if got := h.counters.refused.fleetLimit.Load(); got != 5 {
		t.Errorf("%d refusals are counted, want 5", got)
	}
	if got := gather(t, h.Server)["signet_xds_refused_streams_total"]; got != 5 {
		t.Errorf("the metric is %v, want 5", got)
	}
}

// A peer that vanishes without a word is noticed.
func TestKeepalive(t *testing.T) {
	h := serve(t, Options{KeepaliveTime: time.Second, KeepaliveTimeout: time.Second})
	h.publish(1, world())
	direct := h.addr
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lost := make(chan struct{})
	var copies sync.WaitGroup
	copies.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return // the test has failed
		}
		far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", direct)
		if err != nil {
			t.Error(err)
			return
		}
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			copies.Go(func() { relay(way[0], way[1], lost) })
		}
	})
	h.addr = l.Addr().String()
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	close(lost)
	h.untilAll(t, "the stream is gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
	c.close()
	copies.Wait()
}

// relay copies until one side ends, and drops everything once the way is lost.
func relay(from, to net.Conn, lost <-chan struct{}) {
	defer from.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			break
		}
		select {
		case <-lost:
			continue
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = to.Close() // it may be closed already
}

// What a stuck Envoy misses is not kept for it.
func TestAStuckEnvoyCostsNoMemory(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge).node("stuck")
	c.start(world()...)
	h.publish(2, list(scope("http|big", strings.Repeat("x", 1<<20))))
	h.until(t, "it is sent", func(s StreamState) bool { return s.Sent == 2 })
	h.publish(3, list(listener("http", "2")))
	h.until(t, "it is stuck", func(s StreamState) bool { return !s.BlockedSince.IsZero() })
	const missed = 1000
	var kept [missed]weak.Pointer[envoy.Resource]
	for i := range kept {
		r := scope("http|a", fmt.Sprint("missed ", i))
		kept[i] = weak.Make(r)
		h.publish(uint64(4+i), list(r))
	}
	runtime.GC()
	alive := 0
	for _, p := range kept {
		if p.Value() != nil {
			alive++
		}
	}
	if alive > 2 { // the fleet has the newest
		t.Errorf("%d of %d resources that a stuck Envoy missed are kept", alive, missed)
	}
	if got := h.State().Fleets[0].Streams[0]; got.Unacknowledged > 3 {
		t.Errorf("%d responses are owed an answer, want those that were sent", got.Unacknowledged)
	}
	c.want("scopes +http|big", "listeners +http", "scopes +http|a")
}

func TestAnEnvoyThatNeverAcknowledges(t *testing.T) {
	h := serve(t, Options{MaxUnacknowledged: 10})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	for rev := uint64(2); rev < 12; rev++ {
		h.publish(rev, list(scope("http|a", fmt.Sprint(rev))))
		c.want("scopes +http|a")
	}
	h.publish(12, list(scope("http|a", "12"), scope("http|b", "1")))
	h.publish(13, list(scope("http|a", "13")))
	got := h.until(t, "it is held", func(s StreamState) bool { return s.Held })
	if got.Sent != 11 || got.Unacknowledged != 10 || got.Acknowledged != 1 {
		t.Errorf("sent %d, %d unacknowledged, acknowledged %d; want 11, 10 and 1", got.Sent, got.Unacknowledged, got.Acknowledged)
	}
	c.ack()
	c.want("scopes +http|a +http|b") // what it missed, once
	c.ack()
	if got := h.acknowledged(t, 13); got.Held {
		t.Error("it is still held")
	}
	// Questions are answered all the same, up to a bound.
	for range 200 {
		if c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{
			TypeUrl: string(envoy.EndpointType), ResourceNamesSubscribe: []string{"svc/a"},
		}) != nil {
			break // the stream has ended: Recv says why
		}
	}
	for {
		if _, err := c.stream.Recv(); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				t.Errorf("the stream ends with %v, want ResourceExhausted", err)
			}
			if got := h.counters.ended.unacknowledged.Load(); got != 1 {
				t.Errorf("%d streams are counted, want 1", got)
			}
			return
		}
	}
}

func TestAStuckEnvoyDelaysNobody(t *testing.T) {
	h := serve(t, Options{})
	big := scope("http|big", strings.Repeat("x", 1<<20))
	h.publish(1, world())
	stuck, good := h.connect(t, edge).node("stuck"), h.connect(t, edge).node("good")
	stuck.start(world()...)
	good.start(world()...)
	// stuck does not read from here on.
	h.publish(2, list(big))
	good.want("scopes +http|big")
	for rev := uint64(3); rev < 40; rev++ {
		h.publish(rev, list(scope("http|a", fmt.Sprint(rev))))
		good.want("scopes +http|a")
		good.ack()
	}
	h.until(t, "good is through", func(s StreamState) bool { return s.Node == "good" && s.Acknowledged == 39 })
	got := h.until(t, "stuck is named", func(s StreamState) bool { return s.Node == "stuck" && !s.BlockedSince.IsZero() })
	if got.Acknowledged != 1 {
		t.Errorf("stuck has acknowledged %d, want 1", got.Acknowledged)
	}
	// It reads again: one message catches up.
	stuck.want("scopes +http|big", "scopes +http|a")
}

func TestServeEndsStuckStreams(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, list(scope("http|big", strings.Repeat("x", 1<<20))))
	c := h.connect(t, edge)
	c.subscribe(envoy.ScopeType) // gRPC takes one response whatever its size
	c.subscribe(envoy.ClusterType)
	h.until(t, "it is stuck", func(s StreamState) bool { return !s.BlockedSince.IsZero() })
	h.stop()
	if got := h.State(); len(got.Fleets[0].Streams) != 0 {
		t.Errorf("streams outlive Serve: %+v", got)
	}
}

func TestServeOfAnEndedContext(t *testing.T) {
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 { // it may be stopped before or after it begins
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := New(Options{}).Serve(ctx, l, keeper.ServerTLS()); err != nil {
			t.Fatalf("Serve: %v, want nil", err)
		}
	}
}

func TestStoppingSaysSo(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.stop()
	if _, err := c.stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("error %v, want Unavailable", err)
	}
}

// gather returns the metrics, summed over their labels.
func gather(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(s); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	h := serve(t, Options{})
	h.publish(4, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 4)
	got := gather(t, h.Server)
	for name, want := range map[string]float64{
		"signet_xds_streams": 1, "signet_xds_revision": 4, "signet_xds_responses_total": 5, "signet_xds_acks_total": 5,
		"signet_xds_nacks_total": 0, "signet_xds_streams_behind": 0, "signet_xds_rejected_resources": 0,
		"signet_xds_warming_clusters":      0,
		"signet_xds_refused_streams_total": 0, "signet_xds_ignored_total": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (present: %v), want %v", name, v, ok, want)
		}
	}
	expires := h.State().Fleets[0].Streams[0].Expires
	if v := got["signet_xds_client_certificate_expiry_timestamp_seconds"]; v != float64(expires.Unix()) || expires.Before(time.Now()) {
		t.Errorf("the certificate expires at %v by the metric, want %v", v, expires)
	}
	if got["signet_xds_sent_bytes_total"] < 100 {
		t.Errorf("%v bytes were sent", got["signet_xds_sent_bytes_total"])
	}
}
