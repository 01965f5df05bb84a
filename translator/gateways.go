package translator

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/gatewayapi/route"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
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
		Name: "GatewayClass read", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.GatewayClasses, "classes", nameOf[*gatewayv1.GatewayClass])},
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
	t.liveScopes = graph.NewIndex(t.ports, "scopes in use", func(k listenerKey, l *ir.Listener) []listenerKey {
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
	})
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

func listenerKeys(fleet ir.Name, names []string) []listenerKey {
	out := make([]listenerKey, len(names))
	for i, n := range names {
		out[i] = listenerKey{fleet, n}
	}
	return out
}

func (t *Translator) computePort(r *graph.Reader, k listenerKey) (*envoy.Resource, error) {
	l, ok := t.ports.Get(r, k)
	if !ok {
		return nil, unusable("listener "+k.Name, t.ports.Failure(r, k))
	}
	return envoy.Listener(l, nil)
}

func (t *Translator) declarePolicies() {
	g := t.Graph
	t.policies = graph.NewUnit(g, graph.UnitSpec[ir.Name, *policy.Policy]{
		Name: "BackendTLSPolicy read", Live: []graph.Liveness[ir.Name]{graph.NewIndex(t.Policies, "policies", nameOf[*gatewayv1.BackendTLSPolicy])},
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
		return &httpproxy.Site{Site: ir.Site{Fleet: k.Fleet, Host: k.Host}}, nil
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

// gatewayObjects is what the Gateway API front end reads.
type gatewayObjects struct{ objects }

// ClientKeyPair implements listener.Linked.
func (o gatewayObjects) ClientKeyPair(ref ir.CertificateRef) *upstream.Problem {
	return clientObjects(o).KeyPair(ref)
}

// Granted implements listener.Linked and route.Objects.
func (o gatewayObjects) Granted(g gatewayapi.Grant) bool {
	if o.t.granted.Has(o.r, g) {
		return true
	}
	g.Name = ""
	return o.t.granted.Has(o.r, g)
}

// EnvoyFleet implements listener.Fleets.
func (o gatewayObjects) EnvoyFleet(n ir.Name) bool {
	_, ok := o.t.EnvoyFleets.Get(o.r, n)
	return ok
}

// Labels implements listener.Namespaces.
func (o gatewayObjects) Labels(namespace string) (map[string]string, bool) {
	n, ok := o.t.Namespaces.Get(o.r, ir.Name{Name: namespace})
	if !ok {
		return nil, false
	}
	return n.Labels, true
}

// Host implements listener.Facts.
func (o gatewayObjects) Host(gateway ir.Name) (ir.Name, listener.Hosting, bool) {
	for _, key := range [...]ir.Name{gateway, anyGateway} {
		if fleet, ok := o.t.hostings.First(o.r, key); ok {
			if f, ok := o.t.Fleets.Get(o.r, fleet); ok && f.Gateways != nil {
				return fleet, *f.Gateways, true
			}
		}
	}
	return ir.Name{}, listener.Hosting{}, false
}

// Gateway implements route.Gateways.
func (o gatewayObjects) Gateway(n ir.Name) *listener.Gateway {
	g, _ := o.t.placed.Get(o.r, n)
	return g
}

// GatewayOf implements route.Gateways.
func (o gatewayObjects) GatewayOf(set ir.Name) (ir.Name, bool) {
	s, ok := o.t.ListenerSets.Get(o.r, set)
	if !ok {
		return ir.Name{}, false
	}
	return listener.ParentOf(s)
}

// Policy implements route.Objects. What is not known of a policy is a fault of
// it: a backend that it might rule is not reached in plaintext.
func (o gatewayObjects) Policy(service ir.Name, port *corev1.ServicePort) *policy.Policy {
	b, ok := o.t.bindings.Get(o.r, service)
	if !ok {
		if err := o.t.bindings.Failure(o.r, service); err != nil {
			return policy.Unknown(service, err)
		}
		return nil
	}
	n := b.For(port.Name)
	if n == nil {
		return nil
	}
	p, ok := o.t.policies.Get(o.r, *n)
	if !ok {
		return policy.Unknown(*n, o.t.policies.Failure(o.r, *n))
	}
	return p
}
