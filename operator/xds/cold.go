package xds

import (
	"bytes"
	"slices"
	"time"
)

// A cluster that checks the health of its endpoints, or resolves their name, is not
// there for requests before Envoy has had an answer: what leads to it would be
// answered 503 meanwhile. So what newly leads to such a cluster waits until Envoy has
// acknowledged it, for Options.WarmingTimeout at most, and what was before it serves.
// All else, and what leads to clusters that wait for resources alone, goes at once:
// these come on the same stream before.

// cold are clusters that Envoy was sent and cannot use yet.
type cold struct {
	since map[string]time.Time
	// fewer says that there are fewer than when the waiting were looked at, or that
	// one of these has changed.
	fewer bool
}

// waiter is a listener or scope that waits for a cluster.
type waiter struct {
	revision uint64 // the first that is not delivered because of it
	since    time.Time
	// isNew says that Envoy does not have the listener.
	isNew bool
}

// news are the clusters among changes that Envoy does not have.
func (s *stream) news(ch []change) map[string]bool {
	var out map[string]bool
	for _, c := range ch {
		if c.now == nil { // it may come back before Envoy can use it
			_, is := s.cold.since[c.name]
			s.cold.fewer = s.cold.fewer || is
			continue
		}
		_, lingers := s.lingering[clusters][c.name]
		_, leaves := s.leavers.of[c.name]
		if c.old != nil || lingers || leaves {
			continue
		}
		if out == nil {
			out = map[string]bool{}
		}
		out[c.name] = true
	}
	return out
}

// chill notes which of the clusters that are about to be sent Envoy cannot use yet.
func (s *stream) chill(rows []*row, isNew func(name string) bool) {
	for _, r := range rows {
		_, refused := s.subs[clusters].rejected[r.Name]
		if _, is := s.cold.since[r.Name]; is || !refused && !isNew(r.Name) || !r.uses().outside {
			continue
		}
		if s.cold.since == nil {
			s.cold.since = map[string]time.Time{}
		}
		s.cold.since[r.Name] = time.Now()
	}
}

// thaw notes that Envoy has taken resources: it uses clusters by then.
func (s *stream) thaw(k kind, rows []*row) {
	if k != clusters {
		return
	}
	for _, r := range rows {
		s.forget(r.Name)
	}
}

func (s *stream) forget(name string) {
	if _, is := s.cold.since[name]; is {
		delete(s.cold.since, name)
		s.cold.fewer = true
	}
}

// coldDue is when a cluster is waited for no longer, or by one; zero: none is.
func (s *stream) coldDue() (due time.Time) {
	for _, since := range s.cold.since {
		due = earlier(due, since)
	}
	for _, k := range waitingKinds {
		for _, w := range s.subs[k].waiting {
			due = earlier(due, w.since)
		}
	}
	if due.IsZero() {
		return due
	}
	return due.Add(s.server.opts.WarmingTimeout)
}

// waitingKinds are those whose resources lead to clusters.
var waitingKinds = [...]kind{listeners, scopes}

// isOver says whether what has lasted since then is waited for no longer.
func (s *stream) isOver(since, now time.Time) bool {
	return !now.Before(since.Add(s.server.opts.WarmingTimeout))
}

// expire gives up on clusters that have had their time, and for those that have
// waited as long for one after another.
func (s *stream) expire(now time.Time) {
	for name, since := range s.cold.since {
		if s.isOver(since, now) {
			s.log.V(1).Info("A cluster is not warm in time: what leads to it waits no longer", "cluster", name)
			s.forget(name)
		}
	}
	for _, k := range waitingKinds {
		for _, w := range s.subs[k].waiting {
			s.cold.fewer = s.cold.fewer || s.isOver(w.since, now)
		}
	}
}

// maxSearch bounds the search for names of clusters in resources, in bytes, of which
// some ten thousand take a microsecond. Beyond it each resource is taken for one that
// leads to all of them.
const maxSearch = 256 << 20

// leadsToCold returns what says whether one of the resources leads to a cluster that
// is cold. The name of a cluster is looked for in the resource's bytes: wherever it
// stands, Envoy needs the cluster.
func (s *stream) leadsToCold(rows []*row) func(*row) bool {
	names := make([][]byte, 0, len(s.cold.since))
	for name := range s.cold.since {
		if s.cursor.get(clusters, name) != nil {
			names = append(names, []byte(name))
		}
	}
	size := 0
	for _, r := range rows {
		size += len(r.Body)
	}
	if len(names) == 0 || size > maxSearch/len(names) {
		return func(*row) bool { return len(names) > 0 }
	}
	return func(r *row) bool {
		return slices.ContainsFunc(names, func(name []byte) bool { return bytes.Contains(r.Body, name) })
	}
}

// wait keeps back those of the rows that lead to cold clusters, and the rows and
// removals of names that wait already: these belong to the revision of the first.
// The others are of revisions from one on.
func (s *stream) wait(k kind, rows []*row, removed []string, from uint64) ([]*row, []string) {
	waiting := s.subs[k].waiting
	if k < listeners || len(s.cold.since) == 0 && len(waiting) == 0 {
		return rows, removed
	}
	isCold, now := s.leadsToCold(rows), time.Now()
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool {
		if _, waits := waiting[r.Name]; waits {
			s.cold.fewer = true
			return true
		}
		if !isCold(r) {
			return false
		}
		waiting[r.Name] = waiter{revision: from, since: now, isNew: k == listeners && r.origin != nil}
		return true
	})
	removed = slices.DeleteFunc(slices.Clone(removed), func(name string) bool {
		_, waits := waiting[name]
		s.cold.fewer = s.cold.fewer || waits
		return waits
	})
	return rows, removed
}

// sendWaiting sends those that lead to no cold cluster any more, or have waited for
// long enough.
func (s *stream) sendWaiting(now time.Time) error {
	s.expire(now)
	if !s.cold.fewer {
		return nil
	}
	s.cold.fewer = false
	for _, k := range waitingKinds {
		if err := s.sendWaitingOf(k, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) sendWaitingOf(k kind, now time.Time) error {
	sub := &s.subs[k]
	var rows []*row
	var removed []string
	for name := range sub.waiting {
		if r := s.cursor.get(k, name); r != nil {
			rows = append(rows, r)
		} else {
			removed = append(removed, name)
		}
	}
	isCold := s.leadsToCold(rows)
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !s.isOver(sub.waiting[r.Name].since, now) && isCold(r) })
	slices.SortFunc(rows, byName)
	slices.Sort(removed)

	first, isNew := s.cursor.revision, map[string]bool{}
	end := func(name string) {
		w := sub.waiting[name]
		first, isNew[name] = min(first, w.revision), w.isNew
		delete(sub.waiting, name)
	}
	for _, name := range removed {
		end(name)
	}
	for i, r := range rows {
		end(r.Name)
		if _, refused := sub.rejected[r.Name]; refused && k == scopes {
			rows[i] = r.anew()
		}
	}
	if k == listeners {
		s.decorate(rows, func(r *row) bool { return isNew[r.Name] })
	}
	s.since = first
	defer func() { s.since = 0 }()
	return s.sendEach(k, rows, removed)
}
