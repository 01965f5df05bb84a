package listener

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

// Status is the status of a Gateway that is ours: what translation knows.
// Attached counts the routes of a section, withheld is why the listener of a
// port could not be made.
func Status(g *Gateway, refs *References, attached func(*Section) int32, withheld func(*Section) error) gatewayv1.GatewayStatus {
	out := gatewayv1.GatewayStatus{}
	resolved := true
	for i := range g.Sections {
		s := &g.Sections[i]
		if s.Parent.Kind != gatewayapi.KindGateway {
			continue
		}
		r := &refs.Sections[i]
		resolved = resolved && s.KindsFault == nil && r.Fault == nil
		out.Listeners = append(out.Listeners, gatewayv1.ListenerStatus{
			Name: gatewayv1.SectionName(s.Name), SupportedKinds: supportedKinds(s), AttachedRoutes: attached(s),
			Conditions: sectionConditions(g, s, r, withheld(s)),
		})
	}
	allowed := int32(0)
	for i := range g.Sets {
		if g.Sets[i].Allowed {
			allowed++
		}
	}
	if len(g.Sets) > 0 {
		out.AttachedListenerSets = &allowed
	}
	out.Conditions = gatewayConditions(g, refs, resolved)
	if g.Fault == nil && g.Unusable == nil && g.Address != "" {
		kind := gatewayv1.IPAddressType
		out.Addresses = []gatewayv1.GatewayStatusAddress{{Type: &kind, Value: g.Address}}
	}
	return out
}

func gatewayConditions(g *Gateway, refs *References, resolved bool) []metav1.Condition {
	c := gatewayapi.Conditions{Generation: g.Generation}
	some, all := g.accepted()
	switch {
	case g.Fault != nil:
		c.False(reason.ConditionAccepted, g.Fault.Reason, g.Fault.Message)
	case !some:
		c.False(reason.ConditionAccepted, reason.ListenersNotValid, unaccepted().Message)
	case !all:
		c.True(reason.ConditionAccepted, reason.ListenersNotValid, "some listeners are not accepted: see their conditions")
	default:
		c.True(reason.ConditionAccepted, reason.Accepted, string(reason.MessageGatewayAccepted))
	}
	switch {
	case g.Fault != nil || !some:
		c.False(reason.ConditionProgrammed, reason.Invalid, "the Gateway is not accepted")
	case g.Unusable != nil:
		c.False(reason.ConditionProgrammed, g.Unusable.Reason, g.Unusable.Message)
	default:
		c.True(reason.ConditionProgrammed, reason.Programmed, string(reason.MessageGatewayProgrammed))
	}
	switch {
	case refs.ClientFault != nil:
		c.False(reason.ConditionResolvedRefs, refs.ClientFault.Reason, refs.ClientFault.Message)
	case !resolved:
		c.False(reason.ConditionResolvedRefs, reason.ListenersNotResolved, "some listeners have references that are not resolved: see their conditions")
	default:
		c.True(reason.ConditionResolvedRefs, reason.ResolvedRefs, string(reason.MessageRefsResolved))
	}
	if refs.Insecure {
		c.True(reason.ConditionInsecureFrontendValidationMode, reason.ConfigurationChanged,
			"tls.frontend: AllowInsecureFallback serves clients whatever certificate they present")
	}
	return c.List()
}

func sectionConditions(g *Gateway, s *Section, r *SectionReferences, withheld error) []metav1.Condition {
	c := gatewayapi.Conditions{Generation: g.Generation}
	if s.Parent.Kind == gatewayapi.KindListenerSet {
		for i := range g.Sets {
			if g.Sets[i].Name == s.Parent.Name {
				c.Generation = g.Sets[i].Generation
			}
		}
	}
	fault := s.Fault
	if fault == nil {
		fault = s.Conflict
	}
	if fault == nil && r.Untrusted {
		fault = r.Closed
	}
	c.Judge(reason.ConditionAccepted, fault, reason.Accepted, reason.MessageListenerAccepted)
	switch {
	case g.Fault != nil:
		c.False(reason.ConditionProgrammed, reason.Invalid, "the Gateway is not accepted: "+g.Fault.Message)
	case fault != nil && s.Conflict == fault && s.Parent.Kind == gatewayapi.KindListenerSet:
		c.False(reason.ConditionProgrammed, fault.Reason, fault.Message)
	case fault != nil:
		c.False(reason.ConditionProgrammed, reason.Invalid, fault.Message)
	case r.Closed != nil:
		c.False(reason.ConditionProgrammed, reason.Invalid, r.Closed.Message)
	case withheld != nil:
		c.False(reason.ConditionProgrammed, reason.Invalid, withheld.Error())
	default:
		c.True(reason.ConditionProgrammed, reason.Programmed, string(reason.MessageListenerProgrammed))
	}
	refs := r.Fault
	if s.KindsFault != nil {
		refs = s.KindsFault
	}
	c.Judge(reason.ConditionResolvedRefs, refs, reason.ResolvedRefs, reason.MessageRefsResolved)
	if s.Conflict != nil {
		c.True(reason.ConditionConflicted, s.Conflict.Reason, s.Conflict.Message)
	} else {
		c.False(reason.ConditionConflicted, reason.NoConflicts, "no other listener has the port and the hostname")
	}
	if o := g.overlaps(s); o != nil {
		c.True(reason.ConditionOverlappingTLSConfig, reason.OverlappingHostnames, fmt.Sprintf(
			"hostname %q overlaps with %q of listener %q: a request for a host of the other over this connection gets 421", s.Host, o.Host, o.Name))
	}
	return c.List()
}

func supportedKinds(s *Section) []gatewayv1.RouteGroupKind {
	out := []gatewayv1.RouteGroupKind{}
	for _, k := range s.Kinds {
		group := gatewayv1.Group(gatewayv1.GroupName)
		out = append(out, gatewayv1.RouteGroupKind{Group: &group, Kind: gatewayv1.Kind(k)})
	}
	return out
}
