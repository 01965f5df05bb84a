package xds

import "github.com/signetproxy/signet/translator/ir"

// Presence is an Observer that wants to know which Envoys are connected. Its
// methods are called as the Observer's are: by the goroutine of the stream,
// OnJoin before all else and OnLeave after all else of the stream.
type Presence interface {
	OnJoin(Stream)
	OnLeave(Stream)
}

// Stream names one stream of an Envoy. An Envoy that reconnects has another.
type Stream struct {
	Fleet ir.Name
	// ID is unique among the streams of a server.
	ID uint64
}

// OnJoin implements Presence.
func (all Observers) OnJoin(s Stream) {
	for _, o := range all {
		if p, ok := o.(Presence); ok {
			p.OnJoin(s)
		}
	}
}

// OnLeave implements Presence.
func (all Observers) OnLeave(s Stream) {
	for _, o := range all {
		if p, ok := o.(Presence); ok {
			p.OnLeave(s)
		}
	}
}

// present tells that the stream is there, and returns what tells that it is
// gone.
func (s *stream) present() (gone func()) {
	p, ok := s.server.opts.Observer.(Presence)
	if !ok {
		return func() {}
	}
	who := Stream{Fleet: s.fleet.name, ID: s.id}
	p.OnJoin(who)
	return func() { p.OnLeave(who) }
}
