package kubernetes

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// withContent are options by which each object whose name begins with "new" refers
// to a ConfigMap of its name.
func withContent(o Options) Options {
	o.References = func(o client.Object) []source.Key {
		if name := o.GetName(); len(name) > 3 && name[:3] == "new" {
			return []source.Key{caOf(name)}
		}
		return nil
	}
	return o
}

func caOf(name string) source.Key {
	return keyOf(corev1.SchemeGroupVersion.WithKind("ConfigMap"), name)
}

// reads answers that the content of a name is not there.
func (c *contents) reads(name string) { c.settle(fetch{key: caOf(name), of: c.known[caOf(name)]}) }

// deletes compares what the next batch deletes, and forgets what it changes.
func (c *contents) deletes(t *testing.T, why string, want ...string) {
	t.Helper()
	var got []string
	for _, key := range c.batch().Deleted {
		got = append(got, key.Kind+" "+key.Name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: deleted: -want, +got:\n%s", why, diff)
	}
}

// A Helm upgrade that gives a policy another name: the Service had none while the CA
// of the new one was read, and was asked in cleartext.
func TestPolicyStaysUntilThePolicyThatReplacesItIsDelivered(t *testing.T) {
	ends := map[string]struct {
		reason string
		end    func(c *contents)
		want   []string
	}{
		"delivered": {"its CA is read", func(c *contents) { c.reads("new-1") }, []string{"BackendTLSPolicy old"}},
		"gone":      {"nothing replaces it", func(c *contents) { c.depart(keyOf(policyKind, "new-1")) }, []string{"BackendTLSPolicy new-1", "BackendTLSPolicy old"}},
		"changed":   {"another version of it waits", func(c *contents) { c.arrives(policyKind, "new-1", "4", "web") }, nil},
		"back":      {"it was written again", func(c *contents) { c.arrives(policyKind, "old", "5", "web"); c.reads("new-1") }, nil},
		"other": {"of a version that came later nothing is replaced", func(c *contents) {
			c.arrives(policyKind, "new-2", "4", "web")
			c.reads("new-1")
		}, []string{"BackendTLSPolicy old"}},
		"restored": {"the API server's storage was restored, and versions are lower", func(c *contents) {
			c.arrives(policyKind, "new-1", "1", "web")
			c.reads("new-1")
		}, []string{"BackendTLSPolicy old"}},
	}
	for name, x := range ends {
		t.Run(name, func(t *testing.T) {
			c := fenced(t, withContent(policedOptions()))
			c.arrives(policyKind, "old", "1", "web")
			c.arrives(policyKind, "new-1", "2", "web")
			c.depart(keyOf(policyKind, "old"))
			c.depart(keyOf(policyKind, "old"))
			c.deletes(t, "the new one waits for its CA")
			x.end(c)
			c.deletes(t, x.reason, x.want...)
			for _, name := range []string{"old", "new-1", "new-2"} {
				c.depart(keyOf(policyKind, name))
			}
			c.batch()
			c.isClean(t)
		})
	}
}

// A policy that is about other Services from now on goes in part.
func TestPolicyThatDropsAServiceWaitsForItsSuccessor(t *testing.T) {
	c := fenced(t, withContent(policedOptions()))
	c.arrives(policyKind, "old", "1", "web db")
	c.arrives(policyKind, "new-1", "2", "web")
	c.delivers(t, "the new one waits for its CA", "BackendTLSPolicy old")
	c.arrives(policyKind, "old", "3", "web db cache")
	c.delivers(t, "it drops nothing", "BackendTLSPolicy old")
	c.arrives(policyKind, "old", "4", "web cache")
	c.delivers(t, "of db nothing waits", "BackendTLSPolicy old")
	c.arrives(policyKind, "old", "5", "cache")
	c.delivers(t, "web would have none")
	c.reads("new-1")
	c.delivers(t, "it has one", "BackendTLSPolicy new-1", "BackendTLSPolicy old")
	c.depart(keyOf(policyKind, "new-1"))
	c.deletes(t, "of its Service nothing waits", "BackendTLSPolicy new-1")
	c.isClean(t)
}

// Two policies that exchange their Services, one of them twice, do not wait for each
// other.
func TestPoliciesThatExchangeServicesComeThrough(t *testing.T) {
	c := fenced(t, withContent(policedOptions()))
	c.arrives(policyKind, "new-1", "1", "web")
	c.reads("new-1")
	c.arrives(policyKind, "two", "2", "db")
	c.delivers(t, "both are there", "BackendTLSPolicy new-1", "BackendTLSPolicy two")
	c.source.options.References = func(o client.Object) []source.Key { return []source.Key{caOf("new-" + o.GetResourceVersion())} }
	c.arrives(policyKind, "new-1", "3", "web db")
	c.arrives(policyKind, "two", "4", "web")
	c.arrives(policyKind, "new-1", "5", "db")
	c.reads("new-4")
	c.delivers(t, "db waits for the other")
	c.reads("new-5")
	c.delivers(t, "neither waits for the other any more", "BackendTLSPolicy new-1", "BackendTLSPolicy two")
	c.depart(keyOf(policyKind, "new-1"))
	c.depart(keyOf(policyKind, "two"))
	c.batch()
	c.isClean(t)
}

// A route that was renamed, make before break: its host answered 404 while the new
// one waited.
func TestWhatIsRenamedStaysUntilItsSuccessorIsDelivered(t *testing.T) {
	routeAt := func(parent string) *gatewayv1.HTTPRoute {
		r := &gatewayv1.HTTPRoute{}
		r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: gatewayv1.ObjectName(parent)}}
		return r
	}
	routeOf := func(about string) *gatewayv1.HTTPRoute {
		r := &gatewayv1.HTTPRoute{}
		r.SetAnnotations(map[string]string{"about": about})
		return r
	}
	set := func(parent string) *gatewayv1.ListenerSet {
		s := &gatewayv1.ListenerSet{}
		s.Spec.ParentRef.Name = gatewayv1.ObjectName(parent)
		return s
	}
	of := func(class string) *gatewayv1.Gateway {
		g := &gatewayv1.Gateway{}
		g.Spec.GatewayClassName = gatewayv1.ObjectName(class)
		return g
	}
	cases := map[string]struct {
		reason    string
		kind      string
		old, next client.Object
		waits     bool
	}{
		"Service":          {"the host's requests go there", "HTTPRoute", routeOf("web"), routeOf("db web"), true},
		"parent":           {"the host is the same, behind another Service", "HTTPRoute", routeAt("g"), routeAt("g"), true},
		"nothing":          {"they have nothing in common", "HTTPRoute", routeAt("g"), routeAt("h"), false},
		"ListenerSet":      {"its listeners are of the same Gateway", "ListenerSet", set("g"), set("g"), true},
		"other Gateway":    {"its listeners are of another", "ListenerSet", set("g"), set("h"), false},
		"Gateway":          {"it is of the same class", "Gateway", of("c"), of("c"), true},
		"ReferenceGrant":   {"it permits the same", "ReferenceGrant", servicesOf("b"), servicesOf("b"), true},
		"no such relation": {"each class is for itself", "GatewayClass", &gatewayv1.GatewayClass{}, &gatewayv1.GatewayClass{}, false},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			c := fenced(t, withContent(policedOptions()))
			kind := schema.GroupVersion(gatewayv1.GroupVersion).WithKind(x.kind)
			c.complete = false // no list of policies is waited for
			c.says(x.old, x.kind, "old", 1)
			c.complete = true
			c.lists(policyKind, nil)
			c.says(x.next, x.kind, "new-1", 1)
			c.lists(policyKind, nil)
			c.delivers(t, "the other waits for its Secret", x.kind+" old")
			c.depart(keyOf(kind, "old"))
			if !x.waits {
				c.deletes(t, x.reason, x.kind+" old")
				return
			}
			c.deletes(t, x.reason)
			c.reads("new-1")
			c.deletes(t, "the other is delivered", x.kind+" old")
			c.depart(keyOf(kind, "new-1"))
			c.batch()
			c.isClean(t)
		})
	}
}

// Nothing is served before the first list is complete, and what goes without a
// successor goes at once.
func TestEndsThatOvertakeNothingDoNotWait(t *testing.T) {
	c := fenced(t, withContent(policedOptions()))
	c.arrives(policyKind, "old", "1", "web")
	c.arrives(policyKind, "new-1", "2", "db")
	c.depart(keyOf(policyKind, "old"))
	c.deletes(t, "the other is about another Service", "BackendTLSPolicy old")
	c.depart(keyOf(policyKind, "new-1"))
	c.deletes(t, "it was never delivered", "BackendTLSPolicy new-1")
	c.complete = false
	c.arrives(policyKind, "old", "3", "web")
	c.arrives(policyKind, "new-1", "4", "web")
	c.depart(keyOf(policyKind, "old"))
	c.deletes(t, "nothing is served yet", "BackendTLSPolicy old")
	c.depart(keyOf(policyKind, "new-1"))
	c.batch()
	c.isClean(t)
}

// Of events that are taken together the order is lost.
func TestWhatComesIsTakenBeforeWhatGoes(t *testing.T) {
	for range 20 {
		c := fenced(t, withContent(policedOptions()))
		c.arrives(policyKind, "old", "1", "web")
		c.batch()
		synced := make(chan struct{})
		close(synced)
		k := &kind{gvk: policyKind, custom: true}
		next := policyAbout("web")
		next.Namespace, next.Name = "a", "new-1"
		w := &watching{kind: k, synced: synced, present: map[source.Key]struct{}{}, events: map[source.Key]client.Object{
			keyOf(policyKind, "old"): nil, keyOf(policyKind, "new-1"): next,
		}}
		c.source.kinds = []*kind{k}
		r := &run{source: c.source, contents: c, watches: map[*kind]*watching{k: w}, complete: true, sink: source.SinkFunc(func(b source.Batch) {
			t.Fatalf("the old one must stay until the new one's CA is read: %v", b)
		})}
		r.step()
	}
}
