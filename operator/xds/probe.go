package xds

import (
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// ProbeObserver is an Observer that wants to know what Envoys say of resources
// that are there to be judged alone (envoy.Resource.Probe). An Ack does not tell:
// it waits for what is refused.
type ProbeObserver interface {
	// OnProbed is called as the Observer's methods are, for each probe that an
	// Envoy takes. One that it refuses is a Nack.
	OnProbed(Probed)
}

// Probed is what an Envoy said of a probe.
type Probed struct {
	Fleet    ir.Name
	Resource *envoy.Resource
	Refused  bool
	// Message is Envoy's, of a refusal.
	Message string
}

// OnProbed implements ProbeObserver, for those that are ones.
func (all Observers) OnProbed(p Probed) {
	for _, o := range all {
		if o, ok := o.(ProbeObserver); ok {
			o.OnProbed(p)
		}
	}
}

// probed notes that Envoy has taken a probe.
func (s *stream) probed(r *row) {
	p := Probed{Fleet: s.fleet.name, Resource: r.published().Resource}
	s.events = append(s.events, func(o Observer) {
		if o, ok := o.(ProbeObserver); ok {
			o.OnProbed(p)
		}
	})
}
