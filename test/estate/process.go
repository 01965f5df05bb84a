package estate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a running signet.
type Process struct {
	cmd   *exec.Cmd
	ended chan error
	log   *os.File
}

// Start runs signet on the folder and waits until the last host is served.
func (e *Estate) Start(ctx context.Context) error {
	_, httpPort, _ := net.SplitHostPort(e.HTTP)
	_, httpsPort, _ := net.SplitHostPort(e.HTTPS)
	// One worker: what one request saw, later ones see too.
	e.cmd = exec.CommandContext(ctx, e.Binary, "standalone", "--manifests", e.Folder, "--log-format", "json",
		"--http-port", httpPort, "--https-port", httpsPort, "--concurrency", "1")
	var err error
	if e.log, err = os.Create(e.logFile()); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	e.cmd.Stderr = e.log
	e.cmd.Cancel = func() error { return e.cmd.Process.Signal(syscall.SIGTERM) }
	began := time.Now()
	if err := e.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", e.Binary, err)
	}
	e.ended = make(chan error, 1)
	go func() { e.ended <- e.cmd.Wait() }()
	e.Open()
	if err := e.awaitLastHost(ctx); err != nil {
		return fmt.Errorf("%w; its log ends:\n%s", err, e.LogTail())
	}
	_, err = fmt.Fprintf(e.Progress, "  %d hosts served %.1f s after the start\n", e.Hosts, time.Since(began).Seconds())
	return err
}

func (e *Estate) awaitLastHost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	served := e.Served(Host(e.Hosts-1), IsTLS(e.Hosts-1))
	for {
		if ok, err := served(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("the last host was not served within 3 minutes")
		case err := <-e.ended:
			e.ended <- err
			return fmt.Errorf("signet standalone ended: %w", err)
		case <-tick.C:
		}
	}
}

// LogTail is the end of what signet and its Envoy have logged.
func (e *Estate) LogTail() string {
	b, err := os.ReadFile(e.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (p *Process) stop(progress io.Writer) {
	if p.ended == nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_, _ = fmt.Fprintf(progress, "stopping signet: %v\n", err)
	}
	if err := <-p.ended; err != nil {
		_, _ = fmt.Fprintf(progress, "signet ended: %v\n", err)
	}
	_ = p.log.Close() // the process wrote it
}

// Usage is what a process uses.
type Usage struct {
	// MiB is its resident memory, PeakMiB the most there has been.
	MiB, PeakMiB int
	// Busy is the processor time it has used.
	Busy time.Duration
}

// Signet and Envoy return what the two processes use now; zero if unknown.
func (p *Process) Signet() Usage { return UsageOf(p.cmd.Process.Pid) }

// Envoy is what signet's Envoy uses.
func (p *Process) Envoy() Usage { return UsageOf(envoyOf(p.cmd.Process.Pid)) }

// UsageOf is what a process uses now; zero if unknown.
func UsageOf(pid int) Usage {
	var u Usage
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "VmRSS:":
			u.MiB = number(f[1]) >> 10
		case "VmHWM:":
			u.PeakMiB = number(f[1]) >> 10
		}
	}
	f := stat(pid)
	if len(f) > 12 {
		// In ticks of 10 ms: fields 14 and 15 of proc(5), counted from the third.
		u.Busy = time.Duration(number(f[11])+number(f[12])) * 10 * time.Millisecond
	}
	return u
}

// number is 0 for what is none.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// stat returns the fields of /proc/pid/stat behind the command, the state first.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return strings.Fields(string(rest))
}

// envoyOf finds the Envoy below a process: a grandchild, by its supervisor.
func envoyOf(pid int) int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	parents, envoys := map[int]int{}, []int{}
	for _, d := range dirs {
		id, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		if f := stat(id); len(f) > 1 {
			parents[id] = number(f[1])
		}
		if exe, err := os.Readlink(filepath.Join(d, "exe")); err == nil && filepath.Base(exe) == "envoy" {
			envoys = append(envoys, id)
		}
	}
	for _, id := range envoys {
		if parents[id] == pid || parents[parents[id]] == pid {
			return id
		}
	}
	return 0
}
