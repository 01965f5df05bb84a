package estate

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Processors are those of this process and those of what it measures.
type Processors struct{ own, others unix.CPUSet }

// Divide keeps this process, with its load, its questions and its backends, to
// the first of its processors, for as long as it lives, and leaves the others to
// the Signets of estates that are given the result. With one processor, which all
// share, it returns nil.
func Divide() (*Processors, error) {
	var p Processors
	if err := unix.SchedGetaffinity(0, &p.others); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	if p.others.Count() < 2 {
		return nil, nil //nolint:nilnil // nothing is divided
	}
	for i := 0; p.own.Count() == 0; i++ {
		if p.others.IsSet(i) {
			p.own.Set(i)
			p.others.Clear(i)
		}
	}
	runtime.GOMAXPROCS(1)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("threads: %w", err)
	}
	for _, t := range threads { // later ones have those of who makes them
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return nil, fmt.Errorf("threads: %w", err)
		}
		if err := unix.SchedSetaffinity(id, &p.own); err != nil {
			return nil, fmt.Errorf("processors of thread %d: %w", id, err)
		}
	}
	return &p, nil
}

// start starts a process on the others.
func (p *Processors) start(cmd *exec.Cmd) error {
	if p == nil {
		return cmd.Start()
	}
	// A process has the processors of the thread that makes it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &p.others); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	err := cmd.Start()
	if back := unix.SchedSetaffinity(0, &p.own); back != nil {
		return fmt.Errorf("processors: %w", back)
	}
	return err
}
