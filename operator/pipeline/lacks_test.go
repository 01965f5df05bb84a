package pipeline_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
)

// permitted are two Services with one port, an HTTPProxy, a delegation of two Secrets,
// and grants for one Service and for all Secrets.
func permitted(t *testing.T) map[source.Key]client.Object {
	t.Helper()
	out := map[source.Key]client.Object{}
	put := func(kind schema.GroupVersionKind, namespace, name string, o client.Object, manifest string) {
		if err := yaml.Unmarshal(spec(manifest), o); err != nil {
			t.Fatal(err)
		}
		out[source.Key{GroupVersionKind: kind, Namespace: namespace, Name: name}] = o
	}
	grants := schema.GroupVersion(gatewayv1.GroupVersion).WithKind("ReferenceGrant")
	put(corev1.SchemeGroupVersion.WithKind("Service"), "a", "web", &corev1.Service{}, `ports: [{port: 80}]`)
	put(corev1.SchemeGroupVersion.WithKind("Service"), "b", "api", &corev1.Service{}, `ports: [{port: 80}]`)
	put(contourv1.GroupVersion.WithKind("HTTPProxy"), "b", "child", &contourv1.HTTPProxy{}, `{}`)
	put(contourv1.GroupVersion.WithKind("TLSCertificateDelegation"), "b", "d", &contourv1.TLSCertificateDelegation{},
		`delegations: [{secretName: some, targetNamespaces: [a]}, {secretName: all, targetNamespaces: ["*"]}]`)
	put(grants, "b", "g", &gatewayv1.ReferenceGrant{Namespace: "b"}, `
from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}]
to: [{group: "", kind: Service, name: api}]
`)
	put(grants, "b", "h", &gatewayv1.ReferenceGrant{Namespace: "b"}, `
from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: a}]
to: [{group: "", kind: Secret}]
`)
	return out
}

func TestLacks(t *testing.T) {
	cases := map[string]struct {
		reason   string
		object   client.Object
		kind     string
		manifest string
		want     []string
	}{
		"HTTPProxy": {
			"Services by port, each once", &contourv1.HTTPProxy{}, "HTTPProxy", `
routes: [{services: [{name: web, port: 80}, {name: gone, port: 80}]}, {services: [{name: gone, port: 81}]}]
tcpproxy: {services: [{name: web, port: 81}]}
`,
			[]string{"Service a/gone", "Service a/web"},
		},
		"includes": {
			"what is included, of any namespace", &contourv1.HTTPProxy{}, "HTTPProxy",
			`includes: [{name: child, namespace: b}, {name: child}]`,
			[]string{"HTTPProxy a/child"},
		},
		"delegated": {
			"to the namespace, or to all", &contourv1.HTTPProxy{}, "HTTPProxy", `
virtualhost: {fqdn: x, tls: {secretName: b/some}}
routes: [{services: [{name: web, port: 80, validation: {caSecret: b/all, subjectName: x}}]}]
`,
			nil,
		},
		"not delegated": {
			"the namespace's delegations may change that", &contourv1.HTTPProxy{}, "HTTPProxy",
			`virtualhost: {fqdn: x, tls: {secretName: b/other}}`,
			[]string{"TLSCertificateDelegation b/"},
		},
		"of its own namespace": {
			"needs no delegation", &contourv1.HTTPProxy{}, "HTTPProxy", `virtualhost: {fqdn: x, tls: {secretName: own}}`, nil,
		},
		"HTTPRoute": {
			"permitted by name", &gatewayv1.HTTPRoute{}, "HTTPRoute",
			`rules: [{backendRefs: [{name: web, port: 80}, {name: api, namespace: b, port: 80}]}]`,
			nil,
		},
		"another Service": {
			"that the grant does not name", &gatewayv1.HTTPRoute{}, "HTTPRoute",
			`rules: [{backendRefs: [{name: far, namespace: b, port: 80}]}]`,
			[]string{"ReferenceGrant b/", "Service b/far"},
		},
		"another kind": {
			"that the grant does not name", &gatewayv1.UDPRoute{}, "UDPRoute",
			`rules: [{backendRefs: [{name: api, namespace: b, port: 80}]}]`,
			[]string{"ReferenceGrant b/", "Service b/api"}, // which has no such port of UDP
		},
		"Gateway": {
			"Secrets are permitted to it, ConfigMaps are not", &gatewayv1.Gateway{}, "Gateway", `
listeners: [{name: x, tls: {certificateRefs: [{name: s, namespace: b}]}}]
tls: {frontend: {default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca, namespace: b}]}}}}
`,
			[]string{"ReferenceGrant b/"},
		},
		"ListenerSet": {
			"a grant for Gateways is none for it", &gatewayv1.ListenerSet{}, "ListenerSet",
			`listeners: [{name: x, tls: {certificateRefs: [{name: s, namespace: b}]}}]`,
			[]string{"ReferenceGrant b/"},
		},
		"Service": {"asks for nothing", &corev1.Service{}, "Service", `{}`, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			all := permitted(t)
			there := func(k source.Key) (out []client.Object) {
				for key, o := range all {
					if key == k || k.Name == "" && key.GroupVersionKind == k.GroupVersionKind && key.Namespace == k.Namespace {
						out = append(out, o)
					}
				}
				return out
			}
			tc.object.SetNamespace("a")
			if err := yaml.Unmarshal(spec(tc.manifest), tc.object); err != nil {
				t.Fatal(err)
			}
			tc.object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Kind: tc.kind})
			if diff := cmp.Diff(tc.want, names(pipeline.Lacks(tc.object, there))); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
