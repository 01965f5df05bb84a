package xds

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"

	"github.com/signetproxy/signet/translator/envoy"
)

// sink is an Envoy that takes everything and acknowledges it at once.
type sink struct {
	ctx      context.Context
	requests chan *discoveryv3.DeltaDiscoveryRequest
	bytes    *atomic.Int64
}

func (w *sink) Context() context.Context { return w.ctx }

func (w *sink) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	select {
	case r := <-w.requests:
		return r, nil
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	}
}

// SendMsg counts what is sent; its nonce is the stream's count of responses.
func (w *sink) SendMsg(m any) error {
	buffers, ok := m.(mem.BufferSlice)
	if !ok {
		return errors.New("not a response")
	}
	w.bytes.Add(int64(buffers.Len()))
	return nil
}

// Sent bytes and time per stream follow the change, not the number of streams
// or of hosts.
func BenchmarkOneChange(b *testing.B) {
	for _, hosts := range []int{100, 10_000} {
		for _, streams := range []int{10, 200} {
			b.Run(fmt.Sprintf("hosts=%d/streams=%d", hosts, streams), func(b *testing.B) { benchmarkChange(b, hosts, streams) })
		}
	}
}

func benchmarkChange(b *testing.B, hosts, streams int) {
	b.Helper()
	s := New(Options{MaxUnacknowledged: 1 << 30})
	all := make([]*envoy.Resource, hosts)
	for i := range all {
		all[i] = scope(fmt.Sprint("http|host", i), "1")
	}
	s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: all}}})
	var bytes atomic.Int64
	sts := make([]*stream, streams)
	for i := range sts {
		sts[i] = newStream(s, identity{fleet: edge}, &sink{ctx: b.Context(), bytes: &bytes})
		if err := errors.Join(s.join(sts[i]), sts[i].turn(nil, nil), sts[i].turn(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType)}, nil)); err != nil {
			b.Fatal(err)
		}
	}
	editions := [2]*envoy.Resource{scope("http|host7", "a"), scope("http|host7", "b")}
	bytes.Store(0)
	revision := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		revision++
		s.Publish(Update{Revision: revision, Fleets: []FleetUpdate{{Fleet: edge, Changed: editions[revision%2 : revision%2+1]}}})
		for _, st := range sts {
			ack := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType), ResponseNonce: formatNonce(st.nonce)}
			if err := st.turn(ack, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	perStream := float64(b.N) * float64(streams)
	b.ReportMetric(float64(bytes.Load())/perStream, "B-sent/stream")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/perStream, "ns/stream")
}

// An edit of one host is sent to 200 streams: each gets the bytes of that host
// and an envelope, whatever else the fleet has.
func TestSentBytesFollowTheChange(t *testing.T) {
	small, large := bytesOfAChange(t, 10), bytesOfAChange(t, 5_000)
	if small != large || small > 200*512 {
		t.Errorf("200 streams were sent %d bytes with 10 hosts and %d with 5,000", small, large)
	}
}

func bytesOfAChange(t *testing.T, hosts int) int64 {
	t.Helper()
	s := New(Options{})
	all := make([]*envoy.Resource, hosts)
	for i := range all {
		all[i] = scope(fmt.Sprint("http|host", i), "1")
	}
	s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: all}}})
	var bytes atomic.Int64
	sts := make([]*stream, 200)
	for i := range sts {
		sts[i] = newStream(s, identity{fleet: edge}, &sink{ctx: t.Context(), bytes: &bytes})
		if err := errors.Join(s.join(sts[i]), sts[i].turn(nil, nil), sts[i].turn(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ScopeType)}, nil)); err != nil {
			t.Fatal(err)
		}
	}
	bytes.Store(0)
	s.Publish(Update{Revision: 2, Fleets: []FleetUpdate{{Fleet: edge, Changed: list(scope("http|host7", "2"))}}})
	for _, st := range sts {
		if err := st.turn(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.Load()
}
