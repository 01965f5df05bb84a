package translator

import (
	"slices"
	"strings"
	"testing"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// clustersInUse are the clusters that routes lead to, by the name of the Service.
func clustersInUse(t *testing.T, tr *Translator) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, x := range tr.Resources(tr.Current()) {
		if x.Type != envoy.ScopeType {
			continue
		}
		names, err := envoy.ClustersOf(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			out[strings.Split(n, "/")[1]] = n
		}
	}
	return out
}

// A mirror whose cluster is broken is left out and named: its answers are
// thrown away, and those of the backend are not.
func TestBrokenMirrorIsLeftOut(t *testing.T) {
	cases := map[string]struct {
		reason string
		window string
		hurt   func(tr *Translator, c *graph.Changes, cluster string)
		says   string
	}{
		"withheld": {reason: "Envoy would refuse the cluster", window: "900000h", says: "mirror a/shadow: "},
		"warming": {
			reason: "no Envoy gets it ready",
			hurt: func(tr *Translator, c *graph.Changes, cluster string) {
				tr.Warming.Put(c, ClusterKey{edgeFleet, cluster}, "its endpoints")
			},
			says: "its endpoints",
		},
		"refused": {
			reason: "Envoy has refused it",
			hurt: func(tr *Translator, c *graph.Changes, cluster string) {
				for _, x := range tr.Resources(tr.Current()) {
					if x.Type == envoy.ClusterType && x.Name == cluster {
						k := RefusalKey{Fleet: edgeFleet, Type: x.Type, Name: x.Name}
						tr.Quarantine.Put(c, k, &Refusal{Version: x.Version, Message: "no good"})
					}
				}
			},
			says: "no good",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tr := mirrored(t, tc.window)
			if tc.hurt != nil {
				in := clustersInUse(t, tr)
				if len(in) != 2 {
					t.Fatalf("routes lead to %v", in)
				}
				c := graph.NewChanges()
				tc.hurt(tr, c, in["shadow"])
				tr.Commit(c)
			}
			if in := clustersInUse(t, tr); len(in) != 1 || in["web"] == "" {
				t.Errorf("%s: routes lead to %v", tc.reason, in)
			}
			s, _ := tr.ProxyStatuses.Get(tr.Current().Reader(), svcName("p"))
			if !slices.ContainsFunc(s.Conditions[0].Errors, func(e contourv1.SubCondition) bool { return strings.Contains(e.Message, tc.says) }) {
				t.Errorf("%s: the status does not say %q: %+v", tc.reason, tc.says, s)
			}
		})
	}
}

// mirrored is a translator with a proxy whose requests are mirrored to another
// Service, whose endpoints start slowly in the window.
func mirrored(t *testing.T, window string) *Translator {
	t.Helper()
	tr := New()
	c := graph.NewChanges()
	tr.Clock.Put(c, ClockKey, time.Now())
	tr.Fleets.Put(c, edgeFleet, &FleetSpec{
		Name: edgeFleet, Selector: httpproxy.Selector{Fleet: edgeFleet},
		Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: 8080}},
	})
	p := &contourv1.HTTPProxy{Namespace: "a", Name: "p"}
	p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "a.test"}
	p.Spec.Routes = []contourv1.Route{{Services: []contourv1.Service{{Name: "web", Port: 80}, {Name: "shadow", Port: 80, Mirror: true}}}}
	if window != "" {
		p.Spec.Routes[0].Services[1].SlowStartPolicy = &contourv1.SlowStartPolicy{Window: window, Aggression: "1.0"}
	}
	tr.Proxies.Put(c, svcName("p"), p)
	for _, n := range []string{"web", "shadow"} {
		svc := &corev1.Service{Namespace: "a", Name: n}
		svc.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
		tr.Services.Put(c, svcName(n), svc)
	}
	tr.Commit(c)
	return tr
}

// The same of a Gateway's route.
func TestBrokenMirrorOfAGatewayIsLeftOut(t *testing.T) {
	tr := securedGateway(t)
	r := routeTo("web", 443)
	r.Spec.Hostnames = []gatewayv1.Hostname{"one.web.test"}
	port := gatewayv1.PortNumber(80)
	r.Spec.Rules[0].Filters = []gatewayv1.HTTPRouteFilter{{
		Type:          gatewayv1.HTTPRouteFilterRequestMirror,
		RequestMirror: &gatewayv1.HTTPRequestMirrorFilter{BackendRef: gatewayv1.BackendObjectReference{Name: "shadow", Port: &port}},
	}}
	svc := &corev1.Service{Namespace: "a", Name: "shadow"}
	svc.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	c := graph.NewChanges()
	tr.HTTPRoutes.Put(c, someRoute.Name, r)
	tr.Services.Put(c, svcName("shadow"), svc)
	tr.Commit(c)
	in := clustersInUse(t, tr)
	if len(in) != 2 {
		t.Fatalf("routes lead to %v", in)
	}
	c = graph.NewChanges()
	tr.Warming.Put(c, ClusterKey{edgeFleet, in["shadow"]}, "its endpoints")
	rev := tr.Commit(c)
	if in = clustersInUse(t, tr); len(in) != 1 || in["web"] == "" {
		t.Errorf("routes lead to %v", in)
	}
	if !slices.ContainsFunc(conditionsOf(t, tr, rev, someRoute), func(c metav1.Condition) bool {
		return c.Type == string(reason.ConditionPartiallyInvalid) && strings.Contains(c.Message, "its endpoints")
	}) {
		t.Errorf("the status does not say it: %v", conditionsOf(t, tr, rev, someRoute))
	}
}
