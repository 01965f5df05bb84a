package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Names of the subcommands by which the cluster's program runs its parts.
const (
	InitCommand         = "init"
	NodeCommand         = "node"
	LoadBalancerCommand = "loadbalancer"
)

// GoAhead is the file descriptor on which Init waits for one byte: until then
// the link to the host and the node's spec are not there. Its end before that
// byte means that nobody waits for this cluster any more.
const GoAhead = 3

// AliveFile is locked for as long as Init lives.
const AliveFile = "alive"

// Init is PID 1 of the namespaces. It returns only when the node cannot go on.
func Init(state Dir) error {
	alive, err := os.OpenFile(state.File(AliveFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("alive file: %w", err)
	}
	if err := unix.Flock(int(alive.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("alive file %s: another cluster runs there: %w", alive.Name(), err)
	}
	lifeline := os.NewFile(GoAhead, "go-ahead")
	if _, err := io.ReadFull(lifeline, make([]byte, 1)); err != nil {
		return errors.New("who started this cluster ended before it said go ahead")
	}
	spec, err := ReadSpec(state)
	if err != nil {
		return err
	}
	if spec.Tied {
		go func() {
			_, _ = lifeline.Read(make([]byte, 1)) // returns when the other end is gone
			fmt.Fprintln(os.Stderr, "init: who started this cluster is gone")
			os.Exit(0) //nolint:revive // the end of PID 1 is the end of all others, and meant
		}()
	}
	child, err := os.StartProcess("/proc/self/exe", []string{spec.Command, NodeCommand, string(state)}, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{nil, os.Stdout, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return reap(child.Pid)
}

// reap collects whatever ends, and returns when the given child has ended.
func reap(child int) error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for children: %w", err)
		case pid == child:
			return fmt.Errorf("the node ended: exit code %d, signal %d", status.ExitStatus(), status.Signal())
		}
	}
}
