package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

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
	return report.Serve(ctx, l, s.Report, s.cfg.Log)
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
	return report.Ask(ctx, socket, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
}
