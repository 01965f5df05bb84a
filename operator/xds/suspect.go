package xds

import "time"

// waiting are clusters that Envoy has not acknowledged.
type waiting struct {
	// missing wait for resources, outside for what none brings; all are the others
	// of the first response, of which no Envoy has acknowledged unknown.
	missing, outside, unknown, all []WarmingCluster
	// blockers are the names of those that Envoy may wait for, also of such as it
	// has not had for long, or has been sent a later version of.
	blockers map[string]struct{}
}

// suspect names the clusters, sent before a time and not acknowledged, that
// miss something. Where none does, those that wait for something outside; else
// those of the first response of which no Envoy of the fleet has acknowledged
// these bytes; or else all of it.
func (s *stream) suspect(before time.Time) []WarmingCluster {
	w := waiting{blockers: map[string]struct{}{}}
	owed := s.owedAnswers()
	first := s.oldestClusters()
	for _, e := range s.subs[clusters].queue {
		if e.done || e.optional {
			continue
		}
		for _, r := range e.rows {
			if r.uses().outside {
				w.blockers[r.Name] = struct{}{}
			}
			if now := s.cursor.get(clusters, r.Name); now != nil && now.Version != r.Version {
				continue // a later response has taken its place
			}
			c := s.waits(e, r, owed)
			if len(c.Missing) > 0 {
				w.blockers[r.Name] = struct{}{}
			}
			if !e.sent.After(before) {
				w.add(&c, e == first)
			}
		}
	}
	return w.found()
}

// waits is what is known of a cluster that is not acknowledged.
func (s *stream) waits(e *expectation, r *row, owed [kindCount]map[string]bool) WarmingCluster {
	of := r.published()
	taken := of.line.good.Load() == of
	return WarmingCluster{
		Name: r.Name, Revision: e.revision, Since: e.sent, Missing: s.missing(r, owed), Outside: r.uses().outside,
		Taken: taken, Served: !taken && of.line.served(),
	}
}

func (w *waiting) add(c *WarmingCluster, first bool) {
	switch {
	case len(c.Missing) > 0:
		w.missing = append(w.missing, *c)
	case c.Outside:
		w.outside = append(w.outside, *c)
	case first:
		w.all = append(w.all, *c)
		if !c.Taken {
			w.unknown = append(w.unknown, *c)
		}
	}
}

// found are those that are most likely to blame. One that waits for something
// outside may have it already while Envoy waits for a neighbour: both are named,
// and neither is known to be the one.
func (w *waiting) found() []WarmingCluster {
	if len(w.blockers) > 1 {
		for i := range w.outside {
			w.outside[i].Outside = false
		}
	}
	for _, found := range [][]WarmingCluster{w.missing, w.outside, w.unknown} {
		if len(found) > 0 {
			return found
		}
	}
	return w.all
}

// owedAnswers are the names that were sent and that Envoy has not acknowledged.
func (s *stream) owedAnswers() (owed [kindCount]map[string]bool) {
	for _, k := range []kind{endpoints, secrets} {
		owed[k] = map[string]bool{}
		for _, e := range s.subs[k].queue {
			for _, r := range e.rows {
				owed[k][r.Name] = owed[k][r.Name] || !e.done
			}
		}
	}
	return owed
}

func (s *stream) missing(r *row, owed [kindCount]map[string]bool) (out []Missing) {
	refs := r.uses()
	look := func(k kind, name string) {
		sub := &s.subs[k]
		m := Missing{Type: types[k], Name: name}
		_, refused := sub.rejected[name]
		switch {
		case s.resolve(k, name) == nil:
			m.Reason = MissingInFleet
		case refused:
			m.Reason = MissingRefused
		case !sub.wants(name):
			m.Reason = MissingSubscription
		case owed[k][name]:
			m.Reason = MissingAnswer
		default:
			return
		}
		out = append(out, m)
	}
	if refs.assignment != "" {
		look(endpoints, refs.assignment)
	}
	for _, name := range refs.secrets {
		look(secrets, name)
	}
	return out
}
