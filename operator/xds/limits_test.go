package xds

import (
	"fmt"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/signetproxy/signet/translator/envoy"
)

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
	if got["signet_xds_sent_bytes_total"] < 100 {
		t.Errorf("%v bytes were sent", got["signet_xds_sent_bytes_total"])
	}
}
