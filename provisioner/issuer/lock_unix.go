//go:build unix

package issuer

import (
	"fmt"
	"os"
	"syscall"
)

// lock waits for the others: each holds it for some milliseconds.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
