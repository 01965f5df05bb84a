package envoy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
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

// Narrower lists the parts of a composite, in its order, that take requests
// which without them would come to the part of that name: routes before it, and
// hosts below a wildcard. It lists none for a part that is not there.
func Narrower(parts []*Resource, name string) []string {
	at := slices.IndexFunc(parts, func(p *Resource) bool { return p.Name == name })
	if at < 0 {
		return nil
	}
	var out []string
	suffix, wild := strings.CutPrefix(name, "*")
	for i, p := range parts {
		below := wild && strings.HasSuffix(p.Name, suffix)
		before := !wild && parts[at].Type == HostType && i < at
		if i != at && (below || before) {
			out = append(out, p.Name)
		}
	}
	return out
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
	var out []string
	err := eachRoute(r, func(x *routev3.Route) error {
		out = append(out, clustersOf(x.GetRoute())...)
		asked, err := authCluster(x)
		if asked != "" {
			out = append(out, asked)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Guarded lists the routes of a scope, or of a part of one, that ask an
// authorization server, by name.
func Guarded(r *Resource) ([]string, error) {
	var out []string
	err := eachRoute(r, func(x *routev3.Route) error {
		if x.GetTypedPerFilterConfig()[authFilter] != nil {
			out = append(out, x.GetName())
		}
		return nil
	})
	return out, err
}

// eachRoute calls to for the routes of a scope, or of a part of one, until it
// returns an error.
func eachRoute(r *Resource, to func(*routev3.Route) error) error {
	var hosts []*routev3.VirtualHost
	switch r.Type {
	case ScopeType:
		var scope routev3.ScopedRouteConfiguration
		if err := proto.Unmarshal(r.Body, &scope); err != nil {
			return fmt.Errorf("scope %s: %w", r.Name, err)
		}
		hosts = scope.GetRouteConfiguration().GetVirtualHosts()
	case HostType:
		hosts = []*routev3.VirtualHost{{}}
		if err := proto.Unmarshal(r.Body, hosts[0]); err != nil {
			return fmt.Errorf("part %s of a scope: %w", r.Name, err)
		}
	default:
		return nil
	}
	for _, h := range hosts {
		for _, x := range h.GetRoutes() {
			if err := to(x); err != nil {
				return in(r.Name, err)
			}
		}
	}
	return nil
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
