package route

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

// Status is the status of one route: an entry for each parentRef that names a
// Gateway of ours. Withheld are the parts that Envoy would not have taken.
func Status(d *Document, a *Attachment, withheld []string) gatewayv1.RouteStatus {
	out := gatewayv1.RouteStatus{Parents: []gatewayv1.RouteParentStatus{}}
	for i := range a.Parents {
		p := &a.Parents[i]
		out.Parents = append(out.Parents, gatewayv1.RouteParentStatus{
			ParentRef: p.Ref, ControllerName: gatewayapi.ControllerName, Conditions: conditions(d, p, withheld),
		})
	}
	return out
}

func conditions(d *Document, p *Parent, withheld []string) []metav1.Condition {
	c := gatewayapi.Conditions{Generation: d.Generation}
	accepted := p.Fault
	if accepted == nil {
		accepted = d.Fault
	}
	c.Judge(reason.ConditionAccepted, accepted, reason.Accepted, reason.MessageRouteAccepted)
	c.Judge(reason.ConditionResolvedRefs, d.RefsFault, reason.ResolvedRefs, reason.MessageRefsResolved)
	dropped := append(append([]string(nil), d.Dropped...), withheld...)
	if accepted == nil && len(dropped) > 0 {
		c.True(reason.ConditionPartiallyInvalid, reason.UnsupportedValue,
			string(reason.MessageDroppedRule)+": answered with an error: "+strings.Join(dropped, "; "))
	}
	return c.List()
}
