package kubernetes

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

var routeKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("HTTPRoute")

func keyOf(kind schema.GroupVersionKind, name string) source.Key {
	return source.Key{GroupVersionKind: kind, Namespace: "a", Name: name}
}

// services are those whose names stand in an object's annotation.
func services(o client.Object) (out []source.Key) {
	for name := range strings.FieldsSeq(o.GetAnnotations()["about"]) {
		out = append(out, keyOf(schema.GroupVersionKind{Version: "v1", Kind: "Service"}, name))
	}
	return out
}

func ofRoutes(o client.Object) []source.Key {
	if _, ok := o.(*gatewayv1.HTTPRoute); ok {
		return services(o)
	}
	return nil
}

func none(client.Object) []source.Key { return nil }

// policedOptions and slicedOptions are the options of contents whose routes wait for
// policies alone, and for slices alone.
func policedOptions() Options {
	return Options{References: none, Uses: ofRoutes, Targets: services, Backends: none}
}

func slicedOptions() Options {
	return Options{References: none, Uses: none, Targets: none, Backends: ofRoutes}
}

// fenced are contents that read nothing: lists come from the test.
func fenced(tb testing.TB, o Options) *contents {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	c := newContents(ctx, &Source{options: o})
	c.complete = true
	return c
}

func (c *contents) arrives(kind schema.GroupVersionKind, name, version, about string) {
	var o client.Object = &gatewayv1.HTTPRoute{}
	switch kind {
	case policyKind:
		o = policyAbout(about)
	case sliceKind:
		o = &discoveryv1.EndpointSlice{}
		o.SetLabels(map[string]string{discoveryv1.LabelServiceName: about})
	}
	o.GetObjectKind().SetGroupVersionKind(kind)
	o.SetNamespace("a")
	o.SetName(name)
	o.SetResourceVersion(version)
	o.SetAnnotations(map[string]string{"about": about})
	c.arrive(keyOf(kind, name), o)
}

func policyAbout(about string) *gatewayv1.BackendTLSPolicy {
	p := &gatewayv1.BackendTLSPolicy{}
	for name := range strings.FieldsSeq(about) {
		to := gatewayv1.LocalPolicyTargetReferenceWithSectionName{}
		to.Kind, to.Name = "Service", gatewayv1.ObjectName(name)
		p.Spec.TargetRefs = append(p.Spec.TargetRefs, to)
	}
	return p
}

// says delivers an object that lets routes through.
func (c *contents) says(o client.Object, kind, name string, generation int64) {
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersion(gatewayv1.GroupVersion).WithKind(kind))
	o.SetNamespace("a")
	o.SetName(name)
	o.SetGeneration(generation)
	c.arrive(keyOf(o.GetObjectKind().GroupVersionKind(), name), o)
}

func servicesOf(namespace string) *gatewayv1.ReferenceGrant {
	g := &gatewayv1.ReferenceGrant{}
	g.Spec.From = []gatewayv1.ReferenceGrantFrom{{Kind: "HTTPRoute", Namespace: gatewayv1.Namespace(namespace)}}
	g.Spec.To = []gatewayv1.ReferenceGrantTo{{Kind: "Service"}}
	return g
}

// lists answers each fence that waits for a list of a kind.
func (c *contents) lists(kind schema.GroupVersionKind, versions map[string]string) {
	of := map[source.Key]string{}
	for name, version := range versions {
		of[keyOf(kind, name)] = version
	}
	for key, x := range c.known {
		if isFence(key) && x.missing == nil {
			c.settle(fetch{key: key, of: x, versions: of})
		}
	}
}

func (c *contents) delivers(t *testing.T, why string, want ...string) {
	t.Helper()
	var got []string
	b := c.batch()
	for _, o := range b.Changed {
		got = append(got, o.GetObjectKind().GroupVersionKind().Kind+" "+o.GetName())
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: delivered: -want, +got:\n%s", why, diff)
	}
}

func (c *contents) isClean(t *testing.T) {
	t.Helper()
	if n := len(c.fences.waiting) + len(c.fences.open) + len(c.fences.missing) + len(c.fences.placed) + c.waiting; n > 0 {
		t.Errorf("nothing should wait: %v, %v, %v, %v, %d objects",
			c.fences.waiting, c.fences.open, c.fences.missing, c.fences.placed, c.waiting)
	}
	for key := range c.known {
		t.Errorf("%s is still known", key)
	}
}

func TestPolicyOfTheServiceEndsTheWait(t *testing.T) {
	c := fenced(t, policedOptions())
	c.arrives(routeKind, "r", "1", "web db")
	c.delivers(t, "nobody knows yet which policies there are")
	c.arrives(policyKind, "other", "2", "cache")
	c.delivers(t, "a policy of another Service says nothing", "BackendTLSPolicy other")
	c.arrives(policyKind, "web", "3", "web")
	c.delivers(t, "of the other Service nothing is known", "BackendTLSPolicy web")
	c.arrives(policyKind, "db", "4", "db")
	c.delivers(t, "both Services have a policy, and no list was needed", "BackendTLSPolicy db", "HTTPRoute r")
	c.isClean(t)
}

func TestListOfPoliciesEndsTheWait(t *testing.T) {
	c := fenced(t, policedOptions())
	c.arrives(routeKind, "r", "1", "web")
	c.lists(policyKind, map[string]string{"web": "3", "other": "4"})
	c.delivers(t, "two policies were there when it came")
	c.arrives(policyKind, "other", "4", "cache")
	c.delivers(t, "one is missing", "BackendTLSPolicy other")
	c.arrives(policyKind, "web", "3", "")
	c.delivers(t, "all have come, about other Services or ports", "BackendTLSPolicy web", "HTTPRoute r")
	c.isClean(t)
}

// A list that was made before the route was changed does not know the policies
// that were written before the change.
func TestChangeToAnotherServiceWaitsForAnotherList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fenced(t, policedOptions())
		c.arrives(routeKind, "r", "1", "web")
		c.lists(policyKind, map[string]string{"late": "2"})
		<-time.After(fenceFirst)
		c.arrives(routeKind, "r", "3", "web db")
		c.arrives(policyKind, "late", "2", "cache")
		c.delivers(t, "the first list is answered, and says nothing of db", "BackendTLSPolicy late")
		c.lists(policyKind, map[string]string{"late": "2"})
		c.delivers(t, "the second knows of no policy of db", "HTTPRoute r")
		c.isClean(t)
	})
}

func TestWaitsShareAListThatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fenced(t, policedOptions())
		lists := func() (n int) {
			for key := range c.known {
				if isFence(key) {
					n++
				}
			}
			return n
		}
		c.arrives(routeKind, "one", "1", "web")
		<-time.After(fenceFirst - 1)
		c.arrives(routeKind, "two", "2", "db")
		if n := lists(); n != 1 {
			t.Errorf("%d lists for what came together, want 1", n)
		}
		<-time.After(1)
		c.arrives(routeKind, "three", "3", "cache")
		if n := lists(); n != 2 {
			t.Errorf("%d lists, want 2: the first may have begun before the third route came", n)
		}
		c.depart(keyOf(routeKind, "three"))
		c.lists(policyKind, nil)
		c.batch()
		c.isClean(t)
	})
}

// A host that was new answered 503, as its HTTPProxy came before its endpoints.
func TestRouteWaitsForEndpoints(t *testing.T) {
	c := fenced(t, slicedOptions())
	c.arrives(routeKind, "r", "1", "web")
	c.delivers(t, "the slices of web may be on their way")
	c.arrives(sliceKind, "other", "2", "db")
	c.delivers(t, "those of another Service say nothing", "EndpointSlice other")
	c.arrives(sliceKind, "web-1", "3", "web")
	c.delivers(t, "one of several is enough", "EndpointSlice web-1", "HTTPRoute r")
	c.arrives(routeKind, "r", "4", "web db")
	c.delivers(t, "of both Services slices are delivered", "HTTPRoute r")
	c.depart(keyOf(sliceKind, "web-1"))
	c.arrives(routeKind, "r", "5", "web")
	c.delivers(t, "the route was delivered with web", "HTTPRoute r")
	c.arrives(routeKind, "second", "6", "web")
	c.delivers(t, "to another route web is new, and has no slice any more")
	c.lists(sliceKind, nil)
	c.delivers(t, "there is none", "HTTPRoute second")
	c.isClean(t)
}

// Requests go on to where they went while the new endpoints are on their way.
func TestListOfSlicesEndsTheWait(t *testing.T) {
	c := fenced(t, slicedOptions())
	c.arrives(sliceKind, "old", "1", "old")
	c.arrives(routeKind, "r", "2", "old")
	c.delivers(t, "the route leads to the old Service", "EndpointSlice old", "HTTPRoute r")
	c.arrives(routeKind, "r", "4", "new")
	c.lists(sliceKind, map[string]string{"new": "3"})
	c.delivers(t, "the old version serves until the slice is there")
	c.arrives(sliceKind, "new", "3", "new")
	c.delivers(t, "it is", "EndpointSlice new", "HTTPRoute r")
	c.depart(keyOf(routeKind, "r"))
	c.batch()
	c.isClean(t)
}

// Nothing is served before the first list is complete.
func TestFirstListWaitsForNoEndpoints(t *testing.T) {
	c := fenced(t, slicedOptions())
	c.complete = false
	c.arrives(routeKind, "r", "1", "web")
	c.delivers(t, "five thousand routes would list as often", "HTTPRoute r")
	c.isClean(t)
}

// A route had come before, and led nowhere. The policy was written before the
// ReferenceGrant, or the Gateway, and was delivered behind it: Envoy sent requests
// in cleartext to a backend that speaks TLS.
func TestWhatOpensAWayWaitsForPolicies(t *testing.T) {
	openers := map[string]func() client.Object{
		"ReferenceGrant": func() client.Object { return servicesOf("other") },
		"Gateway":        func() client.Object { return &gatewayv1.Gateway{} },
		"ListenerSet":    func() client.Object { return &gatewayv1.ListenerSet{} },
		"GatewayClass":   func() client.Object { return &gatewayv1.GatewayClass{} },
	}
	for kind, opener := range openers {
		t.Run(kind, func(t *testing.T) {
			c := fenced(t, policedOptions())
			c.says(opener(), kind, "early", 1)
			c.delivers(t, "no route has come", kind+" early")
			c.arrives(routeKind, "r", "1", "web")
			c.lists(policyKind, nil)
			c.delivers(t, "there is no policy", "HTTPRoute r")

			c.says(opener(), kind, "o", 1)
			c.delivers(t, "a policy may be on its way")
			c.lists(policyKind, map[string]string{"web": "3"})
			c.delivers(t, "it is")
			c.arrives(policyKind, "web", "3", "web")
			c.delivers(t, "it has come", "BackendTLSPolicy web", kind+" o")
			c.says(opener(), kind, "o", 2)
			c.delivers(t, "each Service has a policy", kind+" o")

			c.depart(keyOf(policyKind, "web"))
			c.sees(nil)
			c.says(opener(), kind, "o", 2)
			c.delivers(t, "it says what it said", kind+" o")
			c.says(opener(), kind, "o", 3)
			c.delivers(t, "it says something else")
			c.depart(keyOf(schema.GroupVersion(gatewayv1.GroupVersion).WithKind(kind), "o"))
			c.batch()
			c.isClean(t)
		})
	}
}

// What lets no route through to a Service waits for nothing.
func TestWhatOpensNoWayDoesNotWait(t *testing.T) {
	c := fenced(t, policedOptions())
	c.arrives(routeKind, "r", "1", "web")
	c.lists(policyKind, nil)
	c.batch()
	secrets := servicesOf("other")
	secrets.Spec.To[0].Kind = "Secret"
	c.says(secrets, "ReferenceGrant", "secrets", 1)
	c.delivers(t, "a grant of Secrets", "ReferenceGrant secrets")
	n := &corev1.Namespace{Labels: map[string]string{"team": "one"}}
	n.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	n.Name = "b"
	c.arrive(source.Key{GroupVersionKind: n.GroupVersionKind(), Name: "b"}, n)
	c.delivers(t, "no route of the namespace has come", "Namespace b")
	n = n.DeepCopy()
	n.Name = "a"
	c.arrive(source.Key{GroupVersionKind: n.GroupVersionKind(), Name: "a"}, n)
	c.delivers(t, "its labels may attach the route")
	c.lists(policyKind, nil)
	c.delivers(t, "there is no policy", "Namespace a")
	c.complete = false
	c.says(&gatewayv1.Gateway{}, "Gateway", "g", 1)
	c.delivers(t, "nothing is served before the first list is complete", "Gateway g")
	c.isClean(t)
}
