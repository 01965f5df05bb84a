package listener

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signetproxy/signet/translator/reason"
)

// CRDs of another release are named, and served as far as they are known.
func TestSupportedVersion(t *testing.T) {
	const old, own = "gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io"
	cases := map[string]struct {
		reason string
		crds   []CRD
		want   string
	}{
		"built in":   {"nothing was found", nil, "True/SupportedVersion"},
		"same":       {"the release that Signet is built with", []CRD{{own, "v1.7.0"}}, "True/SupportedVersion"},
		"patch":      {"changes no meaning", []CRD{{own, "v1.7.3"}}, "True/SupportedVersion"},
		"older":      {"another release", []CRD{{own, "v1.7.0"}, {old, "v1.6.1"}}, "False/UnsupportedVersion"},
		"two digits": {"no prefix of it", []CRD{{old, "v1.70.0"}}, "False/UnsupportedVersion"},
		"none":       {"without the annotation", []CRD{{old, ""}}, "False/UnsupportedVersion"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := Class{Ours: true, Generation: 3}
			got := map[string]string{}
			for _, x := range c.Status(nil, tc.crds).Conditions {
				got[x.Type] = fmt.Sprintf("%s/%s", x.Status, x.Reason)
				if x.ObservedGeneration != 3 {
					t.Errorf("%s has generation %d", x.Type, x.ObservedGeneration)
				}
				if x.Type == string(reason.ConditionSupportedVersion) && strings.HasPrefix(tc.want, "False") && !strings.Contains(x.Message, old) {
					t.Errorf("the message does not name %s: %s", old, x.Message)
				}
			}
			if got["SupportedVersion"] != tc.want || got["Accepted"] != "True/Accepted" {
				t.Errorf("%s: %v, want %s", tc.reason, got, tc.want)
			}
		})
	}
}
