package translator

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/gatewayapi/route"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// gateways is the layer of the Gateway API front end.
type gateways struct {
	granted  *graph.Index[gatewayapi.Grant, ir.Name]
	setsOf   *graph.Index[ir.Name, ir.Name]
	hostings *graph.Index[ir.Name, ir.Name]
	classes  *graph.Unit[ir.Name, listener.Class]
	// merged are Gateways before it is known which ports they get.
	merged  *graph.Unit[ir.Name, *listener.Gateway]
	binders *graph.Index[bindKey, ir.Name]
	placed  *graph.Unit[ir.Name, *listener.Gateway]
	links   *graph.Unit[ir.Name, *listener.References]
	scopesOf,
	portsOf *graph.Index[listenerKey, ir.Name]
	ports *graph.Unit[listenerKey, *ir.Listener]
	// liveScopes are those that a listener looks hosts up in: one that closes
	// its connections does not.
	liveScopes  *graph.Index[listenerKey, listenerKey]
	portKeys    *graph.Index[certificateKey, listenerKey]
	portBundles *graph.Interned[resourceKey, []ir.TrustRef]
	// Exposures are the ports of the Gateways that a fleet serves.
	Exposures *graph.Unit[ir.Name, *listener.Exposure]
	// backings are fleets as the upstreams of one Gateway see them.
	backings *graph.Unit[ir.Name, *ir.Fleet]

	policies     *graph.Unit[ir.Name, *policy.Policy]
	policiesFor  *graph.Index[ir.Name, ir.Name]
	bindings     *graph.Unit[ir.Name, *policy.Binding]
	routes       *graph.Unit[ir.ObjectRef, *route.Document]
	attachments  *graph.Unit[ir.ObjectRef, *route.Attachment]
	routesByHost *graph.Index[hostKey, ir.ObjectRef]
}

// bindKey is a port of an address that a fleet binds.
type bindKey struct {
	Fleet ir.Name
	listener.Bind
}

// AppendKey implements graph.Key.
func (k bindKey) AppendKey(b []byte) []byte {
	b = k.Fleet.AppendKey(b)
	return fmt.Appendf(b, "\x00%s\x00%d\x00%t", k.Address, k.Port, k.UDP)
}

// anyGateway is the key of fleets that serve every Gateway.
var anyGateway = ir.Name{}

func nameOf[V any](n ir.Name, _ V) []ir.Name { return []ir.Name{n} }

func (t *Translator) declareGateways() {
	g := t.Graph
	t.granted = graph.NewIndex(t.Grants, "grants", func(_ ir.Name, g *gatewayv1.ReferenceGrant) []gatewayapi.Grant {
		return gatewayapi.Grants(g)
	})
	t.hostings = graph.NewIndex(t.Fleets, "fleets by Gateway", func(_ ir.Name, f *FleetSpec) []ir.Name {
		switch {
		case f.Gateways == nil:
			return nil
		case f.Gateways.Only != nil:
			return []ir.Name{*f.Gateways.Only}
		}
		return []ir.Name{anyGateway}
	})
	t.classes = graph.NewUnit(g, graph.UnitSpec[ir.Name, listener.Class]{
		Name: "GatewayClass read",
		Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.GatewayClasses, "classes", nameOf[*gatewayv1.GatewayClass])},
		Compute: func(r *graph.Reader, n ir.Name) (listener.Class, error) {
			c, _ := t.GatewayClasses.Get(r, n)
			return listener.ReadClass(gatewayObjects{objects{t, r}}, c), nil
		},
	})
	t.setsOf = graph.NewIndex(t.ListenerSets, "ListenerSets by Gateway", func(_ ir.Name, s *gatewayv1.ListenerSet) []ir.Name {
		n, ok := listener.ParentOf(s)
		return only(ok, n)
	})
	names := graph.NewIndex(t.Gateways, "Gateways", nameOf[*gatewayv1.Gateway])
	t.merged = graph.NewUnit(g, graph.UnitSpec[ir.Name, *listener.Gateway]{
		Name: "Gateway merged", Live: []graph.Liveness[ir.Name]{names}, Compute: t.computeMerged,
	})
	t.binders = graph.NewIndex(t.merged, "Gateways by port", func(_ ir.Name, g *listener.Gateway) []bindKey {
		var out []bindKey
		for _, b := range g.Binds() {
			out = append(out, bindKey{g.Fleet, b})
		}
		return out
	})
	t.placed = graph.NewUnit(g, graph.UnitSpec[ir.Name, *listener.Gateway]{
		Name: "Gateway placed", Live: []graph.Liveness[ir.Name]{names}, Compute: t.computePlaced,
	})
	t.links = graph.NewUnit(g, graph.UnitSpec[ir.Name, *listener.References]{
		Name: "Gateway references", Live: []graph.Liveness[ir.Name]{names},
		Compute: func(r *graph.Reader, n ir.Name) (*listener.References, error) {
			in, _ := t.Gateways.Get(r, n)
			gw, ok := t.placed.Get(r, n)
			if !ok {
				return nil, t.placed.Failure(r, n)
			}
			return listener.Resolve(gatewayObjects{objects{t, r}}, gw, in, func(set ir.Name) *gatewayv1.ListenerSet {
				s, _ := t.ListenerSets.Get(r, set)
				return s
			}), nil
		},
	})
	t.Exposures = graph.NewUnit(g, graph.UnitSpec[ir.Name, *listener.Exposure]{
		Name: "Gateway exposure", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.placed, "Gateways to expose",
			func(n ir.Name, g *listener.Gateway) []ir.Name { return only(g.Ours, n) })},
		Compute: func(r *graph.Reader, n ir.Name) (*listener.Exposure, error) {
			gw, _ := t.placed.Get(r, n)
			return gw.Exposure(), nil
		},
	})
	t.declarePorts()
	t.declarePolicies()
	t.declareRoutes()
}

func (t *Translator) computeMerged(r *graph.Reader, n ir.Name) (*listener.Gateway, error) {
	in, _ := t.Gateways.Get(r, n)
	class, _ := t.classes.Get(r, ir.Name{Name: string(in.Spec.GatewayClassName)})
	var sets []*gatewayv1.ListenerSet
	for _, set := range t.setsOf.Keys(r, n) {
		if s, ok := t.ListenerSets.Get(r, set); ok {
			sets = append(sets, s)
		}
	}
	return listener.Merge(gatewayObjects{objects{t, r}}, class, in, sets), nil
}

// computePlaced settles which ports a Gateway gets: the fleet's own listeners
// go first, then the older Gateways.
func (t *Translator) computePlaced(r *graph.Reader, n ir.Name) (*listener.Gateway, error) {
	gw, ok := t.merged.Get(r, n)
	if !ok {
		return nil, t.merged.Failure(r, n)
	}
	if !gw.Ours || gw.Fault != nil {
		return gw, nil
	}
	fleet, _ := t.Fleets.Get(r, gw.Fleet)
	return gw.Place(func(b listener.Bind) string {
		for i := range fleet.Listeners {
			if l := &fleet.Listeners[i]; l.Address == b.Address && l.Port == b.Port && !b.UDP {
				return fmt.Sprintf("listener %q of fleet %s", l.Name, gw.Fleet)
			}
		}
		first := gw
		for _, other := range t.binders.Keys(r, bindKey{gw.Fleet, b}) {
			o, ok := t.merged.Get(r, other)
			if ok && gatewayapi.Older(o.Created, o.Name, first.Created, first.Name) < 0 {
				first = o
			}
		}
		if first.Name == gw.Name {
			return ""
		}
		return "Gateway " + first.Name.String()
	}), nil
}

func (t *Translator) declarePorts() {
	t.scopesOf = graph.NewIndex(t.placed, "Gateways by scope", func(_ ir.Name, g *listener.Gateway) []listenerKey {
		return listenerKeys(g.Fleet, g.Scopes())
	})
	t.portsOf = graph.NewIndex(t.placed, "Gateways by listener", func(_ ir.Name, g *listener.Gateway) []listenerKey {
		return listenerKeys(g.Fleet, g.Ports())
	})
	t.ports = graph.NewUnit(t.Graph, graph.UnitSpec[listenerKey, *ir.Listener]{
		Name: "Gateway port", Live: []graph.Liveness[listenerKey]{t.portsOf},
		Compute: func(r *graph.Reader, k listenerKey) (*ir.Listener, error) {
			n, _ := t.portsOf.First(r, k)
			gw, ok := t.placed.Get(r, n)
			if !ok {
				return nil, unusable("Gateway "+n.String(), t.placed.Failure(r, n))
			}
			refs, ok := t.links.Get(r, n)
			if !ok {
				return nil, unusable("Gateway "+n.String(), t.links.Failure(r, n))
			}
			return gw.Listener(refs, k.Name), nil
		},
	})
	t.liveScopes = graph.NewIndex(t.ports, "scopes in use", scopesInUse)
	t.portKeys = graph.NewIndex(t.ports, "key pairs by listener", func(k listenerKey, l *ir.Listener) []certificateKey {
		var out []certificateKey
		for i := range l.Chains {
			if tls := l.Chains[i].TLS; tls != nil {
				for _, c := range tls.Certificates {
					out = append(out, certificateKey{k.Fleet, c})
				}
			}
		}
		return out
	})
	t.portBundles = graph.NewInterned(t.ports, "trust bundles by listener",
		func(k listenerKey, l *ir.Listener) []graph.Entry[resourceKey, []ir.TrustRef] {
			var out []graph.Entry[resourceKey, []ir.TrustRef]
			for i := range l.Chains {
				if tls := l.Chains[i].TLS; tls != nil && tls.Client != nil {
					key := resourceKey{Fleet: k.Fleet, Name: envoy.TrustName(tls.Client.Trust)}
					out = append(out, graph.Entry[resourceKey, []ir.TrustRef]{Key: key, Payload: tls.Client.Trust})
				}
			}
			return out
		})
}

func scopesInUse(k listenerKey, l *ir.Listener) []listenerKey {
	if l.Chains == nil {
		return []listenerKey{k}
	}
	var out []listenerKey
	for i := range l.Chains {
		if scope := l.Chains[i].Scope; scope != "" {
			out = append(out, listenerKey{k.Fleet, scope})
		}
	}
	return out
}

func listenerKeys(fleet ir.Name, names []string) []listenerKey {
	out := make([]listenerKey, len(names))
	for i, n := range names {
		out[i] = listenerKey{fleet, n}
	}
	return out
}

// computePort makes the listener of a port. One without chains is not served:
// all that it would have are withheld.
func (t *Translator) computePort(r *graph.Reader, k listenerKey) (served, error) {
	port, ok := t.ports.Get(r, k)
	if !ok {
		return served{}, unusable("listener "+k.Name, t.ports.Failure(r, k))
	}
	l, err := t.logged(r, k.Fleet, port)
	if err != nil {
		return served{}, err
	}
	chains, held, err := t.chainsOfPort(r, k, l)
	if err != nil {
		return served{}, err
	}
	if l.Chains != nil && len(chains) == 0 {
		return served{Held: held}, nil
	}
	x, err := envoy.ComposeListener(l, chains)
	if err != nil {
		return served{}, err
	}
	out, err := t.admit(r, k.Fleet, x, withhold)
	out.Held = append(out.Held, held...)
	return out, err
}

// chainsOfPort are the routes' chains, and the listener's own for all other
// server names.
func (t *Translator) chainsOfPort(r *graph.Reader, k listenerKey, l *ir.Listener) (chains []*envoy.Resource, held []RefusalKey, err error) {
	streams := map[string]bool{}
	for _, key := range t.chainsOf.Keys(r, k) {
		if c, ok := t.chains.Get(r, key); ok && c.Part != nil {
			streams[c.Part.Name] = true
			chains = append(chains, c.Part)
		}
	}
	own, err := envoy.GivenParts(l)
	if err != nil {
		return nil, nil, err
	}
	stands := func(host string) bool {
		return streams[host] || slices.ContainsFunc(own, func(p *envoy.Resource) bool { return p.Name == host })
	}
	for _, part := range own {
		if streams[part.Name] {
			continue
		}
		c, err := t.admitPart(r, listenerRefusal(k), part, stands, func() (*envoy.Resource, error) { return envoy.ClosedChain(part.Name) })
		if err != nil {
			return nil, nil, err
		}
		held = append(held, c.Held...)
		if c.Resource != nil {
			chains = append(chains, c.Resource)
		}
	}
	return chains, held, nil
}

func listenerRefusal(k listenerKey) RefusalKey {
	return RefusalKey{Fleet: k.Fleet, Type: envoy.ListenerType, Name: k.Name}
}
