package route

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// Route is what all kinds of routes have.
type Route struct {
	Ref        ir.ObjectRef
	Generation int64
	Created    time.Time
	Parents    []gatewayv1.ParentReference
	// Hosts are lower case; gatewayapi.AnyHost alone for a route without.
	Hosts []string
}

// OfHTTP is the common part of an HTTPRoute.
func OfHTTP(r *gatewayv1.HTTPRoute) *Route {
	return &Route{
		Ref:        ir.ObjectRef{Kind: gatewayapi.KindHTTPRoute, Name: gatewayapi.NameOf(r)},
		Generation: r.Generation, Created: r.CreationTimestamp.Time,
		Parents: r.Spec.ParentRefs, Hosts: hosts(r.Spec.Hostnames),
	}
}

func hosts(in []gatewayv1.Hostname) []string {
	if len(in) == 0 {
		return []string{gatewayapi.AnyHost}
	}
	out := make([]string, len(in))
	for i := range in {
		out[i] = gatewayapi.Host(&in[i])
	}
	return out
}

// Document is a route translated on its own. It is immutable;
// reflect.DeepEqual tells whether two are the same.
type Document struct {
	Ref        ir.ObjectRef
	Generation int64
	Created    time.Time
	Hosts      []string
	Rules      []Rule
	// Stream is where a TLSRoute, TCPRoute or UDPRoute leads, instead of Rules.
	Stream *Stream
	// Services are those that the route sends requests to, by port, if policies
	// count for them.
	Services []policy.Target
	// RefsFault is why a reference does not lead to a usable backend.
	RefsFault *gatewayapi.Fault
	// Fault is why no rule can be served.
	Fault *gatewayapi.Fault
	// Dropped say which rules cannot be served while others are.
	Dropped []string
}

// Uses reports whether the route sends requests to a target.
func (d *Document) Uses(t policy.Target) bool {
	return slices.ContainsFunc(d.Services, func(s policy.Target) bool {
		return s.Service == t.Service && (t.Section == "" || t.Section == s.Section)
	})
}

// Rule is one rule of a route.
type Rule struct {
	// Name is the user's; it may be empty.
	Name    string
	Matches []ir.Match
	// Calls of a GRPCRoute's matches, in their order; nil in other routes.
	Calls []Call
	// Action is the finished route but for Name, Match, and what its Gateway and
	// fleet bring to its upstreams.
	Action ir.Route
	// ListenerPort says that a redirect goes to the listener's port.
	ListenerPort bool
}

// Objects is what reading a route reads.
type Objects interface {
	upstream.Objects
	// Granted reports whether a ReferenceGrant permits a reference.
	Granted(g gatewayapi.Grant) bool
	// Policy returns the policy that rules a port of a Service; nil when none
	// does.
	Policy(service ir.Name, port *corev1.ServicePort) *policy.Policy
}
