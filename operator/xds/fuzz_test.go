package xds

import (
	"fmt"
	"testing"
	"unicode/utf8"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
)

// FuzzRequests plays requests that are any bytes, read as the server reads them.
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
	// Text that is not UTF-8, which Envoy cuts from a message or a client asks for.
	broken := protowire.AppendString(protowire.AppendTag(nil, requestSubscribe, protowire.BytesType), "a\xff.b.c")
	f.Add(append([]byte{byte(len(broken))}, broken...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(Options{MaxNames: 8, MaxUnacknowledged: 4})
		s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: world()}}})
		w := &fakeWire{ctx: t.Context()}
		st := newStream(s, peer.Identity{Fleet: edge}, w)
		if err := s.join(st); err != nil {
			t.Fatal(err)
		}
		defer s.leave(st)
		for rev := uint64(2); len(data) > 0 && rev < 100; rev++ {
			n := min(int(data[0]), len(data)-1)
			var req discoveryv3.DeltaDiscoveryRequest
			if newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data[1 : 1+n])}, &req) == nil {
				if st.turn(&req, nil) != nil {
					return // it may end the stream
				}
			}
			data = data[1+n:]
			s.Publish(Update{Revision: rev, Fleets: []FleetUpdate{{Fleet: edge, Changed: list(scope("http|a", fmt.Sprint(rev)))}}})
			if st.names > 8 || st.outstanding > 2*4+8+requestBuffer || len(st.suspected) > 2*4+len(world()) {
				t.Fatalf("bounds are passed: %d names, %d responses, %d parts of refused ones", st.names, st.outstanding, len(st.suspected))
			}
			for k := range st.subs { // what is sent must be readable
				for _, name := range sortedKeys(st.subs[k].names) {
					if !utf8.ValidString(name) {
						t.Fatalf("%q is subscribed to", name)
					}
				}
			}
		}
	})
}
