package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
)

// path is where a report is served, by HTTP.
const path = "/v1/report"

// Serve answers those who Ask on a listener, until ctx ends. Whoever can reach
// it is answered: it belongs on a loopback address or on a private socket.
func Serve(ctx context.Context, l net.Listener, now func() *Report, log logr.Logger) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(now()); err != nil {
			log.V(1).Info("answering status", "error", err.Error())
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing to save
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("reports on %s: %w", l.Addr(), err)
	}
	return nil
}

// askTimeout bounds one question.
const askTimeout = 30 * time.Second

// Ask gets the report of whoever serves it at the far end of dial; name is theirs,
// for errors.
func Ask(ctx context.Context, name string, dial func(context.Context) (net.Conn, error)) (*Report, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: askTimeout}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://signet"+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("status request: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", name, err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s: %s", name, res.Status)
	}
	var out Report
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", name, err)
	}
	return &out, nil
}
