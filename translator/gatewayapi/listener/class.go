package listener

import (
	"fmt"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Group and kind of the objects that shape a fleet.
const (
	ParametersGroup = "operator.signetproxy.io"
	ParametersKind  = "EnvoyFleet"
)

// Class is a GatewayClass.
type Class struct {
	Name       string
	Generation int64
	// Ours says that Signet is its controller.
	Ours bool
	// Fault is why its Gateways are not served.
	Fault *gatewayapi.Fault
}

// Fleets tells which EnvoyFleets there are.
type Fleets interface{ EnvoyFleet(name ir.Name) bool }

// ReadClass judges a GatewayClass; nil is one that does not exist.
func ReadClass(f Fleets, c *gatewayv1.GatewayClass) Class {
	if c == nil {
		return Class{}
	}
	out := Class{Name: c.Name, Generation: c.Generation, Ours: c.Spec.ControllerName == gatewayapi.ControllerName}
	if p := c.Spec.ParametersRef; out.Ours && p != nil {
		out.Fault = parameters(f, string(p.Group), string(p.Kind),
			ir.Name{Namespace: string(gatewayapi.Or(p.Namespace, "")), Name: p.Name})
	}
	return out
}

// Shape is the EnvoyFleet that shapes the fleet of a Gateway: the one that it
// names itself, else the one that its class names; false when none is named.
func Shape(g *gatewayv1.Gateway, c *gatewayv1.GatewayClass) (ir.Name, bool) {
	if i := g.Spec.Infrastructure; i != nil && i.ParametersRef != nil {
		return ir.Name{Namespace: g.Namespace, Name: i.ParametersRef.Name}, true
	}
	if c != nil && c.Spec.ParametersRef != nil {
		p := c.Spec.ParametersRef
		return ir.Name{Namespace: string(gatewayapi.Or(p.Namespace, "")), Name: p.Name}, true
	}
	return ir.Name{}, false
}

// parameters judges a reference to what shapes a fleet.
func parameters(f Fleets, group, kind string, name ir.Name) *gatewayapi.Fault {
	switch {
	case group != ParametersGroup || kind != ParametersKind:
		return &gatewayapi.Fault{Reason: reason.InvalidParameters,
			Message: fmt.Sprintf("parametersRef: kind %q of group %q is not supported: name an EnvoyFleet of %s", kind, group, ParametersGroup)}
	case !f.EnvoyFleet(name):
		return &gatewayapi.Fault{Reason: reason.InvalidParameters,
			Message: fmt.Sprintf("parametersRef: EnvoyFleet %q does not exist", name)}
	default:
		return nil
	}
}

// Status is the status of a class that is ours. The features are sorted.
// SupportedVersion is not in it: whoever reads a cluster's CRDs adds it.
func (c *Class) Status(features []gatewayv1.SupportedFeature) gatewayv1.GatewayClassStatus {
	conditions := gatewayapi.Conditions{Generation: c.Generation}
	conditions.Judge(reason.ConditionAccepted, c.Fault, reason.Accepted, reason.MessageClassAccepted)
	return gatewayv1.GatewayClassStatus{Conditions: conditions.List(), SupportedFeatures: features}
}
