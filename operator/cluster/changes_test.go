package cluster

import (
	"testing"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/translator/ir"
)

// An object that was deleted and made anew as it was, between two revisions, got no
// status.
func TestWhatIsMadeAnewIsLookedAt(t *testing.T) {
	of := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: gatewayv1.GroupVersion.String(), Kind: kind}
	}
	proxy := metav1.TypeMeta{APIVersion: contourv1.GroupVersion.String(), Kind: "HTTPProxy"}
	cases := map[status.Kind]struct {
		reason string
		object client.Object
	}{
		status.HTTPProxy:        {"its row counts the generation", &contourv1.HTTPProxy{TypeMeta: proxy}},
		status.GatewayClass:     {"it has no age", &gatewayv1.GatewayClass{TypeMeta: of("GatewayClass")}},
		status.Gateway:          {"its fleet is another", &gatewayv1.Gateway{TypeMeta: of("Gateway")}},
		status.ListenerSet:      {"its age is in seconds", &gatewayv1.ListenerSet{TypeMeta: of("ListenerSet")}},
		status.HTTPRoute:        {"its age is in seconds", &gatewayv1.HTTPRoute{TypeMeta: of("HTTPRoute")}},
		status.GRPCRoute:        {"its age is in seconds", &gatewayv1.GRPCRoute{TypeMeta: of("GRPCRoute")}},
		status.TLSRoute:         {"its age is in seconds", &gatewayv1.TLSRoute{TypeMeta: of("TLSRoute")}},
		status.TCPRoute:         {"its age is in seconds", &gatewayv1.TCPRoute{TypeMeta: of("TCPRoute")}},
		status.UDPRoute:         {"its age is in seconds", &gatewayv1.UDPRoute{TypeMeta: of("UDPRoute")}},
		status.BackendTLSPolicy: {"its age is in seconds", &gatewayv1.BackendTLSPolicy{TypeMeta: of("BackendTLSPolicy")}},
	}
	for kind, tc := range cases {
		t.Run(string(kind), func(t *testing.T) {
			s := statusesOf(t)
			made := func(uid types.UID) (touched bool) {
				o, ok := tc.object.DeepCopyObject().(client.Object)
				if !ok {
					t.Fatal("no object")
				}
				o.SetName("x")
				o.SetUID(uid)
				o.SetGeneration(1)
				before := s.pipeline.Translator().Current().Number()
				rev := s.pipeline.Once(source.Batch{Changed: []client.Object{o}, Complete: true}, time.Now())
				if rev.Number() == before {
					return false
				}
				eachChange(s.pipeline.Translator(), rev, func(k status.Kind, n ir.Name) {
					touched = touched || k == kind && n.Name == "x"
				}, func(status.Kind, ir.Name) {})
				return touched
			}
			made("a")
			if made("a") {
				t.Error("looked at though it is the same")
			}
			if !made("b") {
				t.Errorf("not looked at: %s", tc.reason)
			}
		})
	}
}
