package status

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// What was judged on one version of an object is not written over another, which
// somebody else may have written.
func TestOver(t *testing.T) {
	cases := map[string]struct {
		reason, version string
		written         bool
	}{
		"that version": {"nobody has written since", "999", true},
		"another":      {"it is looked at again", "998", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := gatewayv1.Install(scheme); err != nil {
				t.Fatal(err)
			}
			set := &gatewayv1.ListenerSet{Namespace: "default", Name: "set", ResourceVersion: "999"}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(set).WithStatusSubresource(set).Build()
			w := New(Options{Client: c, Reader: c, Log: logr.Discard(), Gateway: func(Kind, ir.Name) (any, bool) {
				return Over{tc.version, &gatewayv1.ListenerSetStatus{Conditions: []metav1.Condition{{Type: "Accepted", Status: "False"}}}}, true
			}})
			err := w.write(t.Context(), item{ListenerSet, ir.Name{Namespace: "default", Name: "set"}})
			if tc.written != (err == nil) || err != nil && !errors.Is(err, errBehind) {
				t.Errorf("%s: %v", tc.reason, err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil || len(set.Status.Conditions) > 0 != tc.written {
				t.Errorf("%s: %v, %+v", tc.reason, err, set.Status)
			}
		})
	}
}
