package kubernetes

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator/gatewayapi"
)

// What opens a way to a Service closes it when it goes, or says something else: the
// Gateways and ListenerSets of the routes, the labels of a namespace by which these
// select it, the ReferenceGrants by which routes of other namespaces send there. The
// end of a policy asks for them too. A GatewayClass is not asked for: it is kept while
// it has Gateways.

var (
	namespaceKind   = corev1.SchemeGroupVersion.WithKind("Namespace")
	grantKind       = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("ReferenceGrant")
	listenerSetKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("ListenerSet")
)

// ways collects what leads to a Service, each object once.
type ways struct {
	contents *contents
	asked    map[source.Key]client.Object
}

func (w ways) add(key source.Key) client.Object {
	o := w.contents.now(key)
	if o != nil {
		w.asked[key] = o
	}
	return o
}

// addParents adds what a route, or a ListenerSet, is attached to.
func (w ways) addParents(namespace string, o client.Object) {
	for _, p := range parents(o) {
		if gatewayapi.Or(p.Group, gatewayv1.GroupName) != gatewayv1.GroupName {
			continue
		}
		at := source.Key{GroupVersionKind: gatewayKind, Namespace: namespace, Name: string(p.Name)}
		if gatewayapi.Or(p.Kind, gatewayapi.KindGateway) == gatewayv1.Kind(listenerSetKind.Kind) {
			at.GroupVersionKind = listenerSetKind
		}
		if p.Namespace != nil {
			at.Namespace = string(*p.Namespace)
		}
		parent := w.add(at)
		if selects(parent) {
			w.add(source.Key{GroupVersionKind: namespaceKind, Name: namespace})
		}
		if at.GroupVersionKind == listenerSetKind && parent != nil {
			w.addParents(at.Namespace, parent)
		}
	}
}

// selects says that a parent takes what is attached to it by labels of namespaces.
func selects(parent client.Object) bool {
	byLabels := func(r *gatewayv1.AllowedRoutes) bool {
		return r != nil && r.Namespaces != nil && gatewayapi.Or(r.Namespaces.From, "") == gatewayv1.NamespacesFromSelector
	}
	switch o := parent.(type) {
	case *gatewayv1.Gateway:
		if a := o.Spec.AllowedListeners; a != nil && a.Namespaces != nil &&
			gatewayapi.Or(a.Namespaces.From, "") == gatewayv1.NamespacesFromSelector {
			return true
		}
		return slices.ContainsFunc(o.Spec.Listeners, func(l gatewayv1.Listener) bool { return byLabels(l.AllowedRoutes) })
	case *gatewayv1.ListenerSet:
		return slices.ContainsFunc(o.Spec.Listeners, func(l gatewayv1.ListenerEntry) bool { return byLabels(l.AllowedRoutes) })
	}
	return false
}

// addGrants adds what permits routes of other namespaces to send to a Service.
func (w ways) addGrants(service source.Key) {
	others := map[gatewayv1.Namespace]bool{}
	for route := range w.contents.fences.senders[service] {
		if route.Namespace != service.Namespace {
			others[gatewayv1.Namespace(route.Namespace)] = true
		}
	}
	if len(others) == 0 {
		return
	}
	for key := range w.contents.fences.permits[source.Key{GroupVersionKind: grantKind, Namespace: service.Namespace}] {
		if g, ok := w.contents.now(key).(*gatewayv1.ReferenceGrant); ok && permits(g, others, service.Name) {
			w.add(key)
		}
	}
}

// permits says that some of the namespaces may send to the Service by a grant.
func permits(g *gatewayv1.ReferenceGrant, from map[gatewayv1.Namespace]bool, service string) bool {
	return slices.ContainsFunc(g.Spec.From, func(f gatewayv1.ReferenceGrantFrom) bool { return from[f.Namespace] }) &&
		slices.ContainsFunc(g.Spec.To, func(to gatewayv1.ReferenceGrantTo) bool {
			return to.Kind == "Service" && string(gatewayapi.Or(to.Name, gatewayv1.ObjectName(service))) == service
		})
}
