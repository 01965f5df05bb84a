package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Process is a control plane in a process of its own, which can be killed and
// started again. It is used by one goroutine; Ask by any.
type Process struct {
	config string
	output io.Writer
	client *http.Client
	cmd    *exec.Cmd
	stdin  io.Closer
	// Starts counts how often it was started.
	Starts int
}

// New makes a process that does not run yet. Its configuration goes into dir;
// output takes its log.
func New(cfg *Config, dir string, output io.Writer) (*Process, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	p := &Process{config: filepath.Join(dir, "control-plane.json"), output: output}
	if err := os.WriteFile(p.config, text, 0o600); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var dialer net.Dialer
	p.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", cfg.Socket)
		},
	}}
	return p, nil
}

// Start starts it, and returns without waiting until it serves.
func (p *Process) Start() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	// Not CommandContext: it ends by Kill or Stop, or with this process.
	cmd := exec.Command(self, Command, p.config)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	p.cmd, p.stdin = cmd, stdin
	p.Starts++
	return nil
}

// Running tells whether it was started and neither killed nor stopped.
func (p *Process) Running() bool { return p.cmd != nil }

// Kill kills it with SIGKILL and waits for its end.
func (p *Process) Kill() error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that it was killed
	p.cmd = nil
	if err != nil {
		return fmt.Errorf("the control plane had ended by itself: %w", err)
	}
	return nil
}

// Stop ends it in order.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	err := p.stdin.Close()
	err = errors.Join(err, p.cmd.Wait())
	p.cmd = nil
	if err != nil {
		return fmt.Errorf("end of the control plane: %w", err)
	}
	return nil
}

// Ask returns what it says of itself; collect has it collect garbage before.
func (p *Process) Ask(ctx context.Context, collect bool) (*Sample, error) {
	url := "http://control-plane/sample"
	if collect {
		url += "?collect"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask the control plane: %w", err)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the control plane: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	var s Sample
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return nil, fmt.Errorf("answer of the control plane: %w", err)
	}
	return &s, nil
}

// Await asks until what it says is enough, and returns that.
func (p *Process) Await(ctx context.Context, enough func(*Sample) bool) (*Sample, error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		s, err := p.Ask(ctx, false)
		if err == nil && enough(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, errors.Join(fmt.Errorf("the control plane does not say what it should: %w", ctx.Err()), err)
		case <-ticker.C:
		}
	}
}
