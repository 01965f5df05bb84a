package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/rig"
)

// mostWrites is how often the status of an object should be written at most when
// many are created at once.
const mostWrites = 2

// runAttach is S4.
func runAttach(b *bench) error {
	f, err := b.routes(b.ctx)
	if err != nil {
		return err
	}
	first := b.take(b.objects)
	if err := b.Create(b.ctx, "Services with endpoints and policies", b.objects, func(i int) []client.Object {
		all := f.objects(b.stage, first+i)
		return all[:len(all)-1]
	}); err != nil {
		return err
	}
	want, err := b.attachedNow()
	if err != nil {
		return err
	}
	want += int32(b.objects)
	gateways, err := b.Watch(b.ctx, &gatewayv1.GatewayList{}, func(o client.Object) bool {
		g, ok := o.(*gatewayv1.Gateway)
		return ok && attached(g) == want
	})
	if err != nil {
		return err
	}
	defer gateways.Stop()
	routes, err := b.Watch(b.ctx, &gatewayv1.HTTPRouteList{}, accepted)
	if err != nil {
		return err
	}
	defer routes.Stop()
	if err := gateways.Quiet(b.ctx, quiet); err != nil {
		return err
	}
	before, _ := gateways.Writes()
	began := time.Now()
	if err := b.Create(b.ctx, "HTTPRoutes", b.objects, func(i int) []client.Object {
		return []client.Object{f.host(first+i, "v0")}
	}); err != nil {
		return err
	}
	last := time.Now()
	b.Value("creation of all HTTPRoutes", since(last, began), figures.Seconds)
	return b.attachedAfter(last, gateways, routes, before[rig.GatewayName], int(want))
}

// attachedAfter measures what follows the last creation.
func (b *bench) attachedAfter(last time.Time, gateways, routes *rig.Watcher, before, want int) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	right, err := gateways.Good(ctx, 1)
	if err != nil {
		n, _ := b.attachedNow()
		return fmt.Errorf("attachedRoutes is %d, want %d: %w", n, want, err)
	}
	b.Value("attachedRoutes right after the last creation", max(0, since(right, last)), figures.Seconds, figures.Max(2))
	written, err := routes.Good(ctx, want)
	if err != nil {
		return fmt.Errorf("HTTPRoutes that are accepted: %w", err)
	}
	b.Value("every HTTPRoute accepted after the last creation", max(0, since(written, last)), figures.Seconds)
	for _, w := range []*rig.Watcher{gateways, routes} {
		if err := w.Quiet(ctx, quiet); err != nil {
			return err
		}
	}
	n, err := b.attachedNow()
	if err != nil {
		return err
	}
	if int(n) != want {
		return fmt.Errorf("attachedRoutes became %d, want %d", n, want)
	}
	each, _ := gateways.Writes()
	b.Count("status writes of the Gateway", each[rig.GatewayName]-before, figures.Max(mostWrites))
	each, all := routes.Writes()
	most := 0
	for _, n := range each {
		most = max(most, n)
	}
	b.Count("status writes of HTTPRoutes, all", all)
	b.Count("status writes of one HTTPRoute, at most", most, figures.Max(mostWrites))
	return nil
}

func (b *bench) attachedNow() (int32, error) {
	g := &gatewayv1.Gateway{}
	if err := b.Client.Get(b.ctx, client.ObjectKey{Namespace: rig.Namespace, Name: rig.GatewayName}, g); err != nil {
		return 0, fmt.Errorf("the Gateway: %w", err)
	}
	return attached(g), nil
}

func attached(g *gatewayv1.Gateway) int32 {
	if len(g.Status.Listeners) == 0 {
		return 0
	}
	return g.Status.Listeners[0].AttachedRoutes
}

func accepted(o client.Object) bool {
	r, ok := o.(*gatewayv1.HTTPRoute)
	return ok && len(r.Status.Parents) == 1 &&
		meta.IsStatusConditionTrue(r.Status.Parents[0].Conditions, string(gatewayv1.RouteConditionAccepted)) &&
		meta.IsStatusConditionTrue(r.Status.Parents[0].Conditions, string(gatewayv1.RouteConditionResolvedRefs))
}
