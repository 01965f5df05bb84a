package translator

import (
	"testing"

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
				gw.Spec.TLS = &gatewayv1.GatewayTLSConfig{Backend: &gatewayv1.GatewayBackendTLS{
					ClientCertificateRef: &gatewayv1.SecretObjectReference{Name: gatewayv1.ObjectName(tc.client)},
				}}
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
