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
	// fewer says that there are fewer than when the waiting were looked at, or more
	// that wait.
	fewer bool
}

// news are the clusters among changes that Envoy does not have.
func (s *stream) news(ch []change) map[string]bool {
	var out map[string]bool
	for _, c := range ch {
		if c.now == nil {
			s.forget(c.name)
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

// thaw notes that Envoy uses clusters.
func (s *stream) thaw(rows []*row) {
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

// coldDue is when a cluster is waited for no longer; zero: none is.
func (s *stream) coldDue() (due time.Time) {
	for _, since := range s.cold.since {
		due = earlier(due, since.Add(s.server.opts.WarmingTimeout))
	}
	return due
}

// expire gives up on clusters that have had their time.
func (s *stream) expire(now time.Time) {
	for name, since := range s.cold.since {
		if !now.Before(since.Add(s.server.opts.WarmingTimeout)) {
			s.log.V(1).Info("A cluster is not warm in time: what leads to it waits no longer", "cluster", name)
			s.forget(name)
		}
	}
}

// maxLooks bounds the search for names of clusters in resources, of about 0.1 us
// each. Beyond it each resource is taken for one that leads to all of them.
const maxLooks = 1 << 18

// leadsToCold returns what says whether a resource leads to a cluster that is cold.
// The name of a cluster is looked for in the resource's bytes: wherever it stands,
// Envoy needs the cluster.
func (s *stream) leadsToCold(looks int) func(*row) bool {
	n := len(s.cold.since)
	if n == 0 || n*looks > maxLooks {
		return func(*row) bool { return n > 0 }
	}
	names := make([][]byte, 0, n)
	for name := range s.cold.since {
		names = append(names, []byte(name))
	}
	return func(r *row) bool {
		return slices.ContainsFunc(names, func(name []byte) bool { return bytes.Contains(r.Body, name) })
	}
}

// wait keeps back those of the rows that lead to cold clusters, and the rows and
// removals of names that wait already: they belong to the revision of the first.
func (s *stream) wait(k kind, rows []*row, removed []string) ([]*row, []string) {
	waiting := s.subs[k].waiting
	if k != listeners && k != scopes || len(s.cold.since) == 0 && len(waiting) == 0 {
		return rows, removed
	}
	isCold := s.leadsToCold(len(rows))
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool {
		_, waits := waiting[r.Name]
		if !waits && !isCold(r) {
			return false
		}
		if !waits {
			waiting[r.Name] = s.cursor.revision
		}
		s.cold.fewer = true
		return true
	})
	removed = slices.DeleteFunc(slices.Clone(removed), func(name string) bool {
		_, waits := waiting[name]
		s.cold.fewer = s.cold.fewer || waits
		return waits
	})
	return rows, removed
}

// sendWaiting sends those that lead to no cold cluster any more.
func (s *stream) sendWaiting(now time.Time) error {
	s.expire(now)
	if !s.cold.fewer {
		return nil
	}
	s.cold.fewer = false
	for _, k := range []kind{listeners, scopes} {
		if err := s.sendWaitingOf(k); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) sendWaitingOf(k kind) error {
	waiting := s.subs[k].waiting
	if len(waiting) == 0 {
		return nil
	}
	isCold := s.leadsToCold(len(waiting))
	var rows []*row
	var removed []string
	first := s.cursor.revision
	for name, revision := range waiting {
		r := s.cursor.get(k, name)
		if r != nil && isCold(r) {
			continue
		}
		if r == nil {
			removed = append(removed, name)
		} else {
			rows = append(rows, r)
		}
		first = min(first, revision)
		delete(waiting, name)
	}
	slices.SortFunc(rows, byName)
	slices.Sort(removed)
	if k == scopes {
		rows = anew(rows) // Envoy may have refused the response that had one of them
	}
	s.since = first
	defer func() { s.since = 0 }()
	return s.sendEach(k, rows, removed)
}
