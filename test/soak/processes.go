package soak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/signetproxy/signet/test/controlplane"
	"github.com/signetproxy/signet/test/soak/model"
)

// killControlPlane kills it; some operations later it is started again.
func (s *soak) killControlPlane(context.Context, *fleet) error {
	stay := 1 + s.chance.IntN(4)
	if s.down > 0 || s.cfg.Calm && time.Since(s.began) > s.cfg.Duration*2/3 {
		return nil
	}
	s.down, s.downSince = stay, time.Now()
	s.watch.controlPlane(false)
	return s.process.Kill()
}

// revive starts the control plane again and waits until its Envoys are back.
func (s *soak) revive(ctx context.Context) error {
	if err := s.process.Start(); err != nil {
		return err
	}
	s.watch.controlPlane(true)
	s.summary.Restarts++
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.history.Add(model.Fault{Kind: model.NoControlPlane, Began: s.downSince, Ended: time.Now()})
	return nil
}

func (s *soak) addEnvoy(f *fleet) {
	f.started++
	f.unready = true
	f.envoys = append(f.envoys, controlplane.StartEnvoy(controlplane.EnvoyConfig{
		Fleet: f.id, Node: fmt.Sprintf("%s-%d", f.name, f.started), XDSAddress: s.xds, Identities: s.identities,
		Folder: filepath.Join(s.cfg.Dir, "e"), Log: s.cfg.Log,
	}))
}

// another makes sure that the fleet serves on without one of its Envoys; false
// when it cannot.
func (s *soak) another(ctx context.Context, f *fleet) (bool, error) {
	if len(f.envoys) < 2 || f.unready && s.down > 0 {
		return false, nil
	}
	if f.unready {
		return true, s.mustSettle(ctx)
	}
	return true, nil
}

func (s *soak) killEnvoy(ctx context.Context, f *fleet) error {
	n := s.chance.IntN(maxEnvoys)
	ok, err := s.another(ctx, f)
	if !ok || err != nil {
		return err
	}
	e := f.envoys[n%len(f.envoys)]
	fault := model.Fault{Kind: model.EnvoyEnded, Fleet: f.name, Began: time.Now()}
	f.unready = true
	pid := e.PID()
	if err := e.Kill(); err != nil {
		return err
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for syscall.Kill(pid, 0) == nil && time.Since(fault.Began) < patience {
		<-ticker.C
	}
	fault.Ended = time.Now().Add(grace)
	s.history.Add(fault)
	s.summary.EnvoysKilled++
	return nil
}

func (s *soak) scaleEnvoys(ctx context.Context, f *fleet) error {
	n, grow := s.chance.IntN(maxEnvoys), s.chance.IntN(2) == 0
	if len(f.envoys) < 2 || grow && len(f.envoys) < maxEnvoys {
		s.addEnvoy(f)
		s.summary.EnvoysAdded++
		return nil
	}
	ok, err := s.another(ctx, f)
	if !ok || err != nil {
		return err
	}
	n %= len(f.envoys)
	e := f.envoys[n]
	f.envoys = append(f.envoys[:n:n], f.envoys[n+1:]...)
	fault := model.Fault{Kind: model.EnvoyEnded, Fleet: f.name, Began: time.Now()}
	if err := e.Stop(); err != nil {
		return err
	}
	fault.Ended = time.Now().Add(grace)
	s.history.Add(fault)
	s.summary.EnvoysEnded++
	return nil
}

// inspect looks for what is another fleet's in what each Envoy holds.
func (s *soak) inspect(ctx context.Context) error {
	for _, f := range s.fleets {
		for _, e := range f.envoys {
			if !e.Ready() {
				continue
			}
			body, err := e.Admin(ctx, "/config_dump?include_eds")
			if err != nil {
				return err
			}
			var dump any
			if err := json.Unmarshal(body, &dump); err != nil {
				return fmt.Errorf("configuration of Envoy %s: %w", e.Node, err)
			}
			walk(dump, func(text string) {
				if what := s.estate.foreign(f.name, text); what != "" {
					s.history.Add(model.Finding{At: time.Now(), Kind: model.Leak, Text: fmt.Sprintf("Envoy %s of fleet %s holds %s", e.Node, f.name, what)})
				}
			})
			s.summary.Inspected++
		}
	}
	return nil
}

// walk calls see with every string of a JSON document, also with what it is in
// Base64.
func walk(v any, see func(string)) {
	switch v := v.(type) {
	case string:
		see(v)
		if b, err := base64.StdEncoding.DecodeString(v); err == nil && len(b) > 0 {
			see(string(b))
		}
	case []any:
		for _, x := range v {
			walk(x, see)
		}
	case map[string]any:
		for k, x := range v {
			see(k)
			walk(x, see)
		}
	}
}
