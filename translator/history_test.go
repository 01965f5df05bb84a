package translator

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// history makes random changes of every kind. Names are few, so that objects
// meet: a Service is missing now and there later, hosts are claimed twice,
// includes make cycles.
type history struct {
	rand  *rand.Rand
	state map[string]func(t *Translator, c *graph.Changes) // how to put each object that exists
	gone  map[string]func(t *Translator, c *graph.Changes)
	now   time.Time
	pems  [][]byte
	pairs []*pki.Pair
	// seen are bodies that were served, by type and name, to be the last good
	// ones of a refusal.
	seen map[string]*envoy.Resource
}

var (
	namespaces = []string{"a", "b"}
	someHosts  = []string{"one.test", "two.test", "*.test", "three.test", "ONE.test", "bad_host"}
)

func newHistory(seed uint64, pems [][]byte, pairs []*pki.Pair) *history {
	return &history{
		rand:  rand.New(rand.NewPCG(seed, 1)),
		state: map[string]func(*Translator, *graph.Changes){}, gone: map[string]func(*Translator, *graph.Changes){},
		now: time.Now(), pems: pems, pairs: pairs, seen: map[string]*envoy.Resource{},
	}
}

func pick[T any](h *history, of ...T) T { return of[h.rand.IntN(len(of))] }

func (h *history) name(names ...string) ir.Name {
	return ir.Name{Namespace: pick(h, namespaces...), Name: pick(h, names...)}
}

func (h *history) maybe(percent int) bool { return h.rand.IntN(100) < percent }

// step makes one change and records how to make it again from nothing.
func (h *history) step(t *Translator, c *graph.Changes) {
	switch h.rand.IntN(16) {
	case 12, 13, 14, 15:
		h.gatewayStep(t, c)
	case 11:
		h.stick(t, c)
	case 10:
		h.refuse(t, c)
	case 0, 1, 2:
		n := h.name("p1", "p2", "p3", "p4")
		put(h, t, c, edit[*contourv1.HTTPProxy]{func(t *Translator) *graph.Input[ir.Name, *contourv1.HTTPProxy] { return t.Proxies }, n, h.proxy(n)})
	case 3:
		n := h.name("s1", "s2")
		put(h, t, c, edit[*corev1.Service]{func(t *Translator) *graph.Input[ir.Name, *corev1.Service] { return t.Services }, n, h.service(n)})
	case 4, 5:
		n := h.name("s1-x", "s1-y", "s2-x")
		put(h, t, c, edit[*discoveryv1.EndpointSlice]{func(t *Translator) *graph.Input[ir.Name, *discoveryv1.EndpointSlice] { return t.Slices }, n, h.slice(n)})
	case 6, 7:
		n := h.name("ca", "cert")
		put(h, t, c, edit[*corev1.Secret]{func(t *Translator) *graph.Input[ir.Name, *corev1.Secret] { return t.Secrets }, n, h.secret()})
	case 8:
		n := h.name("d1", "d2")
		put(h, t, c, edit[*contourv1.TLSCertificateDelegation]{func(t *Translator) *graph.Input[ir.Name, *contourv1.TLSCertificateDelegation] { return t.Delegations }, n, h.delegation()})
	case 9:
		if h.maybe(30) {
			h.now = h.now.Add(time.Hour)
			now := h.now
			h.record(t, c, "clock", func(t *Translator, c *graph.Changes) { t.Clock.Put(c, ClockKey, now) }, nil)
			return
		}
		n := pick(h, ir.Name{Namespace: "f", Name: "one"}, ir.Name{Namespace: "f", Name: "two"})
		put(h, t, c, edit[*FleetSpec]{func(t *Translator) *graph.Input[ir.Name, *FleetSpec] { return t.Fleets }, n, h.fleet(n)})
	}
}

// refuse holds back something that is served now, whole or a part of it, or
// forgets a refusal.
func (h *history) refuse(t *Translator, c *graph.Changes) {
	rev := t.Current()
	var keys []RefusalKey
	for k := range t.Quarantine.All(rev.Reader()) {
		keys = append(keys, k)
	}
	if len(keys) > 0 && h.maybe(40) {
		k := keys[h.rand.IntN(len(keys))]
		h.record(t, c, fmt.Sprint("refusal ", k), nil, func(t *Translator, c *graph.Changes) { t.Quarantine.Delete(c, k) })
		return
	}
	type candidate struct {
		key RefusalKey
		x   *envoy.Resource
	}
	var all []candidate
	for fleet, x := range t.Resources(rev) {
		key := RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name}
		all = append(all, candidate{key, x})
		parts, err := envoy.Parts(x)
		if err != nil {
			panic(err)
		}
		for _, p := range parts {
			key.Part = p.Name
			all = append(all, candidate{key, p})
		}
	}
	if len(all) == 0 {
		return
	}
	one := all[h.rand.IntN(len(all))]
	id := fmt.Sprint("refusal ", one.key)
	q := &Refusal{Version: one.x.Version, Message: "no", LastGood: h.seen[id], Withheld: h.maybe(10), Suspect: h.maybe(20)}
	h.seen[id] = one.x
	h.record(t, c, id, func(t *Translator, c *graph.Changes) { t.Quarantine.Put(c, one.key, q) }, nil)
}

// stick says of a cluster that it does not get warm, or that it does.
func (h *history) stick(t *Translator, c *graph.Changes) {
	var all []ClusterKey
	for fleet, x := range t.Resources(t.Current()) {
		if x.Type == envoy.ClusterType {
			all = append(all, ClusterKey{fleet, x.Name})
		}
	}
	if len(all) == 0 {
		return
	}
	k := all[h.rand.IntN(len(all))]
	var gone func(t *Translator, c *graph.Changes)
	stuck := func(t *Translator, c *graph.Changes) { t.Warming.Put(c, k, "its endpoints") }
	if h.maybe(60) {
		stuck, gone = nil, func(t *Translator, c *graph.Changes) { t.Warming.Delete(c, k) }
	}
	h.record(t, c, fmt.Sprint("warming ", k), stuck, gone)
}

// table is an input of any translator.
type table[V any] func(*Translator) *graph.Input[ir.Name, V]

// edit is a row to put, or to delete.
type edit[V any] struct {
	in    table[V]
	name  ir.Name
	value V
}

func put[V any](h *history, t *Translator, c *graph.Changes, e edit[V]) {
	id := fmt.Sprintf("%T %s", e.value, e.name)
	if h.maybe(25) {
		h.record(t, c, id, nil, func(t *Translator, c *graph.Changes) { e.in(t).Delete(c, e.name) })
		return
	}
	h.record(t, c, id, func(t *Translator, c *graph.Changes) { e.in(t).Put(c, e.name, e.value) }, nil)
}

func (h *history) record(t *Translator, c *graph.Changes, id string, set, remove func(*Translator, *graph.Changes)) {
	if remove != nil {
		delete(h.state, id)
		remove(t, c)
		return
	}
	h.state[id] = set
	set(t, c)
}

func (h *history) proxy(n ir.Name) *contourv1.HTTPProxy {
	p := &contourv1.HTTPProxy{Namespace: n.Namespace, Name: n.Name, Generation: int64(h.rand.IntN(3))}
	if h.maybe(60) {
		p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: pick(h, someHosts...)}
		if h.maybe(40) {
			p.Spec.VirtualHost.TLS = &contourv1.TLS{SecretName: pick(h, "cert", "a/cert", "b/cert"), Passthrough: h.maybe(10)}
		}
	}
	if h.maybe(15) {
		p.Spec.IngressClassName = pick(h, "contour", "other")
	}
	for range h.rand.IntN(3) {
		p.Spec.Routes = append(p.Spec.Routes, contourv1.Route{
			Conditions: h.conditions(), Services: h.services(), PermitInsecure: h.maybe(30),
		})
	}
	for range h.rand.IntN(2) {
		p.Spec.Includes = append(p.Spec.Includes, contourv1.Include{
			Name: pick(h, "p1", "p2", "p3", "p4"), Namespace: pick(h, "", "a", "b"), Conditions: h.conditions(),
		})
	}
	if h.maybe(10) {
		p.Spec.TCPProxy = &contourv1.TCPProxy{Services: h.services()}
	}
	return p
}

func (h *history) conditions() []contourv1.MatchCondition {
	switch h.rand.IntN(5) {
	case 0:
		return nil
	case 1:
		return []contourv1.MatchCondition{{Prefix: "/x"}, {Header: &contourv1.HeaderMatchCondition{Name: "X-A", Exact: pick(h, "1", "2")}}}
	case 2:
		return []contourv1.MatchCondition{{Regex: pick(h, "/r.*", "/r(")}}
	default:
		return []contourv1.MatchCondition{{Prefix: pick(h, "/", "/x", "/y", "no-slash")}}
	}
}

func (h *history) services() []contourv1.Service {
	var out []contourv1.Service
	for range 1 + h.rand.IntN(2) {
		s := contourv1.Service{Name: pick(h, "s1", "s2"), Port: pick(h, 80, 443), Weight: int64(h.rand.IntN(3))}
		if h.maybe(50) {
			protocol := pick(h, "tls", "h2", "h2c")
			s.Protocol = &protocol
		}
		if h.maybe(50) {
			s.UpstreamValidation = &contourv1.UpstreamValidation{
				CACertificate: pick(h, "ca", "a/ca", "b/ca", "cert"), SubjectName: pick(h, "x.example", "10.0.0.1", "spiffe://x/y", ""),
			}
		}
		s.Mirror = h.maybe(5)
		out = append(out, s)
	}
	return out
}

func (h *history) service(n ir.Name) *corev1.Service {
	s := &corev1.Service{Namespace: n.Namespace, Name: n.Name}
	if h.maybe(50) {
		s.Annotations = map[string]string{"projectcontour.io/upstream-protocol." + pick(h, "tls", "h2", "h2c"): pick(h, "443", "secure", "80,443", "")}
	}
	s.Spec.Ports = []corev1.ServicePort{{Name: "web", Port: 80}}
	if h.maybe(50) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP})
	}
	if h.maybe(70) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "secure", Port: 443})
	}
	if h.maybe(10) {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, pick(h, "out.example.com", "localhost")
	}
	h.besides(reflect.ValueOf(&s.Spec).Elem(), "Type", "ExternalName", "Ports")
	for i := range s.Spec.Ports {
		h.besides(reflect.ValueOf(&s.Spec.Ports[i]).Elem(), "Name", "Port", "Protocol")
	}
	s.Generation, s.Labels = int64(h.rand.IntN(3)), map[string]string{"any": pick(h, "1", "2")}
	s.Status.Conditions = []metav1.Condition{{Type: pick(h, "1", "2")}}
	if h.maybe(30) {
		s.Annotations = maps.Clone(s.Annotations)
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[pick(h, "projectcontour.io/max-connections", "projectcontour.io/any", "any.example/note")] = pick(h, "1", "2", "x")
	}
	return s
}

// besides sets any of a struct's fields but some: what is taken for no change
// must not be read.
func (h *history) besides(v reflect.Value, but ...string) {
	for field, f := range v.Fields() {
		if slices.Contains(but, field.Name) || h.maybe(90) {
			continue
		}
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString(pick(h, "https", "kubernetes.io/h2c", "any"))
		case reflect.Int32, reflect.Int64:
			f.SetInt(int64(1 + h.rand.IntN(3)))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		default: // structs and the like stay empty
		}
	}
}

func (h *history) slice(n ir.Name) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		Namespace: n.Namespace, Name: n.Name, Labels: map[string]string{discoveryv1.LabelServiceName: n.Name[:2]},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, p := range []string{"web", "secure"} {
		port := int32(8000 + h.rand.IntN(3))
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &p, Port: &port})
	}
	if h.maybe(50) {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: new("dns"), Port: new(int32(5300)), Protocol: new(corev1.ProtocolUDP)})
	}
	for range h.rand.IntN(3) {
		ready := h.maybe(80)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.0.0.%d", h.rand.IntN(4))}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return s
}

func (h *history) secret() *corev1.Secret {
	s := &corev1.Secret{Type: pick(h, corev1.SecretTypeOpaque, corev1.SecretTypeTLS, corev1.SecretTypeBasicAuth), Data: map[string][]byte{}}
	if h.maybe(80) {
		s.Data["ca.crt"] = pick(h, h.pems...)
	}
	if h.maybe(80) {
		s.Data["tls.crt"], s.Data["tls.key"] = pick(h, h.pairs...).CertPEM, pick(h, h.pairs...).KeyPEM
	}
	return s
}

func (h *history) delegation() *contourv1.TLSCertificateDelegation {
	return &contourv1.TLSCertificateDelegation{Spec: contourv1.TLSCertificateDelegationSpec{
		Delegations: []contourv1.CertificateDelegation{{SecretName: pick(h, "ca", "cert"), TargetNamespaces: pick(h, []string{"*"}, []string{"a"}, []string{"b", "c"})}},
	}}
}

func (h *history) fleet(n ir.Name) *FleetSpec {
	f := &FleetSpec{
		Name: n, Selector: httpproxy.Selector{Fleet: n},
		Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: 8080}, {Name: "https", Address: "127.0.0.1", Port: 8443, TLS: true}},
		Upstream:  upstream.FleetSettings{RequireValidation: h.maybe(20), Max: pick(h, "", "1.2", "1.3")},
	}
	if h.maybe(40) {
		f.Upstream.ClientCertificate = &ir.Name{Namespace: pick(h, namespaces...), Name: "cert"}
	}
	if h.maybe(20) {
		f.Selector.RootNamespaces = []string{"a"}
	}
	if h.maybe(70) {
		f.Gateways = &listener.Hosting{Address: "127.0.0.1", Offset: 10_000}
	}
	return f
}
