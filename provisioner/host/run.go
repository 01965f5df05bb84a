package host

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run runs Envoy until the context ends; then it drains and stops Envoy,
// leaves nothing behind, and returns nil. An Envoy that ends by itself is
// started again, with back-off. An error is one that trying again does not
// mend: no Envoy ([ErrNoEnvoy], [ErrEnvoyIsOld], [ErrEnvoyBad]), a bad config,
// or no folder.
func Run(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	path, err := Find(c.Envoy)
	if err != nil {
		return err
	}
	version, err := FindVersion(ctx, path)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if !version.tested() {
		c.Log.Info("this Envoy is not of the tested version", "path", path, "version", version.String(),
			"tested", EnvoyVersion)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of the context is no error, whatever it led to
	}
	s, err := openSession(c, Process{Path: path, Version: version})
	if err != nil {
		return fmt.Errorf("prepare Envoy: %w", err)
	}
	for s != nil {
		err := s.serve(ctx)
		if closeErr := s.close(); closeErr != nil {
			c.Log.Error(closeErr, "Envoy did not end in order")
		}
		if err == nil {
			return nil
		}
		c.Log.Error(err, "starting Envoy with a new supervisor")
		s = reopen(ctx, c, s.process)
	}
	return nil
}

// reopen makes a session after a broken one; nil when the context ended.
func reopen(ctx context.Context, c Config, last Process) *session {
	var b backoff
	for {
		var wait time.Duration
		wait, b = b.next(0)
		if !pause(ctx, c, wait) {
			return nil
		}
		s, err := openSession(c, Process{Path: last.Path, Version: last.Version})
		if err == nil {
			return s
		}
		c.Log.Error(err, "cannot prepare Envoy: trying again")
	}
}

// serve starts Envoy again and again. It returns nil when the context has
// ended, and [errBroken] when the session cannot go on.
func (s *session) serve(ctx context.Context) error {
	var b backoff
	for {
		since := s.config.Clock.Now()
		err := s.run(ctx)
		if err == nil {
			s.drain(ctx)
			return nil
		}
		if errors.Is(err, errBroken) {
			return err
		}
		var wait time.Duration
		wait, b = b.next(s.config.Clock.Since(since))
		s.config.Log.Error(err, "Envoy ended by itself: starting it again", "after", wait.String())
		if !pause(ctx, s.config, wait) {
			return nil
		}
	}
}

// pause waits, and tells whether the context lives on.
func pause(ctx context.Context, c Config, wait time.Duration) bool {
	timer := c.Clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
