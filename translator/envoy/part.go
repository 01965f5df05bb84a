package envoy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/ir"
)

// Types of the parts that a composite resource is made of. A part is a
// Resource of its own: its Name is its identity within the whole, its Body
// stands in the body of the whole as it is, and so its Version tells whether
// two wholes hold the same.
const (
	// ChainType is a filter chain of one host of a listener, named by the host.
	ChainType Type = "type.googleapis.com/envoy.config.listener.v3.FilterChain"
	// DatagramType is what a UDP listener does with its datagrams, named "*".
	DatagramType Type = "type.googleapis.com/envoy.config.listener.v3.ListenerFilter"
	// HostType is a wildcard host of a fallback scope, named by the host, or a
	// route of an exact host's scope, named by the route: a virtual host that
	// holds what Envoy needs for that route, and nothing else.
	HostType Type = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
)

const (
	defaultChain = "default"

	chainsField     = 3 // Listener.filter_chains
	filterListField = 9 // Listener.listener_filters
	configField     = 5 // ScopedRouteConfiguration.route_configuration
	hostsField      = 2 // RouteConfiguration.virtual_hosts
	routesField     = 3 // VirtualHost.routes
)

// NewResource is a resource of a body that was marshalled elsewhere. It checks
// nothing.
func NewResource(t Type, name string, body []byte) *Resource { return newResource(t, name, body) }

// ChainPart is the filter chain of a host as a part of its listener. No chain
// means that the host's connections are closed.
func ChainPart(l *ir.Listener, c *Chain) (*Resource, error) {
	http, err := httpFilter(l.Name, l.TLS)
	if err != nil {
		return nil, in(l.Name, err)
	}
	return chainPart(l, c, http)
}

func chainPart(l *ir.Listener, c *Chain, http *listenerv3.Filter) (*Resource, error) {
	if !l.TLS {
		return nil, refuse(l.Name, "chain of host %q: the listener does not speak TLS", c.host())
	}
	chain, err := c.build(http)
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

const (
	metadataField = 17 // RouteConfiguration.metadata
	filterField   = 1  // Metadata.filter_metadata
)

// FreshScope is a scope that means the same to Envoy and has other bytes for
// every n; the Version stays. Envoy compares a scope with what it holds, and
// holds one that came with a bad one although it never put it to use: the same
// bytes would be no change. The body is not decoded: a second value of a field
// is merged with the first.
func FreshScope(r *Resource, n uint64) *Resource {
	name := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "signet.sent-again/"+strconv.FormatUint(n, 10))
	entry := protowire.AppendBytes(protowire.AppendTag(nil, filterField, protowire.BytesType), append(name, emptyStruct...))
	config := protowire.AppendBytes(protowire.AppendTag(nil, metadataField, protowire.BytesType), entry)
	body := append(make([]byte, 0, len(r.Body)+len(config)+4), r.Body...)
	body = protowire.AppendBytes(protowire.AppendTag(body, configField, protowire.BytesType), config)
	return &Resource{Type: r.Type, Name: r.Name, Version: r.Version, Body: body}
}

// emptyStruct is the value of an entry of a map of messages.
var emptyStruct = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), nil)

// Parts takes a composite resource apart: a listener into the filter chains of
// single hosts, a fallback scope into its wildcard hosts, an exact host's scope
// into its routes. What belongs to no host or route is not among them. Other
// resources have no parts.
func Parts(r *Resource) ([]*Resource, error) {
	switch r.Type {
	case ListenerType:
		return chainsIn(r)
	case ScopeType:
		return scopeParts(r)
	default:
		return nil, nil
	}
}

func chainsIn(r *Resource) ([]*Resource, error) {
	bodies, err := fields(r.Body, chainsField)
	if err != nil {
		return nil, in(r.Name, err)
	}
	var out []*Resource
	for _, body := range bodies {
		name, err := firstField(body, 7) // FilterChain.name
		if err != nil {
			return nil, in(r.Name, err)
		}
		if kind, host, ok := strings.Cut(name, "/"); ok && kind != defaultChain {
			out = append(out, newResource(ChainType, host, body))
		}
	}
	return out, nil
}

func scopeParts(r *Resource) ([]*Resource, error) {
	name, hosts, err := scopeHosts(r)
	if err != nil {
		return nil, in(r.Name, err)
	}
	_, host, _ := strings.Cut(name, "|")
	switch {
	case host == misdirectedHost:
		return nil, nil
	case host != fallbackHost && len(hosts) == 1:
		return routesIn(hosts[0])
	}
	var out []*Resource
	for _, body := range hosts {
		name, err := firstField(body, 1)
		if err != nil {
			return nil, in(r.Name, err)
		}
		if name != notFoundRoute {
			out = append(out, newResource(HostType, name, body))
		}
	}
	return out, nil
}

// scopeHosts returns the name of a scope's route configuration and its hosts.
func scopeHosts(r *Resource) (name string, hosts [][]byte, err error) {
	configs, err := fields(r.Body, configField)
	if err != nil || len(configs) != 1 {
		return "", nil, fmt.Errorf("%d route configurations: %w", len(configs), err)
	}
	if name, err = firstField(configs[0], 1); err != nil {
		return "", nil, err
	}
	hosts, err = fields(configs[0], hostsField)
	return name, hosts, err
}

// ScopeHost tells the listener and the host of a scope, where host is "" for
// the scope of a whole listener.
func ScopeHost(r *Resource) (listener, host string, err error) {
	name, _, err := scopeHosts(r)
	if err != nil {
		return "", "", in(r.Name, err)
	}
	listener, host, _ = strings.Cut(name, "|")
	if host == fallbackHost || host == misdirectedHost {
		host = ""
	}
	return listener, host, nil
}

// routesIn joins neighbours of one name: they are one route of ours.
func routesIn(host []byte) ([]*Resource, error) {
	routes, err := fields(host, routesField)
	if err != nil {
		return nil, err
	}
	var (
		out  []*Resource
		last string
		body []byte
		ids  = partNames{}
	)
	flush := func() {
		if body != nil {
			out = append(out, newResource(HostType, ids.next(last), body))
		}
		body = nil
	}
	for _, r := range routes {
		name, err := firstField(r, 14) // Route.name
		if err != nil {
			return nil, err
		}
		if name != last {
			flush()
		}
		if last = name; name != notFoundRoute {
			body = protowire.AppendBytes(protowire.AppendTag(body, routesField, protowire.BytesType), r)
		}
	}
	flush()
	return out, nil
}

// partNames tells routes of one name apart by their turn.
type partNames map[string]int

func (n partNames) next(name string) string {
	n[name]++
	if n[name] == 1 {
		return name
	}
	return name + "#" + strconv.Itoa(n[name])
}

// fields returns the values of a field of messages or strings.
func fields(body []byte, field protowire.Number) ([][]byte, error) {
	var out [][]byte
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, fmt.Errorf("decoding: %w", protowire.ParseError(n))
		}
		m := protowire.ConsumeFieldValue(number, kind, body[n:])
		if m < 0 {
			return nil, fmt.Errorf("decoding: %w", protowire.ParseError(m))
		}
		if number == field && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(body[n:])
			out = append(out, value)
		}
		body = body[n+m:]
	}
	return out, nil
}

// firstField returns a field of text, "" when it is not there.
func firstField(body []byte, field protowire.Number) (string, error) {
	all, err := fields(body, field)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return string(all[0]), nil
}

// ClustersOf lists the clusters that the routes of a scope, or of a part of
// one, lead to, sorted.
func ClustersOf(r *Resource) ([]string, error) {
	var hosts []*routev3.VirtualHost
	switch r.Type {
	case ScopeType:
		var scope routev3.ScopedRouteConfiguration
		if err := proto.Unmarshal(r.Body, &scope); err != nil {
			return nil, fmt.Errorf("scope %s: %w", r.Name, err)
		}
		hosts = scope.GetRouteConfiguration().GetVirtualHosts()
	case HostType:
		hosts = []*routev3.VirtualHost{{}}
		if err := proto.Unmarshal(r.Body, hosts[0]); err != nil {
			return nil, fmt.Errorf("part %s of a scope: %w", r.Name, err)
		}
	default:
		return nil, nil
	}
	var out []string
	for _, h := range hosts {
		for _, x := range h.GetRoutes() {
			out = append(out, clustersOf(x.GetRoute())...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func clustersOf(a *routev3.RouteAction) []string {
	var out []string
	if c := a.GetCluster(); c != "" {
		out = append(out, c)
	}
	for _, w := range a.GetWeightedClusters().GetClusters() {
		out = append(out, w.GetName())
	}
	for _, m := range a.GetRequestMirrorPolicies() {
		out = append(out, m.GetCluster())
	}
	return out
}
