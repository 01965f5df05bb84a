package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/signetproxy/signet/operator/health"
	"github.com/signetproxy/signet/operator/metrics"
	"github.com/signetproxy/signet/operator/xds"
)

// errNoProcess says that Envoy has not been started.
var errNoProcess = errors.New("envoy has not been started")

// handlers answer probes. Ready means that requests are served: the control
// plane is ready, an Envoy has acknowledged a complete revision, and it answers.
func (s *Standalone) handlers() health.Handlers {
	registry := metrics.Registry(metrics.Sources{
		Version: s.cfg.Version, Pipeline: s.pipeline, XDS: s.xds, Rollout: s.rollout, Quarantine: s.held,
	})
	return health.Handlers{
		Ready: []health.Check{
			{Name: "control-plane", Run: func(context.Context) error {
				return health.ControlPlane(s.pipeline.IsComplete(), s.pipeline.Served())
			}},
			{Name: "envoy", Run: s.checkEnvoy},
		},
		Metrics: registry, Profiles: s.cfg.Profiles,
	}
}

func (s *Standalone) checkEnvoy(ctx context.Context) error {
	f := xds.FleetState{Fleet: Fleet}
	for _, x := range s.xds.State().Fleets {
		if x.Fleet == Fleet {
			f = x
		}
	}
	if err := health.AnyEnvoy(&f); err != nil {
		return err
	}
	p := s.process.Load()
	if p == nil {
		return errNoProcess
	}
	return p.Answers(ctx)
}

// serveHealth serves probes and metrics until ctx ends.
func (s *Standalone) serveHealth(ctx context.Context, l net.Listener) error {
	h := s.handlers()
	server := &http.Server{Handler: h.Mux(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing to save
	defer stop()
	s.cfg.Log.Info("Serving probes and metrics", "address", l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("probes and metrics on %s: %w", l.Addr(), err)
	}
	return nil
}
