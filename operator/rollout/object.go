package rollout

import (
	"time"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// Kind is the kind of an object whose changes are followed.
type Kind string

// Kinds of objects.
const (
	HTTPProxy                Kind = "HTTPProxy"
	TLSCertificateDelegation Kind = "TLSCertificateDelegation"
	Service                  Kind = "Service"
	EndpointSlice            Kind = "EndpointSlice"
	Secret                   Kind = "Secret"
	ConfigMap                Kind = "ConfigMap"
	GatewayClass             Kind = gatewayapi.KindGatewayClass
	Gateway                  Kind = gatewayapi.KindGateway
	ListenerSet              Kind = gatewayapi.KindListenerSet
	HTTPRoute                Kind = gatewayapi.KindHTTPRoute
	GRPCRoute                Kind = gatewayapi.KindGRPCRoute
	TLSRoute                 Kind = gatewayapi.KindTLSRoute
	TCPRoute                 Kind = gatewayapi.KindTCPRoute
	UDPRoute                 Kind = gatewayapi.KindUDPRoute
	BackendTLSPolicy         Kind = gatewayapi.KindPolicy
	ReferenceGrant           Kind = "ReferenceGrant"
	ClusterTrustBundle       Kind = "ClusterTrustBundle"
	// EnvoyFleet objects are followed under the name of the fleet that they
	// shape.
	EnvoyFleet Kind = "EnvoyFleet"
)

// Kinds are all of them.
var Kinds = []Kind{
	HTTPProxy, TLSCertificateDelegation, Service, EndpointSlice, Secret, ConfigMap, EnvoyFleet,
	GatewayClass, Gateway, ListenerSet, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute,
	BackendTLSPolicy, ReferenceGrant, ClusterTrustBundle,
}

// Object names an object.
type Object struct {
	Kind Kind
	ir.Name
}

// String returns the kind and the name, as `HTTPProxy default/web`.
func (o Object) String() string { return string(o.Kind) + " " + o.Name.String() }

// Delivery is a note on what is submitted to the graph: when a source delivered
// these objects.
type Delivery struct {
	At      time.Time
	Objects []Object
}

// Commit is what a revision changed.
type Commit struct {
	Revision uint64
	// Fleets are those whose resources it changed, each once.
	Fleets  []ir.Name
	Changes []Change
}

// Change is one object that a revision changed.
type Change struct {
	Object

	// Gone says that the object is no more.
	Gone bool
	// Delivered is when the source said so.
	Delivered time.Time
}

// CommitOf collects what a revision changed. Its cost follows the changes.
// Without a note about an object, its change counts from the oldest note of the
// revision, and without any from now.
func CommitOf(t *translator.Translator, rev *graph.Revision, u *xds.Update, now time.Time) Commit {
	c := Commit{Revision: rev.Number(), Fleets: make([]ir.Name, 0, len(u.Fleets))}
	for i := range u.Fleets {
		if u.Fleets[i].Gone {
			continue // nobody is told anything, so nobody acknowledges it
		}
		c.Fleets = append(c.Fleets, u.Fleets[i].Fleet)
	}
	d := deliveries{at: map[Object]time.Time{}, oldest: now}
	for _, note := range rev.Notes() {
		if n, ok := note.(Delivery); ok {
			d.add(n)
		}
	}
	c.Changes = collect(c.Changes, d, HTTPProxy, graph.ChangesOf(rev, t.Proxies))
	c.Changes = collect(c.Changes, d, TLSCertificateDelegation, graph.ChangesOf(rev, t.Delegations))
	c.Changes = collect(c.Changes, d, Service, graph.ChangesOf(rev, t.Services))
	c.Changes = collect(c.Changes, d, EndpointSlice, graph.ChangesOf(rev, t.Slices))
	c.Changes = collect(c.Changes, d, Secret, graph.ChangesOf(rev, t.Secrets))
	c.Changes = collect(c.Changes, d, ConfigMap, graph.ChangesOf(rev, t.ConfigMaps))
	c.Changes = collect(c.Changes, d, EnvoyFleet, graph.ChangesOf(rev, t.Fleets))
	c.Changes = collectGateways(c.Changes, d, t, rev)
	return c
}

// collectGateways collects those of the Gateway API.
func collectGateways(to []Change, d deliveries, t *translator.Translator, rev *graph.Revision) []Change {
	to = collect(to, d, GatewayClass, graph.ChangesOf(rev, t.GatewayClasses))
	to = collect(to, d, Gateway, graph.ChangesOf(rev, t.Gateways))
	to = collect(to, d, ListenerSet, graph.ChangesOf(rev, t.ListenerSets))
	to = collect(to, d, HTTPRoute, graph.ChangesOf(rev, t.HTTPRoutes))
	to = collect(to, d, GRPCRoute, graph.ChangesOf(rev, t.GRPCRoutes))
	to = collect(to, d, TLSRoute, graph.ChangesOf(rev, t.TLSRoutes))
	to = collect(to, d, TCPRoute, graph.ChangesOf(rev, t.TCPRoutes))
	to = collect(to, d, UDPRoute, graph.ChangesOf(rev, t.UDPRoutes))
	to = collect(to, d, BackendTLSPolicy, graph.ChangesOf(rev, t.Policies))
	to = collect(to, d, ReferenceGrant, graph.ChangesOf(rev, t.Grants))
	return collect(to, d, ClusterTrustBundle, graph.ChangesOf(rev, t.TrustBundles))
}

// deliveries are the times of a revision's notes.
type deliveries struct {
	at     map[Object]time.Time
	oldest time.Time
}

// add keeps the first time of an object that was delivered twice before it was
// committed: from then on its change was under way.
func (d *deliveries) add(n Delivery) {
	if n.At.Before(d.oldest) {
		d.oldest = n.At
	}
	for _, o := range n.Objects {
		if _, known := d.at[o]; !known {
			d.at[o] = n.At
		}
	}
}

func collect[V any](to []Change, d deliveries, kind Kind, changes []graph.Change[ir.Name, V]) []Change {
	for i := range changes {
		c := Change{Object: Object{kind, changes[i].Key}, Gone: !changes[i].HasNew, Delivered: d.oldest}
		if at, ok := d.at[c.Object]; ok {
			c.Delivered = at
		}
		to = append(to, c)
	}
	return to
}
