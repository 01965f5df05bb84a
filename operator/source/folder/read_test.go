package folder_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
)

func configMap(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {value: \"" + value + "\"}\n"
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func names(b source.Batch) []string {
	var out []string
	for _, o := range b.Changed {
		out = append(out, source.KeyOf(o).String())
	}
	return out
}

func problems(b source.Batch) []string {
	var out []string
	for _, p := range b.Problems {
		out = append(out, p.String())
	}
	return out
}

func TestRead(t *testing.T) {
	cases := map[string]struct {
		reason       string
		files        map[string]string
		wantObjects  []string
		wantProblems []string
	}{
		"sub-folders and suffixes": {
			reason: "every manifest below the folder is read, whatever its suffix",
			files: map[string]string{
				"a.yaml": configMap("a", "x"), "sub/b.yml": configMap("b", "x"),
				"sub/deep/c.json": `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}`,
			},
			wantObjects: []string{"ConfigMap default/a", "ConfigMap default/b", "ConfigMap default/c"},
		},
		"ignored files": {
			reason: "hidden files, editors' copies, other suffixes and comments are not manifests",
			files: map[string]string{
				".a.yaml": "x: [", "a.yaml~": "x: [", "#a.yaml": "x: [", ".a.yaml.swp": "x: [", "README.md": "x: [",
				".git/a.yaml": "x: [", "c.yaml": "# only a comment\n---\n# and another\n",
			},
		},
		"the same object twice": {
			reason:      "the first file by path wins; the second is a problem that names both",
			files:       map[string]string{"a.yaml": configMap("a", "first"), "b.yaml": "\n" + configMap("a", "second")},
			wantObjects: []string{"ConfigMap default/a"},
			wantProblems: []string{
				"b.yaml:2: ConfigMap default/a: stated already at a.yaml:1, which is used: remove one of them",
			},
		},
		"the same object twice in one file": {
			reason:      "the first document wins",
			files:       map[string]string{"a.yaml": configMap("a", "first") + "---\n" + configMap("a", "second")},
			wantObjects: []string{"ConfigMap default/a"},
			wantProblems: []string{
				"a.yaml:6: ConfigMap default/a: stated already at a.yaml:1, which is used: remove one of them",
			},
		},
		"one broken file": {
			reason:       "a file that cannot be parsed harms no other; the line is the file's, not the document's",
			files:        map[string]string{"a.yaml": configMap("a", "x"), "b.yaml": configMap("b", "x") + "---\nkind: [\n"},
			wantObjects:  []string{"ConfigMap default/a"},
			wantProblems: []string{"b.yaml:6: did not find expected node content"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tc.files)
			b, err := folder.Read(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.wantObjects, names(b)); diff != "" {
				t.Errorf("%s: objects (-want, +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.wantProblems, problems(b)); diff != "" {
				t.Errorf("%s: problems (-want, +got):\n%s", tc.reason, diff)
			}
			if !b.Complete {
				t.Error("a folder read once is complete")
			}
		})
	}
}

func TestReadOthers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": configMap("a", "x"), "b.yaml": configMap("b", "x")})
	if b, err := folder.Read(filepath.Join(dir, "b.yaml"), nil); err != nil || cmp.Diff([]string{"ConfigMap default/b"}, names(b)) != "" {
		t.Errorf("one file: got %v, %v", names(b), err)
	}
	if b, err := folder.Read(folder.Stdin, strings.NewReader(configMap("c", "x"))); err != nil || cmp.Diff([]string{"ConfigMap default/c"}, names(b)) != "" {
		t.Errorf("standard input: got %v, %v", names(b), err)
	}
	if _, err := folder.Read(filepath.Join(dir, "missing"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: got %v, want fs.ErrNotExist", err)
	}
}

func TestReadTooLarge(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": configMap("a", "x"), "b.json": ""})
	if err := os.Truncate(filepath.Join(dir, "b.json"), 64<<20+1); err != nil {
		t.Fatal(err)
	}
	b, err := folder.Read(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"b.json: cannot be read: it has 67108865 bytes, and at most 67108864 (64 MiB) are read: split it"}
	if diff := cmp.Diff(want, problems(b)); diff != "" {
		t.Errorf("problems (-want, +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ConfigMap default/a"}, names(b)); diff != "" {
		t.Errorf("objects (-want, +got):\n%s", diff)
	}
}
