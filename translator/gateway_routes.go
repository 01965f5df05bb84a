package translator

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/gatewayapi/route"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
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
	live := t.everyRoute()
	t.routes = graph.NewUnit(g, graph.UnitSpec[ir.ObjectRef, *route.Document]{
		Name: "route", Live: live, Compute: t.readRoute,
	})
	t.attachments = graph.NewUnit(g, graph.UnitSpec[ir.ObjectRef, *route.Attachment]{
		Name: "attachment", Live: live,
		Compute: func(r *graph.Reader, ref ir.ObjectRef) (*route.Attachment, error) {
			return route.Attach(gatewayObjects{objects{t, r}}, t.routeOf(r, ref)), nil
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

// everyRoute lists the routes of all kinds.
func (t *Translator) everyRoute() []graph.Liveness[ir.ObjectRef] {
	return []graph.Liveness[ir.ObjectRef]{
		ofKind(t.HTTPRoutes, gatewayapi.KindHTTPRoute), ofKind(t.GRPCRoutes, gatewayapi.KindGRPCRoute),
		ofKind(t.TLSRoutes, gatewayapi.KindTLSRoute), ofKind(t.TCPRoutes, gatewayapi.KindTCPRoute),
		ofKind(t.UDPRoutes, gatewayapi.KindUDPRoute),
	}
}

func ofKind[V any](in *graph.Input[ir.Name, V], kind string) *graph.Index[ir.ObjectRef, ir.Name] {
	return graph.NewIndex(in, kind+"s", func(n ir.Name, _ V) []ir.ObjectRef { return []ir.ObjectRef{{Kind: kind, Name: n}} })
}

// readRoute reads a route of any kind; one that is live exists.
func (t *Translator) readRoute(r *graph.Reader, ref ir.ObjectRef) (*route.Document, error) {
	o := gatewayObjects{objects{t, r}}
	switch ref.Kind {
	case gatewayapi.KindGRPCRoute:
		in, _ := t.GRPCRoutes.Get(r, ref.Name)
		return route.ReadGRPC(o, in), nil
	case gatewayapi.KindTLSRoute:
		in, _ := t.TLSRoutes.Get(r, ref.Name)
		return route.ReadTLS(o, in), nil
	case gatewayapi.KindTCPRoute:
		in, _ := t.TCPRoutes.Get(r, ref.Name)
		return route.ReadTCP(o, in), nil
	case gatewayapi.KindUDPRoute:
		in, _ := t.UDPRoutes.Get(r, ref.Name)
		return route.ReadUDP(o, in), nil
	default:
		in, _ := t.HTTPRoutes.Get(r, ref.Name)
		return route.ReadHTTP(o, in), nil
	}
}

// routeOf is what all kinds of routes have.
func (t *Translator) routeOf(r *graph.Reader, ref ir.ObjectRef) *route.Route {
	switch ref.Kind {
	case gatewayapi.KindGRPCRoute:
		in, _ := t.GRPCRoutes.Get(r, ref.Name)
		return route.OfGRPC(in)
	case gatewayapi.KindTLSRoute:
		in, _ := t.TLSRoutes.Get(r, ref.Name)
		return route.OfTLS(in)
	case gatewayapi.KindTCPRoute:
		in, _ := t.TCPRoutes.Get(r, ref.Name)
		return route.OfTCP(in)
	case gatewayapi.KindUDPRoute:
		in, _ := t.UDPRoutes.Get(r, ref.Name)
		return route.OfUDP(in)
	default:
		in, _ := t.HTTPRoutes.Get(r, ref.Name)
		return route.OfHTTP(in)
	}
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
			// Other faults stay: the first stood for all.
			u.Failure, u.FailureReason = "", ""
			if i := slices.IndexFunc(f.Problems, otherThanCertificate); i >= 0 {
				u.Failure, u.FailureReason = f.Problems[i].Message, string(f.Problems[i].Reason)
			}
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

func otherThanCertificate(p upstream.Problem) bool { return !aboutClientCertificate(p.Reason) }

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
