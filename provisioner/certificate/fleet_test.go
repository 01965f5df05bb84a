package certificate

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

func TestParseFleetURI(t *testing.T) {
	cases := map[string]struct {
		reason string
		uri    string
		want   ir.Name // zero: refused
	}{
		"fleet":            {"the form that FleetURI makes", "spiffe://signetproxy.io/fleet/edge/public", ir.Name{Namespace: "edge", Name: "public"}},
		"dotted name":      {"object names may have dots", "spiffe://signetproxy.io/fleet/edge/a.b-c.d", ir.Name{Namespace: "edge", Name: "a.b-c.d"}},
		"other scheme":     {"only SPIFFE identities count", "https://signetproxy.io/fleet/edge/public", ir.Name{}},
		"upper scheme":     {"one spelling only", "SPIFFE://signetproxy.io/fleet/edge/Public", ir.Name{}},
		"other domain":     {"another trust domain is another's", "spiffe://example.com/fleet/edge/public", ir.Name{}},
		"upper domain":     {"one spelling only", "spiffe://SignetProxy.io/fleet/edge/public", ir.Name{}},
		"sub domain":       {"a sub-domain is another domain", "spiffe://a.signetproxy.io/fleet/edge/public", ir.Name{}},
		"port":             {"SPIFFE has no ports", "spiffe://signetproxy.io:443/fleet/edge/public", ir.Name{}},
		"user":             {"SPIFFE has no users", "spiffe://me@signetproxy.io/fleet/edge/public", ir.Name{}},
		"query":            {"SPIFFE has no queries", "spiffe://signetproxy.io/fleet/edge/public?a", ir.Name{}},
		"empty query":      {"not even an empty one", "spiffe://signetproxy.io/fleet/edge/public?", ir.Name{}},
		"fragment":         {"SPIFFE has no fragments", "spiffe://signetproxy.io/fleet/edge/public#a", ir.Name{}},
		"escaped slash":    {"an escape could hide a separator", "spiffe://signetproxy.io/fleet/edge%2Fpublic", ir.Name{}},
		"escaped letter":   {"one spelling only", "spiffe://signetproxy.io/fleet/edge/p%75blic", ir.Name{}},
		"no name":          {"a namespace is no fleet", "spiffe://signetproxy.io/fleet/edge", ir.Name{}},
		"empty name":       {"a namespace is no fleet", "spiffe://signetproxy.io/fleet/edge/", ir.Name{}},
		"empty namespace":  {"a name is no fleet", "spiffe://signetproxy.io/fleet//public", ir.Name{}},
		"more":             {"nothing may follow", "spiffe://signetproxy.io/fleet/edge/public/x", ir.Name{}},
		"dot segment":      {"paths are not resolved", "spiffe://signetproxy.io/fleet/edge/..", ir.Name{}},
		"other path":       {"other kinds of identities may come", "spiffe://signetproxy.io/server/edge/public", ir.Name{}},
		"upper case":       {"Kubernetes names are in lower case", "spiffe://signetproxy.io/fleet/edge/Public", ir.Name{}},
		"dotted namespace": {"a namespace is one label", "spiffe://signetproxy.io/fleet/a.b/public", ir.Name{}},
		"long namespace":   {"a label has 63 characters at most", "spiffe://signetproxy.io/fleet/" + strings.Repeat("a", 64) + "/public", ir.Name{}},
		"long name":        {"a name has 253 characters at most", "spiffe://signetproxy.io/fleet/edge/" + strings.Repeat("a", 254), ir.Name{}},
		"opaque":           {"a URI without // has no host", "spiffe:signetproxy.io/fleet/edge/public", ir.Name{}},
		"empty":            {"nothing is no fleet", "", ir.Name{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tc.uri)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseFleetURI(u)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
			if refused := tc.want == (ir.Name{}); refused != errors.Is(err, ErrNotFleet) {
				t.Errorf("%s: error %v, want ErrNotFleet %v", tc.reason, err, refused)
			}
		})
	}
	if _, err := ParseFleetURI(nil); !errors.Is(err, ErrNotFleet) {
		t.Errorf("no URI at all: error %v, want ErrNotFleet", err)
	}
}

func FuzzParseFleetURI(f *testing.F) {
	for _, seed := range []string{
		"spiffe://signetproxy.io/fleet/edge/public",
		"spiffe://signetproxy.io/fleet/edge/a.b",
		"spiffe://signetproxy.io/fleet/edge%2Fpublic",
		"spiffe://me@signetproxy.io:1/fleet/edge/public?q#f",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		fleet, err := ParseFleetURI(u)
		if err != nil {
			if !errors.Is(err, ErrNotFleet) {
				t.Errorf("%q: error %v, want ErrNotFleet", text, err)
			}
			return
		}
		if back := FleetURI(fleet); back != u.String() {
			t.Errorf("%q is accepted as %s, whose URI is %q", text, fleet, back)
		}
	})
}
