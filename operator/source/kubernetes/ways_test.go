package kubernetes

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// looks answers the reads for the ends of policies with what differs of that which
// they ask for.
func (c *contents) looks(differs map[source.Key]string) {
	for key, x := range c.known {
		if key.GroupVersionKind != endFence || x.settled {
			continue
		}
		versions := map[source.Key]string{}
		for asked := range c.asks(key) {
			if version, ok := differs[asked]; ok {
				versions[asked] = version
			}
		}
		c.settle(fetch{key: key, of: x, versions: versions})
	}
}

func gatewayKeyOf(kind, namespace, name string) source.Key {
	return source.Key{GroupVersionKind: schema.GroupVersion(gatewayv1.GroupVersion).WithKind(kind), Namespace: namespace, Name: name}
}

// comes takes an object at a place, in a version that is its generation too.
func (c *contents) comes(key source.Key, o client.Object, version int64) {
	o.GetObjectKind().SetGroupVersionKind(key.GroupVersionKind)
	o.SetNamespace(key.Namespace)
	o.SetName(key.Name)
	o.SetGeneration(version)
	o.SetResourceVersion(fmt.Sprint(version))
	c.arrive(key, o)
}

// farRoute sends to the Service web of namespace b.
func farRoute(parents ...gatewayv1.ParentReference) *gatewayv1.HTTPRoute {
	r := &gatewayv1.HTTPRoute{}
	r.Spec.ParentRefs = parents
	return r
}

func farWeb() source.Key {
	return source.Key{GroupVersionKind: serviceKind, Namespace: "b", Name: "web"}
}

// farOptions are those of routes that all send to the Service web of namespace b.
func farOptions() Options {
	o := policedOptions()
	o.Uses = func(o client.Object) []source.Key {
		if _, ok := o.(*gatewayv1.HTTPRoute); ok {
			return []source.Key{farWeb()}
		}
		return nil
	}
	o.Targets = func(client.Object) []source.Key { return []source.Key{farWeb()} }
	return o
}

func selecting() *gatewayv1.Gateway {
	g := &gatewayv1.Gateway{}
	g.Spec.Listeners = []gatewayv1.Listener{{AllowedRoutes: &gatewayv1.AllowedRoutes{
		Namespaces: &gatewayv1.RouteNamespaces{From: new(gatewayv1.NamespacesFromSelector)},
	}}}
	return g
}

// The way to a Service was closed, and then its policy deleted: the watch of policies
// was ahead of that of grants, or Gateways, and the route that was permitted still led
// there in cleartext.
func TestEndOfAPolicyWaitsUntilTheWayIsClosed(t *testing.T) {
	grant, set := gatewayKeyOf("ReferenceGrant", "b", "grant"), gatewayKeyOf("ListenerSet", "a", "set")
	gateway := gatewayKeyOf("Gateway", "a", "g")
	space := source.Key{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace"), Name: "a"}
	of := gatewayv1.ParentReference{Name: "g"}
	ofSet := gatewayv1.ParentReference{Kind: new(gatewayv1.Kind("ListenerSet")), Name: "set"}
	cases := map[string]struct {
		reason string
		route  *gatewayv1.HTTPRoute
		closed source.Key
		next   client.Object // nil: gone
		waits  bool
	}{
		"grant":           {"the grant is gone", farRoute(), grant, nil, true},
		"grant changed":   {"the grant permits others", farRoute(), grant, servicesOf("c"), true},
		"other grant":     {"it permits others", farRoute(), gatewayKeyOf("ReferenceGrant", "b", "other"), nil, false},
		"named grant":     {"it permits another Service", farRoute(), gatewayKeyOf("ReferenceGrant", "b", "named"), nil, false},
		"grant elsewhere": {"it is of another namespace", farRoute(), gatewayKeyOf("ReferenceGrant", "a", "grant"), nil, false},
		"Gateway":         {"the Gateway is gone", farRoute(of), gateway, nil, true},
		"listeners":       {"it has other listeners", farRoute(of), gateway, &gatewayv1.Gateway{}, true},
		"other Gateway":   {"the route is not of it", farRoute(ofSet), gatewayKeyOf("Gateway", "a", "h"), nil, false},
		"ListenerSet":     {"the ListenerSet is gone", farRoute(ofSet), set, nil, true},
		"of ListenerSet":  {"its Gateway is gone", farRoute(ofSet), gateway, nil, true},
		"labels":          {"the listener selects namespaces by labels", farRoute(of), space, &corev1.Namespace{}, true},
		"labels of a set": {"so it does for the ListenerSet's", farRoute(ofSet), space, &corev1.Namespace{}, true},
		"no labels":       {"no listener of the route selects them", farRoute(), space, &corev1.Namespace{}, false},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			c := fenced(t, farOptions())
			policy := source.Key{GroupVersionKind: policyKind, Namespace: "b", Name: "p"}
			c.comes(policy, policyAbout("web"), 1)
			c.comes(gatewayKeyOf("HTTPRoute", "a", "r"), x.route, 2)
			named := servicesOf("a")
			named.Spec.To[0].Name = new(gatewayv1.ObjectName("db"))
			for key, o := range map[source.Key]client.Object{
				grant: servicesOf("a"), gatewayKeyOf("ReferenceGrant", "b", "other"): servicesOf("c"),
				gatewayKeyOf("ReferenceGrant", "b", "named"): named, gatewayKeyOf("ReferenceGrant", "a", "grant"): servicesOf("a"),
				gateway: selecting(), gatewayKeyOf("Gateway", "a", "h"): &gatewayv1.Gateway{},
				set:   &gatewayv1.ListenerSet{Spec: gatewayv1.ListenerSetSpec{ParentRef: gatewayv1.ParentGatewayReference{Name: "g"}}},
				space: &corev1.Namespace{Labels: map[string]string{"team": "a"}},
			} {
				c.comes(key, o, 3)
			}
			c.delivers(t, "all is there", "BackendTLSPolicy p", "Gateway g", "Gateway h", "HTTPRoute r", "ListenerSet set", "Namespace a",
				"ReferenceGrant grant", "ReferenceGrant grant", "ReferenceGrant named", "ReferenceGrant other")
			c.depart(policy)
			version := "9"
			if x.next == nil {
				version = ""
			}
			c.looks(map[source.Key]string{x.closed: version})
			if _, goes := c.out[policy]; goes == x.waits {
				t.Errorf("%s: the policy has gone: %t", x.reason, goes)
			}
			if x.next == nil {
				c.depart(x.closed)
			} else {
				c.comes(x.closed, x.next, 9)
				c.lists(policyKind, nil)
			}
			if _, gone := c.delivered(policy); gone {
				t.Errorf("%s, and the policy is still there", x.reason)
			}
			c.batch()
			c.isClean(t)
		})
	}
}

func (c *contents) delivered(key source.Key) (client.Object, bool) {
	x, ok := c.fences.delivered[key]
	return x.object, ok
}

// A Gateway with many routes is asked for once.
func TestEndOfAPolicyAsksForAParentOnce(t *testing.T) {
	c := fenced(t, policedOptions())
	c.arrives(policyKind, "p", "1", "web")
	c.comes(gatewayKeyOf("Gateway", "a", "g"), &gatewayv1.Gateway{}, 1)
	for i := range 100 {
		r := farRoute(gatewayv1.ParentReference{Name: "g"})
		r.SetAnnotations(map[string]string{"about": fmt.Sprint("web-", i)})
		c.comes(keyOf(routeKind, fmt.Sprint("r-", i)), r, 2)
	}
	c.lists(policyKind, nil)
	if asked := c.asks(cause(endFence, keyOf(serviceKind, "web-7"))); len(asked) != 2 {
		t.Errorf("asked for: %v", asked)
	}
}

// A Gateway waits at a fence for a policy that drops a Service, which waits for the
// Gateway.
func TestPolicyAndGatewayThatWaitForEachOtherComeThrough(t *testing.T) {
	gateway := gatewayKeyOf("Gateway", "a", "g")
	for name, again := range map[string]bool{"found when it is read": false, "found when it is read again": true} {
		t.Run(name, func(t *testing.T) {
			c := fenced(t, policedOptions())
			c.arrives(policyKind, "p", "1", "web")
			c.comes(gateway, &gatewayv1.Gateway{}, 1)
			r := farRoute(gatewayv1.ParentReference{Name: "g"})
			r.SetAnnotations(map[string]string{"about": "web db"})
			c.comes(keyOf(routeKind, "r"), r, 2)
			c.lists(policyKind, nil)
			c.delivers(t, "all is there", "BackendTLSPolicy p", "Gateway g", "HTTPRoute r")
			c.comes(gateway, &gatewayv1.Gateway{}, 5)
			if !again {
				c.lists(policyKind, map[string]string{"p": "4"})
			}
			c.arrives(policyKind, "p", "4", "cache")
			c.looks(map[source.Key]string{gateway: "5"})
			if again {
				c.delivers(t, "the Gateway is on its way")
				c.lists(policyKind, map[string]string{"p": "4"})
				c.delivers(t, "now they wait for each other")
				c.looks(map[source.Key]string{gateway: "5"})
			}
			c.delivers(t, "the policy does not wait for what waits for it", "BackendTLSPolicy p", "Gateway g")
			c.isClean(t)
		})
	}
}

// A route that was new waited for its endpoints when it was deleted, and its policy
// behind it: the policy went first, and the route was delivered without.
func TestEndOfAPolicyWaitsForARouteThatWasNotDelivered(t *testing.T) {
	setUp := func(t *testing.T) *contents {
		t.Helper()
		o := policedOptions()
		o.Backends = ofRoutes
		c := fenced(t, o)
		c.arrives(policyKind, "p", "1", "web")
		c.arrives(routeKind, "r", "2", "web")
		c.delivers(t, "the route waits for slices", "BackendTLSPolicy p")
		c.depart(keyOf(policyKind, "p"))
		return c
	}
	t.Run("delivered", func(t *testing.T) {
		c := setUp(t)
		c.looks(map[source.Key]string{keyOf(routeKind, "r"): ""})
		c.deletes(t, "the route is gone, which is not known yet")
		c.lists(sliceKind, nil)
		c.delivers(t, "there are no slices", "HTTPRoute r")
		c.depart(keyOf(routeKind, "r"))
		c.deletes(t, "now it is known", "BackendTLSPolicy p", "HTTPRoute r")
		c.isClean(t)
	})
	t.Run("gone", func(t *testing.T) {
		c := setUp(t)
		c.looks(map[source.Key]string{keyOf(routeKind, "r"): ""})
		c.depart(keyOf(routeKind, "r"))
		c.deletes(t, "it was never delivered", "BackendTLSPolicy p", "HTTPRoute r")
		c.isClean(t)
	})
	t.Run("there", func(t *testing.T) {
		c := setUp(t)
		c.looks(nil)
		c.deletes(t, "the route is as it came", "BackendTLSPolicy p")
		c.depart(keyOf(routeKind, "r"))
		c.batch()
		c.isClean(t)
	})
}

// A grant that was new waited for policies when it was deleted, and the policy behind it.
func TestEndOfAPolicyWaitsForAGrantThatWasNotDelivered(t *testing.T) {
	o := farOptions()
	o.Uses = func(o client.Object) []source.Key {
		if _, ok := o.(*gatewayv1.HTTPRoute); ok {
			return []source.Key{farWeb(), {GroupVersionKind: serviceKind, Namespace: "b", Name: "db"}}
		}
		return nil
	}
	c := fenced(t, o)
	policy, grant := source.Key{GroupVersionKind: policyKind, Namespace: "b", Name: "p"}, gatewayKeyOf("ReferenceGrant", "b", "grant")
	c.comes(policy, policyAbout("web"), 1)
	c.comes(gatewayKeyOf("HTTPRoute", "a", "r"), farRoute(), 2)
	c.lists(policyKind, nil)
	c.comes(grant, servicesOf("a"), 3)
	c.delivers(t, "the grant waits for policies of db", "BackendTLSPolicy p", "HTTPRoute r")
	c.depart(policy)
	c.looks(map[source.Key]string{grant: ""})
	c.deletes(t, "the grant is gone, which is not known yet")
	c.depart(grant)
	c.deletes(t, "it is", "BackendTLSPolicy p", "ReferenceGrant grant")
	c.isClean(t)
}
