package route

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
)

// Of the rules that match a call the first serves it: each case has the matches
// of two rules, the later one first, or of a GRPCRoute and an HTTPRoute.
func TestPrecedenceOfCalls(t *testing.T) {
	cases := map[string]struct {
		reason string
		calls  []string
		http   string
		want   []string
	}{
		"service, method": {
			reason: "characters of the service go first, and the other has none",
			calls:  []string{"{method: {method: Baz}}", "{method: {service: foo.Bar}}"}, want: []string{"/foo.Bar", "/[^/]+/Baz"},
		},
		"service, long method": {
			reason: "a method counts only where services are alike",
			calls:  []string{"{method: {method: MuchLongerThanTheService}}", "{method: {service: a}}"},
			want:   []string{"/a", "/[^/]+/MuchLongerThanTheService"},
		},
		"service and method": {
			reason: "the method counts where services are alike",
			calls:  []string{"{method: {service: foo.Bar}}", "{method: {service: foo.Bar, method: Baz}}"},
			want:   []string{"/foo.Bar/Baz", "/foo.Bar"},
		},
		"two methods": {
			reason: "more characters of the method",
			calls:  []string{"{method: {type: RegularExpression, method: B.*}}", "{method: {method: Bazz}}"},
			want:   []string{"/[^/]+/Bazz", "/[^/]+/(?:B.*)"},
		},
		"service by expression": {
			reason: "more characters of the service, however it is matched",
			calls:  []string{"{method: {type: RegularExpression, service: foo.*}}", "{method: {service: foo.Bar}}"},
			want:   []string{"/foo.Bar", "/(?:foo.*)/[^/]+"},
		},
		"method by expression": {
			reason: "characters of the service go first",
			calls:  []string{"{method: {type: RegularExpression, method: '[A-Z].*'}}", "{method: {type: RegularExpression, service: fo+}}"},
			want:   []string{"/(?:fo+)/[^/]+", "/[^/]+/(?:[A-Z].*)"},
		},
		"headers": {
			reason: "they count last",
			calls:  []string{"{headers: [{name: a, value: b}]}", "{method: {method: Baz}}"}, want: []string{"/[^/]+/Baz", "/"},
		},
		"more headers": {
			reason: "they count where the call is alike",
			calls:  []string{"{method: {method: Baz}}", "{method: {method: Qux}, headers: [{name: a, value: b}]}"},
			want:   []string{"/[^/]+/Qux", "/[^/]+/Baz"},
		},
		"HTTPRoute": {
			reason: "any call goes behind a path of some length",
			calls:  []string{"{method: {method: Baz}}"}, http: "{path: {value: /foo}}", want: []string{"/foo", "/[^/]+/Baz"},
		},
		"HTTPRoute of all": {
			reason: "any path goes behind calls",
			calls:  []string{"{method: {method: Baz}}"}, http: "{path: {value: /}}", want: []string{"/[^/]+/Baz", "/"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rules := "rules:\n- {matches: [" + strings.Join(tc.calls, "]}\n- {matches: [") + "]}"
			var grpc gatewayv1.GRPCRoute
			if err := yaml.UnmarshalStrict([]byte(rules), &grpc.Spec); err != nil {
				t.Fatal(err)
			}
			docs := []*Document{ReadGRPC(estate{}, &grpc)}
			if tc.http != "" {
				docs = append(docs, readRule(t, "{matches: ["+tc.http+"]}"))
			}
			var got []string
			for _, r := range Compose(&listener.Gateway{}, &listener.Section{}, "a.test", &ir.Fleet{}, docs).VirtualHosts[0].Routes {
				got = append(got, r.Match.Path)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
