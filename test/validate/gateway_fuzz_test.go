package validate_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/test/validate"
	"github.com/signetproxy/signet/translator/graph"
)

// FuzzGatewayObjects holds of any specs of the Gateway API's kinds, also of
// those that no schema would let through: they are translated without a panic,
// into resources that pass Envoy's rules and statuses that can be written. Where
// the resources show something new a real Envoy validates them, and from time
// to time else.
//
// The spec of a route is read as that of each of the five kinds; what a kind
// cannot read it is without.
func FuzzGatewayObjects(f *testing.F) {
	seeds := gatewaySeeds(f)
	for _, s := range seeds {
		f.Add(s.gateway, s.set, s.route, s.policy, s.grant)
	}
	// The oddest that the kinds' types can hold.
	for _, route := range []string{
		`{"parentRefs":[{"name":"gw"}],"rules":[{"backendRefs":[{"name":"web","port":443,"weight":2147483647},{"name":"web","port":443,"weight":2147483647},{"name":"web","port":443,"weight":-5},{"name":"web"}]}]}`,
		`{"parentRefs":[{"name":"gw"}],"rules":[{"matches":[{"path":{"type":"RegularExpression","value":"/("}},{"method":{"service":"a/b","method":"\n"}}],"retry":{"attempts":-1,"codes":[0]},"timeouts":{"request":"1h","backendRequest":"x"}}]}`,
		`{"parentRefs":[{"name":"gw"}],"rules":[{"filters":[{"type":"RequestMirror","requestMirror":{"backendRef":{"name":"web","port":443},"fraction":{"numerator":5,"denominator":-1}}},{"type":"CORS","cors":{"allowOrigins":["*"],"allowCredentials":true}},{"type":"URLRewrite"}]}]}`,
	} {
		f.Add(seeds[0].gateway, seeds[0].set, []byte(route), seeds[0].policy, seeds[0].grant)
	}
	common, path, seen := gatewaySurroundings(f), envoyPath(f), &features{known: map[string]bool{}}
	f.Fuzz(func(t *testing.T, gateway, set, route, policy, grant []byte) {
		objects := append(slices.Clone(common), gatewayObjects(gateway, set, route, policy, grant)...)
		tr := newTranslation(0)
		tr.commit(source.Batch{Changed: objects, Complete: true})
		for _, fail := range tr.revision.Failures() {
			if p := (*graph.PanicError)(nil); errors.As(fail.Err, &p) {
				t.Errorf("%v\n%s", p, p.Stack)
			}
		}
		resources := tr.resources()
		messages := checkResources(t, resources)
		if !t.Failed() && seen.ask(messages) {
			if err := validate.Run(t.Context(), path, validate.Part{Name: "it", Resources: resources}); err != nil {
				t.Error(err)
			}
		}
		if _, err := json.Marshal(tr.report(t)); err != nil {
			t.Error(err)
		}
	})
}

func inDefault(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, Generation: 1}
}

// gatewayObjects are the objects of all kinds whose spec can be read.
func gatewayObjects(gateway, set, route, policy, grant []byte) []client.Object {
	g := &gatewayv1.Gateway{ObjectMeta: inDefault("gw")}
	s := &gatewayv1.ListenerSet{ObjectMeta: inDefault("more")}
	http, grpc := &gatewayv1.HTTPRoute{ObjectMeta: inDefault("http")}, &gatewayv1.GRPCRoute{ObjectMeta: inDefault("grpc")}
	tls, tcp, udp := &gatewayv1.TLSRoute{ObjectMeta: inDefault("tls")}, &gatewayv1.TCPRoute{ObjectMeta: inDefault("tcp")}, &gatewayv1.UDPRoute{ObjectMeta: inDefault("udp")}
	p := &gatewayv1.BackendTLSPolicy{ObjectMeta: inDefault("tls")}
	to := &gatewayv1.ReferenceGrant{Namespace: "other", Name: "to", Generation: 1}
	var out []client.Object
	for _, x := range []struct {
		object client.Object
		spec   any
		text   []byte
	}{
		{g, &g.Spec, gateway}, {s, &s.Spec, set}, {http, &http.Spec, route}, {grpc, &grpc.Spec, route}, {tls, &tls.Spec, route},
		{tcp, &tcp.Spec, route}, {udp, &udp.Spec, route}, {p, &p.Spec, policy}, {to, &to.Spec, grant},
	} {
		if json.Unmarshal(x.text, x.spec) == nil {
			out = append(out, x.object)
		}
	}
	return out
}

// gatewaySurroundings are the objects that specs may refer to, with the names of
// the golden cases.
func gatewaySurroundings(tb testing.TB) []client.Object {
	tb.Helper()
	pem := read(tb, golden+"/pki", ".pem")
	class := &gatewayv1.GatewayClass{Name: "signet"}
	class.Spec.ControllerName = "signetproxy.io/gateway-controller"
	h2c := "kubernetes.io/h2c"
	service := func(namespace, name string, ports ...corev1.ServicePort) client.Object {
		return &corev1.Service{Namespace: namespace, Name: name, Spec: corev1.ServiceSpec{Ports: ports}}
	}
	web := []corev1.ServicePort{
		{Name: "https", Port: 443}, {Name: "plain", Port: 80, AppProtocol: &h2c}, {Name: "alt", Port: 8443},
		{Name: "dgram", Port: 443, Protocol: corev1.ProtocolUDP},
	}
	port, protocol, portName := int32(8443), corev1.ProtocolTCP, "https"
	pair := map[string][]byte{corev1.TLSCertKey: []byte(pem["host-cert"]), corev1.TLSPrivateKeyKey: []byte(pem["host-key"])}
	return []client.Object{
		class, service("default", "web", web...), service("default", "other", web...), service("other", "granted", web...),
		service("default", "dns", corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolUDP}),
		&corev1.Namespace{Name: "default", Labels: map[string]string{"team": "a"}},
		&corev1.Secret{ObjectMeta: inDefault("cert"), Type: corev1.SecretTypeTLS, Data: pair},
		&corev1.Secret{ObjectMeta: inDefault("client"), Type: corev1.SecretTypeTLS, Data: map[string][]byte{
			corev1.TLSCertKey: []byte(pem["client-cert"]), corev1.TLSPrivateKeyKey: []byte(pem["client-key"]),
		}},
		&corev1.Secret{ObjectMeta: inDefault("ca"), Data: map[string][]byte{"ca.crt": []byte(pem["ca"])}},
		&corev1.ConfigMap{ObjectMeta: inDefault("ca"), Data: map[string]string{"ca.crt": pem["ca"]}},
		&discoveryv1.EndpointSlice{
			Namespace: "default", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
			Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}},
		},
	}
}

// gatewaySeed is one spec of each kind, as JSON; the route's is of one of five.
type gatewaySeed struct{ gateway, set, route, policy, grant []byte }

// gatewaySeeds are the specs of the golden cases: each route of a case with the
// first of the other kinds.
func gatewaySeeds(tb testing.TB) []gatewaySeed {
	tb.Helper()
	cases := goldenCases(tb)
	var out []gatewaySeed
	kinds := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		first := map[string][]byte{}
		var routes [][]byte
		for doc := range strings.SplitSeq(cases[name], "\n---\n") {
			var o struct {
				Kind string          `json:"kind"`
				Spec json.RawMessage `json:"spec"`
			}
			if yaml.Unmarshal([]byte(doc), &o) != nil || !strings.Contains(doc, "apiVersion: gateway.networking.k8s.io/") {
				continue
			}
			kinds[o.Kind]++
			if strings.HasSuffix(o.Kind, "Route") {
				routes = append(routes, o.Spec)
			} else if first[o.Kind] == nil {
				first[o.Kind] = o.Spec
			}
		}
		for _, r := range routes {
			out = append(out, gatewaySeed{first["Gateway"], first["ListenerSet"], r, first["BackendTLSPolicy"], first["ReferenceGrant"]})
		}
	}
	for _, kind := range []string{
		"Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "BackendTLSPolicy", "ReferenceGrant",
	} {
		if kinds[kind] == 0 {
			tb.Errorf("no golden case has a %s: the target is without it", kind)
		}
	}
	return out
}
