package kubernetes

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

var routeKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("HTTPRoute")

func keyOf(kind schema.GroupVersionKind, name string) source.Key {
	return source.Key{GroupVersionKind: kind, Namespace: "a", Name: name}
}

// fenced are contents that read nothing: lists come from the test. The names of
// the Services that an object is about stand in an annotation.
func fenced(t *testing.T) *contents {
	t.Helper()
	about := func(o client.Object) (out []source.Key) {
		for name := range strings.FieldsSeq(o.GetAnnotations()["about"]) {
			out = append(out, keyOf(schema.GroupVersionKind{Version: "v1", Kind: "Service"}, name))
		}
		return out
	}
	none := func(client.Object) []source.Key { return nil }
	s := &Source{options: Options{References: none}}
	s.options.Uses = func(o client.Object) []source.Key {
		if _, ok := o.(*gatewayv1.HTTPRoute); ok {
			return about(o)
		}
		return nil
	}
	s.options.Targets = about
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newContents(ctx, s)
	c.complete = true
	return c
}

func (c *contents) arrives(kind schema.GroupVersionKind, name, version, about string) {
	var o client.Object = &gatewayv1.HTTPRoute{}
	if kind == policyKind {
		o = &gatewayv1.BackendTLSPolicy{}
	}
	o.GetObjectKind().SetGroupVersionKind(kind)
	o.SetNamespace("a")
	o.SetName(name)
	o.SetResourceVersion(version)
	o.SetAnnotations(map[string]string{"about": about})
	c.arrive(keyOf(kind, name), o)
}

// lists answers each fence that waits for a list.
func (c *contents) lists(versions map[string]string) {
	of := map[source.Key]string{}
	for name, version := range versions {
		of[keyOf(policyKind, name)] = version
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
	if n := len(c.fences.waiting) + len(c.fences.open) + c.waiting; n > 0 {
		t.Errorf("nothing should wait: %v, %v, %d objects", c.fences.waiting, c.fences.open, c.waiting)
	}
	for key := range c.known {
		t.Errorf("%s is still known", key)
	}
}

func TestPolicyOfTheServiceEndsTheWait(t *testing.T) {
	c := fenced(t)
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
	c := fenced(t)
	c.arrives(routeKind, "r", "1", "web")
	c.lists(map[string]string{"web": "3", "other": "4"})
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
		c := fenced(t)
		c.arrives(routeKind, "r", "1", "web")
		c.lists(map[string]string{"late": "2"})
		<-time.After(fenceFirst)
		c.arrives(routeKind, "r", "3", "web db")
		c.arrives(policyKind, "late", "2", "cache")
		c.delivers(t, "the first list is answered, and says nothing of db", "BackendTLSPolicy late")
		c.lists(map[string]string{"late": "2"})
		c.delivers(t, "the second knows of no policy of db", "HTTPRoute r")
		c.isClean(t)
	})
}

func TestWaitsShareAListThatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fenced(t)
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
		c.lists(nil)
		c.batch()
		c.isClean(t)
	})
}
