package pipeline

import (
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// References lists the Secrets and ConfigMaps whose contents the translation
// of an object reads, each once. A source that reads only these changes nothing
// of the result: the graph's certificates live by the same lists.
func References(o client.Object) []source.Key {
	var out []source.Key
	add := func(kind string, n ir.Name) {
		k := source.Key{GroupVersionKind: corev1.SchemeGroupVersion.WithKind(kind), Namespace: n.Namespace, Name: n.Name}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	trust := func(refs []ir.TrustRef) {
		for _, ref := range refs {
			switch ref.Kind {
			case ir.TrustSecret:
				add("Secret", ref.Name)
			case ir.TrustConfigMap:
				add("ConfigMap", ref.Name)
			case ir.TrustClusterTrustBundle, ir.TrustSystem:
			}
		}
	}
	certificates := func(refs []ir.CertificateRef) {
		for _, ref := range refs {
			add("Secret", ref.Name)
		}
	}
	switch o := o.(type) {
	case *contourv1.HTTPProxy:
		trust(httpproxy.TrustRefs(o))
		certificates(httpproxy.CertificateRefs(o))
	case *gatewayv1.Gateway:
		trust(listener.TrustRefs(o))
		certificates(listener.CertificateRefs(o))
		if c := listener.ClientCertificate(o); c != nil {
			add("Secret", c.Name)
		}
	case *gatewayv1.ListenerSet:
		certificates(listener.SetCertificateRefs(o))
	case *gatewayv1.BackendTLSPolicy:
		trust(policy.TrustRefs(o))
	case *v1alpha1.EnvoyFleet:
		if n, ok := clientCertificate(o); ok {
			add("Secret", n)
		}
	}
	return out
}
