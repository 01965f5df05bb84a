package xds

import (
	"maps"
	"slices"
	"time"

	"github.com/signetproxy/signet/translator/envoy"
)

// advance sends what the fleet's newest revision changed, and the removals that
// have become safe.
func (s *stream) advance() error {
	head := s.fleet.head.Load()
	switch {
	case head == nil || head == s.cursor:
	case s.cursor == nil:
		s.cursor, s.first = head, head.revision
		s.status.Sent = head.revision
		for k := range s.subs {
			if err := s.answer(kind(k)); err != nil {
				return err
			}
		}
	case s.outstanding >= s.server.opts.MaxUnacknowledged:
		// Envoy does not answer: it gets the newest revision when it does.
		s.status.Held = true
		return nil
	default:
		old := s.cursor
		s.cursor = head
		s.status.Sent = head.revision
		if err := s.push(old, head.since(old)); err != nil {
			return err
		}
	}
	s.status.Held = false
	if err := s.sendSuspected(); err != nil {
		return err
	}
	now := time.Now()
	if err := s.sendWaiting(now); err != nil {
		return err
	}
	return s.release(now)
}

// push sends changes in the order that needs no waiting: Envoy subscribes to
// what a message needs while it handles that message, and the next one brings
// it.
func (s *stream) push(old *snapshot, ch *changes) error {
	s.from = old.revision + 1
	defer func() { s.from = 0 }()
	isNew := s.news(ch[clusters])
	added := append(s.additions(clusters, ch[clusters]), s.returned(clusters, old)...)
	s.chill(added, func(name string) bool { return isNew[name] })
	if err := s.sendEach(clusters, added, nil); err != nil {
		return err
	}
	s.serving = len(added) > 0
	defer func() { s.serving = false }()
	used := usesOf(added)
	if err := s.sendEach(endpoints, s.endpointsFor(ch[endpoints], used), nil); err != nil {
		return err
	}
	if err := s.sendEach(secrets, s.secretsFor(old, ch[secrets], used), nil); err != nil {
		return err
	}
	for _, k := range []kind{listeners, scopes} {
		rows := append(s.additions(k, ch[k]), s.returned(k, old)...)
		if k == listeners {
			s.decorate(rows, func(r *row) bool { return old.get(k, r.Name) == nil })
		}
		rows, removed := s.wait(k, rows, s.removals(k, ch[k]), s.from)
		if err := s.sendEach(k, rows, removed); err != nil {
			return err
		}
	}
	return nil
}

// additions are the changed rows that Envoy subscribes to. Dropped rows linger,
// but for those of listeners and scopes.
func (s *stream) additions(k kind, ch []change) []*row {
	sub := &s.subs[k]
	var rows []*row
	for _, c := range ch {
		switch {
		case !sub.wants(c.name):
		case c.now != nil:
			rows = append(rows, c.now)
			s.stays(k, c.name)
		case k < listeners:
			s.lingering[k][c.name] = s.cursor.revision
		}
	}
	return rows
}

// returned are the rows that Envoy has refused, and that were held back and are
// tried again, both between the snapshots: for Envoy nothing has changed.
func (s *stream) returned(k kind, old *snapshot) []*row {
	var rows []*row
	for name := range s.subs[k].rejected {
		was, is := old.get(k, name), s.cursor.get(k, name)
		if was != is && is != nil && same(was, is) {
			rows = append(rows, is)
		}
	}
	if k == scopes {
		return anew(rows)
	}
	slices.SortFunc(rows, byName)
	return rows
}

func (s *stream) removals(k kind, ch []change) []string {
	sub := &s.subs[k]
	var names []string
	for _, c := range ch {
		if c.now == nil && sub.wants(c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// uses are the names that clusters use.
type uses struct{ assignments, secrets map[string]struct{} }

func usesOf(rows []*row) uses {
	u := uses{map[string]struct{}{}, map[string]struct{}{}}
	for _, r := range rows {
		refs := r.uses()
		if refs.assignment != "" {
			u.assignments[refs.assignment] = struct{}{}
		}
		for _, name := range refs.secrets {
			u.secrets[name] = struct{}{}
		}
	}
	return u
}

// endpointsFor adds to the changed load assignments those of new and updated
// clusters, unasked: Envoy does not ask again for those of an updated one.
func (s *stream) endpointsFor(ch []change, u uses) []*row {
	rows := s.additions(endpoints, ch)
	for _, r := range rows {
		delete(u.assignments, r.Name)
	}
	for name := range u.assignments {
		if r := s.cursor.get(endpoints, name); r != nil {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, byName)
	return rows
}

// secretsFor are the subscribed names whose secret changed, and those that new
// and updated clusters use and Envoy does not have, unasked.
func (s *stream) secretsFor(old *snapshot, ch []change, u uses) []*row {
	sub := &s.subs[secrets]
	touched := map[string]struct{}{}
	for _, c := range ch {
		if sub.wants(c.name) {
			touched[c.name] = struct{}{}
		}
		for name := range s.dependents[c.name] {
			touched[name] = struct{}{}
		}
	}
	var rows []*row
	for name := range touched {
		was, is := old.secret(name), s.cursor.secret(name)
		switch {
		case same(was, is):
		case is == nil:
			s.lingering[secrets][name] = s.cursor.revision
		default:
			rows = append(rows, named(is, name))
			delete(s.lingering[secrets], name)
		}
	}
	for name := range u.secrets {
		if r := s.cursor.get(secrets, name); r != nil && !sub.wants(name) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, byName)
	return rows
}

// sendUses sends, unasked, what clusters use.
func (s *stream) sendUses(rows []*row) error {
	s.serving = true
	defer func() { s.serving = false }()
	u := usesOf(rows)
	if err := s.sendEach(endpoints, s.endpointsFor(nil, u), nil); err != nil {
		return err
	}
	return s.sendEach(secrets, s.secretsFor(nil, nil, u), nil)
}

// named returns a secret under the name that Envoy asks for.
func named(r *row, name string) *row {
	if r == nil || r.Name == name {
		return r
	}
	renamed := newRow(secrets, envoy.RenamedSecret(r.Resource, name))
	renamed.origin = r
	return renamed
}

// decorate replaces the listeners that are new to Envoy by what FirstListener
// makes of them.
func (s *stream) decorate(rows []*row, isNew func(*row) bool) {
	hook := s.server.opts.FirstListener
	if hook == nil {
		return
	}
	for i, r := range rows {
		if !isNew(r) {
			continue
		}
		if d := hook(s.fleet.name, r.Resource); d != nil && d != r.Resource {
			rows[i] = newRow(listeners, &envoy.Resource{Type: r.Type, Name: r.Name, Version: r.Version, Body: d.Body})
			rows[i].origin = r
		}
	}
}

// sortedKeys lists a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
