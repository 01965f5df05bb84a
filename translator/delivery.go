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

// resourceTable is one table that Envoy resources come from.
type resourceTable interface {
	changes(out []ResourceChange, rev *graph.Revision) []ResourceChange
	each(rev *graph.Revision, yield func(ir.Name, *envoy.Resource) bool) bool
}

// tableOf is a unit table whose rows hold a resource, or none.
type tableOf[K graph.Key, V any] struct {
	unit     *graph.Unit[K, V]
	fleet    func(K) ir.Name
	resource func(V) *envoy.Resource
}

// tables are all of them, in the order of delivery.
func (t *Translator) tables() []resourceTable {
	byName := func(k resourceKey) ir.Name { return k.Fleet }
	byHost := func(k scopeKey) ir.Name { return k.Fleet }
	byListener := func(k listenerKey) ir.Name { return k.Fleet }
	return []resourceTable{
		tableOf[resourceKey, served]{t.clusters, byName, served.resource},
		tableOf[assignmentKey, served]{t.assignments, func(k assignmentKey) ir.Name { return k.Fleet }, served.resource},
		tableOf[resourceKey, served]{t.trustSecrets, byName, served.resource},
		tableOf[certificateKey, served]{t.keySecrets, func(k certificateKey) ir.Name { return k.Fleet }, served.resource},
		tableOf[scopeKey, served]{t.hostSecrets, byHost, served.resource},
		tableOf[listenerKey, served]{t.listeners, byListener, served.resource},
		tableOf[scopeKey, *host]{t.hosts, byHost, func(h *host) *envoy.Resource { return h.Scope }},
		tableOf[listenerKey, served]{t.fallbacks, byListener, served.resource},
		tableOf[listenerKey, served]{t.misdirected, byListener, served.resource},
		tableOf[RefusalKey, served]{t.probes, func(k RefusalKey) ir.Name { return k.Fleet }, served.resource},
	}
}

// Changed lists the Envoy resources that the commit of rev changed. Its cost
// follows the changes.
func (t *Translator) Changed(rev *graph.Revision) []ResourceChange {
	var out []ResourceChange
	for _, table := range t.tables() {
		out = table.changes(out, rev)
	}
	return out
}

func (t tableOf[K, V]) changes(out []ResourceChange, rev *graph.Revision) []ResourceChange {
	for _, c := range graph.ChangesOf(rev, t.unit) {
		var before, after *envoy.Resource
		if c.HadOld {
			before = t.resource(c.Old)
		}
		if c.HasNew {
			after = t.resource(c.New)
		}
		if before != nil && (after == nil || after.Name != before.Name) {
			out = append(out, ResourceChange{Fleet: t.fleet(c.Key), Type: before.Type, Name: before.Name})
		}
		if after != nil && !after.Equal(before) {
			out = append(out, ResourceChange{Fleet: t.fleet(c.Key), Type: after.Type, Name: after.Name, Resource: after})
		}
	}
	return out
}

// Resources yields all Envoy resources of a revision with their fleets, type
// by type in the order of delivery.
func (t *Translator) Resources(rev *graph.Revision) iter.Seq2[ir.Name, *envoy.Resource] {
	return func(yield func(ir.Name, *envoy.Resource) bool) {
		for _, table := range t.tables() {
			if !table.each(rev, yield) {
				return
			}
		}
	}
}

func (t tableOf[K, V]) each(rev *graph.Revision, yield func(ir.Name, *envoy.Resource) bool) bool {
	for k, v := range t.unit.All(rev.Reader()) {
		if r := t.resource(v); r != nil && !yield(t.fleet(k), r) {
			return false
		}
	}
	return true
}
