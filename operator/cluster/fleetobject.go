package cluster

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// fleetObject is the EnvoyFleet or Gateway that asks for a fleet; nil when it has
// gone.
func (c *Cluster) fleetObject(fleet ir.Name) runtime.Object {
	if n, ok := certificate.GatewayOf(fleet); ok {
		t := c.pipeline.Translator()
		if g, ok := t.Gateways.Get(t.Current().Reader(), n); ok {
			return g
		}
		return nil
	}
	for _, f := range c.pipeline.Fleets() {
		if f.Fleet == fleet {
			return f.Object
		}
	}
	return nil
}
