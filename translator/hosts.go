package translator

import (
	"reflect"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// host is a virtual host that can be written for Envoy: routes that cannot
// are in their fail-closed form.
type host struct {
	VirtualHost *ir.VirtualHost
	// Scope is the resource of an exact host; nil for a wildcard.
	Scope *envoy.Resource
	// Refused are the routes that could not be written.
	Refused []refusedRoute
}

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
		Compute: func(r *graph.Reader, k scopeKey) (*host, error) {
			s, _ := t.Sites.Get(r, k.site())
			return sealHost(t.withoutBrokenClusters(r, k.Fleet, virtualHost(s, k.Listener)))
		},
	})
}

func sameHost(a, b *host) bool {
	return a.Scope.Equal(b.Scope) && slices.Equal(a.Refused, b.Refused) &&
		(a.Scope != nil || reflect.DeepEqual(a.VirtualHost, b.VirtualHost))
}

func virtualHost(s *httpproxy.Site, listener string) *ir.VirtualHost {
	for i := range s.VirtualHosts {
		if s.VirtualHosts[i].Listener == listener {
			return &s.VirtualHosts[i]
		}
	}
	return nil
}

// withoutBrokenClusters puts routes to clusters that are withheld into their
// fail-closed form.
func (t *Translator) withoutBrokenClusters(r *graph.Reader, fleet ir.Name, v *ir.VirtualHost) (*ir.VirtualHost, []refusedRoute) {
	var refused []refusedRoute
	for i := range v.Routes {
		f := v.Routes[i].Forward
		if f == nil {
			continue
		}
		for u := range f.Upstreams() {
			err := t.clusters.Failure(r, resourceKey{fleet, u.Name()})
			if err == nil {
				continue
			}
			if refused == nil {
				sealed := *v
				sealed.Routes = slices.Clone(v.Routes)
				v = &sealed
			}
			refused = append(refused, refusedRoute{v.Routes[i].Origin, err.Error()})
			closed := failClosed(&v.Routes[i], err)
			closed.Match = v.Routes[i].Match
			v.Routes[i] = closed
			break
		}
	}
	return v, refused
}

// sealHost writes a virtual host for Envoy. When Envoy's rules refuse it, the
// routes are tried one by one and those at fault answer 503, so that neither
// their siblings nor, for a wildcard, its neighbours suffer, and no wildcard
// host takes over the requests.
func sealHost(v *ir.VirtualHost, refused []refusedRoute) (*host, error) {
	scope, err := write(v)
	if err == nil {
		return &host{VirtualHost: v, Scope: scope, Refused: refused}, nil
	}
	out := &host{Refused: refused}
	sealed := *v
	sealed.Routes = make([]ir.Route, 0, len(v.Routes))
	for i := range v.Routes {
		alone := *v
		alone.Routes = v.Routes[i : i+1]
		if _, err := write(&alone); err != nil {
			out.Refused = append(out.Refused, refusedRoute{v.Routes[i].Origin, err.Error()})
			sealed.Routes = append(sealed.Routes, failClosed(&v.Routes[i], err))
			continue
		}
		sealed.Routes = append(sealed.Routes, v.Routes[i])
	}
	if scope, err = write(&sealed); err != nil {
		// Not one route but their sum or the host itself: nothing is served.
		out.Refused = append(out.Refused, refusedRoute{v.Origin, err.Error()})
		sealed.Routes = []ir.Route{failClosed(&ir.Route{Name: v.Host, Origin: v.Origin}, err)}
		if scope, err = write(&sealed); err != nil {
			return nil, err
		}
	}
	out.VirtualHost, out.Scope = &sealed, scope
	return out, nil
}

// write makes the scope of an exact host. A wildcard has none of its own: it
// is tried in a fallback scope that holds it alone.
func write(v *ir.VirtualHost) (*envoy.Resource, error) {
	if isWildcard(v.Host) {
		_, err := envoy.FallbackScope(v.Listener, v.TLS, []*ir.VirtualHost{v})
		return nil, err
	}
	return envoy.Scope(v)
}

// failClosed keeps what is surely well-formed of a route's match: a plain path.
func failClosed(r *ir.Route, err error) ir.Route {
	m := ir.Match{PathKind: ir.PathPrefix, Path: "/"}
	if k := r.Match.PathKind; k == ir.PathPrefix || k == ir.PathExact || k == ir.PathSegments {
		m.PathKind, m.Path = k, r.Match.Path
	}
	return ir.Route{
		Name: r.Name, Match: m, Origin: r.Origin, Failure: err.Error(),
		Response: &ir.DirectResponse{StatusCode: 503},
	}
}

func (t *Translator) declareScopes() {
	g := t.Graph
	t.wildcards = graph.NewIndex(t.hosts, "wildcard hosts by listener", func(k scopeKey, h *host) []listenerKey {
		if h.Scope != nil {
			return nil
		}
		return []listenerKey{{k.Fleet, k.Listener}}
	})
	listeners := graph.NewIndex(t.fleetStates, "listeners", listenersWhere(func(*ir.Listener) bool { return true }))
	secure := graph.NewIndex(t.fleetStates, "TLS listeners", listenersWhere(func(l *ir.Listener) bool { return l.TLS }))
	t.fallbacks = graph.NewUnit(g, graph.UnitSpec[listenerKey, *envoy.Resource]{
		Name: "fallback scope", Live: []graph.Liveness[listenerKey]{listeners, t.liveScopes}, Equal: sameResource,
		Compute: t.computeFallback,
	})
	t.misdirected = graph.NewUnit(g, graph.UnitSpec[listenerKey, *envoy.Resource]{
		Name: "misdirected scope", Live: []graph.Liveness[listenerKey]{secure}, Equal: sameResource,
		Compute: func(_ *graph.Reader, k listenerKey) (*envoy.Resource, error) { return envoy.MisdirectedScope(k.Name) },
	})
}

func (t *Translator) computeFallback(r *graph.Reader, k listenerKey) (*envoy.Resource, error) {
	tls := false
	if !ofGateway(k.Name) {
		l, err := t.listener(r, k)
		if err != nil {
			return nil, err
		}
		tls = l.TLS
	}
	var hosts []*ir.VirtualHost
	for _, key := range t.wildcards.Keys(r, k) {
		if h, ok := t.hosts.Get(r, key); ok {
			hosts = append(hosts, h.VirtualHost)
		}
	}
	return envoy.FallbackScope(k.Name, tls, hosts)
}
