package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// A run's folder is born under the first prefix and gets the second one when
// its lock is held, so that whoever sweeps never sees a live folder unlocked.
const (
	bornPrefix = "signet-new-"
	livePrefix = "signet-run-"
	lockName   = "lock"

	// A folder is born in milliseconds; one that is this old never will be.
	birthTimeout = time.Hour
)

// ErrFolder says that a run's folder is not what it should be.
var ErrFolder = errors.New("runtime folder")

// folder is the private folder of one run: mode 0700, and a lock that is held
// as long as this process or its supervisor lives.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes a folder in parent, after removing those that nobody holds.
func openFolder(parent string, log logr.Logger) (*folder, error) {
	if parent == "" {
		if parent = os.Getenv("XDG_RUNTIME_DIR"); parent == "" {
			parent = os.TempDir()
		}
	}
	parent, err := filepath.Abs(parent)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	sweep(parent, log)
	born, err := os.MkdirTemp(parent, bornPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	f, err := raise(born)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrFolder, err), os.RemoveAll(born))
	}
	return f, nil
}

func raise(born string) (*folder, error) {
	lock, err := os.OpenFile(filepath.Join(born, lockName), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the lock: %w", err)
	}
	live := filepath.Join(filepath.Dir(born), livePrefix+strings.TrimPrefix(filepath.Base(born), bornPrefix))
	err = tryLock(lock)
	if err == nil {
		err = os.Rename(born, live)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &folder{path: live, lock: lock}, nil
}

// sweep removes the folders of runs of this user that ended without a chance
// to do so. It is best effort: what it cannot remove it names.
func sweep(parent string, log logr.Logger) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // the caller's attempt to make a folder says why
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if !e.IsDir() || !stale(path, e) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			log.Error(err, "cannot remove the folder of a run that was killed: remove it by hand", "folder", path)
			continue
		}
		log.Info("removed the folder of a run that was killed", "folder", path)
	}
}

func stale(path string, e fs.DirEntry) bool {
	info, err := e.Info()
	if err != nil || !ownedByUs(info) {
		return false
	}
	if strings.HasPrefix(e.Name(), bornPrefix) {
		return time.Since(info.ModTime()) > birthTimeout
	}
	if !strings.HasPrefix(e.Name(), livePrefix) {
		return false
	}
	lock, err := os.Open(filepath.Join(path, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return true // half removed
	}
	if err != nil {
		return false
	}
	held := tryLock(lock) != nil
	return lock.Close() == nil && !held
}

// write replaces a file by a rename, which is what Envoy watches for.
func (f *folder) write(name string, content []byte) error {
	temp, err := os.CreateTemp(f.path, ".new-") // mode 0600
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), f.file(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: write %s: %w", ErrFolder, name, err), os.Remove(temp.Name()))
	}
	return nil
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// remove ends the folder. It is no error when the supervisor was faster.
func (f *folder) remove() error {
	return errors.Join(os.RemoveAll(f.path), f.lock.Close())
}

// checkFolder returns nil when path is a run's folder and lock its lock: the
// supervisor removes nothing else.
func checkFolder(path string, lock *os.File) error {
	if !strings.HasPrefix(filepath.Base(path), livePrefix) || !filepath.IsAbs(path) {
		return fmt.Errorf("%w: %q does not look like one", ErrFolder, path)
	}
	held, err := lock.Stat()
	if err != nil {
		return fmt.Errorf("%w: lock: %w", ErrFolder, err)
	}
	there, err := os.Lstat(filepath.Join(path, lockName))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if !os.SameFile(held, there) {
		return fmt.Errorf("%w: %q is not locked by the parent", ErrFolder, path)
	}
	return nil
}
