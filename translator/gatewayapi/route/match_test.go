package route

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
)

// A value that cannot be read is matched by its presence: the rule's error
// covers what was meant, and leaves requests without it to their own rules.
func TestUnreadableValues(t *testing.T) {
	present := func(name string) ir.ValueMatch { return ir.ValueMatch{Name: name, Kind: ir.ValuePresent} }
	exact := func(name string) ir.ValueMatch { return ir.ValueMatch{Name: name, Kind: ir.ValueExact, Value: "v"} }
	cases := map[string]struct {
		reason, match  string
		headers, query []ir.ValueMatch
	}{
		"header": {
			"what RE2 lacks", `{headers: [{name: X-User, type: RegularExpression, value: "^(?!guest).*"}]}`,
			[]ir.ValueMatch{present("x-user")}, nil,
		},
		"query": {
			"as a header", `{queryParams: [{name: user, type: RegularExpression, value: "("}]}`,
			nil, []ir.ValueMatch{present("user")},
		},
		"type": {
			"a later release's", `{headers: [{name: x-user, type: Suffix, value: v}]}`, []ir.ValueMatch{present("x-user")}, nil,
		},
		"beside others": {
			"these count as written", `{headers: [{name: x-user, type: RegularExpression, value: "("}, {name: a, value: v}], queryParams: [{name: q, value: v}]}`,
			[]ir.ValueMatch{exact("a"), present("x-user")}, []ir.ValueMatch{exact("q")},
		},
		"named twice": {
			"the first counts, readable or not", `{headers: [{name: a, type: RegularExpression, value: "("}, {name: A, value: v}]}`,
			[]ir.ValueMatch{present("a")}, nil,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := readRule(t, "{matches: ["+tc.match+"], backendRefs: [{name: web, port: 80}]}")
			if d.Fault == nil {
				t.Errorf("%s: no fault", tc.reason)
			}
			if diff := cmp.Diff([]ir.Match{{PathKind: ir.PathSegments, Path: "/", Headers: tc.headers, Query: tc.query}}, d.Rules[0].Matches); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestUnreadableValuesOfCalls(t *testing.T) {
	var in gatewayv1.GRPCRoute
	const rule = `rules: [{matches: [{method: {service: a.B}, headers: [{name: X-User, type: RegularExpression, value: "("}]}]}]`
	if err := yaml.UnmarshalStrict([]byte(rule), &in.Spec); err != nil {
		t.Fatal(err)
	}
	want := []ir.Match{{PathKind: ir.PathSegments, Path: "/a.B", Headers: []ir.ValueMatch{{Name: "x-user", Kind: ir.ValuePresent}}}}
	if diff := cmp.Diff(want, ReadGRPC(estate{}, &in).Rules[0].Matches); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// A rule that cannot be read takes nothing from its siblings on the path, nor
// from other objects' rules there: it stands among them as it would if it could.
func TestUnreadableRuleBesideSiblings(t *testing.T) {
	mine := readRule(t, `{matches: [{path: {value: /a}, headers: [{name: x, type: RegularExpression, value: "("}]}]}
- {matches: [{path: {value: /a}}], backendRefs: [{name: web, port: 80}]}`)
	other := readRule(t, `{matches: [{path: {value: /a}, method: GET}], backendRefs: [{name: web, port: 80}]}`)
	other.Ref.Namespace = "other"
	type row struct {
		method string
		fields int
		served bool
	}
	var got []row
	for _, r := range Compose(&listener.Gateway{}, &listener.Section{}, "a.test", &ir.Fleet{}, []*Document{mine, other}).VirtualHosts[0].Routes {
		got = append(got, row{r.Match.Method, len(r.Match.Headers), r.Forward != nil})
	}
	want := []row{{"GET", 0, true}, {"", 1, false}, {"", 0, true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
