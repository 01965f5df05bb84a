package envoy

import (
	"fmt"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/ir"
)

// ChainPart is the filter chain of a host as a part of its listener. No chain
// means that the host's connections are closed.
func ChainPart(l *ir.Listener, c *Chain) (*Resource, error) {
	http, err := httpFilter(l)
	if err != nil {
		return nil, in(l.Name, err)
	}
	return chainPart(l, c, http)
}

func chainPart(l *ir.Listener, c *Chain, http *listenerv3.Filter) (*Resource, error) {
	if !l.TLS {
		return nil, refuse(l.Name, "chain of host %q: the listener does not speak TLS", c.host())
	}
	chain, err := c.build(http, l.AccessLog)
	if err != nil {
		return nil, in(l.Name, in("chain of host "+c.host(), err))
	}
	part, err := seal(ChainType, c.host(), chain)
	return part, in(l.Name, err)
}

// ClosedChain closes the connections of a host, so that no wider chain takes
// them.
func ClosedChain(host string) (*Resource, error) {
	if err := checkHost(host); err != nil {
		return nil, err
	}
	return seal(ChainType, host, &listenerv3.FilterChain{
		Name: "closed/" + host, FilterChainMatch: bySNI(host), Filters: []*listenerv3.Filter{closeConnection},
	})
}

// ComposeListener is the LDS resource of a listener with the filter chains of
// single hosts, whatever their order; of a UDP listener with its DatagramPart.
func ComposeListener(l *ir.Listener, chains []*Resource) (*Resource, error) {
	base, shared, err := listenerBase(l)
	if err != nil {
		return nil, err
	}
	if l.UDP {
		return composeUDP(base, l, chains)
	}
	own := slices.SortedFunc(slices.Values(chains), func(a, b *Resource) int { return strings.Compare(a.Name, b.Name) })
	for i := range own {
		switch {
		case !l.TLS && l.Chains == nil:
			return nil, refuse(l.Name, "chain of host %q: the listener does not speak TLS", own[i].Name)
		case i > 0 && own[i].Name == own[i-1].Name:
			return nil, refuse(l.Name, "chain of host %s: the host has two chains", own[i].Name)
		}
	}
	if shared != nil && !slices.ContainsFunc(own, func(c *Resource) bool { return c.Name == "*" }) {
		part, err := seal(ChainType, defaultChain, shared)
		if err != nil {
			return nil, in(l.Name, in("default chain", err))
		}
		own = append(own, part)
	}
	if err := base.ValidateAll(); err != nil {
		return nil, in(l.Name, err)
	}
	body, err := withParts(base, chainsField, own)
	if err != nil {
		return nil, in(l.Name, err)
	}
	return newResource(ListenerType, l.Name, body), nil
}

// HostPart is a wildcard host as a part of its listener's fallback scope.
func HostPart(vh *ir.VirtualHost) (*Resource, error) {
	name := FallbackScopeName(vh.Listener)
	if !strings.HasPrefix(vh.Host, "*") {
		return nil, refuse(name, "host %q is exact and has a scope of its own", vh.Host)
	}
	if err := checkHost(vh.Host); err != nil {
		return nil, in(name, err)
	}
	host, _, err := virtualHost(vh, []string{vh.Host})
	if err != nil {
		return nil, in(name, err)
	}
	part, err := seal(HostType, vh.Host, host)
	if err != nil {
		if culprit := refusedRoute([]*routev3.VirtualHost{host}); culprit != nil {
			err = culprit
		}
		return nil, in(name, err)
	}
	return part, nil
}

// ComposeFallback is the fallback scope of a listener with its wildcard hosts,
// in the order given.
func ComposeFallback(listener string, hosts []*Resource) (*Resource, error) {
	name := FallbackScopeName(listener)
	all := make([]*Resource, 0, len(hosts)+1)
	seen := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		if seen[h.Name] {
			return nil, refuse(name, "host %q is there twice", h.Name)
		}
		seen[h.Name] = true
		all = append(all, h)
	}
	if !seen["*"] {
		none, err := seal(HostType, notFoundRoute, &routev3.VirtualHost{
			Name: notFoundRoute, Domains: anyDomain, Routes: []*routev3.Route{notFound},
		})
		if err != nil {
			return nil, in(name, err)
		}
		all = append(all, none)
	}
	return composeScope(listener, name, name, all)
}

// RouteParts are the routes of an exact host as parts of its scope, in order.
// Neighbours of one name are one part; first are the indexes of the first route
// of each.
func RouteParts(vh *ir.VirtualHost) (parts []*Resource, first []int, err error) {
	at := ScopeName(vh.Listener, vh.Host)
	ids := partNames{}
	for i := 0; i < len(vh.Routes); {
		name, group := vh.Routes[i].Name, []*routev3.Route(nil)
		first = append(first, i)
		for ; i < len(vh.Routes) && vh.Routes[i].Name == name; i++ {
			if group, err = appendRoutes(group, &vh.Routes[i]); err != nil {
				return nil, nil, in(at, in("route \""+name+"\"", err))
			}
		}
		whole := &routev3.VirtualHost{Routes: group}
		if err := refusedRoute([]*routev3.VirtualHost{whole}); err != nil {
			return nil, nil, in(at, err)
		}
		body, err := deterministic.Marshal(whole)
		if err != nil {
			return nil, nil, in(at, err)
		}
		parts = append(parts, newResource(HostType, ids.next(name), body))
	}
	return parts, first, nil
}

// ComposeScope is the scope of an exact host with the given routes in place of
// its own. With the host's own RouteParts it equals Scope.
func ComposeScope(vh *ir.VirtualHost, routes []*Resource) (*Resource, error) {
	name := ScopeName(vh.Listener, vh.Host)
	if err := checkHost(vh.Host); err != nil || isWildcard(vh.Host) {
		return nil, refuse(name, "%q is no exact host", vh.Host)
	}
	body, err := deterministic.Marshal(&routev3.VirtualHost{Name: vh.Host, Domains: anyDomain})
	if err != nil {
		return nil, in(name, err)
	}
	for _, r := range routes {
		body = append(body, r.Body...)
	}
	if !vh.FallThrough {
		last, err := deterministic.Marshal(&routev3.VirtualHost{Routes: []*routev3.Route{notFound}})
		if err != nil {
			return nil, in(name, err)
		}
		body = append(body, last...)
	}
	key := name
	if vh.TLS {
		key = ScopeName(name, vh.Host)
	}
	return composeScope(vh.Listener, name, key, []*Resource{newResource(HostType, vh.Host, body)})
}

func isWildcard(host string) bool { return strings.HasPrefix(host, "*") }

func composeScope(listener, name, key string, hosts []*Resource) (*Resource, error) {
	if err := checkListener(listener); err != nil {
		return nil, in(name, err)
	}
	limit := 0
	for _, h := range hosts {
		n, err := bodyLimit(h)
		if err != nil {
			return nil, in(name, err)
		}
		limit = max(limit, n)
	}
	config := routeConfiguration(name, limit)
	inner, err := withParts(config, hostsField, hosts)
	if err != nil {
		return nil, in(name, err)
	}
	id := scopeID(name)
	outer := scoped(id, key)
	if err := outer.ValidateAll(); err != nil {
		return nil, in(name, err)
	}
	body, err := deterministic.Marshal(outer)
	if err != nil {
		return nil, in(name, err)
	}
	body = protowire.AppendTag(body, configField, protowire.BytesType)
	return newResource(ScopeType, id, protowire.AppendBytes(body, inner)), nil
}

// bodyLimit is the size of the largest direct response of a virtual host that
// has one above Envoy's default limit.
func bodyLimit(host *Resource) (int, error) {
	if len(host.Body) <= defaultBodyLimit {
		return 0, nil
	}
	var vh routev3.VirtualHost
	if err := proto.Unmarshal(host.Body, &vh); err != nil {
		return 0, fmt.Errorf("host %q: %w", host.Name, err)
	}
	limit := 0
	for _, r := range vh.GetRoutes() {
		limit = max(limit, len(r.GetDirectResponse().GetBody().GetInlineString()))
	}
	return limit, nil
}

// withParts marshals a message with parts in a repeated field, where
// marshalling the whole would put them: the fields are in the order of their
// numbers.
func withParts(m proto.Message, field protowire.Number, parts []*Resource) ([]byte, error) {
	rest, err := deterministic.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	size := len(rest)
	for _, p := range parts {
		size += len(p.Body) + 8
	}
	out := make([]byte, 0, size)
	head := 0
	for head < len(rest) {
		number, kind, n := protowire.ConsumeTag(rest[head:])
		if n < 0 || number > field {
			break
		}
		n += protowire.ConsumeFieldValue(number, kind, rest[head+n:])
		out = append(out, rest[head:head+n]...)
		head += n
	}
	for _, p := range parts {
		out = protowire.AppendTag(out, field, protowire.BytesType)
		out = protowire.AppendBytes(out, p.Body)
	}
	return append(out, rest[head:]...), nil
}
