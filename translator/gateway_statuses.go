package translator

import (
	"iter"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/gatewayapi/route"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// gatewayStatuses are the statuses of the Gateway API's kinds: what translation
// knows, times left zero. Entries and conditions of others are not in them: who
// writes a status keeps those.
type gatewayStatuses struct {
	routesFor  *graph.Index[ir.Name, ir.ObjectRef]
	attachedTo *graph.Index[route.SectionKey, ir.ObjectRef]
	// rejectedFrom are those of attachedTo that are not accepted for what they are.
	rejectedFrom *graph.Index[route.SectionKey, ir.ObjectRef]

	GatewayClassStatuses *graph.Unit[ir.Name, gatewayv1.GatewayClassStatus]
	GatewayStatuses      *graph.Unit[ir.Name, gatewayv1.GatewayStatus]
	ListenerSetStatuses  *graph.Unit[ir.Name, gatewayv1.ListenerSetStatus]
	RouteStatuses        *graph.Unit[ir.ObjectRef, gatewayv1.RouteStatus]
	PolicyStatuses       *graph.Unit[ir.Name, gatewayv1.PolicyStatus]
}

func (t *Translator) declareGatewayStatuses() {
	g := t.Graph
	t.routesFor = graph.NewIndex(t.routes, "routes by Service", func(_ ir.ObjectRef, d *route.Document) []ir.Name {
		var out []ir.Name
		for _, s := range d.Services {
			out = append(out, s.Service)
		}
		return out
	})
	t.attachedTo = graph.NewIndex(t.attachments, "routes by listener", func(_ ir.ObjectRef, a *route.Attachment) []route.SectionKey {
		return a.Sections
	})
	rejected := graph.NewUnit(g, graph.UnitSpec[ir.ObjectRef, []route.SectionKey]{
		Name: "rejected route", Live: []graph.Liveness[ir.ObjectRef]{graph.NewIndex(t.routes, "rejected routes",
			func(ref ir.ObjectRef, d *route.Document) []ir.ObjectRef { return only(d.Fault != nil, ref) })},
		Compute: func(r *graph.Reader, ref ir.ObjectRef) ([]route.SectionKey, error) {
			a, ok := t.attachments.Get(r, ref)
			if !ok {
				return nil, unusable(ref.String(), t.attachments.Failure(r, ref))
			}
			return a.Sections, nil
		},
	})
	t.rejectedFrom = graph.NewIndex(rejected, "rejected routes by listener",
		func(_ ir.ObjectRef, keys []route.SectionKey) []route.SectionKey { return keys })
	t.GatewayClassStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, gatewayv1.GatewayClassStatus]{
		Name: "GatewayClass status", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.classes, "classes of ours",
			func(n ir.Name, c listener.Class) []ir.Name { return only(c.Ours, n) })},
		Compute: func(r *graph.Reader, n ir.Name) (gatewayv1.GatewayClassStatus, error) {
			c, _ := t.classes.Get(r, n)
			return c.Status(SupportedFeatures()), nil
		},
	})
	t.GatewayStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, gatewayv1.GatewayStatus]{
		Name: "Gateway status", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.placed, "Gateways of ours",
			func(n ir.Name, g *listener.Gateway) []ir.Name { return only(g.Ours, n) })},
		Compute: t.computeGatewayStatus,
	})
	t.ListenerSetStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, gatewayv1.ListenerSetStatus]{
		Name: "ListenerSet status", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.placed, "ListenerSets of ours",
			func(_ ir.Name, g *listener.Gateway) []ir.Name {
				var out []ir.Name
				for i := range g.Sets {
					out = append(out, g.Sets[i].Name)
				}
				return out
			})},
		Compute: t.computeListenerSetStatus,
	})
	t.RouteStatuses = graph.NewUnit(g, graph.UnitSpec[ir.ObjectRef, gatewayv1.RouteStatus]{
		Name: "route status", Live: []graph.Liveness[ir.ObjectRef]{graph.NewIndex(t.attachments, "routes of ours",
			func(ref ir.ObjectRef, a *route.Attachment) []ir.ObjectRef { return only(len(a.Parents) > 0, ref) })},
		Compute: t.computeRouteStatus,
	})
	t.PolicyStatuses = graph.NewUnit(g, graph.UnitSpec[ir.Name, gatewayv1.PolicyStatus]{
		Name:    "BackendTLSPolicy status",
		Live:    []graph.Liveness[ir.Name]{graph.NewIndex(t.policies, "policies to report", nameOf[*policy.Policy])},
		Compute: t.computePolicyStatus,
	})
}

// Routes yields the routes of all kinds that there are.
func (t *Translator) Routes(r *graph.Reader) iter.Seq[ir.ObjectRef] {
	return func(yield func(ir.ObjectRef) bool) {
		for ref := range t.attachments.All(r) {
			if !yield(ref) {
				return
			}
		}
	}
}

func only[T any](keep bool, v T) []T {
	if !keep {
		return nil
	}
	return []T{v}
}

func (t *Translator) computeGatewayStatus(r *graph.Reader, n ir.Name) (gatewayv1.GatewayStatus, error) {
	gw, _ := t.placed.Get(r, n)
	refs, ok := t.links.Get(r, n)
	if !ok {
		return gatewayv1.GatewayStatus{}, unusable("Gateway "+n.String(), t.links.Failure(r, n))
	}
	return listener.Status(gw, refs, t.attachedRoutes(r), t.troubles(r, gw)), nil
}

// attachedRoutes counts the accepted routes of a section.
func (t *Translator) attachedRoutes(r *graph.Reader) func(*listener.Section) int32 {
	return func(s *listener.Section) int32 {
		k := route.SectionKey{Parent: s.Parent, Name: s.Name}
		return int32(t.attachedTo.Count(r, k) - t.rejectedFrom.Count(r, k)) //nolint:gosec // fewer than 2^31
	}
}

// troubles are what could not be made of a Gateway, or is refused by Envoy.
func (t *Translator) troubles(r *graph.Reader, gw *listener.Gateway) listener.Troubles {
	port := func(s *listener.Section) listenerKey {
		return listenerKey{gw.Fleet, gw.PortName(s)}
	}
	return listener.Troubles{
		Withheld: func(s *listener.Section) error { return t.listeners.Failure(r, port(s)) },
		Refused: func(s *listener.Section) string {
			whole := listenerRefusal(port(s))
			part := whole
			part.Part = s.Host
			for _, k := range []RefusalKey{whole, part} {
				if x, ok := t.Refusals.Get(r, k); ok && !x.Idle {
					return x.Message(k.Fleet)
				}
			}
			return ""
		},
		Messages: t.refusalsOfObject(r, gatewayRef(gw.Name)),
	}
}

func (t *Translator) computeListenerSetStatus(r *graph.Reader, set ir.Name) (gatewayv1.ListenerSetStatus, error) {
	n, _ := gatewayObjects{objects{t, r}}.GatewayOf(set)
	gw, ok := t.placed.Get(r, n)
	if !ok {
		return gatewayv1.ListenerSetStatus{}, unusable("Gateway "+n.String(), t.placed.Failure(r, n))
	}
	refs, ok := t.links.Get(r, n)
	if !ok {
		return gatewayv1.ListenerSetStatus{}, unusable("Gateway "+n.String(), t.links.Failure(r, n))
	}
	return listener.SetStatus(gw, refs, set, t.attachedRoutes(r), t.troubles(r, gw)), nil
}

func (t *Translator) computeRouteStatus(r *graph.Reader, ref ir.ObjectRef) (gatewayv1.RouteStatus, error) {
	a, _ := t.attachments.Get(r, ref)
	d, ok := t.routes.Get(r, ref)
	if !ok {
		return gatewayv1.RouteStatus{}, unusable(ref.String(), t.routes.Failure(r, ref))
	}
	var withheld []string
	for _, k := range t.refusedHosts.Keys(r, ref) {
		h, _ := t.hosts.Get(r, k)
		for _, x := range h.Refused {
			if x.Origin == ref && !slices.Contains(withheld, x.Reason) {
				withheld = append(withheld, x.Reason)
			}
		}
	}
	for _, k := range t.refusedChains.Keys(r, ref) {
		c, _ := t.chains.Get(r, k)
		for _, x := range c.Refused {
			if x.Origin == ref && !slices.Contains(withheld, x.Reason) {
				withheld = append(withheld, x.Reason)
			}
		}
	}
	return route.Status(d, a, t.backingOf(r), withheld, t.refusalsOfObject(r, ref)), nil
}

func (t *Translator) computePolicyStatus(r *graph.Reader, n ir.Name) (gatewayv1.PolicyStatus, error) {
	p, _ := t.policies.Get(r, n)
	uses := map[ir.Name][]policy.Target{} // by Gateway
	for i, target := range p.Targets {
		note := func(gateways []ir.Name) {
			for _, g := range gateways {
				uses[g] = append(uses[g], target)
			}
		}
		used := target
		if f := p.Faults[i]; f != nil && f.Reason == reason.TargetNotFound {
			used.Section = "" // it closes whichever port has no policy, or there is no Service
		}
		for _, ref := range t.routesFor.Keys(r, target.Service) {
			d, ok := t.routes.Get(r, ref)
			if !ok || !d.Uses(used) {
				continue
			}
			a, ok := t.attachments.Get(r, ref)
			switch {
			case !ok:
			case ref.Kind == gatewayapi.KindUDPRoute && p.Fault != nil:
				// Such as that there is no TLS over UDP: somebody must be told.
				note(a.Gateways())
			default:
				note(a.Ruled())
			}
		}
	}
	return policy.Status(p, uses, func(service ir.Name) *policy.Binding {
		b, _ := t.bindings.Get(r, service)
		return b
	}, t.backingOf(r)), nil
}

// backingOf gives the fleet of a Gateway with the Gateway's own client
// certificate; nil where there is none, and nothing is served.
func (t *Translator) backingOf(r *graph.Reader) func(gateway ir.Name) *ir.Fleet {
	return func(gateway ir.Name) *ir.Fleet {
		f, _ := t.backings.Get(r, gateway)
		return f
	}
}
