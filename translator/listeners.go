package translator

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

func listenersWhere(keep func(*ir.Listener) bool) func(ir.Name, *fleetState) []listenerKey {
	return func(n ir.Name, f *fleetState) []listenerKey {
		var out []listenerKey
		for i := range f.Fleet.Listeners {
			if l := &f.Fleet.Listeners[i]; keep(l) {
				out = append(out, listenerKey{n, l.Name})
			}
		}
		return out
	}
}

func (t *Translator) listener(r *graph.Reader, k listenerKey) (*ir.Listener, error) {
	f, ok := t.fleetStates.Get(r, k.Fleet)
	if !ok {
		return nil, unusable("fleet "+k.Fleet.String(), t.fleetStates.Failure(r, k.Fleet))
	}
	i := slices.IndexFunc(f.Fleet.Listeners, func(l ir.Listener) bool { return l.Name == k.Name })
	if i < 0 {
		return nil, fmt.Errorf("fleet %s has no listener %q", k.Fleet, k.Name)
	}
	return t.logged(r, k.Fleet, &f.Fleet.Listeners[i])
}

// chain is the filter chain of a host that cannot share its listener's.
type chain struct {
	// Part of the listener; nil when it is left out.
	Part    *envoy.Resource
	Refused []refusedRoute
	// Held are the refusals that are in effect.
	Held []RefusalKey
}

func (c *chain) held() []RefusalKey { return c.Held }

func sameChain(a, b *chain) bool {
	return a.Part.Equal(b.Part) && slices.Equal(a.Refused, b.Refused) && slices.Equal(a.Held, b.Held)
}

// declareListeners gives a host a filter chain of its own only where it needs
// one: TCP, and TLS settings that differ from the listener's.
func (t *Translator) declareListeners() {
	g := t.Graph
	own := graph.NewIndex(t.Sites, "hosts that need a chain",
		func(k hostKey, s *httpproxy.Site) []scopeKey { return chainHosts(k, &s.Site) })
	t.chains = graph.NewUnit(g, graph.UnitSpec[scopeKey, *chain]{
		Name: "filter chain", Live: []graph.Liveness[scopeKey]{own}, Equal: sameChain, Compute: t.computeChain,
	})
	t.chainsOf = graph.NewIndex(t.chains, "chains by listener", func(k scopeKey, _ *chain) []listenerKey {
		return []listenerKey{{k.Fleet, k.Listener}}
	})
	t.below = graph.NewIndex(t.Sites, "HTTPS hosts by the wildcard above", hostsBelow)
	all := graph.NewIndex(t.fleetStates, "listeners to serve", listenersWhere(func(*ir.Listener) bool { return true }))
	t.listeners = graph.NewUnit(g, graph.UnitSpec[listenerKey, served]{
		Name: "listener", Live: []graph.Liveness[listenerKey]{all, t.portsOf}, Equal: sameServed, Compute: t.computeListener,
	})
}

func (t *Translator) computeListener(r *graph.Reader, k listenerKey) (served, error) {
	if ofGateway(k.Name) {
		return t.computePort(r, k)
	}
	l, err := t.listener(r, k)
	if err != nil {
		return served{}, err
	}
	var (
		chains []*envoy.Resource
		held   []RefusalKey
	)
	own, below := map[string]bool{}, map[string]bool{}
	for _, key := range t.chainsOf.Keys(r, k) {
		c, ok := t.chains.Get(r, key)
		if !ok || c.Part == nil {
			continue
		}
		own[key.Host] = true
		chains = append(chains, c.Part)
		if !isWildcard(key.Host) {
			continue
		}
		for _, b := range t.below.Keys(r, key) {
			below[b.Host] = true
		}
	}
	// Envoy chooses the chain by server name first and its wildcards match any
	// number of labels: without chains of their own the HTTPS hosts below such a
	// wildcard would be served by it. That holds for a host without a usable
	// certificate too: its handshakes fail rather than reach another backend.
	for _, host := range slices.Sorted(maps.Keys(below)) {
		if own[host] {
			continue
		}
		c, err := t.admitChain(r, k.Fleet, l, envoy.HTTPChain(&ir.HostCertificate{Listener: l.Name, Host: host, Profile: l.Profile}))
		if err != nil {
			return served{}, err
		}
		held = append(held, c.Held...)
		if c.Resource != nil {
			chains = append(chains, c.Resource)
		}
	}
	x, err := envoy.ComposeListener(l, chains)
	if err != nil {
		return served{}, err
	}
	out, err := t.admit(r, k.Fleet, x, withhold)
	out.Held = append(out.Held, held...)
	return out, err
}

// admitChain decides on one filter chain of a listener. One that Envoy refuses
// closes its connections, so that no wider chain takes them.
func (t *Translator) admitChain(r *graph.Reader, fleet ir.Name, l *ir.Listener, c *envoy.Chain) (served, error) {
	part, err := envoy.ChainPart(l, c)
	if err != nil {
		return served{}, err
	}
	closed := func() (*envoy.Resource, error) { return envoy.ClosedChain(part.Name) }
	stands := func(host string) bool { return t.isServed(r, hostKey{Fleet: fleet, Host: host}) }
	return t.admitPart(r, listenerRefusal(listenerKey{fleet, l.Name}), part, stands, closed)
}

// hostsBelow lists a TLS host under each wildcard above it: "a.b.test" under
// "*.b.test" and "*.test".
func hostsBelow(k hostKey, s *httpproxy.Site) []scopeKey {
	var out []scopeKey
	for i := range s.VirtualHosts {
		v := &s.VirtualHosts[i]
		if !v.TLS {
			continue
		}
		for parent := strings.TrimPrefix(k.Host, "*."); ; {
			_, rest, ok := strings.Cut(parent, ".")
			if !ok {
				break
			}
			parent = rest
			out = append(out, scopeKey{k.Fleet, v.Listener, "*." + parent})
		}
	}
	return out
}

func chainHosts(k hostKey, s *ir.Site) []scopeKey {
	var out []scopeKey
	if x := s.Stream(); x != nil {
		out = append(out, scopeKey{k.Fleet, x.Listener, k.Host})
	}
	for _, c := range s.Certificates {
		if c.OwnChain {
			out = append(out, scopeKey{k.Fleet, c.Listener, k.Host})
		}
	}
	return out
}

// computeChain makes the chain by itself, so that one that Envoy would refuse is
// withheld and hurts no other. A TCP route to a cluster that is withheld closes
// its connections.
func (t *Translator) computeChain(r *graph.Reader, k scopeKey) (*chain, error) {
	if ofGateway(k.Listener) {
		return t.computeStream(r, k)
	}
	l, err := t.listener(r, listenerKey{k.Fleet, k.Listener})
	if err != nil {
		return nil, err
	}
	s, _ := t.Sites.Get(r, k.site())
	c := chainOf(s, k.Listener)
	if c == nil {
		return nil, fmt.Errorf("host %s needs no chain on listener %s", k.Host, k.Listener)
	}
	out := &chain{}
	if tcp := s.TCP; tcp != nil && tcp.Listener == k.Listener {
		for i := range tcp.Backends {
			byEnvoy, err := t.clusterState(r, resourceKey{k.Fleet, tcp.Backends[i].Upstream.Name()})
			if err == nil && !byEnvoy {
				continue
			}
			if err != nil {
				out.Refused = []refusedRoute{{tcp.Origin, err.Error()}}
			}
			closed := *tcp
			closed.Backends = nil
			c = envoy.TCPChain(&closed)
			break
		}
	}
	part, err := t.admitChain(r, k.Fleet, l, c)
	if err != nil {
		return nil, fmt.Errorf("filter chain of %s: %w", k.Host, err)
	}
	out.Part, out.Held = part.Resource, part.Held
	return out, nil
}

func chainOf(s *httpproxy.Site, listener string) *envoy.Chain {
	if s.TCP != nil && s.TCP.Listener == listener {
		return envoy.TCPChain(s.TCP)
	}
	for i := range s.Certificates {
		if c := &s.Certificates[i]; c.Listener == listener {
			return envoy.HTTPChain(c)
		}
	}
	return nil
}
