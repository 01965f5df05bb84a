package xds

import (
	"cmp"
	"slices"
	"time"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// State is a snapshot of the server.
type State struct {
	// Revision is the newest one published, 0 before the first.
	Revision uint64
	// Fleets are sorted by name.
	Fleets []FleetState
}

// FleetState is a fleet and its Envoys.
type FleetState struct {
	Fleet ir.Name
	// Revision is the newest one that changed the fleet; 0 for a fleet that is
	// not known (yet), whose streams wait.
	Revision uint64
	// Streams are sorted by age.
	Streams []StreamState
}

// StreamState is what one Envoy was sent and has said.
type StreamState struct {
	// Node is what Envoy calls itself: for people, never a decision.
	Node string
	// Identity is the URI name of its certificate, Address where it calls from.
	Identity, Address string
	Since             time.Time
	// Expires is when its certificate does: the stream ends before.
	Expires time.Time
	// Resumed says that Envoy had resources when the stream began.
	Resumed bool

	// Sent is the newest revision that was sent, as far as Envoy subscribes.
	Sent uint64
	// Acknowledged is the newest revision that was acknowledged together with
	// all before it; 0: none. A revision that changed nothing of the fleet
	// counts with the one before it. Removals of what is no longer used may
	// still be under way.
	Acknowledged uint64
	// Ready is the first complete revision that was acknowledged; 0: Envoy is
	// not ready.
	Ready uint64

	// Unacknowledged counts the responses that Envoy has not answered. Held
	// says that they are too many for a new revision to be sent.
	Unacknowledged int
	Held           bool
	// WaitingSince is when the oldest response was sent that Envoy owes an
	// answer; zero when it owes none.
	WaitingSince time.Time
	// Names counts the subscriptions by name; Lingering the resources that wait
	// for their removal; Waiting the listeners and scopes that wait for a cluster to
	// get warm.
	Names, Lingering, Waiting int
	// BlockedSince is since when Envoy reads nothing; zero while it reads.
	BlockedSince time.Time
	// Rejected are the resources that Envoy has refused and not been sent anew,
	// sorted by type and name.
	Rejected []Rejected
	// Warming are the clusters that do not get warm, sorted by name.
	Warming []WarmingCluster

	// Counters since the stream began. Ignored counts what had no effect in its
	// requests: unknown types, unknown or repeated nonces, names out of bounds.
	Responses, Bytes, Acks, Nacks, Ignored uint64
}

// Rejected is a resource that Envoy refused.
type Rejected struct {
	Type     envoy.Type
	Name     string
	Version  string
	Revision uint64
	// Message is Envoy's, cut to a bound and without key material.
	Message string
}

// show publishes what State returns of the stream.
func (s *stream) show() {
	v := s.status
	v.Names, v.Lingering = s.names, len(s.leavers.of)
	for k := range s.subs {
		v.Waiting += len(s.subs[k].waiting)
		v.Lingering += len(s.lingering[k])
		if e := s.subs[k].oldest(); e != nil && (v.WaitingSince.IsZero() || e.sent.Before(v.WaitingSince)) {
			v.WaitingSince = e.sent
		}
		rejected := s.subs[k].rejected
		for _, name := range sortedKeys(rejected) {
			r := rejected[name]
			v.Rejected = append(v.Rejected, Rejected{types[k], name, r.version, r.revision, r.message})
		}
	}
	s.view.Store(&v)
}

// blockedAfter is how long a send may take before it shows.
const blockedAfter = 100 * time.Millisecond

// State returns a snapshot. It never waits for a stream.
func (s *Server) State() State {
	// Read before the snapshots: what is up to date with those is with this.
	out := State{Revision: s.revision.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fleets {
		out.Fleets = append(out.Fleets, f.state(out.Revision))
	}
	slices.SortFunc(out.Fleets, func(a, b FleetState) int {
		return cmp.Or(cmp.Compare(a.Fleet.Namespace, b.Fleet.Namespace), cmp.Compare(a.Fleet.Name, b.Fleet.Name))
	})
	return out
}

// Fleet returns a snapshot of one fleet; false for one that has neither resources
// nor streams. It never waits for a stream.
func (s *Server) Fleet(name ir.Name) (FleetState, bool) {
	newest := s.revision.Load() // before the snapshot, as in State
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.fleets[name]
	if !ok {
		return FleetState{}, false
	}
	return f.state(newest), true
}

// state is called with the server's mutex held.
func (f *fleet) state(newest uint64) FleetState {
	out := FleetState{Fleet: f.name}
	head := f.head.Load()
	if head != nil {
		out.Revision = head.revision
	}
	byAge := make([]*stream, 0, len(f.streams))
	for st := range f.streams {
		byAge = append(byAge, st)
	}
	slices.SortFunc(byAge, func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	for _, st := range byAge {
		v := *st.view.Load()
		if since := st.blocked.Load(); since != 0 && time.Since(time.Unix(0, since)) > blockedAfter {
			v.BlockedSince = time.Unix(0, since)
		}
		if head != nil && v.Acknowledged == head.revision {
			v.Acknowledged = max(newest, v.Acknowledged)
		}
		out.Streams = append(out.Streams, v)
	}
	return out
}
