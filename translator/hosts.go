package translator

import (
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// host is a virtual host as Envoy gets it: routes that cannot be written are in
// their fail-closed form, and so is what Envoy refuses.
type host struct {
	// Scope is the resource of an exact host; nil for a wildcard.
	Scope *envoy.Resource
	// Part is a wildcard host's part of the fallback scope; nil for others.
	Part *envoy.Resource
	// Refused are the routes that could not be written.
	Refused []refusedRoute
	// Held are the refusals that are in effect.
	Held []RefusalKey
}

func (h *host) held() []RefusalKey { return h.Held }

type refusedRoute struct {
	Origin ir.ObjectRef
	Reason string
}

func isWildcard(host string) bool { return strings.HasPrefix(host, "*") }

func (t *Translator) declareHosts() {
	g := t.Graph
	named := graph.NewIndex(t.Sites, "virtual hosts", func(k hostKey, s *httpproxy.Site) []scopeKey {
		out := make([]scopeKey, len(s.VirtualHosts))
		for i := range s.VirtualHosts {
			out[i] = scopeKey{Fleet: k.Fleet, Listener: s.VirtualHosts[i].Listener, Host: k.Host}
		}
		return out
	})
	t.hosts = graph.NewUnit(g, graph.UnitSpec[scopeKey, *host]{
		Name: "virtual host", Live: []graph.Liveness[scopeKey]{named}, Equal: sameHost,
		Compute: t.computeHost,
	})
}

func sameHost(a, b *host) bool {
	return a.Scope.Equal(b.Scope) && a.Part.Equal(b.Part) && slices.Equal(a.Refused, b.Refused) && slices.Equal(a.Held, b.Held)
}

func (t *Translator) computeHost(r *graph.Reader, k scopeKey) (*host, error) {
	s, _ := t.Sites.Get(r, k.site())
	v, refused := t.withoutBrokenClusters(r, k.Fleet, virtualHost(s, k.Listener))
	h, err := sealHost(v, refused)
	if err != nil {
		return nil, err
	}
	out := &host{Refused: h.refused}
	if !isWildcard(k.Host) {
		out.Scope, out.Held, err = t.admitScope(r, k.Fleet, h)
		return out, err
	}
	whole := RefusalKey{Fleet: k.Fleet, Type: envoy.ScopeType, Name: envoy.FallbackScopeID(k.Listener)}
	stands := func(host string) bool { return t.isServed(r, scopeKey{k.Fleet, k.Listener, host}.site()) }
	part, err := t.admitPart(r, whole, h.resource, stands, func() (*envoy.Resource, error) { return write(closedHost(h.host)) })
	out.Part, out.Held = part.Resource, part.Held
	return out, err
}

func (t *Translator) isServed(r *graph.Reader, k hostKey) bool {
	_, ok := t.Sites.Get(r, k)
	return ok
}

// admitScope takes the scope of an exact host apart into its routes where Envoy
// has refused one.
func (t *Translator) admitScope(r *graph.Reader, fleet ir.Name, h *sealedHost) (*envoy.Resource, []RefusalKey, error) {
	whole := RefusalKey{Fleet: fleet, Type: envoy.ScopeType, Name: h.resource.Name}
	x := h.resource
	var held []RefusalKey
	if len(t.refusalsOf.Keys(r, whole)) > 0 || t.tamper != nil {
		parts, first, err := envoy.RouteParts(h.host)
		if err != nil {
			return nil, nil, err
		}
		stands := func(name string) bool {
			return slices.ContainsFunc(parts, func(p *envoy.Resource) bool { return p.Name == name })
		}
		routes := make([]*envoy.Resource, 0, len(parts))
		for i, part := range parts {
			s, err := t.admitPart(r, whole, part, stands, func() (*envoy.Resource, error) { return closedPart(h.host, first[i], part.Name) })
			if err != nil {
				return nil, nil, err
			}
			held = append(held, s.Held...)
			if s.Resource != nil {
				routes = append(routes, s.Resource)
			}
		}
		if x, err = envoy.ComposeScope(h.host, routes); err != nil {
			return nil, nil, err
		}
	}
	s, err := t.admit(r, fleet, x, func() (*envoy.Resource, error) { return write(closedHost(h.host)) })
	return s.Resource, append(held, s.Held...), err
}

// closedHost answers 503 to everything.
func closedHost(v *ir.VirtualHost) *ir.VirtualHost {
	out := *v
	out.FallThrough = false
	out.Routes = []ir.Route{failClosed(&ir.Route{Name: v.Host, Match: everything, Origin: v.Origin}, errRefused)}
	return &out
}

// closedPart is a route's fail-closed form as the part of that name. Nobody
// knows what Envoy refused of it, so its match has no expression.
func closedPart(v *ir.VirtualHost, route int, name string) (*envoy.Resource, error) {
	out := *v
	closed := failClosed(&v.Routes[route], errRefused)
	closed.Match = plain(&closed.Match)
	out.Routes = []ir.Route{closed}
	parts, _, err := envoy.RouteParts(&out)
	if err != nil {
		return nil, err
	}
	return envoy.NewResource(parts[0].Type, name, parts[0].Body), nil
}

func virtualHost(s *httpproxy.Site, listener string) *ir.VirtualHost {
	for i := range s.VirtualHosts {
		if s.VirtualHosts[i].Listener == listener {
			return &s.VirtualHosts[i]
		}
	}
	return nil
}

// withoutBrokenClusters puts routes to clusters that are withheld, or refused,
// into their fail-closed form. A mirror is left out: its answers are thrown away.
func (t *Translator) withoutBrokenClusters(r *graph.Reader, fleet ir.Name, v *ir.VirtualHost) (*ir.VirtualHost, []refusedRoute) {
	var refused []refusedRoute
	whole := v
	for i := range whole.Routes {
		x, why := t.withoutBroken(r, fleet, &whole.Routes[i])
		if x == nil {
			continue
		}
		if v == whole {
			sealed := *v
			sealed.Routes = slices.Clone(v.Routes)
			v = &sealed
		}
		v.Routes[i] = *x
		refused = append(refused, why...)
	}
	return v, refused
}

// withoutBroken is the route as it can be served; nil when that is as it is.
func (t *Translator) withoutBroken(r *graph.Reader, fleet ir.Name, x *ir.Route) (*ir.Route, []refusedRoute) {
	var refused []refusedRoute
	broken := func(u *ir.Upstream, what string) error {
		byEnvoy, err := t.clusterState(r, resourceKey{fleet, u.Name()})
		if byEnvoy { // said in the status by the refusal itself
			return errRefused
		}
		if err != nil {
			refused = append(refused, refusedRoute{x.Origin, what + err.Error()})
		}
		return err
	}
	for u := range x.Required() {
		if err := broken(u, ""); err != nil {
			closed := failClosed(x, err)
			return &closed, refused
		}
	}
	if x.Forward == nil {
		return nil, nil
	}
	forward := *x.Forward
	forward.Mirrors = nil
	for i := range x.Forward.Mirrors {
		u := x.Forward.Mirrors[i].Upstream
		if broken(u, "mirror "+u.Service.String()+": ") == nil {
			forward.Mirrors = append(forward.Mirrors, x.Forward.Mirrors[i])
		}
	}
	if len(forward.Mirrors) == len(x.Forward.Mirrors) {
		return nil, nil
	}
	out := *x
	out.Forward = &forward
	return &out, refused
}

// sealedHost is a virtual host that can be written for Envoy.
type sealedHost struct {
	host *ir.VirtualHost
	// resource is the scope of an exact host, or a wildcard's part.
	resource *envoy.Resource
	refused  []refusedRoute
}

// sealHost writes a virtual host for Envoy. When Envoy's rules refuse it, the
// routes are tried one by one and those at fault answer 503, so that neither
// their siblings nor, for a wildcard, its neighbours suffer, and no wildcard
// host takes over the requests.
func sealHost(v *ir.VirtualHost, refused []refusedRoute) (*sealedHost, error) {
	x, err := write(v)
	if err == nil {
		return &sealedHost{v, x, refused}, nil
	}
	sealed := *v
	sealed.Routes = make([]ir.Route, 0, len(v.Routes))
	for i := range v.Routes {
		alone := *v
		alone.Routes = v.Routes[i : i+1]
		if _, err := write(&alone); err != nil {
			refused = append(refused, refusedRoute{v.Routes[i].Origin, err.Error()})
			sealed.Routes = append(sealed.Routes, writable(alone, failClosed(&v.Routes[i], err)))
			continue
		}
		sealed.Routes = append(sealed.Routes, v.Routes[i])
	}
	if x, err = write(&sealed); err != nil {
		// Not one route but their sum or the host itself: nothing is served.
		refused = append(refused, refusedRoute{v.Origin, err.Error()})
		sealed.FallThrough = false
		sealed.Routes = []ir.Route{failClosed(&ir.Route{Name: v.Host, Match: everything, Origin: v.Origin}, err)}
		if x, err = write(&sealed); err != nil {
			return nil, err
		}
	}
	return &sealedHost{&sealed, x, refused}, nil
}

// write makes the scope of an exact host, or a wildcard's part of its
// listener's fallback scope.
func write(v *ir.VirtualHost) (*envoy.Resource, error) {
	if isWildcard(v.Host) {
		return envoy.HostPart(v)
	}
	return envoy.Scope(v)
}

// failClosed answers 503 where a route matches.
func failClosed(r *ir.Route, err error) ir.Route {
	return ir.Route{
		Name: r.Name, Match: r.Match, Origin: r.Origin, Failure: err.Error(),
		Response: &ir.DirectResponse{StatusCode: 503},
	}
}

// writable gives a route in its fail-closed form the narrowest match that can be
// written of its own.
func writable(alone ir.VirtualHost, r ir.Route) ir.Route {
	without := plain(&r.Match)
	for _, m := range [...]ir.Match{r.Match, without, {PathKind: without.PathKind, Path: without.Path}} {
		r.Match = m
		alone.Routes = []ir.Route{r}
		if _, err := write(&alone); err == nil {
			return r
		}
	}
	r.Match = everything
	return r
}

func (t *Translator) declareScopes() {
	g := t.Graph
	t.wildcards = graph.NewIndex(t.hosts, "wildcard hosts by listener", func(k scopeKey, h *host) []listenerKey {
		if h.Part == nil {
			return nil
		}
		return []listenerKey{{k.Fleet, k.Listener}}
	})
	listeners := graph.NewIndex(t.fleetStates, "listeners", listenersWhere(func(*ir.Listener) bool { return true }))
	secure := graph.NewIndex(t.fleetStates, "TLS listeners", listenersWhere(func(l *ir.Listener) bool { return l.TLS }))
	t.fallbacks = graph.NewUnit(g, graph.UnitSpec[listenerKey, served]{
		Name: "fallback scope", Live: []graph.Liveness[listenerKey]{listeners, t.liveScopes}, Equal: sameServed,
		Compute: t.computeFallback,
	})
	t.misdirected = graph.NewUnit(g, graph.UnitSpec[listenerKey, served]{
		Name: "misdirected scope", Live: []graph.Liveness[listenerKey]{secure}, Equal: sameServed,
		Compute: func(r *graph.Reader, k listenerKey) (served, error) {
			s, err := envoy.MisdirectedScope(k.Name)
			if err != nil {
				return served{}, err
			}
			return t.admit(r, k.Fleet, s, withhold)
		},
	})
}

func (t *Translator) computeFallback(r *graph.Reader, k listenerKey) (served, error) {
	if !ofGateway(k.Name) {
		if _, err := t.listener(r, k); err != nil {
			return served{}, err
		}
	}
	var hosts []*envoy.Resource
	for _, key := range t.wildcards.Keys(r, k) {
		if h, ok := t.hosts.Get(r, key); ok {
			hosts = append(hosts, h.Part)
		}
	}
	x, err := envoy.ComposeFallback(k.Name, hosts)
	if err != nil {
		return served{}, err
	}
	return t.admit(r, k.Fleet, x, func() (*envoy.Resource, error) {
		all, err := envoy.HostPart(closedHost(&ir.VirtualHost{Listener: k.Name, Host: "*"}))
		if err != nil {
			return nil, err
		}
		return envoy.ComposeFallback(k.Name, []*envoy.Resource{all})
	})
}
