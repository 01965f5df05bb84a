package translator

import (
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/route"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// computeGatewaySite makes the site of a host of a scope, or of a server name
// of a listener that forwards connections as they are.
func (t *Translator) computeGatewaySite(r *graph.Reader, k hostKey) (*httpproxy.Site, error) {
	at := listenerKey{k.Fleet, k.Listener}
	n, ok := t.scopesOf.First(r, at)
	if !ok {
		n, _ = t.portsOf.First(r, at)
	}
	gw, ok := t.placed.Get(r, n)
	if !ok {
		return nil, unusable("Gateway "+n.String(), t.placed.Failure(r, n))
	}
	if s := gw.Stream(k.Listener, k.Host); s != nil {
		return t.computeStreamSite(r, k, gw, s)
	}
	if !t.liveScopes.Has(r, at) {
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
	docs := t.documentsAt(r, k, route.Patterns(s, k.Host))
	return &httpproxy.Site{Site: *route.Compose(gw, s, k.Host, fleet, docs)}, nil
}

// documentsAt are the routes that claim one of some hosts where k is.
func (t *Translator) documentsAt(r *graph.Reader, k hostKey, hosts []string) []*route.Document {
	var docs []*route.Document
	seen := map[ir.ObjectRef]bool{}
	for _, host := range hosts {
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
	return docs
}

// computeStreamSite reads the routes that claim this very server name: the
// chains of others are beside it, and Envoy takes the one that fits best.
func (t *Translator) computeStreamSite(r *graph.Reader, k hostKey, gw *listener.Gateway, s *listener.Section) (*httpproxy.Site, error) {
	refs, ok := t.links.Get(r, gw.Name)
	if !ok {
		return nil, unusable("Gateway "+gw.Name.String(), t.links.Failure(r, gw.Name))
	}
	fleet, ok := t.backings.Get(r, gw.Name)
	if !ok {
		return nil, unusable("fleet of Gateway "+gw.Name.String(), t.backings.Failure(r, gw.Name))
	}
	docs := t.documentsAt(r, k, []string{k.Host})
	return &httpproxy.Site{Site: *route.ComposeStream(gw, s, refs.Of(gw, s), k.Host, fleet, docs)}, nil
}

// computeStream makes the part of a Gateway's listener that forwards what comes
// for one server name. Where a cluster of its backends is withheld connections
// are closed.
func (t *Translator) computeStream(r *graph.Reader, k scopeKey) (*chain, error) {
	s, _ := t.Sites.Get(r, k.site())
	x := s.Stream()
	out := &chain{}
	for i := range x.Backends {
		byEnvoy, err := t.clusterState(r, resourceKey{k.Fleet, x.Backends[i].Upstream.Name()})
		if err == nil && !byEnvoy {
			continue
		}
		if err != nil {
			out.Refused = []refusedRoute{{x.Origin, err.Error()}}
		}
		x = withoutBackends(x)
		break
	}
	log, err := t.accessLog(r, k.Fleet)
	if err != nil {
		return nil, err
	}
	write := func(x *ir.TCPRoute) (*envoy.Resource, error) {
		if s.UDP != nil {
			return envoy.DatagramPart(x, log)
		}
		return envoy.StreamPart(x, log)
	}
	part, err := write(x)
	if err != nil {
		// Nothing of it can be written: its connections are closed.
		out.Refused = append(out.Refused, refusedRoute{x.Origin, err.Error()})
		if part, err = write(withoutBackends(x)); err != nil {
			return nil, err
		}
	}
	stands := func(host string) bool { return t.isServed(r, scopeKey{k.Fleet, k.Listener, host}.site()) }
	admitted, err := t.admitPart(r, listenerRefusal(listenerKey{k.Fleet, k.Listener}), part, stands,
		func() (*envoy.Resource, error) { return write(withoutBackends(x)) })
	if err != nil {
		return nil, err
	}
	out.Part, out.Held = admitted.Resource, admitted.Held
	return out, nil
}

func withoutBackends(x *ir.TCPRoute) *ir.TCPRoute {
	out := *x
	out.Backends, out.Refused, out.Termination = nil, 0, nil
	return &out
}
