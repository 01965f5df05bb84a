package listener

import (
	"fmt"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// ParentOf is the Gateway that a ListenerSet adds to; false when it names
// something else.
func ParentOf(s *gatewayv1.ListenerSet) (ir.Name, bool) {
	p := &s.Spec.ParentRef
	if gatewayapi.Or(p.Group, gatewayv1.GroupName) != gatewayv1.GroupName ||
		gatewayapi.Or(p.Kind, gatewayapi.KindGateway) != gatewayapi.KindGateway {
		return ir.Name{}, false
	}
	return ir.Name{Namespace: string(gatewayapi.Or(p.Namespace, gatewayv1.Namespace(s.Namespace))), Name: string(p.Name)}, true
}

// SetStatus is the status of a ListenerSet whose Gateway is ours.
func SetStatus(
	g *Gateway, refs *References, name ir.Name, attached func(*Section) int32, troubles Troubles,
) gatewayv1.ListenerSetStatus {
	out := gatewayv1.ListenerSetStatus{}
	c := gatewayapi.Conditions{}
	for i := range g.Sets {
		if g.Sets[i].Name == name {
			c.Generation = g.Sets[i].Generation
		}
	}
	for i := range g.Sections {
		s := &g.Sections[i]
		if s.Parent.Kind != gatewayapi.KindListenerSet || s.Parent.Name != name {
			continue
		}
		out.Listeners = append(out.Listeners, gatewayv1.ListenerEntryStatus{
			Name: gatewayv1.SectionName(s.Name), SupportedKinds: supportedKinds(s), AttachedRoutes: attached(s),
			Conditions: sectionConditions(g, s, &refs.Sections[i], troubles),
		})
	}
	fault := g.setFault(refs, name)
	c.Judge(reason.ConditionAccepted, fault, reason.Accepted, reason.MessageSetAccepted)
	c.Judge(reason.ConditionProgrammed, g.setUnprogrammed(fault), reason.Programmed, reason.MessageSetProgrammed)
	out.Conditions = c.List()
	return out
}

// setUnprogrammed is why a ListenerSet reaches nobody, where fault is why it is
// not accepted.
func (g *Gateway) setUnprogrammed(fault *gatewayapi.Fault) *gatewayapi.Fault {
	switch {
	case fault != nil && fault.Reason != reason.ParentNotAccepted:
		return fault
	case fault != nil:
		return &gatewayapi.Fault{Reason: reason.ParentNotProgrammed, Message: fault.Message}
	case g.Unusable != nil:
		return &gatewayapi.Fault{Reason: reason.ParentNotProgrammed,
			Message: fmt.Sprintf("Gateway %q has no address: %s", g.Name, g.Unusable.Message)}
	default:
		return nil
	}
}

// setFault is why nothing of a ListenerSet is served; nil when something is.
func (g *Gateway) setFault(refs *References, name ir.Name) *gatewayapi.Fault {
	for i := range g.Sets {
		if g.Sets[i].Name == name && !g.Sets[i].Allowed {
			return &gatewayapi.Fault{Reason: reason.NotAllowed, Message: fmt.Sprintf(
				"Gateway %q takes no listeners from namespace %q: see its allowedListeners", g.Name, name.Namespace)}
		}
	}
	if g.Fault != nil {
		return &gatewayapi.Fault{Reason: reason.ParentNotAccepted,
			Message: fmt.Sprintf("Gateway %q is not accepted: %s", g.Name, g.Fault.Message)}
	}
	for i := range g.Sections {
		s := &g.Sections[i]
		if s.Parent.Kind == gatewayapi.KindListenerSet && s.Parent.Name == name && s.Served() && refs.Sections[i].Closed == nil {
			return nil
		}
	}
	return &gatewayapi.Fault{Reason: reason.ListenersNotValid,
		Message: "no listener of the ListenerSet can be served: see the listeners' conditions"}
}
