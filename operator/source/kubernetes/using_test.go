package kubernetes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// usingOptions are those of routes that send to Services and wait for slices alone;
// Services and slices have their places.
func usingOptions() Options {
	o := slicedOptions()
	o.Uses = func(o client.Object) []source.Key {
		switch o := o.(type) {
		case *corev1.Service:
			return []source.Key{keyOf(serviceKind, o.Name)}
		case *discoveryv1.EndpointSlice:
			return []source.Key{keyOf(serviceKind, o.Labels[discoveryv1.LabelServiceName])}
		}
		return nil
	}
	return withContent(o)
}

// serves brings a Service and its slice.
func (c *contents) serves(name string) {
	c.comes(keyOf(serviceKind, name), &corev1.Service{}, 1)
	c.arrives(sliceKind, name+"-1", "1", name)
}

// finds answers that the content of a name is there, in a version; empty for none.
func (c *contents) finds(name, version string) {
	f := fetch{key: caOf(name), of: c.known[caOf(name)]}
	if version != "" {
		o := &corev1.ConfigMap{}
		o.SetGroupVersionKind(caOf(name).GroupVersionKind)
		o.Name, o.ResourceVersion = name, version
		f.object = o
	}
	c.settle(f)
}

// A route was sent to another Service, and the one before was deleted: the route
// waited for its endpoints, and meanwhile led to a Service without any.
func TestServiceStaysUntilTheRouteThatLeavesItIsDelivered(t *testing.T) {
	service, slice := keyOf(serviceKind, "old"), keyOf(sliceKind, "old-1")
	setUp := func(t *testing.T) *contents {
		t.Helper()
		c := fenced(t, usingOptions())
		c.serves("old")
		c.arrives(routeKind, "r", "1", "old both")
		c.lists(sliceKind, nil)
		c.arrives(routeKind, "r", "2", "new both")
		c.delivers(t, "the new Service's slices may be on their way", "EndpointSlice old-1", "HTTPRoute r", "Service old")
		return c
	}
	t.Run("delivered", func(t *testing.T) {
		c := setUp(t)
		c.depart(service)
		c.depart(slice)
		c.deletes(t, "the route leads there")
		c.lists(sliceKind, nil)
		c.deletes(t, "it does not any more", "EndpointSlice old-1", "Service old")
		c.depart(keyOf(routeKind, "r"))
		c.batch()
		c.isClean(t)
	})
	t.Run("renamed in the meantime", func(t *testing.T) {
		c := setUp(t)
		c.depart(service)
		c.depart(slice)
		c.arrives(routeKind, "new-1", "3", "both")
		c.depart(keyOf(routeKind, "r"))
		c.deletes(t, "the end of the route waits, and it leads there")
		c.finds("new-1", "")
		c.lists(sliceKind, nil)
		c.deletes(t, "another has taken its place", "EndpointSlice old-1", "HTTPRoute r", "Service old")
		c.depart(keyOf(routeKind, "new-1"))
		c.batch()
		c.isClean(t)
	})
	t.Run("back", func(t *testing.T) {
		c := setUp(t)
		c.depart(service)
		c.comes(service, &corev1.Service{}, 4)
		c.delivers(t, "it was made anew", "Service old")
		c.lists(sliceKind, nil)
		c.deletes(t, "it is there")
		c.depart(keyOf(routeKind, "r"))
		c.batch()
		c.isClean(t)
	})
	t.Run("used on", func(t *testing.T) {
		c := setUp(t)
		c.serves("both")
		c.batch()
		c.depart(keyOf(serviceKind, "both"))
		c.depart(keyOf(sliceKind, "both-1"))
		c.deletes(t, "the new version sends there too", "EndpointSlice both-1", "Service both")
	})
}

// An HTTPProxy or a route was renamed, and what only the old one used was deleted with
// it: the old one served on, without backend and certificate.
func TestWhatAHeldObjectUsesStaysWithIt(t *testing.T) {
	setUp := func(t *testing.T) *contents {
		t.Helper()
		c := fenced(t, usingOptions())
		c.serves("web")
		c.arrives(routeKind, "new-0", "1", "web")
		c.finds("new-0", "1")
		c.arrives(routeKind, "new-1", "2", "web")
		c.batch()
		c.depart(keyOf(routeKind, "new-0"))
		c.deletes(t, "the new one waits for its content")
		c.depart(keyOf(serviceKind, "web"))
		c.depart(keyOf(sliceKind, "web-1"))
		c.changed(caOf("new-0"), "")
		c.finds("new-0", "")
		c.deletes(t, "the old one serves on")
		return c
	}
	t.Run("delivered", func(t *testing.T) {
		c := setUp(t)
		c.finds("new-1", "")
		c.deletes(t, "the new one serves", "ConfigMap new-0", "EndpointSlice web-1", "HTTPRoute new-0", "Service web")
		c.depart(keyOf(routeKind, "new-1"))
		c.batch()
		c.isClean(t)
	})
	t.Run("content back", func(t *testing.T) {
		c := setUp(t)
		c.changed(caOf("new-0"), "1")
		c.finds("new-0", "1")
		c.arrives(routeKind, "new-0", "3", "web")
		c.finds("new-1", "")
		c.deletes(t, "all is there but Service and slice", "EndpointSlice web-1", "Service web")
		c.depart(keyOf(routeKind, "new-0"))
		c.depart(keyOf(routeKind, "new-1"))
		c.deletes(t, "it was not gone before", "ConfigMap new-0", "HTTPRoute new-0", "HTTPRoute new-1")
		c.isClean(t)
	})
	t.Run("content gone twice", func(t *testing.T) {
		c := setUp(t)
		c.changed(caOf("new-0"), "5")
		c.finds("new-0", "5")
		c.delivers(t, "it was made anew", "ConfigMap new-0")
		c.changed(caOf("new-0"), "")
		c.finds("new-0", "")
		c.deletes(t, "the old one serves on")
		c.finds("new-1", "")
		c.deletes(t, "the new one serves", "ConfigMap new-0", "EndpointSlice web-1", "HTTPRoute new-0", "Service web")
		c.depart(keyOf(routeKind, "new-1"))
		c.batch()
		c.isClean(t)
	})
}

// An object refers to another content, and the one before was deleted.
func TestContentStaysUntilTheObjectThatLeavesItIsDelivered(t *testing.T) {
	o := usingOptions()
	o.References = func(o client.Object) []source.Key {
		return []source.Key{caOf("new-" + o.GetResourceVersion()), caOf("new-both")}
	}
	c := fenced(t, o)
	c.arrives(routeKind, "r", "1", "")
	c.finds("new-1", "1")
	c.finds("new-both", "1")
	c.arrives(routeKind, "r", "2", "")
	c.batch()
	for _, name := range []string{"new-1", "new-both"} {
		c.changed(caOf(name), "")
		c.finds(name, "")
	}
	c.deletes(t, "the route is served as it was, and refers to one of them on", "ConfigMap new-both")
	c.finds("new-2", "1")
	c.deletes(t, "it is served as it is", "ConfigMap new-1")
	c.depart(keyOf(routeKind, "r"))
	c.batch()
	c.isClean(t)
}

// A route waits at a fence for a policy, that for the end of the Service that the
// route leaves, and this one for the route.
func TestEndOfAServiceInACircleOfWaitsComesThrough(t *testing.T) {
	for name, again := range map[string]bool{"found when it is read": false, "found when it is read again": true} {
		t.Run(name, func(t *testing.T) {
			o := usingOptions()
			ofOthers := o.Uses
			o.Uses = func(o client.Object) []source.Key { return append(ofOthers(o), ofRoutes(o)...) }
			o.Targets = func(o client.Object) []source.Key {
				if o.GetObjectKind().GroupVersionKind() == policyKind {
					return services(o)
				}
				return nil
			}
			c := fenced(t, o)
			c.serves("web")
			c.serves("db")
			c.arrives(policyKind, "p", "1", "web")
			c.arrives(routeKind, "r", "2", "web")
			c.delivers(t, "all is there",
				"BackendTLSPolicy p", "EndpointSlice db-1", "EndpointSlice web-1", "HTTPRoute r", "Service db", "Service web")
			c.arrives(routeKind, "r", "3", "db")
			if !again {
				c.lists(policyKind, map[string]string{"p": "4"})
			}
			c.depart(webKey)
			c.arrives(policyKind, "p", "4", "cache")
			news := map[source.Key]string{webKey: "", keyOf(routeKind, "r"): "3"}
			c.looks(news)
			if again {
				c.deletes(t, "the policy waits for the route and the Service")
				c.lists(policyKind, map[string]string{"p": "4"})
				c.deletes(t, "now all wait for each other")
				c.looks(news)
			}
			b := c.batch()
			if len(b.Changed) != 2 || len(b.Deleted) != 1 {
				t.Errorf("want the policy, the route and the Service's end: %v", b)
			}
			c.isClean(t)
		})
	}
}

// Of what is taken together, a Service and the route that leaves it, the Service's end
// is taken last.
func TestEndsOfAllKindsAreTakenAfterWhatComes(t *testing.T) {
	for range 20 {
		c := fenced(t, usingOptions())
		c.serves("old")
		c.arrives(routeKind, "r", "1", "old")
		c.batch()
		synced := make(chan struct{})
		close(synced)
		service, route := &kind{gvk: serviceKind}, &kind{gvk: routeKind, custom: true}
		next := farRoute()
		next.Namespace, next.Name = "a", "r"
		next.SetAnnotations(map[string]string{"about": "new"})
		watches := map[*kind]*watching{
			service: {kind: service, synced: synced, events: map[source.Key]client.Object{keyOf(serviceKind, "old"): nil}},
			route: {
				kind: route, synced: synced, present: map[source.Key]struct{}{},
				events: map[source.Key]client.Object{keyOf(routeKind, "r"): next},
			},
		}
		c.source.kinds = []*kind{service, route}
		r := &run{source: c.source, contents: c, watches: watches, complete: true, sink: source.SinkFunc(func(b source.Batch) {
			t.Fatalf("the Service must stay until the route has left it: %v", b)
		})}
		r.step()
	}
}

// Two routes wait for slices that are gone, whose ends wait for the routes.
func TestEndsOfSlicesInACircleOfWaitsComeThrough(t *testing.T) {
	c := fenced(t, usingOptions())
	c.serves("web")
	c.serves("db")
	c.arrives(routeKind, "one", "1", "web")
	c.arrives(routeKind, "two", "1", "db")
	c.batch()
	c.arrives(routeKind, "one", "2", "elsewhere")
	c.arrives(routeKind, "two", "2", "elsewhere")
	c.depart(keyOf(sliceKind, "web-1"))
	c.depart(keyOf(sliceKind, "db-1"))
	c.arrives(routeKind, "one", "3", "db")
	c.arrives(routeKind, "two", "3", "web")
	c.lists(sliceKind, map[string]string{"web-1": "2", "db-1": "2"})
	c.deletes(t, "the lists are older than the ends, and newer than what is delivered")
	for key, x := range c.known {
		if key.GroupVersionKind == sliceFence && !x.settled {
			c.settle(fetch{key: key, of: x})
		}
	}
	if b := c.batch(); len(b.Changed) != 2 || len(b.Deleted) != 2 {
		t.Errorf("want both routes, and the ends of both slices: %v", b)
	}
	c.isClean(t)
}
