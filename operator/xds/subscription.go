package xds

import (
	"maps"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

const (
	wildcard = "*"
	// maxName bounds one name; Envoy's longest are far below.
	maxName = 2048
)

// subscription is what one stream wants of one type, and what became of the
// responses to it.
type subscription struct {
	// seen says that Envoy has asked for the type on this stream.
	seen bool
	// all says that it subscribes to every resource; names are further ones.
	all   bool
	names map[string]struct{}

	// owed is what is to be answered once there is a revision to answer from.
	owed    []string
	owedAll bool
	// had are the versions that Envoy had when the stream began, until the
	// first answer; nil for an Envoy that had none.
	had map[string]string
	// unproven are secrets that a returning Envoy asked for and named no version
	// of, and the version sent then: it may have refused those very bytes before,
	// and takes them when they come again.
	unproven map[string]string

	queue    []*expectation // oldest first, so sorted by nonce
	again    int            // how many of them are sent a second time, and not done
	rejected map[string]rejection
	// waiting are the names that Envoy is not told of before a cluster is warm.
	waiting map[string]waiter
}

// active says whether Envoy answers responses of the type: it is silent on
// those that it has no subscription for.
func (u *subscription) active() bool { return u.all || len(u.names) > 0 }

func (u *subscription) wants(name string) bool {
	_, named := u.names[name]
	return u.all || named
}

// doubt notes that Envoy's answer to the first version of a name says nothing.
func (u *subscription) doubt(name string) {
	if !u.wants(name) {
		return // it was not kept
	}
	if u.unproven == nil {
		u.unproven = map[string]string{}
	}
	u.unproven[name] = ""
}

// proves says whether Envoy has judged the row that it acknowledges.
func (u *subscription) proves(r *row) bool {
	version, doubted := u.unproven[r.Name]
	if doubted && version == "" {
		u.unproven[r.Name] = r.Version
	}
	return !doubted || version != "" && version != r.Version
}

// begin takes what the first request of a type says.
func (s *stream) begin(k kind, req *discoveryv3.DeltaDiscoveryRequest) {
	sub := &s.subs[k]
	sub.seen = true
	if len(req.GetInitialResourceVersions()) > 0 {
		sub.had = req.GetInitialResourceVersions()
		s.status.Resumed = true
	}
	if k == endpoints && !s.subs[clusters].seen {
		// Envoy asks for clusters first, unless one waits for what a broken
		// connection did not bring: it may be endpoints that Envoy holds
		// for another cluster.
		sub.had = nil
	}
	// The old form of a wildcard: a first request that names nothing.
	if k.wildcard() && len(req.GetResourceNamesSubscribe()) == 0 {
		sub.all, sub.owedAll = true, true
	}
}

// subscribe takes a request's changes of the subscription and answers them.
func (s *stream) subscribe(k kind, req *discoveryv3.DeltaDiscoveryRequest) error {
	sub := &s.subs[k]
	begins := !sub.seen
	if begins {
		s.begin(k, req)
	}
	var dropped []string
	for _, name := range req.GetResourceNamesUnsubscribe() {
		if s.drop(k, name) {
			dropped = append(dropped, name)
		}
	}
	for _, name := range req.GetResourceNamesSubscribe() {
		s.add(k, name)
		if begins && k == secrets && s.status.Resumed && sub.had[name] == "" {
			sub.doubt(name)
		}
	}
	if sub.all {
		// Envoy may have dropped what it no longer names, and the wildcard holds
		// it still.
		for _, name := range dropped {
			s.owe(sub, name)
		}
	}
	if s.cursor == nil {
		return nil
	}
	return s.answer(k)
}

func (s *stream) add(k kind, name string) {
	sub := &s.subs[k]
	switch _, known := sub.names[name]; {
	case name == wildcard && k.wildcard():
		sub.all, sub.owedAll = true, true
		return
	case name == "" || len(name) > maxName:
		s.ignore(&s.server.counters.ignored.names, "name is empty or too long")
		return
	case known && s.cursor == nil:
		return // it is owed already
	case known:
	case s.names >= s.server.opts.MaxNames || s.nameBytes+len(name) > s.server.opts.MaxMessage:
		// Answered, so that Envoy does not wait; not kept.
		s.ignore(&s.server.counters.ignored.names, "too many names")
	default:
		sub.names[name] = struct{}{}
		s.names++
		s.nameBytes += len(name)
		s.warmth.asked(k, name)
		if k == secrets {
			for _, row := range secretFallback(name) {
				if s.dependents[row] == nil {
					s.dependents[row] = map[string]struct{}{}
				}
				s.dependents[row][name] = struct{}{}
			}
		}
	}
	s.owe(sub, name)
}

// owe notes a name that must be answered. Before there is anything to answer with,
// names are bounded: a client may repeat them for as long as that lasts.
func (s *stream) owe(sub *subscription, name string) {
	if s.cursor == nil {
		if len(sub.owed) >= s.server.opts.MaxNames || s.owedBytes+len(name) > s.server.opts.MaxMessage {
			s.ignore(&s.server.counters.ignored.names, "too many names before the first revision")
			return
		}
		s.owedBytes += len(name)
	}
	sub.owed = append(sub.owed, name)
}

// drop ends a subscription, and says whether it was one by name.
func (s *stream) drop(k kind, name string) bool {
	sub := &s.subs[k]
	if name == wildcard && k.wildcard() {
		sub.all = false
		clear(sub.rejected)
		clear(s.lingering[k])
		clear(sub.waiting)
		if k == clusters {
			s.leavers = leavers{}
		}
		return false
	}
	if _, known := sub.names[name]; !known {
		return false
	}
	delete(sub.names, name)
	delete(sub.unproven, name)
	s.names--
	s.nameBytes -= len(name)
	if !sub.all {
		delete(sub.rejected, name)
		s.stays(k, name)
	}
	if k != secrets {
		return true
	}
	for _, row := range secretFallback(name) {
		delete(s.dependents[row], name)
		if len(s.dependents[row]) == 0 {
			delete(s.dependents, row)
		}
	}
	return true
}

// answer sends what a request is owed: all that Envoy does not have at the
// cursor's version, and the removal of what it has or wants and is not there.
func (s *stream) answer(k kind) error {
	sub := &s.subs[k]
	if !sub.owedAll && len(sub.owed) == 0 {
		return nil
	}
	had, all := sub.had, sub.owedAll && sub.all
	var rows []*row
	var removed []string
	if all {
		rows, removed = s.whole(k, had)
	}
	named, none := s.owedNames(k, had)
	removed = append(removed, none...)
	if !all { // else they are among all
		rows = named
	}
	sub.owed, sub.owedAll, sub.had = nil, false, nil

	rows = s.prepare(k, had, rows)
	if had != nil && len(rows)+len(removed) > 0 {
		s.hold(k)
		rows, removed = s.wait(k, rows, removed, s.first)
	}
	s.serving = true
	defer func() { s.serving = false }()
	// An Envoy that has nothing waits for the first answer, be it empty.
	if all && had == nil && len(rows)+len(removed) == 0 {
		return s.send(k, nil, nil)
	}
	if err := s.sendEach(k, rows, removed); err != nil {
		return err
	}
	if k == clusters && had != nil {
		// Envoy does not ask again for what an updated cluster uses.
		return s.sendUses(rows)
	}
	return nil
}

// prepare makes the rows of an answer ready for an Envoy that came with had.
func (s *stream) prepare(k kind, had map[string]string, rows []*row) []*row {
	if k == listeners {
		s.decorate(rows, func(r *row) bool { return had[r.Name] == "" })
	}
	if k == clusters {
		for _, r := range rows {
			if _, has := had[r.Name]; has {
				r.published().line.held.Store(true)
			}
		}
		if had != nil { // else all of them get warm before Envoy begins to serve
			s.chill(rows, func(name string) bool { return had[name] == "" })
		}
	}
	if k == scopes && had != nil {
		return anew(rows) // the stream before may have ended behind a refusal
	}
	return rows
}

// hold makes clusters, and what they use, linger until Envoy takes what is about to
// be sent: it has
// older listeners or scopes, which may use them. The answer is of a later revision
// than they when one has come since it asked for clusters.
func (s *stream) hold(k kind) {
	if k != listeners && k != scopes {
		return
	}
	for name := range s.leavers.of {
		s.lingering[clusters][name] = 0
	}
	s.leavers = leavers{}
	for _, lingering := range s.lingering[:listeners] {
		for name := range lingering {
			lingering[name] = s.cursor.revision
		}
	}
}

// owedNames lists the rows of the names that were asked for and that Envoy does
// not have and is not about to take, and the names that have none.
func (s *stream) owedNames(k kind, had map[string]string) (rows []*row, none []string) {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(s.subs[k].owed))) {
		switch r := s.resolve(k, name); {
		case r == nil:
			none = append(none, name)
			s.stays(k, name)
		case r.Version == had[name]:
			s.brought(r)
		default:
			rows = append(rows, r)
		}
	}
	return s.spare(k, rows), none
}

// whole lists the rows of a type that Envoy does not have, and the names that
// are to be removed from it now.
func (s *stream) whole(k kind, had map[string]string) (rows []*row, removed []string) {
	rows = make([]*row, 0, max(0, s.cursor.rows[k].Len()-len(had)))
	for _, r := range s.cursor.rows[k].All {
		if had != nil && had[r.Name] == r.Version {
			s.brought(r)
			continue
		}
		rows = append(rows, r)
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		switch {
		case s.cursor.get(k, name) != nil:
		case k == clusters: // Envoy's routes may use it until they are updated
			s.lingering[k][name] = s.cursor.revision
		default:
			removed = append(removed, name)
		}
	}
	return rows, removed
}

// brought notes that an Envoy came with the row: it counts what it has taken
// alone. The answer to a probe may have been lost with the stream before.
func (s *stream) brought(r *row) {
	r.accept()
	if r.published().Probe {
		s.probed(r)
	}
}

// resolve returns the row that serves a name, under that name.
func (s *stream) resolve(k kind, name string) *row {
	if k != secrets {
		return s.cursor.get(k, name)
	}
	return named(s.cursor.secret(name), name)
}
