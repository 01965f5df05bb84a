package translator

import (
	"errors"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// statuses is the last layer: what is written back to each object.
type statuses struct {
	visited  *graph.Index[ir.Name, hostKey]
	visits   *graph.Index[ir.Name, hostKey]
	withheld *graph.Unit[hostKey, []withheldResource]
	blamed   *graph.Index[ir.Name, hostKey]
	// ProxyStatuses are the statuses of all HTTPProxies. Times are left zero:
	// who writes a status knows when it changed.
	ProxyStatuses *graph.Unit[ir.Name, contourv1.HTTPProxyStatus]
	FleetStatuses *graph.Unit[ir.Name, *FleetStatus]
}

// FleetStatus is what translation knows of a fleet.
type FleetStatus struct {
	Generation int64
	Problems   []upstream.Problem
	// ClientCertificate is nil when the fleet presents none or it is broken.
	ClientCertificate *ir.KeyPair
	// ClientCertificateRef is the one that is asked for.
	ClientCertificateRef *ir.CertificateRef
}

// withheldResource is an Envoy resource that was not made, with the object
// that it would have served.
type withheldResource struct {
	Proxy   ir.Name
	Finding httpproxy.Finding
}

func (t *Translator) declareStatuses() {
	g := t.Graph
	// A proxy that many hosts include is visited by many sites. Its status
	// reads only whether there is one, and those with something to say.
	t.visited = graph.NewIndex(t.Sites, "sites by proxy", func(_ hostKey, s *httpproxy.Site) []ir.Name {
		return proxiesOf(s.Visits, func(httpproxy.Visit) bool { return true })
	})
	t.visits = graph.NewIndex(t.Sites, "sites with findings by proxy", func(_ hostKey, s *httpproxy.Site) []ir.Name {
		return proxiesOf(s.Visits, func(v httpproxy.Visit) bool { return len(v.Findings) > 0 })
	})
	t.withheld = graph.NewUnit(g, graph.UnitSpec[hostKey, []withheldResource]{
		Name: "withheld resources", Live: []graph.Liveness[hostKey]{t.claimants}, Compute: t.computeWithheld,
	})
	t.blamed = graph.NewIndex(t.withheld, "withheld resources by proxy", func(_ hostKey, w []withheldResource) []ir.Name {
		out := make([]ir.Name, len(w))
		for i := range w {
			out[i] = w[i].Proxy
		}
		return out
	})
	// The status of an object of another ingress class is not ours to write.
	names := graph.NewIndex(t.claims, "statuses to write", func(n ir.Name, c *httpproxy.Claim) []ir.Name {
		if !c.Ours {
			return nil
		}
		return []ir.Name{n}
	})
	t.ProxyStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, contourv1.HTTPProxyStatus]{
		Name: "HTTPProxy status", Live: []graph.Liveness[ir.Name]{names}, Compute: t.computeProxyStatus,
	})
	fleets := graph.NewIndex(t.Fleets, "fleet statuses to write", func(n ir.Name, _ *FleetSpec) []ir.Name { return []ir.Name{n} })
	t.FleetStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, *FleetStatus]{
		Name: "EnvoyFleet status", Live: []graph.Liveness[ir.Name]{fleets}, Compute: t.computeFleetStatus,
	})
}

func proxiesOf(visits []httpproxy.Visit, keep func(httpproxy.Visit) bool) []ir.Name {
	var out []ir.Name
	for _, v := range visits {
		if keep(v) {
			out = append(out, v.Proxy)
		}
	}
	return out
}

func (t *Translator) computeWithheld(r *graph.Reader, k hostKey) ([]withheldResource, error) {
	s, ok := t.Sites.Get(r, k)
	if !ok {
		return nil, t.Sites.Failure(r, k)
	}
	var out []withheldResource
	blame := func(origin ir.ObjectRef, err error) {
		if err != nil {
			out = append(out, withheldResource{Proxy: origin.Name, Finding: httpproxy.ResourceWithheld(err)})
		}
	}
	for i := range s.VirtualHosts {
		v := &s.VirtualHosts[i]
		key := scopeKey{k.Fleet, v.Listener, k.Host}
		blame(v.Origin, t.hosts.Failure(r, key))
		if h, ok := t.hosts.Get(r, key); ok {
			for _, x := range h.Refused {
				blame(x.Origin, errors.New(x.Reason))
			}
		}
		for j := range v.Routes {
			if f := v.Routes[j].Forward; f != nil {
				for b := range f.Upstreams() {
					blame(v.Routes[j].Origin, t.clusters.Failure(r, resourceKey{k.Fleet, b.Name()}))
				}
			}
		}
	}
	for _, c := range chainHosts(k, &s.Site) {
		blame(s.Origin(), t.chains.Failure(r, c))
	}
	if s.TCP != nil {
		for i := range s.TCP.Backends {
			blame(s.TCP.Origin, t.clusters.Failure(r, resourceKey{k.Fleet, s.TCP.Backends[i].Upstream.Name()}))
		}
	}
	return out, nil
}

func (t *Translator) computeProxyStatus(r *graph.Reader, n ir.Name) (contourv1.HTTPProxyStatus, error) {
	p, _ := t.Proxies.Get(r, n)
	c, ok := t.claims.Get(r, n)
	if !ok {
		return contourv1.HTTPProxyStatus{}, t.claims.Failure(r, n)
	}
	var extra []httpproxy.Finding
	d, ok := t.documents.Get(r, n)
	if !ok {
		extra = append(extra, httpproxy.ResourceWithheld(t.documents.Failure(r, n)))
	}
	var visits []httpproxy.Visit
	for _, k := range t.visits.Keys(r, n) {
		s, _ := t.Sites.Get(r, k)
		for _, v := range s.Visits {
			if v.Proxy == n {
				visits = append(visits, v)
			}
		}
	}
	if len(visits) == 0 && t.visited.Has(r, n) {
		visits = append(visits, httpproxy.Visit{Proxy: n})
	}
	for _, k := range t.blamed.Keys(r, n) {
		w, _ := t.withheld.Get(r, k)
		for _, x := range w {
			if x.Proxy == n {
				extra = append(extra, x.Finding)
			}
		}
	}
	for _, k := range c.Hosts {
		if err := t.Sites.Failure(r, k); err != nil {
			extra = append(extra, httpproxy.ResourceWithheld(err))
		}
	}
	return httpproxy.Status(p, c, d, visits, extra), nil
}

func (t *Translator) computeFleetStatus(r *graph.Reader, n ir.Name) (*FleetStatus, error) {
	spec, _ := t.Fleets.Get(r, n)
	f, ok := t.fleetStates.Get(r, n)
	if !ok {
		return nil, t.fleetStates.Failure(r, n)
	}
	out := &FleetStatus{Generation: spec.Generation, Problems: f.Problems}
	if c := spec.Upstream.ClientCertificate; c != nil {
		ref := ir.CertificateRef{Name: *c}
		out.ClientCertificateRef = &ref
		if k, ok := t.KeyPairs.Get(r, ref); ok {
			out.ClientCertificate = k.Value
		}
	}
	return out, nil
}
