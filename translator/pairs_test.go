package translator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// asked is what both APIs say of a backend's certificate.
type asked struct {
	reason string
	// names are subjectName and subjectNames, and the alternative names.
	names []string
	// sni is the policy's hostname, and a Host rewrite where no name can be it.
	sni string
}

var pairNames = map[string]asked{
	"one name":          {"the hostname is SNI and accepted name", []string{"backend.example"}, "backend.example"},
	"several names":     {"any one suffices", []string{"backend.example", "other.example", "third.example"}, "backend.example"},
	"wildcard second":   {"a wildcard is never SNI", []string{"backend.example", "*.wild.example"}, "backend.example"},
	"URI":               {"SNI comes from elsewhere", []string{"spiffe://example.org/ns/a/sa/b"}, "sni.example"},
	"URI and name":      {"both kinds", []string{"spiffe://example.org/x", "backend.example"}, "backend.example"},
	"name and URI":      {"the order is the object's", []string{"backend.example", "spiffe://example.org/x"}, "backend.example"},
	"repeated":          {"once is enough", []string{"backend.example", "backend.example"}, "backend.example"},
	"international":     {"in its xn-- form", []string{"xn--bcher-kva.example"}, "xn--bcher-kva.example"},
	"one label":         {"names of a cluster", []string{"backend"}, "backend"},
	"https URI":         {"a URI of another scheme", []string{"https://backend.example/id"}, "sni.example"},
	"name that differs": {"SNI and name are two things", []string{"inner.example"}, "outer.example"},
}

var pairServices = map[string]struct {
	reason string
	edit   func(s *corev1.Service)
	port   int
	h2     bool
	// section is the policy's sectionName.
	section string
}{
	"plain":     {"one port", func(*corev1.Service) {}, 443, false, ""},
	"section":   {"a policy for one port by name", func(*corev1.Service) {}, 8443, false, "alt"},
	"limits":    {"limits of the Service", func(s *corev1.Service) { s.Annotations["projectcontour.io/max-connections"] = "7" }, 443, false, ""},
	"HTTP/2":    {"over TLS", func(s *corev1.Service) { app := "kubernetes.io/h2c"; s.Spec.Ports[0].AppProtocol = &app }, 443, true, ""},
	"named app": {"an appProtocol that says nothing here", func(s *corev1.Service) { app := "HTTPS"; s.Spec.Ports[0].AppProtocol = &app }, 443, false, ""},
}

var pairFleets = map[string]struct {
	reason   string
	settings upstream.FleetSettings
}{
	"defaults":    {"TLS 1.2 to 1.3", upstream.FleetSettings{}},
	"certificate": {"the fleet's client certificate", upstream.FleetSettings{ClientCertificate: &ir.Name{Namespace: "a", Name: "client"}}},
	"strict":      {"validation is required", upstream.FleetSettings{RequireValidation: true, Min: "1.3"}},
	"ciphers": {"ciphers and curves of the fleet", upstream.FleetSettings{
		Max: "1.2", Ciphers: []string{"ECDHE-RSA-AES128-GCM-SHA256"}, Curves: []string{"P-256"},
	}},
}

// An HTTPProxy with validation and an HTTPRoute with the BackendTLSPolicy that
// asks for the same give equal upstreams, and clusters and secrets that are
// equal byte by byte.
func TestPairsGiveEqualUpstreams(t *testing.T) {
	p := newPairing(t)
	count := 0
	for name, a := range pairNames {
		for service, s := range pairServices {
			for fleet, f := range pairFleets {
				count++
				t.Run(strings.Join([]string{name, service, fleet}, ", "), func(t *testing.T) {
					svc := pairService()
					s.edit(svc)
					proxied := pairSide(t, func(tr *Translator, c *graph.Changes) {
						p.put(tr, c, svc, f.settings)
						tr.Proxies.Put(c, ir.Name{Namespace: "a", Name: "p"}, proxyOf(a, s.port, s.h2))
					})
					routed := p.routed(t, svc, f.settings, s.port, policyOf(a, s.section))
					if diff := cmp.Diff(proxied, routed); diff != "" {
						t.Errorf("%s; %s; %s (-HTTPProxy, +HTTPRoute):\n%s", a.reason, s.reason, f.reason, diff)
					}
				})
			}
		}
	}
	if count < 40 {
		t.Errorf("%d pairs are too few", count)
	}
}

// A policy that asks for anything else gives another upstream, or another
// cluster: equality says something.
func TestPairsThatDiffer(t *testing.T) {
	p, one := newPairing(t), pairNames["one name"]
	proxied := pairSide(t, func(tr *Translator, c *graph.Changes) {
		p.put(tr, c, pairService(), upstream.FleetSettings{})
		tr.Proxies.Put(c, ir.Name{Namespace: "a", Name: "p"}, proxyOf(one, 443, false))
	})
	cases := map[string]struct {
		reason string
		edit   func(v *gatewayv1.BackendTLSPolicySpec)
	}{
		"SNI": {"another name is asked for, and accepted", func(v *gatewayv1.BackendTLSPolicySpec) { v.Validation.Hostname = "other.example" }},
		"name": {"another name is accepted", func(v *gatewayv1.BackendTLSPolicySpec) {
			v.Validation.SubjectAltNames = []gatewayv1.SubjectAltName{{Type: gatewayv1.HostnameSubjectAltNameType, Hostname: "other.example"}}
		}},
		"names": {"one more is accepted", func(v *gatewayv1.BackendTLSPolicySpec) {
			v.Validation.SubjectAltNames = []gatewayv1.SubjectAltName{{Type: gatewayv1.HostnameSubjectAltNameType, Hostname: "backend.example"}, {Type: gatewayv1.HostnameSubjectAltNameType, Hostname: "other.example"}}
		}},
		"CA": {"another object, though it says the same", func(v *gatewayv1.BackendTLSPolicySpec) { v.Validation.CACertificateRefs[0].Name = "other" }},
		"CAs": {"one more is trusted", func(v *gatewayv1.BackendTLSPolicySpec) {
			v.Validation.CACertificateRefs = append(v.Validation.CACertificateRefs, gatewayv1.LocalObjectReference{Kind: "Secret", Name: "other"})
		}},
		"version": {"a newer TLS is asked for", func(v *gatewayv1.BackendTLSPolicySpec) {
			v.Options = map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{"signetproxy.io/minimum-protocol-version": "1.3"}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			policy := policyOf(one, "")
			tc.edit(&policy.Spec)
			if routed := p.routed(t, pairService(), upstream.FleetSettings{}, 443, policy); cmp.Equal(proxied, routed) {
				t.Errorf("%s, and both APIs give the same", tc.reason)
			}
		})
	}
}

// pairing is what both sides of a pair have in common.
type pairing struct {
	authority *pki.Authority
	client    *pki.Pair
}

func newPairing(t *testing.T) *pairing {
	t.Helper()
	authority, err := pki.NewAuthority("pair")
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Issue(pki.Leaf{CommonName: "client", DNS: []string{"client"}})
	if err != nil {
		t.Fatal(err)
	}
	return &pairing{authority, client}
}

func pairService() *corev1.Service {
	svc := &corev1.Service{Namespace: "a", Name: "web", Annotations: map[string]string{}}
	svc.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443}, {Name: "alt", Port: 8443}}
	return svc
}

func (p *pairing) put(tr *Translator, c *graph.Changes, svc *corev1.Service, settings upstream.FleetSettings) {
	tr.Clock.Put(c, ClockKey, time.Now())
	tr.Services.Put(c, ir.Name{Namespace: "a", Name: "web"}, svc)
	for _, name := range []string{"ca", "other"} {
		tr.Secrets.Put(c, ir.Name{Namespace: "a", Name: name}, &corev1.Secret{Data: map[string][]byte{"ca.crt": p.authority.PEM()}})
	}
	tr.Secrets.Put(c, ir.Name{Namespace: "a", Name: "client"}, &corev1.Secret{
		Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": p.client.CertPEM, "tls.key": p.client.KeyPEM},
	})
	edge := ir.Name{Namespace: "f", Name: "edge"}
	tr.Fleets.Put(c, edge, &FleetSpec{
		Name: edge, Selector: httpproxy.Selector{Fleet: edge}, Gateways: &listener.Hosting{Address: "127.0.0.1"}, Upstream: settings,
		Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: 8080}},
	})
}

// routed is the side of an HTTPRoute with a policy.
func (p *pairing) routed(t *testing.T, svc *corev1.Service, settings upstream.FleetSettings, port int, policy *gatewayv1.BackendTLSPolicy) side {
	t.Helper()
	return pairSide(t, func(tr *Translator, c *graph.Changes) {
		p.put(tr, c, svc, settings)
		tr.GatewayClasses.Put(c, ir.Name{Name: "signet"}, classOfOurs())
		tr.Gateways.Put(c, ir.Name{Namespace: "a", Name: "gw"}, plainGateway())
		tr.HTTPRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, routeTo("web", port))
		tr.Policies.Put(c, ir.Name{Namespace: "a", Name: "tls"}, policy)
	})
}

// side is what one API makes of a backend.
type side struct {
	Upstreams []*ir.Upstream
	// Bodies by type and name: all clusters, load assignments and secrets.
	Bodies map[string]string
}

func pairSide(t *testing.T, put func(*Translator, *graph.Changes)) side {
	t.Helper()
	tr, c := New(), graph.NewChanges()
	put(tr, c)
	rev := tr.Commit(c)
	out := side{Bodies: map[string]string{}}
	for _, s := range tr.Sites.All(rev.Reader()) {
		for u := range s.Upstreams() {
			out.Upstreams = append(out.Upstreams, u)
		}
	}
	if len(out.Upstreams) != 1 || out.Upstreams[0].TLS == nil || out.Upstreams[0].TLS.Verify == nil {
		t.Fatalf("a verified upstream is wanted: %+v", out.Upstreams)
	}
	for _, r := range tr.Resources(rev) {
		if r.Type == envoy.ClusterType || r.Type == envoy.EndpointType || r.Type == envoy.SecretType {
			out.Bodies[string(r.Type)+" "+r.Name] = string(r.Body)
		}
	}
	if len(out.Bodies) < 3 {
		t.Fatalf("cluster, endpoints and trust are wanted: %q", slices.Sorted(maps.Keys(out.Bodies)))
	}
	return out
}

func proxyOf(a asked, port int, h2 bool) *contourv1.HTTPProxy {
	protocol := "tls"
	if h2 {
		protocol = "h2"
	}
	s := contourv1.Service{Name: "web", Port: port, Protocol: &protocol, UpstreamValidation: &contourv1.UpstreamValidation{
		CACertificate: "ca", SubjectName: a.names[0], SubjectNames: a.names,
	}}
	if a.sni != a.names[0] {
		s.RequestHeadersPolicy = &contourv1.HeadersPolicy{Set: []contourv1.HeaderValue{{Name: "Host", Value: a.sni}}}
	}
	p := &contourv1.HTTPProxy{Namespace: "a", Name: "p"}
	p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "web.example"}
	p.Spec.Routes = []contourv1.Route{{Services: []contourv1.Service{s}}}
	return p
}

func policyOf(a asked, section string) *gatewayv1.BackendTLSPolicy {
	p := &gatewayv1.BackendTLSPolicy{Namespace: "a", Name: "tls"}
	target := gatewayv1.LocalPolicyTargetReferenceWithSectionName{}
	target.Kind, target.Name = "Service", "web"
	if section != "" {
		s := gatewayv1.SectionName(section)
		target.SectionName = &s
	}
	p.Spec.TargetRefs = []gatewayv1.LocalPolicyTargetReferenceWithSectionName{target}
	v := &p.Spec.Validation
	v.Hostname = gatewayv1.PreciseHostname(a.sni)
	v.CACertificateRefs = []gatewayv1.LocalObjectReference{{Kind: "Secret", Name: "ca"}}
	if len(a.names) == 1 && a.names[0] == a.sni {
		return p
	}
	for _, n := range a.names {
		san := gatewayv1.SubjectAltName{Type: gatewayv1.HostnameSubjectAltNameType, Hostname: gatewayv1.Hostname(n)}
		if strings.Contains(n, "://") {
			san = gatewayv1.SubjectAltName{Type: gatewayv1.URISubjectAltNameType, URI: gatewayv1.AbsoluteURI(n)}
		}
		v.SubjectAltNames = append(v.SubjectAltNames, san)
	}
	return p
}

func classOfOurs() *gatewayv1.GatewayClass {
	c := &gatewayv1.GatewayClass{Name: "signet"}
	c.Spec.ControllerName = "signetproxy.io/gateway-controller"
	return c
}

func plainGateway() *gatewayv1.Gateway {
	g := &gatewayv1.Gateway{Namespace: "a", Name: "gw"}
	g.Spec.GatewayClassName = "signet"
	g.Spec.Listeners = []gatewayv1.Listener{{Name: "http", Port: 8000, Protocol: gatewayv1.HTTPProtocolType}}
	return g
}

func routeTo(service string, port int) *gatewayv1.HTTPRoute {
	r := &gatewayv1.HTTPRoute{Namespace: "a", Name: "r"}
	r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "gw"}}
	number := gatewayv1.PortNumber(port)
	b := gatewayv1.HTTPBackendRef{}
	b.Name, b.Port = gatewayv1.ObjectName(service), &number
	r.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{b}}}
	return r
}

// What a policy cannot do never becomes an upstream: the backend's share is
// answered with 500.
func TestPolicyThatCannotBeHonoured(t *testing.T) {
	authority, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	system := gatewayv1.WellKnownCACertificatesSystem
	broken := map[string]struct {
		reason string
		// why is the reason of the policy's Accepted condition.
		why  reason.Reason
		edit func(p *gatewayv1.BackendTLSPolicy)
	}{
		"no CA": {"the Secret does not exist", reason.NoValidCACertificate, func(p *gatewayv1.BackendTLSPolicy) { p.Spec.Validation.CACertificateRefs[0].Name = "nowhere" }},
		"kind":  {"of no kind that holds a CA", reason.NoValidCACertificate, func(p *gatewayv1.BackendTLSPolicy) { p.Spec.Validation.CACertificateRefs[0].Kind = "Widget" }},
		"neither": {"no CA at all, which the API refuses", reason.NoValidCACertificate, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Validation.CACertificateRefs = nil
		}},
		"both": {"the system's and others, which the API refuses", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Validation.WellKnownCACertificates = &system
		}},
		"well known": {"unknown word", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			word := gatewayv1.WellKnownCACertificatesType("example.com/all")
			p.Spec.Validation.CACertificateRefs, p.Spec.Validation.WellKnownCACertificates = nil, &word
		}},
		"system": {"the system's certificates are not known", reason.NoValidCACertificate, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Validation.CACertificateRefs, p.Spec.Validation.WellKnownCACertificates = nil, &system
		}},
		"no hostname": {"which the API refuses", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) { p.Spec.Validation.Hostname = "" }},
		"address":     {"an IP address is no name", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) { p.Spec.Validation.Hostname = "10.0.0.1" }},
		"SAN": {"an alternative name without a value", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Validation.SubjectAltNames = []gatewayv1.SubjectAltName{{Type: "URI"}}
		}},
		"SAN type": {"an alternative name of an unknown type", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Validation.SubjectAltNames = []gatewayv1.SubjectAltName{{Type: "Email", Hostname: "b.example"}}
		}},
		"option": {"an option that Signet does not know", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Options = map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{"signetproxy.io/pinning": "x"}
		}},
		"version": {"a version that does not exist", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.Options = map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{"signetproxy.io/minimum-protocol-version": "1.1"}
		}},
		"section": {"which port it is meant for is not known", reason.TargetNotFound, func(p *gatewayv1.BackendTLSPolicy) {
			section := gatewayv1.SectionName("htps")
			p.Spec.TargetRefs[0].SectionName = &section
		}},
		"one section of two": {"the other one does not make it known, and no route uses it", reason.TargetNotFound, func(p *gatewayv1.BackendTLSPolicy) {
			section, other := gatewayv1.SectionName("htps"), gatewayv1.SectionName("other")
			p.Spec.TargetRefs = append(p.Spec.TargetRefs, p.Spec.TargetRefs[0])
			p.Spec.TargetRefs[0].SectionName, p.Spec.TargetRefs[1].SectionName = &section, &other
		}},
		"group core": {"another word for the group of Services", reason.Invalid, func(p *gatewayv1.BackendTLSPolicy) {
			p.Spec.TargetRefs[0].Group, p.Spec.Validation.Hostname = "core", "10.0.0.1"
		}},
	}
	for name, tc := range broken {
		t.Run(name, func(t *testing.T) {
			tr, c := New(), graph.NewChanges()
			tr.Clock.Put(c, ClockKey, time.Now())
			svc := &corev1.Service{Namespace: "a", Name: "web"}
			svc.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443}, {Name: "other", Port: 8443}}
			tr.Services.Put(c, ir.Name{Namespace: "a", Name: "web"}, svc)
			tr.Secrets.Put(c, ir.Name{Namespace: "a", Name: "ca"}, &corev1.Secret{Data: map[string][]byte{"ca.crt": authority.PEM()}})
			edge := ir.Name{Namespace: "f", Name: "edge"}
			tr.Fleets.Put(c, edge, &FleetSpec{Name: edge, Gateways: &listener.Hosting{Address: "127.0.0.1"}})
			tr.GatewayClasses.Put(c, ir.Name{Name: "signet"}, classOfOurs())
			tr.Gateways.Put(c, ir.Name{Namespace: "a", Name: "gw"}, plainGateway())
			tr.HTTPRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, routeTo("web", 443))
			p := policyOf(asked{names: []string{"b.example"}, sni: "b.example"}, "")
			tc.edit(p)
			tr.Policies.Put(c, ir.Name{Namespace: "a", Name: "tls"}, p)
			rev := tr.Commit(c)
			routes := 0
			for _, s := range tr.Sites.All(rev.Reader()) {
				for u := range s.Upstreams() {
					t.Errorf("%s: there is an upstream: %+v", tc.reason, u)
				}
				for i := range s.VirtualHosts {
					for _, r := range s.VirtualHosts[i].Routes {
						routes++
						if r.Response == nil || r.Response.StatusCode != http.StatusInternalServerError || r.Failure == "" {
							t.Errorf("%s: %+v", tc.reason, r)
						}
					}
				}
			}
			if routes != 1 {
				t.Errorf("%s: %d routes", tc.reason, routes)
			}
			status, _ := tr.PolicyStatuses.Get(rev.Reader(), ir.Name{Namespace: "a", Name: "tls"})
			if len(status.Ancestors) != 1 || status.Ancestors[0].Conditions[0].Reason != string(tc.why) {
				t.Errorf("%s: want %s, status %s", tc.reason, tc.why, fmt.Sprint(status))
			}
		})
	}
}
