package httpproxy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

func TestClaims(t *testing.T) {
	edge, inner := ir.Name{Namespace: "s", Name: "edge"}, ir.Name{Namespace: "s", Name: "inner"}
	const root = `{name: team/root, spec: {virtualhost: {fqdn: A.Example.com}%s}}`
	cases := map[string]struct {
		reason    string
		manifest  string
		selectors []Selector
		want      Claim
	}{
		"no fleet":    {reason: "nobody's", manifest: fmt.Sprintf(root, "")},
		"without":     {reason: "no class, no selection", manifest: fmt.Sprintf(root, ""), selectors: []Selector{{Fleet: edge}}, want: Claim{Ours: true, Hosts: []HostKey{{Fleet: edge, Host: "a.example.com"}}}},
		"contour":     {reason: "Contour's default class", manifest: fmt.Sprintf(root, ", ingressClassName: contour"), selectors: []Selector{{Fleet: edge}}, want: Claim{Ours: true, Hosts: []HostKey{{Fleet: edge, Host: "a.example.com"}}}},
		"other class": {reason: "another controller's", manifest: fmt.Sprintf(root, ", ingressClassName: x"), selectors: []Selector{{Fleet: edge}}},
		"configured":  {reason: "a fleet with classes leaves those without one", manifest: fmt.Sprintf(root, ""), selectors: []Selector{{Fleet: edge, IngressClassNames: []string{"x"}}}},
		"two fleets": {
			reason: "each serves it under its own key", manifest: fmt.Sprintf(root, ", ingressClassName: x"),
			selectors: []Selector{{Fleet: edge, IngressClassNames: []string{"x", "y"}}, {Fleet: inner, IngressClassNames: []string{"x"}}},
			want:      Claim{Ours: true, Hosts: []HostKey{{Fleet: edge, Host: "a.example.com"}, {Fleet: inner, Host: "a.example.com"}}},
		},
		"annotation": {
			reason:    "goes before the field",
			manifest:  `{name: team/root, annotations: {projectcontour.io/ingress.class: x}, spec: {virtualhost: {fqdn: a.example.com}, ingressClassName: y}}`,
			selectors: []Selector{{Fleet: edge, IngressClassNames: []string{"y"}}},
		},
		"root namespaces": {
			reason: "one of two fleets allows it", manifest: fmt.Sprintf(root, ""),
			selectors: []Selector{{Fleet: edge, RootNamespaces: []string{"x"}}, {Fleet: inner, RootNamespaces: []string{"team"}}},
			want:      Claim{Ours: true, Hosts: []HostKey{{Fleet: inner, Host: "a.example.com"}}},
		},
		"root namespace violated": {
			reason: "no fleet allows it", manifest: fmt.Sprintf(root, ""), selectors: []Selector{{Fleet: edge, RootNamespaces: []string{"x"}}},
			want: Claim{Ours: true, Findings: []Finding{{Type: reason.RootNamespaceError, Reason: reason.RootProxyNotAllowedInNamespace,
				Message: "root HTTPProxy cannot be defined in this namespace"}}},
		},
		"child": {
			reason: "has no host, lives anywhere", manifest: `{name: team/child, spec: {}}`,
			selectors: []Selector{{Fleet: edge, RootNamespaces: []string{"x"}}}, want: Claim{Ours: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Claims(proxies(t, tc.manifest)[0], tc.selectors)
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRefs(t *testing.T) {
	p := proxies(t, `
name: team/root
spec:
  virtualhost: {fqdn: a.example.com, tls: {secretName: certs/web}}
  includes: [{name: a}, {name: b, namespace: other}, {name: a}]
  routes:
  - {services: [{name: web, port: 1, validation: {caSecret: ca, subjectName: a, subjectNames: []}}, {name: web, port: 1, validation: {caSecret: certs/ca, subjectName: a, subjectNames: []}}]}
  - {services: [{name: web, port: 1, validation: {caSecret: /ca, subjectName: a, subjectNames: []}}, {name: web, port: 1, validation: {caSecret: "", subjectName: a, subjectNames: []}}]}
  tcpproxy: {include: {name: tcp}, services: [{name: web, port: 1, validation: {caSecret: a/b/c, subjectName: a, subjectNames: []}}]}`)[0]
	name := func(ns, n string) ir.Name { return ir.Name{Namespace: ns, Name: n} }
	secret := func(n ir.Name) ir.TrustRef { return ir.TrustRef{Kind: ir.TrustSecret, Name: n} }
	if diff := cmp.Diff([]ir.TrustRef{secret(name("team", "ca")), secret(name("certs", "ca")), secret(name("a", "b/c"))}, TrustRefs(p)); diff != "" {
		t.Errorf("trust: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]ir.CertificateRef{{Name: name("certs", "web")}}, CertificateRefs(p)); diff != "" {
		t.Errorf("certificates: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]ir.Name{name("team", "a"), name("other", "b"), name("team", "tcp")}, Includes(p)); diff != "" {
		t.Errorf("includes: -want, +got:\n%s", diff)
	}
	empty := &contourv1.HTTPProxy{}
	if TrustRefs(empty) != nil || CertificateRefs(empty) != nil || Includes(empty) != nil {
		t.Error("an empty object names something")
	}
}

// A Forward and its upstream, field by field.
func TestForward(t *testing.T) {
	w := defaultWorld(t, `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - conditions: [{prefix: /x}]
    enableWebsockets: true
    timeoutPolicy: {response: 1s, idle: infinity, idleConnection: 3s}
    retryPolicy: {count: 2}
    healthCheckPolicy: {path: /h, host: h.test, intervalSeconds: 1, timeoutSeconds: 2, unhealthyThresholdCount: 3, healthyThresholdCount: 4}
    loadBalancerPolicy: {strategy: Cookie}
    requestHeadersPolicy: {set: [{name: Host, value: route.test}, {name: X-R, value: r}], remove: [X-Gone]}
    responseHeadersPolicy: {set: [{name: X-S, value: s}]}
    services:
    - name: web
      port: 443
      healthPort: 8080
      weight: 5
      requestHeadersPolicy: {set: [{name: Host, value: service.test}, {name: X-P, value: "%CONTOUR_SERVICE_PORT%"}]}
      responseHeadersPolicy: {remove: [X-Gone]}`)
	origin := ir.ObjectRef{Kind: "HTTPProxy", Name: ir.Name{Namespace: "default", Name: "root"}}
	match := ir.Match{PathKind: ir.PathPrefix, Path: "/x"}
	want := ir.Route{
		Name: routeName(origin.Name, matchKey(&match)), Match: match, Origin: origin,
		RequestHeaders:  ir.HeaderPolicy{Set: []ir.Header{{Name: "X-R", Value: "r"}}, Remove: []string{"X-Gone"}},
		ResponseHeaders: ir.HeaderPolicy{Set: []ir.Header{{Name: "X-S", Value: "s"}}},
		Forward: &ir.Forward{
			Timeout: new(time.Second), IdleTimeout: new(time.Duration), Websockets: true, HostRewrite: "route.test",
			Retry: &ir.Retry{On: []string{"5xx"}, Count: 2},
			Hash:  []ir.HashPolicy{{Cookie: "X-Contour-Session-Affinity", CookiePath: "/"}},
			Backends: []ir.Backend{{
				Weight: 5, HostRewrite: "service.test",
				RequestHeaders:  ir.HeaderPolicy{Set: []ir.Header{{Name: "X-P", Value: "443"}}},
				ResponseHeaders: ir.HeaderPolicy{Remove: []string{"X-Gone"}},
				Upstream: &ir.Upstream{
					Service:    ir.ServicePort{Name: ir.Name{Namespace: "default", Name: "web"}, Port: 443},
					HealthPort: 8080, Protocol: ir.HTTP1, IdleTimeout: new(3 * time.Second),
					LoadBalancer: ir.LoadBalancer{Policy: ir.RingHash},
					TLS:          &ir.UpstreamTLS{SNI: "service.test", ALPN: []string{"http/1.1"}, Profile: ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13}},
					HealthCheck: &ir.HealthCheck{Interval: time.Second, Timeout: 2 * time.Second, Unhealthy: 3, Healthy: 4,
						HTTP: &ir.HTTPHealthCheck{Path: "/h", Host: "h.test"}},
				},
			}},
		},
	}
	if diff := cmp.Diff(want, w.sites[0].VirtualHosts[0].Routes[0]); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// What a fleet brings to the same objects.
func TestFleets(t *testing.T) {
	const manifests = `
name: root
spec:
  virtualhost: {fqdn: a.example.com, tls: {secretName: cert, maximumProtocolVersion: "1.2"}}
  routes:
  - {services: [{name: plain, port: 80}], permitInsecure: true}
  - {conditions: [{prefix: /tls}], services: [{name: web, port: 443}]}
  - {conditions: [{prefix: /m}], services: [{name: plain, port: 80}, {name: web, port: 443, mirror: true}]}`
	cases := map[string]struct {
		reason           string
		change           func(*ir.Fleet)
		served, statuses string
	}{
		"client certificate": {
			reason: "presented to TLS upstreams alone",
			change: func(f *ir.Fleet) {
				f.Upstream.ClientCertificate = &ir.CertificateRef{Name: ir.Name{Namespace: "signet", Name: "id"}}
			},
			served: `
http a.example.com
  prefix /tls => https 301
  prefix /m => https 301
  prefix / => default/plain:80*1
https a.example.com
  prefix /tls => default/web:443*1 TLS as signet/id
  prefix /m => default/plain:80*1 mirror default/web 100/100
  prefix / => default/plain:80*1
certificate default/cert on https 1.2-1.2 own=true`,
			statuses: `default/root valid: Valid HTTPProxy`,
		},
		"S12 broken client certificate": {
			reason: "TLS upstreams fail closed, plaintext ones serve",
			change: func(f *ir.Fleet) {
				f.Upstream.Failure, f.Upstream.FailureReason = "the client certificate is broken", "ClientCertificateInvalid"
			},
			served: `
http a.example.com
  prefix /tls => https 301
  prefix /m => https 301
  prefix / => default/plain:80*1
https a.example.com
  prefix /tls => 503
  prefix /m => default/plain:80*1
  prefix / => default/plain:80*1
certificate default/cert on https 1.2-1.2 own=true`,
			statuses: `
default/root invalid: ` + generic + `
  TLSError/SecretNotValid: route "/tls": service "web": fleet "signet/edge": the client certificate is broken
  TLSError/SecretNotValid: route "/m": service "web": fleet "signet/edge": the client certificate is broken`,
		},
		"unknown cipher suites": {
			reason: "settings are no Secret",
			change: func(f *ir.Fleet) {
				f.Upstream.Failure, f.Upstream.FailureReason = "unknown cipher suites", "CiphersInvalid"
				f.Listeners = f.Listeners[:1]
			},
			served: `
http a.example.com
  prefix /tls => https 301
  prefix /m => https 301
  prefix / => default/plain:80*1`,
			statuses: `
default/root invalid: ` + generic + `
  TLSError/TLSConfigNotValid: route "/tls": service "web": fleet "signet/edge": unknown cipher suites
  TLSError/TLSConfigNotValid: route "/m": service "web": fleet "signet/edge": unknown cipher suites
  ListenerError/ErrorIdentifyingListener: fleet "signet/edge" has no TLS listener for host a.example.com`,
		},
		"versions apart": {
			reason: "the listener offers none that the host allows",
			change: func(f *ir.Fleet) { f.Listeners[1].Profile.Min = ir.TLS13 },
			served: `
http a.example.com
  prefix /tls => https 301
  prefix /m => https 301
  prefix / => default/plain:80*1
https a.example.com
  prefix / => 503`,
			statuses: `
default/root invalid: ` + generic + `
  TLSError/TLSConfigNotValid: Spec.VirtualHost.TLS: listener "https" of fleet "signet/edge" offers none of the protocol versions`,
		},
		"no TLS listener": {
			reason: "said, and nothing but the plain side is served",
			change: func(f *ir.Fleet) { f.Listeners = f.Listeners[:1] },
			served: `
http a.example.com
  prefix /tls => https 301
  prefix /m => https 301
  prefix / => default/plain:80*1`,
			statuses: `
default/root invalid: ` + generic + `
  ListenerError/ErrorIdentifyingListener: fleet "signet/edge" has no TLS listener for host a.example.com`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := fleet()
			tc.change(f)
			w := translate(&fakeObjects{}, f, []Selector{selector()}, proxies(t, manifests))
			if diff := cmp.Diff(trimLines(tc.served), trimLines(w.print())); diff != "" {
				t.Errorf("%s\nserved: -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(trimLines(tc.statuses), trimLines(w.report())); diff != "" {
				t.Errorf("%s\nstatuses: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	root, child := &contourv1.HTTPProxy{}, &contourv1.HTTPProxy{}
	root.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "a.example.com"}
	ca := func(message string) Finding {
		return Finding{Type: reason.ServiceError, Reason: reason.TLSUpstreamValidation, Message: message, Description: "route: " + message}
	}
	other := Finding{Type: reason.RouteError, Reason: reason.TimeoutPolicyNotValid, Message: "timeout"}
	warning := Finding{Severity: Warning, Type: reason.SpecError, Reason: reason.IgnoredField, Message: "ignored"}
	ours := &Claim{Ours: true}
	visit := func(f ...Finding) []Visit { return []Visit{{Findings: f}} }
	cases := map[string]struct {
		reason               string
		proxy                *contourv1.HTTPProxy
		claim                *Claim
		document             []Finding
		visits               []Visit
		extra                []Finding
		current, description string
		errors, warnings     int
	}{
		"valid":          {reason: "nothing to say", proxy: root, claim: ours, visits: visit(), current: "valid", description: "Valid HTTPProxy"},
		"warning":        {reason: "warnings leave it valid", proxy: root, claim: ours, document: []Finding{warning}, visits: visit(), current: "valid", description: "Valid HTTPProxy", warnings: 1},
		"not ours":       {reason: "another controller's to write", proxy: root, claim: &Claim{}},
		"orphan":         {reason: "Contour says nothing else of it", proxy: child, claim: ours, document: []Finding{other}, current: "orphaned", description: string(reason.MessageOrphaned), errors: 1},
		"child":          {reason: "included", proxy: child, claim: ours, visits: visit(), current: "valid", description: "Valid HTTPProxy"},
		"one CA":         {reason: "the description says it", proxy: root, claim: ours, document: []Finding{ca("a")}, visits: visit(), current: "invalid", description: "route: a", errors: 1},
		"two CAs":        {reason: "the first one", proxy: root, claim: ours, document: []Finding{ca("a"), ca("b"), warning}, visits: visit(), current: "invalid", description: "route: a", errors: 2, warnings: 1},
		"CA and other":   {reason: "Contour's text", proxy: root, claim: ours, document: []Finding{ca("a"), other}, visits: visit(), current: "invalid", description: generic, errors: 2},
		"repeated":       {reason: "two fleets say the same", proxy: root, claim: ours, visits: append(visit(other), visit(other)...), current: "invalid", description: generic, errors: 1},
		"withheld":       {reason: "what happened later counts", proxy: root, claim: ours, visits: visit(), extra: []Finding{ResourceWithheld(errors.New("x"))}, current: "invalid", description: generic, errors: 1},
		"no host at all": {reason: "the rest would not matter", proxy: root, claim: &Claim{Ours: true, Findings: []Finding{other}}, document: []Finding{ca("a")}, current: "invalid", description: generic, errors: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.proxy.Generation = 3
			got := Status(tc.proxy, tc.claim, &Document{Findings: tc.document}, tc.visits, tc.extra)
			if got.CurrentStatus != tc.current || got.Description != tc.description {
				t.Errorf("%s: %q, %q", tc.reason, got.CurrentStatus, got.Description)
			}
			if tc.current == "" {
				if !reflect.DeepEqual(got, contourv1.HTTPProxyStatus{}) {
					t.Errorf("%s: %+v", tc.reason, got)
				}
				return
			}
			c := got.Conditions[0]
			if len(c.Errors) != tc.errors || len(c.Warnings) != tc.warnings || c.ObservedGeneration != 3 || c.Type != "Valid" {
				t.Errorf("%s: condition %+v", tc.reason, c)
			}
			if want := map[bool]string{true: "True", false: "False"}[tc.current == "valid"]; string(c.Status) != want {
				t.Errorf("%s: condition is %s", tc.reason, c.Status)
			}
		})
	}
}

// Includes of includes multiply: a host has limits, and what is beyond them
// closes it.
func TestTooManyRoutes(t *testing.T) {
	cases := map[string]struct{ reason, routes string }{
		"routes":   {"each object has a route", "\n  routes: [{services: [{name: web, port: 80}]}]"},
		"includes": {"the includes alone take the time, also where no route is at their end", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("name: root\nspec:\n  virtualhost: {fqdn: a.example.com}\n  includes: [{name: n0}]")
			for i := range 40 {
				fmt.Fprintf(&b, "\n---\nname: n%d\nspec:\n  includes: [{name: n%d, conditions: [{prefix: /a}]}, {name: n%[2]d, conditions: [{prefix: /b}]}]", i, i+1)
				b.WriteString(tc.routes)
			}
			b.WriteString("\n---\nname: n40\nspec: {}")
			w := defaultWorld(t, b.String())
			if diff := cmp.Diff([]string{"http a.example.com", "prefix / => 503"}, trimLines(w.print())); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			c := w.statuses["default/root"].Conditions[0]
			if len(c.Errors) != 1 || c.Errors[0].Reason != string(reason.IncludeTreeTooLarge) {
				t.Errorf("%s: errors: %+v", tc.reason, c.Errors)
			}
		})
	}
}

// A route's name says who and what, not where: other routes come and go
// without renaming it.
func TestRouteNamesAreStable(t *testing.T) {
	const route = `{conditions: [{prefix: /x}], services: [{name: web, port: 80}]}`
	names := func(routes string) map[string]bool {
		out := map[string]bool{}
		w := defaultWorld(t, "name: root\nspec: {virtualhost: {fqdn: a.example.com}, routes: ["+routes+"]}")
		for _, r := range w.sites[0].VirtualHosts[0].Routes {
			if out[r.Name] {
				t.Errorf("two routes have the name %s", r.Name)
			}
			out[r.Name] = true
		}
		return out
	}
	more := names(`{services: [{name: a, port: 80}]}, {conditions: [{prefix: /x}, {header: {name: h, present: true}}], services: [{name: web, port: 80}]}, ` + route)
	for name := range names(route) {
		if !more[name] || !strings.HasPrefix(name, "default/root/") {
			t.Errorf("route %s is not among %v", name, more)
		}
	}
}
