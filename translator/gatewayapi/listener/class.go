package listener

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/consts"

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

// CRD is a CustomResourceDefinition of the API with its bundle version.
type CRD struct{ Name, Version string }

// foreign is why the CRDs are not all of the release that Signet knows; nil
// when they are. A patch release changes no meaning.
func foreign(crds []CRD) *gatewayapi.Fault {
	release, _, _ := strings.Cut(strings.TrimPrefix(consts.BundleVersion, "v1."), ".")
	var odd []string
	for _, c := range crds {
		if !strings.HasPrefix(c.Version, "v1."+release+".") {
			odd = append(odd, fmt.Sprintf("%s is of version %q", c.Name, c.Version))
		}
	}
	if len(odd) == 0 {
		return nil
	}
	slices.Sort(odd)
	return &gatewayapi.Fault{Reason: reason.UnsupportedVersion, Message: fmt.Sprintf(
		"Signet knows release v1.%s of the Gateway API, such as %s, and serves what it knows: %s",
		release, consts.BundleVersion, strings.Join(odd, ", "))}
}

// Status is the status of a class that is ours. The features are sorted. CRDs
// of another release are served as far as they are known.
func (c *Class) Status(features []gatewayv1.SupportedFeature, crds []CRD) gatewayv1.GatewayClassStatus {
	conditions := gatewayapi.Conditions{Generation: c.Generation}
	conditions.Judge(reason.ConditionAccepted, c.Fault, reason.Accepted, reason.MessageClassAccepted)
	conditions.Judge(reason.ConditionSupportedVersion, foreign(crds), reason.SupportedVersion, reason.MessageVersionSupported)
	return gatewayv1.GatewayClassStatus{Conditions: conditions.List(), SupportedFeatures: features}
}
