package manifest

import (
	"errors"
	"fmt"
	"strings"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

// kind is a kind that is served.
type kind struct {
	gvk schema.GroupVersionKind
	// cluster is set for a kind without namespaces.
	cluster bool
	// decode returns the object that a document states, given as JSON and as
	// its content, which it may change; or what is wrong with it.
	decode func(raw []byte, content map[string]any) (client.Object, []finding)
	// spec returns what the generation counts the changes of; nil for kinds
	// without generation.
	spec func(client.Object) any
	// closed returns what stands for a refused object, given as content, until
	// there is a good one; nil for kinds that nothing is lost with.
	closed func(content map[string]any) client.Object
	// transition is set when custom has rules that compare old and new.
	transition bool
	custom     *customSchema
}

// finding is one thing that is wrong with an object.
type finding struct{ field, message string }

// servedKinds is the table of kinds.
func servedKinds(custom map[schema.GroupVersionKind]*customSchema) []kind {
	contour := contourv1.GroupVersion
	return []kind{
		builtin(corev1.SchemeGroupVersion.WithKind("Namespace"), clusterScoped, validation.NameIsDNSLabel, namespaceRules),
		builtin(corev1.SchemeGroupVersion.WithKind("Service"), namespaced, validation.NameIsDNSLabel, serviceRules),
		builtin(corev1.SchemeGroupVersion.WithKind("Secret"), namespaced, validation.NameIsDNSSubdomain, secretRules),
		builtin(corev1.SchemeGroupVersion.WithKind("ConfigMap"), namespaced, validation.NameIsDNSSubdomain, configMapRules),
		builtin(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), namespaced, validation.NameIsDNSSubdomain, sliceRules),
		customKind(custom, contour.WithKind("HTTPProxy"), func(o *contourv1.HTTPProxy) any { return &o.Spec }),
		customKind(custom, contour.WithKind("TLSCertificateDelegation"),
			func(o *contourv1.TLSCertificateDelegation) any { return &o.Spec }),
		customKind(custom, v1alpha1.GroupVersion.WithKind("EnvoyFleet"), func(o *v1alpha1.EnvoyFleet) any { return &o.Spec }),
	}
}

// gatewayKinds are those of the Gateway API. Routes have the schema of its
// experimental channel.
func gatewayKinds(custom map[schema.GroupVersionKind]*customSchema) []kind {
	gateway := schema.GroupVersion{Group: gatewayv1.GroupVersion.Group, Version: gatewayv1.GroupVersion.Version}
	return []kind{
		builtin(certificatesv1beta1.SchemeGroupVersion.WithKind("ClusterTrustBundle"), clusterScoped,
			trustBundleName, trustBundleRules),
		customKind(custom, gateway.WithKind("GatewayClass"), func(o *gatewayv1.GatewayClass) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("Gateway"), func(o *gatewayv1.Gateway) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("ListenerSet"), func(o *gatewayv1.ListenerSet) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("HTTPRoute"), func(o *gatewayv1.HTTPRoute) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("GRPCRoute"), func(o *gatewayv1.GRPCRoute) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("TLSRoute"), func(o *gatewayv1.TLSRoute) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("TCPRoute"), func(o *gatewayv1.TCPRoute) any { return &o.Spec }),
		customKind(custom, gateway.WithKind("UDPRoute"), func(o *gatewayv1.UDPRoute) any { return &o.Spec }),
		policyKind(custom, gateway.WithKind("BackendTLSPolicy")),
		customKind(custom, gateway.WithKind("ReferenceGrant"), func(o *gatewayv1.ReferenceGrant) any { return &o.Spec }),
	}
}

const (
	namespaced    = false
	clusterScoped = true
)

// object is a pointer to T that is an object.
type object[T any] interface {
	*T
	client.Object
}

// builtin is a kind that every API server knows. Its rules may set defaults.
func builtin[T any, P object[T]](
	gvk schema.GroupVersionKind, cluster bool, name validation.ValidateNameFunc, rules func(P) field.ErrorList,
) kind {
	return kind{gvk: gvk, cluster: cluster, decode: func(raw []byte, content map[string]any) (client.Object, []finding) {
		o := P(new(T))
		if found := decodeStrict(raw, content, o); len(found) > 0 {
			return nil, found
		}
		errs := metadataRules(o, cluster, name)
		errs = append(errs, rules(o)...)
		return o, fieldFindings(errs)
	}}
}

// customKind is a kind with a CRD; without one it has no decode.
func customKind[T any, P object[T]](
	schemas map[schema.GroupVersionKind]*customSchema, gvk schema.GroupVersionKind, spec func(P) any,
) kind {
	s, ok := schemas[gvk]
	if !ok {
		return kind{gvk: gvk}
	}
	out := kind{gvk: gvk, cluster: !s.namespaced, custom: s, transition: s.transition}
	out.spec = func(o client.Object) any {
		typed, _ := o.(P)
		return spec(typed)
	}
	out.decode = func(_ []byte, content map[string]any) (client.Object, []finding) {
		found := s.admit(content)
		if len(found) > 0 {
			return nil, found
		}
		o := P(new(T))
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, o); err != nil {
			return nil, []finding{{message: err.Error()}}
		}
		return o, fieldFindings(metadataRules(o, out.cluster, validation.NameIsDNSSubdomain))
	}
	return out
}

// policyKind is the kind of a policy without which its Services would be
// reached in plaintext: a refused one stands with its targets and no validation,
// so that they are not reached at all.
func policyKind(custom map[schema.GroupVersionKind]*customSchema, gvk schema.GroupVersionKind) kind {
	out := customKind(custom, gvk, func(o *gatewayv1.BackendTLSPolicy) any { return &o.Spec })
	out.closed = func(content map[string]any) client.Object {
		spec, _ := content["spec"].(map[string]any)
		refs, _ := spec["targetRefs"].([]any)
		o := &gatewayv1.BackendTLSPolicy{}
		for _, ref := range refs {
			fields, _ := ref.(map[string]any)
			name, _ := fields["name"].(string)
			kind, named := fields["kind"].(string)
			if name == "" || (named && kind != "Service") {
				continue
			}
			target := gatewayv1.LocalPolicyTargetReferenceWithSectionName{}
			target.Kind, target.Name = "Service", gatewayv1.ObjectName(name)
			if section, ok := fields["sectionName"].(string); ok && section != "" {
				at := gatewayv1.SectionName(section)
				target.SectionName = &at
			}
			o.Spec.TargetRefs = append(o.Spec.TargetRefs, target)
		}
		if len(o.Spec.TargetRefs) == 0 {
			return nil
		}
		return o
	}
	return out
}

func sameSpec(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// metadataRules sets the default namespace and validates the metadata.
func metadataRules(o client.Object, cluster bool, name validation.ValidateNameFunc) field.ErrorList {
	if o.GetNamespace() == "" && !cluster {
		o.SetNamespace(DefaultNamespace)
	}
	return validation.ValidateObjectMetaAccessor(o, !cluster, name, field.NewPath("metadata"))
}

// fieldFindings removes what is said twice.
func fieldFindings(errs field.ErrorList) []finding {
	var out []finding
	seen := map[finding]bool{}
	for _, e := range errs {
		f := finding{field: strings.TrimPrefix(e.Field, "<nil>"), message: e.ErrorBody()}
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	return out
}

// strictFinding turns an error of strict decoding into a finding.
func strictFinding(err error) finding {
	f := finding{message: "strict decoding error: " + err.Error()}
	if at := interface{ FieldPath() string }(nil); errors.As(err, &at) {
		f.field = at.FieldPath()
	}
	return f
}

func unknownField(path string) finding {
	return finding{field: path, message: fmt.Sprintf("strict decoding error: unknown field %q", path)}
}
