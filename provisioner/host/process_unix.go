//go:build unix

package host

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// supervisorAttributes give the supervisor and Envoy a process group of their
// own, so that Ctrl-C in a terminal reaches their parent alone, which then ends
// them in order.
func supervisorAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func closeOnExec(fd uintptr) { syscall.CloseOnExec(int(fd)) }

// tryLock takes a lock that belongs to the open file, wherever it is inherited,
// and fails when another holds it.
func tryLock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
