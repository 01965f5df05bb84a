package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process keeps one component running.
type process struct {
	component
	log string

	mu sync.Mutex
	// stop ends the component and the goroutine that keeps it, which closes
	// done; nil while it is kept down.
	stop context.CancelFunc
	done chan struct{}
	pid  int // 0 between two runs
	ends int
}

// pauses between an end and the next start.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// start runs the component until stop or the end of the context, again and
// again. It does nothing if the component runs.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		defer func() { _ = log.Close() }()
		p.keep(ctx, log)
	}()
	return nil
}

// kill ends the component at once, as a crash would, and keeps it down.
func (p *process) kill() {
	p.mu.Lock()
	stop, done := p.stop, p.done
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

func (p *process) keep(ctx context.Context, log *os.File) {
	pause := firstPause
	for {
		started := time.Now()
		err := p.once(ctx, log)
		if ctx.Err() != nil {
			return
		}
		fmt.Fprintf(os.Stderr, "node: %s ended, and is started again: %v\n", p.name, err)
		if time.Since(started) > time.Minute {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

func (p *process) once(ctx context.Context, log *os.File) error {
	// The context's end kills it.
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	// Its own process group, so that a signal is for it alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.setPID(cmd.Process.Pid)
	defer p.ended()
	return cmd.Wait()
}

func (p *process) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = 0
	p.ends++
}

func (p *process) setPID(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

// State is what a component does.
type State struct {
	Name string `json:"name"`
	// PID within the node's namespace; 0 while it does not run.
	PID int `json:"pid"`
	// Stopped says that it is kept down.
	Stopped bool `json:"stopped"`
	// Ends counts how often it has ended, by itself or by order.
	Ends int `json:"ends"`
}

func (p *process) state() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return State{Name: p.name, PID: p.pid, Stopped: p.stop == nil, Ends: p.ends}
}
