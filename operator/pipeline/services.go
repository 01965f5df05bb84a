package pipeline

import (
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
)

// serviceKind is what a BackendTLSPolicy is about.
var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

// Uses lists the Services that an object opens a way to, each once, of which a
// BackendTLSPolicy may say that they speak TLS: those that a route of the Gateway
// API sends to, a Service itself, that of an EndpointSlice. Of other objects it is
// empty.
func Uses(o client.Object) []source.Key {
	var out []source.Key
	add := func(b *gatewayv1.BackendObjectReference) { out = addBackend(out, o, b) }
	switch o := o.(type) {
	case *corev1.Service:
		return []source.Key{{GroupVersionKind: serviceKind, Namespace: o.Namespace, Name: o.Name}}
	case *discoveryv1.EndpointSlice:
		if name := o.Labels[discoveryv1.LabelServiceName]; name != "" {
			return []source.Key{{GroupVersionKind: serviceKind, Namespace: o.Namespace, Name: name}}
		}
	case *gatewayv1.UDPRoute: // which has no TLS
	default:
		eachBackend(o, add)
	}
	return out
}

// eachBackend passes on what a route of the Gateway API sends to.
func eachBackend(route client.Object, pass func(*gatewayv1.BackendObjectReference)) {
	switch o := route.(type) {
	case *gatewayv1.HTTPRoute:
		for i := range o.Spec.Rules {
			usesOfHTTP(&o.Spec.Rules[i], pass)
		}
	case *gatewayv1.GRPCRoute:
		for i := range o.Spec.Rules {
			usesOfGRPC(&o.Spec.Rules[i], pass)
		}
	case *gatewayv1.TLSRoute:
		for i := range o.Spec.Rules {
			usesOf(o.Spec.Rules[i].BackendRefs, pass)
		}
	case *gatewayv1.TCPRoute:
		for i := range o.Spec.Rules {
			usesOf(o.Spec.Rules[i].BackendRefs, pass)
		}
	case *gatewayv1.UDPRoute:
		for i := range o.Spec.Rules {
			usesOf(o.Spec.Rules[i].BackendRefs, pass)
		}
	}
}

func usesOf(refs []gatewayv1.BackendRef, add func(*gatewayv1.BackendObjectReference)) {
	for i := range refs {
		add(&refs[i].BackendObjectReference)
	}
}

func usesOfHTTP(rule *gatewayv1.HTTPRouteRule, add func(*gatewayv1.BackendObjectReference)) {
	mirrors := func(filters []gatewayv1.HTTPRouteFilter) {
		for i := range filters {
			if m := filters[i].RequestMirror; m != nil {
				add(&m.BackendRef)
			}
			if a := filters[i].ExternalAuth; a != nil {
				add(&a.BackendRef)
			}
		}
	}
	mirrors(rule.Filters)
	for i := range rule.BackendRefs {
		add(&rule.BackendRefs[i].BackendObjectReference)
		mirrors(rule.BackendRefs[i].Filters)
	}
}

func usesOfGRPC(rule *gatewayv1.GRPCRouteRule, add func(*gatewayv1.BackendObjectReference)) {
	mirrors := func(filters []gatewayv1.GRPCRouteFilter) {
		for i := range filters {
			if m := filters[i].RequestMirror; m != nil {
				add(&m.BackendRef)
			}
		}
	}
	mirrors(rule.Filters)
	for i := range rule.BackendRefs {
		add(&rule.BackendRefs[i].BackendObjectReference)
		mirrors(rule.BackendRefs[i].Filters)
	}
}

// Backends lists the Services that a route of any kind sends to, each once. Of other
// objects it is empty.
func Backends(o client.Object) []source.Key {
	var out []source.Key
	switch o := o.(type) {
	case *contourv1.HTTPProxy:
		eachService(o, func(s *contourv1.Service) { out = addService(out, o.Namespace, s.Name) })
	default:
		eachBackend(o, func(b *gatewayv1.BackendObjectReference) { out = addBackend(out, o, b) })
	}
	return out
}

// eachService passes on what an HTTPProxy sends to.
func eachService(p *contourv1.HTTPProxy, pass func(*contourv1.Service)) {
	for i := range p.Spec.Routes {
		for j := range p.Spec.Routes[i].Services {
			pass(&p.Spec.Routes[i].Services[j])
		}
	}
	if p.Spec.TCPProxy != nil {
		for i := range p.Spec.TCPProxy.Services {
			pass(&p.Spec.TCPProxy.Services[i])
		}
	}
}

// addBackend adds the Service that a route of the Gateway API refers to, if it is
// one, unless it is there.
func addBackend(out []source.Key, route client.Object, b *gatewayv1.BackendObjectReference) []source.Key {
	if !isService(b) {
		return out
	}
	return addService(out, namespaceOf(b, route), string(b.Name))
}

func isService(b *gatewayv1.BackendObjectReference) bool {
	group := gatewayapi.Or(b.Group, "")
	return (group == "" || group == "core") && gatewayapi.Or(b.Kind, "Service") == "Service"
}

func namespaceOf(b *gatewayv1.BackendObjectReference, route client.Object) string {
	return string(gatewayapi.Or(b.Namespace, gatewayv1.Namespace(route.GetNamespace())))
}

// addService adds a Service, unless it is there.
func addService(out []source.Key, namespace, name string) []source.Key {
	k := source.Key{GroupVersionKind: serviceKind, Namespace: namespace, Name: name}
	if slices.Contains(out, k) {
		return out
	}
	return append(out, k)
}

// Targets lists the Services that a BackendTLSPolicy is about as a whole, each once:
// where it names a port, another policy may say of the others that they speak TLS.
// Of other objects it is empty.
func Targets(o client.Object) []source.Key {
	p, ok := o.(*gatewayv1.BackendTLSPolicy)
	if !ok {
		return nil
	}
	var out []source.Key
	for _, t := range policy.Targets(p) {
		if t.Section == "" {
			out = addService(out, t.Service.Namespace, t.Service.Name)
		}
	}
	return out
}
