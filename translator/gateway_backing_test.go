package translator

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// A Gateway's own client certificate stands in for a broken one of the fleet,
// and for nothing else that is wrong with it: defaults are never used instead of
// what was asked for.
func TestBackingKeepsOtherFaults(t *testing.T) {
	missing := svcName("nowhere")
	cases := map[string]struct {
		why    string
		fleet  FleetSpec
		client string
		want   reason.Reason
	}{
		"certificate":             {"another is presented", FleetSpec{Upstream: upstream.FleetSettings{ClientCertificate: &missing}}, "cert", ""},
		"certificate and curves":  {"these are still wrong", FleetSpec{Upstream: upstream.FleetSettings{ClientCertificate: &missing, Curves: []string{"P-1"}}}, "cert", reason.CurvesInvalid},
		"certificate and ciphers": {"these are still wrong", FleetSpec{Upstream: upstream.FleetSettings{ClientCertificate: &missing, Ciphers: []string{"RC4"}}}, "cert", reason.CiphersInvalid},
		"certificate and spec": {
			"what was asked for is not known", FleetSpec{Upstream: upstream.FleetSettings{ClientCertificate: &missing}, Failure: "refused"}, "cert", reason.Invalid,
		},
		"curves":                    {"nothing to stand in for", FleetSpec{Upstream: upstream.FleetSettings{Curves: []string{"P-1"}}}, "cert", reason.CurvesInvalid},
		"neither certificate":       {"the Gateway's goes first", FleetSpec{Upstream: upstream.FleetSettings{ClientCertificate: &missing}}, "nowhere", reason.InvalidClientCertificateRef},
		"no certificate of its own": {"the fleet's is presented", FleetSpec{Upstream: upstream.FleetSettings{ClientCertificate: &missing}}, "", reason.ClientCertificateNotFound},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tr, c := securedGateway(t), graph.NewChanges()
			tc.fleet.Name, tc.fleet.Gateways = edgeFleet, &listener.Hosting{Address: "127.0.0.1"}
			tr.Fleets.Put(c, edgeFleet, &tc.fleet)
			gw := plainGateway()
			if tc.client != "" {
				gw.Spec.TLS = backendTLS(tc.client)
			}
			tr.Gateways.Put(c, someGate.Name, gw)
			rev := tr.Commit(c)
			got, _ := tr.backings.Get(rev.Reader(), someGate.Name)
			if u := got.Upstream; u.FailureReason != string(tc.want) || (u.Failure == "") != (tc.want == "") {
				t.Errorf("%s: %q for %q, want %q", tc.why, u.Failure, u.FailureReason, tc.want)
			}
		})
	}
}

// What Gateway and fleet cannot bring to a backend is said of the route on that
// Gateway, and of the policy where it asks for a version that the fleet lacks.
func TestStatusOfWhatFleetsCannotBring(t *testing.T) {
	cases := map[string]struct {
		why   string
		edit  func(*FleetSpec, *gatewayv1.Gateway, *gatewayv1.HTTPRoute, *gatewayv1.BackendTLSPolicy)
		route reason.Reason
		// says is in the route's message.
		says   string
		policy reason.Reason
	}{
		"nothing": {
			"all is well", func(*FleetSpec, *gatewayv1.Gateway, *gatewayv1.HTTPRoute, *gatewayv1.BackendTLSPolicy) {},
			reason.ResolvedRefs, "", reason.Accepted,
		},
		"client certificate of the Gateway": {
			"the policy is none the worse", func(_ *FleetSpec, gw *gatewayv1.Gateway, _ *gatewayv1.HTTPRoute, _ *gatewayv1.BackendTLSPolicy) {
				gw.Spec.TLS = backendTLS("nowhere")
			}, reason.InvalidBackendTLSPolicy, `spec.rules[0]: Service "a/web"`, reason.Accepted,
		},
		"cleartext": {
			"it needs no certificate", func(_ *FleetSpec, gw *gatewayv1.Gateway, _ *gatewayv1.HTTPRoute, p *gatewayv1.BackendTLSPolicy) {
				gw.Spec.TLS, p.Spec.TargetRefs[0].Name = backendTLS("nowhere"), "other"
			}, reason.ResolvedRefs, "", "",
		},
		"mirror": {
			"it is left out", func(_ *FleetSpec, gw *gatewayv1.Gateway, r *gatewayv1.HTTPRoute, _ *gatewayv1.BackendTLSPolicy) {
				gw.Spec.TLS = backendTLS("nowhere")
				web := r.Spec.Rules[0].BackendRefs[0].BackendObjectReference
				r.Spec.Rules[0].Filters = []gatewayv1.HTTPRouteFilter{{
					Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: &gatewayv1.HTTPRequestMirrorFilter{BackendRef: web},
				}}
				r.Spec.Rules[0].BackendRefs[0].Name = "other"
			}, reason.InvalidBackendTLSPolicy, `spec.rules[0]: mirror to Service "a/web"`, reason.Accepted,
		},
		"section of a missing Service": {
			"whoever wrote the policy must learn of it", func(_ *FleetSpec, _ *gatewayv1.Gateway, r *gatewayv1.HTTPRoute, p *gatewayv1.BackendTLSPolicy) {
				p.Spec.TargetRefs[0].Name, p.Spec.TargetRefs[0].SectionName = "nope", new(gatewayv1.SectionName("https"))
				r.Spec.Rules[0].BackendRefs[0].Name = "nope"
			}, reason.BackendNotFound, "nope", reason.TargetNotFound,
		},
		"fleet": {
			"what it asks for is not known", func(f *FleetSpec, _ *gatewayv1.Gateway, _ *gatewayv1.HTTPRoute, _ *gatewayv1.BackendTLSPolicy) {
				f.Upstream.Curves = []string{"P-1"}
			}, reason.InvalidBackendTLSPolicy, "P-1", reason.Accepted,
		},
		"versions": {
			"no version is left", func(f *FleetSpec, _ *gatewayv1.Gateway, _ *gatewayv1.HTTPRoute, p *gatewayv1.BackendTLSPolicy) {
				f.Upstream.Min = "1.3"
				p.Spec.Options = map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{"signetproxy.io/maximum-protocol-version": "1.2"}
			}, reason.InvalidBackendTLSPolicy, "1.3 to 1.2", reason.Invalid,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tr, c := securedGateway(t), graph.NewChanges()
			f, gw, r := &FleetSpec{Name: edgeFleet, Gateways: &listener.Hosting{Address: "127.0.0.1"}}, plainGateway(), routeTo("web", 443)
			p := policyOf(asked{names: []string{"x.example"}, sni: "x.example"}, "")
			tc.edit(f, gw, r, p)
			other := &corev1.Service{Namespace: "a", Name: "other"}
			other.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 443}}
			tr.Services.Put(c, svcName("other"), other)
			tr.Fleets.Put(c, edgeFleet, f)
			tr.Gateways.Put(c, someGate.Name, gw)
			tr.HTTPRoutes.Put(c, someRoute.Name, r)
			tr.Policies.Put(c, svcName("tls"), p)
			rev := tr.Commit(c)
			refs := conditionsOf(t, tr, rev, someRoute)[1]
			if refs.Type != "ResolvedRefs" || refs.Reason != string(tc.route) || !strings.Contains(refs.Message, tc.says) {
				t.Errorf("%s: %+v, want %s for %q", tc.why, refs, tc.route, tc.says)
			}
			s, _ := tr.PolicyStatuses.Get(rev.Reader(), svcName("tls"))
			got := reason.Reason("")
			if len(s.Ancestors) > 0 {
				got = reason.Reason(s.Ancestors[0].Conditions[0].Reason)
			}
			if got != tc.policy {
				t.Errorf("%s: the policy says %q, want %q", tc.why, got, tc.policy)
			}
		})
	}
}

func backendTLS(name string) *gatewayv1.GatewayTLSConfig {
	return &gatewayv1.GatewayTLSConfig{Backend: &gatewayv1.GatewayBackendTLS{
		ClientCertificateRef: &gatewayv1.SecretObjectReference{Name: gatewayv1.ObjectName(name)},
	}}
}
