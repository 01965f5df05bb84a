package pipeline

import (
	"cmp"
	"maps"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// eachFleet makes every EnvoyFleet a fleet, and every Gateway of a class of
// Signet's: the way of a cluster, whose API server has validated them.
type eachFleet struct {
	base    func(*v1alpha1.EnvoyFleet) translator.FleetSpec
	objects map[ir.Name]*v1alpha1.EnvoyFleet
	dirty   map[ir.Name]struct{}

	ofGateway     func(*gatewayv1.Gateway, *v1alpha1.EnvoyFleet) translator.FleetSpec
	gateways      map[ir.Name]*gatewayv1.Gateway
	classes       map[string]*gatewayv1.GatewayClass
	dirtyGateways map[ir.Name]struct{}
	// made are the fleets of Gateways that there are.
	made map[ir.Name]ir.Name
	logs formerLogs
}

func newEachFleet(
	base func(*v1alpha1.EnvoyFleet) translator.FleetSpec, ofGateway func(*gatewayv1.Gateway, *v1alpha1.EnvoyFleet) translator.FleetSpec,
) *eachFleet {
	return &eachFleet{
		base: base, objects: map[ir.Name]*v1alpha1.EnvoyFleet{}, dirty: map[ir.Name]struct{}{},
		ofGateway: ofGateway, gateways: map[ir.Name]*gatewayv1.Gateway{}, classes: map[string]*gatewayv1.GatewayClass{},
		dirtyGateways: map[ir.Name]struct{}{}, made: map[ir.Name]ir.Name{}, logs: formerLogs{},
	}
}

func (f *eachFleet) put(n ir.Name, o *v1alpha1.EnvoyFleet) {
	if old := f.objects[n]; old == nil || old.Generation != o.Generation || old.UID != o.UID {
		f.dirty[n] = struct{}{}
		f.reshape(func(g *gatewayv1.Gateway) bool { return f.shapedBy(g, n) })
	}
	f.objects[n] = o
}

func (f *eachFleet) remove(n ir.Name) {
	delete(f.objects, n)
	f.dirty[n] = struct{}{}
	f.reshape(func(g *gatewayv1.Gateway) bool { return f.shapedBy(g, n) })
}

func (f *eachFleet) gateway(n ir.Name, o *gatewayv1.Gateway) {
	old := f.gateways[n]
	if o == nil {
		delete(f.gateways, n)
	} else {
		f.gateways[n] = o
	}
	if o == nil || old == nil || old.Generation != o.Generation || old.UID != o.UID {
		f.dirtyGateways[n] = struct{}{}
	}
}

func (f *eachFleet) class(name string, o *gatewayv1.GatewayClass) {
	if o == nil {
		delete(f.classes, name)
	} else {
		f.classes[name] = o
	}
	f.reshape(func(g *gatewayv1.Gateway) bool { return string(g.Spec.GatewayClassName) == name })
}

// reshape looks again at Gateways.
func (f *eachFleet) reshape(which func(*gatewayv1.Gateway) bool) {
	for n, g := range f.gateways {
		if which(g) {
			f.dirtyGateways[n] = struct{}{}
		}
	}
}

func (f *eachFleet) shapedBy(g *gatewayv1.Gateway, fleet ir.Name) bool {
	n, ok := listener.Shape(g, f.classes[string(g.Spec.GatewayClassName)])
	return ok && n == fleet
}

func (*eachFleet) note([]source.Problem) {}

func (f *eachFleet) apply(c *graph.Changes, in *translator.Inputs) {
	for n := range f.dirty {
		o, ok := f.objects[n]
		if !ok {
			in.Fleets.Delete(c, n)
			delete(f.logs, n)
			continue
		}
		spec := f.base(o)
		spec.Name, spec.Selector.Fleet = n, n
		shape(&spec, o)
		f.logs.follow(&spec)
		in.Fleets.Put(c, n, &spec)
	}
	clear(f.dirty)
	for n := range f.dirtyGateways {
		f.applyGateway(c, in, n)
	}
	clear(f.dirtyGateways)
}

func (f *eachFleet) applyGateway(c *graph.Changes, in *translator.Inputs, n ir.Name) {
	g := f.gateways[n]
	var class *gatewayv1.GatewayClass
	if g != nil {
		class = f.classes[string(g.Spec.GatewayClassName)]
	}
	if f.ofGateway == nil || class == nil || class.Spec.ControllerName != gatewayapi.ControllerName {
		if fleet, ok := f.made[n]; ok {
			in.Fleets.Delete(c, fleet)
			delete(f.logs, fleet)
			delete(f.made, n)
		}
		return
	}
	var by *v1alpha1.EnvoyFleet
	if name, ok := listener.Shape(g, class); ok {
		by = f.objects[name]
	}
	spec := f.ofGateway(g, by)
	f.logs.follow(&spec)
	f.made[n] = spec.Name
	in.Fleets.Put(c, spec.Name, &spec)
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
