package xds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
)

func TestResponsesAreWhatTheAPISays(t *testing.T) {
	a, empty := cluster("a", "svc/a", "trust/a", "1"), &envoy.Resource{Type: envoy.ClusterType, Name: "e", Version: "v"}
	asProto := func(r *envoy.Resource) *discoveryv3.Resource {
		return &discoveryv3.Resource{
			Name: r.Name, Version: r.Version, Resource: &anypb.Any{TypeUrl: string(r.Type), Value: r.Body},
		}
	}
	cases := map[string]struct {
		reason string
		give   response
		want   *discoveryv3.DeltaDiscoveryResponse
	}{
		"empty": {
			"the first answer to a wildcard of an empty fleet",
			response{kind: listeners, nonce: 1, revision: 7},
			&discoveryv3.DeltaDiscoveryResponse{TypeUrl: string(envoy.ListenerType), Nonce: "1", SystemVersionInfo: "7"},
		},
		"both": {
			"resources and removals; a body may be empty",
			response{kind: clusters, nonce: 12345678, revision: 1, rows: []*row{newRow(clusters, a), newRow(clusters, empty)}, removed: []string{"x", "y"}},
			&discoveryv3.DeltaDiscoveryResponse{
				TypeUrl: string(envoy.ClusterType), Nonce: "12345678", SystemVersionInfo: "1",
				Resources: []*discoveryv3.Resource{asProto(a), asProto(empty)}, RemovedResources: []string{"x", "y"},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			buffers, err := newCodec().Marshal(tc.give.marshal())
			if err != nil {
				t.Fatal(err)
			}
			var got discoveryv3.DeltaDiscoveryResponse
			if err := proto.Unmarshal(buffers.Materialize(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, &got, protocmp.Transform()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestBodiesAreShared(t *testing.T) {
	r := newRow(scopes, scope("a", "1"))
	one := response{kind: scopes, nonce: 1, rows: []*row{r}}
	two := response{kind: scopes, nonce: 2, rows: []*row{r}}
	a, b := one.marshal()[1].ReadOnlyData(), two.marshal()[1].ReadOnlyData()
	if &a[0] != &r.Body[0] || &b[0] != &r.Body[0] {
		t.Error("the body of a resource is copied")
	}
}

func TestReferencesOfAClusters(t *testing.T) {
	cases := map[string]struct {
		reason string
		body   []byte
		want   references
	}{
		"TLS":     {"endpoints and trust", cluster("a", "svc/a", "trust/a", "").Body, references{assignment: "svc/a", secrets: []string{"trust/a"}}},
		"plain":   {"no secrets", cluster("a", "svc/a", "", "").Body, references{assignment: "svc/a"}},
		"unnamed": {"the assignment has the cluster's name", cluster("a", "", "", "").Body, references{assignment: "a"}},
		"resolved": {
			"it waits for a name to be resolved", seal(envoy.ClusterType, "a", &clusterv3.Cluster{
				Name: "a", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS},
			}).Body, references{outside: true},
		},
		"checked": {
			"it waits for a health check", seal(envoy.ClusterType, "a", &clusterv3.Cluster{
				Name: "a", HealthChecks: []*corev3.HealthCheck{{}},
			}).Body, references{outside: true},
		},
		"unreadable": {"Envoy will ask by itself", []byte{0xff}, references{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, referencesOf(tc.body), cmp.AllowUnexported(references{})); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A client's server name is the name of a secret that its Envoy asks for, and
// may be any bytes; so may be where Envoy cuts the words of a refusal.
func TestTextThatIsNotUTF8(t *testing.T) {
	field := func(number protowire.Number, parts ...string) (out []byte) {
		return appendString(out, number, strings.Join(parts, ""))
	}
	entry := func(key, value string) string { return string(field(1, key)) + string(field(2, value)) }
	typed := string(field(2, string(envoy.SecretType)))
	cases := map[string]struct {
		reason string
		give   string
		want   *discoveryv3.DeltaDiscoveryRequest // nil: it cannot be read
	}{
		"subscribed": {
			"an empty name is ignored and counted; the others stand",
			typed + string(field(3, "a")) + string(field(3, "\xff")) + string(field(3, "b")),
			&discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"a", "", "b"}},
		},
		"unsubscribed": {
			"the same", typed + string(field(4, "\xc3\x28")) + string(field(4, "b")),
			&discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{"", "b"}},
		},
		"had": {
			"a version without a name is none",
			typed + string(field(5, entry("a", "1"))) + string(field(5, entry("\xff", "1"))) + string(field(5, entry("b", "\xff"))),
			&discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: map[string]string{"a": "1"}},
		},
		"cut": {
			"Envoy cuts long messages at a byte", typed + string(field(6, "7")) + string(field(7, "\x08\x0d", string(field(2, "bad \xe2\x82")))),
			&discoveryv3.DeltaDiscoveryRequest{ResponseNonce: "7", ErrorDetail: &spb.Status{Code: 13, Message: "bad "}},
		},
		"type":      {"no name of a client", string(field(2, "\xff")) + string(field(3, "\xff")), nil},
		"nonce":     {"no name of a client", typed + string(field(6, "\xff")), nil},
		"truncated": {"not a request", typed + string(field(3, "\xff")) + "\x1a\x05a", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := &discoveryv3.DeltaDiscoveryRequest{}
			err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(tc.give)}, got)
			if tc.want == nil {
				if err == nil {
					t.Errorf("%s: it is read as %v", tc.reason, got)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			tc.want.TypeUrl = string(envoy.SecretType)
			if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// floodWire is an Envoy that asks without end and reads nothing.
type floodWire struct {
	ctx   context.Context
	names int // of 500 bytes, in each request
	read  atomic.Int64
}

func (w *floodWire) Context() context.Context { return w.ctx }

func (w *floodWire) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	if w.ctx.Err() != nil {
		return nil, w.ctx.Err()
	}
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(types[secrets]), ResourceNamesSubscribe: []string{"a"}}
	n := w.read.Add(1)
	for i := range w.names {
		req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, fmt.Sprint(n, ".", i, strings.Repeat("x", 500)))
	}
	return req, nil
}

func (w *floodWire) SendMsg(any) error {
	<-w.ctx.Done()
	return w.ctx.Err()
}

// What is read ahead for a stream that is stuck is bounded in number and in bytes.
func TestRequestsReadAheadAreBounded(t *testing.T) {
	cases := map[string]struct {
		reason string
		names  int
		want   int64
	}{
		"large": {"one is handled, and one waits for room", 3, 2},
		"huge":  {"one beyond all bounds is taken alone", 100, 2},
		"small": {"one is handled, and one waits behind those that are read ahead", 0, requestBuffer + 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{MaxMessage: 2500})
				s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: world()}}})
				ctx, cancel := context.WithCancel(t.Context())
				w := &floodWire{ctx: ctx, names: tc.names}
				st := newStream(s, peer.Identity{Fleet: edge}, w)
				if err := s.join(st); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- st.run(nil) }()
				synctest.Wait()
				if got := w.read.Load(); got != tc.want {
					t.Errorf("%s: %d requests are read, want %d", tc.reason, got, tc.want)
				}
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("the stream ends with %v", err)
				}
				s.leave(st)
			})
		})
	}
}

// Names are bounded in number and in bytes, also before there is a revision.
func TestTheBytesOfNamesAreBounded(t *testing.T) {
	const most = 1000
	s := New(Options{MaxMessage: most})
	st := newStream(s, peer.Identity{Fleet: edge}, &fakeWire{ctx: t.Context()})
	st.fleet = s.fleetLocked(edge)
	bytes := func(names ...string) (n int) {
		for _, name := range names {
			n += len(name)
		}
		return n
	}
	ask := func(subscribe, unsubscribe string) {
		t.Helper()
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(types[secrets]), ResourceNamesSubscribe: []string{subscribe}}
		if unsubscribe != "" {
			req.ResourceNamesUnsubscribe = []string{unsubscribe}
		}
		if err := st.turn(req, nil); err != nil {
			t.Fatal(err)
		}
	}
	name := func(i int) string { return fmt.Sprintf("%03d%s", i, strings.Repeat("x", 97)) }
	for i := range 20 {
		ask(name(i), "")
	}
	if n := bytes(st.subs[secrets].owed...); n > most {
		t.Errorf("%d bytes of names are owed, want at most %d", n, most)
	}
	s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge}}})
	for i := range 20 {
		ask(name(i), "")
	}
	if n := len(st.subs[secrets].names); n != 10 {
		t.Errorf("%d names are kept, want 10", n)
	}
	ask(name(30), name(0)) // there is room again
	if !st.subs[secrets].wants(name(30)) {
		t.Error("a name is not kept, though another has gone")
	}
}

func FuzzParseNonce(f *testing.F) {
	for _, s := range []string{"", "0", "1", "+1", "01", "18446744073709551615", "18446744073709551616", "1\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := parseNonce(s); ok && formatNonce(n) != s {
			t.Errorf("%q is taken for %d", s, n)
		}
	})
}
