package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator/gatewayapi"
)

// Classes keeps a GatewayClass of Signet's from being removed while Gateways use
// it: a Gateway without its class has no controller.
type Classes struct {
	// Client has no cache.
	Client client.Client
	// Used says whether a Gateway names a class.
	Used func(class string) bool
}

// Reconcile implements reconcile.Reconciler.
func (r *Classes) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	c := &gatewayv1.GatewayClass{}
	err := r.Client.Get(ctx, request.NamespacedName, c)
	switch {
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("GatewayClass %s: %w", request.Name, err)
	case c.Spec.ControllerName != gatewayapi.ControllerName:
		return reconcile.Result{}, nil
	}
	used, held := r.Used(c.Name), slices.Contains(c.Finalizers, gatewayv1.GatewayClassFinalizerGatewaysExist)
	if used == held || used && !c.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil // none can be added to what is being deleted
	}
	finalizers := slices.DeleteFunc(slices.Clone(c.Finalizers),
		func(f string) bool { return f == gatewayv1.GatewayClassFinalizerGatewaysExist })
	if used {
		finalizers = append(finalizers, gatewayv1.GatewayClassFinalizerGatewaysExist)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": finalizers, "resourceVersion": c.ResourceVersion,
	}})
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("GatewayClass %s: %w", c.Name, err)
	}
	err = r.Client.Patch(ctx, c, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(kubernetes.Manager))
	if err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("GatewayClass %s: finalizer: %w", request.Name, err)
	}
	return reconcile.Result{}, nil
}
