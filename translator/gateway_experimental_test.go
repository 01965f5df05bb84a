package translator

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// guard has the route of securedGateway ask the Service "asked", and keep
// sessions.
func guard(tr *Translator) *graph.Revision {
	r := routeTo("web", 443)
	r.Spec.Hostnames = []gatewayv1.Hostname{"one.web.test", "*.web.test"}
	port := gatewayv1.PortNumber(443)
	rule := &r.Spec.Rules[0]
	rule.Filters = []gatewayv1.HTTPRouteFilter{{
		Type: gatewayv1.HTTPRouteFilterExternalAuth,
		ExternalAuth: &gatewayv1.HTTPExternalAuthFilter{
			ExternalAuthProtocol: gatewayv1.HTTPRouteExternalAuthGRPCProtocol,
			BackendRef:           gatewayv1.BackendObjectReference{Name: "asked", Port: &port},
		},
	}}
	rule.SessionPersistence = &gatewayv1.SessionPersistence{} //nolint:staticcheck // the experimental channel still has it
	svc := &corev1.Service{Namespace: "a", Name: "asked"}
	svc.Spec.Ports = []corev1.ServicePort{{Name: "grpc", Port: 443}}
	c := graph.NewChanges()
	tr.Services.Put(c, svcName("asked"), svc)
	tr.HTTPRoutes.Put(c, someRoute.Name, r)
	return tr.Commit(c)
}

func versionsOf(tr *Translator, kind envoy.Type) map[string]string {
	out := map[string]string{}
	for _, x := range tr.Resources(tr.Current()) {
		if x.Type == kind {
			out[x.Name] = x.Version
		}
	}
	return out
}

// What a route asks of external authorization and sessions is in its own
// scopes: no listener has other bytes, and no connection is drained for it.
func TestGuardTouchesNoListener(t *testing.T) {
	tr := securedGateway(t)
	listeners, scopes, clusters := versionsOf(tr, envoy.ListenerType), versionsOf(tr, envoy.ScopeType), versionsOf(tr, envoy.ClusterType)
	if rev := guard(tr); len(rev.Failures()) > 0 {
		t.Fatal(rev.Failures())
	}
	if got := versionsOf(tr, envoy.ListenerType); len(got) == 0 || !maps.Equal(got, listeners) {
		t.Errorf("listeners were %v and are %v", listeners, got)
	}
	if maps.Equal(versionsOf(tr, envoy.ScopeType), scopes) {
		t.Error("no scope has changed")
	}
	if got := versionsOf(tr, envoy.ClusterType); len(got) != len(clusters)+1 {
		t.Errorf("clusters are %v, want one more than %v", got, clusters)
	}
	if f := tr.Figures(tr.Current())[edgeFleet]; f.Upstreams != 2 || f.FailClosed != 0 {
		t.Errorf("figures: %+v", f)
	}
}

// A route whose authorization server's cluster does not get warm is closed: it
// would have Envoy refuse the scope, or ask nobody.
func TestWarmingOfAuthClosesRoutes(t *testing.T) {
	tr := securedGateway(t)
	guard(tr)
	asked := ""
	for name := range versionsOf(tr, envoy.ClusterType) {
		if strings.HasPrefix(name, "a/asked/") {
			asked = name
		}
	}
	leads := func() (out int) {
		for _, x := range tr.Resources(tr.Current()) {
			if names, err := envoy.ClustersOf(x); err == nil && slices.Contains(names, asked) {
				out++
			}
		}
		return out
	}
	open := leads()
	if open == 0 || asked == "" {
		t.Fatalf("%d scopes ask %q", open, asked)
	}
	c := graph.NewChanges()
	tr.Warming.Put(c, ClusterKey{edgeFleet, asked}, "its endpoints")
	rev := tr.Commit(c)
	for k, h := range tr.hosts.All(rev.Reader()) {
		for _, x := range []*envoy.Resource{h.Scope, h.Part} {
			if names, err := envoy.ClustersOf(orEmpty(x)); err != nil || len(names) > 0 {
				t.Errorf("%v still leads to %v, %v", k, names, err)
			}
		}
	}
	c = graph.NewChanges()
	tr.Warming.Delete(c, ClusterKey{edgeFleet, asked})
	tr.Commit(c)
	if leads() != open {
		t.Errorf("%d scopes ask again, want %d", leads(), open)
	}
}

func orEmpty(x *envoy.Resource) *envoy.Resource {
	if x == nil {
		return &envoy.Resource{}
	}
	return x
}

// The objects whose routes ask a server are told of it like those that lead to
// a backend.
func TestUsersOfAuth(t *testing.T) {
	tr := securedGateway(t)
	rev := guard(tr)
	var sites []hostKey
	for k := range tr.Sites.All(rev.Reader()) {
		sites = append(sites, k)
	}
	got := tr.users(rev.Reader(), sites, func(u *ir.Upstream) bool { return u.Service.Name.Name == "asked" })
	if !slices.Equal(got, []ir.ObjectRef{someRoute}) {
		t.Errorf("users: %v", got)
	}
}

// The last good form of a route that has just been given an authorization server
// would let in everybody: where Envoy refuses the new form it is closed. One that
// asked a server before is the last good one.
func TestLastGoodRouteThatAsksNobody(t *testing.T) {
	tr := securedGateway(t)
	scopes := func() map[RefusalKey]*envoy.Resource {
		out := map[RefusalKey]*envoy.Resource{}
		for fleet, x := range tr.Resources(tr.Current()) {
			if x.Type != envoy.ScopeType {
				continue
			}
			parts, err := envoy.Parts(x)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				out[RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name, Part: p.Name}] = p
			}
			out[RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name}] = x
		}
		return out
	}
	before := scopes()
	guard(tr)
	after, guarded := scopes(), 0
	leads := func(rev *graph.Revision, k RefusalKey) bool {
		now := tr.Served(rev, k.Fleet, after[k.Whole()])
		names, err := envoy.ClustersOf(orEmpty(now))
		if err != nil {
			t.Fatal(err)
		}
		return len(names) > 0
	}
	for k, x := range after {
		asks, err := envoy.ClustersOf(x)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(asks, func(c string) bool { return strings.HasPrefix(c, "a/asked/") }) || before[k] == nil {
			continue
		}
		guarded++
		for name, last := range map[string]*envoy.Resource{"asked nobody": before[k], "asked": x} {
			c := graph.NewChanges()
			tr.Quarantine.Put(c, k, &Refusal{Version: x.Version, Message: "no", LastGood: last})
			rev := tr.Commit(c)
			if served := leads(rev, k); served != (name == "asked") {
				t.Errorf("%v, whose last good form %s: it is served: %t", k, name, served)
			}
			c = graph.NewChanges()
			tr.Quarantine.Delete(c, k)
			tr.Commit(c)
		}
	}
	if guarded == 0 {
		t.Fatal("nothing asks")
	}
}
