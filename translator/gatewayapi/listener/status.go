package listener

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

// Troubles are what was decided and is not served.
type Troubles struct {
	// Withheld is why the listener of a section's port could not be made, and
	// Refused what Envoy refuses of the listener: nil and "" for nothing.
	Withheld func(*Section) error
	Refused  func(*Section) string
	// Messages say what Envoy refuses of the whole Gateway.
	Messages []string
}

// Status is the status of a Gateway that is ours: what translation knows.
// Attached counts the routes of a section.
func Status(g *Gateway, refs *References, attached func(*Section) int32, troubles Troubles) gatewayv1.GatewayStatus {
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
			Conditions: sectionConditions(g, s, r, troubles),
		})
	}
	if len(g.Sets) > 0 {
		accepted := int32(0)
		for i := range g.Sets {
			if g.setFault(refs, g.Sets[i].Name) == nil {
				accepted++
			}
		}
		out.AttachedListenerSets = &accepted
	}
	out.Conditions = gatewayConditions(g, refs, resolved, troubles.Messages)
	if g.Fault == nil && g.Unusable == nil && g.Address != "" && !g.Assigned {
		kind := gatewayv1.IPAddressType
		out.Addresses = []gatewayv1.GatewayStatusAddress{{Type: &kind, Value: g.Address}}
	}
	return out
}

func gatewayConditions(g *Gateway, refs *References, resolved bool, refused []string) []metav1.Condition {
	c := gatewayapi.Conditions{Generation: g.Generation}
	some, all := g.accepted(refs)
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
	case len(refused) > 0:
		c.False(reason.ConditionProgrammed, reason.RefusedByEnvoy, strings.Join(refused, "; "))
	default:
		c.True(reason.ConditionProgrammed, reason.Programmed, string(reason.MessageGatewayProgrammed))
	}
	switch {
	case refs.ClientFault != nil:
		c.False(reason.ConditionResolvedRefs, refs.ClientFault.Reason, refs.ClientFault.Message)
	case !resolved:
		c.False(reason.ConditionResolvedRefs, reason.ListenersNotResolved,
			"some listeners have references that are not resolved: see their conditions")
	default:
		c.True(reason.ConditionResolvedRefs, reason.ResolvedRefs, string(reason.MessageRefsResolved))
	}
	if refs.Insecure {
		c.True(reason.ConditionInsecureFrontendValidationMode, reason.ConfigurationChanged,
			"tls.frontend: AllowInsecureFallback serves clients whatever certificate they present")
	}
	return c.List()
}

func sectionConditions(g *Gateway, s *Section, r *SectionReferences, troubles Troubles) []metav1.Condition {
	c := gatewayapi.Conditions{Generation: g.generationOf(s)}
	fault := s.Fault
	if fault == nil {
		fault = s.Conflict
	}
	if fault == nil && r.Untrusted {
		fault = r.Closed
	}
	c.Judge(reason.ConditionAccepted, fault, reason.Accepted, reason.MessageListenerAccepted)
	c.Judge(reason.ConditionProgrammed, unprogrammed(g, s, r, fault, troubles), reason.Programmed, reason.MessageListenerProgrammed)
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
		meaning := "a connection belongs to the listener that fits its server name best"
		if s.HTTP() && o.HTTP() {
			meaning = "a request for a host of the other over this connection gets 421"
		}
		c.True(reason.ConditionOverlappingTLSConfig, reason.OverlappingHostnames,
			fmt.Sprintf("hostname %q overlaps with %q of listener %q: %s", s.Host, o.Host, o.Name, meaning))
	}
	return c.List()
}

// generationOf is that of the object that a section is written in.
func (g *Gateway) generationOf(s *Section) int64 {
	for i := range g.Sets {
		if s.Parent.Kind == gatewayapi.KindListenerSet && g.Sets[i].Name == s.Parent.Name {
			return g.Sets[i].Generation
		}
	}
	return g.Generation
}

// unprogrammed is why a section serves nobody; unaccepted is why it is not
// accepted.
func unprogrammed(g *Gateway, s *Section, r *SectionReferences, unaccepted *gatewayapi.Fault, troubles Troubles) *gatewayapi.Fault {
	invalid := func(message string) *gatewayapi.Fault {
		return &gatewayapi.Fault{Reason: reason.Invalid, Message: message}
	}
	switch {
	case g.Fault != nil:
		return invalid("the Gateway is not accepted: " + g.Fault.Message)
	case g.Unusable != nil:
		return invalid("the Gateway has no address: " + g.Unusable.Message)
	case unaccepted != nil && s.Parent.Kind == gatewayapi.KindListenerSet:
		return unaccepted
	case unaccepted != nil:
		return invalid(unaccepted.Message)
	case r.Closed != nil:
		return invalid(r.Closed.Message)
	}
	if err := troubles.Withheld(s); err != nil {
		return invalid(err.Error())
	}
	if message := troubles.Refused(s); message != "" {
		return &gatewayapi.Fault{Reason: reason.RefusedByEnvoy, Message: message}
	}
	return nil
}

func supportedKinds(s *Section) []gatewayv1.RouteGroupKind {
	out := []gatewayv1.RouteGroupKind{}
	for _, k := range s.Kinds {
		group := gatewayv1.Group(gatewayv1.GroupName)
		out = append(out, gatewayv1.RouteGroupKind{Group: &group, Kind: gatewayv1.Kind(k)})
	}
	return out
}
