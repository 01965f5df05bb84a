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

const (
	// A folder may be watched for several reasons: none takes from another's.
	namesMask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_ONLYDIR |
		unix.IN_MASK_ADD
	everythingMask = namesMask | unix.IN_CLOSE_WRITE | unix.IN_MODIFY | unix.IN_EXCL_UNLINK
)

// inotify is the kernel's interface itself: it tells when a writer closes a
// file, which the portable one does not, so that no half of a file is read.
type inotify struct {
	fd     int
	file   *os.File
	buffer [64 << 10]byte
	// paths by watch, each with how often it was added, and the reverse.
	paths map[int32][]added
	watch map[string]int32

	interrupted atomic.Bool
}

// added is a path of a watch. Many links may lead to one folder, most by the
// same path.
type added struct {
	path  string
	times int
}

var errInterrupted = errors.New("interrupted")

func newWatcher() (watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w (the limit is fs.inotify.max_user_instances)", err)
	}
	return &inotify{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), paths: map[int32][]added{}, watch: map[string]int32{}}, nil
}

func (w *inotify) add(path string, what interest) error {
	mask := uint32(everythingMask)
	if what == namesAlone {
		mask = namesMask
	}
	n, err := unix.InotifyAddWatch(w.fd, path, mask)
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("too many folders are watched: raise fs.inotify.max_user_watches: %w", err)
	}
	if err != nil {
		return err //nolint:wrapcheck // the caller names the path
	}
	id := int32(n) //nolint:gosec // the kernel's watch descriptors are 32 bits
	times := 1
	if old, ok := w.watch[path]; ok && old != id {
		times += w.change(old, path, 0) // another folder is there now
	}
	w.change(id, path, times)
	w.watch[path] = id
	return nil
}

// change counts a path of a watch by so much, or down to nothing if that is
// nothing, and returns how often it was added before.
func (w *inotify) change(id int32, path string, by int) (before int) {
	paths := w.paths[id]
	i := slices.IndexFunc(paths, func(a added) bool { return a.path == path })
	if i < 0 {
		i, paths = len(paths), append(paths, added{path: path})
	}
	before = paths[i].times
	if paths[i].times += by; by == 0 || paths[i].times <= 0 {
		paths = slices.Delete(paths, i, i+1)
	}
	w.keep(id, paths)
	return before
}

// keep ends a watch that nobody wants.
func (w *inotify) keep(id int32, paths []added) {
	w.paths[id] = paths
	if len(paths) == 0 {
		delete(w.paths, id)
		// It fails if the folder is gone, and the watch with it.
		_, _ = unix.InotifyRmWatch(w.fd, uint32(id)) //nolint:gosec // see add
	}
}

func (w *inotify) remove(path string) {
	if id, ok := w.watch[path]; ok && w.change(id, path, -1) <= 1 {
		delete(w.watch, path)
	}
}

func (w *inotify) next(wait time.Duration) ([]event, error) {
	_ = w.file.SetReadDeadline(time.Now().Add(wait)) // it fails with the read
	if w.interrupted.Load() {
		return nil, errInterrupted
	}
	n, err := w.read(wait)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return w.events(n), nil
}

// brief are the waits that are left to the kernel. The runtime's own end at
// whole milliseconds, and may take one more.
const brief = 2 * time.Millisecond

// read fails with EAGAIN if nothing has happened while it waits.
func (w *inotify) read(wait time.Duration) (int, error) {
	if 0 < wait && wait <= brief {
		timeout := unix.NsecToTimespec(int64(wait))
		// Should it fail, the read says why.
		_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, &timeout, nil) //nolint:gosec // a descriptor
		return unix.Read(w.fd, w.buffer[:])                                                     //nolint:wrapcheck // next does
	}
	n, err := w.file.Read(w.buffer[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// What is pending all the same is not left for later.
		return unix.Read(w.fd, w.buffer[:]) //nolint:wrapcheck // next does
	}
	return n, err //nolint:wrapcheck // next does
}

// events are those in the first bytes of the buffer.
func (w *inotify) events(n int) []event {
	var out []event
	for rest := w.buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		id := int32(binary.NativeEndian.Uint32(rest)) //nolint:gosec // see add
		mask, size := binary.NativeEndian.Uint32(rest[4:]), binary.NativeEndian.Uint32(rest[12:])
		end := unix.SizeofInotifyEvent + int(size)
		name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
		out = w.append(out, id, mask, name)
		rest = rest[end:]
	}
	return out
}

func (w *inotify) append(out []event, id int32, mask uint32, name string) []event {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return append(out, event{kind: overflowed})
	}
	if mask&unix.IN_IGNORED != 0 {
		// The folder itself is gone. Another may have got its inode since.
		for _, a := range w.paths[id] {
			out = append(out, event{a.path, lapsed})
		}
		return out
	}
	kind, ok := kindOf(mask)
	if !ok || name == "" {
		return out
	}
	for _, a := range w.paths[id] {
		if e := (event{filepath.Join(a.path, name), kind}); !isRepeated(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// isRepeated tells whether the last event of a path was the same, as far as the
// last few say.
func isRepeated(before []event, e event) bool {
	for i := len(before) - 1; i >= max(0, len(before)-4); i-- {
		if before[i].path == e.path {
			return before[i].kind == e.kind
		}
	}
	return false
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
	case mask&unix.IN_MODIFY != 0:
		return modified, true
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
		return identity{stat.Dev, stat.Ino}
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
