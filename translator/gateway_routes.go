package translator

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/gatewayapi/route"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

func (t *Translator) declarePolicies() {
	g := t.Graph
	t.policies = graph.NewUnit(g, graph.UnitSpec[ir.Name, *policy.Policy]{
		Name: "BackendTLSPolicy read",
		Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.Policies, "policies", nameOf[*gatewayv1.BackendTLSPolicy])},
		Compute: func(r *graph.Reader, n ir.Name) (*policy.Policy, error) {
			p, _ := t.Policies.Get(r, n)
			return policy.Read(t.objects(r), p), nil
		},
	})
	t.policiesFor = graph.NewIndex(t.Policies, "policies by Service", func(_ ir.Name, p *gatewayv1.BackendTLSPolicy) []ir.Name {
		var out []ir.Name
		for _, target := range policy.Targets(p) {
			out = append(out, target.Service)
		}
		return out
	})
	t.bindings = graph.NewUnit(g, graph.UnitSpec[ir.Name, *policy.Binding]{
		Name: "policies of a Service", Live: []graph.Liveness[ir.Name]{t.policiesFor},
		Compute: func(r *graph.Reader, service ir.Name) (*policy.Binding, error) {
			var all []*policy.Policy
			for _, n := range t.policiesFor.Keys(r, service) {
				p, ok := t.policies.Get(r, n)
				if !ok {
					return nil, unusable("BackendTLSPolicy "+n.String(), t.policies.Failure(r, n))
				}
				all = append(all, p)
			}
			return policy.Bind(service, all), nil
		},
	})
}

func (t *Translator) declareRoutes() {
	g := t.Graph
	httpRoutes := graph.NewIndex(t.HTTPRoutes, "HTTPRoutes", func(n ir.Name, _ *gatewayv1.HTTPRoute) []ir.ObjectRef {
		return []ir.ObjectRef{{Kind: gatewayapi.KindHTTPRoute, Name: n}}
	})
	grpcRoutes := graph.NewIndex(t.GRPCRoutes, "GRPCRoutes", func(n ir.Name, _ *gatewayv1.GRPCRoute) []ir.ObjectRef {
		return []ir.ObjectRef{{Kind: gatewayapi.KindGRPCRoute, Name: n}}
	})
	live := []graph.Liveness[ir.ObjectRef]{httpRoutes, grpcRoutes}
	t.routes = graph.NewUnit(g, graph.UnitSpec[ir.ObjectRef, *route.Document]{
		Name: "route", Live: live,
		Compute: func(r *graph.Reader, ref ir.ObjectRef) (*route.Document, error) {
			o := gatewayObjects{objects{t, r}}
			if ref.Kind == gatewayapi.KindGRPCRoute {
				in, _ := t.GRPCRoutes.Get(r, ref.Name)
				return route.ReadGRPC(o, in), nil
			}
			in, _ := t.HTTPRoutes.Get(r, ref.Name)
			return route.ReadHTTP(o, in), nil
		},
	})
	t.attachments = graph.NewUnit(g, graph.UnitSpec[ir.ObjectRef, *route.Attachment]{
		Name: "attachment", Live: live,
		Compute: func(r *graph.Reader, ref ir.ObjectRef) (*route.Attachment, error) {
			o := gatewayObjects{objects{t, r}}
			if ref.Kind == gatewayapi.KindGRPCRoute {
				in, _ := t.GRPCRoutes.Get(r, ref.Name)
				return route.Attach(o, route.OfGRPC(in)), nil
			}
			in, _ := t.HTTPRoutes.Get(r, ref.Name)
			return route.Attach(o, route.OfHTTP(in)), nil
		},
	})
	t.routesByHost = graph.NewIndex(t.attachments, "routes by host", func(_ ir.ObjectRef, a *route.Attachment) []hostKey {
		out := make([]hostKey, len(a.Claims))
		for i, c := range a.Claims {
			out[i] = hostKey{Fleet: c.Fleet, Listener: c.Scope, Host: c.Host}
		}
		return out
	})
}

// declareGatewayFleets comes after the fleets.
func (t *Translator) declareGatewayFleets() {
	t.backings = graph.NewUnit(t.Graph, graph.UnitSpec[ir.Name, *ir.Fleet]{
		Name: "Gateway fleet", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.placed, "Gateways with a fleet",
			func(n ir.Name, g *listener.Gateway) []ir.Name {
				if !g.Ours || g.Fleet == (ir.Name{}) {
					return nil
				}
				return []ir.Name{n}
			})},
		Compute: t.computeBacking,
	})
}

// computeBacking lets the Gateway's client certificate go before the fleet's.
// A broken one fails the TLS upstreams of the Gateway.
func (t *Translator) computeBacking(r *graph.Reader, n ir.Name) (*ir.Fleet, error) {
	gw, _ := t.placed.Get(r, n)
	f, ok := t.fleetStates.Get(r, gw.Fleet)
	if !ok {
		return nil, unusable("fleet "+gw.Fleet.String(), t.fleetStates.Failure(r, gw.Fleet))
	}
	refs, ok := t.links.Get(r, n)
	if !ok {
		return nil, unusable("Gateway "+n.String(), t.links.Failure(r, n))
	}
	out := &ir.Fleet{Name: f.Fleet.Name, Upstream: f.Fleet.Upstream}
	u := &out.Upstream
	switch {
	case refs.ClientFault != nil:
		u.Failure, u.FailureReason = refs.ClientFault.Message, string(refs.ClientFault.Reason)
	case refs.Client != nil:
		u.ClientCertificate = refs.Client
		if aboutClientCertificate(reason.Reason(u.FailureReason)) {
			u.Failure, u.FailureReason = "", ""
		}
	}
	return out, nil
}

// aboutClientCertificate tells what is wrong with a fleet's own certificate,
// which does not matter where a Gateway brings another.
func aboutClientCertificate(why reason.Reason) bool {
	return slices.Contains([]reason.Reason{
		reason.ClientCertificateNotFound, reason.ClientCertificateInvalid,
		reason.ClientCertificateExpired, reason.ClientCertificateNotYetValid,
	}, why)
}

// gatewayHosts keep the sites of Gateways alive: those that routes claim, and
// those that there are without.
func (t *Translator) gatewayHosts() []graph.Liveness[hostKey] {
	return []graph.Liveness[hostKey]{
		t.routesByHost,
		graph.NewIndex(t.placed, "hosts by Gateway", func(_ ir.Name, g *listener.Gateway) []hostKey {
			var out []hostKey
			g.Hosts(func(scope, host string) { out = append(out, hostKey{Fleet: g.Fleet, Listener: scope, Host: host}) })
			return out
		}),
	}
}

func (t *Translator) computeGatewaySite(r *graph.Reader, k hostKey) (*httpproxy.Site, error) {
	n, _ := t.scopesOf.First(r, listenerKey{k.Fleet, k.Listener})
	gw, ok := t.placed.Get(r, n)
	if !ok {
		return nil, unusable("Gateway "+n.String(), t.placed.Failure(r, n))
	}
	if !t.liveScopes.Has(r, listenerKey{k.Fleet, k.Listener}) {
		return &httpproxy.Site{Fleet: k.Fleet, Host: k.Host}, nil
	}
	s := gw.Find(k.Listener, k.Host)
	if s == nil {
		return &httpproxy.Site{Site: *route.Elsewhere(gw, k.Listener, k.Host)}, nil
	}
	fleet, ok := t.backings.Get(r, n)
	if !ok {
		return nil, unusable("fleet of Gateway "+n.String(), t.backings.Failure(r, n))
	}
	var docs []*route.Document
	seen := map[ir.ObjectRef]bool{}
	for _, host := range route.Patterns(s, k.Host) {
		for _, ref := range t.routesByHost.Keys(r, hostKey{Fleet: k.Fleet, Listener: k.Listener, Host: host}) {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			d, ok := t.routes.Get(r, ref)
			if !ok {
				d = route.Unknown(ref, k.Host, unusable(ref.String(), t.routes.Failure(r, ref)).Message)
			}
			docs = append(docs, d)
		}
	}
	return &httpproxy.Site{Site: *route.Compose(gw, s, k.Host, fleet, docs)}, nil
}
