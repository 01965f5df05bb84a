package status

import (
	"cmp"
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

// proxy returns the status to write for an HTTPProxy, and false when the object
// has it. A condition keeps the time of its last transition while its status is
// the same.
func proxy(have, want *contourv1.HTTPProxyStatus, now metav1.Time) (contourv1.HTTPProxyStatus, bool) {
	out := *want
	out.Conditions = make([]contourv1.DetailedCondition, len(want.Conditions))
	same := have.CurrentStatus == want.CurrentStatus && have.Description == want.Description &&
		equality.Semantic.DeepEqual(have.LoadBalancer, want.LoadBalancer)
	for i := range want.Conditions {
		c := want.Conditions[i]
		old := have.GetConditionFor(c.Type)
		c.LastTransitionTime = now
		if old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		same = same && old != nil && equality.Semantic.DeepEqual(*old, c)
		out.Conditions[i] = c
	}
	return out, !same
}

// fleet is proxy for an EnvoyFleet.
func fleet(have, want *v1alpha1.EnvoyFleetStatus, now metav1.Time) (v1alpha1.EnvoyFleetStatus, bool) {
	out := *want
	out.Conditions = make([]metav1.Condition, len(want.Conditions))
	for i := range want.Conditions {
		c := want.Conditions[i]
		c.LastTransitionTime = now
		for j := range have.Conditions {
			if old := &have.Conditions[j]; old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
		out.Conditions[i] = c
	}
	mine := *have
	mine.Conditions = nil
	for i := range have.Conditions {
		for j := range out.Conditions {
			if have.Conditions[i].Type == out.Conditions[j].Type {
				mine.Conditions = append(mine.Conditions, have.Conditions[i])
			}
		}
	}
	return out, !equality.Semantic.DeepEqual(byType(mine), byType(out))
}

// byType puts the conditions into the order of their types.
func byType(s v1alpha1.EnvoyFleetStatus) v1alpha1.EnvoyFleetStatus {
	s.Conditions = slices.SortedFunc(slices.Values(s.Conditions), func(a, b metav1.Condition) int { return cmp.Compare(a.Type, b.Type) })
	return s
}
