package translator

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

var (
	exactHeader = ir.ValueMatch{Name: "x-exact", Kind: ir.ValueExact, Value: "a"}
	regexHeader = ir.ValueMatch{Name: "x-regex", Kind: ir.ValueRegex, Value: "a+"}
	large       = `(\pL{100}){9}`
)

// What is refused answers where it matched: a wider answer would close other
// rules, and other namespaces' routes of the host.
func TestRefusedRouteIsClosedWhereItMatched(t *testing.T) {
	cases := map[string]struct {
		reason      string
		match, want ir.Match
	}{
		"all matchers": {
			"none of them is at fault",
			ir.Match{PathKind: ir.PathSegments, Path: "/a", Method: "GET", Headers: []ir.ValueMatch{exactHeader, regexHeader}, Query: []ir.ValueMatch{regexHeader}},
			ir.Match{PathKind: ir.PathSegments, Path: "/a", Method: "GET", Headers: []ir.ValueMatch{exactHeader, regexHeader}, Query: []ir.ValueMatch{regexHeader}},
		},
		"expression": {"Envoy takes it", ir.Match{PathKind: ir.PathRegex, Path: "/a[0-9]"}, ir.Match{PathKind: ir.PathRegex, Path: "/a[0-9]"}},
		"large expression": {
			"all of its paths begin so", ir.Match{PathKind: ir.PathRegex, Path: "/a/b" + large, Method: "GET"},
			ir.Match{PathKind: ir.PathPrefix, Path: "/a/b", Method: "GET"},
		},
		"large expression of any path": {"any path may be meant", ir.Match{PathKind: ir.PathRegex, Path: large}, everything},
		"large expression of a header": {
			"the other still tells requests apart",
			ir.Match{PathKind: ir.PathExact, Path: "/a", Headers: []ir.ValueMatch{exactHeader, {Name: "x", Kind: ir.ValueRegex, Value: large}}},
			ir.Match{PathKind: ir.PathExact, Path: "/a", Headers: []ir.ValueMatch{exactHeader}},
		},
		"header without a name": {
			"the path still tells requests apart", ir.Match{PathKind: ir.PathExact, Path: "/a", Headers: []ir.ValueMatch{{Kind: ir.ValuePresent}}},
			ir.Match{PathKind: ir.PathExact, Path: "/a"},
		},
		"no path": {"any may be meant", ir.Match{PathKind: ir.PathExact, Path: "a"}, everything},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			refused := ir.Route{
				Name: "refused", Match: tc.match, Response: &ir.DirectResponse{StatusCode: 200},
				ResponseHeaders: ir.HeaderPolicy{Set: []ir.Header{{Name: "X", Value: "a\nb"}}},
			}
			h, err := sealHost(&ir.VirtualHost{Listener: "http", Host: "a.test", Routes: []ir.Route{refused}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(h.refused) != 1 || len(h.host.Routes) != 1 {
				t.Fatalf("%+v are refused of %+v", h.refused, h.host.Routes)
			}
			if diff := cmp.Diff(tc.want, h.host.Routes[0].Match); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// What Envoy has refused may be an expression: the rest of the match stays.
func TestMatchWithoutExpressions(t *testing.T) {
	cases := map[string]struct {
		reason      string
		match, want ir.Match
	}{
		"no expression": {
			"nothing of it is refused", ir.Match{PathKind: ir.PathSegments, Path: "/a", Method: "GET", Query: []ir.ValueMatch{exactHeader}},
			ir.Match{PathKind: ir.PathSegments, Path: "/a", Method: "GET", Query: []ir.ValueMatch{exactHeader}},
		},
		"values": {
			"those without one stay", ir.Match{PathKind: ir.PathExact, Path: "/a", Headers: []ir.ValueMatch{exactHeader, regexHeader}, Query: []ir.ValueMatch{regexHeader}},
			ir.Match{PathKind: ir.PathExact, Path: "/a", Headers: []ir.ValueMatch{exactHeader}},
		},
		"path":              {"all paths begin so", ir.Match{PathKind: ir.PathRegex, Path: "/a/[0-9]+"}, ir.Match{PathKind: ir.PathPrefix, Path: "/a/"}},
		"anchored path":     {"all paths begin so", ir.Match{PathKind: ir.PathRegex, Path: "^/a(b|c)$"}, ir.Match{PathKind: ir.PathPrefix, Path: "/a"}},
		"two paths":         {"all paths begin so", ir.Match{PathKind: ir.PathRegex, Path: "/ab|/ac"}, ir.Match{PathKind: ir.PathPrefix, Path: "/a"}},
		"any path":          {"no path is left out", ir.Match{PathKind: ir.PathRegex, Path: ".*/a"}, everything},
		"path in any case":  {"no path is left out", ir.Match{PathKind: ir.PathRegex, Path: "(?i)/a"}, ir.Match{PathKind: ir.PathPrefix, Path: "/"}},
		"path without root": {"it matches no request", ir.Match{PathKind: ir.PathRegex, Path: "a"}, everything},
		"no path":           {"any may be meant", ir.Match{PathKind: ir.PathRegex, Path: "("}, everything},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plain(&tc.match)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
