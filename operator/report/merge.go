package report

import (
	"cmp"
	"slices"
)

// Merge joins the reports of replicas, which differ in the Envoys that are
// connected to each. The newest of them says all else; its revision is of that
// replica alone.
func Merge(replicas []*Report) *Report {
	if len(replicas) == 0 {
		return nil
	}
	newest := slices.MaxFunc(replicas, func(a, b *Report) int { return a.Time.Compare(b.Time) })
	out := *newest
	out.Fleets = slices.Clone(out.Fleets)
	out.Statuses = slices.Clone(out.Statuses)
	for _, other := range replicas {
		if other == newest {
			continue
		}
		out.addFleets(other)
		out.addProgress(other)
	}
	for i := range out.Fleets {
		slices.SortFunc(out.Fleets[i].Envoys, func(a, b Envoy) int { return cmp.Compare(a.Node, b.Node) })
	}
	return &out
}

func (r *Report) addFleets(other *Report) {
	for i := range other.Fleets {
		f := &other.Fleets[i]
		at := slices.IndexFunc(r.Fleets, func(x Fleet) bool { return x.Namespace == f.Namespace && x.Name == f.Name })
		if at < 0 {
			continue // the newest knows better
		}
		r.Fleets[at].Envoys = slices.Concat(r.Fleets[at].Envoys, f.Envoys)
	}
}

// addProgress adds up the Envoys that have acknowledged an object, each at the
// revision of its own replica.
func (r *Report) addProgress(other *Report) {
	type key struct{ kind, namespace, name string }
	progress := map[key]*Programmed{}
	for i := range other.Statuses {
		s := &other.Statuses[i]
		progress[key{s.Kind, s.Namespace, s.Name}] = s.Programmed
	}
	for i := range r.Statuses {
		s := &r.Statuses[i]
		p := progress[key{s.Kind, s.Namespace, s.Name}]
		switch {
		case p == nil:
		case s.Programmed == nil:
			s.Programmed = p
		default:
			sum := *s.Programmed
			sum.Acknowledged += p.Acknowledged
			sum.Envoys += p.Envoys
			s.Programmed = &sum
		}
	}
}
