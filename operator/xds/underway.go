package xds

import (
	"slices"
	"sort"
)

// spare returns those of the rows that Envoy asks for, by name in order, which no
// response brings that was sent unasked and that Envoy has yet to answer. Envoy
// asked before it took such a response, or it would have answered before it asked,
// or with the same request: so it uses what is in it.
func (s *stream) spare(k kind, rows []*row) []*row {
	queue := s.subs[k].queue
	if k.wildcard() || len(rows) == 0 || len(queue) == 0 {
		return rows
	}
	judged, left := make([]bool, len(rows)), len(rows)
	out := make([]*row, 0, len(rows))
	judge := func(i int, underWay bool) {
		if judged[i] {
			return
		}
		judged[i] = true
		left--
		if !underWay {
			out = append(out, rows[i])
		}
	}
	name := func(i int) string { return rows[i].Name }
	for _, e := range slices.Backward(queue) { // the newest that has a name counts
		if left == 0 {
			break
		}
		common(len(rows), len(e.removed), name, func(j int) string { return e.removed[j] }, func(i, _ int) { judge(i, false) })
		if e.done || e.optional {
			continue
		}
		common(len(rows), len(e.rows), name, func(j int) string { return e.rows[j].Name }, func(i, j int) {
			use := !judged[i] && e.rows[j].Version == rows[i].Version && !e.isAsked(j)
			if use {
				e.unasked[j] = false
			}
			judge(i, use)
		})
	}
	for i := range rows {
		judge(i, false)
	}
	slices.SortFunc(out, byName)
	return out
}

// common finds the places of the names that two sorted lists have in common. It
// costs what the shorter one has: one request may ask for all of a fleet, and each
// secret has a response of its own.
func common(a, b int, nameA, nameB func(int) string, found func(i, j int)) {
	if a > b {
		common(b, a, nameB, nameA, func(i, j int) { found(j, i) })
		return
	}
	for i := range a {
		name := nameA(i)
		j := sort.Search(b, func(j int) bool { return nameB(j) >= name })
		if j < b && nameB(j) == name {
			found(i, j)
		}
	}
}
