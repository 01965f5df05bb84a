package pipeline

import (
	"cmp"
	"maps"
	"slices"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// eachFleet makes every EnvoyFleet a fleet: the way of a cluster, whose API
// server has validated them.
type eachFleet struct {
	base    func(*v1alpha1.EnvoyFleet) translator.FleetSpec
	objects map[ir.Name]*v1alpha1.EnvoyFleet
	dirty   map[ir.Name]struct{}
}

func newEachFleet(base func(*v1alpha1.EnvoyFleet) translator.FleetSpec) *eachFleet {
	return &eachFleet{base: base, objects: map[ir.Name]*v1alpha1.EnvoyFleet{}, dirty: map[ir.Name]struct{}{}}
}

func (f *eachFleet) put(n ir.Name, o *v1alpha1.EnvoyFleet) {
	if old := f.objects[n]; old == nil || old.Generation != o.Generation || old.UID != o.UID {
		f.dirty[n] = struct{}{}
	}
	f.objects[n] = o
}

func (f *eachFleet) remove(n ir.Name) {
	delete(f.objects, n)
	f.dirty[n] = struct{}{}
}

func (*eachFleet) note([]source.Problem) {}

func (f *eachFleet) apply(c *graph.Changes, in *translator.Inputs) {
	for n := range f.dirty {
		o, ok := f.objects[n]
		if !ok {
			in.Fleets.Delete(c, n)
			continue
		}
		spec := f.base(o)
		spec.Name, spec.Selector.Fleet = n, n
		shape(&spec, o)
		in.Fleets.Put(c, n, &spec)
	}
	clear(f.dirty)
}

func (f *eachFleet) report() []report.FleetObject {
	names := slices.SortedFunc(maps.Keys(f.objects), func(a, b ir.Name) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	out := make([]report.FleetObject, len(names))
	for i, n := range names {
		out[i] = report.FleetObject{Object: f.objects[n], Fleet: n, Chosen: n}
	}
	return out
}
