// Package golden shows what manifests become: each case is a file of manifests
// beside the statuses and Envoy resources that come out. To report a defect,
// write a case; to accept a change, run
//
//	go test ./test/golden -update
//
// and read the difference. ${name} in a case stands for testdata/pki/name.pem
// as one line of YAML in double quotes; in the output for its text.
//
// The output holds the statuses, the problems of documents, and the resources
// that differ from those of no manifests at all, which the case "empty" shows.
package golden

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when the cases are translated.
var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const (
	casesDir     = "testdata/cases"
	goldenSuffix = ".golden.yaml"
	emptyCase    = "empty"
)

func TestGolden(t *testing.T) {
	pki := read(t, "testdata/pki", ".pem")
	files := read(t, casesDir, ".yaml")
	common := resources(t, translate(t, files[emptyCase]))
	cases := 0
	for name, manifests := range files {
		if of, golden := strings.CutSuffix(name, ".golden"); golden {
			if _, ok := files[of]; !ok {
				t.Errorf("%s%s has no case: remove it", of, goldenSuffix)
			}
			continue
		}
		cases++
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(manifests, "# ") {
				t.Error("the case does not begin with a comment that says what it shows")
			}
			if strings.Contains(manifests, "wellKnownCACertificates: System") {
				t.Error("the output would hold the certificates that this machine trusts, which others do not")
			}
			r := translate(t, expand(t, manifests, pki))
			if name != emptyCase {
				leaveOut(t, r, common)
			}
			compare(t, filepath.Join(casesDir, name+goldenSuffix), describe(t, r, pki))
		})
	}
	if cases < 150 {
		t.Errorf("%d cases, want at least 150: were files lost?", cases)
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run with -update and read what it wrote", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want, +got)\n%s", diff)
	}
}

// read returns the files of a folder by name without the suffix.
func read(t *testing.T, dir, suffix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), suffix)] = string(b)
	}
	return out
}

func translate(t *testing.T, manifests string) *report.Report {
	t.Helper()
	r, err := standalone.Translate("-", strings.NewReader(manifests), now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// resources returns the resources of a report by their JSON.
func resources(t *testing.T, r *report.Report) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, list := range r.Resources {
		for i := range list {
			out[marshal(t, list[i])] = true
		}
	}
	return out
}

func leaveOut(t *testing.T, r *report.Report, common map[string]bool) {
	t.Helper()
	for kind, list := range r.Resources {
		list = slices.DeleteFunc(list, func(x report.Resource) bool { return common[marshal(t, x)] })
		if r.Resources[kind] = list; len(list) == 0 {
			delete(r.Resources, kind)
		}
	}
}

// describe writes a report for people: what became of the objects goes first.
func describe(t *testing.T, r *report.Report, pki map[string]string) string {
	t.Helper()
	var out strings.Builder
	if len(r.Statuses) > 0 {
		out.WriteString(section(t, "statuses", r.Statuses, pki))
	}
	if len(r.Problems) > 0 {
		out.WriteString(section(t, "problems", r.Problems, pki))
	}
	if len(r.Resources) > 0 {
		out.WriteString(section(t, "resources", r.Resources, pki))
	}
	return out.String()
}

func section(t *testing.T, key string, content any, pki map[string]string) string {
	t.Helper()
	text := marshal(t, map[string]any{key: content})
	for name, pem := range pki {
		if strings.HasSuffix(name, "-key") && strings.Contains(text, strings.Split(pem, "\n")[1]) {
			t.Errorf("the output holds the private key %s", name)
		}
		text = strings.ReplaceAll(text, quote(t, pem), "${"+name+"}")
	}
	y, err := yaml.JSONToYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(y)
}

// expand puts the PEM text where a case names it.
func expand(t *testing.T, manifests string, pki map[string]string) string {
	t.Helper()
	for name, pem := range pki {
		manifests = strings.ReplaceAll(manifests, "${"+name+"}", quote(t, pem))
	}
	return manifests
}

// quote returns what stands between double quotes in JSON, and so in YAML.
func quote(t *testing.T, s string) string {
	t.Helper()
	return strings.Trim(marshal(t, s), `"`)
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
