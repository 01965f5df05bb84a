package cluster

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	fleets "github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/provisioner/certificate"
	provisioner "github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
)

// gatewaySpec is the fleet of a Gateway, as its pods serve it. Shape is the
// EnvoyFleet that it is shaped by, nil for none.
func gatewaySpec(g *gatewayv1.Gateway, shape *v1alpha1.EnvoyFleet) translator.FleetSpec {
	own := gatewayapi.NameOf(g)
	out := translator.FleetSpec{
		Name: certificate.GatewayFleet(own),
		Gateways: &listener.Hosting{
			Only: &own, Address: podAddress(shape), Offset: provisioner.GatewayOffset, Assigned: true,
			Reserved: []uint32{provisioner.StatusPort},
		},
	}
	if shape == nil {
		return out
	}
	out.AccessLog = pipeline.AccessLog(shape)
	out.Upstream = pipeline.UpstreamTLS(shape)
	if t := shape.Spec.UpstreamTLS; t != nil && t.ClientCertificate != nil {
		switch c := t.ClientCertificate; {
		case c.SecretRef != nil:
			out.Upstream.ClientCertificate = &ir.Name{Namespace: c.SecretRef.Namespace, Name: c.SecretRef.Name}
			if c.SecretRef.Namespace == "" {
				out.Upstream.ClientCertificate.Namespace = shape.Namespace
			}
		case c.Issued != nil:
			out.Upstream.ClientCertificate = &ir.Name{Namespace: g.Namespace, Name: fleets.ClientSecret(g)}
		}
	}
	return out
}

// podAddress is what pods bind.
func podAddress(shape *v1alpha1.EnvoyFleet) string {
	if shape != nil && dual(&shape.Spec.Service) {
		return "::"
	}
	return "0.0.0.0"
}

// references are what a translation reads for an object; of a Gateway, the client
// certificate that Signet may keep for it too.
func references(o client.Object) []source.Key {
	out := pipeline.References(o)
	if g, ok := o.(*gatewayv1.Gateway); ok {
		k := source.Key{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Secret"), Namespace: g.Namespace, Name: fleets.ClientSecret(g)}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}
