package route

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Gateways gives what a route may attach to.
type Gateways interface {
	listener.Namespaces
	// Gateway returns a Gateway, nil when there is none.
	Gateway(name ir.Name) *listener.Gateway
	// GatewayOf returns the Gateway that a ListenerSet adds to; false when
	// there is no such ListenerSet.
	GatewayOf(set ir.Name) (ir.Name, bool)
}

// SectionKey names a listener by the object that it is written in.
type SectionKey struct {
	Parent ir.ObjectRef
	Name   string
}

// AppendKey implements the key encoding of translator/graph.
func (k SectionKey) AppendKey(b []byte) []byte {
	b = k.Parent.AppendKey(b)
	b = append(b, 0)
	return append(b, k.Name...)
}

// Claim is one host of one scope that a route serves.
type Claim struct {
	Fleet       ir.Name
	Scope, Host string
}

// Parent is what became of one parentRef that names a Gateway of ours.
type Parent struct {
	Ref     gatewayv1.ParentReference
	Gateway ir.Name
	// Ruled says that policies count for what is forwarded from there: it is not
	// when TLS is passed through, nor are datagrams.
	Ruled bool
	// Fault is why the route is not accepted there, nil when it is.
	Fault *gatewayapi.Fault
}

// Attachment is where a route is attached. It is immutable;
// reflect.DeepEqual tells whether two are the same.
type Attachment struct {
	Parents  []Parent
	Sections []SectionKey
	Claims   []Claim
}

// Gateways are those that accept the route.
func (a *Attachment) Gateways() []ir.Name {
	var out []ir.Name
	for i := range a.Parents {
		if p := &a.Parents[i]; p.Fault == nil && !slices.Contains(out, p.Gateway) {
			out = append(out, p.Gateway)
		}
	}
	return out
}

// Ruled are those that accept the route, and where policies count.
func (a *Attachment) Ruled() []ir.Name {
	var out []ir.Name
	for i := range a.Parents {
		if p := &a.Parents[i]; p.Fault == nil && p.Ruled && !slices.Contains(out, p.Gateway) {
			out = append(out, p.Gateway)
		}
	}
	return out
}

// Attach settles where a route is attached.
func Attach(g Gateways, r *Route) *Attachment {
	a := attacher{gateways: g, route: r, out: &Attachment{}}
	for i := range r.Parents {
		a.parent(&r.Parents[i])
	}
	return a.out
}

type attacher struct {
	gateways Gateways
	route    *Route
	out      *Attachment
}

func (a *attacher) parent(ref *gatewayv1.ParentReference) {
	parent := ir.ObjectRef{Kind: string(gatewayapi.Or(ref.Kind, gatewayapi.KindGateway)), Name: ir.Name{
		Namespace: string(gatewayapi.Or(ref.Namespace, gatewayv1.Namespace(a.route.Ref.Namespace))), Name: string(ref.Name),
	}}
	if gatewayapi.Or(ref.Group, gatewayv1.GroupName) != gatewayv1.GroupName {
		return
	}
	name, ok := parent.Name, true
	switch parent.Kind {
	case gatewayapi.KindGateway:
	case gatewayapi.KindListenerSet:
		name, ok = a.gateways.GatewayOf(parent.Name)
	default:
		return
	}
	if !ok {
		return
	}
	gw := a.gateways.Gateway(name)
	if gw == nil || !gw.Ours {
		return
	}
	p := Parent{Ref: *ref, Gateway: name}
	p.Fault = a.attach(gw, parent, &p)
	a.out.Parents = append(a.out.Parents, p)
}

// attach tries the sections of a parent, each rule in turn, so that the fault
// says how far the route got.
func (a *attacher) attach(gw *listener.Gateway, parent ir.ObjectRef, p *Parent) *gatewayapi.Fault {
	ref := &p.Ref
	fault := &gatewayapi.Fault{Reason: reason.NoMatchingParent,
		Message: fmt.Sprintf("%s has no listener%s", parent, asked(ref))}
	attached := false
	for i := range gw.Sections {
		s := &gw.Sections[i]
		if s.Parent != parent || (ref.SectionName != nil && string(*ref.SectionName) != s.Name) || (ref.Port != nil && *ref.Port != s.Port) {
			continue
		}
		if fault.Reason == reason.NoMatchingParent {
			fault = &gatewayapi.Fault{Reason: reason.NotAllowedByListeners, Message: fmt.Sprintf(
				"no listener of %s admits %s of namespace %q: see its allowedRoutes and protocol", parent, a.route.Ref.Kind, a.route.Ref.Namespace)}
		}
		if !s.Admits(a.gateways, a.route.Ref.Kind, a.route.Ref.Namespace) {
			continue
		}
		hosts := a.hosts(s)
		if len(hosts) == 0 {
			fault = &gatewayapi.Fault{Reason: reason.NoMatchingListenerHostname, Message: fmt.Sprintf(
				"no hostname of the route is one of a listener of %s: listener %q has %q", parent, s.Name, s.Host)}
			continue
		}
		attached, p.Ruled = true, p.Ruled || (!s.Passthrough && !s.UDP())
		a.claim(gw, s, hosts)
	}
	if attached {
		return nil
	}
	return fault
}

func asked(ref *gatewayv1.ParentReference) string {
	out := ""
	if ref.SectionName != nil {
		out += fmt.Sprintf(" named %q", *ref.SectionName)
	}
	if ref.Port != nil {
		out += fmt.Sprintf(" on port %d", *ref.Port)
	}
	return out
}

// hosts are those that a section and the route have in common.
func (a *attacher) hosts(s *listener.Section) []string {
	var out []string
	for _, h := range a.route.Hosts {
		if common, ok := gatewayapi.Intersect(s.Host, h); ok && !slices.Contains(out, common) {
			out = append(out, common)
		}
	}
	return out
}

// claim takes the hosts of a section, but for those that another section on
// the port serves.
func (a *attacher) claim(gw *listener.Gateway, s *listener.Section, hosts []string) {
	key := SectionKey{Parent: s.Parent, Name: s.Name}
	if slices.Contains(a.out.Sections, key) {
		return
	}
	a.out.Sections = append(a.out.Sections, key)
	if !s.Served() || gw.Fault != nil || gw.Unusable != nil {
		return
	}
	for _, h := range hosts {
		if gw.Owns(s, h) {
			a.out.Claims = append(a.out.Claims, Claim{Fleet: gw.Fleet, Scope: gw.Scope(s), Host: h})
		}
	}
}
