package translator

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

var benchFleet = ir.Name{Namespace: "signet", Name: "bench"}

// estate puts n proxies, each with its own Service and endpoints and all with
// one CA, half of them HTTPS hosts.
func estate(b testing.TB, t *Translator, n int) *graph.Changes {
	b.Helper()
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		b.Fatal(err)
	}
	pair, err := ca.Issue(pki.Leaf{DNS: []string{"*.bench.test"}})
	if err != nil {
		b.Fatal(err)
	}
	c := graph.NewChanges()
	t.Clock.Put(c, ClockKey, time.Now())
	t.Fleets.Put(c, benchFleet, &FleetSpec{
		Name: benchFleet, Selector: httpproxy.Selector{Fleet: benchFleet},
		Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: 8080}, {Name: "https", Address: "127.0.0.1", Port: 8443, TLS: true}},
	})
	t.Secrets.Put(c, ir.Name{Namespace: "default", Name: "ca"}, &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"ca.crt": ca.PEM()}})
	t.Secrets.Put(c, ir.Name{Namespace: "default", Name: "cert"}, &corev1.Secret{
		Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM},
	})
	for i := range n {
		putProxy(t, c, i)
	}
	return c
}

func putProxy(t *Translator, c *graph.Changes, i int) {
	name := benchServiceName(i)
	t.Services.Put(c, name, &corev1.Service{
		Namespace: name.Namespace, Name: name.Name,
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 443}}},
	})
	t.Slices.Put(c, name, benchSlice(name, 0))
	t.Proxies.Put(c, benchProxyName(i), benchProxy(i, "v0"))
}

func removeProxy(t *Translator, c *graph.Changes, i int) {
	t.Services.Delete(c, benchServiceName(i))
	t.Slices.Delete(c, benchServiceName(i))
	t.Proxies.Delete(c, benchProxyName(i))
}

func benchServiceName(i int) ir.Name { return ir.Name{Namespace: "default", Name: fmt.Sprint("s", i)} }

func benchProxyName(i int) ir.Name { return ir.Name{Namespace: "default", Name: fmt.Sprint("p", i)} }

func benchSlice(service ir.Name, last int) *discoveryv1.EndpointSlice {
	name, port := "web", int32(8443)
	return &discoveryv1.EndpointSlice{
		Namespace: service.Namespace, Name: service.Name, Labels: map[string]string{discoveryv1.LabelServiceName: service.Name},
		Ports:     []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{fmt.Sprintf("10.0.0.%d", 1+last)}}},
	}
}

func benchProxy(i int, version string) *contourv1.HTTPProxy {
	n, tls := benchProxyName(i), "tls"
	p := &contourv1.HTTPProxy{
		Namespace: n.Namespace, Name: n.Name, Generation: 1,
		Spec: contourv1.HTTPProxySpec{
			VirtualHost: &contourv1.VirtualHost{Fqdn: fmt.Sprintf("h%d.bench.test", i)},
			Routes: []contourv1.Route{{
				Services: []contourv1.Service{{
					Name: fmt.Sprint("s", i), Port: 443, Protocol: &tls,
					UpstreamValidation: &contourv1.UpstreamValidation{CACertificate: "ca", SubjectName: "backend.example"},
				}},
				ResponseHeadersPolicy: &contourv1.HeadersPolicy{Set: []contourv1.HeaderValue{{Name: "X-Version", Value: version}}},
			}},
		},
	}
	if i%2 == 0 {
		p.Spec.VirtualHost.TLS = &contourv1.TLS{SecretName: "cert"}
	}
	return p
}

var benchSizes = []int{100, 10_000, 100_000}

// One HTTPProxy changed, from the object to the bytes for Envoy, with the
// processor's caches emptied before each change, as they are in life, where
// other work runs between two changes. The median must stay flat.
func BenchmarkFlat_OneProxyChanged(b *testing.B) { changeProxies(b, emptyCaches(), editProxy) }

// The same back to back. A small graph then stays in the caches and a large one
// does not: the growth shown here is that of memory access, not of steps.
func BenchmarkHot_OneProxyChanged(b *testing.B) { changeProxies(b, func() {}, editProxy) }

// One host added and, the next time, removed, with all that is its own.
func BenchmarkFlat_OneProxyAddedOrRemoved(b *testing.B) {
	changeProxies(b, emptyCaches(), func(t *Translator, c *graph.Changes, n, i int) {
		if i%2 == 0 {
			putProxy(t, c, n+i)
		} else {
			removeProxy(t, c, n+i-1)
		}
	})
}

func editProxy(t *Translator, c *graph.Changes, n, i int) {
	k := (i * 7919) % n
	t.Proxies.Put(c, benchProxyName(k), benchProxy(k, fmt.Sprint("v", i+1)))
}

// emptyCaches returns a function that fills the processor's caches with
// something else.
func emptyCaches() func() {
	other := make([]byte, 96<<20) // larger than the last-level cache's share
	return func() {
		for i := 0; i < len(other); i += 64 {
			other[i]++
		}
	}
}

func changeProxies(b *testing.B, between func(), change func(t *Translator, c *graph.Changes, n, i int)) {
	b.Helper()
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("proxies=%d", n), func(b *testing.B) {
			t := New()
			t.Commit(estate(b, t, n))
			measureChanges(b, t, between, func(c *graph.Changes, i int) { change(t, c, n, i) })
		})
	}
}

// measureChanges reports the median time of a change, which must change a
// resource, from the object to the bytes for Envoy.
func measureChanges(b *testing.B, t *Translator, between func(), change func(c *graph.Changes, i int)) {
	b.Helper()
	runtime.GC()
	b.ReportAllocs()
	took := make([]time.Duration, 0, 1<<16)
	i := 0
	for b.Loop() {
		between()
		c := graph.NewChanges()
		change(c, i)
		began := time.Now()
		rev := t.Commit(c)
		if got := t.Changed(rev); len(got) == 0 {
			b.Fatal("nothing changed")
		}
		took = append(took, time.Since(began))
		i++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns/op")
}

// The endpoints of one Service changed. Must stay flat.
func BenchmarkFlat_EndpointsChanged(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("proxies=%d", n), func(b *testing.B) {
			t := New()
			t.Commit(estate(b, t, n))
			runtime.GC()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c := graph.NewChanges()
				name := ir.Name{Namespace: "default", Name: fmt.Sprint("s", (i*7919)%n)}
				t.Slices.Put(c, name, benchSlice(name, 1+i%200))
				rev := t.Commit(c)
				if got := t.Changed(rev); len(got) != 1 {
					b.Fatalf("%d resources changed, want 1", len(got))
				}
				i++
			}
		})
	}
}

// The first translation of 10,000 proxies: time and what it leaves in memory.
func BenchmarkFirstTranslation(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		t := New()
		c := estate(b, t, n)
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b.StartTimer()
		t.Commit(c)
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-kept")
		runtime.KeepAlive(t)
		b.StartTimer()
	}
}
