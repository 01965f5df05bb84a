package validate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
)

// now is when everything is translated: the certificates of the golden cases
// are valid then.
var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const golden = "../golden/testdata"

// translation is a pipeline that serves nobody.
type translation struct {
	pipeline *pipeline.Pipeline
	revision *graph.Revision
	problems []source.Problem
}

// newTranslation makes one whose listeners have ports of their own: Envoy takes
// no address twice.
func newTranslation(number int) *translation {
	return &translation{pipeline: pipeline.New(pipeline.Options{
		Fleet: standalone.FleetSpec("127.0.0.1", 1000+2*number, 1001+2*number),
	})}
}

func (tr *translation) commit(b source.Batch) {
	tr.revision, tr.problems = tr.pipeline.Once(b, now), b.Problems
}

func (tr *translation) commitText(tb testing.TB, manifests []byte) {
	tb.Helper()
	b, err := folder.Read(folder.Stdin, bytes.NewReader(manifests))
	if err != nil {
		tb.Fatal(err)
	}
	tr.commit(b)
}

func (tr *translation) resources() []*envoy.Resource {
	var out []*envoy.Resource
	for _, r := range tr.pipeline.Translator().Resources(tr.revision) {
		out = append(out, r)
	}
	return out
}

// report is what `signet translate` prints.
func (tr *translation) report(tb testing.TB) *report.Report {
	tb.Helper()
	t := tr.pipeline.Translator()
	b := report.Builder{Translator: t, Fleets: tr.pipeline.Fleets()}
	r := b.Build(tr.revision)
	r.AddProblems(tr.problems)
	if err := b.AddResources(r, t.Resources(tr.revision)); err != nil {
		tb.Fatal(err)
	}
	return r
}

func envoyPath(tb testing.TB) string {
	tb.Helper()
	path, err := host.Find("")
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// goldenCases are the manifests of the golden cases by name, with ${...} for
// the files of [goldenPKI].
func goldenCases(tb testing.TB) map[string]string {
	tb.Helper()
	out := read(tb, filepath.Join(golden, "cases"), ".yaml")
	for name := range out {
		if strings.HasSuffix(name, ".golden") {
			delete(out, name)
		}
	}
	if len(out) < 150 {
		tb.Fatalf("%d golden cases: where are the others?", len(out))
	}
	return out
}

func goldenPKI(tb testing.TB) *strings.Replacer {
	tb.Helper()
	var pairs []string
	for name, text := range read(tb, filepath.Join(golden, "pki"), ".pem") {
		pairs = append(pairs, "${"+name+"}", quote(tb, text))
	}
	return strings.NewReplacer(pairs...)
}

// quote returns what stands between double quotes in JSON, and so in YAML.
func quote(tb testing.TB, s string) string {
	tb.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Trim(string(b), `"`)
}

// read returns the files of a folder by name without the suffix.
func read(tb testing.TB, dir, suffix string) map[string]string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), suffix)] = string(b)
	}
	return out
}
