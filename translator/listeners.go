package translator

import (
	"fmt"
	"slices"

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
	return &f.Fleet.Listeners[i], nil
}

// declareListeners gives a host a filter chain of its own only where it needs
// one: TCP, and TLS settings that differ from the listener's.
func (t *Translator) declareListeners() {
	g := t.Graph
	own := graph.NewIndex(t.Sites, "hosts that need a chain",
		func(k hostKey, s *httpproxy.Site) []scopeKey { return chainHosts(k, &s.Site) })
	t.chains = graph.NewUnit(g, graph.UnitSpec[scopeKey, *envoy.Chain]{
		Name: "filter chain", Live: []graph.Liveness[scopeKey]{own}, Compute: t.computeChain,
	})
	t.chainsOf = graph.NewIndex(t.chains, "chains by listener", func(k scopeKey, c *envoy.Chain) []listenerKey {
		if c == nil {
			return nil
		}
		return []listenerKey{{k.Fleet, k.Listener}}
	})
	all := graph.NewIndex(t.fleetStates, "listeners to serve", listenersWhere(func(*ir.Listener) bool { return true }))
	t.listeners = graph.NewUnit(g, graph.UnitSpec[listenerKey, *envoy.Resource]{
		Name: "listener", Live: []graph.Liveness[listenerKey]{all}, Equal: sameResource,
		Compute: func(r *graph.Reader, k listenerKey) (*envoy.Resource, error) {
			l, err := t.listener(r, k)
			if err != nil {
				return nil, err
			}
			var chains []envoy.Chain
			for _, key := range t.chainsOf.Keys(r, k) {
				if c, ok := t.chains.Get(r, key); ok {
					chains = append(chains, *c)
				}
			}
			return envoy.Listener(l, chains)
		},
	})
}

func chainHosts(k hostKey, s *ir.Site) []scopeKey {
	var out []scopeKey
	if s.TCP != nil {
		out = append(out, scopeKey{k.Fleet, s.TCP.Listener, k.Host})
	}
	for _, c := range s.Certificates {
		if c.OwnChain {
			out = append(out, scopeKey{k.Fleet, c.Listener, k.Host})
		}
	}
	return out
}

// computeChain tries the chain in a listener that holds it alone, so that one
// that Envoy would refuse is withheld and hurts no other.
func (t *Translator) computeChain(r *graph.Reader, k scopeKey) (*envoy.Chain, error) {
	l, err := t.listener(r, listenerKey{k.Fleet, k.Listener})
	if err != nil {
		return nil, err
	}
	s, _ := t.Sites.Get(r, k.site())
	c := chain(s, k.Listener)
	if c == nil {
		return nil, fmt.Errorf("host %s needs no chain on listener %s", k.Host, k.Listener)
	}
	if _, err := envoy.Listener(l, []envoy.Chain{*c}); err != nil {
		return nil, fmt.Errorf("filter chain of %s: %w", k.Host, err)
	}
	return c, nil
}

func chain(s *httpproxy.Site, listener string) *envoy.Chain {
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
