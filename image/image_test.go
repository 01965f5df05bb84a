package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	oci "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// example is an image of a file with content and one from this machine.
func example(t *testing.T) Spec {
	t.Helper()
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, bytes.Repeat([]byte("program\n"), 10_000), 0o700); err != nil {
		t.Fatal(err)
	}
	return Spec{
		Name: "example.com/program:v1", Architecture: "amd64",
		Files: []File{
			{Path: "/usr/bin/program", Source: source, Mode: 0o755},
			{Path: "/etc/passwd", Content: []byte("nonroot:x:65532:65532::/:\n")},
		},
		Entrypoint: []string{"/usr/bin/program"}, User: NonRoot,
	}
}

func write(t *testing.T, platforms ...Spec) (file, digest string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "image.tar")
	digest, err := WriteFile(file, platforms...)
	if err != nil {
		t.Fatal(err)
	}
	return file, digest
}

// TestReproducible writes an image again with what must not matter changed, and
// with what must.
func TestReproducible(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(t *testing.T, s *Spec)
		same   bool
	}{
		"Again":   {"nothing has changed", func(*testing.T, *Spec) {}, true},
		"Order":   {"files are sorted", func(_ *testing.T, s *Spec) { slices.Reverse(s.Files) }, true},
		"Folder":  {"a folder above a file is there anyway", func(_ *testing.T, s *Spec) { s.Files = append(s.Files, File{Path: "/usr", Mode: fs.ModeDir | 0o755}) }, true},
		"Source":  {"where a file is on this machine, its time and mode, are not the image's", otherSource, true},
		"Content": {"what a file holds is", func(_ *testing.T, s *Spec) { s.Files[1].Content = nil }, false},
		"Mode":    {"so is its mode", func(_ *testing.T, s *Spec) { s.Files[1].Mode = 0o600 }, false},
		"User":    {"and who runs it", func(_ *testing.T, s *Spec) { s.User = "0:0" }, false},
		"Created": {"and its date", func(_ *testing.T, s *Spec) { s.Created = time.Unix(1, 0) }, false},
	}
	for name, c := range cases {
		for _, compress := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := example(t)
				s.Compress = compress
				firstFile, first := write(t, s)
				s.Files = slices.Clone(s.Files)
				c.change(t, &s)
				secondFile, second := write(t, s)
				if (first == second) != c.same {
					t.Errorf("%s: digests are %s and %s", c.reason, first, second)
				}
				if c.same && !bytes.Equal(read(t, firstFile), read(t, secondFile)) {
					t.Errorf("%s: the archives differ", c.reason)
				}
			})
		}
	}
}

func otherSource(t *testing.T, s *Spec) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, read(t, s.Files[0].Source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(copied, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	s.Files[0].Source = copied
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestArchive reads archives back by the library's own reader of layouts.
func TestArchive(t *testing.T) {
	arm := example(t)
	arm.Architecture = "arm64"
	compressed := example(t)
	compressed.Compress = true
	cases := map[string]struct {
		reason    string
		platforms []Spec
		want      []string
	}{
		"One":        {"an image", []Spec{example(t)}, []string{"linux/amd64"}},
		"Compressed": {"an image with a compressed layer", []Spec{compressed}, []string{"linux/amd64"}},
		"Two":        {"an index of two platforms", []Spec{example(t), arm}, []string{"linux/amd64", "linux/arm64"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file, digest := write(t, c.platforms...)
			top := unpack(t, file)
			// It takes every layer for a compressed one; unpack checks all digests.
			if c.platforms[0].Compress {
				if err := validate.Index(top); err != nil {
					t.Fatalf("%s: %v", c.reason, err)
				}
			}
			manifest, err := top.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			only := manifest.Manifests[0]
			got := []string{only.Digest.String(), only.Annotations[annotationContainerd], only.Annotations[annotationTag]}
			if diff := cmp.Diff([]string{digest, "example.com/program:v1", "v1"}, got); diff != "" {
				t.Errorf("%s: its entry, -want, +got:\n%s", c.reason, diff)
			}
			var platforms []string
			for _, img := range images(t, top) {
				platforms = append(platforms, check(t, img))
			}
			if diff := cmp.Diff(c.want, platforms); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}

// images are those of an index and of the indexes in it.
func images(t *testing.T, index oci.ImageIndex) (found []oci.Image) {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range manifest.Manifests {
		if d.MediaType.IsIndex() {
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, images(t, inner)...)
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, img)
	}
	return found
}

// check looks into an image of the example and gives its platform.
func check(t *testing.T, img oci.Image) string {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != NonRoot || !slices.Equal(config.Config.Entrypoint, []string{"/usr/bin/program"}) {
		t.Errorf("configuration: %+v", config.Config)
	}
	var files []string
	content := mutate.Extract(img)
	defer func() { _ = content.Close() }()
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, header.FileInfo().Mode().String()+" "+header.Name)
	}
	slices.Sort(files)
	want := []string{"-rw-r--r-- etc/passwd", "-rwxr-xr-x usr/bin/program", "drwxr-xr-x etc", "drwxr-xr-x usr", "drwxr-xr-x usr/bin"}
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], "/")
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files, -want, +got:\n%s", diff)
	}
	return config.OS + "/" + config.Architecture
}

// unpack unpacks an archive and reads it as an OCI image layout.
func unpack(t *testing.T, file string) oci.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	for r := tar.NewReader(bytes.NewReader(read(t, file))); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(content)); strings.HasPrefix(header.Name, "blobs/") && path.Base(header.Name) != sum {
			t.Errorf("%s holds content with the digest %s", header.Name, sum)
		}
		path := filepath.Join(dir, header.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var version map[string]string
	if err := json.Unmarshal(read(t, filepath.Join(dir, "oci-layout")), &version); err != nil || version["imageLayoutVersion"] != "1.0.0" {
		t.Errorf("oci-layout: %v, %v", version, err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		files  []File
		want   string
	}{
		"Relative": {"a path must be absolute", []File{{Path: "etc/x"}}, `"etc/x"`},
		"Unclean":  {"a path must not leave the image", []File{{Path: "/../x"}}, `"/../x"`},
		"Twice":    {"a path names one file", []File{{Path: "/x"}, {Path: "/x"}}, "/x"},
		"Under":    {"a file holds no files", []File{{Path: "/x"}, {Path: "/x/y"}}, "/x is a file"},
		"Missing":  {"a source must be there", []File{{Path: "/x", Source: "/does/not/exist"}}, "/does/not/exist"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "image.tar")
			_, err := WriteFile(file, Spec{Name: "example.com/x:1", Files: c.files})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "example.com/x:1") {
				t.Errorf("%s: the error names neither the image nor what is wrong (%q): %v", c.reason, c.want, err)
			}
			if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 0 {
				t.Errorf("%s: files are left: %v, %v", c.reason, left, err)
			}
		})
	}
}

// TestClosure looks at a program that is linked dynamically wherever there is
// a shell, and at itself if it is static.
func TestClosure(t *testing.T) {
	files, err := Closure("/bin/sh", "/sh")
	if err != nil {
		t.Fatal(err)
	}
	var libc, loader bool
	for _, f := range files {
		libc = libc || strings.Contains(f.Path, "libc.")
		loader = loader || strings.Contains(f.Path, "/ld-")
		if _, err := os.Stat(f.Source); err != nil {
			t.Errorf("source of %s: %v", f.Path, err)
		}
	}
	if !libc || !loader || files[0].Path != "/sh" {
		t.Errorf("/bin/sh needs its loader and a libc, got %v", files)
	}
}

// TestBuild builds a program twice from different folders.
func TestBuild(t *testing.T) {
	var binaries [][]byte
	for range 2 {
		file := filepath.Join(t.TempDir(), "pause")
		b := GoBuild{Module: "..", Packages: []string{"./test/cluster/pause"}}
		if err := b.Build(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if files, err := Closure(file, "/pause"); err != nil || len(files) != 1 {
			t.Errorf("a static program needs nothing, got %v, %v", files, err)
		}
		binaries = append(binaries, read(t, file))
	}
	if !bytes.Equal(binaries[0], binaries[1]) {
		t.Error("two builds of the same source differ")
	}
}

func TestRoots(t *testing.T) {
	if n := bytes.Count(Roots().Content, []byte("BEGIN CERTIFICATE")); n < 50 {
		t.Errorf("%d public roots of trust, want what Mozilla trusts", n)
	}
}
