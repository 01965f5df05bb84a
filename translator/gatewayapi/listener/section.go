package listener

import (
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Gateway is a Gateway with its listeners, as far as routes need to know it.
type Gateway struct {
	Name       ir.Name
	Generation int64
	Created    time.Time
	// Ours says that its class is served by Signet; all else is empty when not.
	Ours bool
	// Fault is why nothing of the Gateway is served; nil when something is.
	Fault *gatewayapi.Fault
	// Unusable is why it does not get the addresses that it asks for.
	Unusable *gatewayapi.Fault
	// Fleet serves the Gateway.
	Fleet ir.Name
	// Address is the IP address that the fleet binds, and Offset what it adds
	// to ports below 1024.
	Address string
	Offset  uint32
	// Assigned and Reserved are Hosting's.
	Assigned bool
	Reserved []uint32
	// Sections in order of precedence: the Gateway's own first.
	Sections []Section
	// Sets are the ListenerSets that name the Gateway, in order of precedence.
	Sets []Set
}

// Set is a ListenerSet.
type Set struct {
	Name       ir.Name
	Generation int64
	// Allowed says that the Gateway takes its listeners.
	Allowed bool
}

// Section is one listener of a Gateway or of a ListenerSet.
type Section struct {
	// Parent is the object that it is written in.
	Parent   ir.ObjectRef
	Name     string
	Protocol gatewayv1.ProtocolType
	Port     int32
	// Host is lower case, or gatewayapi.AnyHost.
	Host        string
	Passthrough bool
	// Kinds are the routes that may attach; KindsFault is set when others are
	// listed.
	Kinds      []string
	KindsFault *gatewayapi.Fault
	// From and Selector say which namespaces routes may be in.
	From     gatewayv1.FromNamespaces
	Selector *metav1.LabelSelector
	// Fault is why the section is not accepted, nil when it is.
	Fault *gatewayapi.Fault
	// Conflict is why another section goes before it, nil when none does.
	Conflict *gatewayapi.Fault
	// Claims says that no later object gets what the section has on its port,
	// be it served or refused.
	Claims bool
	// port and scope are PortName and Scope.
	port, scope string
}

func (s *Section) claims() bool { return s.Claims }

// Served says that the section takes part in what its port serves.
func (s *Section) Served() bool { return s.Fault == nil && s.Conflict == nil }

// HTTP says that requests are routed.
func (s *Section) HTTP() bool {
	return s.Protocol == gatewayv1.HTTPProtocolType || s.Protocol == gatewayv1.HTTPSProtocolType
}

// TLS says that connections are told apart by SNI.
func (s *Section) TLS() bool {
	return s.Protocol == gatewayv1.HTTPSProtocolType || s.Protocol == gatewayv1.TLSProtocolType
}

// Terminates says that the section needs certificates.
func (s *Section) Terminates() bool { return s.TLS() && !s.Passthrough }

// UDP says that the section takes datagrams.
func (s *Section) UDP() bool { return s.Protocol == gatewayv1.UDPProtocolType }

// PortName is the name of the listener that a section is part of. No host can
// make a scope's name one of these.
func (*Gateway) PortName(s *Section) string { return s.port }

// Scope is the name of the table that a section's hosts are looked up in: one
// for each HTTPS section, one for all others of a port. Where requests are not
// routed it is the chains of the port, by server name.
func (*Gateway) Scope(s *Section) string { return s.scope }

// nameSections names the tables of the sections once: each site looks for its
// section by them.
func (g *Gateway) nameSections() {
	for i := range g.Sections {
		s := &g.Sections[i]
		s.port = g.Name.String() + "/"
		if s.UDP() {
			s.port += "udp/"
		}
		s.port += strconv.Itoa(int(s.Port))
		if s.scope = s.port; s.Protocol == gatewayv1.HTTPSProtocolType {
			s.scope += "/" + s.Host
		}
	}
}

// Bound is the port that the fleet binds for a port.
func (g *Gateway) Bound(port int32) uint32 {
	const privileged = 1024
	if port < privileged {
		return uint32(port) + g.Offset //nolint:gosec // ports are positive
	}
	return uint32(port)
}

// holds says that what comes for a section's name belongs to nobody else: it is
// served, or refused while its port serves others. It was to do more or to admit
// less than a wider section does.
func (g *Gateway) holds(s *Section) bool {
	if s.Served() {
		return true
	}
	beside, earlier := false, true
	for i := range g.Sections {
		o := &g.Sections[i]
		earlier = earlier && o.Parent != s.Parent
		counts := o.Served() || (earlier && o.Claims)
		if !counts || o.Port != s.Port || o.UDP() != s.UDP() {
			continue
		}
		if clash(s, o) != "" {
			return false
		}
		beside = beside || o.Served()
	}
	return beside
}

// Owns reports whether requests for host, exact or wildcard, that reach the
// port of a section belong to it: no other section there has a host that fits
// better.
func (g *Gateway) Owns(s *Section, host string) bool {
	if !gatewayapi.Covers(s.Host, host) {
		return false
	}
	for i := range g.Sections {
		o := &g.Sections[i]
		if o.Port == s.Port && o.UDP() == s.UDP() && o.TLS() == s.TLS() && o != s &&
			gatewayapi.Covers(o.Host, host) && gatewayapi.CompareHosts(o.Host, s.Host) < 0 && g.holds(o) {
			return false
		}
	}
	return true
}

// maxElsewhere bounds the hosts that each section of a port knows of others.
const maxElsewhere = 64

// Elsewhere are the hosts that belong to other HTTPS sections on the port: over a
// connection that was opened for this section they get 421. Where there are
// too many to be listed every host that is not the section's does.
func (g *Gateway) Elsewhere(s *Section) []string {
	if s.Protocol != gatewayv1.HTTPSProtocolType {
		return nil
	}
	var inside, outside []string
	wide := strings.HasPrefix(s.Host, "*")
	for i := range g.Sections {
		o := &g.Sections[i]
		full := len(outside) > maxElsewhere
		if full && !wide {
			break // nothing is inside of an exact host
		}
		if o.Port != s.Port || o.Protocol != s.Protocol || o.Host == s.Host || !g.holds(o) {
			continue
		}
		switch {
		case gatewayapi.Covers(s.Host, o.Host):
			inside = append(inside, o.Host)
		case !full:
			outside = append(outside, o.Host)
		}
	}
	if len(outside) > maxElsewhere || slices.Contains(outside, gatewayapi.AnyHost) {
		outside = []string{gatewayapi.AnyHost}
	}
	return append(inside, outside...)
}

// Find returns the section that a host of a scope belongs to, nil for none.
func (g *Gateway) Find(scope, host string) *Section {
	for i := range g.Sections {
		if s := &g.Sections[i]; s.HTTP() && s.scope == scope && g.holds(s) && g.Owns(s, host) {
			return s
		}
	}
	return nil
}

// Stream returns the section whose connections, or datagrams, for a server
// name are forwarded as they are, by the listener's name; nil for none.
func (g *Gateway) Stream(port, host string) *Section {
	for i := range g.Sections {
		if s := &g.Sections[i]; !s.HTTP() && s.port == port && g.holds(s) && g.Owns(s, host) {
			return s
		}
	}
	return nil
}

// Namespaces gives the labels of namespaces.
type Namespaces interface {
	// Labels returns the labels of a namespace, false when there is none.
	Labels(namespace string) (map[string]string, bool)
}

// Admits reports whether routes of a kind in a namespace may attach.
func (s *Section) Admits(n Namespaces, kind, namespace string) bool {
	return slices.Contains(s.Kinds, kind) && admits(n, s.From, s.Selector, s.Parent.Namespace, namespace)
}

func admits(n Namespaces, from gatewayv1.FromNamespaces, selector *metav1.LabelSelector, own, namespace string) bool {
	switch from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return own == namespace
	case gatewayv1.NamespacesFromSelector:
		chosen, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			return false
		}
		l, ok := n.Labels(namespace)
		return ok && chosen.Matches(labels.Set(l))
	case gatewayv1.NamespacesFromNone:
	}
	return false
}

// accepted says that some section is, ListenerSets' too, and that all of the
// Gateway's own are. One that lacks what its clients are judged by is not; while
// nothing is known of references, refs is nil.
func (g *Gateway) accepted(refs *References) (some, all bool) {
	all = true
	for i := range g.Sections {
		s := &g.Sections[i]
		is := s.Served() && (refs == nil || !refs.Sections[i].Untrusted)
		some = some || is
		all = all && (is || s.Parent.Kind != gatewayapi.KindGateway)
	}
	return some, all
}

// unaccepted is the fault of a Gateway of which no listener is accepted.
func unaccepted() *gatewayapi.Fault {
	return &gatewayapi.Fault{
		Reason: reason.ListenersNotValid, Message: "no listener of the Gateway is accepted: see the listeners' conditions",
	}
}
