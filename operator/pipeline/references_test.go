package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
)

// Without the contents that nothing refers to, every golden case gives the
// same revision.
func TestReferencesAreAllThatIsRead(t *testing.T) {
	cases, err := filepath.Glob("../../test/golden/testdata/cases/*.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("golden cases: %d, %v", len(cases), err)
	}
	now := time.Now()
	var left, kept int
	for _, file := range cases {
		if strings.HasSuffix(file, ".golden.yaml") {
			continue
		}
		batch := readCase(t, file)
		all := outcome(batch, now)
		var wanted []source.Key
		for _, o := range batch.Changed {
			wanted = append(wanted, References(o)...)
		}
		batch.Changed = slices.DeleteFunc(slices.Clone(batch.Changed), func(o client.Object) bool {
			key := source.KeyOf(o)
			switch {
			case key.Kind != "Secret" && key.Kind != "ConfigMap":
				return false
			case slices.Contains(wanted, key):
				kept++
				return false
			}
			left++
			return true
		})
		if diff := cmp.Diff(all, outcome(batch, now)); diff != "" {
			t.Errorf("%s: without unreferenced contents (-all, +some):\n%s", file, diff)
		}
	}
	if kept < 50 || left == 0 {
		t.Errorf("%d contents were kept and %d left out: the cases show nothing", kept, left)
	}
}

// readCase reads a golden case with its ${name} replaced by certificates.
func readCase(t *testing.T, file string) source.Batch {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expanded := os.Expand(string(text), func(name string) string {
		content, err := os.ReadFile(filepath.Join("..", "..", "test", "golden", "testdata", "pki", name+".pem"))
		if err != nil {
			return "$" + name
		}
		quoted, err := json.Marshal(string(content))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(string(quoted), `"`)
	})
	batch, err := folder.Read("-", strings.NewReader(expanded))
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// outcome is what a batch becomes: resources by digest, and statuses.
func outcome(b source.Batch, now time.Time) map[string]any {
	fleet := base()
	fleet.Gateways = &listener.Hosting{Address: "127.0.0.1"}
	p := New(Options{Fleet: fleet})
	rev := p.Once(b, now)
	out := map[string]any{}
	for fleet, r := range p.Translator().Resources(rev) {
		out[fleet.String()+" "+string(r.Type)+" "+r.Name] = r.Version
	}
	for n, s := range p.Translator().ProxyStatuses.All(rev.Reader()) {
		out["status "+n.String()] = s
	}
	for n, s := range p.Translator().GatewayStatuses.All(rev.Reader()) {
		out["Gateway "+n.String()] = s
	}
	for n, s := range p.Translator().PolicyStatuses.All(rev.Reader()) {
		out["policy "+n.String()] = s
	}
	return out
}
