package route

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// estate has Services "web", "auth" and "sealed" with port 80, in all
// namespaces; the policy of "sealed" cannot be honoured.
type estate struct{}

func (estate) Service(n ir.Name) (*corev1.Service, bool) {
	if n.Name != "web" && n.Name != "auth" && n.Name != "sealed" {
		return nil, false
	}
	s := &corev1.Service{Namespace: n.Namespace, Name: n.Name}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	return s, true
}

func (estate) Trust(ir.TrustRef) *upstream.Problem          { return nil }
func (estate) KeyPair(ir.CertificateRef) *upstream.Problem  { return nil }
func (estate) Validity(ir.CertificateRef) *upstream.Problem { return nil }
func (estate) Delegated(ir.Name, string) bool               { return false }

func (estate) Granted(g gatewayapi.Grant) bool { return g.Namespace == "granting" }

func (estate) Policy(n ir.Name, _ *corev1.ServicePort) *policy.Policy {
	if n.Name != "sealed" {
		return nil
	}
	return &policy.Policy{Name: n, Fault: &gatewayapi.Fault{Reason: reason.NoValidCACertificate, Message: "no CA"}}
}

// readRule reads an HTTPRoute of one rule.
func readRule(t *testing.T, rule string) *Document {
	t.Helper()
	in := &gatewayv1.HTTPRoute{Namespace: "default", Name: "r"}
	if err := yaml.UnmarshalStrict([]byte("rules:\n- "+rule), &in.Spec); err != nil {
		t.Fatal(err)
	}
	return ReadHTTP(estate{}, in)
}

// authRule is a rule with an ExternalAuth filter and a backend.
func authRule(filter string) string {
	return "{filters: [{type: ExternalAuth, externalAuth: " + filter + "}], backendRefs: [{name: web, port: 80}]}"
}

func TestExternalAuth(t *testing.T) {
	service := ir.ServicePort{Name: ir.Name{Namespace: "default", Name: "auth"}, Port: 80}
	cases := map[string]struct {
		reason, filter string
		want           ir.ExternalAuth // but for its upstream
		protocol       ir.Protocol
	}{
		"grpc": {
			"all headers, no body", "{protocol: GRPC, backendRef: {name: auth, port: 80}, grpc: {}}",
			ir.ExternalAuth{}, ir.HTTP2,
		},
		"grpc, all set": {
			"names have no case and count once",
			"{protocol: GRPC, backendRef: {name: auth, port: 80}, grpc: {allowedHeaders: [X-One, x-two, x-one]}, forwardBody: {maxSize: 7}}",
			ir.ExternalAuth{RequestHeaders: []string{"x-one", "x-two"}, MaxBody: 7}, ir.HTTP2,
		},
		"http": {
			"no prefix, what an answer may give", "{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {}}",
			ir.ExternalAuth{HTTP: &ir.HTTPAuth{}}, ir.HTTP1,
		},
		"http, all set": {
			"the slash between prefix and path is one",
			"{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {path: /check/, allowedHeaders: [Cookie], allowedResponseHeaders: [X-User]}, forwardBody: {}}",
			ir.ExternalAuth{HTTP: &ir.HTTPAuth{PathPrefix: "/check", Copied: []string{"x-user"}}, RequestHeaders: []string{"cookie"}}, ir.HTTP1,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := readRule(t, authRule(tc.filter))
			got := d.Rules[0].Action.Auth
			if got == nil || d.Fault != nil || d.RefsFault != nil {
				t.Fatalf("%s: %+v", tc.reason, d)
			}
			if u := got.Upstream; u.Service != service || u.Protocol != tc.protocol {
				t.Errorf("%s: asked over %v", tc.reason, u)
			}
			tc.want.Upstream = got.Upstream
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			if !d.Uses(policy.Target{Service: service.Name}) {
				t.Error("a policy of the server's Service does not count")
			}
		})
	}
}

// Where the server cannot be asked as wanted nobody is let through.
func TestExternalAuthFailsClosed(t *testing.T) {
	cases := map[string]struct {
		why, filter string
		// refs is the reason of ResolvedRefs; "" for a rule that is not supported.
		refs reason.Reason
		says string
	}{
		"missing":       {"no such Service", "{protocol: HTTP, backendRef: {name: nowhere, port: 80}, http: {}}", reason.BackendNotFound, "nowhere"},
		"port":          {"no such port", "{protocol: HTTP, backendRef: {name: auth, port: 81}, http: {}}", reason.BackendNotFound, "81"},
		"no port":       {"it is needed", "{protocol: HTTP, backendRef: {name: auth}, http: {}}", reason.BackendNotFound, "port is required"},
		"kind":          {"no Service", "{protocol: HTTP, backendRef: {group: x.io, kind: Bucket, name: auth}, http: {}}", reason.InvalidKind, "Bucket"},
		"not granted":   {"another namespace", "{protocol: GRPC, backendRef: {name: auth, namespace: other, port: 80}, grpc: {}}", reason.RefNotPermitted, "ReferenceGrant"},
		"broken policy": {"never plaintext", "{protocol: GRPC, backendRef: {name: sealed, port: 80}, grpc: {}}", reason.InvalidBackendTLSPolicy, "no CA"},
		"protocol":      {"unknown", "{protocol: FTP, backendRef: {name: auth, port: 80}}", "", `externalAuth.protocol: "FTP"`},
		"path":          {"no path", "{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {path: check}}", "", "http.path"},
		"query":         {"no path", `{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {path: "/a?b"}}`, "", "http.path"},
		"header name":   {"two lines", `{protocol: GRPC, backendRef: {name: auth, port: 80}, grpc: {allowedHeaders: ["a\nb"]}}`, "", "grpc.allowedHeaders"},
		"copied name":   {"no name", `{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {allowedResponseHeaders: [""]}}`, "", "http.allowedResponseHeaders"},
		"copied length": {"another body's", `{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {allowedResponseHeaders: [Content-Length]}}`, "", "about the answer"},
		"copied host":   {"the answer has none", `{protocol: HTTP, backendRef: {name: auth, port: 80}, http: {allowedResponseHeaders: [host]}}`, "", "about the answer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := readRule(t, authRule(tc.filter))
			a := d.Rules[0].Action
			if a.Forward != nil || a.Response == nil || a.Response.StatusCode != http.StatusInternalServerError || !strings.Contains(a.Failure, tc.says) {
				t.Errorf("%s: %+v, want 500 for %q", tc.why, a, tc.says)
			}
			fault := d.Fault
			if tc.refs != "" {
				if fault = d.RefsFault; fault == nil || fault.Reason != tc.refs || d.Fault != nil {
					t.Fatalf("%s: references %+v, route %+v", tc.why, d.RefsFault, d.Fault)
				}
			} else if fault == nil || fault.Reason != reason.UnsupportedValue {
				t.Fatalf("%s: %+v", tc.why, fault)
			}
			if !strings.Contains(fault.Message, tc.says) {
				t.Errorf("%s: %q does not say %q", tc.why, fault.Message, tc.says)
			}
		})
	}
}

func TestExternalAuthPlaces(t *testing.T) {
	const filter = "{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: auth, port: 80}, http: {}}}"
	if a := readRule(t, "{filters: ["+filter+", {type: RequestRedirect, requestRedirect: {hostname: x.test}}]}").Rules[0].Action; a.Redirect == nil || a.Auth == nil {
		t.Errorf("nobody is asked before a redirect: %+v", a)
	}
	if a := readRule(t, "{filters: ["+filter+"]}").Rules[0].Action; a.Response == nil || a.Auth != nil {
		t.Errorf("a rule without a backend: %+v", a)
	}
	granted := "{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: auth, namespace: granting, port: 80}, http: {}}}"
	if a := readRule(t, "{filters: ["+granted+"], backendRefs: [{name: web, port: 80}]}").Rules[0].Action; a.Auth == nil || a.Auth.Upstream.Service.Namespace != "granting" {
		t.Errorf("a ReferenceGrant does not count: %+v", a)
	}
	for name, rule := range map[string]string{
		"two filters":    "{filters: [" + filter + ", " + filter + "], backendRefs: [{name: web, port: 80}]}",
		"of a backend":   "{backendRefs: [{name: web, port: 80, filters: [" + filter + "]}]}",
		"without filter": "{filters: [{type: ExternalAuth}], backendRefs: [{name: web, port: 80}]}",
	} {
		if d := readRule(t, rule); d.Fault == nil || d.Rules[0].Action.Response == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestSessionPersistence(t *testing.T) {
	rule := func(session string) string {
		return "{name: shop, sessionPersistence: " + session + ", backendRefs: [{name: web, port: 80}]}"
	}
	unnamed := readRule(t, rule("{cookie: {}}")).Rules[0].Action.Forward.Session
	if unnamed == nil || unnamed.Cookie == nil || !strings.HasPrefix(unnamed.Cookie.Name, "signet-session-") {
		t.Fatalf("a session without a name: %+v", unnamed)
	}
	other := readRule(t, `{name: shop, sessionPersistence: {cookie: {}}, backendRefs: [{name: auth, port: 80}]}`)
	if name := other.Rules[0].Action.Forward.Session.Cookie.Name; name == unnamed.Cookie.Name {
		t.Error("rules with other backends share a cookie")
	}
	cases := map[string]struct {
		reason, session string
		want            *ir.Session // nil: refused
		says            string
	}{
		"default":     {"a cookie of the browser's session", "{cookie: {}}", &ir.Session{Cookie: &ir.SessionCookie{Name: unnamed.Cookie.Name, Path: "/"}}, ""},
		"no settings": {"type Cookie is the default", "{}", &ir.Session{Cookie: &ir.SessionCookie{Name: unnamed.Cookie.Name, Path: "/"}}, ""},
		"cookie":      {"as named", "{type: Cookie, cookie: {name: id, path: /shop, lifetimeType: Session}}", &ir.Session{Cookie: &ir.SessionCookie{Name: "id", Path: "/shop"}}, ""},
		"permanent": {
			"for an hour", "{type: Cookie, absoluteTimeout: 1h, cookie: {name: id, lifetimeType: Permanent}}",
			&ir.Session{Cookie: &ir.SessionCookie{Name: "id", Path: "/", Lifetime: time.Hour}}, "",
		},
		"header":             {"as named", "{type: Header, header: {name: X-Session}}", &ir.Session{Header: "X-Session"}, ""},
		"absolute session":   {"Envoy keeps no time of its own", "{absoluteTimeout: 1h, cookie: {}}", nil, "absoluteTimeout"},
		"absolute header":    {"nothing in it ends", "{type: Header, absoluteTimeout: 1h, header: {name: X-Session}}", nil, "absoluteTimeout"},
		"permanent for ever": {"it needs a time", "{cookie: {lifetimeType: Permanent}}", nil, "absoluteTimeout"},
		"permanent, 1.5 s":   {"Max-Age has whole seconds", "{absoluteTimeout: 1s500ms, cookie: {lifetimeType: Permanent}}", nil, "1s500ms"},
		"permanent, none":    {"0 would be a session", "{absoluteTimeout: 0s, cookie: {lifetimeType: Permanent}}", nil, "0s"},
		"lifetime":           {"unknown", "{cookie: {lifetimeType: Weekly}}", nil, "Weekly"},
		"type":               {"unknown", "{type: Address}", nil, "Address"},
		"cookie name":        {"two attributes", `{cookie: {name: "a; b"}}`, nil, "cookie.name"},
		"cookie path":        {"two attributes", `{cookie: {path: "/; Domain=x"}}`, nil, "cookie.path"},
		"relative path":      {"no path", `{cookie: {path: x}}`, nil, "cookie.path"},
		"no header":          {"it is needed", "{type: Header}", nil, "header.name"},
		"host":               {"it has a meaning", "{type: Header, header: {name: host}}", nil, "header.name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := readRule(t, rule(tc.session))
			a := d.Rules[0].Action
			if tc.want == nil {
				if d.Fault == nil || d.Fault.Reason != reason.UnsupportedValue || !strings.Contains(d.Fault.Message, tc.says) || a.Response == nil {
					t.Errorf("%s: %+v, %+v", tc.reason, d.Fault, a)
				}
				return
			}
			if d.Fault != nil {
				t.Fatalf("%s: %+v", tc.reason, d.Fault)
			}
			if diff := cmp.Diff(tc.want, a.Forward.Session); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSessionNeedsOneBackend(t *testing.T) {
	for name, tc := range map[string]struct {
		backends string
		ok       bool
	}{
		"one":                  {"{name: web, port: 80}", true},
		"others have no share": {"{name: web, port: 80}, {name: auth, port: 80, weight: 0}", true},
		"two":                  {"{name: web, port: 80}, {name: auth, port: 80}", false},
		"one is missing":       {"{name: web, port: 80}, {name: nowhere, port: 80}", false},
	} {
		d := readRule(t, "{sessionPersistence: {cookie: {}}, backendRefs: ["+tc.backends+"]}")
		if (d.Fault == nil) != tc.ok {
			t.Errorf("%s: %+v", name, d.Fault)
		}
	}
}
