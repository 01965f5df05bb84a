package host

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Envoy has no release for this system, so there is nothing to run.
func supervisorAttributes() *syscall.SysProcAttr { return nil }

func envoyAttributes() *syscall.SysProcAttr { return nil }

func closeOnExec(uintptr) {}

func tryLock(*os.File) error { return errors.ErrUnsupported }

func ownedByUs(fs.FileInfo) bool { return false }
