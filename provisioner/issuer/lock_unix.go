//go:build unix

package issuer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// lockWait bounds the wait for the others: each holds the lock for some
	// milliseconds, seconds while it makes a long RSA key.
	lockWait  = 5 * time.Second
	lockRetry = 10 * time.Millisecond
)

// lock waits for the others, but not for one that hangs.
func lock(ctx context.Context, f *os.File) error {
	limit := time.NewTimer(lockWait)
	defer limit.Stop()
	again := time.NewTicker(lockRetry)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: %w", f.Name(), ctx.Err())
		case <-limit.C:
			return fmt.Errorf("lock %s: another process has held it for %s: end the one that hangs", f.Name(), lockWait)
		case <-again.C:
		}
	}
}
