package policy

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// maxAncestors is the API's limit of status.ancestors.
const maxAncestors = 16

// Conflict is why another policy rules every target of this one; nil when it
// rules one itself.
func Conflict(p *Policy, binding func(service ir.Name) *Binding) *gatewayapi.Fault {
	var f *gatewayapi.Fault
	for _, t := range p.Targets {
		b := binding(t.Service)
		if b == nil {
			return nil
		}
		w := b.winner(p.Name, t)
		if w == nil {
			return nil
		}
		if f == nil {
			f = &gatewayapi.Fault{Reason: reason.Conflicted, Message: fmt.Sprintf(
				"BackendTLSPolicy %q has the same target and goes first: the older one does, then the first by name", *w)}
		}
	}
	return f
}

// Status is the status of a policy, with one ancestor for each Gateway whose
// routes use its targets. More than the API's 16 are left out.
func Status(p *Policy, conflict *gatewayapi.Fault, gateways []ir.Name) gatewayv1.PolicyStatus {
	out := gatewayv1.PolicyStatus{Ancestors: []gatewayv1.PolicyAncestorStatus{}}
	sorted := slices.Clone(gateways)
	slices.SortFunc(sorted, gatewayapi.CompareNames)
	for i, n := range slices.Compact(sorted) {
		if i == maxAncestors {
			break
		}
		c := gatewayapi.Conditions{Generation: p.Generation}
		accepted := p.Fault
		if accepted == nil {
			accepted = conflict
		}
		message := reason.MessagePolicyAccepted
		if p.Note != "" {
			message += reason.Message("; " + p.Note)
		}
		c.Judge(reason.ConditionAccepted, accepted, reason.Accepted, message)
		c.Judge(reason.ConditionResolvedRefs, p.RefsFault, reason.ResolvedRefs, reason.MessageRefsResolved)
		group, kind := gatewayv1.Group(gatewayv1.GroupName), gatewayv1.Kind(gatewayapi.KindGateway)
		namespace := gatewayv1.Namespace(n.Namespace)
		out.Ancestors = append(out.Ancestors, gatewayv1.PolicyAncestorStatus{
			AncestorRef: gatewayv1.ParentReference{
				Group: &group, Kind: &kind, Namespace: &namespace, Name: gatewayv1.ObjectName(n.Name),
			},
			ControllerName: gatewayapi.ControllerName, Conditions: c.List(),
		})
	}
	return out
}
