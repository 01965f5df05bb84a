package folder

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/manifest"
)

// sizeLimit is the most that is read of a file, in bytes: a log or an image
// that is called .json must not take all memory.
const sizeLimit = 64 << 20

// reading is what one look at a file gave.
type reading struct {
	path string
	// same is set when the file is as it was; gone, when it is not there.
	same, gone bool
	// stamp is of the file when reading began; zero if it could not be read.
	stamp  stamp
	digest [sha256.Size]byte
	file   manifest.File
}

// readAll reads files, on all processors when they are many.
func (f *folder) readAll(paths []string) []reading {
	out := make([]reading, len(paths))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)-1) {
		workers.Go(func() {
			for i := range next {
				out[i] = f.read(paths[i])
			}
		})
	}
	for i, path := range paths {
		select {
		case next <- i:
		default:
			out[i] = f.read(path)
		}
	}
	close(next)
	workers.Wait()
	return out
}

func (f *folder) read(path string) reading {
	text, stamp, err := f.contents(filepath.Join(f.root, path))
	if err == nil {
		r := f.parse(path, text)
		r.stamp = stamp
		return r
	}
	if errors.Is(err, fs.ErrNotExist) && f.tree != nil && !f.tree.isLink(path) {
		return reading{path: path, gone: true}
	}
	problem := source.Problem{Message: "cannot be read: " + reason(err), Severity: source.Error}
	return reading{path: path, stamp: stamp, file: manifest.File{Broken: true, Problems: []source.Problem{problem}}}
}

// contents are those of a file, and what it was before they were read. One that
// is too large has no need to be tried again before it changes.
func contents(path string) ([]byte, stamp, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, err //nolint:wrapcheck // it names the path
	}
	defer func() { _ = file.Close() }() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return nil, stamp{}, err //nolint:wrapcheck // it names the path
	}
	if info.Size() > sizeLimit {
		return nil, stampOf(info), tooLarge(info.Size())
	}
	text := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	if _, err := text.ReadFrom(io.LimitReader(file, sizeLimit+1)); err != nil {
		return nil, stamp{}, err //nolint:wrapcheck // it names the path
	}
	if text.Len() > sizeLimit {
		return nil, stampOf(info), tooLarge(int64(text.Len())) // it has grown, or has no size of its own
	}
	return text.Bytes(), stampOf(info), nil
}

func tooLarge(size int64) error {
	return fmt.Errorf("it has %d bytes, and at most %d (64 MiB) are read: split it", size, sizeLimit)
}

func (f *folder) parse(path string, text []byte) reading {
	digest := sha256.Sum256(text)
	if f.store.has(path, digest) {
		return reading{path: path, same: true}
	}
	return reading{path: path, digest: digest, file: f.decoder.Parse(text)}
}
