package cluster

import (
	"context"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// trigger leads from revisions to the queue of a controller of the Gateway API,
// whose kinds cannot be watched by the controller itself: their CRDs come and go.
type trigger struct {
	// all lists what a new term begins with.
	all   func(to func(ir.Name))
	queue atomic.Pointer[queue]
}

// source fills the queue of one term's controller.
func (g *trigger) source() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		g.queue.Store(&q)
		g.all(g.add)
		return nil
	})
}

// add has an object reconciled, if a controller has begun; one that has ended
// takes nothing.
func (g *trigger) add(n ir.Name) {
	if q := g.queue.Load(); q != nil {
		(*q).Add(reconcile.Request{Namespace: n.Namespace, Name: n.Name})
	}
}

// triggers are those of Gateways and of GatewayClasses, and one by which all
// fleets are looked at again.
type triggers struct {
	pipeline                  *pipeline.Pipeline
	fleets, gateways, classes trigger
}

func newTriggers() *triggers {
	t := &triggers{}
	// Their controller begins with all that it watches.
	t.fleets.all = func(func(ir.Name)) {}
	t.gateways.all = func(to func(ir.Name)) {
		x := t.pipeline.Translator()
		for n := range x.Exposures.All(x.Current().Reader()) {
			to(n)
		}
	}
	t.classes.all = func(to func(ir.Name)) {
		x := t.pipeline.Translator()
		for n := range x.GatewayClasses.All(x.Current().Reader()) {
			to(n)
		}
	}
	return t
}

// committed looks at what a revision has changed.
func (t *triggers) committed(rev *graph.Revision) {
	x := t.pipeline.Translator()
	for _, c := range graph.ChangesOf(rev, x.Exposures) {
		t.gateways.add(c.Key)
	}
	for _, c := range graph.ChangesOf(rev, x.GatewayClasses) {
		t.classes.add(c.Key)
		t.reshape(rev.Reader(), func(g *gatewayv1.Gateway) bool { return string(g.Spec.GatewayClassName) == c.Key.Name })
	}
	for _, c := range graph.ChangesOf(rev, x.Gateways) {
		if _, ours := x.Exposures.Get(rev.Reader(), c.Key); ours {
			t.gateways.add(c.Key)
		}
		was, is := className(c.Old, c.HadOld), className(c.New, c.HasNew)
		for _, name := range []string{was, is} {
			if was != is && name != "" {
				t.classes.add(ir.Name{Name: name})
			}
		}
	}
}

// authorities has all fleets reconciled.
func (t *triggers) authorities() {
	x := t.pipeline.Translator()
	for n := range x.EnvoyFleets.All(x.Current().Reader()) {
		t.fleets.add(n)
	}
	t.gateways.all(t.gateways.add)
}

func className(g *gatewayv1.Gateway, there bool) string {
	if !there {
		return ""
	}
	return string(g.Spec.GatewayClassName)
}

// reshape has Gateways reconciled.
func (t *triggers) reshape(r *graph.Reader, which func(*gatewayv1.Gateway) bool) {
	for n, g := range t.pipeline.Translator().Gateways.All(r) {
		if which(g) {
			t.gateways.add(n)
		}
	}
}

// shapedBy are the Gateways that an EnvoyFleet shapes.
func (t *triggers) shapedBy(_ context.Context, fleet client.Object) []reconcile.Request {
	x := t.pipeline.Translator()
	r := x.Current().Reader()
	var out []reconcile.Request
	for n, g := range x.Gateways.All(r) {
		class, _ := x.GatewayClasses.Get(r, ir.Name{Name: string(g.Spec.GatewayClassName)})
		if shape, ok := listener.Shape(g, class); ok && shape == gatewayapi.NameOf(fleet) {
			out = append(out, reconcile.Request{Namespace: n.Namespace, Name: n.Name})
		}
	}
	return out
}

// used says whether a Gateway names a class.
func (t *triggers) used(class string) bool {
	x := t.pipeline.Translator()
	for _, g := range x.Gateways.All(x.Current().Reader()) {
		if string(g.Spec.GatewayClassName) == class {
			return true
		}
	}
	return false
}

// exposure implements controller.Gateways.
func (t *triggers) exposure(n ir.Name) (*listener.Exposure, bool) {
	x := t.pipeline.Translator()
	r := x.Current().Reader()
	if e, ok := x.Exposures.Get(r, n); ok {
		return e, true
	}
	_, seen := x.Gateways.Get(r, n)
	return nil, seen
}

// ownerGateway is the Gateway that owns an object.
func ownerGateway(_ context.Context, o client.Object) []reconcile.Request {
	owner := metav1.GetControllerOf(o)
	if owner == nil || owner.Kind != gatewayapi.KindGateway || owner.APIVersion != gatewayv1.GroupVersion.String() {
		return nil
	}
	return []reconcile.Request{{Namespace: o.GetNamespace(), Name: owner.Name}}
}
