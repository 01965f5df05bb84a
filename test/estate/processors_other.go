//go:build !linux

package estate

import "os/exec"

// Processors are those of this process and those of what it measures.
type Processors struct{}

// Divide divides nothing here.
func Divide() (*Processors, error) { return nil, nil } //nolint:nilnil // nothing is divided

func (*Processors) start(cmd *exec.Cmd) error { return cmd.Start() } //nolint:wrapcheck // by its caller
