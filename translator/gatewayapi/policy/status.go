package policy

import (
	"fmt"
	"maps"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// maxAncestors is the API's limit of status.ancestors.
const maxAncestors = 16

// conflict is why another policy rules each of some targets; nil when this one
// rules one of them itself.
func conflict(p *Policy, targets []Target, binding func(service ir.Name) *Binding) *gatewayapi.Fault {
	var f *gatewayapi.Fault
	for _, t := range targets {
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

// astray is why none of some targets can be ruled; nil when one can.
func (p *Policy) astray(targets []Target) *gatewayapi.Fault {
	var first *gatewayapi.Fault
	for _, t := range targets {
		i := slices.Index(p.Targets, t)
		if i < 0 || p.Faults[i] == nil {
			return nil
		}
		if first == nil {
			first = p.Faults[i]
		}
	}
	return first
}

// mismatch is why a Gateway's fleet speaks no version of TLS that the policy asks
// for; nil when it does. What else is wrong with the fleet is no fault of the
// policy.
func (p *Policy) mismatch(fleet func() *ir.Fleet) *gatewayapi.Fault {
	if p.Validation == nil || (p.Validation.Profile.Min == "" && p.Validation.Profile.Max == "") {
		return nil
	}
	f := fleet()
	if f == nil || f.Upstream.Failure != "" {
		return nil
	}
	if why := upstream.VersionFault(p.Validation.Profile, f); why != "" {
		return &gatewayapi.Fault{Reason: reason.Invalid, Message: "spec.options: " + why}
	}
	return nil
}

// Status is the status of a policy, with one ancestor for each Gateway whose
// routes use its targets: of each Gateway are given those that they use. More
// ancestors than the API's 16 are left out. Fleets give what serves a Gateway, nil
// when it is not known.
func Status(
	p *Policy, used map[ir.Name][]Target, binding func(service ir.Name) *Binding, fleets func(gateway ir.Name) *ir.Fleet,
) gatewayv1.PolicyStatus {
	out := gatewayv1.PolicyStatus{Ancestors: []gatewayv1.PolicyAncestorStatus{}}
	for i, n := range slices.SortedFunc(maps.Keys(used), gatewayapi.CompareNames) {
		if i == maxAncestors {
			break
		}
		c := gatewayapi.Conditions{Generation: p.Generation}
		accepted := p.Fault
		if accepted == nil {
			accepted = p.astray(used[n])
		}
		if accepted == nil {
			accepted = conflict(p, used[n], binding)
		}
		if accepted == nil {
			accepted = p.mismatch(func() *ir.Fleet { return fleets(n) })
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
