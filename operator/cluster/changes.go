package cluster

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// eachChange calls to for every object whose status a revision may change, and
// counts for those of which only numbers have changed.
func eachChange(t *translator.Translator, rev *graph.Revision, to, counts func(status.Kind, ir.Name)) {
	for _, c := range graph.ChangesOf(rev, t.ProxyStatuses) {
		to(status.HTTPProxy, c.Key)
	}
	for _, c := range graph.ChangesOf(rev, t.FleetStatuses) {
		to(status.EnvoyFleet, c.Key)
	}
	eachGatewayChange(t, rev, to, counts)
	eachAnew(t, rev, to)
}

// eachAnew calls to for what was deleted and made anew between two revisions. What
// is to be said of it may be the same, and is not said yet. EnvoyFleets are looked
// at by their controller.
func eachAnew(t *translator.Translator, rev *graph.Revision, to func(status.Kind, ir.Name)) {
	anew(rev, t.Proxies, status.HTTPProxy, to)
	anew(rev, t.GatewayClasses, status.GatewayClass, to)
	anew(rev, t.Gateways, status.Gateway, to)
	anew(rev, t.ListenerSets, status.ListenerSet, to)
	anew(rev, t.HTTPRoutes, status.HTTPRoute, to)
	anew(rev, t.GRPCRoutes, status.GRPCRoute, to)
	anew(rev, t.TLSRoutes, status.TLSRoute, to)
	anew(rev, t.TCPRoutes, status.TCPRoute, to)
	anew(rev, t.UDPRoutes, status.UDPRoute, to)
	anew(rev, t.Policies, status.BackendTLSPolicy, to)
}

func anew[T client.Object](rev *graph.Revision, in *graph.Input[ir.Name, T], k status.Kind, to func(status.Kind, ir.Name)) {
	for _, c := range graph.ChangesOf(rev, in) {
		if c.HadOld && c.HasNew && c.Old.GetUID() != c.New.GetUID() {
			to(k, c.Key)
		}
	}
}

// rewritten looks at an object of which somebody has written the status. It waits
// until they leave it alone: who writes against another does not write all the time.
// Of Signet's own writes nothing differs.
func (s *statuses) rewritten(k source.Key) {
	s.touchLater(status.Kind(k.Kind), ir.Name{Namespace: k.Namespace, Name: k.Name})
}
