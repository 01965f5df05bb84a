package translator

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/gateway-api/pkg/features"
)

// The documentation says of every feature of the API's release whether it is
// served, and says the same as the status of a GatewayClass.
func TestFeaturesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/gateway-api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Za-z0-9]+)` \\| (yes|no) \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s has two rows", row[1])
		}
		documented[row[1]] = row[2]
	}
	want := map[string]string{}
	for f := range features.AllFeatures {
		want[string(f.Name)] = "no"
	}
	for _, f := range SupportedFeatures() {
		if want[string(f.Name)] == "" {
			t.Errorf("%s is claimed and is no feature", f.Name)
		}
		want[string(f.Name)] = "yes"
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("docs/gateway-api.md: -want, +got:\n%s", diff)
	}
	if got := slices.Sorted(maps.Keys(documented)); len(got) < 60 {
		t.Errorf("%d features: where are the others?", len(got))
	}
}
