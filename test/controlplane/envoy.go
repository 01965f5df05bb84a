package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/translator/ir"
)

// Envoy is one Envoy of a fleet, run by provisioner/host. Several of one fleet
// share its ports: the kernel spreads connections over those that are ready.
type Envoy struct {
	Fleet ir.Name
	// Node is its name in samples.
	Node string

	cancel context.CancelFunc
	done   chan error

	mu      sync.Mutex
	process host.Process
	ready   bool
	changed chan struct{}
}

// EnvoyConfig says which Envoy to start. OnReady may be nil; it must not block.
type EnvoyConfig struct {
	Fleet      ir.Name
	Node       string
	XDSAddress string
	Identities host.Identities
	// Folder is where its private folder is made; its path must be short.
	Folder  string
	Log     logr.Logger
	OnReady func()
}

// StartEnvoy starts an Envoy; it ends by Stop.
func StartEnvoy(cfg EnvoyConfig) *Envoy {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Envoy{Fleet: cfg.Fleet, Node: cfg.Node, cancel: cancel, done: make(chan error, 1), changed: make(chan struct{})}
	set := func(p host.Process, ready bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.process, e.ready = p, ready
		close(e.changed)
		e.changed = make(chan struct{})
	}
	go func() {
		e.done <- host.Run(ctx, host.Config{
			Fleet: cfg.Fleet, NodeID: cfg.Node, XDSAddress: cfg.XDSAddress, Identities: cfg.Identities,
			Folder: cfg.Folder, Concurrency: 1, Log: cfg.Log, DrainTimeout: 3 * time.Second,
			OnStart: func(p host.Process) { set(p, false) },
			OnReady: func(p host.Process) {
				set(p, true)
				if cfg.OnReady != nil {
					cfg.OnReady()
				}
			},
		})
	}()
	return e
}

// Ready tells whether it has said that it is ready since its last start.
func (e *Envoy) Ready() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ready
}

// Await waits until it is as it should be: started, or ready too.
func (e *Envoy) Await(ctx context.Context, ready bool) error {
	for {
		e.mu.Lock()
		ok, changed := e.process.PID != 0 && (e.ready || !ready), e.changed
		e.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("Envoy %s is not ready: %w", e.Node, ctx.Err())
		case err := <-e.done:
			e.done <- err
			return fmt.Errorf("Envoy %s has ended: %w", e.Node, err)
		case <-changed:
		}
	}
}

// Kill kills the Envoy process with SIGKILL; its supervisor's parent starts
// another by itself.
func (e *Envoy) Kill() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.process.PID == 0 {
		return nil
	}
	e.ready = false
	if err := syscall.Kill(e.process.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill Envoy %s: %w", e.Node, err)
	}
	return nil
}

// Stop drains it and waits for its end.
func (e *Envoy) Stop() error {
	e.cancel()
	err := <-e.done
	e.done <- err
	if err != nil {
		return fmt.Errorf("end of Envoy %s: %w", e.Node, err)
	}
	return nil
}

// Admin returns what the admin interface answers to a GET.
func (e *Envoy) Admin(ctx context.Context, path string) ([]byte, error) {
	e.mu.Lock()
	socket := e.process.AdminSocket
	e.mu.Unlock()
	var dialer net.Dialer
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy %s: %w", e.Node, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy %s: %w", e.Node, err)
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("answer of Envoy %s: %w", e.Node, err)
	}
	if res.StatusCode != http.StatusOK {
		return body, fmt.Errorf("Envoy %s: %s: %s", e.Node, path, res.Status)
	}
	return body, nil
}

// Stats returns the counters and gauges whose name fits the filter, a regular
// expression.
func (e *Envoy) Stats(ctx context.Context, filter string) (map[string]uint64, error) {
	body, err := e.Admin(ctx, "/stats?format=json&filter="+filter)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Stats []struct {
			Name  string
			Value uint64
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("statistics of Envoy %s: %w", e.Node, err)
	}
	out := map[string]uint64{}
	for _, s := range answer.Stats {
		out[s.Name] = s.Value
	}
	return out, nil
}

// PID is the process id of the Envoy that runs, 0 without one.
func (e *Envoy) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.process.PID
}
