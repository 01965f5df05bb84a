package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	folderMode  fs.FileMode = 0o700
	privateMode fs.FileMode = 0o600
	publicMode  fs.FileMode = 0o644

	lockFile = "lock"
)

// ErrFolder says that the folder, or a file of it, is not what it should be.
var ErrFolder = errors.New("folder of issued certificates")

// folder is locked from open to close.
type folder struct {
	path string
	put  putter
	lock *os.File // nil if there can be none
	// problem is why nothing can be written, or nil.
	problem error
}

// putter writes a file as a whole.
type putter func(folder, name string, content []byte, mode fs.FileMode) error

// open locks a folder and makes it private. One in which that cannot be done, as on
// a disk that is read-only, can be read all the same: files are replaced as a whole.
func open(ctx context.Context, path string, put putter) (*folder, error) {
	if path == "" {
		return nil, fmt.Errorf("%w: no folder is given", ErrFolder)
	}
	if err := os.MkdirAll(path, folderMode); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	f := &folder{path: path, put: put}
	// It may have been made by another hand.
	if err := os.Chmod(path, folderMode); err != nil {
		f.problem = fmt.Errorf("%w: %w", ErrFolder, err)
		return f, nil
	}
	var err error
	if f.lock, err = os.OpenFile(f.file(lockFile), os.O_CREATE|os.O_RDWR, privateMode); err != nil {
		f.problem = fmt.Errorf("%w: %w", ErrFolder, err)
		return f, nil
	}
	if err := lock(ctx, f.lock); err != nil {
		f.problem = fmt.Errorf("%w: %w", ErrFolder, err)
	}
	return f, nil
}

// close lets others in and returns what went wrong before, or now.
func (f *folder) close(before error) error {
	if f.lock == nil {
		return before
	}
	if err := f.lock.Close(); err != nil {
		return errors.Join(before, fmt.Errorf("%w: %w", ErrFolder, err))
	}
	return before
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// text returns a file; nil for one that does not exist.
func (f *folder) text(name string) ([]byte, error) {
	b, err := os.ReadFile(f.file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	return b, nil
}

// read returns what write wrote; nil for a file that does not exist.
func (f *folder) read(name string) (map[string][]byte, error) {
	b, err := f.text(name)
	if err != nil || b == nil {
		return nil, err
	}
	var out map[string][]byte
	if err := json.Unmarshal(b, &out); err != nil {
		// The error of a decoder may quote what it reads: a private key.
		return nil, fmt.Errorf("%w: %s is not JSON of PEM documents: restore it, or remove it to begin anew", ErrFolder, f.file(name))
	}
	return out, nil
}

func (f *folder) write(name string, data map[string][]byte) error {
	b, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFolder, name, err)
	}
	return f.replace(name, append(b, '\n'), privateMode)
}

// replace writes a file, unless the folder cannot be written.
func (f *folder) replace(name string, content []byte, mode fs.FileMode) error {
	if f.problem != nil {
		return fmt.Errorf("write %s: %w", name, f.problem)
	}
	return f.put(f.path, name, content, mode)
}

// replace writes a file as a whole, and onto the disk: an authority that is lost
// is trusted by backends all the same.
func replace(folder, name string, content []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(folder, ".new-") // mode 0600
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: write %s: %w", ErrFolder, name, err), os.Remove(temp.Name()))
	}
	return nil
}
