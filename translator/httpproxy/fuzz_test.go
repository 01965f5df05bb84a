package httpproxy

import (
	"reflect"
	"testing"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/ir"
)

// FuzzSpec holds that any spec that can be decoded is translated without a
// panic, twice in the same way, into routes with unique names and exactly one
// action each, without touching its input.
func FuzzSpec(f *testing.F) {
	for _, seed := range []string{
		baseRoute, baseRedirect, baseDirect, baseHealth, baseSlow, baseTCP, baseHeaders, baseRewrite,
		`{virtualhost: {fqdn: "*.example.com"}, includes: [{name: child, conditions: [{prefix: /a/}]}], routes: [{}]}`,
		`{routes: [{conditions: [{regex: "/("}, {header: {name: x, exact: a, present: true}}], services: [{name: w, port: -1, weight: -1}]}]}`,
	} {
		f.Add([]byte(seed), []byte(baseRoute))
	}
	f.Fuzz(func(t *testing.T, root, child []byte) {
		a, b := &contourv1.HTTPProxy{}, &contourv1.HTTPProxy{}
		if yaml.Unmarshal(root, &a.Spec) != nil || yaml.Unmarshal(child, &b.Spec) != nil {
			return
		}
		checkTranslation(t, a, b)
	})
}

// FuzzFields holds the same of specs that are made of bytes field by field, so
// that each input is one that decodes and the odd values stand where they hurt.
func FuzzFields(f *testing.F) {
	for i := range 40 {
		seed := make([]byte, 400)
		for j := range seed {
			seed[j] = byte(i*j*j + 7*j + i)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := &contourv1.HTTPProxy{}, &contourv1.HTTPProxy{}
		m := maker{data}
		m.fill(reflect.ValueOf(&a.Spec).Elem())
		m.fill(reflect.ValueOf(&b.Spec).Elem())
		b.Spec.VirtualHost = nil
		for i := range a.Spec.Includes {
			a.Spec.Includes[i].Name, a.Spec.Includes[i].Namespace = "child", ""
		}
		if v := a.Spec.VirtualHost; v == nil || v.Fqdn == "" {
			a.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "a.example.com"}
		}
		checkTranslation(t, a, b)
	})
}

// maker makes values of bytes.
type maker struct{ data []byte }

func (m *maker) next() int {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return int(b)
}

// words are the values that a field may have.
var words = []string{
	"", "/", "/a", "/a/", "//a", "a", "/(", "/a|/b", "x", "X-A", "Host", "%REQ(X)%", "%", "h.test", "*.h.test", "a.example.com", "child", "root",
	"default", "web", "missing", "ca", "cert", "nope", "certs/ca", "tls", "h2", "h2c", "1.2", "1.3", "Cookie", "RequestHash", "Random", "1s", "-1s",
	"infinity", "NaN", "1e400", "https", "5xx", "\x00", "a\r\nb", "spiffe://x/y", "10.0.0.1", "None", "Strict", "contour",
}

var numbers = []int64{0, 1, 80, 443, 8080, 200, 301, 503, 599, -1, 65536, 1 << 31, 1<<32 - 1, 1 << 40, -1 << 63}

func (m *maker) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		m.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), m.next()%4, 4))
		for i := range v.Len() {
			m.fill(v.Index(i))
		}
	case reflect.Struct:
		for f, field := range v.Fields() {
			// What has every field is never served.
			if f.Name == "Routes" || f.Name == "Services" || m.next()%6 == 1 {
				m.fill(field)
			}
		}
		if s, ok := reflect.TypeAssert[*contourv1.Service](v.Addr()); ok && s.Name == "" {
			s.Name, s.Port = "web", []int{80, 443, 8080}[m.next()%3]
		}
	case reflect.String:
		v.SetString(words[m.next()%len(words)])
	case reflect.Bool:
		v.SetBool(m.next()%2 == 1)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(numbers[m.next()%len(numbers)])
	case reflect.Uint32:
		v.SetUint(uint64(uint32(numbers[m.next()%len(numbers)])))
	default:
	}
}

// checkTranslation holds what must be true of any root and child.
func checkTranslation(t *testing.T, a, b *contourv1.HTTPProxy) {
	t.Helper()
	a.Namespace, a.Name, b.Namespace, b.Name = "default", "root", "default", "child"
	in := []*contourv1.HTTPProxy{a, b}
	copies := []*contourv1.HTTPProxy{a.DeepCopy(), b.DeepCopy()}
	s := []Selector{selector()}
	w := translate(&fakeObjects{}, fleet(), s, in)
	if again := translate(&fakeObjects{}, fleet(), s, in); !reflect.DeepEqual(w, again) {
		t.Error("two translations of one input differ")
	}
	if !reflect.DeepEqual(in, copies) {
		t.Error("the input was changed")
	}
	for _, p := range in {
		n := ir.Name{Namespace: p.Namespace, Name: p.Name}
		if !reflect.DeepEqual(w.docs[n], Translate(&fakeObjects{}, p)) {
			t.Errorf("composing changed the document %s", n)
		}
	}
	for _, site := range w.sites {
		checkSite(t, site)
	}
}

func checkSite(t *testing.T, s *Site) {
	t.Helper()
	for i := range s.VirtualHosts {
		names, matches := map[string]bool{}, map[string]bool{}
		for j := range s.VirtualHosts[i].Routes {
			r := &s.VirtualHosts[i].Routes[j]
			if r.Name == "" || names[r.Name] {
				t.Errorf("name %q is empty or not the only one", r.Name)
			}
			if key := matchKey(&r.Match); matches[key] {
				t.Errorf("match %+v is there twice", r.Match)
			}
			names[r.Name], matches[matchKey(&r.Match)] = true, true
			checkRoute(t, r)
		}
	}
	for u := range s.Upstreams() {
		if u.Name() == "" {
			t.Error("an upstream has no name")
		}
	}
	if s.TCP != nil && (s.TCP.Failure == "") != (len(s.TCP.Backends) > 0) {
		t.Errorf("TCP route with failure %q has %d backends", s.TCP.Failure, len(s.TCP.Backends))
	}
}

func checkRoute(t *testing.T, r *ir.Route) {
	t.Helper()
	actions := 0
	for _, set := range [...]bool{r.Forward != nil, r.Redirect != nil, r.Response != nil} {
		if set {
			actions++
		}
	}
	if actions != 1 {
		t.Errorf("route %s has %d actions", r.Name, actions)
	}
	if r.Failure != "" && (r.Response == nil || r.Response.StatusCode < 500) {
		t.Errorf("route %s failed and is not closed", r.Name)
	}
	if r.Forward != nil && len(r.Forward.Backends) == 0 {
		t.Errorf("route %s forwards to nothing", r.Name)
	}
	if r.Match.Path == "" || r.Match.Path[0] != '/' {
		t.Errorf("route %s matches path %q", r.Name, r.Match.Path)
	}
}

// BenchmarkProxy is one small HTTPProxy from object to site and status.
func BenchmarkProxy(b *testing.B) {
	p := proxies(b, `
name: root
spec:
  virtualhost: {fqdn: a.example.com, tls: {secretName: cert}}
  routes:
  - {services: [{name: web, port: 443, validation: {caSecret: ca, subjectName: web.test, subjectNames: [web.test]}}]}
  - {conditions: [{prefix: /api}], services: [{name: api, port: 80}]}`)[0]
	o, f, s := &fakeObjects{}, fleet(), []Selector{selector()}
	svc := service(ir.Name{Namespace: "default", Name: "web"})
	o.ServiceFn = serviceAlways(svc)
	b.ReportAllocs()
	for b.Loop() {
		d, c := Translate(o, p), Claims(p, s)
		site := Compose(documentMap{d.Name: d}, f, c.Hosts[0], []ir.Name{d.Name})
		if got := Status(p, c, d, site.Visits, nil); got.CurrentStatus != "valid" {
			b.Fatal(got)
		}
	}
}
