package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// module is the path of the module that the rules speak of.
const module = "github.com/signetproxy/signet"

// edge is an import that a file would have.
type edge struct {
	reason string
	// file is relative to the module.
	file string
	// imports is an import path; one that starts with a slash is the module's.
	imports string
	// found says whether the rules forbid it.
	found bool
}

func edges() map[string]edge {
	return map[string]edge{
		"TranslatorOperator":       {"translator knows neither", "translator/x.go", "/operator/source", true},
		"TranslatorProvisioner":    {"translator knows neither", "translator/upstream/x.go", "/provisioner/host", true},
		"TranslatorTestOperator":   {"a test is no way around", "translator/x_test.go", "/operator/source", true},
		"TranslatorCommand":        {"commands know the product", "translator/y.go", "/cmd/signet/status", true},
		"TranslatorUpstream":       {"within translator", "translator/z.go", "/translator/upstream", false},
		"IRReason":                 {"ir imports nothing of ours", "translator/ir/x.go", "/translator/reason", true},
		"IRTestItself":             {"an outside test imports what it tests", "translator/ir/x_test.go", "/translator/ir", false},
		"IRKubernetes":             {"no Kubernetes types", "translator/ir/k.go", "k8s.io/api/core/v1", true},
		"IREnvoy":                  {"no Envoy types", "translator/ir/e.go", envoyTypes, true},
		"HTTPProxyGatewayAPI":      {"front ends are strangers", "translator/httpproxy/x.go", "/translator/gatewayapi", true},
		"GatewayAPIHTTPProxy":      {"front ends are strangers", "translator/gatewayapi/x.go", "/translator/httpproxy/include", true},
		"HTTPProxyEnvoy":           {"a front end ends at the IR", "translator/httpproxy/y.go", "/translator/envoy", true},
		"GatewayAPIEnvoy":          {"a front end ends at the IR", "translator/gatewayapi/y.go", "/translator/envoy", true},
		"EnvoyHTTPProxy":           {"resources come from the IR", "translator/envoy/x.go", "/translator/httpproxy/include", true},
		"EnvoyIR":                  {"resources come from the IR", "translator/envoy/y.go", "/translator/ir", false},
		"ProvisionerOperator":      {"provisioner does not know operator", "provisioner/host/x.go", "/operator/xds", true},
		"ProvisionerAPI":           {"what a fleet is asked to be", "provisioner/kubernetes/x.go", "/operator/api/v1alpha1", false},
		"ProvisionerTranslator":    {"both may know translator", "provisioner/host/y.go", "/translator/ir", false},
		"OperatorTranslator":       {"both may know translator", "operator/xds/y.go", "/translator/ir", false},
		"OperatorCommand":          {"commands know the product", "operator/xds/z.go", "/cmd/signet/status", true},
		"EnvoyTypesInTranslator":   {"three packages alone", "translator/upstream/e.go", envoyTypes, true},
		"EnvoyTypesInCommand":      {"three packages alone", "cmd/signet/status/e.go", envoyTypes, true},
		"EnvoyTypesInHost":         {"three packages alone", "provisioner/host/e.go", envoyTypes, true},
		"EnvoyTypesInEnvoy":        {"one of the three", "translator/envoy/e.go", envoyTypes, false},
		"EnvoyTypesInXDS":          {"one of the three", "operator/xds/e.go", envoyTypes, false},
		"EnvoyTypesInBootstrap":    {"one of the three", "provisioner/bootstrap/e.go", envoyTypes, false},
		"EnvoyTypesInTest":         {"tests look at what Envoy got", "operator/source/e_test.go", envoyTypes, false},
		"EnvoyTypesInSuite":        {"suites look at what Envoy got", "test/world/e.go", envoyTypes, false},
		"SoakModel":                {"a model shares nothing with what it judges", "test/soak/model/x.go", "/translator/ir", true},
		"SoakModelTest":            {"its tests make certificates", "test/soak/model/x_test.go", "/test/pki", false},
		"StandardLog":              {"one logger", "operator/source/l.go", "log", true},
		"StandardLogInSuite":       {"net/http's servers want one", "test/backend/l.go", "log", false},
		"StandardStructuredLog":    {"only the package log is meant", "operator/source/s.go", "log/slog", false},
		"PackageErrors":            {"errors are wrapped with %w", "operator/source/p.go", "github.com/pkg/errors", true},
		"AssertionLibrary":         {"cmp.Diff", "operator/source/a_test.go", "github.com/stretchr/testify/require", true},
		"AssertionLibraryInSuites": {"cmp.Diff", "test/world/a_test.go", "github.com/stretchr/testify/require", true},
	}
}

const envoyTypes = "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

// TestArrows holds the imports that docs/architecture.md allows and forbids.
// One run of the linter judges all of them, each in a file of its own.
func TestArrows(t *testing.T) {
	dir := t.TempDir()
	writeModule(t, dir)
	for _, e := range edges() {
		writeImport(t, dir, e)
	}
	found := depguard(t, dir)

	for name, e := range edges() {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(e.found, slices.Contains(found, e.file)); diff != "" {
				t.Errorf("%s: is %q refused in %s? -want, +got:\n%s", e.reason, e.imports, e.file, diff)
			}
		})
	}
}

// writeModule writes an empty module of the product's name, with the
// repository's own rules.
func writeModule(t *testing.T, dir string) {
	t.Helper()
	rules, err := os.ReadFile(filepath.Join("..", "..", ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".golangci.yml", string(rules))
	write(t, dir, "go.mod", fmt.Sprintf("module %s\n\ngo 1.27.0\n", module))
}

// writeImport writes the file of an edge, and an empty package for what it
// imports, so that nothing but the import itself can be found fault with.
func writeImport(t *testing.T, dir string, e edge) {
	t.Helper()
	folder, inside := strings.CutPrefix(e.imports, "/")
	imports := e.imports
	switch {
	case inside:
		imports = module + e.imports
		write(t, dir, folder+"/doc.go", "package "+path.Base(folder)+"\n")
	case strings.Contains(e.imports, "."):
		write(t, dir, "vendor/"+e.imports+"/doc.go", "package stub\n")
	}
	name := path.Base(path.Dir(e.file))
	if strings.HasSuffix(e.file, "_test.go") {
		name += "_test"
	} else {
		write(t, dir, path.Dir(e.file)+"/doc.go", "package "+name+"\n")
	}
	write(t, dir, e.file, fmt.Sprintf("package %s\n\nimport _ %q\n", name, imports))
}

func write(t *testing.T, dir, file, content string) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// depguard runs the linter in dir and gives the files it finds fault with.
func depguard(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), linter(t), "run", "--enable-only=depguard", "--show-stats=false",
		"--output.text.path=stderr", "--output.json.path=stdout", "./...")
	cmd.Dir = dir
	// Its cache would otherwise remember folders that are gone.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=vendor", "GOWORK=off", "GOLANGCI_LINT_CACHE="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("golangci-lint: %v\n%s", err, &stderr)
	}
	var report struct {
		Issues []struct {
			FromLinter string
			Text       string
			Pos        struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("golangci-lint's report: %v\n%s\n%s", err, out, &stderr)
	}
	files := make([]string, 0, len(report.Issues))
	for _, issue := range report.Issues {
		if issue.FromLinter != "depguard" {
			t.Fatalf("%s: %s: %s", issue.Pos.Filename, issue.FromLinter, issue.Text)
		}
		files = append(files, issue.Pos.Filename)
	}
	return files
}

// linter finds golangci-lint where make puts it and says so to its children,
// else in the cache folder. Without it the rules are unproven: the test fails.
func linter(t *testing.T) string {
	t.Helper()
	if file := os.Getenv("SIGNET_GOLANGCI_LINT"); file != "" {
		return file
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	pattern := filepath.Join(cache, "signet", "tools", "golangci-lint-*", "golangci-lint")
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("golangci-lint is not in SIGNET_GOLANGCI_LINT nor at %s: run make tool-golangci-lint", pattern)
	}
	return slices.Max(files)
}
