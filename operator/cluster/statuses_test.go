package cluster

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/provisioner/kubernetes"
)

// An API server that was away for a moment took the load balancer's address out
// of every HTTPProxy.
func TestALookThatFailsKeepsWhatWasSeen(t *testing.T) {
	failure := errors.New("connection refused")
	before := &controller.Outcome{
		Generation: 1, Progress: kubernetes.Progress{Desired: 2, Ready: 2, Complete: true},
		Addresses:    []v1alpha1.Address{{Type: v1alpha1.IPAddress, Value: "192.0.2.7"}},
		LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}},
	}
	want := *before
	want.Generation, want.Err = 2, failure
	if diff := cmp.Diff(&want, unknown(&controller.Outcome{Generation: 2, Err: failure}, before), cmpopts.EquateErrors()); diff != "" {
		t.Errorf("outcome (-want, +got):\n%s", diff)
	}
}
