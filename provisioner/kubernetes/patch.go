package kubernetes

import (
	"bytes"
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patch applies the user's patches, and puts back what makes the objects the
// fleet's.
func (f *Fleet) patch(service *corev1.Service, workload client.Object) error {
	p := f.Spec.Patches
	if p == nil {
		return nil
	}
	if err := patched(service, p.Service, "patches.service"); err != nil {
		return err
	}
	service.ObjectMeta = f.kept(service, f.Name)
	service.Spec.Selector = f.selector()
	switch w := workload.(type) {
	case *appsv1.Deployment:
		if err := patched(w, p.Deployment, "patches.deployment"); err != nil {
			return err
		}
		w.ObjectMeta = f.kept(w, f.Name)
		w.Spec.Selector.MatchLabels = f.selector()
		w.Spec.Selector.MatchExpressions = nil
		w.Spec.Template.Labels = with(w.Spec.Template.Labels, f.labels())
	case *appsv1.DaemonSet:
		if err := patched(w, p.DaemonSet, "patches.daemonSet"); err != nil {
			return err
		}
		w.ObjectMeta = f.kept(w, f.Name)
		w.Spec.Selector.MatchLabels = f.selector()
		w.Spec.Selector.MatchExpressions = nil
		w.Spec.Template.Labels = with(w.Spec.Template.Labels, f.labels())
	}
	return nil
}

// patched applies one patch to an object in place.
func patched[T any](to *T, patch *runtime.RawExtension, field string) error {
	if patch == nil || len(patch.Raw) == 0 {
		return nil
	}
	original, err := json.Marshal(to)
	if err != nil {
		return failf("%s: %w", field, err)
	}
	result, err := strategicpatch.StrategicMergePatch(original, patch.Raw, to)
	if err != nil {
		return failf("%s: it is not a strategic merge patch of %T: %w", field, to, err)
	}
	out := new(T)
	decoder := json.NewDecoder(bytes.NewReader(result))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		return failf("%s: what it gives is not a %T: %w", field, to, err)
	}
	*to = *out
	return nil
}

// kept is the metadata of a patched object: labels and annotations may be
// added, all else is as it was.
func (f *Fleet) kept(o client.Object, name string) metav1.ObjectMeta {
	m := f.meta(name)
	m.Labels, m.Annotations = with(o.GetLabels(), m.Labels), o.GetAnnotations()
	return m
}

// escape keeps Kubernetes from taking $(NAME) in an argument for a variable.
func escape(raw []byte) string { return strings.ReplaceAll(string(raw), "$(", "$$(") }
