package kubernetes

import (
	"fmt"
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

// kind is a kind that is served.
type kind struct {
	gvk      schema.GroupVersionKind
	resource string
	object   func() client.Object
	// older are versions that the API server may have in place of gvk's, the
	// preferred one first; their objects have the same fields.
	older []string
	// clusterWide is set for a kind without namespaces.
	clusterWide bool
	// custom is set for a kind that may come and go.
	custom bool
	// with is the kind without which this one is not watched; nil is none. A
	// kind that stands alone may be watched for the sake of others.
	with *schema.GroupVersionKind
	// optional is set for a kind that is left out where it may not be listed;
	// another kind keeps the source from being complete then.
	optional bool
	// onDemand is set for a kind of which only what is referred to is read.
	onDemand bool
}

// gatewayKind is without which nothing of the Gateway API is watched. An account
// that may not list it, and what goes with it, serves no Gateway API.
var gatewayKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("Gateway")

// servedKinds is the table of kinds.
func servedKinds() []*kind {
	return slices.Concat([]*kind{
		builtin(corev1.SchemeGroupVersion.WithKind("Service"), "services", func() client.Object { return &corev1.Service{} }),
		builtin(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), "endpointslices",
			func() client.Object { return &discoveryv1.EndpointSlice{} }),
		onDemand(corev1.SchemeGroupVersion.WithKind("Secret"), "secrets", func() client.Object { return &corev1.Secret{} }),
		onDemand(corev1.SchemeGroupVersion.WithKind("ConfigMap"), "configmaps", func() client.Object { return &corev1.ConfigMap{} }),
		custom(v1alpha1.GroupVersion.WithKind("EnvoyFleet"), "envoyfleets", func() client.Object { return &v1alpha1.EnvoyFleet{} }),
		custom(contourv1.GroupVersion.WithKind("TLSCertificateDelegation"), "tlscertificatedelegations",
			func() client.Object { return &contourv1.TLSCertificateDelegation{} }),
		custom(contourv1.GroupVersion.WithKind("HTTPProxy"), "httpproxies", func() client.Object { return &contourv1.HTTPProxy{} }),
	}, gatewayKinds())
}

// gatewayKinds are those of the Gateway API, and those that it alone needs.
func gatewayKinds() []*kind {
	of := func(name, resource string, object func() client.Object) *kind {
		k := custom(schema.GroupVersion(gatewayv1.GroupVersion).WithKind(name), resource, object)
		k.with = &gatewayKind
		return k
	}
	class := of("GatewayClass", "gatewayclasses", func() client.Object { return &gatewayv1.GatewayClass{} })
	class.clusterWide = true
	grant := of("ReferenceGrant", "referencegrants", func() client.Object { return &gatewayv1.ReferenceGrant{} })
	grant.older = []string{"v1beta1"}
	namespaces := builtin(corev1.SchemeGroupVersion.WithKind("Namespace"), "namespaces", func() client.Object { return &corev1.Namespace{} })
	namespaces.clusterWide, namespaces.with = true, &gatewayKind
	bundles := custom(certificatesv1beta1.SchemeGroupVersion.WithKind("ClusterTrustBundle"), "clustertrustbundles",
		func() client.Object { return &certificatesv1beta1.ClusterTrustBundle{} })
	bundles.clusterWide, bundles.with, bundles.optional, bundles.older = true, &gatewayKind, true, []string{"v1", "v1alpha1"}
	// Before the routes, which wait for it. The fields are the same in v1alpha3: where
	// only that is there, as in release 1.3, its Services must not be asked in cleartext.
	policies := of("BackendTLSPolicy", "backendtlspolicies", func() client.Object { return &gatewayv1.BackendTLSPolicy{} })
	policies.older = []string{"v1alpha3"}
	return []*kind{
		grant, // before those who ask for it
		of("Gateway", "gateways", func() client.Object { return &gatewayv1.Gateway{} }),
		class, namespaces, bundles,
		policies,
		of("ListenerSet", "listenersets", func() client.Object { return &gatewayv1.ListenerSet{} }),
		of("HTTPRoute", "httproutes", func() client.Object { return &gatewayv1.HTTPRoute{} }),
		of("GRPCRoute", "grpcroutes", func() client.Object { return &gatewayv1.GRPCRoute{} }),
		of("TLSRoute", "tlsroutes", func() client.Object { return &gatewayv1.TLSRoute{} }),
		of("TCPRoute", "tcproutes", func() client.Object { return &gatewayv1.TCPRoute{} }),
		of("UDPRoute", "udproutes", func() client.Object { return &gatewayv1.UDPRoute{} }),
	}
}

func builtin(gvk schema.GroupVersionKind, resource string, object func() client.Object) *kind {
	return &kind{gvk: gvk, resource: resource, object: object}
}

func onDemand(gvk schema.GroupVersionKind, resource string, object func() client.Object) *kind {
	return &kind{gvk: gvk, resource: resource, object: object, onDemand: true}
}

func custom(gvk schema.GroupVersionKind, resource string, object func() client.Object) *kind {
	return &kind{gvk: gvk, resource: resource, object: object, custom: true}
}

// always says that the kind is watched from the start.
func (k *kind) always() bool { return !k.custom && k.with == nil }

// versions are those in which the kind may be read, the preferred one first.
func (k *kind) versions() []schema.GroupVersionKind {
	out := []schema.GroupVersionKind{k.gvk}
	for _, v := range k.older {
		out = append(out, schema.GroupVersionKind{Group: k.gvk.Group, Version: v, Kind: k.gvk.Kind})
	}
	return out
}

// watched is the object that the cache is asked to watch, in one of the versions.
func (k *kind) watched(version schema.GroupVersionKind) client.Object {
	switch {
	case k.onDemand:
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(k.gvk)
		return o
	case version != k.gvk:
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(version)
		return o
	default:
		return k.object()
	}
}

// read turns an object that was watched in another version into the kind's own
// type; one that cannot be is nil.
func (k *kind) read(o client.Object) client.Object {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o
	}
	out := k.object()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil
	}
	out.GetObjectKind().SetGroupVersionKind(k.gvk)
	return out
}

// newScheme knows the types of all served kinds.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, discoveryv1.AddToScheme, contourv1.AddToScheme, v1alpha1.AddToScheme,
		gatewayv1.Install, certificatesv1beta1.AddToScheme,
	} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("scheme: %w", err)
		}
	}
	return s, nil
}

// mapperOf is static: to know the resource of a kind needs no API server.
func mapperOf(kinds []*kind) meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, k := range kinds {
		scope := meta.RESTScope(meta.RESTScopeNamespace)
		if k.clusterWide {
			scope = meta.RESTScopeRoot
		}
		for _, gvk := range k.versions() {
			resource := gvk.GroupVersion().WithResource(k.resource)
			m.AddSpecific(gvk, resource, resource, scope)
		}
	}
	return m
}

// trim is the transform of everything that is cached: it sets the kind, which
// the API server's typed answers leave out, and drops what nobody reads.
func trim(s *runtime.Scheme) func(any) (any, error) {
	return func(in any) (any, error) {
		o, ok := in.(client.Object)
		if !ok {
			return in, nil
		}
		if slim, ok := in.(*metav1.PartialObjectMetadata); ok {
			out := &metav1.PartialObjectMetadata{TypeMeta: slim.TypeMeta}
			out.Namespace, out.Name, out.UID, out.ResourceVersion = slim.Namespace, slim.Name, slim.UID, slim.ResourceVersion
			return out, nil
		}
		if u, ok := in.(*unstructured.Unstructured); ok {
			u.SetManagedFields(nil)
			return u, nil
		}
		gvks, _, err := s.ObjectKinds(o)
		if err != nil || len(gvks) == 0 {
			return in, nil //nolint:nilerr // not one of ours: nothing to trim
		}
		o.GetObjectKind().SetGroupVersionKind(gvks[0])
		o.SetManagedFields(nil)
		if annotations := o.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
			delete(annotations, corev1.LastAppliedConfigAnnotation)
		}
		return in, nil
	}
}

// usable drops the contents of a Secret whose type cannot be used: what is left
// says which type it has.
func usable(o client.Object) {
	s, ok := o.(*corev1.Secret)
	if !ok {
		return
	}
	switch s.Type {
	case "", corev1.SecretTypeOpaque, corev1.SecretTypeTLS:
	default:
		s.Data, s.StringData = nil, nil
	}
}
