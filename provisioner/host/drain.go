package host

import (
	"context"
	"net/http"
	"time"
)

// Drain ends the traffic of the Envoy behind an admin socket without loss. Its
// readiness fails at once, and HTTP connections are asked to end with their
// next answer. For settle new connections are still taken: that is the time in
// which load balancers learn of it. Then they are refused, and Drain returns
// when nothing is in flight, or with the context's error.
func Drain(ctx context.Context, socket string, settle time.Duration) error {
	a := newAdmin(socket)
	if _, err := a.do(ctx, http.MethodPost, "/healthcheck/fail"); err != nil {
		return err
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	return a.drain(ctx)
}
