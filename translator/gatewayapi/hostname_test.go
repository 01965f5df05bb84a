package gatewayapi

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIntersect(t *testing.T) {
	cases := map[string]struct {
		reason, a, b, want string
	}{
		"equal":           {"one name", "a.example.com", "a.example.com", "a.example.com"},
		"any":             {"no hostname is every host", "*", "a.example.com", "a.example.com"},
		"any wildcard":    {"no hostname is every host", "*.example.com", "*", "*.example.com"},
		"wildcard":        {"one label", "*.example.com", "a.example.com", "a.example.com"},
		"several labels":  {"any number of labels", "*.example.com", "a.b.example.com", "a.b.example.com"},
		"not itself":      {"a wildcard needs a label", "*.example.com", "example.com", ""},
		"not a suffix":    {"labels are whole", "*.example.com", "badexample.com", ""},
		"wildcards":       {"the narrower one", "*.com", "*.example.com", "*.example.com"},
		"wildcards apart": {"nothing in common", "*.example.org", "*.example.com", ""},
		"names apart":     {"nothing in common", "a.example.com", "b.example.com", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, pair := range [][2]string{{tc.a, tc.b}, {tc.b, tc.a}} {
				if got, ok := Intersect(pair[0], pair[1]); got != tc.want || ok != (tc.want != "") {
					t.Errorf("%s: Intersect(%q, %q) = %q, want %q", tc.reason, pair[0], pair[1], got, tc.want)
				}
			}
		})
	}
}

// The most specific host goes first, and Wider walks the same way.
func TestSpecificity(t *testing.T) {
	want := []string{"a.b.example.com", "*.b.example.com", "*.example.com", "*.com", "*"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, CompareHosts)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order: -want, +got:\n%s", diff)
	}
	walked := []string{"a.b.example.com"}
	for h := Wider(walked[0]); h != ""; h = Wider(h) {
		walked = append(walked, h)
	}
	if diff := cmp.Diff(want, walked); diff != "" {
		t.Errorf("walk: -want, +got:\n%s", diff)
	}
}
