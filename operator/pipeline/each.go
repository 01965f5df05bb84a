package pipeline

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/provisioner/certificate"
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
	// applied are the EnvoyFleets as they were recorded last.
	applied map[ir.Name]*v1alpha1.EnvoyFleet

	ofGateway     func(*gatewayv1.Gateway, *v1alpha1.EnvoyFleet) translator.FleetSpec
	gateways      map[ir.Name]*gatewayv1.Gateway
	classes       map[string]*gatewayv1.GatewayClass
	dirtyGateways map[ir.Name]struct{}
	// made are the fleets of Gateways that there are.
	made    map[ir.Name]ir.Name
	logs    formerLogs
	awaited awaited
}

func newEachFleet(
	base func(*v1alpha1.EnvoyFleet) translator.FleetSpec, ofGateway func(*gatewayv1.Gateway, *v1alpha1.EnvoyFleet) translator.FleetSpec,
) *eachFleet {
	return &eachFleet{
		base: base, objects: map[ir.Name]*v1alpha1.EnvoyFleet{}, dirty: map[ir.Name]struct{}{},
		applied: map[ir.Name]*v1alpha1.EnvoyFleet{}, awaited: newAwaited(), ofGateway: ofGateway,
		gateways: map[ir.Name]*gatewayv1.Gateway{}, classes: map[string]*gatewayv1.GatewayClass{},
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

func (f *eachFleet) secret(n ir.Name, o *corev1.Secret, now time.Time) bool {
	if o == nil {
		return f.awaited.went(n, now)
	}
	f.awaited.came(n, o)
	return false
}

func (f *eachFleet) next() time.Time { return f.awaited.next() }

func (f *eachFleet) apply(c *graph.Changes, in *translator.Inputs, now time.Time) {
	for _, fleet := range f.awaited.due(now) {
		if g, ok := certificate.GatewayOf(fleet); ok {
			f.dirtyGateways[g] = struct{}{}
		} else {
			f.dirty[fleet] = struct{}{}
		}
	}
	for n := range f.dirty {
		f.applyFleet(c, in, n, now)
	}
	clear(f.dirty)
	for n := range f.dirtyGateways {
		f.applyGateway(c, in, n, now)
	}
	clear(f.dirtyGateways)
	for _, n := range f.awaited.ended(now) {
		deleteSecret(c, in, n)
	}
}

func (f *eachFleet) applyFleet(c *graph.Changes, in *translator.Inputs, n ir.Name, now time.Time) {
	o, ok := f.objects[n]
	if !ok {
		in.Fleets.Delete(c, n)
		f.forget(n)
		delete(f.applied, n)
		return
	}
	spec := f.base(o)
	spec.Name, spec.Selector.Fleet = n, n
	shape(&spec, o)
	if f.putFleet(c, in, &spec, o, now) {
		f.applied[n] = o
	}
}

func (f *eachFleet) applyGateway(c *graph.Changes, in *translator.Inputs, n ir.Name, now time.Time) {
	g := f.gateways[n]
	var class *gatewayv1.GatewayClass
	if g != nil {
		class = f.classes[string(g.Spec.GatewayClassName)]
	}
	if f.ofGateway == nil || class == nil || class.Spec.ControllerName != gatewayapi.ControllerName {
		if fleet, ok := f.made[n]; ok {
			in.Fleets.Delete(c, fleet)
			f.forget(fleet)
			delete(f.made, n)
		}
		return
	}
	var by *v1alpha1.EnvoyFleet
	if name, ok := listener.Shape(g, class); ok {
		by = f.objects[name]
	}
	spec := f.ofGateway(g, by)
	if f.putFleet(c, in, &spec, by, now) {
		f.made[n] = spec.Name
	}
}

// putFleet records a fleet, unless it serves as before until its certificate is there.
func (f *eachFleet) putFleet(
	c *graph.Changes, in *translator.Inputs, spec *translator.FleetSpec, shape *v1alpha1.EnvoyFleet, now time.Time,
) bool {
	if !f.awaited.isReady(spec, shape, now) {
		return false
	}
	f.logs.follow(spec)
	in.Fleets.Put(c, spec.Name, spec)
	return true
}

func (f *eachFleet) forget(fleet ir.Name) {
	delete(f.logs, fleet)
	f.awaited.gone(fleet)
}

func (f *eachFleet) report() []report.FleetObject {
	names := slices.SortedFunc(maps.Keys(f.applied), func(a, b ir.Name) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	out := make([]report.FleetObject, len(names))
	for i, n := range names {
		out[i] = report.FleetObject{Object: f.applied[n], Fleet: n, Chosen: n}
	}
	return out
}
