package translator

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

var routeSizes = []int{100, 1_000, 10_000}

// routeEstate puts one Gateway with n HTTPRoutes, each with a host, a Service,
// endpoints and a BackendTLSPolicy of its own, and all with one CA.
func routeEstate(b *testing.B, t *Translator, n int) *graph.Changes {
	b.Helper()
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		b.Fatal(err)
	}
	gateway := ir.Name{Namespace: "default", Name: "gw"}
	c := graph.NewChanges()
	t.Clock.Put(c, ClockKey, time.Now())
	t.Fleets.Put(c, benchFleet, &FleetSpec{
		Name: benchFleet, Gateways: &listener.Hosting{Only: &gateway, Address: "127.0.0.1", Assigned: true},
	})
	t.Namespaces.Put(c, ir.Name{Name: "default"}, &corev1.Namespace{Name: "default"})
	t.GatewayClasses.Put(c, ir.Name{Name: "signet"}, classOfOurs())
	g := &gatewayv1.Gateway{Namespace: gateway.Namespace, Name: gateway.Name, Generation: 1}
	g.Spec.GatewayClassName = "signet"
	g.Spec.Listeners = []gatewayv1.Listener{{Name: "http", Port: 8080, Protocol: gatewayv1.HTTPProtocolType}}
	t.Gateways.Put(c, gateway, g)
	t.ConfigMaps.Put(c, ir.Name{Namespace: "default", Name: "ca"}, &corev1.ConfigMap{Data: map[string]string{"ca.crt": string(ca.PEM())}})
	for i := range n {
		putRoute(t, c, i)
	}
	return c
}

// putRoute puts an HTTPRoute and all that it alone refers to.
func putRoute(t *Translator, c *graph.Changes, i int) {
	name := ir.Name{Namespace: "default", Name: fmt.Sprint("s", i)}
	t.Services.Put(c, name, &corev1.Service{
		Namespace: name.Namespace, Name: name.Name,
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 443}}},
	})
	slice := benchSlice(name, 0)
	slice.AddressType = discoveryv1.AddressTypeIPv4
	t.Slices.Put(c, name, slice)
	t.Policies.Put(c, name, benchPolicy(name, "backend.example"))
	t.HTTPRoutes.Put(c, name, benchRoute(i, "v0"))
}

func removeRoute(t *Translator, c *graph.Changes, i int) {
	name := ir.Name{Namespace: "default", Name: fmt.Sprint("s", i)}
	t.Services.Delete(c, name)
	t.Slices.Delete(c, name)
	t.Policies.Delete(c, name)
	t.HTTPRoutes.Delete(c, name)
}

func benchPolicy(n ir.Name, hostname string) *gatewayv1.BackendTLSPolicy {
	p := &gatewayv1.BackendTLSPolicy{Namespace: n.Namespace, Name: n.Name, Generation: 1}
	p.Spec.TargetRefs = []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{}}
	p.Spec.TargetRefs[0].Kind, p.Spec.TargetRefs[0].Name = "Service", gatewayv1.ObjectName(n.Name)
	p.Spec.Validation.Hostname = gatewayv1.PreciseHostname(hostname)
	p.Spec.Validation.CACertificateRefs = []gatewayv1.LocalObjectReference{{Kind: "ConfigMap", Name: "ca"}}
	return p
}

func benchRoute(i int, version string) *gatewayv1.HTTPRoute {
	r := &gatewayv1.HTTPRoute{Namespace: "default", Name: fmt.Sprint("s", i), Generation: 1}
	r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "gw"}}
	r.Spec.Hostnames = []gatewayv1.Hostname{gatewayv1.Hostname(fmt.Sprintf("h%d.bench.test", i))}
	r.Spec.Rules = []gatewayv1.HTTPRouteRule{{
		Filters: []gatewayv1.HTTPRouteFilter{{
			Type:                   gatewayv1.HTTPRouteFilterResponseHeaderModifier,
			ResponseHeaderModifier: &gatewayv1.HTTPHeaderFilter{Set: []gatewayv1.HTTPHeader{{Name: "X-Version", Value: version}}},
		}},
		BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: streamTo(fmt.Sprint("s", i), 443)[0]}},
	}}
	return r
}

// changeRoutes measures one change after the other, with the processor's caches
// emptied before each as in BenchmarkFlat_OneProxyChanged. The medians must stay
// flat: 10,000 routes by 100 at most 1.2.
func changeRoutes(b *testing.B, change func(t *Translator, c *graph.Changes, n, i int)) {
	b.Helper()
	for _, n := range routeSizes {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			t := New()
			rev := t.Commit(routeEstate(b, t, n))
			if failures := rev.Failures(); len(failures) > 0 {
				b.Fatal(failures)
			}
			if got := len(t.Changed(rev)); got < 2*n {
				b.Fatalf("%d resources for %d routes", got, n)
			}
			measureChanges(b, t, emptyCaches(), func(c *graph.Changes, i int) { change(t, c, n, i) })
		})
	}
}

// One HTTPRoute of a Gateway changed, from the object to the bytes for Envoy.
func BenchmarkFlat_OneRouteChanged(b *testing.B) {
	changeRoutes(b, func(t *Translator, c *graph.Changes, n, i int) {
		k := (i * 7919) % n
		t.HTTPRoutes.Put(c, ir.Name{Namespace: "default", Name: fmt.Sprint("s", k)}, benchRoute(k, fmt.Sprint("v", i+1)))
	})
}

// One host of a Gateway added and, the next time, removed, with all that is its
// own: the number of attached routes changes too.
func BenchmarkFlat_OneRouteAddedOrRemoved(b *testing.B) {
	changeRoutes(b, func(t *Translator, c *graph.Changes, n, i int) {
		if i%2 == 0 {
			putRoute(t, c, n+i)
		} else {
			removeRoute(t, c, n+i-1)
		}
	})
}

// The name in one BackendTLSPolicy changed: another cluster.
func BenchmarkFlat_OnePolicyChanged(b *testing.B) {
	changeRoutes(b, func(t *Translator, c *graph.Changes, n, i int) {
		name := ir.Name{Namespace: "default", Name: fmt.Sprint("s", (i*7919)%n)}
		t.Policies.Put(c, name, benchPolicy(name, fmt.Sprintf("backend%d.example", i)))
	})
}
