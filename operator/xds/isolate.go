package xds

import "slices"

// suspects are resources of one type that Envoy refused together.
type suspects struct {
	kind kind
	rows []*row
}

// early returns the cluster of a response that Envoy refused before it took a secret
// which the cluster uses: Envoy may have judged it by a secret that it had refused,
// and that is mended by now. The second refusal counts.
func (s *stream) early(e *expectation) []*row {
	if e.kind != clusters || e.again || len(e.rows) != 1 || len(e.removed) > 0 {
		return nil
	}
	needs := e.rows[0].uses().secrets
	for _, later := range slices.Backward(s.subs[secrets].queue) {
		if later.nonce < e.nonce {
			break
		}
		for _, r := range later.rows {
			if !later.done && !later.optional && slices.Contains(needs, r.Name) && s.subs[secrets].wants(r.Name) {
				return s.standing(suspects{clusters, e.rows})
			}
		}
	}
	return nil
}

// again sends parts of a response a second time: they still belong to its revision,
// which is not over before Envoy has taken them.
func (s *stream) again(e *expectation, rows []*row, removed []string) error {
	s.since = e.from
	err := s.sendEach(e.kind, rows, removed)
	s.since = 0
	if err != nil || e.kind != clusters || len(rows) == 0 {
		return err
	}
	return s.sendUses(rows)
}

// isolate sends a refused response again in parts: its removals, and each half of
// its resources. What of a half is refused again is halved again, until every bad
// resource has been refused alone: among n of them it costs 2 log n responses, where
// one for each would be more than Envoy may owe answers to.
func (s *stream) isolate(e *expectation, message string) error {
	var gone []string
	for _, name := range e.removed {
		switch {
		case s.resolve(e.kind, name) == nil:
			gone = append(gone, name)
		case e.kind >= listeners:
			// It is back: Envoy uses what it had before, until it takes that.
			s.subs[e.kind].reject(name, "", e, message)
		}
	}
	if err := s.again(e, nil, gone); err != nil {
		return err
	}
	rows := s.standing(suspects{e.kind, e.rows})
	half := len(rows) / 2
	s.suspected = append(s.suspected, suspects{e.kind, rows[half:]}, suspects{e.kind, rows[:half]})
	// An Envoy that refuses everything has each resource in one part at most, but for
	// those of which there are newer bytes.
	if most := 2*s.server.opts.MaxUnacknowledged + s.cursor.size() + requestBuffer; len(s.suspected) > most {
		s.log.Info("Ending a stream that refuses the same again and again", "waiting", len(s.suspected))
		return s.endUnacknowledged("%d parts of refused responses wait to be acknowledged", len(s.suspected))
	}
	return s.sendSuspected()
}

// standing are the suspects that no later response has taken the place of.
func (s *stream) standing(of suspects) []*row {
	out := make([]*row, 0, len(of.rows))
	for _, refused := range of.rows {
		if r := s.resolve(of.kind, refused.Name); r != nil && r.Version == refused.Version && s.subs[of.kind].wants(r.Name) {
			out = append(out, r)
		}
	}
	return out
}

// sendSuspected sends suspects, the last first. The answers that Envoy may owe to
// them are half of all: the fleet's next revisions come through meanwhile.
func (s *stream) sendSuspected() error {
	var sent []*row // clusters
	for len(s.suspected) > 0 && s.outstanding < max(1, s.server.opts.MaxUnacknowledged/2) {
		last := len(s.suspected) - 1
		k, rows := s.suspected[last].kind, s.standing(s.suspected[last])
		s.suspected[last] = suspects{}
		s.suspected = s.suspected[:last]
		if k == clusters {
			sent = append(sent, rows...)
		}
		if k == scopes {
			rows = anew(rows)
		}
		if err := s.sendEach(k, rows, nil); err != nil {
			return err
		}
	}
	if len(sent) == 0 {
		return nil
	}
	return s.sendUses(sent)
}
