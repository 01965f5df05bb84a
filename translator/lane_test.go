package translator

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
)

// Endpoints that come behind a change of all routes are committed before it: were
// they not in the fast lane, they would be of its revision.
func TestEndpointsOvertakeRoutes(t *testing.T) {
	tr := New()
	tr.Commit(estate(t, tr, 50))
	routes, endpoints := graph.NewChanges(), graph.NewChanges()
	for i := range 50 {
		tr.Proxies.Put(routes, benchProxyName(i), benchProxy(i, "v1"))
	}
	tr.Slices.Put(endpoints, benchServiceName(7), benchSlice(benchServiceName(7), 1))
	tr.Submit(routes)
	tr.Submit(endpoints)

	var got [][]envoy.Type
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_ = tr.Run(ctx, func(rev *graph.Revision) { // it ends when the test has seen enough
		var types []envoy.Type
		for _, c := range tr.Changed(rev) {
			types = append(types, c.Type)
		}
		slices.Sort(types)
		if got = append(got, slices.Compact(types)); len(got) == 2 {
			cancel()
		}
	})
	want := [][]envoy.Type{{envoy.EndpointType}, {envoy.ScopeType}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types of the resources of each revision (-want, +got):\n%s", diff)
	}
}
