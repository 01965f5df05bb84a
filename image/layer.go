package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	oci "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is one entry of an image.
type File struct {
	// Path within the image, absolute.
	Path string
	// Source is a file of this machine; without it Content is the content.
	Source  string
	Content []byte
	// Mode has permission bits, and fs.ModeDir for a folder; zero is 0644.
	Mode fs.FileMode
}

// newLayer lays files into a layer that is read anew from their sources each
// time that it is written.
func newLayer(files []File, created time.Time, compress bool) (oci.Layer, error) {
	entries, err := withFolders(files)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeTar(w, entries, created)) }()
		return r, nil
	}
	if compress {
		layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		return layer, nil
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // a pipe
	digest, size, err := oci.SHA256(r)
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return &plainLayer{open: open, digest: digest, size: size}, nil
}

// withFolders sorts the files by path and puts the folders above them before
// them.
func withFolders(files []File) ([]File, error) {
	entries := map[string]File{}
	for _, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			return nil, fmt.Errorf("file %q: its path must be absolute and clean", f.Path)
		}
		if _, twice := entries[f.Path]; twice {
			return nil, fmt.Errorf("file %s: is there twice", f.Path)
		}
		if f.Mode == 0 {
			f.Mode = 0o644
		}
		entries[f.Path] = f
	}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "/"; dir = path.Dir(dir) {
			if above, ok := entries[dir]; ok && !above.Mode.IsDir() {
				return nil, fmt.Errorf("file %s: %s is a file, not a folder", f.Path, dir)
			} else if !ok {
				entries[dir] = File{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(a, b File) int { return cmp.Compare(a.Path, b.Path) }), nil
}

func writeTar(w io.Writer, entries []File, created time.Time) error {
	t := tar.NewWriter(w)
	for _, f := range entries {
		if err := f.write(t, created); err != nil {
			return fmt.Errorf("file %s: %w", f.Path, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	return nil
}

func (f *File) write(t *tar.Writer, created time.Time) (err error) {
	header := &tar.Header{
		Name: strings.TrimPrefix(f.Path, "/"), Mode: int64(f.Mode.Perm()), ModTime: created, Format: tar.FormatPAX,
	}
	if f.Mode.IsDir() {
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return t.WriteHeader(header) //nolint:wrapcheck // the caller names the file
	}
	header.Typeflag = tar.TypeReg
	var content io.Reader = bytes.NewReader(f.Content)
	header.Size = int64(len(f.Content))
	if f.Source != "" {
		source, err := os.Open(f.Source)
		if err != nil {
			return err //nolint:wrapcheck // it names the source, the caller the file
		}
		defer func() { err = errors.Join(err, source.Close()) }()
		info, err := source.Stat()
		if err != nil {
			return err //nolint:wrapcheck // as above
		}
		content, header.Size = source, info.Size()
	}
	if err := t.WriteHeader(header); err != nil {
		return err //nolint:wrapcheck // the caller names the file
	}
	_, err = io.Copy(t, content)
	return err //nolint:wrapcheck // the caller names the file
}

// plainLayer is a layer that is not compressed: digest and diff ID are one.
type plainLayer struct {
	open   func() (io.ReadCloser, error)
	digest oci.Hash
	size   int64
}

func (l *plainLayer) Digest() (oci.Hash, error)            { return l.digest, nil }
func (l *plainLayer) DiffID() (oci.Hash, error)            { return l.digest, nil }
func (l *plainLayer) Compressed() (io.ReadCloser, error)   { return l.open() }
func (l *plainLayer) Uncompressed() (io.ReadCloser, error) { return l.open() }
func (l *plainLayer) Size() (int64, error)                 { return l.size, nil }
func (l *plainLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
