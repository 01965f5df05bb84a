package route

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// speaking is an estate whose ports have an appProtocol, and a policy if sealed.
type speaking struct {
	estate
	app    string
	sealed bool
}

func (s speaking) Service(n ir.Name) (*corev1.Service, bool) {
	svc, ok := s.estate.Service(n)
	if ok {
		svc.Spec.Ports[0].AppProtocol = &s.app
	}
	return svc, ok
}

func (s speaking) Policy(n ir.Name, _ *corev1.ServicePort) *policy.Policy {
	if !s.sealed {
		return nil
	}
	return &policy.Policy{Name: n, Validation: &upstream.Validation{SNI: "x.test", Names: []string{"x.test"}, Trust: []ir.TrustRef{ir.SystemTrust()}}}
}

// Calls need HTTP/2, which a port for websockets does not speak.
func TestAppProtocolOfCalls(t *testing.T) {
	cases := map[string]struct {
		why  string
		in   speaking
		want reason.Reason
	}{
		"none":           {"it says nothing", speaking{}, ""},
		"h2c":            {"what calls speak", speaking{app: appH2C}, ""},
		"unknown":        {"it says nothing", speaking{app: "example.com/x"}, ""},
		"websockets":     {"HTTP/1.1", speaking{app: "kubernetes.io/ws"}, reason.UnsupportedProtocol},
		"over TLS":       {"HTTP/1.1 too", speaking{app: appWSS}, reason.UnsupportedProtocol},
		"with a policy":  {"TLS makes no HTTP/2 of it", speaking{app: appWSS, sealed: true}, reason.UnsupportedProtocol},
		"ws with policy": {"nor there", speaking{app: "kubernetes.io/ws", sealed: true}, reason.UnsupportedProtocol},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var in gatewayv1.GRPCRoute
			if err := yaml.UnmarshalStrict([]byte("rules: [{backendRefs: [{name: web, port: 80}]}]"), &in.Spec); err != nil {
				t.Fatal(err)
			}
			d, got := ReadGRPC(tc.in, &in), reason.Reason("")
			if d.RefsFault != nil {
				got = d.RefsFault.Reason
			}
			if got != tc.want || (d.Rules[0].Action.Forward != nil) != (tc.want == "") {
				t.Errorf("%s: %+v, %+v, want %q", tc.why, d.RefsFault, d.Rules[0].Action, tc.want)
			}
		})
	}
}
