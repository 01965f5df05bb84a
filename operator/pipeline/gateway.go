package pipeline

import (
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// putGateway records an object of the Gateway API, or of what only it reads.
func (in *intake) putGateway(c *graph.Changes, n ir.Name, o client.Object) {
	switch o := o.(type) {
	case *gatewayv1.GatewayClass:
		in.inputs.GatewayClasses.Put(c, n, o)
		in.fleets.class(o.Name, o)
	case *gatewayv1.Gateway:
		in.fleets.gateway(n, o)
		in.inputs.Gateways.Put(c, n, o)
	case *gatewayv1.ListenerSet:
		in.inputs.ListenerSets.Put(c, n, o)
	case *gatewayv1.HTTPRoute:
		in.inputs.HTTPRoutes.Put(c, n, o)
	case *gatewayv1.GRPCRoute:
		in.inputs.GRPCRoutes.Put(c, n, o)
	case *gatewayv1.TLSRoute:
		in.inputs.TLSRoutes.Put(c, n, o)
	case *gatewayv1.TCPRoute:
		in.inputs.TCPRoutes.Put(c, n, o)
	case *gatewayv1.UDPRoute:
		in.inputs.UDPRoutes.Put(c, n, o)
	case *gatewayv1.BackendTLSPolicy:
		in.inputs.Policies.Put(c, n, o)
	case *gatewayv1.ReferenceGrant:
		in.inputs.Grants.Put(c, n, o)
	case *corev1.Namespace:
		in.inputs.Namespaces.Put(c, n, o)
	case *certificatesv1beta1.ClusterTrustBundle:
		in.inputs.TrustBundles.Put(c, n, o)
	}
}

func (in *intake) removeGateway(c *graph.Changes, n ir.Name, kind string) {
	switch kind {
	case "GatewayClass":
		in.inputs.GatewayClasses.Delete(c, n)
		in.fleets.class(n.Name, nil)
	case "Gateway":
		in.fleets.gateway(n, nil)
		in.inputs.Gateways.Delete(c, n)
	case "ListenerSet":
		in.inputs.ListenerSets.Delete(c, n)
	case "HTTPRoute":
		in.inputs.HTTPRoutes.Delete(c, n)
	case "GRPCRoute":
		in.inputs.GRPCRoutes.Delete(c, n)
	case "TLSRoute":
		in.inputs.TLSRoutes.Delete(c, n)
	case "TCPRoute":
		in.inputs.TCPRoutes.Delete(c, n)
	case "UDPRoute":
		in.inputs.UDPRoutes.Delete(c, n)
	case "BackendTLSPolicy":
		in.inputs.Policies.Delete(c, n)
	case "ReferenceGrant":
		in.inputs.Grants.Delete(c, n)
	case "Namespace":
		in.inputs.Namespaces.Delete(c, n)
	case "ClusterTrustBundle":
		in.inputs.TrustBundles.Delete(c, n)
	}
}
