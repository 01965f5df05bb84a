package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	oci "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Annotations by which an image of an archive gets its name: containerd's own,
// and the tag alone of the OCI image layout specification.
const (
	annotationContainerd = "io.containerd.image.name"
	annotationTag        = "org.opencontainers.image.ref.name"
)

// WriteFile writes an image of one or more platforms as an OCI image layout in
// a tar archive, whole or not at all, and gives the digest that the image is
// known by: that of its manifest, or of its index where there are several
// platforms. All specs must have the same name.
func WriteFile(file string, platforms ...Spec) (digest string, err error) {
	top, err := index(platforms)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // for others to read
		return "", fmt.Errorf("image archive: %w", err)
	}
	out, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return "", fmt.Errorf("image archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Close(), os.Remove(out.Name()))
		}
	}()
	if err := writeArchive(out, top); err != nil {
		return "", fmt.Errorf("image archive %s: %w", file, err)
	}
	if err := errors.Join(out.Chmod(0o644), out.Close(), os.Rename(out.Name(), file)); err != nil {
		return "", fmt.Errorf("image archive: %w", err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		return "", fmt.Errorf("image archive: %w", err)
	}
	return manifest.Manifests[0].Digest.String(), nil
}

// index is the archive's index.json: one entry, which bears the name.
func index(platforms []Spec) (oci.ImageIndex, error) {
	if len(platforms) == 0 {
		return nil, errors.New("image archive: there is no image to write")
	}
	adds := make([]mutate.IndexAddendum, 0, len(platforms))
	for i := range platforms {
		s := &platforms[i]
		if s.Name != platforms[0].Name {
			return nil, fmt.Errorf("image archive: one image has one name, found %s and %s", platforms[0].Name, s.Name)
		}
		img, err := s.build()
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Platform: s.platform()})
	}
	layout := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	only := adds[0]
	if len(adds) > 1 {
		only = mutate.IndexAddendum{Add: mutate.AppendManifests(layout, adds...)}
	}
	only.Annotations = map[string]string{
		annotationContainerd: platforms[0].Name,
		annotationTag:        platforms[0].Name[strings.LastIndex(platforms[0].Name, ":")+1:],
	}
	return mutate.AppendManifests(layout, only), nil
}

// writeArchive writes index.json, oci-layout and every blob that they lead to.
func writeArchive(w io.Writer, top oci.ImageIndex) error {
	a := &archive{tar: tar.NewWriter(w), written: map[oci.Hash]bool{}}
	layout, err := json.Marshal(map[string]string{"imageLayoutVersion": "1.0.0"})
	if err != nil {
		return fmt.Errorf("oci-layout: %w", err)
	}
	raw, err := top.RawManifest()
	if err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	return errors.Join(
		a.bytes("oci-layout", layout),
		a.bytes("index.json", raw),
		a.children(top),
		a.tar.Close(),
	)
}

type archive struct {
	tar     *tar.Writer
	written map[oci.Hash]bool
}

func (a *archive) children(index oci.ImageIndex) error {
	children, err := partial.Manifests(index)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	for _, child := range children {
		switch child := child.(type) {
		case oci.ImageIndex:
			err = errors.Join(a.manifest(child), a.children(child))
		case oci.Image:
			err = errors.Join(a.manifest(child), a.image(child))
		default:
			err = fmt.Errorf("index: %T is neither an image nor an index", child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) image(img oci.Image) error {
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return fmt.Errorf("layers: %w", err)
	}
	for _, l := range append([]oci.Layer{config}, layers...) {
		if err := a.layer(l); err != nil {
			return err
		}
	}
	return nil
}

// manifested is an image or an index.
type manifested interface {
	Digest() (oci.Hash, error)
	RawManifest() ([]byte, error)
}

func (a *archive) manifest(m manifested) error {
	digest, err := m.Digest()
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	raw, err := m.RawManifest()
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return a.blob(digest, int64(len(raw)), bytes.NewReader(raw))
}

func (a *archive) layer(l oci.Layer) (err error) {
	digest, err := l.Digest()
	if err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	size, err := l.Size()
	if err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	content, err := l.Compressed()
	if err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	return a.blob(digest, size, content)
}

// blob writes a blob once. What is written is what was hashed: a source that
// changed in between is found.
func (a *archive) blob(digest oci.Hash, size int64, content io.Reader) error {
	if a.written[digest] {
		return nil
	}
	a.written[digest] = true
	if err := a.header(path.Join("blobs", digest.Algorithm, digest.Hex), size); err != nil {
		return err
	}
	got, _, err := oci.SHA256(io.TeeReader(content, a.tar))
	if err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	if got != digest {
		return fmt.Errorf("blob %s: a file of the image changed while it was written", digest)
	}
	return nil
}

func (a *archive) bytes(name string, content []byte) error {
	if err := a.header(name, int64(len(content))); err != nil {
		return err
	}
	if _, err := a.tar.Write(content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (a *archive) header(name string, size int64) error {
	err := a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
