package envoy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// The server that is asked is one of the clusters that a route leads to.
func TestClustersOfAuth(t *testing.T) {
	web, asked := &ir.Upstream{Service: service("web"), Protocol: ir.HTTP1}, &ir.Upstream{Service: service("asked"), Protocol: ir.HTTP2}
	for name, auth := range map[string]*ir.ExternalAuth{
		"grpc": {Upstream: asked}, "http": {Upstream: asked, HTTP: &ir.HTTPAuth{}},
	} {
		t.Run(name, func(t *testing.T) {
			host := func(name string) *ir.VirtualHost {
				return &ir.VirtualHost{Listener: "http", Host: name, Routes: []ir.Route{{
					Name: "r", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"}, Auth: auth, Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: web}}},
				}}}
			}
			ok := must(t)
			for _, x := range []*envoy.Resource{ok(envoy.Scope(host("h.test"))), ok(envoy.HostPart(host("*.h.test")))} {
				got, err := envoy.ClustersOf(x)
				if err != nil {
					t.Fatal(err)
				}
				want := []string{asked.Name(), web.Name()}
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: -want, +got:\n%s", x, diff)
				}
			}
		})
	}
}
