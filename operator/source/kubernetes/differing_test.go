package kubernetes

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// apiReads counts what is asked of an API server that has these objects, and refuses one.
type apiReads struct{ gets, lists atomic.Int64 }

func (r *apiReads) source(t *testing.T, refused string, objects ...client.Object) *Source {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	return &Source{kinds: servedKinds(), client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, options ...client.GetOption) error {
				r.gets.Add(1)
				if k.Name == refused {
					return apierrors.NewForbidden(gatewayv1.Resource("gateways"), k.Name, nil)
				}
				return c.Get(ctx, k, o, options...)
			},
			List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, options ...client.ListOption) error {
				r.lists.Add(1)
				return c.List(ctx, l, options...)
			},
		}).Build()}
}

// A list waits for the API server's memory of a kind to be as new as its storage, which
// takes up to 100 ms while nothing of the kind is written: routes were listed from 16 on.
func TestOnlyVeryManyRoutesAreListed(t *testing.T) {
	for n, want := range map[int][2]int64{100: {100, 0}, listFrom: {0, 1}} {
		var objects []client.Object
		asked := map[source.Key]client.Object{}
		for i := range n {
			r := &gatewayv1.HTTPRoute{Namespace: "a", Name: fmt.Sprint("r-", i)}
			asked[keyOf(routeKind, r.Name)] = r
			if i > 0 {
				objects = append(objects, r)
			}
		}
		reads := &apiReads{}
		differs, err := reads.source(t, "", objects...).differing(t.Context(), asked)
		if got := [2]int64{reads.gets.Load(), reads.lists.Load()}; got != want || err != nil {
			t.Errorf("%d routes: %d gets and lists (%v), want %d", n, got, err, want)
		}
		if version, ok := differs[keyOf(routeKind, "r-0")]; !ok || version != "" {
			t.Errorf("%d routes: the one that is gone is %q (%t)", n, version, ok)
		}
	}
}

// Whoever may not get what it may watch waits for the rest.
func TestWhatMayNotBeReadIsNotWaitedFor(t *testing.T) {
	route, gateway := keyOf(routeKind, "r"), gatewayKeyOf("Gateway", "a", "g")
	s := (&apiReads{}).source(t, "g")
	differs, err := s.differing(t.Context(), map[source.Key]client.Object{route: &gatewayv1.HTTPRoute{}, gateway: &gatewayv1.Gateway{}})
	if _, ok := differs[route]; err != nil || !ok || len(differs) != 1 {
		t.Errorf("differing: %v (%v)", differs, err)
	}
}
