package translator

import (
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// FleetsOfGatewayAPI lists the fleets of the Gateways that an object of the Gateway
// API is or, by its status, belongs to, sorted; empty, and not nil, when there are
// none. Its cost follows the entries of the status.
func (t *Translator) FleetsOfGatewayAPI(r *graph.Reader, ref ir.ObjectRef) []ir.Name {
	out := []ir.Name{}
	add := func(gateway ir.Name) {
		if g, ok := t.placed.Get(r, gateway); ok && g.Ours && !slices.Contains(out, g.Fleet) {
			out = append(out, g.Fleet)
		}
	}
	addParent := func(p *gatewayv1.ParentReference) {
		n := ir.Name{Namespace: string(gatewayapi.Or(p.Namespace, gatewayv1.Namespace(ref.Namespace))), Name: string(p.Name)}
		if gatewayapi.Or(p.Kind, gatewayapi.KindGateway) != gatewayapi.KindListenerSet {
			add(n)
			return
		}
		if set, ok := t.ListenerSets.Get(r, n); ok {
			if parent, ok := listener.ParentOf(set); ok {
				add(parent)
			}
		}
	}
	switch ref.Kind {
	case gatewayapi.KindGateway:
		add(ref.Name)
	case gatewayapi.KindListenerSet:
		addParent(&gatewayv1.ParentReference{Kind: new(gatewayv1.Kind(ref.Kind)), Name: gatewayv1.ObjectName(ref.Name.Name)})
	case gatewayapi.KindPolicy:
		s, _ := t.PolicyStatuses.Get(r, ref.Name)
		for i := range s.Ancestors {
			addParent(&s.Ancestors[i].AncestorRef)
		}
	default:
		s, _ := t.RouteStatuses.Get(r, ref)
		for i := range s.Parents {
			addParent(&s.Parents[i].ParentRef)
		}
	}
	slices.SortFunc(out, func(a, b ir.Name) int { return strings.Compare(a.String(), b.String()) })
	return out
}
