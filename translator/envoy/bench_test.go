package envoy_test

import (
	"fmt"
	"testing"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// BenchmarkProxy writes what one proxy with one verified backend needs. It
// must stay below 100 microseconds.
func BenchmarkProxy(b *testing.B) {
	u := upstreamOf(func(u *ir.Upstream) { u.TLS.ClientCertificate = client("c") })
	vh := &ir.VirtualHost{Listener: "https", Host: "h.test", TLS: true, Routes: []ir.Route{{
		Name: "r", Match: prefix("/"), Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u}}},
	}}}
	a := &ir.LoadAssignment{Service: u.Service}
	for i := range 3 {
		a.Endpoints = append(a.Endpoints, ir.Endpoint{Address: fmt.Sprintf("10.0.0.%d", i+1), Port: 8443})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envoy.Cluster(u); err != nil {
			b.Fatal(err)
		}
		if _, err := envoy.Scope(vh); err != nil {
			b.Fatal(err)
		}
		if _, err := envoy.LoadAssignment(a); err != nil {
			b.Fatal(err)
		}
	}
}
