package reason

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// constants returns the package's string constants of a type, by name, from
// its source: a constant that is added is tested without a list to maintain.
func constants(t *testing.T, kind string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				collect(t, out, spec, kind)
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("no constant of type %s", kind)
	}
	return out
}

func collect(t *testing.T, out map[string]string, spec *ast.ValueSpec, kind string) {
	t.Helper()
	id, ok := spec.Type.(*ast.Ident)
	if !ok || id.Name != kind {
		return
	}
	for i, name := range spec.Names {
		lit, ok := spec.Values[i].(*ast.BasicLit)
		if !ok {
			continue // a sum of literals is a long message
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatalf("%s: %v", name.Name, err)
		}
		out[name.Name] = value
	}
}
