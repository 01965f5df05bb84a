package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Applier brings a cluster to the rendered objects.
type Applier struct {
	// Client reads and writes without a cache: a stale read would look like
	// drift.
	Client client.Client
}

// Result tells what Apply did and found.
type Result struct {
	// Applied and Removed are the objects that were written, as "Kind ns/name".
	Applied, Removed []string
	// Workload is how far the pods are.
	Workload Progress
	// Live are the objects as they are now, by kind.
	Live map[string]*unstructured.Unstructured
	// Waiting is set while a workload of another kind serves on until the new
	// one is complete.
	Waiting bool
}

// Progress counts the pods of a workload.
type Progress struct {
	Desired, Ready int32
	// Complete says that all pods are of the newest template and available.
	Complete bool
}

// ErrForeign says that an object of a wanted name is another owner's.
var ErrForeign = errors.New("it is not this fleet's and is left alone: rename it or the fleet")

// kinds are those of the objects that a fleet may have; workloads stand before
// what goes with them.
var kinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "ServiceAccount"},
	{Version: "v1", Kind: "Secret"},
	{Version: "v1", Kind: "Service"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
}

// Kinds are the kinds of the objects that a fleet may have.
func Kinds() []schema.GroupVersionKind { return slices.Clone(kinds) }

// Apply writes what differs from the rendered objects of a fleet and removes
// what is no longer among them. An error about one object keeps none of the
// others from being written; nothing is removed then.
func (a *Applier) Apply(ctx context.Context, f *Fleet, objects []client.Object) (Result, error) {
	out, err := a.Write(ctx, f, objects)
	if err != nil {
		return out, err
	}
	wanted := map[string]bool{}
	for _, o := range objects {
		wanted[describe(o)] = true
	}
	err = a.remove(ctx, f, wanted, &out)
	return out, err
}

// Write is Apply without the removal: for objects that are not all of them.
func (a *Applier) Write(ctx context.Context, f *Fleet, objects []client.Object) (Result, error) {
	out := Result{Live: map[string]*unstructured.Unstructured{}}
	var errs []error
	for _, o := range objects {
		live, applied, err := a.one(ctx, f, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", describe(o), err))
			continue
		}
		if applied {
			out.Applied = append(out.Applied, describe(o))
		}
		kind := live.GetKind()
		out.Live[kind] = live
		if isWorkload(kind) {
			out.Workload = progress(live)
		}
	}
	return out, errors.Join(errs...)
}

// Remove removes all objects of a fleet.
func (a *Applier) Remove(ctx context.Context, f *Fleet) (Result, error) {
	out := Result{Workload: Progress{Complete: true}}
	err := a.remove(ctx, f, nil, &out)
	return out, err
}

// one applies one object if it differs, and returns it as it is then.
func (a *Applier) one(ctx context.Context, f *Fleet, o client.Object) (*unstructured.Unstructured, bool, error) {
	want, err := configuration(o)
	if err != nil {
		return nil, false, err
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	err = a.Client.Get(ctx, client.ObjectKeyFromObject(o), live)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, false, fmt.Errorf("read: %w", err)
	case !ownedBy(live, f.Owner.UID):
		return nil, false, ErrForeign
	case holds(want.Object, live.Object):
		return live, false, nil
	}
	if err := keepReplicas(want, live); err != nil {
		return nil, false, err
	}
	apply := client.ApplyConfigurationFromUnstructured(want)
	if err := a.Client.Apply(ctx, apply, client.FieldOwner(Manager), client.ForceOwnership); err != nil {
		return nil, false, fmt.Errorf("apply: %w", err)
	}
	// As it is now, with its status: what was sent has none.
	if err := a.Client.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return nil, true, fmt.Errorf("read: %w", err)
	}
	return live, true, nil
}

// keepReplicas keeps the number of pods when an autoscaler is to decide it and
// has not done so yet: a field that its only owner gives up falls back to its
// default, which here is one pod.
func keepReplicas(want, live *unstructured.Unstructured) error {
	_, asked, err := unstructured.NestedFieldNoCopy(want.Object, "spec", "replicas")
	if err != nil || asked || want.GetKind() != "Deployment" {
		return err //nolint:wrapcheck // nil, or a defect of Render
	}
	n, ok, err := unstructured.NestedInt64(live.Object, "spec", "replicas")
	if err != nil || !ok {
		return err //nolint:wrapcheck // nil, or the API server's
	}
	for _, m := range live.GetManagedFields() {
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if _, owns := fields.Spec["f:replicas"]; owns && m.Manager != Manager {
			return nil
		}
	}
	return unstructured.SetNestedField(want.Object, n, "spec", "replicas") //nolint:wrapcheck // cannot fail: spec is a map
}

func ownedBy(o client.Object, uid types.UID) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == uid })
}

// remove deletes what the fleet had and does not want any more.
func (a *Applier) remove(ctx context.Context, f *Fleet, wanted map[string]bool, out *Result) error {
	var errs []error
	chosen := client.MatchingLabels(f.mark())
	chosen[LabelManagedBy] = Manager
	for _, gvk := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk)
		err := a.Client.List(ctx, list, client.InNamespace(f.Identity.Namespace), chosen)
		if err != nil {
			errs = append(errs, fmt.Errorf("list %s: %w", gvk.Kind, err))
			continue
		}
		for i := range list.Items {
			o := &list.Items[i]
			o.SetGroupVersionKind(gvk)
			if wanted[describe(o)] || !ownedBy(o, f.Owner.UID) {
				continue
			}
			if isWorkload(gvk.Kind) && !out.Workload.Complete {
				out.Waiting = true // it serves on until the other kind does
				continue
			}
			if out.Waiting && (gvk.Kind == "PodDisruptionBudget" || gvk.Kind == "HorizontalPodAutoscaler") {
				continue // it goes with the workload that serves on
			}
			if err := a.delete(ctx, o); err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", describe(o), err))
				continue
			}
			out.Removed = append(out.Removed, describe(o))
		}
	}
	return errors.Join(errs...)
}

func (a *Applier) delete(ctx context.Context, o client.Object) error {
	uid, version := o.GetUID(), o.GetResourceVersion()
	err := a.Client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &uid, ResourceVersion: &version})
	return client.IgnoreNotFound(err) //nolint:wrapcheck // the caller names the object
}

func isWorkload(kind string) bool { return kind == "Deployment" || kind == "DaemonSet" }

// progress reads the status of a workload.
func progress(o *unstructured.Unstructured) Progress {
	number := func(fields ...string) int32 {
		n, _, err := unstructured.NestedInt64(o.Object, fields...)
		if err != nil {
			return 0
		}
		return int32(n) //nolint:gosec // a number of pods
	}
	var p Progress
	var updated, available int32
	if o.GetKind() == "DaemonSet" {
		p = Progress{Desired: number("status", "desiredNumberScheduled"), Ready: number("status", "numberReady")}
		updated, available = number("status", "updatedNumberScheduled"), number("status", "numberAvailable")
	} else {
		p = Progress{Desired: number("spec", "replicas"), Ready: number("status", "readyReplicas")}
		updated, available = number("status", "updatedReplicas"), number("status", "availableReplicas")
	}
	observed, _, err := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	current := err == nil && o.GetGeneration() > 0 && observed >= o.GetGeneration()
	p.Complete = current && updated >= p.Desired && available >= p.Desired
	return p
}
