package cluster

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// A ListenerSet whose Gateway was deleted was accepted for ever.
func TestAListenerSetThatHasLeft(t *testing.T) {
	name := ir.Name{Namespace: "default", Name: "set"}
	gone := source.Batch{Deleted: []source.Key{{
		GroupVersionKind: schema.GroupVersion(gatewayv1.GroupVersion).WithKind("Gateway"), Namespace: "default", Name: "gw",
	}}, Complete: true}
	moved := set("a", 2)
	moved.Spec.ParentRef.Name = "another"
	another := set("b", 1)
	another.Spec.ParentRef.Name = "another"
	changed := func(o client.Object) source.Batch { return source.Batch{Changed: []client.Object{o}, Complete: true} }
	cases := map[string]struct {
		reason string
		batch  source.Batch
		how    func(*gatewayv1.ListenerSet)
		want   string // of Accepted; "" is not written
	}{
		"stays":     {"it has its Gateway", source.Batch{Complete: true}, nil, "True Accepted"},
		"no parent": {"its Gateway is deleted", gone, nil, "False ParentNotAccepted"},
		"moved":     {"it names another", changed(moved), nil, "False ParentNotAccepted"},
		"made anew": {"what was said was said of another", changed(another), nil, ""},
		"theirs": {"another controller has judged it", gone, func(s *gatewayv1.ListenerSet) {
			s.Status.Conditions[0].Message = "accepted by another"
		}, ""},
		"not ours": {"nothing was written", gone, func(s *gatewayv1.ListenerSet) { s.Status.Conditions = nil }, ""},
	}
	for label, tc := range cases {
		t.Run(label, func(t *testing.T) {
			o := set("a", 1)
			s := statusesOf(t, class(), gateway(), o)
			x, ok := s.pipeline.Translator().ListenerSetStatuses.Get(s.pipeline.Translator().Current().Reader(), name)
			if !ok {
				t.Fatal("it has no status")
			}
			o.Status = *x.DeepCopy()
			if tc.how != nil {
				tc.how(o)
			}
			if err := s.options.Client.Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			s.committed(s.pipeline.Once(tc.batch, time.Now()))
			got := ""
			switch want, _ := s.ofGatewayAPI(status.ListenerSet, name); want := want.(type) {
			case *gatewayv1.ListenerSetStatus:
				got = string(want.Conditions[0].Status) + " " + want.Conditions[0].Reason
			case status.Over:
				left, ok := want.Status.(*gatewayv1.ListenerSetStatus)
				if !ok || want.Version != o.ResourceVersion || len(left.Listeners) > 0 || len(left.Conditions) != 2 {
					t.Fatalf("%+v", want)
				}
				got = string(left.Conditions[0].Status) + " " + left.Conditions[0].Reason
			}
			if got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func class() *gatewayv1.GatewayClass {
	c := &gatewayv1.GatewayClass{APIVersion: gatewayv1.GroupVersion.String(), Kind: "GatewayClass", Name: "signet"}
	c.Spec.ControllerName = gatewayapi.ControllerName
	return c
}

func gateway() *gatewayv1.Gateway {
	g := &gatewayv1.Gateway{APIVersion: gatewayv1.GroupVersion.String(), Kind: "Gateway", Namespace: "default", Name: "gw"}
	g.Spec.GatewayClassName = "signet"
	g.Spec.Listeners = []gatewayv1.Listener{{Name: "http", Protocol: gatewayv1.HTTPProtocolType, Port: 80}}
	g.Spec.AllowedListeners = &gatewayv1.AllowedListeners{Namespaces: &gatewayv1.ListenerNamespaces{From: new(gatewayv1.NamespacesFromSame)}}
	return g
}

func set(uid string, generation int64) *gatewayv1.ListenerSet {
	s := &gatewayv1.ListenerSet{
		APIVersion: gatewayv1.GroupVersion.String(), Kind: "ListenerSet", Namespace: "default", Name: "set",
		UID: types.UID(uid), Generation: generation,
	}
	s.Spec.ParentRef.Name = "gw"
	s.Spec.Listeners = []gatewayv1.ListenerEntry{{Name: "more", Protocol: gatewayv1.HTTPProtocolType, Port: 8080}}
	return s
}
