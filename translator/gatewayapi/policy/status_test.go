package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// estate has the Services "one" and "two" with the port "https", and every CA.
type estate struct{}

func (estate) Service(n ir.Name) (*corev1.Service, bool) {
	if n.Name != "one" && n.Name != "two" {
		return nil, false
	}
	s := &corev1.Service{}
	s.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
	return s, true
}

func (estate) Trust(ir.TrustRef) *upstream.Problem { return nil }

// A Gateway is told of the targets that its routes use, not of others.
func TestStatusByTargets(t *testing.T) {
	at := func(service, section string) Target { return Target{ir.Name{Namespace: "a", Name: service}, section} }
	cases := map[string]struct {
		reason, targets string
		used            []Target
		want            string
	}{
		"all found":    {"in force", "{name: one}, {name: two, sectionName: https}", []Target{at("one", ""), at("two", "https")}, "Accepted"},
		"one found":    {"in force for one of them", "{name: one}, {name: two, sectionName: nope}", []Target{at("one", ""), at("two", "nope")}, "Accepted"},
		"stray":        {"the other is another Gateway's", "{name: one}, {name: two, sectionName: nope}", []Target{at("two", "nope")}, "TargetNotFound"},
		"beside stray": {"the stray one is another Gateway's", "{name: one}, {name: two, sectionName: nope}", []Target{at("one", "")}, "Accepted"},
		"no Service":   {"nothing to rule", "{name: one}, {name: three}", []Target{at("three", "")}, "TargetNotFound"},
		"UDP":          {"there is no TLS over it", "{name: one}, {name: two, sectionName: dns}", []Target{at("two", "dns")}, "Invalid"},
		"none found":   {"for nobody", "{name: three}", []Target{at("three", "")}, "TargetNotFound"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := &gatewayv1.BackendTLSPolicy{Namespace: "a", Name: "tls"}
			spec := "{targetRefs: [" + tc.targets + "], validation: {hostname: x.test, wellKnownCACertificates: System}}"
			if err := yaml.UnmarshalStrict([]byte(spec), &in.Spec); err != nil {
				t.Fatal(err)
			}
			for i := range in.Spec.TargetRefs {
				in.Spec.TargetRefs[i].Kind = "Service"
			}
			p := Read(estate{}, in)
			nobody := func(ir.Name) *Binding { return nil }
			s := Status(p, map[ir.Name][]Target{{Namespace: "a", Name: "gw"}: tc.used}, nobody, nil)
			if c := s.Ancestors[0].Conditions[0]; c.Type != "Accepted" || c.Reason != tc.want {
				t.Errorf("%s: %+v, want %s", tc.reason, c, tc.want)
			}
		})
	}
}
