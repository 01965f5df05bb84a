package translator

import (
	"errors"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
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
	t.clusters = graph.NewUnit(g, graph.UnitSpec[resourceKey, served]{
		Name: "cluster", Live: []graph.Liveness[resourceKey]{t.upstreams}, Equal: sameServed,
		Compute: func(r *graph.Reader, k resourceKey) (served, error) {
			u, _ := t.upstreams.Payload(r, k)
			c, err := envoy.Cluster(u)
			if err != nil {
				return served{}, err
			}
			return t.admit(r, k.Fleet, c, withhold)
		},
	})

	t.slicesOf = graph.NewIndex(t.Slices, "slices by service", func(n ir.Name, s *discoveryv1.EndpointSlice) []ir.Name {
		return []ir.Name{{Namespace: n.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}}
	})
	t.assigned = graph.NewIndex(t.Sites, "assignments by use", func(k hostKey, s *httpproxy.Site) []assignmentKey {
		var out []assignmentKey
		for u := range s.Upstreams() {
			if u.ExternalName == "" {
				out = append(out, assignmentKey{k.Fleet, u.Assignment()})
			}
		}
		return out
	})
	t.assignments = graph.NewUnit(g, graph.UnitSpec[assignmentKey, served]{
		Name: "load assignment", Lane: graph.Fast, Live: []graph.Liveness[assignmentKey]{t.assigned}, Equal: sameServed,
		Compute: func(r *graph.Reader, k assignmentKey) (served, error) {
			svc, _ := t.Services.Get(r, k.Assignment.Service.Name)
			var in []*discoveryv1.EndpointSlice
			for _, n := range t.slicesOf.Keys(r, k.Assignment.Service.Name) {
				s, _ := t.Slices.Get(r, n)
				in = append(in, s)
			}
			a, err := envoy.LoadAssignment(upstream.Endpoints(svc, k.Assignment, in))
			if err != nil {
				return served{}, err
			}
			return t.admit(r, k.Fleet, a, func() (*envoy.Resource, error) {
				return envoy.LoadAssignment(&ir.LoadAssignment{Assignment: k.Assignment})
			})
		},
	})
}

// clusterState tells why routes to a cluster fail closed: it could not be made
// or does not get warm (err), or Envoy refuses it and took no version before.
func (t *Translator) clusterState(r *graph.Reader, k resourceKey) (refused bool, err error) {
	c, ok := t.clusters.Get(r, k)
	if !ok {
		return false, t.clusters.Failure(r, k)
	}
	if why, stuck := t.Warming.Get(r, k); stuck {
		return false, errors.New(reason.FormatNotWarm.With(k.Name, k.Fleet, why))
	}
	return c.Resource == nil, nil
}
