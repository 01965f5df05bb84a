package kubernetes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

var webKey = keyOf(corev1.SchemeGroupVersion.WithKind("Service"), "web")

// sees answers the reads for the ends of policies: what differs from what was
// delivered, by key, empty for what is gone.
func (c *contents) sees(differs map[source.Key]string) {
	for key, x := range c.known {
		if key.GroupVersionKind == endFence && !x.settled {
			c.settle(fetch{key: key, of: x, versions: differs})
		}
	}
}

// policed are contents with a route to web and its policy.
func policed(t *testing.T) *contents {
	t.Helper()
	c := fenced(t, policedOptions())
	c.arrives(policyKind, "p", "1", "web")
	c.arrives(routeKind, "r", "2", "web")
	c.delivers(t, "the policy is there", "BackendTLSPolicy p", "HTTPRoute r")
	return c
}

// A route was deleted, or sent elsewhere, and then the policy: the watch of policies
// was ahead, and the Service was asked in cleartext.
func TestEndOfAPolicyWaitsForWhatWasWrittenBeforeIt(t *testing.T) {
	route := keyOf(routeKind, "r")
	cases := map[string]struct {
		reason string
		sees   map[source.Key]string
		comes  func(c *contents)
		waits  bool
	}{
		"nothing":    {"nothing has changed", nil, func(*contents) {}, false},
		"gone":       {"the route is gone", map[source.Key]string{route: ""}, func(c *contents) { c.depart(route) }, true},
		"redirected": {"the route has changed", map[source.Key]string{route: "3"}, func(c *contents) { c.arrives(routeKind, "r", "3", "") }, true},
		"later":      {"it has changed once more", map[source.Key]string{route: "3"}, func(c *contents) { c.arrives(routeKind, "r", "4", "") }, true},
		"both": {"two have changed", map[source.Key]string{route: "3", keyOf(routeKind, "s"): ""}, func(c *contents) {
			c.arrives(routeKind, "r", "3", "web")
			c.depart(keyOf(routeKind, "s"))
		}, true},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			c := policed(t)
			c.arrives(routeKind, "s", "2", "web")
			c.batch()
			c.depart(keyOf(policyKind, "p"))
			c.deletes(t, "what is there is not read yet")
			c.sees(x.sees)
			if x.waits {
				c.deletes(t, "a change is on its way")
			}
			x.comes(c)
			if _, ok := c.out[keyOf(policyKind, "p")]; !ok {
				t.Errorf("%s, and the policy has not gone", x.reason)
			}
			c.batch()
			c.isClean(t)
		})
	}
}

// A policy that drops a Service is one that goes, for that Service.
func TestPolicyThatDropsAServiceWaitsForWhatWasWrittenBeforeIt(t *testing.T) {
	c := policed(t)
	c.arrives(policyKind, "p", "3", "db")
	c.delivers(t, "what is there is not read yet")
	c.sees(map[source.Key]string{keyOf(routeKind, "r"): "4"})
	c.arrives(policyKind, "p", "5", "web")
	c.delivers(t, "it is about web again", "BackendTLSPolicy p")
	c.depart(keyOf(policyKind, "p"))
	c.arrives(policyKind, "p", "6", "web db")
	c.delivers(t, "it was written again", "BackendTLSPolicy p")
	c.isClean(t)
}

// The route sends elsewhere, but that waits; what is delivered sends to web.
func TestEndOfAPolicyWaitsForARouteThatIsHeld(t *testing.T) {
	c := policed(t)
	c.arrives(routeKind, "r", "3", "db")
	c.depart(keyOf(policyKind, "p"))
	c.deletes(t, "the route's new version waits for policies of db")
	c.sees(map[source.Key]string{keyOf(routeKind, "r"): "3"})
	c.deletes(t, "and so does the policy's end")
	c.lists(policyKind, nil)
	c.deletes(t, "there are none", "BackendTLSPolicy p")
	c.isClean(t)
}

func TestEndOfAPolicyThatOvertakesNothingDoesNotWait(t *testing.T) {
	cases := map[string]struct {
		reason string
		before func(c *contents)
	}{
		"no route":       {"no route sends to the Service", func(c *contents) { c.depart(keyOf(routeKind, "r")) }},
		"another policy": {"the Service has another policy", func(c *contents) { c.arrives(policyKind, "q", "3", "web") }},
		"not complete":   {"nothing is served yet", func(c *contents) { c.complete = false }},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			c := policed(t)
			x.before(c)
			c.batch()
			c.depart(keyOf(policyKind, "p"))
			c.deletes(t, x.reason, "BackendTLSPolicy p")
			c.isClean(t)
		})
	}
}

// The policy's new version waits for the end of a route, that for the route that
// replaces it, and this one, at a fence, for the policy's new version.
func TestEndsThatWaitForEachOtherComeThrough(t *testing.T) {
	c := policed(t)
	c.arrives(routeKind, "r2", "3", "web db")
	c.lists(policyKind, map[string]string{"p": "4"})
	c.delivers(t, "the policy has changed")
	c.depart(keyOf(routeKind, "r"))
	c.deletes(t, "the other route waits")
	c.arrives(policyKind, "p", "4", "cache")
	c.sees(map[source.Key]string{keyOf(routeKind, "r"): ""})
	c.delivers(t, "the policy waits for nothing that waits for it", "BackendTLSPolicy p", "HTTPRoute r2")
	if n := len(c.fences.open); n > 0 {
		t.Errorf("%d fences are open", n)
	}
	c.isClean(t)
}

// What is read again ends a wait for something that never comes.
func TestEndOfAPolicyIsReadAgain(t *testing.T) {
	c := policed(t)
	c.depart(keyOf(policyKind, "p"))
	c.sees(map[source.Key]string{keyOf(routeKind, "r"): ""})
	c.deletes(t, "the route is gone")
	c.sees(nil)
	c.deletes(t, "it was written again, as it is delivered", "BackendTLSPolicy p")
	c.isClean(t)
}

// A policy that is there, but late, is waited for by a route that comes while the one
// before it goes.
func TestPolicyThatGoesSatisfiesNobody(t *testing.T) {
	for name, goes := range map[string]func(c *contents){
		"end":  func(c *contents) { c.depart(keyOf(policyKind, "p")) },
		"drop": func(c *contents) { c.arrives(policyKind, "p", "3", "db") },
	} {
		t.Run(name, func(t *testing.T) {
			c := policed(t)
			goes(c)
			c.arrives(routeKind, "r2", "6", "web")
			c.lists(policyKind, map[string]string{"q": "5"})
			c.sees(nil)
			b := c.batch()
			if _, waits := c.holders[keyOf(routeKind, "r2")]; !waits {
				t.Errorf("the route is delivered without q: %v", b)
			}
			c.arrives(policyKind, "q", "5", "web")
			c.delivers(t, "q has come", "BackendTLSPolicy q", "HTTPRoute r2")
			c.isClean(t)
		})
	}
}

// What was delivered stands in what is asked: the routes and the Service.
func TestEndOfAPolicyAsksForRoutesAndTheService(t *testing.T) {
	c := policed(t)
	c.arrives(routeKind, "other", "2", "")
	s := &corev1.Service{}
	s.Namespace, s.Name = "a", "web"
	c.arrive(webKey, s)
	got := c.asks(cause(endFence, webKey))
	for _, key := range []source.Key{webKey, keyOf(routeKind, "r")} {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is not asked for", key)
		}
	}
	if len(got) != 2 {
		t.Errorf("asked for: %v", got)
	}
}

// The API server's storage was restored from a backup: versions are lower than those
// that were delivered, and the fence did not hold.
func TestEndOfAPolicyWaitsForWhatWasRestored(t *testing.T) {
	route := keyOf(routeKind, "r")
	restored := func(c *contents, version string, generation int64) {
		r := &gatewayv1.HTTPRoute{}
		r.SetUID("r")
		r.SetResourceVersion(version)
		r.SetGeneration(generation)
		r.SetAnnotations(map[string]string{"about": "web"})
		c.arrive(route, r)
	}
	for name, meanwhile := range map[string]func(c *contents){
		"at once":               func(*contents) {},
		"its status is written": func(c *contents) { restored(c, "101", 2) },
	} {
		t.Run(name, func(t *testing.T) {
			c := fenced(t, policedOptions())
			c.arrives(policyKind, "p", "1", "web")
			restored(c, "100", 2)
			c.batch()
			c.depart(keyOf(policyKind, "p"))
			meanwhile(c)
			c.sees(map[source.Key]string{route: "50"})
			c.deletes(t, "the route is another, and not delivered yet")
			restored(c, "50", 1)
			c.deletes(t, "it is", "BackendTLSPolicy p")
			c.depart(route)
			c.batch()
			c.isClean(t)
		})
	}
}

// What was read has come while it was read.
func TestEndOfAPolicyDoesNotWaitForWhatHasCome(t *testing.T) {
	c := policed(t)
	c.depart(keyOf(policyKind, "p"))
	c.arrives(routeKind, "r", "3", "web")
	c.sees(map[source.Key]string{keyOf(routeKind, "r"): "3"})
	c.deletes(t, "the route is delivered as it was read", "BackendTLSPolicy p")
	c.depart(keyOf(routeKind, "r"))
	c.batch()
	c.isClean(t)
}
