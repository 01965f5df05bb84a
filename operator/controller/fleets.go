package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator/ir"
)

// longestWait bounds the time between two looks at a fleet: a new authority
// must reach all Envoys well within the overlap of a rotation.
const longestWait = 10 * time.Minute

// Outcome is what became of a fleet's objects.
type Outcome struct {
	Generation int64
	// Err is why they are not as wanted; nil when they are.
	Err error
	// Waiting is set while a workload of the former kind serves on.
	Waiting bool
	// Seen says that Progress and Addresses are of now, whatever Err is about.
	Seen     bool
	Progress kubernetes.Progress
	// Addresses at which clients reach the fleet, and the same as HTTPProxies
	// have it.
	Addresses    []v1alpha1.Address
	LoadBalancer corev1.LoadBalancerStatus
	// ClientRenewal is when the client certificate is replaced; zero for none
	// of Signet's.
	ClientRenewal time.Time
}

// Fleets reconciles EnvoyFleets.
type Fleets struct {
	Provisioner

	// Settled is told of each outcome; nil means that the fleet is gone.
	Settled func(ir.Name, *Outcome)
}

// Reconcile implements reconcile.Reconciler.
func (r *Fleets) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	name := ir.Name{Namespace: request.Namespace, Name: request.Name}
	o := &v1alpha1.EnvoyFleet{}
	err := r.Client.Get(ctx, request.NamespacedName, o)
	if apierrors.IsNotFound(err) || err == nil && !o.DeletionTimestamp.IsZero() {
		// The objects go with their owner.
		r.Settled(name, nil)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("EnvoyFleet %s: %w", name, err)
	}
	f := &kubernetes.Fleet{
		Identity: name, Name: o.Name + "-envoy",
		Owner: metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "EnvoyFleet", Name: o.Name, UID: o.UID,
			Controller: new(true), BlockOwnerDeletion: new(true),
		},
		Spec: o.Spec, Image: r.Image, XDSAddress: r.XDSAddress,
	}
	secret := ""
	if i := issued(&o.Spec); i != nil {
		secret = i.Secret(o.Name)
	}
	out, next, err := r.provision(ctx, f, secret)
	out.Generation, out.Err = o.Generation, err
	r.Settled(name, &out)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("EnvoyFleet %s: %w", name, err)
	}
	return reconcile.Result{RequeueAfter: r.wait(next)}, nil
}
