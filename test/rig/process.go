package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/signetproxy/signet/test/estate"
)

// patience bounds every wait of a rig for something that takes seconds.
const patience = time.Minute

// look is the time between two looks at what another process does.
const look = 5 * time.Millisecond

// Process is a program of a rig that runs.
type Process struct {
	// Began is the time just before it was started.
	Began time.Time

	name  string
	cmd   *exec.Cmd
	log   string
	ended chan error
}

// startProcess starts a program whose output is added to a file.
func startProcess(name, log string, argv ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer f.Close()
	p := &Process{name: name, cmd: exec.Command(argv[0], argv[1:]...), log: log, ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.Began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p, nil
}

// Usage is what it uses now.
func (p *Process) Usage() estate.Usage { return estate.UsageOf(p.cmd.Process.Pid) }

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

var errExit0 = errors.New("exit status 0")

// Stop asks it to end, and waits until it has; one that has ended is an error.
func (p *Process) Stop() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("%s has ended by itself: %w; its log ends:\n%s", p.name, cmp.Or(err, errExit0), p.LogTail())
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("end of %s: %w", p.name, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%s does not end: %w", p.name, p.cmd.Process.Kill())
	}
}

// LogTail is the end of what it has logged.
func (p *Process) LogTail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// await asks again and again until the answer is nil, the process has ended, or
// the time is over.
func (p *Process) await(ctx context.Context, what string, ask func(context.Context) error) error {
	err := Await(ctx, what, func(ctx context.Context) error {
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("%w: %w", errEnded, err)
		default:
			return ask(ctx)
		}
	})
	if err != nil {
		return fmt.Errorf("%w; the log of %s ends:\n%s", err, p.name, p.LogTail())
	}
	return nil
}

var errEnded = errors.New("the process has ended")

// Await asks again and again until the answer is nil, or patience is over.
func Await(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		err := ask(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errEnded):
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// answers asks a URL, which must answer 200.
func answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := body(ctx, client, url)
		return err
	}
}

func body(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return b, err
}

// plain asks without the proxy of the environment.
var plain = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// unixClient asks over a socket file.
func unixClient(socket string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}
