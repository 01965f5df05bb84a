package translator

import (
	"iter"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// ResourceChange is one Envoy resource of one fleet that a revision changed.
type ResourceChange struct {
	Fleet ir.Name
	Type  envoy.Type
	Name  string
	// Resource is nil when it was removed.
	Resource *envoy.Resource
}

// Changed lists the Envoy resources that the commit of rev changed. Its cost
// follows the changes.
func (t *Translator) Changed(rev *graph.Revision) []ResourceChange {
	var out []ResourceChange
	out = changes(out, rev, t.clusters, func(k resourceKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.assignments, func(k assignmentKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.trustSecrets, func(k resourceKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.keySecrets, func(k certificateKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.hostSecrets, func(k scopeKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.listeners, func(k listenerKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.scopes, func(k scopeKey) ir.Name { return k.Fleet })
	out = changes(out, rev, t.fallbacks, func(k listenerKey) ir.Name { return k.Fleet })
	return changes(out, rev, t.misdirected, func(k listenerKey) ir.Name { return k.Fleet })
}

func changes[K graph.Key](out []ResourceChange, rev *graph.Revision, u *graph.Unit[K, *envoy.Resource], fleet func(K) ir.Name) []ResourceChange {
	for _, c := range graph.ChangesOf(rev, u) {
		if c.HadOld && (!c.HasNew || c.Old.Name != c.New.Name) {
			out = append(out, ResourceChange{Fleet: fleet(c.Key), Type: c.Old.Type, Name: c.Old.Name})
		}
		if c.HasNew {
			out = append(out, ResourceChange{Fleet: fleet(c.Key), Type: c.New.Type, Name: c.New.Name, Resource: c.New})
		}
	}
	return out
}

// Resources yields all Envoy resources of a revision with their fleets, type
// by type in the order of delivery.
func (t *Translator) Resources(rev *graph.Revision) iter.Seq2[ir.Name, *envoy.Resource] {
	return func(yield func(ir.Name, *envoy.Resource) bool) {
		_ = each(rev, t.clusters, func(k resourceKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.assignments, func(k assignmentKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.trustSecrets, func(k resourceKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.keySecrets, func(k certificateKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.hostSecrets, func(k scopeKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.listeners, func(k listenerKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.scopes, func(k scopeKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.fallbacks, func(k listenerKey) ir.Name { return k.Fleet }, yield) &&
			each(rev, t.misdirected, func(k listenerKey) ir.Name { return k.Fleet }, yield)
	}
}

func each[K graph.Key](rev *graph.Revision, u *graph.Unit[K, *envoy.Resource], fleet func(K) ir.Name, yield func(ir.Name, *envoy.Resource) bool) bool {
	for k, r := range u.All(rev.Reader()) {
		if !yield(fleet(k), r) {
			return false
		}
	}
	return true
}
