package kubernetes

import (
	"fmt"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

// kind is a kind that is served.
type kind struct {
	gvk      schema.GroupVersionKind
	resource string
	object   func() client.Object
	// custom is set for a kind whose CRD may come and go.
	custom bool
	// onDemand is set for a kind of which only what is referred to is read.
	onDemand bool
}

// servedKinds is the table of kinds.
func servedKinds() []*kind {
	return []*kind{
		builtin(corev1.SchemeGroupVersion.WithKind("Service"), "services", func() client.Object { return &corev1.Service{} }),
		builtin(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), "endpointslices",
			func() client.Object { return &discoveryv1.EndpointSlice{} }),
		onDemand(corev1.SchemeGroupVersion.WithKind("Secret"), "secrets", func() client.Object { return &corev1.Secret{} }),
		onDemand(corev1.SchemeGroupVersion.WithKind("ConfigMap"), "configmaps", func() client.Object { return &corev1.ConfigMap{} }),
		custom(v1alpha1.GroupVersion.WithKind("EnvoyFleet"), "envoyfleets", func() client.Object { return &v1alpha1.EnvoyFleet{} }),
		custom(contourv1.GroupVersion.WithKind("HTTPProxy"), "httpproxies", func() client.Object { return &contourv1.HTTPProxy{} }),
		custom(contourv1.GroupVersion.WithKind("TLSCertificateDelegation"), "tlscertificatedelegations",
			func() client.Object { return &contourv1.TLSCertificateDelegation{} }),
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

// watched is the object that the cache is asked to watch.
func (k *kind) watched() client.Object {
	if !k.onDemand {
		return k.object()
	}
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(k.gvk)
	return o
}

// newScheme knows the types of all served kinds.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, discoveryv1.AddToScheme, contourv1.AddToScheme, v1alpha1.AddToScheme,
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
		resource := k.gvk.GroupVersion().WithResource(k.resource)
		m.AddSpecific(k.gvk, resource, resource, meta.RESTScopeNamespace)
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
