package translator

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// gatewayObjects is what the Gateway API front end reads.
type gatewayObjects struct{ objects }

// ClientKeyPair implements listener.Linked.
func (o gatewayObjects) ClientKeyPair(ref ir.CertificateRef) *upstream.Problem {
	return clientObjects(o).KeyPair(ref)
}

// Granted implements listener.Linked and route.Objects.
func (o gatewayObjects) Granted(g gatewayapi.Grant) bool {
	if o.t.granted.Has(o.r, g) {
		return true
	}
	g.Name = ""
	return o.t.granted.Has(o.r, g)
}

// EnvoyFleet implements listener.Fleets.
func (o gatewayObjects) EnvoyFleet(n ir.Name) bool {
	_, ok := o.t.EnvoyFleets.Get(o.r, n)
	return ok
}

// Labels implements listener.Namespaces.
func (o gatewayObjects) Labels(namespace string) (map[string]string, bool) {
	n, ok := o.t.Namespaces.Get(o.r, ir.Name{Name: namespace})
	if !ok {
		return nil, false
	}
	return n.Labels, true
}

// Host implements listener.Facts.
func (o gatewayObjects) Host(gateway ir.Name) (ir.Name, listener.Hosting, bool) {
	for _, key := range [...]ir.Name{gateway, anyGateway} {
		if fleet, ok := o.t.hostings.First(o.r, key); ok {
			if f, ok := o.t.Fleets.Get(o.r, fleet); ok && f.Gateways != nil {
				return fleet, *f.Gateways, true
			}
		}
	}
	return ir.Name{}, listener.Hosting{}, false
}

// Gateway implements route.Gateways.
func (o gatewayObjects) Gateway(n ir.Name) *listener.Gateway {
	g, _ := o.t.placed.Get(o.r, n)
	return g
}

// GatewayOf implements route.Gateways.
func (o gatewayObjects) GatewayOf(set ir.Name) (ir.Name, bool) {
	s, ok := o.t.ListenerSets.Get(o.r, set)
	if !ok {
		return ir.Name{}, false
	}
	return listener.ParentOf(s)
}

// Policy implements route.Objects. What is not known of a policy is a fault of
// it: a backend that it might rule is not reached in plaintext.
func (o gatewayObjects) Policy(service ir.Name, port *corev1.ServicePort) *policy.Policy {
	b, ok := o.t.bindings.Get(o.r, service)
	if !ok {
		if err := o.t.bindings.Failure(o.r, service); err != nil {
			return policy.Unknown(service, err)
		}
		return nil
	}
	n := b.For(port.Name)
	if n == nil {
		return b.Stray
	}
	p, ok := o.t.policies.Get(o.r, *n)
	if !ok {
		return policy.Unknown(*n, o.t.policies.Failure(o.r, *n))
	}
	return p
}
