package xds

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// A request has its route before it has its cluster: while it waits for an external
// authorization, or to be tried again, the route may move, and Envoy look for the
// cluster afterwards. So a cluster that nothing uses any more is left to Envoy for
// Options.Linger, and what it needs with it.

// leaver is a cluster that Envoy has and uses for requests alone that came before.
type leaver struct {
	name     string
	revision uint64 // that dropped it
	at       time.Time
}

// leavers are in the order of their revisions, and so of their times.
type leavers struct {
	queue []leaver
	// of has the newest of each name; others of the queue came back.
	of map[string]leaver
}

func (l *leavers) add(names []string, dropped map[string]uint64, now time.Time) {
	if l.of == nil {
		l.of = map[string]leaver{}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(dropped[a], dropped[b]), strings.Compare(a, b)) })
	for _, name := range names {
		one := leaver{name, dropped[name], now}
		l.of[name] = one
		l.queue = append(l.queue, one)
	}
}

// first returns the one that leaves first.
func (l *leavers) first() (leaver, bool) {
	for len(l.queue) > 0 {
		one := l.queue[0]
		if l.of[one.name] == one {
			return one, true
		}
		l.queue = l.queue[1:]
	}
	l.queue = nil
	return leaver{}, false
}

// take returns those whose time is over.
func (l *leavers) take(before time.Time) []string {
	var names []string
	for one, ok := l.first(); ok && !one.at.After(before); one, ok = l.first() {
		names = append(names, one.name)
		delete(l.of, one.name)
	}
	return names
}

// stay forgets one that is used again.
func (l *leavers) stay(name string) { delete(l.of, name) }

// due is when the next one leaves; zero: none does.
func (l *leavers) due(linger time.Duration) time.Time {
	if one, ok := l.first(); ok {
		return one.at.Add(linger)
	}
	return time.Time{}
}

// release removes what lingers and is used no more: clusters first; what they
// used when Envoy has taken that, and has not unsubscribed by itself.
func (s *stream) release(now time.Time) error {
	if !s.lingers() {
		return nil
	}
	below := s.usersSettled()
	names := s.unused(clusters, below, isAny)
	if linger := s.server.opts.Linger; linger > 0 {
		s.leavers.add(names, s.lingering[clusters], now)
		s.letGo(clusters, names)
		names = s.leavers.take(now.Add(-linger))
	} else {
		s.letGo(clusters, names)
	}
	slices.Sort(names)
	if err := s.sendEach(clusters, nil, names); err != nil {
		return err
	}
	if err := s.releaseKind(secrets, below, isForHandshakes); err != nil || s.subs[clusters].removing() {
		return err
	}
	below = min(below, s.needed())
	if err := s.releaseKind(endpoints, below, isAny); err != nil {
		return err
	}
	return s.releaseKind(secrets, below, isAny)
}

// stays notes that a name is in use, again or for the first time.
func (s *stream) stays(k kind, name string) {
	delete(s.lingering[k], name)
	if k == clusters {
		s.leavers.stay(name)
	}
}

func isAny(string) bool { return true }

// isForHandshakes says whether a secret's name is the server name of a handshake, by
// having no '/': no cluster uses it.
func isForHandshakes(name string) bool { return !strings.Contains(name, "/") }

func (s *stream) lingers() bool {
	for _, names := range s.lingering {
		if len(names) > 0 {
			return true
		}
	}
	return len(s.leavers.of) > 0
}

// needed is the revision from which on clusters that Envoy still has were dropped.
func (s *stream) needed() uint64 {
	lowest := uint64(math.MaxUint64)
	for _, revision := range s.lingering[clusters] {
		lowest = min(lowest, revision)
	}
	if one, ok := s.leavers.first(); ok {
		lowest = min(lowest, one.revision)
	}
	return lowest
}

// unused are the names that linger and that revisions below one dropped.
func (s *stream) unused(k kind, below uint64, of func(name string) bool) []string {
	var names []string
	for name, revision := range s.lingering[k] {
		if revision < below && of(name) {
			names = append(names, name)
		}
	}
	return names
}

func (s *stream) letGo(k kind, names []string) {
	for _, name := range names {
		delete(s.lingering[k], name)
	}
}

func (s *stream) releaseKind(k kind, below uint64, of func(name string) bool) error {
	names := s.unused(k, below, of)
	slices.Sort(names)
	s.letGo(k, names)
	return s.sendEach(k, nil, names)
}

// usersSettled returns the revision below which Envoy's listeners and scopes
// are settled, so that what those revisions dropped is used no more.
func (s *stream) usersSettled() uint64 {
	l, sc := &s.subs[listeners], &s.subs[scopes]
	if !l.seen {
		// An Envoy that began with nothing has no routes before it asks for
		// listeners. One that reconnects has.
		if s.status.Resumed {
			return 0
		}
		return math.MaxUint64
	}
	// One that reconnects says which scopes it has before it answers anything.
	if !sc.seen && (s.status.Resumed && s.answeredNonce == 0 || s.awaitsScopes()) {
		return 0
	}
	return min(l.unsettled(), sc.unsettled())
}
