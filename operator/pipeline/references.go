package pipeline

import (
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
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
	switch o := o.(type) {
	case *contourv1.HTTPProxy:
		for _, ref := range httpproxy.TrustRefs(o) {
			switch ref.Kind {
			case ir.TrustSecret:
				add("Secret", ref.Name)
			case ir.TrustConfigMap:
				add("ConfigMap", ref.Name)
			case ir.TrustClusterTrustBundle, ir.TrustSystem:
			}
		}
		for _, ref := range httpproxy.CertificateRefs(o) {
			add("Secret", ref.Name)
		}
	case *v1alpha1.EnvoyFleet:
		if n, ok := clientCertificate(o); ok {
			add("Secret", n)
		}
	}
	return out
}
