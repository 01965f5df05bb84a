package translator

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

var (
	edgeFleet = ir.Name{Namespace: "f", Name: "edge"}
	someRoute = ir.ObjectRef{Kind: "HTTPRoute", Name: ir.Name{Namespace: "a", Name: "r"}}
	someGate  = ir.ObjectRef{Kind: "Gateway", Name: ir.Name{Namespace: "a", Name: "gw"}}
)

// securedGateway is a translator with a Gateway of a cleartext and an HTTPS
// port, and a route to a backend over TLS.
func securedGateway(t *testing.T) *Translator {
	t.Helper()
	authority, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(pki.Leaf{DNS: []string{"*.web.test"}})
	if err != nil {
		t.Fatal(err)
	}
	gw := plainGateway()
	wild := gatewayv1.Hostname("*.web.test")
	gw.Spec.Listeners = append(gw.Spec.Listeners, gatewayv1.Listener{
		Name: "tls", Port: 8443, Protocol: gatewayv1.HTTPSProtocolType, Hostname: &wild,
		TLS: &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: "cert"}}},
	})
	r := routeTo("web", 443)
	r.Spec.Hostnames = []gatewayv1.Hostname{"one.web.test", "*.web.test"}
	svc := &corev1.Service{Namespace: "a", Name: "web"}
	svc.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443}}
	tr := New()
	c := graph.NewChanges()
	tr.Clock.Put(c, ClockKey, time.Now())
	tr.Services.Put(c, svcName("web"), svc)
	name, port := "https", int32(8443)
	tr.Slices.Put(c, svcName("web-x"), &discoveryv1.EndpointSlice{
		Namespace: "a", Name: "web-x", Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
	})
	tr.Secrets.Put(c, svcName("ca"), &corev1.Secret{Data: map[string][]byte{"ca.crt": authority.PEM()}})
	tr.Secrets.Put(c, svcName("cert"), &corev1.Secret{
		Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM},
	})
	tr.Fleets.Put(c, edgeFleet, &FleetSpec{Name: edgeFleet, Gateways: &listener.Hosting{Address: "127.0.0.1"}})
	tr.GatewayClasses.Put(c, ir.Name{Name: "signet"}, classOfOurs())
	tr.Gateways.Put(c, someGate.Name, gw)
	tr.HTTPRoutes.Put(c, someRoute.Name, r)
	tr.Policies.Put(c, svcName("tls"), policyOf(asked{names: []string{"x.example"}, sni: "x.example"}, ""))
	if rev := tr.Commit(c); len(rev.Failures()) > 0 {
		t.Fatal(rev.Failures())
	}
	return tr
}

func svcName(n string) ir.Name { return ir.Name{Namespace: "a", Name: n} }

// Whatever Envoy refuses of what was made of Gateway API objects is not sent
// again, fails closed, and is traced to the object whose status says it.
func TestRefusedOfGateways(t *testing.T) {
	checkRefusals(t, securedGateway, envoy.ClusterType, envoy.SecretType, envoy.ListenerType, envoy.ScopeType)
}

func checkRefusals(t *testing.T, start func(*testing.T) *Translator, wanted ...envoy.Type) {
	t.Helper()
	base := start(t)
	type unit struct {
		key     RefusalKey
		version string
	}
	var all []unit
	for fleet, x := range base.Resources(base.Current()) {
		key := RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name}
		all = append(all, unit{key, x.Version})
		parts, err := envoy.Parts(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			key.Part = p.Name
			all = append(all, unit{key, p.Version})
		}
	}
	var types []envoy.Type
	parts := 0
	for _, u := range all {
		types = append(types, u.key.Type)
		if u.key.Part != "" {
			parts++
		}
		t.Run(strings.Join([]string{string(u.key.Type), u.key.Name, u.key.Part}, " "), func(t *testing.T) {
			tr := start(t)
			was := whole(tr, u.key)
			version := u.version
			if u.key.Type == envoy.SecretType {
				version = was.Version // certificates are made anew
			}
			c := graph.NewChanges()
			tr.Quarantine.Put(c, u.key, &Refusal{Version: version, Message: "no such thing"})
			rev := tr.Commit(c)
			if len(rev.Failures()) > 0 {
				t.Fatal(rev.Failures())
			}
			if !tr.InEffect(rev, u.key) {
				t.Fatal("the refusal is not in effect")
			}
			if now := whole(tr, u.key); now != nil && now.Version == was.Version {
				t.Error("the refused bytes are sent again")
			}
			if u.key.Type == envoy.ListenerType && u.key.Part != "" && whole(tr, u.key) == nil {
				t.Error("one chain takes the whole listener away")
			}
			x, ok := tr.Refusals.Get(rev.Reader(), u.key)
			if !ok || len(x.Objects) == 0 {
				t.Fatalf("it is traced to %v", x.Objects)
			}
			for _, o := range x.Objects {
				if !slices.ContainsFunc(conditionsOf(t, tr, rev, o), func(c metav1.Condition) bool {
					return c.Reason == string(reason.RefusedByEnvoy) && strings.Contains(c.Message, "no such thing")
				}) {
					t.Errorf("the status of %s does not say it: %v", o, conditionsOf(t, tr, rev, o))
				}
			}
		})
	}
	for _, want := range wanted {
		if !slices.Contains(types, want) {
			t.Errorf("nothing of type %s was refused", want)
		}
	}
	if parts < 3 {
		t.Errorf("only %d parts were refused", parts)
	}
}

// whole is the resource that is served under a key's name.
func whole(tr *Translator, k RefusalKey) *envoy.Resource {
	for fleet, x := range tr.Resources(tr.Current()) {
		if fleet == k.Fleet && x.Type == k.Type && x.Name == k.Name {
			return x
		}
	}
	return nil
}

func conditionsOf(t *testing.T, tr *Translator, rev *graph.Revision, o ir.ObjectRef) []metav1.Condition {
	t.Helper()
	if o.Kind == someGate.Kind {
		s, _ := tr.GatewayStatuses.Get(rev.Reader(), o.Name)
		return s.Conditions
	}
	s, _ := tr.RouteStatuses.Get(rev.Reader(), o)
	if len(s.Parents) != 1 {
		t.Fatalf("parents of %s: %+v", o, s.Parents)
	}
	return s.Parents[0].Conditions
}

// A cluster that no Envoy gets warm closes the routes of HTTPRoutes too.
func TestWarmingClosesRoutesOfGateways(t *testing.T) {
	tr := securedGateway(t)
	var cluster string
	for _, x := range tr.Resources(tr.Current()) {
		if x.Type == envoy.ClusterType {
			cluster = x.Name
		}
	}
	leads := func() (out int) {
		for _, x := range tr.Resources(tr.Current()) {
			if names, err := envoy.ClustersOf(x); err == nil && slices.Contains(names, cluster) {
				out++
			}
		}
		return out
	}
	if leads() != 4 {
		t.Fatalf("%d scopes lead to the cluster", leads())
	}
	c := graph.NewChanges()
	tr.Warming.Put(c, ClusterKey{edgeFleet, cluster}, "its endpoints")
	rev := tr.Commit(c)
	if leads() != 0 {
		t.Errorf("%d scopes still lead to the cluster", leads())
	}
	says := func() bool {
		return slices.ContainsFunc(conditionsOf(t, tr, rev, someRoute), func(c metav1.Condition) bool {
			return c.Type == string(reason.ConditionPartiallyInvalid) && strings.Contains(c.Message, "its endpoints")
		})
	}
	if !says() {
		t.Errorf("the status does not say it: %v", conditionsOf(t, tr, rev, someRoute))
	}
	c = graph.NewChanges()
	tr.Warming.Delete(c, ClusterKey{edgeFleet, cluster})
	if rev = tr.Commit(c); leads() != 4 || says() {
		t.Error("the routes did not open again")
	}
}

// Figures count what Gateways serve.
func TestFiguresOfGateways(t *testing.T) {
	tr := securedGateway(t)
	got := tr.Figures(tr.Current())[edgeFleet]
	if got.Hosts == 0 || got.Routes < 4 || got.FailClosed != 0 || got.Upstreams != 1 || got.TLS != 1 || got.Unverified != 0 {
		t.Errorf("figures: %+v", got)
	}
}

// What another replica's Envoys refuse is told by the objects here and changes
// nothing of what is sent: with two replicas a refusal that only the one that
// does not lead had seen was told by no object.
func TestRefusedElsewhere(t *testing.T) {
	tr := securedGateway(t)
	for fleet, x := range tr.Resources(tr.Current()) {
		parts, err := envoy.Parts(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(parts, x) {
			key := RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name, Part: p.Name}
			if p == x {
				key.Part = ""
			}
			was := tr.Served(tr.Current(), fleet, x)
			c := graph.NewChanges()
			tr.Quarantine.Put(c, key, &Refusal{Version: p.Version, Message: "no such thing", Elsewhere: reason.MessageLastGood})
			rev := tr.Commit(c)
			if now := tr.Served(rev, fleet, x); now == nil || now.Version != was.Version {
				t.Errorf("%v: what is sent here has changed", key)
			}
			told, ok := tr.Refusals.Get(rev.Reader(), key)
			if !ok || told.Idle || len(told.Objects) == 0 || told.Serves != reason.MessageLastGood {
				t.Errorf("%v: no object tells it: %+v", key, told)
			}
			c = graph.NewChanges()
			tr.Quarantine.Delete(c, key)
			tr.Commit(c)
		}
	}
}
