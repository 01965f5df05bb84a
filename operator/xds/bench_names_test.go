package xds

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
)

// Many resources of a type are pushed and then asked for by name in one request, as
// Envoy does when a fleet's clusters come at once. The time of each is flat.
func BenchmarkNames_AskedForWhileUnderWay(b *testing.B) {
	for _, typ := range []envoy.Type{envoy.EndpointType, envoy.SecretType} {
		for _, n := range []int{1_000, 20_000} {
			k, _ := kindOf(typ)
			b.Run(fmt.Sprintf("%s/n=%d", k, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					st, names := pushed(b, typ, n)
					b.StartTimer()
					turn(b, st, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(typ), ResourceNamesSubscribe: names})
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/name")
			})
		}
	}
}

// An answer may drop what it acknowledges.
func BenchmarkNames_DroppedWithTheAnswer(b *testing.B) {
	for _, n := range []int{1_000, 20_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				st, names := pushed(b, envoy.EndpointType, n)
				turn(b, st, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.EndpointType), ResourceNamesSubscribe: names})
				queue := st.subs[endpoints].queue
				nonce := formatNonce(queue[len(queue)-1].nonce)
				b.StartTimer()
				turn(b, st, &discoveryv3.DeltaDiscoveryRequest{
					TypeUrl: string(envoy.EndpointType), ResponseNonce: nonce, ResourceNamesUnsubscribe: names,
				})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/name")
		})
	}
}

func turn(b *testing.B, st *stream, req *discoveryv3.DeltaDiscoveryRequest) {
	b.Helper()
	if err := st.turn(req, nil); err != nil {
		b.Fatal(err)
	}
}

// pushed is a stream that was sent n clusters and one resource of a type for each,
// and the names of those.
func pushed(b *testing.B, typ envoy.Type, n int) (*stream, []string) {
	b.Helper()
	s := New(Options{MaxUnacknowledged: 1 << 30})
	s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: world()}}})
	st := newStream(s, peer.Identity{Fleet: edge}, &sink{ctx: b.Context(), bytes: new(atomic.Int64)})
	if err := errors.Join(s.join(st), st.turn(nil, nil)); err != nil {
		b.Fatal(err)
	}
	turn(b, st, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ClusterType)})
	turn(b, st, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.EndpointType), ResourceNamesSubscribe: []string{"svc/a"}})
	turn(b, st, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.SecretType), ResourceNamesSubscribe: []string{"trust/a"}})
	names := make([]string, n)
	all := make([]*envoy.Resource, 0, 2*n)
	for i := range names {
		names[i] = fmt.Sprintf("svc/%05d", i)
		x, service, trust := assignment(names[i], "1"), names[i], ""
		if typ == envoy.SecretType {
			x, service, trust = secret(names[i], "1"), "svc/a", names[i]
		}
		all = append(all, cluster(fmt.Sprintf("c%05d", i), service, trust, "1"), x)
	}
	s.Publish(Update{Revision: 2, Fleets: []FleetUpdate{{Fleet: edge, Changed: all}}})
	turn(b, st, nil)
	b.Cleanup(func() { s.leave(st) })
	return st, names
}
