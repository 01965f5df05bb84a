package pipeline

import (
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// followed lists what a revision changed, for the rollout: "1 fleets: HTTPProxy
// default/p delivered at 0s".
func (p *Pipeline) listed(rev *graph.Revision, start time.Time) []string {
	u := p.update(rev)
	c := rollout.CommitOf(p.translator, rev, &u, time.Now())
	out := []string{fmt.Sprintf("revision %d, %d fleets", c.Revision, len(c.Fleets))}
	for _, x := range c.Changes {
		line := fmt.Sprintf("%s at %s", x.Object, x.Delivered.Sub(start))
		if x.Gone {
			line += ", gone"
		}
		out = append(out, line)
	}
	return out
}

// Each object's change counts from the moment at which the source delivered
// it, though several deliveries become one revision.
func TestChangesAreFollowedFromTheirDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var got []string
		var p *Pipeline
		hold := make(chan struct{})
		in := make(batches)
		p = New(Options{
			Source: in, Fleet: base(), Log: testr.New(t), Rollout: rollout.New(rollout.Options{}),
			XDS: xds.New(xds.Options{Identity: func(*url.URL) (ir.Name, error) { return local, nil }}),
			Committed: func(rev *graph.Revision) {
				got = append(got, p.listed(rev, start)...)
				<-hold
			},
		})
		done := make(chan error, 1)
		go func() { done <- p.Run(t.Context()) }()
		typed := func(o client.Object, kind string) client.Object {
			o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
			return o
		}
		in <- source.Batch{Complete: true}
		synctest.Wait() // the first revision is held
		proxy := &contourv1.HTTPProxy{ObjectMeta: meta("p"), Spec: contourv1.HTTPProxySpec{
			VirtualHost: &contourv1.VirtualHost{Fqdn: "a.test"},
			Routes:      []contourv1.Route{{Services: []contourv1.Service{{Name: "b", Port: 80}}}},
		}}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		in <- source.Batch{Changed: []client.Object{typed(proxy, "HTTPProxy")}, Complete: true}
		synctest.Wait()
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		service := &corev1.Service{ObjectMeta: meta("b"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
		fleet := &v1alpha1.EnvoyFleet{ObjectMeta: meta("any"), Spec: v1alpha1.EnvoyFleetSpec{UpstreamTLS: &v1alpha1.UpstreamTLS{RequireValidation: true}}}
		in <- source.Batch{Changed: []client.Object{typed(service, "Service"), typed(fleet, "EnvoyFleet"), typed(proxy, "HTTPProxy")}, Complete: true}
		synctest.Wait()
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		hold <- struct{}{}
		hold <- struct{}{}
		in <- source.Batch{Deleted: []source.Key{{GroupVersionKind: v1alpha1.GroupVersion.WithKind("Service"), Namespace: "default", Name: "b"}}, Complete: true}
		hold <- struct{}{}
		want := []string{
			"revision 1, 1 fleets",
			"EnvoyFleet signet/test at 0s",
			"revision 2, 1 fleets",
			"HTTPProxy default/p at 1s", // it came again, unchanged
			"Service default/b at 2s",
			"EnvoyFleet signet/test at 2s",
			"revision 3, 1 fleets",
			"Service default/b at 3s, gone",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want, +got):\n%s", diff)
		}
	})
}
