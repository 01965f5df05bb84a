package cluster

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	provisioner "github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/ir"
)

// fleetSpec is the fleet of an EnvoyFleet, as its pods serve it.
func fleetSpec(o *v1alpha1.EnvoyFleet) translator.FleetSpec {
	address := "0.0.0.0"
	if dual(&o.Spec.Service) {
		address = "::"
	}
	var out translator.FleetSpec
	add := func(name string, port int32, l v1alpha1.Listener, tls bool) {
		if l.Enabled == nil || *l.Enabled {
			out.Listeners = append(out.Listeners, ir.Listener{
				Name: name, Address: address, Port: uint32(provisioner.PodPort(port)), TLS: tls, //nolint:gosec // a port
			})
		}
	}
	add("http", o.Spec.Listeners.HTTP.Port, o.Spec.Listeners.HTTP.Listener, false)
	add("https", o.Spec.Listeners.HTTPS.Port, o.Spec.Listeners.HTTPS.Listener, true)
	return out
}

// dual says whether pods are reached by IPv6, alone or too. Where it is not
// asked for, a node may have no IPv6 at all.
func dual(s *v1alpha1.Service) bool {
	if s.IPFamilyPolicy == corev1.IPFamilyPolicyPreferDualStack || s.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		return true
	}
	return slices.Contains(s.IPFamilies, corev1.IPv6Protocol)
}
