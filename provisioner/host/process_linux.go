package host

import "syscall"

// envoyAttributes let the kernel kill Envoy when the supervisor's thread ends,
// however it ends.
func envoyAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
