package translator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

func streamTo(service string, port int) []gatewayv1.BackendRef {
	number := gatewayv1.PortNumber(port)
	b := gatewayv1.BackendRef{}
	b.Name, b.Port = gatewayv1.ObjectName(service), &number
	return []gatewayv1.BackendRef{b}
}

func parentSection(section string) []gatewayv1.ParentReference {
	return []gatewayv1.ParentReference{{Name: "gw", SectionName: new(gatewayv1.SectionName(section))}}
}

func passedRoute(name, host, service string) *gatewayv1.TLSRoute {
	r := &gatewayv1.TLSRoute{Namespace: "a", Name: name}
	r.Spec.ParentRefs, r.Spec.Hostnames = parentSection("through"), []gatewayv1.Hostname{gatewayv1.Hostname(host)}
	r.Spec.Rules = []gatewayv1.TLSRouteRule{{BackendRefs: streamTo(service, 443)}}
	return r
}

// streamGateway is a translator with a Gateway that passes TLS through and
// terminates it on one port, and has one port for TCP and one for UDP.
func streamGateway(t *testing.T) *Translator {
	t.Helper()
	authority, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(pki.Leaf{DNS: []string{"*.end.test"}})
	if err != nil {
		t.Fatal(err)
	}
	gw := &gatewayv1.Gateway{Namespace: "a", Name: "gw"}
	gw.Spec.GatewayClassName = "signet"
	through, ended := gatewayv1.Hostname("*.through.test"), gatewayv1.Hostname("*.end.test")
	gw.Spec.Listeners = []gatewayv1.Listener{
		{Name: "through", Port: 8443, Protocol: gatewayv1.TLSProtocolType, Hostname: &through,
			TLS: &gatewayv1.ListenerTLSConfig{Mode: new(gatewayv1.TLSModePassthrough)}},
		{Name: "ended", Port: 8443, Protocol: gatewayv1.TLSProtocolType, Hostname: &ended,
			TLS: &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: "cert"}}}},
		{Name: "tcp", Port: 9000, Protocol: gatewayv1.TCPProtocolType},
		{Name: "udp", Port: 9053, Protocol: gatewayv1.UDPProtocolType},
	}
	tr, c := New(), graph.NewChanges()
	tr.Clock.Put(c, ClockKey, time.Now())
	for _, name := range []string{"web", "other"} {
		svc := &corev1.Service{Namespace: "a", Name: name}
		svc.Spec.Ports = []corev1.ServicePort{{Name: "tls", Port: 443}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
		tr.Services.Put(c, svcName(name), svc)
		tr.Slices.Put(c, svcName(name+"-x"), &discoveryv1.EndpointSlice{
			Namespace: "a", Name: name + "-x", Labels: map[string]string{discoveryv1.LabelServiceName: name},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
			Ports: []discoveryv1.EndpointPort{{Name: new("tls"), Port: new(int32(8443))}, {Name: new("dns"), Port: new(int32(5300)), Protocol: new(corev1.ProtocolUDP)}},
		})
	}
	tr.Secrets.Put(c, svcName("ca"), &corev1.Secret{Data: map[string][]byte{"ca.crt": authority.PEM()}})
	tr.Secrets.Put(c, svcName("cert"), &corev1.Secret{
		Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM},
	})
	tr.Fleets.Put(c, edgeFleet, &FleetSpec{Name: edgeFleet, Gateways: &listener.Hosting{Address: "127.0.0.1"}})
	tr.GatewayClasses.Put(c, ir.Name{Name: "signet"}, classOfOurs())
	tr.Gateways.Put(c, someGate.Name, gw)
	tr.TLSRoutes.Put(c, svcName("one"), passedRoute("one", "*.through.test", "other"))
	tr.TLSRoutes.Put(c, svcName("two"), passedRoute("two", "two.through.test", "other"))
	sealed := passedRoute("sealed", "*.end.test", "web")
	sealed.Spec.ParentRefs = parentSection("ended")
	tr.TLSRoutes.Put(c, svcName("sealed"), sealed)
	tcp := &gatewayv1.TCPRoute{Namespace: "a", Name: "tcp"}
	tcp.Spec.ParentRefs, tcp.Spec.Rules = parentSection("tcp"), []gatewayv1.TCPRouteRule{{BackendRefs: streamTo("web", 443)}}
	tr.TCPRoutes.Put(c, svcName("tcp"), tcp)
	udp := &gatewayv1.UDPRoute{Namespace: "a", Name: "udp"}
	udp.Spec.ParentRefs, udp.Spec.Rules = parentSection("udp"), []gatewayv1.UDPRouteRule{{BackendRefs: streamTo("web", 53)}}
	tr.UDPRoutes.Put(c, svcName("udp"), udp)
	tr.Policies.Put(c, svcName("tls"), policyOf(asked{names: []string{"x.example"}, sni: "x.example"}, ""))
	if rev := tr.Commit(c); len(rev.Failures()) > 0 {
		t.Fatal(rev.Failures())
	}
	return tr
}

func TestRefusedOfStreams(t *testing.T) {
	checkRefusals(t, streamGateway, envoy.ClusterType, envoy.SecretType, envoy.ListenerType)
}

// partsOf are the chains of a listener with their versions.
func partsOf(t *testing.T, tr *Translator, name string) map[string]string {
	t.Helper()
	x := whole(tr, RefusalKey{Fleet: edgeFleet, Type: envoy.ListenerType, Name: name})
	if x == nil {
		t.Fatalf("there is no listener %s", name)
	}
	parts, err := envoy.Parts(x)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range parts {
		out[p.Name] = p.Version
	}
	return out
}

// A change of one route's backends touches its own chain and nothing else of
// any listener: Envoy keeps the connections of all other chains.
func TestOneRouteTouchesOneChain(t *testing.T) {
	tr := streamGateway(t)
	before := partsOf(t, tr, "a/gw/8443")
	if got := len(before); got != 3 {
		t.Fatalf("chains: %v", before)
	}
	c := graph.NewChanges()
	tr.TLSRoutes.Put(c, svcName("two"), passedRoute("two", "two.through.test", "web"))
	rev := tr.Commit(c)
	var touched []string
	for _, x := range tr.Changed(rev) {
		touched = append(touched, strings.TrimPrefix(string(x.Type), "type.googleapis.com/envoy.config.")+" "+x.Name)
	}
	touched = slices.DeleteFunc(touched, func(s string) bool { return strings.HasPrefix(s, "cluster.") || strings.HasPrefix(s, "endpoint.") })
	if diff := cmp.Diff([]string{"listener.v3.Listener a/gw/8443"}, touched); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	for name, version := range partsOf(t, tr, "a/gw/8443") {
		if changed := version != before[name]; changed != (name == "two.through.test") {
			t.Errorf("chain of %s: changed is %t", name, changed)
		}
	}
}

// A policy that breaks closes what it ruled; nothing of it becomes plaintext.
func TestBrokenPolicyClosesStreams(t *testing.T) {
	tr := streamGateway(t)
	upstreams := func() (tls, plain int) {
		for _, s := range tr.Sites.All(tr.Current().Reader()) {
			if s.TCP == nil || (!s.TCP.Plain && s.TCP.Termination == nil) {
				continue
			}
			for u := range s.Upstreams() {
				if u.TLS != nil && u.TLS.Verify != nil {
					tls++
				} else {
					plain++
				}
			}
		}
		return tls, plain
	}
	if tls, plain := upstreams(); tls != 2 || plain != 0 {
		t.Fatalf("%d verified, %d not", tls, plain)
	}
	c := graph.NewChanges()
	tr.Secrets.Delete(c, svcName("ca"))
	rev := tr.Commit(c)
	if tls, plain := upstreams(); tls != 0 || plain != 0 {
		t.Errorf("without the CA: %d verified, %d not", tls, plain)
	}
	for _, kind := range []string{gatewayapi.KindTLSRoute, gatewayapi.KindTCPRoute} {
		name := map[string]string{gatewayapi.KindTLSRoute: "sealed", gatewayapi.KindTCPRoute: "tcp"}[kind]
		if !slices.ContainsFunc(conditionsOf(t, tr, rev, ir.ObjectRef{Kind: kind, Name: svcName(name)}), func(c metav1.Condition) bool {
			return c.Type == string(reason.ConditionResolvedRefs) && c.Status == metav1.ConditionFalse && c.Reason == string(reason.InvalidBackendTLSPolicy)
		}) {
			t.Errorf("%s %s does not say what is wrong", kind, name)
		}
	}
}

// A cluster that no Envoy gets warm closes what leads there.
func TestWarmingClosesStreams(t *testing.T) {
	tr := streamGateway(t)
	before := partsOf(t, tr, "a/gw/8443")
	var cluster string
	for _, s := range tr.Sites.All(tr.Current().Reader()) {
		if s.TCP != nil && s.TCP.Termination != nil {
			cluster = s.TCP.Backends[0].Upstream.Name()
		}
	}
	c := graph.NewChanges()
	tr.Warming.Put(c, ClusterKey{edgeFleet, cluster}, "its endpoints")
	rev := tr.Commit(c)
	for name, version := range partsOf(t, tr, "a/gw/8443") {
		if changed := version != before[name]; changed != (name == "*.end.test") {
			t.Errorf("chain of %s: changed is %t", name, changed)
		}
	}
	sealed := ir.ObjectRef{Kind: gatewayapi.KindTLSRoute, Name: svcName("sealed")}
	if !slices.ContainsFunc(conditionsOf(t, tr, rev, sealed), func(c metav1.Condition) bool {
		return c.Type == string(reason.ConditionPartiallyInvalid) && strings.Contains(c.Message, "its endpoints")
	}) {
		t.Errorf("the status does not say it: %v", conditionsOf(t, tr, rev, sealed))
	}
}
