package translator

import (
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// FuzzGatewayAPI holds of any specs, also of those that no CRD would let
// through: they are translated without a panic, a route has one action, and a
// Service that a policy rules is reached verified or not at all.
func FuzzGatewayAPI(f *testing.F) {
	authority, err := pki.NewAuthority("fuzz")
	if err != nil {
		f.Fatal(err)
	}
	const (
		plain  = `{gatewayClassName: signet, listeners: [{name: http, port: 80, protocol: HTTP}]}`
		secure = `{gatewayClassName: signet, listeners: [{name: a, port: 443, protocol: HTTPS, hostname: "*.example.com", tls: {certificateRefs: [{name: cert}]}}, {name: b, port: 443, protocol: HTTPS}]}`
		simple = `{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, port: 443}]}]}`
		policy = `{targetRefs: [{kind: Service, name: web}], validation: {hostname: a.example, caCertificateRefs: [{kind: Secret, name: ca}]}}`
	)
	const streams = `{listeners: [{name: p, port: 443, protocol: TLS, hostname: "*.example.com", tls: {mode: Passthrough}}, {name: t, port: 443, protocol: TLS, tls: {certificateRefs: [{name: cert}]}}, {name: h, port: 443, protocol: HTTPS, hostname: a.example.com}, {name: c, port: 80, protocol: TCP}, {name: u, port: 80, protocol: UDP}], gatewayClassName: signet}`
	for _, route := range []string{
		`{parentRefs: [{name: gw}], hostnames: [x.example.com, "*.com"], rules: [{backendRefs: [{name: web, port: 443, weight: 3}, {name: web, port: 80, weight: 0}, {name: nowhere, port: 1}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{}, {backendRefs: [{name: web, port: 443, weight: 2147483647}, {name: web, port: 443, weight: 2147483647}, {name: web, port: 443, weight: 2147483647}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, port: 443, weight: 2147483647}, {name: web, port: 443, weight: 2147483647}, {name: web, port: 443, weight: 2147483647}]}]}`,
		simple,
		`{parentRefs: [{name: gw, sectionName: http, port: 80}], hostnames: [a.example.com, "*.example.com"], rules: [{matches: [{path: {type: RegularExpression, value: "/("}}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}, {type: URLRewrite}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{retry: {attempts: -1, codes: [0]}, timeouts: {request: 1h, backendRequest: x}, backendRefs: [{name: web, port: 443, weight: -5}, {name: web}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: web, port: 443}, grpc: {allowedHeaders: [A, "b c"]}, forwardBody: {maxSize: -1}}}], sessionPersistence: {type: Header, header: {name: x}}, backendRefs: [{name: web, port: 80}]}, {filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: web, port: 443}, http: {path: /p}}}, {type: RequestRedirect, requestRedirect: {hostname: x}}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{sessionPersistence: {absoluteTimeout: 1h, cookie: {path: "/;", lifetimeType: Permanent}}, backendRefs: [{name: web, port: 443}]}]}`,
		`{parentRefs: [{name: gw}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 443}, fraction: {numerator: 5, denominator: -1}}}, {type: CORS, cors: {allowOrigins: ["*"], allowCredentials: true}}]}]}`,
	} {
		for _, gateway := range []string{plain, secure, streams} {
			f.Add([]byte(gateway), []byte(route), []byte(policy))
		}
	}
	f.Add([]byte(plain), []byte(simple), []byte(`{targetRefs: [{kind: Service, name: web}], validation: {hostname: "", subjectAltNames: [{type: URI, uri: "x://"}]}}`))
	f.Fuzz(func(t *testing.T, gateway, route, policy []byte) {
		g, r, p := &gatewayv1.Gateway{Namespace: "a", Name: "gw"}, &gatewayv1.HTTPRoute{Namespace: "a", Name: "r"}, &gatewayv1.BackendTLSPolicy{Namespace: "a", Name: "p"}
		if yaml.Unmarshal(gateway, &g.Spec) != nil || yaml.Unmarshal(route, &r.Spec) != nil || yaml.Unmarshal(policy, &p.Spec) != nil {
			return
		}
		tr, c := New(), graph.NewChanges()
		tr.Clock.Put(c, ClockKey, time.Now())
		svc := &corev1.Service{Namespace: "a", Name: "web"}
		svc.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443}, {Name: "h2c", Port: 80}, {Name: "udp", Port: 443, Protocol: corev1.ProtocolUDP}}
		tr.Services.Put(c, ir.Name{Namespace: "a", Name: "web"}, svc)
		tr.Secrets.Put(c, ir.Name{Namespace: "a", Name: "ca"}, &corev1.Secret{Data: map[string][]byte{"ca.crt": authority.PEM()}})
		edge := ir.Name{Namespace: "f", Name: "edge"}
		tr.Fleets.Put(c, edge, &FleetSpec{Name: edge, Gateways: &listener.Hosting{Address: "127.0.0.1"}})
		tr.GatewayClasses.Put(c, ir.Name{Name: "signet"}, classOfOurs())
		tr.Gateways.Put(c, ir.Name{Namespace: "a", Name: "gw"}, g)
		tr.HTTPRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, r)
		tls, tcp, udp := &gatewayv1.TLSRoute{Namespace: "a", Name: "r"}, &gatewayv1.TCPRoute{Namespace: "a", Name: "r"}, &gatewayv1.UDPRoute{Namespace: "a", Name: "r"}
		if yaml.Unmarshal(route, &tls.Spec) != nil || yaml.Unmarshal(route, &tcp.Spec) != nil || yaml.Unmarshal(route, &udp.Spec) != nil {
			return
		}
		tr.TLSRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, tls)
		tr.TCPRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, tcp)
		tr.UDPRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, udp)
		grpc := &gatewayv1.GRPCRoute{Namespace: "a", Name: "r"}
		if yaml.Unmarshal(route, &grpc.Spec) == nil { // its matches are others
			tr.GRPCRoutes.Put(c, ir.Name{Namespace: "a", Name: "r"}, grpc)
		}
		set := &gatewayv1.ListenerSet{Namespace: "a", Name: "set"}
		if yaml.Unmarshal(gateway, &set.Spec) == nil {
			set.Spec.ParentRef.Name = "gw"
			tr.ListenerSets.Put(c, ir.Name{Namespace: "a", Name: "set"}, set)
		}
		tr.Policies.Put(c, ir.Name{Namespace: "a", Name: "p"}, p)
		rev := tr.Commit(c)
		for _, fail := range rev.Failures() {
			if panicked := (*graph.PanicError)(nil); errors.As(fail.Err, &panicked) {
				t.Errorf("%v\n%s", panicked, panicked.Stack)
			}
		}
		ruled := false
		for i := range p.Spec.TargetRefs {
			target := &p.Spec.TargetRefs[i]
			// One with a section rules its port, and closes the others where it names none.
			ruled = ruled || (target.Group == "" && target.Kind == "Service" && target.Name == "web" &&
				(target.SectionName == nil || !slices.Contains([]string{"", "https", "h2c", "udp"}, string(*target.SectionName))))
		}
		for _, x := range tr.Resources(rev) {
			m, err := x.Message()
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := m.(interface{ ValidateAll() error }); !ok || v.ValidateAll() != nil {
				t.Errorf("%s is not valid", x)
			}
		}
		for _, s := range tr.Sites.All(rev.Reader()) {
			passed := s.UDP != nil || (s.TCP != nil && !s.TCP.Plain && s.TCP.Termination == nil)
			for u := range s.Upstreams() {
				if ruled && !passed && u.Service.Name.Name == "web" && (u.TLS == nil || u.TLS.Verify == nil) {
					t.Errorf("the policy rules %v, which is reached unverified: %+v", u.Service, u)
				}
			}
			for i := range s.VirtualHosts {
				for _, x := range s.VirtualHosts[i].Routes {
					actions := 0
					for _, set := range []bool{x.Forward != nil, x.Redirect != nil, x.Response != nil} {
						if set {
							actions++
						}
					}
					if actions != 1 || x.Name == "" {
						t.Errorf("a route with %d actions: %+v", actions, x)
					}
				}
			}
		}
	})
}
