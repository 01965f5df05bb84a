package folder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const inotifyMask = unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
	unix.IN_ATTRIB | unix.IN_ONLYDIR

// inotify is the kernel's interface itself: it tells when a writer closes a
// file, which the portable one does not, so that no half of a file is read.
type inotify struct {
	fd     int
	file   *os.File
	buffer [64 << 10]byte
	// paths by watch, each as often as it was added, and the reverse.
	paths map[int32][]string
	watch map[string]int32

	interrupted atomic.Bool
}

var errInterrupted = errors.New("interrupted")

func newWatcher() (watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w (the limit is fs.inotify.max_user_instances)", err)
	}
	return &inotify{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), paths: map[int32][]string{}, watch: map[string]int32{}}, nil
}

func (w *inotify) add(path string) error {
	n, err := unix.InotifyAddWatch(w.fd, path, inotifyMask)
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("too many folders are watched: raise fs.inotify.max_user_watches: %w", err)
	}
	if err != nil {
		return err //nolint:wrapcheck // the caller names the path
	}
	id := int32(n) //nolint:gosec // the kernel's watch descriptors are 32 bits
	if old, ok := w.watch[path]; ok && old != id {
		w.paths[id] = append(w.paths[id], w.drop(old, path)...) // another folder is there now
	}
	w.paths[id] = append(w.paths[id], path)
	w.watch[path] = id
	return nil
}

// drop removes all mentions of a path from a watch and returns them.
func (w *inotify) drop(id int32, path string) []string {
	var dropped, kept []string
	for _, p := range w.paths[id] {
		if p == path {
			dropped = append(dropped, p)
		} else {
			kept = append(kept, p)
		}
	}
	w.keep(id, kept)
	return dropped
}

// keep ends a watch that nobody wants.
func (w *inotify) keep(id int32, paths []string) {
	w.paths[id] = paths
	if len(paths) == 0 {
		delete(w.paths, id)
		// It fails if the folder is gone, and the watch with it.
		_, _ = unix.InotifyRmWatch(w.fd, uint32(id)) //nolint:gosec // see add
	}
}

func (w *inotify) remove(path string) {
	id, ok := w.watch[path]
	if !ok {
		return
	}
	paths := w.paths[id]
	if i := slices.Index(paths, path); i >= 0 {
		paths = slices.Delete(paths, i, i+1)
	}
	if !slices.Contains(paths, path) {
		delete(w.watch, path)
	}
	w.keep(id, paths)
}

func (w *inotify) next(wait time.Duration) ([]event, error) {
	_ = w.file.SetReadDeadline(time.Now().Add(wait)) // it fails with the read
	if w.interrupted.Load() {
		return nil, errInterrupted
	}
	n, err := w.file.Read(w.buffer[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// What is pending all the same is not left for later.
		if n, err = unix.Read(w.fd, w.buffer[:]); errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	var out []event
	for rest := w.buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		id := int32(binary.NativeEndian.Uint32(rest)) //nolint:gosec // see add
		mask, size := binary.NativeEndian.Uint32(rest[4:]), binary.NativeEndian.Uint32(rest[12:])
		end := unix.SizeofInotifyEvent + int(size)
		name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
		out = w.append(out, id, mask, name)
		rest = rest[end:]
	}
	return out, nil
}

func (w *inotify) append(out []event, id int32, mask uint32, name string) []event {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return append(out, event{kind: overflowed})
	}
	if mask&unix.IN_IGNORED != 0 {
		// The folder itself is gone. Another may have got its inode since.
		for _, dir := range w.paths[id] {
			out = append(out, event{dir, lapsed})
		}
		return out
	}
	kind, ok := kindOf(mask)
	if !ok || name == "" {
		return out
	}
	for _, dir := range w.paths[id] {
		if e := (event{filepath.Join(dir, name), kind}); !slices.Contains(out[max(0, len(out)-4):], e) {
			out = append(out, e)
		}
	}
	return out
}

func kindOf(mask uint32) (eventKind, bool) {
	switch {
	case mask&unix.IN_CLOSE_WRITE != 0:
		return written, true
	case mask&unix.IN_MOVED_TO != 0:
		return moved, true
	case mask&unix.IN_CREATE != 0:
		return created, true
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		return removed, true
	case mask&unix.IN_ATTRIB != 0:
		return touched, true
	default:
		return 0, false
	}
}

// interrupt leaves the descriptor open: its number must not become another's
// while it is in use.
func (w *inotify) interrupt() {
	w.interrupted.Store(true) // first: next looks at it after it has set its own deadline
	_ = w.file.SetReadDeadline(time.Unix(1, 0))
}

func (w *inotify) close() { _ = w.file.Close() }

// isHardLink tells whether a file has other names: a new name then means no
// writer.
func isHardLink(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

// identity tells one file or folder from another that has its name.
type identity struct{ device, inode uint64 }

func identityOf(info fs.FileInfo) identity {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(stat.Dev), stat.Ino} //nolint:unconvert // its width differs by platform
	}
	return identity{}
}

// stamp differs when what a file says may differ.
type stamp struct {
	identity

	size              int64
	modified, changed int64 // in nanoseconds; a writer may set the former
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{identity: identityOf(info), size: info.Size(), modified: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.changed = stat.Ctim.Nano()
	}
	return s
}
