package gatewayapi

import (
	"cmp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// ControllerName is the controller of the GatewayClasses that Signet serves.
const ControllerName gatewayv1.GatewayController = "signetproxy.io/gateway-controller"

// Kinds of the Gateway API.
const (
	KindGatewayClass = "GatewayClass"
	KindGateway      = "Gateway"
	KindListenerSet  = "ListenerSet"
	KindHTTPRoute    = "HTTPRoute"
	KindGRPCRoute    = "GRPCRoute"
	KindTLSRoute     = "TLSRoute"
	KindTCPRoute     = "TCPRoute"
	KindUDPRoute     = "UDPRoute"
	KindPolicy       = "BackendTLSPolicy"
)

// Grant is one permission of a ReferenceGrant, and a question for one: objects
// of the kind FromKind of the Gateway API in the namespace From may refer to
// objects of Group and Kind in Namespace.
type Grant struct {
	FromKind, From         string
	Group, Kind, Namespace string
	// Name is "" in a grant for all objects of the kind.
	Name string
}

// AppendKey implements the key encoding of translator/graph.
func (g Grant) AppendKey(b []byte) []byte {
	for _, part := range [...]string{g.FromKind, g.From, g.Group, g.Kind, g.Namespace} {
		b = append(b, part...)
		b = append(b, 0)
	}
	return append(b, g.Name...)
}

// Grants are the permissions that a ReferenceGrant gives.
func Grants(g *gatewayv1.ReferenceGrant) []Grant {
	var out []Grant
	for _, from := range g.Spec.From {
		if from.Group != gatewayv1.GroupName {
			continue
		}
		for _, to := range g.Spec.To {
			grant := Grant{
				FromKind: string(from.Kind), From: string(from.Namespace),
				Group: string(to.Group), Kind: string(to.Kind), Namespace: g.Namespace,
			}
			if to.Name != nil {
				grant.Name = string(*to.Name)
			}
			out = append(out, grant)
		}
	}
	return out
}

// Or returns what p points to, or a default.
func Or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// Older says which of two objects goes first: the older one, then the one
// whose namespace and name come first.
func Older(aCreated time.Time, a ir.Name, bCreated time.Time, b ir.Name) int {
	return cmp.Or(aCreated.Compare(bCreated), CompareNames(a, b))
}

// CompareNames orders names by namespace and name, joined by a slash.
func CompareNames(a, b ir.Name) int { return strings.Compare(a.String(), b.String()) }

// NameOf is the name of an object.
func NameOf(o metav1.Object) ir.Name { return ir.Name{Namespace: o.GetNamespace(), Name: o.GetName()} }
