package kubernetes

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// lackingOptions are those of contents whose routes ask for Services of their own
// namespace, and for a ReferenceGrant for those of another; HTTPProxies ask for others.
func lackingOptions() Options {
	return Options{References: none, Uses: none, Targets: none, Backends: none, Lacks: func(
		o client.Object, there func(source.Key) []client.Object,
	) (out []source.Key) {
		for _, k := range services(o) {
			switch o.(type) {
			case *contourv1.HTTPProxy:
				k.GroupVersionKind = proxyKind
			case *gatewayv1.HTTPRoute:
				if k.Name == "far" {
					k = source.Key{GroupVersionKind: grantKind, Namespace: "b"}
				}
			default:
				continue
			}
			if len(there(k)) == 0 {
				out = append(out, k)
			}
		}
		return out
	}}
}

func (c *contents) includes(name, others string) {
	c.includesNow(name, "1", others)
}

func (c *contents) includesNow(name, version, others string) {
	p := &contourv1.HTTPProxy{Name: name, Namespace: "a", ResourceVersion: version, Annotations: map[string]string{"about": others}}
	p.SetGroupVersionKind(proxyKind)
	c.arrive(keyOf(proxyKind, name), p)
}

func (c *contents) offers(name, version string) {
	s := &corev1.Service{Name: name, Namespace: "a", ResourceVersion: version}
	s.SetGroupVersionKind(serviceKind)
	c.arrive(keyOf(serviceKind, name), s)
}

// A host that was new answered 503 about once in two thousand times, as its HTTPProxy
// and its EndpointSlice came before its Service.
func TestRouteWaitsForServices(t *testing.T) {
	c := fenced(t, lackingOptions())
	c.arrives(routeKind, "r", "1", "web")
	c.delivers(t, "web may be on its way")
	c.offers("db", "1")
	c.delivers(t, "another Service says nothing", "Service db")
	c.offers("web", "1")
	c.delivers(t, "it is there, and no list was needed", "HTTPRoute r", "Service web")
	c.arrives(routeKind, "r", "2", "web none")
	c.delivers(t, "the version before serves on")
	c.arrives(routeKind, "r", "3", "web none")
	c.delivers(t, "a second edit changes nothing of that")
	c.lists(serviceKind, nil)
	c.delivers(t, "there is no such Service", "HTTPRoute r")
	c.arrives(routeKind, "r", "4", "web none")
	c.delivers(t, "it was without it before", "HTTPRoute r")
	c.isClean(t)
}

func TestServiceThatIsThereIsWaitedFor(t *testing.T) {
	c := fenced(t, lackingOptions())
	c.arrives(routeKind, "r", "1", "web")
	c.lists(serviceKind, map[string]string{"web": "7"})
	c.delivers(t, "it was there when the route came")
	c.offers("web", "7")
	c.delivers(t, "it has come", "HTTPRoute r", "Service web")
	c.isClean(t)
}

// A route that was sent to another namespace answered 500 as long as the watch of the
// ReferenceGrant was behind.
func TestRouteWaitsForPermission(t *testing.T) {
	c := fenced(t, lackingOptions())
	c.arrives(routeKind, "r", "1", "far")
	c.delivers(t, "a grant of the other namespace may be on its way")
	g := servicesOf("a")
	g.SetGroupVersionKind(grantKind)
	g.Name, g.Namespace, g.ResourceVersion = "g", "b", "1"
	key := source.Key{GroupVersionKind: grantKind, Namespace: "b", Name: "g"}
	c.arrive(key, g)
	c.delivers(t, "it permits that", "HTTPRoute r", "ReferenceGrant g")
	c.depart(key)
	c.arrives(routeKind, "r", "2", "far")
	c.delivers(t, "what is gone is not waited for", "HTTPRoute r")
	c.arrives(routeKind, "second", "3", "far")
	c.delivers(t, "another route was never permitted")
	c.lists(grantKind, nil)
	c.delivers(t, "and there is none", "HTTPRoute second")
	c.isClean(t)
}

// Objects that include each other would wait for ever.
func TestInclusionInACircleWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fenced(t, lackingOptions())
		c.includes("self", "self")
		c.lists(proxyKind, map[string]string{"self": "1"})
		c.delivers(t, "it waits for nobody else", "HTTPProxy self")
		c.includes("one", "two")
		<-time.After(fenceFirst) // a list of its own
		c.includes("two", "one")
		c.delivers(t, "each may be on its way")
		c.lists(proxyKind, map[string]string{"one": "1", "two": "1"})
		c.delivers(t, "each waits for the other", "HTTPProxy one", "HTTPProxy two")
		c.isClean(t)
	})
}

// A root was frozen as long as what it newly includes waited for a Secret that could not
// be read.
func TestWhatDoesNotComeIsWaitedForSomeTime(t *testing.T) {
	c := fenced(t, lackingOptions())
	c.includes("root", "child")
	for n := range lackLists {
		c.delivers(t, "the child is there, and waits")
		for key, x := range c.known {
			if isLack(key) && !x.settled {
				c.settle(fetch{key: key, of: x, versions: map[source.Key]string{keyOf(proxyKind, "child"): "1"}})
			}
		}
		if n == lackLists-1 {
			c.delivers(t, "it was asked for often enough", "HTTPProxy root")
		}
	}
	c.isClean(t)
}

// What lacked when it was asked for may have come since: an edit relied on that answer.
func TestAnEditAsksAgainForWhatLacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fenced(t, lackingOptions())
		c.arrives(routeKind, "r", "1", "web none")
		for key, x := range c.known {
			if strings.HasPrefix(key.Name, "none/") {
				c.settle(fetch{key: key, of: x})
			}
		}
		<-time.After(fenceFirst)
		c.arrives(routeKind, "r", "2", "web none")
		c.offers("web", "5")
		c.delivers(t, "none may have come since", "Service web")
		c.lists(serviceKind, nil)
		c.delivers(t, "it has not", "HTTPRoute r")
		c.isClean(t)
	})
}

// A root that was sent from one child to another was refused while the new one was on
// its way, if the old one was deleted behind it.
func TestWhatIsIncludedStaysUntilItIsReplaced(t *testing.T) {
	c := fenced(t, lackingOptions())
	c.includes("old", "")
	c.includes("root", "old")
	c.delivers(t, "the child was there", "HTTPProxy old", "HTTPProxy root")
	c.includesNow("root", "2", "new")
	c.depart(keyOf(proxyKind, "old"))
	if b := c.batch(); len(b.Changed)+len(b.Deleted) > 0 {
		t.Errorf("the version before serves with the old child, got %v", b)
	}
	c.includes("new", "")
	b := c.batch()
	if len(b.Changed) != 2 || len(b.Deleted) != 1 {
		t.Errorf("want new and root, and the end of old, got %v", b)
	}
	c.isClean(t)
}

// The ends of two that include each other waited for each other for ever.
func TestEndsOfACircleWaitForNobody(t *testing.T) {
	c := fenced(t, lackingOptions())
	c.complete = false
	c.includes("one", "two")
	c.includes("two", "three")
	c.includes("three", "one")
	c.complete = true
	c.batch()
	for _, name := range []string{"one", "two", "three"} {
		c.includesNow(name, "2", "new")
	}
	for _, name := range []string{"two", "one", "three"} {
		c.depart(keyOf(proxyKind, name))
	}
	if b := c.batch(); len(b.Changed) > 0 || len(b.Deleted) != 3 {
		t.Errorf("want three ends, got %v", b)
	}
	c.isClean(t)
}
