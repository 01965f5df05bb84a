package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// probeKey begins the key of a probe's scope. No listener's name has a '|', so
// no request has such a key.
const probeKey = "|probe|"

// Probe is a resource with some of the parts of a listener or a scope, which
// Envoy judges as it judges the whole, and which serves nobody: a listener that
// is bound to no port, a scope with a key that no request has. Its name follows
// from the name of the whole.
func Probe(whole *Resource, parts []*Resource) (*Resource, error) {
	var (
		out *Resource
		err error
	)
	switch whole.Type {
	case ListenerType:
		out, err = probeListener(whole, parts)
	case ScopeType:
		out, err = probeScope(whole, parts)
	default:
		err = refuse(whole.Name, "a resource of type %s has no parts", whole.Type)
	}
	if err != nil {
		return nil, in("probe of "+whole.Name, err)
	}
	out.Probe = true
	return out, nil
}

func probeName(whole string) string { return scopeID(probeKey + whole) }

func probeListener(whole *Resource, parts []*Resource) (*Resource, error) {
	var l listenerv3.Listener
	if err := proto.Unmarshal(whole.Body, &l); err != nil {
		return nil, fmt.Errorf("listener: %w", err)
	}
	l.Name = probeName(whole.Name)
	l.FilterChains, l.DefaultFilterChain = nil, nil
	l.BindToPort = wrapperspb.Bool(false)
	// A listener finds the others by its address: with the real one's, the probe
	// would take its place.
	l.GetAddress().GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: 0}
	body, err := withParts(&l, chainsField, parts)
	if err != nil {
		return nil, err
	}
	return newResource(ListenerType, l.GetName(), body), nil
}

func probeScope(whole *Resource, parts []*Resource) (*Resource, error) {
	var s routev3.ScopedRouteConfiguration
	if err := proto.Unmarshal(whole.Body, &s); err != nil {
		return nil, fmt.Errorf("scope: %w", err)
	}
	config := s.GetRouteConfiguration()
	hosts, err := probeHosts(whole, config.GetVirtualHosts(), parts)
	if err != nil {
		return nil, err
	}
	config.Name, config.VirtualHosts = probeKey+whole.Name, nil
	inner, err := withParts(config, hostsField, hosts)
	if err != nil {
		return nil, err
	}
	name := probeName(whole.Name)
	body, err := deterministic.Marshal(scoped(name, probeKey+whole.Name))
	if err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	body = protowire.AppendTag(body, configField, protowire.BytesType)
	return newResource(ScopeType, name, protowire.AppendBytes(body, inner)), nil
}

// probeHosts are the parts of a fallback scope as they are, and the parts of an
// exact host's scope, which are routes, within their host.
func probeHosts(whole *Resource, hosts []*routev3.VirtualHost, parts []*Resource) ([]*Resource, error) {
	_, host, err := ScopeHost(whole)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return parts, nil
	}
	if len(hosts) != 1 {
		return nil, fmt.Errorf("the scope of host %q has %d hosts", host, len(hosts))
	}
	hosts[0].Routes = nil
	body, err := deterministic.Marshal(hosts[0])
	if err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	for _, p := range parts {
		body = append(body, p.Body...)
	}
	return []*Resource{newResource(HostType, hosts[0].GetName(), body)}, nil
}
