package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// called is the type and the name of an object.
func called(o runtime.Object) string {
	if named, ok := o.(client.Object); ok {
		return fmt.Sprintf("%T %s", o, named.GetName())
	}
	return fmt.Sprint(o)
}

// What Envoy refuses of a fleet's own, as a listener, is told on what asks for the
// fleet.
func TestFleetObject(t *testing.T) {
	fleet, gateway := ir.Name{Namespace: "default", Name: "edge"}, ir.Name{Namespace: "default", Name: "web"}
	p := pipeline.New(pipeline.Options{XDS: xds.New(xds.Options{}), Each: fleetSpec, Gateway: gatewaySpec, Log: logr.Discard()})
	p.Once(source.Batch{Complete: true, Changed: []client.Object{
		edge(fleet, 1), &gatewayv1.Gateway{Namespace: gateway.Namespace, Name: gateway.Name},
	}}, time.Now())
	c := &Cluster{pipeline: p}
	cases := map[string]struct {
		reason string
		fleet  ir.Name
		want   string
	}{
		"EnvoyFleet":      {"it has the fleet's name", fleet, "*v1alpha1.EnvoyFleet edge"},
		"Gateway":         {"its fleet is called after it", certificate.GatewayFleet(gateway), "*v1.Gateway web"},
		"gone":            {"there is nothing to tell it on", ir.Name{Namespace: "default", Name: "gone"}, "<nil>"},
		"a Gateway's end": {"there is nothing to tell it on", certificate.GatewayFleet(ir.Name{Namespace: "default", Name: "gone"}), "<nil>"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, called(c.fleetObject(tc.fleet))); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}
