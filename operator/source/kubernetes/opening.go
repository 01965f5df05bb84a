package kubernetes

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// A route that has come before may lead nowhere yet: no Gateway takes it, or no
// ReferenceGrant permits its Services. What opens the way then waits for the
// policies that were there, as the route did when it came, unless each Service
// that some route sends to has one. It waits once for what it says: a status that
// is written on it, or a note, opens nothing.

// opens is what an object says of the routes that it lets through; empty for
// kinds that let none through.
func opens(o client.Object) string {
	switch o := o.(type) {
	case *gatewayv1.GatewayClass, *gatewayv1.Gateway, *gatewayv1.ListenerSet:
		return fmt.Sprint(o.GetUID(), o.GetGeneration())
	case *gatewayv1.ReferenceGrant:
		if slices.ContainsFunc(o.Spec.To, func(to gatewayv1.ReferenceGrantTo) bool { return to.Kind == "Service" }) {
			return fmt.Sprint(o.UID, o.Generation)
		}
	case *corev1.Namespace:
		return fmt.Sprint("labels", o.Labels) // in the order of their keys
	}
	return ""
}

// openings are the lists of policies that an object must wait for, as it opens
// ways that it did not open before.
func (c *contents) openings(key source.Key, o client.Object) []source.Key {
	said := opens(o)
	if said == "" || said == c.fences.opened[key] {
		return nil
	}
	namespaces := c.source.options.Namespaces
	switch o.(type) {
	case *gatewayv1.ReferenceGrant:
		namespaces = []string{key.Namespace}
	case *corev1.Namespace:
		if !c.fences.hasRoute(key.Name) {
			return nil
		}
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	var out []source.Key
	for _, n := range namespaces {
		if c.fences.unpoliced(n) {
			out = append(out, source.Key{GroupVersionKind: policyFence, Namespace: n})
		}
	}
	return out
}

// unpoliced says that a route sends to a Service of a namespace, or of any, of
// which no policy is delivered.
func (f *fences) unpoliced(namespace string) bool {
	for service := range f.senders {
		if (namespace == metav1.NamespaceAll || service.Namespace == namespace) && f.about[cause(policyFence, service)] == 0 {
			return true
		}
	}
	return false
}

// hasRoute says that a route of a namespace has come.
func (f *fences) hasRoute(namespace string) bool {
	for route := range f.routes {
		if route.Namespace == namespace {
			return true
		}
	}
	return false
}
