package httpproxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// fakeObjects answers what its functions say; without one, that all is well.
type fakeObjects struct {
	ServiceFn   func(ir.Name) (*corev1.Service, bool)
	TrustFn     func(ir.TrustRef) *upstream.Problem
	KeyPairFn   func(ir.CertificateRef) *upstream.Problem
	ValidityFn  func(ir.CertificateRef) *upstream.Problem
	DelegatedFn func(ir.Name, string) bool
}

func (f *fakeObjects) Service(n ir.Name) (*corev1.Service, bool) {
	if f.ServiceFn != nil {
		return f.ServiceFn(n)
	}
	return service(n), !strings.HasPrefix(n.Name, "missing")
}

func (f *fakeObjects) Trust(r ir.TrustRef) *upstream.Problem {
	if f.TrustFn != nil {
		return f.TrustFn(r)
	}
	if r.Name.Name == "ca" {
		return nil
	}
	return &upstream.Problem{Reason: reason.SecretNotFound,
		Message: fmt.Sprintf("invalid CA Secret %q: Secret not found", r.Name)}
}

func (f *fakeObjects) KeyPair(r ir.CertificateRef) *upstream.Problem {
	if f.KeyPairFn != nil {
		return f.KeyPairFn(r)
	}
	if r.Name.Name == "cert" {
		return nil
	}
	return &upstream.Problem{Reason: reason.SecretNotFound, Message: fmt.Sprintf("Secret %q is invalid: Secret not found", r.Name)}
}

func (f *fakeObjects) Validity(r ir.CertificateRef) *upstream.Problem {
	if f.ValidityFn != nil {
		return f.ValidityFn(r)
	}
	return nil
}

func (f *fakeObjects) Delegated(n ir.Name, to string) bool {
	return f.DelegatedFn != nil && f.DelegatedFn(n, to)
}

// service has a plain port 80, a TLS port 443 and an unnamed port 8080.
func service(n ir.Name) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = n.Namespace, n.Name
	s.Annotations = map[string]string{"projectcontour.io/upstream-protocol.tls": "443"}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}, {Name: "alt", Port: 8080}}
	return s
}

func fleet() *ir.Fleet {
	return &ir.Fleet{
		Name: ir.Name{Namespace: "signet", Name: "edge"},
		Listeners: []ir.Listener{
			{Name: "http", Port: 80},
			{Name: "https", Port: 443, TLS: true, Profile: DefaultProfile()},
		},
	}
}

func selector() Selector { return Selector{Fleet: fleet().Name} }

// proxies reads HTTPProxies from YAML documents that hold "name" (as
// namespace/name), "class" and "spec".
func proxies(t testing.TB, manifests string) []*contourv1.HTTPProxy {
	t.Helper()
	var out []*contourv1.HTTPProxy
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		var m struct {
			Name        string                  `json:"name"`
			Annotations map[string]string       `json:"annotations"`
			Spec        contourv1.HTTPProxySpec `json:"spec"`
		}
		if err := yaml.UnmarshalStrict([]byte(doc), &m); err != nil {
			t.Fatalf("manifest:\n%s\n%v", doc, err)
		}
		p := &contourv1.HTTPProxy{Spec: m.Spec}
		ns, name, ok := strings.Cut(m.Name, "/")
		if !ok {
			ns, name = "default", m.Name
		}
		p.Namespace, p.Name, p.Generation, p.Annotations = ns, name, 7, m.Annotations
		out = append(out, p)
	}
	return out
}

// world is all that the package says of a set of objects.
type world struct {
	sites    []*Site
	docs     documentMap
	statuses map[string]contourv1.HTTPProxyStatus
}

type documentMap map[ir.Name]*Document

func (m documentMap) Document(n ir.Name) (*Document, bool) { d, ok := m[n]; return d, ok }

// translate runs the four steps as the graph does.
func translate(o Objects, f *ir.Fleet, s []Selector, in []*contourv1.HTTPProxy) world {
	docs, claims := documentMap{}, map[ir.Name]*Claim{}
	hosts := map[HostKey][]ir.Name{}
	var keys []HostKey
	for _, p := range in {
		n := ir.Name{Namespace: p.Namespace, Name: p.Name}
		docs[n], claims[n] = Translate(o, p), Claims(p, s)
		for _, k := range claims[n].Hosts {
			if hosts[k] == nil {
				keys = append(keys, k)
			}
			hosts[k] = append(hosts[k], n)
		}
	}
	w := world{docs: docs, statuses: map[string]contourv1.HTTPProxyStatus{}}
	visits := map[ir.Name][]Visit{}
	for _, k := range keys {
		site := Compose(docs, f, k, hosts[k])
		w.sites = append(w.sites, site)
		for _, v := range site.Visits {
			visits[v.Proxy] = append(visits[v.Proxy], v)
		}
	}
	for _, p := range in {
		n := ir.Name{Namespace: p.Namespace, Name: p.Name}
		w.statuses[n.String()] = Status(p, claims[n], docs[n], visits[n], nil)
	}
	return w
}

func defaultWorld(t testing.TB, manifests string) world {
	t.Helper()
	return translate(&fakeObjects{}, fleet(), []Selector{selector()}, proxies(t, manifests))
}

// print shows what is served, a line each.
func (w *world) print() string {
	var b strings.Builder
	for _, s := range w.sites {
		for _, v := range s.VirtualHosts {
			fmt.Fprintf(&b, "%s %s\n", v.Listener, v.Host)
			for i := range v.Routes {
				fmt.Fprintf(&b, "  %s => %s\n", printMatch(&v.Routes[i].Match), printAction(&v.Routes[i]))
			}
		}
		for _, c := range s.Certificates {
			fmt.Fprintf(&b, "certificate %s on %s %s-%s own=%t\n", c.Certificate, c.Listener, c.Profile.Min, c.Profile.Max, c.OwnChain)
		}
		if s.TCP != nil {
			fmt.Fprintf(&b, "tcp %s certificate=%v => %s\n", s.TCP.Host, s.TCP.Certificate, printBackends(s.TCP.Backends))
		}
	}
	return b.String()
}

func printMatch(m *ir.Match) string {
	out := string(m.PathKind) + " " + m.Path
	for i, list := range [...][]ir.ValueMatch{m.Headers, m.Query} {
		for _, v := range list {
			out += fmt.Sprintf(" %s%s", map[int]string{0: "", 1: "?"}[i], v.Name)
			if v.Invert {
				out += " not"
			}
			out += " " + string(v.Kind)
			if v.Value != "" {
				out += "=" + v.Value
			}
		}
	}
	return out
}

func printAction(r *ir.Route) string {
	switch {
	case r.Response != nil:
		return fmt.Sprint(r.Response.StatusCode)
	case r.Redirect != nil && r.Redirect.HTTPS:
		return fmt.Sprintf("https %d", r.Redirect.StatusCode)
	case r.Redirect != nil:
		return fmt.Sprintf("%d %s %s", r.Redirect.StatusCode, r.Redirect.Host, r.Redirect.Path+r.Redirect.Prefix)
	}
	out := printBackends(r.Forward.Backends)
	if w := r.Forward.Rewrite; w != nil {
		out += " rewrite " + w.Prefix
	}
	for _, m := range r.Forward.Mirrors {
		out += fmt.Sprintf(" mirror %s %d/%d", m.Upstream.Service.Name, m.Numerator, m.Denominator)
	}
	return out
}

func printBackends(in []ir.Backend) string {
	var parts []string
	for _, b := range in {
		u := b.Upstream
		s := fmt.Sprintf("%s:%d*%d", u.Service.Name, u.Service.Port, b.Weight)
		if u.TLS != nil {
			s += " TLS"
			if v := u.TLS.Verify; v != nil {
				s += fmt.Sprintf("(%s %s)", v.Trust[0], v.Names[0].Value)
			}
			if c := u.TLS.ClientCertificate; c != nil {
				s += " as " + c.String()
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// report shows the statuses, a line for each error and warning.
func (w *world) report() string {
	var names []string
	for n := range w.statuses {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		s := w.statuses[n]
		fmt.Fprintf(&b, "%s %s: %s\n", n, s.CurrentStatus, s.Description)
		for _, c := range s.Conditions {
			for _, e := range c.Errors {
				fmt.Fprintf(&b, "  %s/%s: %s\n", e.Type, e.Reason, e.Message)
			}
			for _, e := range c.Warnings {
				fmt.Fprintf(&b, "  warning %s/%s: %s\n", e.Type, e.Reason, e.Message)
			}
		}
	}
	return b.String()
}

// generic is the description of an object with errors.
const generic = string(reason.MessageErrorPresent)

// worldCase is a case that a person writes in two minutes.
type worldCase struct {
	reason    string
	manifests string
	served    string
	statuses  string
}

func runWorld(t *testing.T, cases map[string]worldCase) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := defaultWorld(t, tc.manifests)
			if diff := cmp.Diff(trimLines(tc.served), trimLines(w.print())); diff != "" {
				t.Errorf("%s\nserved: -want, +got:\n%s", tc.reason, diff)
			}
			if tc.statuses == "" {
				return
			}
			if diff := cmp.Diff(trimLines(tc.statuses), trimLines(w.report())); diff != "" {
				t.Errorf("%s\nstatuses: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func trimLines(s string) []string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// serviceAlways answers every name with one Service.
func serviceAlways(s *corev1.Service) func(ir.Name) (*corev1.Service, bool) {
	return func(ir.Name) (*corev1.Service, bool) { return s, true }
}
