//go:build unix && !linux

package host

import "syscall"

// envoyAttributes are empty: without parent death signals a supervisor that is
// itself killed leaves its Envoy behind.
func envoyAttributes() *syscall.SysProcAttr { return nil }
