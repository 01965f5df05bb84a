package route

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

// Status is the status of one route: an entry for each parentRef that names a
// Gateway of ours. Fleets tell what Gateways bring to backends. Withheld are the
// parts that Envoy would not have taken, refused say what it has refused.
func Status(d *Document, a *Attachment, fleets Fleets, withheld, refused []string) gatewayv1.RouteStatus {
	out := gatewayv1.RouteStatus{Parents: []gatewayv1.RouteParentStatus{}}
	for i := range a.Parents {
		p := &a.Parents[i]
		out.Parents = append(out.Parents, gatewayv1.RouteParentStatus{
			ParentRef: p.Ref, ControllerName: gatewayapi.ControllerName, Conditions: conditions(d, p, fleets, withheld, refused),
		})
	}
	return out
}

// refsFault is why a reference does not lead to a backend that can be reached
// from a parent.
func (d *Document) refsFault(p *Parent, fleets Fleets) *gatewayapi.Fault {
	own := d.RefsFault
	if d.Stream != nil {
		own = d.Stream.share(p.Ruled).Fault
	}
	if own != nil || p.Fault != nil {
		return own
	}
	return d.unfinished(p, fleets)
}

func conditions(d *Document, p *Parent, fleets Fleets, withheld, refused []string) []metav1.Condition {
	c := gatewayapi.Conditions{Generation: d.Generation}
	accepted := p.Fault
	if accepted == nil {
		accepted = d.Fault
	}
	c.Judge(reason.ConditionAccepted, accepted, reason.Accepted, reason.MessageRouteAccepted)
	c.Judge(reason.ConditionResolvedRefs, d.refsFault(p, fleets), reason.ResolvedRefs, reason.MessageRefsResolved)
	dropped := append(append([]string(nil), d.Dropped...), withheld...)
	var parts []string
	why := reason.UnsupportedValue
	if len(dropped) > 0 {
		parts = append(parts, "answered with an error: "+strings.Join(dropped, "; "))
	}
	if len(refused) > 0 {
		parts, why = append(parts, refused...), reason.RefusedByEnvoy
	}
	if accepted == nil && len(parts) > 0 {
		c.True(reason.ConditionPartiallyInvalid, why, string(reason.MessageDroppedRule)+": "+strings.Join(parts, "; "))
	}
	return c.List()
}
