package health

import (
	"errors"
	"fmt"

	"github.com/signetproxy/signet/operator/xds"
)

// Why something is not ready.
var (
	ErrSourceIncomplete = errors.New("the source has not given its complete first list")
	ErrNoRevision       = errors.New("no revision is committed")
	ErrNoEnvoy          = errors.New("no Envoy is connected")
	ErrNotAcknowledged  = errors.New("no complete revision is acknowledged")
)

// ControlPlane says whether a control plane may serve: nil, or why not. Complete
// is whether its source has given its complete first list, committed the last
// revision that was handed to the xDS server, 0 for none.
func ControlPlane(complete bool, committed uint64) error {
	switch {
	case !complete:
		return ErrSourceIncomplete
	case committed == 0:
		return ErrNoRevision
	default:
		return nil
	}
}

// Envoy says whether an Envoy serves a complete revision: nil, or why not. An
// Envoy that was ready stays so while later revisions are under way.
func Envoy(s *xds.StreamState) error {
	if s.Ready == 0 {
		return fmt.Errorf("envoy %s: %w", s.Node, ErrNotAcknowledged)
	}
	return nil
}

// AnyEnvoy says whether an Envoy of a fleet is ready: nil, or why none is.
func AnyEnvoy(f *xds.FleetState) error {
	if len(f.Streams) == 0 {
		return fmt.Errorf("fleet %s: %w", f.Fleet, ErrNoEnvoy)
	}
	reasons := make([]error, 0, len(f.Streams))
	for i := range f.Streams {
		err := Envoy(&f.Streams[i])
		if err == nil {
			return nil
		}
		reasons = append(reasons, err)
	}
	return errors.Join(reasons...)
}
