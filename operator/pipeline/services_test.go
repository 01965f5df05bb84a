package pipeline_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
)

func TestBackends(t *testing.T) {
	cases := map[string]struct {
		reason   string
		object   client.Object
		manifest string
		want     []string
	}{
		"HTTPProxy": {
			"each Service once, of all routes and of the stream", &contourv1.HTTPProxy{},
			`
routes:
- services: [{name: web, port: 1}, {name: shadow, port: 1, mirror: true}]
- services: [{name: web, port: 2}]
tcpproxy: {services: [{name: db, port: 1}]}
`,
			[]string{"Service a/web", "Service a/shadow", "Service a/db"},
		},
		"HTTPRoute": {
			"as far as policies are about them", &gatewayv1.HTTPRoute{},
			`rules: [{backendRefs: [{name: web, port: 1}, {name: far, namespace: other, port: 1}]}]`,
			[]string{"Service a/web", "Service other/far"},
		},
		"UDPRoute": {
			"endpoints matter without TLS too", &gatewayv1.UDPRoute{}, `rules: [{backendRefs: [{name: dns, port: 53}, {name: dns, port: 54}]}]`,
			[]string{"Service a/dns"},
		},
		"Service": {"it sends nowhere", &corev1.Service{Name: "web"}, `{}`, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.object.SetNamespace("a")
			if err := yaml.Unmarshal(spec(tc.manifest), tc.object); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(pipeline.Backends(tc.object))); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// Whatever may send requests to a Service waits for its policies.
func TestUsesAndTargets(t *testing.T) {
	cases := map[string]struct {
		reason   string
		object   client.Object
		manifest string
		uses     []string
		targets  []string
	}{
		"HTTPRoute": {
			"each Service once, mirrors and authorization servers too, and of the namespace that is named", &gatewayv1.HTTPRoute{}, `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 1}}}
  - {type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: judge, port: 1}}}
  backendRefs:
  - {name: web, port: 1}
  - {name: web, port: 2}
  - name: far
    namespace: other
    port: 1
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: second, port: 1}}}]
`, []string{"Service a/shadow", "Service a/judge", "Service a/web", "Service other/far", "Service a/second"}, nil,
		},
		"GRPCRoute": {
			"as HTTPRoutes", &gatewayv1.GRPCRoute{}, `
rules: [{backendRefs: [{name: web, port: 1}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 1}}}]}]
`, []string{"Service a/shadow", "Service a/web"}, nil,
		},
		"TLSRoute": {"what ends TLS may begin it again", &gatewayv1.TLSRoute{}, `rules: [{backendRefs: [{name: web, port: 1}]}]`, []string{"Service a/web"}, nil},
		"TCPRoute": {"a stream may be sealed", &gatewayv1.TCPRoute{}, `rules: [{backendRefs: [{name: web, port: 1}]}]`, []string{"Service a/web"}, nil},
		"UDPRoute": {"no policy is about UDP", &gatewayv1.UDPRoute{}, `rules: [{backendRefs: [{name: web, port: 1}]}]`, nil, nil},
		"Service":  {"a Service that comes last opens the way", &corev1.Service{Name: "web"}, `{}`, []string{"Service a/web"}, nil},
		"EndpointSlice": {
			"endpoints may come last", &discoveryv1.EndpointSlice{Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, `{}`,
			[]string{"Service a/web"}, nil,
		},
		"the group by its name": {
			"the translation takes it, so what it leads to must wait", &gatewayv1.HTTPRoute{},
			`rules: [{backendRefs: [{group: core, kind: Service, name: web, port: 1}]}]`, []string{"Service a/web"}, nil,
		},
		"another kind": {
			"a policy is about Services alone", &gatewayv1.HTTPRoute{}, `rules: [{backendRefs: [{group: example.com, kind: Bucket, name: web}]}]`, nil, nil,
		},
		"BackendTLSPolicy": {
			"each Service once, and not where it is about a port alone", &gatewayv1.BackendTLSPolicy{}, `
targetRefs:
- {group: "", kind: Service, name: web, sectionName: one}
- {group: "", kind: Service, name: web}
- {group: "", kind: Service, name: web, sectionName: two}
- {group: "", kind: Service, name: db, sectionName: one}
`, nil, []string{"Service a/web"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.object.SetNamespace("a")
			if err := yaml.Unmarshal(spec(tc.manifest), tc.object); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.uses, names(pipeline.Uses(tc.object))); diff != "" {
				t.Errorf("%s: uses: -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.targets, names(pipeline.Targets(tc.object))); diff != "" {
				t.Errorf("%s: targets: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// spec puts a manifest below spec.
func spec(text string) []byte {
	var inner any
	if err := yaml.Unmarshal([]byte(text), &inner); err != nil {
		return []byte(err.Error())
	}
	out, err := yaml.Marshal(map[string]any{"spec": inner})
	if err != nil {
		return []byte(err.Error())
	}
	return out
}

func names(keys []source.Key) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.String())
	}
	return out
}
