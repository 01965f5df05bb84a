package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	adminTimeout = 2 * time.Second
	pollEvery    = 20 * time.Millisecond
	// longestAnswer bounds what is read of an answer.
	longestAnswer = 64 << 20
)

// ErrAdmin says that Envoy's admin interface did not answer as it should.
var ErrAdmin = errors.New("envoy admin interface")

// admin is a client of Envoy's admin interface.
type admin struct{ client *http.Client }

func newAdmin(socket string) *admin {
	return &admin{client: &http.Client{
		Timeout: adminTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
	}}
}

func (a *admin) do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAdmin, err)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAdmin, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAdmin, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s: %s", ErrAdmin, path, response.Status)
	}
	return body, nil
}

// Answers says whether the Envoy serves: nil, or why it does not. It asks
// Envoy's admin interface once.
func (p Process) Answers(ctx context.Context) error {
	_, err := newAdmin(p.AdminSocket).do(ctx, http.MethodGet, "/ready")
	return err
}

// ready waits until Envoy has all of its first configuration.
func (a *admin) ready(ctx context.Context) error {
	return poll(ctx, func() bool {
		_, err := a.do(ctx, http.MethodGet, "/ready")
		return err == nil
	})
}

// drain refuses new connections, lets those that exist end with their next
// answer, and waits until no request is in flight.
func (a *admin) drain(ctx context.Context) error {
	for _, path := range []string{"/healthcheck/fail", "/drain_listeners"} {
		if _, err := a.do(ctx, http.MethodPost, path); err != nil {
			return err
		}
	}
	var last error
	err := poll(ctx, func() bool {
		var busy uint64
		busy, last = a.busy(ctx)
		return last == nil && busy == 0
	})
	return errors.Join(err, last)
}

// busy returns how many HTTP requests and other connections are in flight. An
// idle HTTP connection is not.
func (a *admin) busy(ctx context.Context) (uint64, error) {
	body, err := a.do(ctx, http.MethodGet, "/stats?format=json&type=Gauges&filter=downstream_(cx|rq)_active$")
	if err != nil {
		return 0, err
	}
	var answer struct {
		Stats []struct {
			Name  string
			Value uint64
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("%w: /stats: %w", ErrAdmin, err)
	}
	var requests, connections, http uint64
	for _, s := range answer.Stats {
		switch listener := strings.HasPrefix(s.Name, "listener."); {
		case strings.HasPrefix(s.Name, "http.admin."), strings.HasPrefix(s.Name, "listener.admin."):
		case listener && strings.Contains(s.Name, ".worker_"): // part of the listener's
		case listener:
			connections += s.Value
		case strings.HasSuffix(s.Name, "_rq_active"):
			requests += s.Value
		case strings.HasPrefix(s.Name, "http."):
			http += s.Value
		}
	}
	return requests + connections - min(http, connections), nil
}

// poll asks until the answer is yes, or the context ends.
func poll(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
