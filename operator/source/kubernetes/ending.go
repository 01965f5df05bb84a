package kubernetes

import (
	"slices"
	"strconv"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
)

// The watch of a kind is in order, and its end of an object must not overtake what
// came before it and is held: what replaces a policy or a route waits for its CA or
// at a fence while the old one goes, and requests would be sent in cleartext, or
// answered 404. So the end of an object waits for those of its kind that waited when
// it came, and have a Service or a parent in common with it; so does a policy that
// drops a Service, for other policies of that.
//
// Such a wait is a fence too, a gate: nothing is listed for it, and it ends when all
// are delivered or gone. Waits for one another are not begun. What an object uses
// waits likewise, as using.go says.

// gateFence stands for those that waited somewhere at a time.
var gateFence = policyKind.GroupVersion().WithKind("Gate")

// places are where an object has others of its kind beside it: Services and parents.
func (c *contents) places(key source.Key, o client.Object) []source.Key {
	var out []source.Key
	add := func(namespace, name string) {
		if at := (source.Key{GroupVersionKind: key.GroupVersionKind, Namespace: namespace, Name: name}); !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	for _, uses := range [][]source.Key{c.source.options.Uses(o), c.source.options.Backends(o)} {
		for _, s := range uses {
			add(s.Namespace, s.Name)
		}
	}
	if p, ok := o.(*gatewayv1.BackendTLSPolicy); ok {
		for _, t := range policy.Targets(p) {
			add(t.Service.Namespace, t.Service.Name)
		}
	}
	if key.GroupVersionKind == proxyKind {
		out = append(out, itself(key))
	}
	for _, p := range parents(o) {
		add(string(gatewayapi.Or(p.Namespace, gatewayv1.Namespace(key.Namespace))), "of "+string(p.Name))
	}
	return out
}

// parents are what an object gets its requests from, or is part of.
func parents(o client.Object) []gatewayv1.ParentReference {
	everywhere := func(name string) []gatewayv1.ParentReference {
		return []gatewayv1.ParentReference{{Namespace: new(gatewayv1.Namespace("")), Name: gatewayv1.ObjectName(name)}}
	}
	switch o := o.(type) {
	case *gatewayv1.HTTPRoute:
		return o.Spec.ParentRefs
	case *gatewayv1.GRPCRoute:
		return o.Spec.ParentRefs
	case *gatewayv1.TLSRoute:
		return o.Spec.ParentRefs
	case *gatewayv1.TCPRoute:
		return o.Spec.ParentRefs
	case *gatewayv1.UDPRoute:
		return o.Spec.ParentRefs
	case *gatewayv1.ListenerSet:
		return []gatewayv1.ParentReference{{Namespace: o.Spec.ParentRef.Namespace, Name: o.Spec.ParentRef.Name}}
	case *gatewayv1.Gateway:
		return everywhere(string(o.Spec.GatewayClassName))
	case *gatewayv1.ReferenceGrant:
		return make([]gatewayv1.ParentReference, 1) // its namespace
	case *contourv1.HTTPProxy:
		if o.Spec.VirtualHost != nil {
			return everywhere(o.Spec.VirtualHost.Fqdn)
		}
	}
	return nil
}

// dropped are the places of a policy of which another version says less; all of them
// for its end.
func (c *contents) dropped(key source.Key, was, is client.Object) []source.Key {
	old, ok := was.(*gatewayv1.BackendTLSPolicy)
	next, stays := is.(*gatewayv1.BackendTLSPolicy)
	if !ok || !stays {
		return c.places(key, was)
	}
	var out []source.Key
	targets := policy.Targets(next)
	for _, t := range policy.Targets(old) {
		at := source.Key{GroupVersionKind: key.GroupVersionKind, Namespace: t.Service.Namespace, Name: t.Service.Name}
		if !slices.Contains(targets, t) && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// ends returns the fences that the end of an object must wait for, by cause, or a
// version of a policy that drops a Service: an end has none. It goes on to wait for
// the same for a cause for which it waits already.
func (c *contents) ends(h *holder, key source.Key, is client.Object) map[source.Key]source.Key {
	was := c.fences.delivered[key].object
	if was == nil || !c.complete {
		return nil
	}
	out := map[source.Key]source.Key{}
	for _, why := range c.dropped(key, was, is) {
		if h != nil && h.fences[why].Kind != "" {
			out[why] = h.fences[why]
		} else if g, ok := c.gate(why, key, is == nil); ok {
			out[why] = g
		}
		if key.GroupVersionKind != policyKind {
			continue
		}
		service := cause(serviceKind, why)
		why := cause(endFence, service)
		if h != nil && h.fences[why].Kind != "" {
			out[why] = h.fences[why]
		} else if f, ok := c.closing(key, service); ok {
			out[why] = f
		}
	}
	return out
}

// gate returns a fence that waits for those who wait at a place. Ends share it until
// another comes there: for what ends nobody waits, but for one that is included.
func (c *contents) gate(at, key source.Key, ends bool) (source.Key, bool) {
	if g, ok := c.fences.gates[at]; ok && ends && c.fences.open[g] != nil {
		return g, true
	}
	awaited := !ends || at == itself(key)
	missing := map[source.Key]string{}
	for other := range c.fences.placed[at] {
		if other != key && (!awaited || !c.reaches(other, key, map[source.Key]bool{})) {
			missing[other] = "" // any that is delivered from now on will do
		}
	}
	if len(missing) == 0 {
		return source.Key{}, false
	}
	c.fences.last++
	kind := gateFence
	if isUsed(at) {
		kind = useFence
	}
	g := source.Key{GroupVersionKind: kind, Namespace: at.Namespace, Name: at.Name + "/" + strconv.Itoa(c.fences.last)}
	x := &content{cancel: func() {}}
	c.known[g] = x
	c.fences.miss(g, x, missing)
	if ends {
		c.fences.gates[at] = g
	}
	return g, true
}

// reaches says that an object waits for another, be it through others.
func (c *contents) reaches(from, to source.Key, seen map[source.Key]bool) bool {
	h := c.holders[from]
	if from == to || h == nil || seen[from] {
		return from == to
	}
	seen[from] = true
	for _, f := range h.fences {
		for next := range c.known[f].missing {
			if c.reaches(next, to, seen) {
				return true
			}
		}
	}
	return false
}

// depart takes the end of an object. What was delivered of it serves on while the
// end waits.
func (c *contents) depart(key source.Key) {
	h, held := c.holders[key]
	fences := c.ends(h, key, nil)
	if len(fences) == 0 {
		c.gone(key)
		return
	}
	if !held {
		h = &holder{}
		c.holders[key] = h
	}
	c.hold(key, h, nil, nil, fences)
	// Nobody waits for a version of it any more, nor does without one on account of it.
	if key.GroupVersionKind == policyKind || key.GroupVersionKind == sliceKind {
		c.uncount(key)
	}
	c.unfence(key, true)
}

// gone delivers the end of an object.
func (c *contents) gone(key source.Key) {
	c.out[key] = nil
	if h, ok := c.holders[key]; ok {
		delete(c.holders, key)
		c.release(c.suspend(key, h))
		c.release(h.delivered)
	}
	c.left(key)
}
