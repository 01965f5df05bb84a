package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/signetproxy/signet/operator/report"
)

// controlSocket is the name of the unix socket in a run's private folder
// (mode 0700) that answers `signet status`.
const controlSocket = "control.sock"

// serveControl answers questions on the control socket. The socket is in the
// folder that the supervisor removes, so it does not outlive even a killed run.
func (s *Standalone) serveControl(ctx context.Context) error {
	var folder string
	select {
	case <-ctx.Done():
		return nil
	case folder = <-s.folder:
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", filepath.Join(folder, controlSocket))
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/report", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(s.Report()); err != nil {
			s.cfg.Log.V(1).Info("answering status", "error", err.Error())
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing to save
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// ErrNotRunning says that no standalone was found, or more than one.
var ErrNotRunning = errors.New("no running standalone")

// Ask gets the report of a running standalone over its control socket. An
// empty socket means the only one that runs for this user.
func Ask(ctx context.Context, socket string) (*report.Report, error) {
	if socket != "" {
		return ask(ctx, socket)
	}
	root := os.Getenv("XDG_RUNTIME_DIR")
	if root == "" {
		root = os.TempDir()
	}
	found, err := filepath.Glob(filepath.Join(root, "signet-run-*", controlSocket))
	if err != nil {
		return nil, fmt.Errorf("looking for control sockets in %s: %w", root, err)
	}
	var (
		live    []string
		reports []*report.Report
	)
	for _, f := range found {
		if r, err := ask(ctx, f); err == nil {
			live, reports = append(live, f), append(reports, r)
		}
	}
	switch len(live) {
	case 0:
		return nil, fmt.Errorf("%w in %s: start `signet standalone`, or name its socket with --socket", ErrNotRunning, root)
	case 1:
		return reports[0], nil
	}
	return nil, fmt.Errorf("%w: %d run; choose one with --socket: %v", ErrNotRunning, len(live), live)
}

func ask(ctx context.Context, socket string) (*report.Report, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://signet/v1/report", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("status request: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", socket, err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s: %s", socket, res.Status)
	}
	var out report.Report
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", socket, err)
	}
	return &out, nil
}
