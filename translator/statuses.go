package translator

import (
	"errors"
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// statuses is the last layer: what is written back to each object.
type statuses struct {
	visited                     *graph.Index[ir.Name, hostKey]
	visits                      *graph.Index[ir.Name, hostKey]
	refusedHosts, refusedChains *graph.Index[ir.ObjectRef, scopeKey]
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
	t.refusedHosts = graph.NewIndex(t.hosts, "refused hosts by object", func(_ scopeKey, h *host) []ir.ObjectRef {
		return blamed(h.Refused)
	})
	t.refusedChains = graph.NewIndex(t.chains, "refused chains by object", func(_ scopeKey, c *chain) []ir.ObjectRef {
		return blamed(c.Refused)
	})
	// The status of an object of another ingress class is not ours to write,
	// unless a root of ours includes it.
	names := graph.NewIndex(t.claims, "statuses to write", func(n ir.Name, c *httpproxy.Claim) []ir.Name {
		if !c.Ours {
			return nil
		}
		return []ir.Name{n}
	})
	t.ProxyStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, contourv1.HTTPProxyStatus]{
		Name: "HTTPProxy status", Live: []graph.Liveness[ir.Name]{names, t.visited}, Compute: t.computeProxyStatus,
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

func blamed(refused []refusedRoute) []ir.ObjectRef {
	out := make([]ir.ObjectRef, len(refused))
	for i := range refused {
		out[i] = refused[i].Origin
	}
	return out
}

// proxyRef is the reference to an HTTPProxy.
func proxyRef(n ir.Name) ir.ObjectRef { return ir.ObjectRef{Kind: "HTTPProxy", Name: n} }

// withheld are the findings about what Envoy would not have taken.
func (t *Translator) withheld(r *graph.Reader, n ir.Name) []httpproxy.Finding {
	var out []httpproxy.Finding
	add := func(refused []refusedRoute) {
		for _, x := range refused {
			if f := httpproxy.ResourceWithheld(errors.New(x.Reason)); x.Origin == proxyRef(n) && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	for _, k := range t.refusedHosts.Keys(r, proxyRef(n)) {
		h, _ := t.hosts.Get(r, k)
		add(h.Refused)
	}
	for _, k := range t.refusedChains.Keys(r, proxyRef(n)) {
		c, _ := t.chains.Get(r, k)
		add(c.Refused)
	}
	return out
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
	extra = append(extra, t.withheld(r, n)...)
	extra = append(extra, t.refusalFindings(r, n)...)
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
	out := &FleetStatus{Generation: spec.Generation, Problems: slices.Clip(f.Problems)}
	log, ok := t.accessLogs.Get(r, n)
	if !ok {
		return nil, t.accessLogs.Failure(r, n)
	}
	out.Problems = append(out.Problems, log.Problems...)
	for _, k := range t.refusedOf.Keys(r, n) {
		if x, ok := t.Refusals.Get(r, k); ok {
			out.Problems = append(out.Problems, upstream.Problem{Reason: reason.RefusedByEnvoy, Message: x.Message(n)})
		}
	}
	if c := spec.Upstream.ClientCertificate; c != nil {
		ref := ir.CertificateRef{Name: *c}
		out.ClientCertificateRef = &ref
		if k, ok := t.KeyPairs.Get(r, ref); ok {
			out.ClientCertificate = k.Value
		}
	}
	return out, nil
}
