package translator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Refused is what a refusal means to people.
type Refused struct {
	*Refusal
	// What was refused, such as `cluster "default/web/443/ab12"`.
	What string
	// Serves says what Envoys have instead.
	Serves reason.Message
	// Objects are the HTTPProxies, routes and Gateways that are not served as
	// asked, sorted; none when it is nobody's but the fleet's.
	Objects []ir.ObjectRef
	// Idle says that the refusal is not in effect: translation computes other
	// bytes now.
	Idle bool
}

// Message is one sentence with Envoy's words.
func (x *Refused) Message(fleet ir.Name) string {
	return reason.FormatRefused.With(x.What, fleet, x.Serves, x.Refusal.Message)
}

// refusals is the layer that traces what is held back to objects. Its units
// live by the rows of the Quarantine input, so that nothing is paid for it
// while Envoy takes everything.
type refusals struct {
	Refusals  *graph.Unit[RefusalKey, *Refused]
	refusedBy *graph.Index[ir.ObjectRef, RefusalKey]
	refusedOf *graph.Index[ir.Name, RefusalKey]
}

func (t *Translator) declareRefusals() {
	rows := graph.NewIndex(t.Quarantine, "refusals", func(k RefusalKey, _ *Refusal) []RefusalKey { return []RefusalKey{k} })
	t.Refusals = graph.NewUnit(t.Graph, graph.UnitSpec[RefusalKey, *Refused]{
		Name: "refusal", Live: []graph.Liveness[RefusalKey]{rows}, Compute: t.computeRefusal,
	})
	t.refusedBy = graph.NewIndex(t.Refusals, "refusals by object", func(_ RefusalKey, x *Refused) []ir.ObjectRef { return x.Objects })
	t.refusedOf = graph.NewIndex(t.Refusals, "refusals of a fleet", func(k RefusalKey, x *Refused) []ir.Name {
		if x.Idle || len(x.Objects) > 0 {
			return nil
		}
		return []ir.Name{k.Fleet}
	})
}

func (t *Translator) computeRefusal(r *graph.Reader, k RefusalKey) (*Refused, error) {
	q, _ := t.Quarantine.Get(r, k)
	out := &Refused{Refusal: q, Serves: servesInstead(q)}
	// Load assignments are in the fast lane, which this table cannot read.
	out.Idle = k.Type != envoy.EndpointType
	for _, x := range t.inEffect {
		out.Idle = out.Idle && !x.Has(r, k)
	}
	if out.Idle {
		return out, nil
	}
	switch k.Type {
	case envoy.ClusterType:
		out.What = fmt.Sprintf("cluster %q", k.Name)
		out.Objects = t.users(r, graph.RowsOf[hostKey](t.upstreams, r, resourceKey{k.Fleet, k.Name}),
			func(u *ir.Upstream) bool { return u.Name() == k.Name })
	case envoy.EndpointType:
		out.What = fmt.Sprintf("the endpoints %q", k.Name)
		out.Objects = t.users(r, t.assigned.Keys(r, assignmentKey{k.Fleet, ir.ParseAssignment(k.Name)}),
			func(u *ir.Upstream) bool { return u.AssignmentName() == k.Name })
	case envoy.SecretType:
		out.What = fmt.Sprintf("secret %q", k.Name)
		out.Objects = t.usersOfSecret(r, k)
	case envoy.ListenerType:
		out.What = fmt.Sprintf("listener %q", k.Name)
		if k.Part != "" {
			out.What = fmt.Sprintf("the filter chain of host %q on listener %q", k.Part, k.Name)
		}
		switch {
		case ofGateway(k.Name) && t.streams(r, k):
			out.Objects = t.owners(r, hostKey{Fleet: k.Fleet, Listener: k.Name, Host: k.Part})
		case ofGateway(k.Name):
			out.Objects = t.gatewaysOf(r, []listenerKey{{k.Fleet, k.Name}})
		case k.Part != "":
			out.Objects = t.owners(r, hostKey{Fleet: k.Fleet, Host: k.Part})
		}
	case envoy.ScopeType:
		t.traceScope(r, k, out)
	default: // parts are named by the resource that they belong to
	}
	return out, nil
}

// streams says that a part of a Gateway's listener is a route's.
func (t *Translator) streams(r *graph.Reader, k RefusalKey) bool {
	s, ok := t.Sites.Get(r, hostKey{Fleet: k.Fleet, Listener: k.Name, Host: k.Part})
	return k.Part != "" && ok && s.Stream() != nil
}

func servesInstead(q *Refusal) reason.Message {
	switch {
	case q.Elsewhere != "":
		return q.Elsewhere
	case q.Suspect:
		return reason.MessageSetAside
	case q.LastGood != nil && !q.Withheld:
		return reason.MessageLastGood
	}
	return reason.MessageFailsClosed
}

// users are the objects whose routes lead to an upstream.
func (t *Translator) users(r *graph.Reader, sites []hostKey, uses func(*ir.Upstream) bool) []ir.ObjectRef {
	var out []ir.ObjectRef
	for _, k := range sites {
		if s, ok := t.Sites.Get(r, k); ok {
			out = append(out, usersIn(&s.Site, uses)...)
		}
	}
	return sortedObjects(out)
}

func usersIn(s *ir.Site, uses func(*ir.Upstream) bool) []ir.ObjectRef {
	var out []ir.ObjectRef
	for i := range s.VirtualHosts {
		for j := range s.VirtualHosts[i].Routes {
			x := &s.VirtualHosts[i].Routes[j]
			for u := range x.Upstreams() {
				if uses(u) {
					out = append(out, x.Origin)
				}
			}
		}
	}
	x := s.Stream()
	if x == nil {
		return out
	}
	for i := range x.Backends {
		if uses(x.Backends[i].Upstream) {
			out = append(out, x.Origin)
		}
	}
	return out
}

func sortedObjects(refs []ir.ObjectRef) []ir.ObjectRef {
	slices.SortFunc(refs, func(a, b ir.ObjectRef) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(refs)
}

func (t *Translator) owners(r *graph.Reader, k hostKey) []ir.ObjectRef {
	s, ok := t.Sites.Get(r, k)
	if !ok || s.Origin() == (ir.ObjectRef{}) {
		return nil
	}
	return []ir.ObjectRef{s.Origin()}
}

// gatewaysOf are the Gateways of listeners.
func (t *Translator) gatewaysOf(r *graph.Reader, listeners []listenerKey) []ir.ObjectRef {
	var out []ir.ObjectRef
	for _, k := range listeners {
		if n, ok := t.portsOf.First(r, k); ok {
			out = append(out, gatewayRef(n))
		}
	}
	return sortedObjects(out)
}

func gatewayRef(n ir.Name) ir.ObjectRef { return ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: n} }

func (t *Translator) usersOfSecret(r *graph.Reader, k RefusalKey) []ir.ObjectRef {
	if ref, ok := ir.SecretRef(k.Name); ok {
		key := certificateKey{k.Fleet, ref}
		sites := t.sharedBy.Keys(r, key)
		out := t.gatewaysOf(r, t.portKeys.Keys(r, key))
		out = append(out, t.users(r, sites, func(u *ir.Upstream) bool {
			return u.TLS != nil && u.TLS.ClientCertificate != nil && *u.TLS.ClientCertificate == ref
		})...)
		for _, site := range sites {
			if s, ok := t.Sites.Get(r, site); ok && s.TCP != nil && slices.Contains(s.TCP.Certificates(), ref) {
				out = append(out, s.TCP.Origin)
				out = append(out, t.gatewaysOf(r, []listenerKey{{k.Fleet, s.TCP.Listener}})...)
			}
		}
		return sortedObjects(out)
	}
	if strings.HasPrefix(k.Name, "trust/") {
		key := resourceKey{k.Fleet, k.Name}
		out := t.gatewaysOf(r, graph.RowsOf[listenerKey](t.portBundles, r, key))
		return sortedObjects(append(out, t.users(r, graph.RowsOf[hostKey](t.bundles, r, key), func(u *ir.Upstream) bool {
			return u.TLS != nil && u.TLS.Verify != nil && envoy.TrustName(u.TLS.Verify.Trust) == k.Name
		})...))
	}
	return t.owners(r, hostKey{Fleet: k.Fleet, Host: k.Name})
}

// traceScope finds the host of a scope, whose name is a digest.
func (t *Translator) traceScope(r *graph.Reader, k RefusalKey, out *Refused) {
	hosts := t.heldHosts.Keys(r, k)
	if len(hosts) == 0 {
		out.What = "the wildcard hosts of a listener"
		for _, l := range t.heldFallbacks.Keys(r, k) {
			out.What = fmt.Sprintf("the wildcard hosts of listener %q", l.Name)
			if n, ok := t.scopesOf.First(r, l); ok {
				out.Objects = []ir.ObjectRef{gatewayRef(n)}
			}
		}
		return
	}
	at := hosts[0]
	out.What = fmt.Sprintf("host %q on listener %q", at.Host, at.Listener)
	s, ok := t.Sites.Get(r, at.site())
	if !ok {
		return
	}
	v := virtualHost(s, at.Listener)
	if k.Part != "" && !isWildcard(at.Host) {
		out.What = "a route of " + out.What
	}
	for i := range v.Routes {
		name, _, _ := strings.Cut(k.Part, "#")
		if k.Part == "" || isWildcard(at.Host) || v.Routes[i].Name == name {
			out.Objects = append(out.Objects, v.Routes[i].Origin)
		}
	}
	if len(out.Objects) == 0 || k.Part == "" || isWildcard(at.Host) {
		out.Objects = append(out.Objects, v.Origin)
	}
	out.Objects = sortedObjects(out.Objects)
}

// refusalFindings are what Envoy's refusals mean for one HTTPProxy.
func (t *Translator) refusalFindings(r *graph.Reader, n ir.Name) []httpproxy.Finding {
	var out []httpproxy.Finding
	for _, message := range t.refusalsOfObject(r, proxyRef(n)) {
		out = append(out, httpproxy.RefusedByEnvoy(message))
	}
	return out
}

// refusalsOfObject say what Envoy refuses of an object.
func (t *Translator) refusalsOfObject(r *graph.Reader, o ir.ObjectRef) []string {
	var out []string
	for _, k := range t.refusedBy.Keys(r, o) {
		if x, ok := t.Refusals.Get(r, k); ok {
			out = append(out, x.Message(k.Fleet))
		}
	}
	return out
}

// Served finds what a fleet's Envoys get in a revision under the type and the
// name of x; nil for nothing.
func (t *Translator) Served(rev *graph.Revision, fleet ir.Name, x *envoy.Resource) *envoy.Resource {
	r := rev.Reader()
	switch x.Type {
	case envoy.ClusterType:
		return found(t.clusters, r, resourceKey{fleet, x.Name})
	case envoy.EndpointType:
		return found(t.assignments, r, assignmentKey{fleet, ir.ParseAssignment(x.Name)})
	case envoy.ListenerType:
		return found(t.listeners, r, listenerKey{fleet, x.Name})
	case envoy.SecretType:
		return t.servedSecret(r, fleet, x.Name)
	case envoy.ScopeType:
		return t.servedScope(r, fleet, x)
	default: // parts are not sent alone
		return nil
	}
}

func found[K graph.Key](table *graph.Unit[K, served], r *graph.Reader, k K) *envoy.Resource {
	s, _ := table.Get(r, k)
	return s.Resource
}

func (t *Translator) servedSecret(r *graph.Reader, fleet ir.Name, name string) *envoy.Resource {
	if ref, ok := ir.SecretRef(name); ok {
		return found(t.keySecrets, r, certificateKey{fleet, ref})
	}
	if strings.HasPrefix(name, "trust/") {
		return found(t.trustSecrets, r, resourceKey{fleet, name})
	}
	f, ok := t.fleetStates.Get(r, fleet)
	if !ok {
		return nil
	}
	for i := range f.Fleet.Listeners {
		if x := found(t.hostSecrets, r, scopeKey{fleet, f.Fleet.Listeners[i].Name, name}); x != nil {
			return x
		}
	}
	return nil
}

func (t *Translator) servedScope(r *graph.Reader, fleet ir.Name, x *envoy.Resource) *envoy.Resource {
	listener, host, err := envoy.ScopeHost(x)
	if err != nil {
		return nil
	}
	if host != "" {
		if h, ok := t.hosts.Get(r, scopeKey{fleet, listener, host}); ok {
			return h.Scope
		}
		return nil
	}
	if x.Name == envoy.FallbackScopeID(listener) {
		return found(t.fallbacks, r, listenerKey{fleet, listener})
	}
	return found(t.misdirected, r, listenerKey{fleet, listener})
}
