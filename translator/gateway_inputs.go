package translator

import (
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// GatewayInputs are the tables of the Gateway API, and of what only it reads.
// Objects without a namespace have an empty one in their names.
type GatewayInputs struct {
	GatewayClasses *graph.Input[ir.Name, *gatewayv1.GatewayClass]
	Gateways       *graph.Input[ir.Name, *gatewayv1.Gateway]
	ListenerSets   *graph.Input[ir.Name, *gatewayv1.ListenerSet]
	HTTPRoutes     *graph.Input[ir.Name, *gatewayv1.HTTPRoute]
	GRPCRoutes     *graph.Input[ir.Name, *gatewayv1.GRPCRoute]
	TLSRoutes      *graph.Input[ir.Name, *gatewayv1.TLSRoute]
	TCPRoutes      *graph.Input[ir.Name, *gatewayv1.TCPRoute]
	UDPRoutes      *graph.Input[ir.Name, *gatewayv1.UDPRoute]
	Policies       *graph.Input[ir.Name, *gatewayv1.BackendTLSPolicy]
	Grants         *graph.Input[ir.Name, *gatewayv1.ReferenceGrant]
	Namespaces     *graph.Input[ir.Name, *corev1.Namespace]
	TrustBundles   *graph.Input[ir.Name, *certificatesv1beta1.ClusterTrustBundle]
	// EnvoyFleets are those that exist: a parametersRef may name them.
	EnvoyFleets *graph.Input[ir.Name, bool]
	// SystemTrust holds the one row SystemTrustKey: the certificates that the
	// system trusts, as PEM.
	SystemTrust *graph.Input[graph.String, string]
}

// SystemTrustKey is the key of the only row of the SystemTrust input.
const SystemTrustKey = graph.String("system")

func (t *Translator) declareGatewayInputs() {
	g := t.Graph
	t.GatewayClasses = graph.NewInput[ir.Name](g, "GatewayClass", graph.Main, func(a, b *gatewayv1.GatewayClass) bool {
		return a.UID == b.UID && a.Generation == b.Generation && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.Gateways = graph.NewInput[ir.Name](g, "Gateway", graph.Main, func(a, b *gatewayv1.Gateway) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.ListenerSets = graph.NewInput[ir.Name](g, "ListenerSet", graph.Main, func(a, b *gatewayv1.ListenerSet) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.HTTPRoutes = graph.NewInput[ir.Name](g, "HTTPRoute", graph.Main, func(a, b *gatewayv1.HTTPRoute) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.GRPCRoutes = graph.NewInput[ir.Name](g, "GRPCRoute", graph.Main, func(a, b *gatewayv1.GRPCRoute) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.TLSRoutes = graph.NewInput[ir.Name](g, "TLSRoute", graph.Main, func(a, b *gatewayv1.TLSRoute) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.TCPRoutes = graph.NewInput[ir.Name](g, "TCPRoute", graph.Main, func(a, b *gatewayv1.TCPRoute) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.UDPRoutes = graph.NewInput[ir.Name](g, "UDPRoute", graph.Main, func(a, b *gatewayv1.UDPRoute) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.Policies = graph.NewInput[ir.Name](g, "BackendTLSPolicy", graph.Main, func(a, b *gatewayv1.BackendTLSPolicy) bool {
		return sameAge(a, b) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.Grants = graph.NewInput[ir.Name](g, "ReferenceGrant", graph.Main, func(a, b *gatewayv1.ReferenceGrant) bool {
		return equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
	})
	t.Namespaces = graph.NewInput[ir.Name](g, "Namespace", graph.Main, func(a, b *corev1.Namespace) bool {
		return equality.Semantic.DeepEqual(a.Labels, b.Labels)
	})
	t.TrustBundles = graph.NewInput[ir.Name](g, "ClusterTrustBundle", graph.Main, func(a, b *certificatesv1beta1.ClusterTrustBundle) bool {
		return a.Spec.TrustBundle == b.Spec.TrustBundle
	})
	t.EnvoyFleets = graph.NewInput[ir.Name, bool](g, "EnvoyFleet object", graph.Main, nil)
	t.SystemTrust = graph.NewInput[graph.String, string](g, "system trust", graph.Main, nil)
}

// aged is what precedence depends on, and which object of the name it is.
type aged interface {
	GetUID() types.UID
	GetGeneration() int64
	GetCreationTimestamp() metav1.Time
}

func sameAge(a, b aged) bool {
	x, y := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return a.GetUID() == b.GetUID() && a.GetGeneration() == b.GetGeneration() && x.Equal(&y)
}

// gatewayTrust keeps the bundles alive that policies and Gateways name.
func (t *Translator) gatewayTrust() []graph.Liveness[ir.TrustRef] {
	return []graph.Liveness[ir.TrustRef]{
		graph.NewIndex(t.Policies, "trust bundles by policy",
			func(_ ir.Name, p *gatewayv1.BackendTLSPolicy) []ir.TrustRef { return policy.TrustRefs(p) }),
		graph.NewIndex(t.Gateways, "trust bundles by Gateway",
			func(_ ir.Name, g *gatewayv1.Gateway) []ir.TrustRef { return listener.TrustRefs(g) }),
	}
}

// gatewayCertificates keeps the key pairs alive that Gateways name.
func (t *Translator) gatewayCertificates() []graph.Liveness[ir.CertificateRef] {
	return []graph.Liveness[ir.CertificateRef]{
		graph.NewIndex(t.Gateways, "certificates by Gateway",
			func(_ ir.Name, g *gatewayv1.Gateway) []ir.CertificateRef { return listener.CertificateRefs(g) }),
		graph.NewIndex(t.ListenerSets, "certificates by ListenerSet",
			func(_ ir.Name, s *gatewayv1.ListenerSet) []ir.CertificateRef { return listener.SetCertificateRefs(s) }),
	}
}

func (t *Translator) gatewayClientCertificates() graph.Liveness[ir.CertificateRef] {
	return graph.NewIndex(t.Gateways, "client certificates by Gateway", func(_ ir.Name, g *gatewayv1.Gateway) []ir.CertificateRef {
		if c := listener.ClientCertificate(g); c != nil {
			return []ir.CertificateRef{*c}
		}
		return nil
	})
}

// trustText is the text of a bundle that is neither a Secret nor a ConfigMap.
func (t *Translator) trustText(r *graph.Reader, ref ir.TrustRef) *corev1.ConfigMap {
	if ref.Kind == ir.TrustSystem {
		if text, ok := t.SystemTrust.Get(r, SystemTrustKey); ok {
			return upstream.TrustText(text)
		}
		return nil
	}
	if b, ok := t.TrustBundles.Get(r, ref.Name); ok {
		return upstream.TrustText(b.Spec.TrustBundle)
	}
	return nil
}
