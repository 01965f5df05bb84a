package listener

import (
	"fmt"
	"net/netip"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Hosting is where a fleet serves Gateways.
type Hosting struct {
	// Only is the one Gateway that the fleet serves; nil serves all.
	Only *ir.Name
	// Address is the IP address to bind for Gateways that name none.
	Address string
	// Offset is added to ports below 1024, which need a privilege to be bound.
	Offset uint32
	// Assigned says that clients reach the Gateway at addresses of a Service:
	// Address is what the pods bind, and whether an address that is asked for
	// can be had is not known here.
	Assigned bool
	// Reserved are ports that the fleet itself binds.
	Reserved []uint32
}

// Facts are what merging reads besides the Gateway.
type Facts interface {
	Fleets
	Namespaces
	// Host returns where a Gateway is served; false when no fleet does.
	Host(gateway ir.Name) (fleet ir.Name, h Hosting, ok bool)
}

// routeKinds are the kinds of routes by protocol.
var routeKinds = map[gatewayv1.ProtocolType][]string{
	gatewayv1.HTTPProtocolType:  {gatewayapi.KindHTTPRoute, gatewayapi.KindGRPCRoute},
	gatewayv1.HTTPSProtocolType: {gatewayapi.KindHTTPRoute, gatewayapi.KindGRPCRoute},
	gatewayv1.TLSProtocolType:   {gatewayapi.KindTLSRoute},
	gatewayv1.TCPProtocolType:   {gatewayapi.KindTCPRoute},
	gatewayv1.UDPProtocolType:   {gatewayapi.KindUDPRoute},
}

// Merge reads a Gateway and the ListenerSets that name it.
func Merge(f Facts, c Class, g *gatewayv1.Gateway, sets []*gatewayv1.ListenerSet) *Gateway {
	out := &Gateway{Name: gatewayapi.NameOf(g), Generation: g.Generation, Ours: c.Ours}
	if !c.Ours {
		return &Gateway{Name: out.Name}
	}
	out.Created = g.CreationTimestamp.Time
	out.Fault = c.Fault
	out.place(f)
	if i := g.Spec.Infrastructure; i != nil && i.ParametersRef != nil && out.Fault == nil {
		p := i.ParametersRef
		out.Fault = parameters(f, string(p.Group), string(p.Kind), ir.Name{Namespace: g.Namespace, Name: p.Name})
	}
	out.addresses(g.Spec.Addresses)
	own := ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: out.Name}
	for i := range g.Spec.Listeners {
		out.Sections = append(out.Sections, section(own, &g.Spec.Listeners[i]))
	}
	out.addSets(f, g, sets)
	out.nameSections()
	out.conflicts()
	if some, _ := out.accepted(nil); !some && out.Fault == nil && len(out.Sets) == 0 {
		out.Fault = unaccepted()
	}
	return out
}

func (g *Gateway) place(f Facts) {
	fleet, h, ok := f.Host(g.Name)
	if !ok {
		if g.Fault == nil {
			g.Fault = &gatewayapi.Fault{Reason: reason.Pending, Message: "no fleet serves the Gateway yet"}
		}
		return
	}
	g.Fleet, g.Address, g.Offset, g.Assigned, g.Reserved = fleet, h.Address, h.Offset, h.Assigned, h.Reserved
}

// addresses takes the address that is asked for: it binds one. A fleet on a
// machine of its user binds loopback addresses beside its own.
func (g *Gateway) addresses(asked []gatewayv1.GatewaySpecAddress) {
	hosting, _ := netip.ParseAddr(g.Address)
	taken := false
	for _, a := range asked {
		kind := gatewayapi.Or(a.Type, gatewayv1.IPAddressType)
		if kind != gatewayv1.IPAddressType {
			if g.Fault == nil {
				g.Fault = &gatewayapi.Fault{Reason: reason.UnsupportedAddress,
					Message: fmt.Sprintf("spec.addresses: type %q is not supported: use %s", kind, gatewayv1.IPAddressType)}
			}
			continue
		}
		if a.Value == "" || g.Assigned {
			continue // any will do, or it is for the Service to say
		}
		addr, err := netip.ParseAddr(a.Value)
		if err != nil || (addr != hosting && !addr.IsLoopback()) {
			g.Unusable = &gatewayapi.Fault{Reason: reason.AddressNotUsable,
				Message: fmt.Sprintf("spec.addresses: %q cannot be bound: only loopback addresses and %s can", a.Value, g.Address)}
			continue
		}
		if taken && g.Address != addr.String() {
			g.Unusable = &gatewayapi.Fault{Reason: reason.AddressNotUsable, Message: fmt.Sprintf(
				"spec.addresses: %q cannot be bound beside %s: a Gateway has one address here; give %q a Gateway of its own",
				a.Value, g.Address, a.Value)}
			continue
		}
		taken, g.Address = true, addr.String()
	}
}

// section reads one listener.
func section(parent ir.ObjectRef, l *gatewayv1.Listener) Section {
	s := Section{
		Parent: parent, Name: string(l.Name), Protocol: l.Protocol, Port: l.Port,
		Host: gatewayapi.AnyHost, From: gatewayv1.NamespacesFromSame,
	}
	kinds, ok := routeKinds[l.Protocol]
	if !ok {
		s.Fault = &gatewayapi.Fault{Reason: reason.UnsupportedProtocol,
			Message: fmt.Sprintf("protocol %q is not supported", l.Protocol)}
	}
	if s.HTTP() || s.TLS() {
		s.Host = gatewayapi.Host(l.Hostname)
	}
	if l.TLS != nil && s.TLS() {
		s.Passthrough = gatewayapi.Or(l.TLS.Mode, gatewayv1.TLSModeTerminate) == gatewayv1.TLSModePassthrough
	}
	switch {
	case s.Fault != nil:
	case l.Filters != nil:
		s.Fault = &gatewayapi.Fault{Reason: reason.UnsupportedValue, Message: "filters of a listener are not supported"}
	case s.Passthrough && s.HTTP():
		s.Fault = &gatewayapi.Fault{Reason: reason.UnsupportedValue, Message: "tls.mode of an HTTPS listener must be Terminate"}
	}
	s.Kinds = slices.Clone(kinds)
	if a := l.AllowedRoutes; a != nil {
		s.allow(a, kinds)
	}
	return s
}

func (s *Section) allow(a *gatewayv1.AllowedRoutes, supported []string) {
	if n := a.Namespaces; n != nil {
		s.From, s.Selector = gatewayapi.Or(n.From, gatewayv1.NamespacesFromSame), n.Selector
	}
	if len(a.Kinds) == 0 {
		return
	}
	s.Kinds = nil
	for _, k := range a.Kinds {
		group := gatewayapi.Or(k.Group, gatewayv1.GroupName)
		switch {
		case group != gatewayv1.GroupName || !slices.Contains(supported, string(k.Kind)):
			s.KindsFault = &gatewayapi.Fault{Reason: reason.InvalidRouteKinds, Message: fmt.Sprintf(
				"allowedRoutes.kinds: kind %q of group %q cannot attach to a listener of protocol %s", k.Kind, group, s.Protocol)}
		case !slices.Contains(s.Kinds, string(k.Kind)):
			s.Kinds = append(s.Kinds, string(k.Kind))
		}
	}
}

// addSets adds the listeners of the ListenerSets that the Gateway allows.
func (g *Gateway) addSets(f Facts, in *gatewayv1.Gateway, sets []*gatewayv1.ListenerSet) {
	from, selector := gatewayv1.NamespacesFromNone, (*gatewayv1.ListenerNamespaces)(nil)
	if a := in.Spec.AllowedListeners; a != nil && a.Namespaces != nil {
		selector = a.Namespaces
		from = gatewayapi.Or(selector.From, gatewayv1.NamespacesFromNone)
	}
	sets = slices.Clone(sets)
	slices.SortFunc(sets, func(a, b *gatewayv1.ListenerSet) int {
		return gatewayapi.Older(a.CreationTimestamp.Time, gatewayapi.NameOf(a), b.CreationTimestamp.Time, gatewayapi.NameOf(b))
	})
	for _, s := range sets {
		set := Set{Name: gatewayapi.NameOf(s), Generation: s.Generation}
		set.Allowed = from != gatewayv1.NamespacesFromNone && admits(f, from, selector.Selector, g.Name.Namespace, s.Namespace)
		g.Sets = append(g.Sets, set)
		if !set.Allowed {
			continue
		}
		parent := ir.ObjectRef{Kind: gatewayapi.KindListenerSet, Name: set.Name}
		for i := range s.Spec.Listeners {
			l := gatewayv1.Listener(s.Spec.Listeners[i])
			g.Sections = append(g.Sections, section(parent, &l))
		}
	}
}
