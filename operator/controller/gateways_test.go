package controller

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
)

// A Gateway was given a class that does not exist while the operator was away. It was
// looked at before the first revision, and no revision had it looked at again: its
// Deployment and its load balancer stayed.
func TestAGatewayThatTranslationHasNotSeenIsLookedAtAgain(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := gatewayv1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	g := &gatewayv1.Gateway{Namespace: "default", Name: "gw"}
	r := &Gateways{
		Client:   fake.NewClientBuilder().WithScheme(scheme).WithObjects(g).Build(),
		Exposure: func(ir.Name) (*listener.Exposure, bool) { return nil, false },
		Settled:  func(n ir.Name, o *Outcome) { t.Errorf("%s: nothing is known of it: %v", n, o) },
	}
	request := reconcile.Request{Namespace: "default", Name: "gw"}
	if got, err := r.Reconcile(t.Context(), request); err != nil || got.RequeueAfter <= 0 {
		t.Errorf("%v, %v: want another look", got, err)
	}
}
