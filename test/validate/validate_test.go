package validate_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/test/validate"
	"github.com/signetproxy/signet/translator/envoy"
)

// TestEnvoyTakesGoldenCases has Envoy validate what every golden case gives.
func TestEnvoyTakesGoldenCases(t *testing.T) {
	cases, pki := goldenCases(t), goldenPKI(t)
	var parts []validate.Part
	for i, name := range slices.Sorted(maps.Keys(cases)) {
		tr := newTranslation(i)
		tr.commitText(t, []byte(pki.Replace(cases[name])))
		parts = append(parts, validate.Part{Name: name, Resources: tr.resources()})
	}
	if err := enough(t, parts, map[envoy.Type]int{
		envoy.ClusterType: 100, envoy.EndpointType: 90, envoy.SecretType: 40, envoy.ListenerType: 300, envoy.ScopeType: 500,
	}); err != nil {
		t.Error(err)
	}
}

// enough has Envoy validate the parts, and fails if they hold too little.
func enough(t *testing.T, parts []validate.Part, atLeast map[envoy.Type]int) error {
	t.Helper()
	count := map[envoy.Type]int{}
	for _, p := range parts {
		for _, r := range p.Resources {
			count[r.Type]++
		}
	}
	for kind, n := range atLeast {
		t.Logf("%d of %s", count[kind], kind)
		if count[kind] < n {
			t.Errorf("%d of %s, want at least %d: little is validated", count[kind], kind, n)
		}
	}
	return validate.Run(t.Context(), envoyPath(t), parts...)
}

// sample gives one resource of each kind at least.
const sample = `
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: shop}
spec:
  virtualhost: {fqdn: shop.test, tls: {secretName: cert}}
  routes:
  - services: [{name: web, port: 443, protocol: tls, validation: {caSecret: ca, subjectName: web.test}}]
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: mail}
spec:
  virtualhost: {fqdn: mail.test, tls: {passthrough: true}}
  tcpproxy: {services: [{name: web, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: https, port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: https, port: 8443}]
endpoints: [{addresses: [10.0.0.1]}]
---
apiVersion: v1
kind: Secret
metadata: {name: ca}
stringData: {ca.crt: "${ca}"}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: cert}
stringData: {tls.crt: "${host-cert}", tls.key: "${host-key}"}
`

// TestEnvoyRefusesWhatIsBroken proves that each kind of resource is looked
// into: one that is broken alone fails, and is named among others.
func TestEnvoyRefusesWhatIsBroken(t *testing.T) {
	pki := goldenPKI(t)
	cases := map[string]struct {
		reason string
		spoil  func(proto.Message) bool // tells whether it did
		want   string
	}{
		"Nothing": {reason: "the sample is taken as it is", spoil: func(m proto.Message) bool { return m != nil }},
		"Cluster": {
			reason: "a cipher that Envoy does not know",
			spoil: func(m proto.Message) bool {
				c, ok := m.(*clusterv3.Cluster)
				return ok && repack(t, c.GetTransportSocket().GetTypedConfig(), func(m *tlsv3.UpstreamTlsContext) {
					m.CommonTlsContext.TlsParams.CipherSuites = []string{"RC4"}
				})
			},
			want: "RC4",
		},
		"Endpoints": {
			reason: "a name where only an address can stand",
			spoil: func(m proto.Message) bool {
				e, ok := m.(*endpointv3.ClusterLoadAssignment)
				if ok {
					e.GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress().Address = "web.test"
				}
				return ok
			},
			want: "web.test",
		},
		"TrustSecret": {
			reason: "a bundle that is not PEM",
			spoil: func(m proto.Message) bool {
				v := secretOf(m).GetValidationContext()
				if v != nil {
					v.TrustedCa = text("none")
				}
				return v != nil
			},
			want: "certificate",
		},
		"HostSecret": {
			reason: "a private key of another certificate, though it is used on demand",
			spoil: func(m proto.Message) bool {
				c := secretOf(m).GetTlsCertificate()
				if c != nil {
					c.PrivateKey = text(read(t, golden+"/pki", ".pem")["client-key"])
				}
				return c != nil
			},
			want: "private key",
		},
		"FilterChains": {
			reason: "two chains with the same match",
			spoil: func(m proto.Message) bool {
				l, ok := m.(*listenerv3.Listener)
				if ok = ok && len(l.GetFilterChains()) > 1; ok {
					l.GetFilterChains()[1].FilterChainMatch = l.GetFilterChains()[0].GetFilterChainMatch()
				}
				return ok
			},
			want: "filter chain",
		},
		"RouteRegex": {
			reason: "an expression that RE2 does not take, in a scope",
			spoil: func(m proto.Message) bool {
				r := routeOf(m)
				if r != nil {
					r.Match = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}}}
				}
				return r != nil
			},
			want: "missing )",
		},
		"RouteCluster": {
			reason: "a cluster that does not exist, in a scope",
			spoil: func(m proto.Message) bool {
				r := routeOf(m)
				if r.GetRoute() != nil {
					r.GetRoute().ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: "gone"}
				}
				return r.GetRoute() != nil
			},
			want: "gone",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			parts := make([]validate.Part, 3)
			for i := range parts {
				tr := newTranslation(i)
				tr.commitText(t, []byte(pki.Replace(sample)))
				parts[i] = validate.Part{Name: "part-" + string(rune('a'+i)), Resources: tr.resources()}
			}
			if spoilt := spoil(t, parts[1].Resources, tc.spoil); spoilt == 0 {
				t.Fatal("nothing was spoilt")
			}
			err := validate.Run(t.Context(), envoyPath(t), parts...)
			refusal := (*validate.RefusedError)(nil)
			switch {
			case tc.want == "":
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &refusal):
				t.Errorf("%s: got %v, want a refusal", tc.reason, err)
			case refusal.Part != "part-b" || !strings.Contains(refusal.Words, tc.want):
				t.Errorf("%s: got %v, want one of part-b with %q", tc.reason, err, tc.want)
			}
		})
	}
}

func secretOf(m proto.Message) *tlsv3.Secret {
	s, _ := m.(*tlsv3.Secret)
	return s
}

func routeOf(m proto.Message) *routev3.Route {
	s, ok := m.(*routev3.ScopedRouteConfiguration)
	if !ok {
		return nil
	}
	return s.GetRouteConfiguration().GetVirtualHosts()[0].GetRoutes()[0]
}

func text(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}

// spoil replaces each resource that f changes, and counts them.
func spoil(t *testing.T, resources []*envoy.Resource, f func(proto.Message) bool) int {
	t.Helper()
	n := 0
	for i, r := range resources {
		m, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		if !f(m) {
			continue
		}
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		resources[i] = &envoy.Resource{Type: r.Type, Name: r.Name, Body: body}
		n++
	}
	return n
}

// repack changes the message in an Any that holds one of the type.
func repack[M any, P interface {
	*M
	proto.Message
}](t *testing.T, packed *anypb.Any, change func(P)) bool {
	t.Helper()
	m := P(new(M))
	if !packed.MessageIs(m) {
		return false
	}
	if err := packed.UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
	change(m)
	if err := packed.MarshalFrom(m); err != nil {
		t.Fatal(err)
	}
	return true
}
