package report

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// gatewayStatuses are those of the Gateway API's kinds, kind by kind.
func (v view) gatewayStatuses(b Builder) []Status {
	var out []Status
	add := func(kind string, n ir.Name, status any) {
		s := Status{APIVersion: gatewayv1.GroupVersion.String(), Kind: kind, Namespace: n.Namespace, Name: n.Name, Status: status}
		if kind != gatewayapi.KindGatewayClass { // which no Envoy is told of
			s.Programmed = b.programmed(rollout.Kind(kind), n, v.t.FleetsOfGatewayAPI(v.r, ir.ObjectRef{Kind: kind, Name: n}))
		}
		out = append(out, s)
	}
	for n, s := range v.t.GatewayClassStatuses.All(v.r) {
		add(gatewayapi.KindGatewayClass, n, s)
	}
	for n, s := range v.t.GatewayStatuses.All(v.r) {
		add(gatewayapi.KindGateway, n, s)
	}
	for n, s := range v.t.ListenerSetStatuses.All(v.r) {
		add(gatewayapi.KindListenerSet, n, s)
	}
	for ref, s := range v.t.RouteStatuses.All(v.r) {
		add(ref.Kind, ref.Name, s)
	}
	for n, s := range v.t.PolicyStatuses.All(v.r) {
		add(gatewayapi.KindPolicy, n, s)
	}
	return out
}

// decodeGateway reads the status of a kind of the Gateway API, or of any other.
func decodeGateway(kind string, b json.RawMessage) (any, error) {
	switch kind {
	case gatewayapi.KindGatewayClass:
		return decode[gatewayv1.GatewayClassStatus](b)
	case gatewayapi.KindGateway:
		return decode[gatewayv1.GatewayStatus](b)
	case gatewayapi.KindListenerSet:
		return decode[gatewayv1.ListenerSetStatus](b)
	case gatewayapi.KindHTTPRoute, gatewayapi.KindGRPCRoute, gatewayapi.KindTLSRoute, gatewayapi.KindTCPRoute, gatewayapi.KindUDPRoute:
		return decode[gatewayv1.RouteStatus](b)
	case gatewayapi.KindPolicy:
		return decode[gatewayv1.PolicyStatus](b)
	}
	return decode[any](b)
}

// part is one list of conditions of a status, with what it is about.
type part struct {
	about      string
	conditions []metav1.Condition
}

// partsOf are the conditions in a status of the Gateway API.
func partsOf(status any) []part {
	var out []part
	switch s := status.(type) {
	case gatewayv1.GatewayClassStatus:
		out = append(out, part{conditions: s.Conditions})
	case gatewayv1.GatewayStatus:
		out = append(out, part{conditions: s.Conditions})
		for i := range s.Listeners {
			l := &s.Listeners[i]
			out = append(out, part{fmt.Sprintf("listener %s, %d routes", l.Name, l.AttachedRoutes), l.Conditions})
		}
	case gatewayv1.ListenerSetStatus:
		out = append(out, part{conditions: s.Conditions})
		for i := range s.Listeners {
			l := &s.Listeners[i]
			out = append(out, part{fmt.Sprintf("listener %s, %d routes", l.Name, l.AttachedRoutes), l.Conditions})
		}
	case gatewayv1.RouteStatus:
		for i := range s.Parents {
			out = append(out, part{"parent " + parentName(&s.Parents[i].ParentRef), s.Parents[i].Conditions})
		}
	case gatewayv1.PolicyStatus:
		for i := range s.Ancestors {
			out = append(out, part{"ancestor " + parentName(&s.Ancestors[i].AncestorRef), s.Ancestors[i].Conditions})
		}
	}
	return out
}

func parentName(p *gatewayv1.ParentReference) string {
	out := string(gatewayapi.Or(p.Kind, gatewayapi.KindGateway)) + " "
	if p.Namespace != nil {
		out += string(*p.Namespace) + "/"
	}
	out += string(p.Name)
	if p.SectionName != nil {
		out += "/" + string(*p.SectionName)
	}
	return out
}

// faulty tells whether a status says that something is not as asked.
func faulty(status any) bool {
	return slices.ContainsFunc(partsOf(status), func(p part) bool { return slices.ContainsFunc(p.conditions, isFault) })
}

func isFault(c metav1.Condition) bool {
	switch reason.ConditionType(c.Type) {
	case reason.ConditionConflicted, reason.ConditionPartiallyInvalid:
		return c.Status == metav1.ConditionTrue
	case reason.ConditionOverlappingTLSConfig, reason.ConditionInsecureFrontendValidationMode:
		return false
	default:
		return c.Status == metav1.ConditionFalse
	}
}

// gatewayStatus prints a status of the Gateway API; false for another.
func (p *printer) gatewayStatus(s *Status) bool {
	parts := partsOf(s.Status)
	if parts == nil {
		return false
	}
	name := s.Name
	if s.Namespace != "" {
		name = s.Namespace + "/" + s.Name
	}
	p.line(0, "%s %s", s.Kind, name)
	for _, x := range parts {
		indent := 1
		if x.about != "" {
			p.line(1, "%s", x.about)
			indent++
		}
		for _, c := range x.conditions {
			if reason.ConditionType(c.Type) != reason.ConditionConflicted || c.Status == metav1.ConditionTrue {
				p.line(indent, "%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
			}
		}
	}
	return true
}
