package translator

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

func (t *Translator) declareClusters() {
	g := t.Graph
	t.upstreams = graph.NewInterned(t.Sites, "upstreams by cluster",
		func(k hostKey, s *httpproxy.Site) []graph.Entry[resourceKey, *ir.Upstream] {
			var out []graph.Entry[resourceKey, *ir.Upstream]
			for u := range s.Upstreams() {
				key := resourceKey{Fleet: k.Fleet, Name: u.Name()}
				out = append(out, graph.Entry[resourceKey, *ir.Upstream]{Key: key, Payload: u})
			}
			return out
		})
	t.clusters = graph.NewUnit(g, graph.UnitSpec[resourceKey, *envoy.Resource]{
		Name: "cluster", Live: []graph.Liveness[resourceKey]{t.upstreams}, Equal: sameResource,
		Compute: func(r *graph.Reader, k resourceKey) (*envoy.Resource, error) {
			u, _ := t.upstreams.Payload(r, k)
			return envoy.Cluster(u)
		},
	})

	t.slicesOf = graph.NewIndex(t.Slices, "slices by service", func(n ir.Name, s *discoveryv1.EndpointSlice) []ir.Name {
		return []ir.Name{{Namespace: n.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}}
	})
	used := graph.NewIndex(t.Sites, "assignments by use", func(k hostKey, s *httpproxy.Site) []assignmentKey {
		var out []assignmentKey
		for u := range s.Upstreams() {
			if u.ExternalName == "" {
				out = append(out, assignmentKey{k.Fleet, ir.Assignment{Service: u.Service, HealthPort: u.HealthPort}})
			}
		}
		return out
	})
	t.assignments = graph.NewUnit(g, graph.UnitSpec[assignmentKey, *envoy.Resource]{
		Name: "load assignment", Lane: graph.Fast, Live: []graph.Liveness[assignmentKey]{used}, Equal: sameResource,
		Compute: func(r *graph.Reader, k assignmentKey) (*envoy.Resource, error) {
			svc, _ := t.Services.Get(r, k.Assignment.Service.Name)
			var in []*discoveryv1.EndpointSlice
			for _, n := range t.slicesOf.Keys(r, k.Assignment.Service.Name) {
				s, _ := t.Slices.Get(r, n)
				in = append(in, s)
			}
			return envoy.LoadAssignment(upstream.Endpoints(svc, k.Assignment, in))
		},
	})
}
