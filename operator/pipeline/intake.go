package pipeline

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// intake turns a source's objects into changes of the graph's inputs.
type intake struct {
	inputs *translator.Inputs
	fleets fleets
}

// fleets turns EnvoyFleets into fleets: one of a folder, or each of a cluster.
type fleets interface {
	put(n ir.Name, o *v1alpha1.EnvoyFleet)
	remove(n ir.Name)
	// gateway and class take a Gateway and a GatewayClass; nil is one that is gone.
	gateway(n ir.Name, o *gatewayv1.Gateway)
	class(name string, o *gatewayv1.GatewayClass)
	// note looks at what the source could not read.
	note(problems []source.Problem)
	// secret takes a Secret; nil is one that is gone. It returns true for one of which
	// apply records the end, now or later.
	secret(n ir.Name, o *corev1.Secret, now time.Time) bool
	// apply records what has changed since the last call, or what time has.
	apply(c *graph.Changes, in *translator.Inputs, now time.Time)
	// next is when time alone changes something, zero for never.
	next() time.Time
	// report lists the EnvoyFleets with the fleet that each shapes.
	report() []report.FleetObject
}

// put records an object in the changes; the object must not be changed after.
func (in *intake) put(c *graph.Changes, o client.Object) {
	n := ir.Name{Namespace: o.GetNamespace(), Name: o.GetName()}
	switch o := o.(type) {
	case *contourv1.HTTPProxy:
		in.inputs.Proxies.Put(c, n, o)
	case *contourv1.TLSCertificateDelegation:
		in.inputs.Delegations.Put(c, n, o)
	case *corev1.Service:
		in.inputs.Services.Put(c, n, o)
	case *corev1.Secret:
		in.inputs.Secrets.Put(c, n, o)
	case *corev1.ConfigMap:
		in.inputs.ConfigMaps.Put(c, n, o)
	case *discoveryv1.EndpointSlice:
		in.inputs.Slices.Put(c, n, o)
	case *v1alpha1.EnvoyFleet:
		in.fleets.put(n, o)
		in.inputs.EnvoyFleets.Put(c, n, true)
	default:
		in.putGateway(c, n, o)
	}
}

func (in *intake) remove(c *graph.Changes, k source.Key, now time.Time) {
	n := ir.Name{Namespace: k.Namespace, Name: k.Name}
	switch k.Kind {
	case "HTTPProxy":
		in.inputs.Proxies.Delete(c, n)
	case "TLSCertificateDelegation":
		in.inputs.Delegations.Delete(c, n)
	case "Service":
		in.inputs.Services.Delete(c, n)
	case "Secret":
		if !in.fleets.secret(n, nil, now) {
			deleteSecret(c, in.inputs, n)
		}
	case "ConfigMap":
		in.inputs.ConfigMaps.Delete(c, n)
	case "EndpointSlice":
		in.inputs.Slices.Delete(c, n)
	case fleetKind:
		in.fleets.remove(n)
		in.inputs.EnvoyFleets.Delete(c, n)
	default:
		in.removeGateway(c, n, k.Kind)
	}
}

func deleteSecret(c *graph.Changes, in *translator.Inputs, n ir.Name) {
	in.Secrets.Delete(c, n)
	in.Delivered.Delete(c, ir.TrustRef{Kind: ir.TrustSecret, Name: n})
}

// fleetKind is the kind of the one API of ours.
const fleetKind = "EnvoyFleet"

// certificates are the kinds that hold some.
var certificates = map[string]ir.TrustKind{
	"Secret": ir.TrustSecret, "ConfigMap": ir.TrustConfigMap, "ClusterTrustBundle": ir.TrustClusterTrustBundle,
}

// stamp records when something that may hold certificates has come.
func (in *intake) stamp(c *graph.Changes, o client.Object, now time.Time) {
	var kind ir.TrustKind
	switch o.(type) {
	case *corev1.Secret:
		kind = ir.TrustSecret
	case *corev1.ConfigMap:
		kind = ir.TrustConfigMap
	case *certificatesv1beta1.ClusterTrustBundle:
		kind = ir.TrustClusterTrustBundle
	default:
		return
	}
	in.inputs.Delivered.Put(c, ir.TrustRef{Kind: kind, Name: ir.Name{Namespace: o.GetNamespace(), Name: o.GetName()}}, now)
}

// add records in c a batch that comes now.
func (in *intake) add(c *graph.Changes, b source.Batch, now time.Time) {
	if b.Problems != nil {
		in.fleets.note(b.Problems)
	}
	for _, k := range b.Deleted {
		in.remove(c, k, now)
		if kind, holds := certificates[k.Kind]; holds && kind != ir.TrustSecret {
			in.inputs.Delivered.Delete(c, ir.TrustRef{Kind: kind, Name: ir.Name{Namespace: k.Namespace, Name: k.Name}})
		}
	}
	for _, o := range b.Changed {
		if s, ok := o.(*corev1.Secret); ok {
			in.fleets.secret(ir.Name{Namespace: s.Namespace, Name: s.Name}, s, now)
		}
		in.put(c, o)
		in.stamp(c, o, now)
	}
	in.fleets.apply(c, in.inputs, now)
}

// localFleet shapes the one fleet of a folder. A folder has one Envoy and so one fleet of a
// fixed identity; the first EnvoyFleet by namespace and name shapes it.
type localFleet struct {
	base    translator.FleetSpec
	others  []translator.FleetSpec
	objects map[ir.Name]*v1alpha1.EnvoyFleet
	// refused is why an EnvoyFleet that the source has seen is not an object;
	// empty when there is none.
	refused string
	dirty   bool
	shaper  ir.Name
	logs    formerLogs
}

func newLocalFleet(base translator.FleetSpec, others []translator.FleetSpec) *localFleet {
	return &localFleet{base: base, others: others, objects: map[ir.Name]*v1alpha1.EnvoyFleet{}, dirty: true, logs: formerLogs{}}
}

func (f *localFleet) put(n ir.Name, o *v1alpha1.EnvoyFleet) {
	f.objects[n] = o
	f.dirty = true
}

func (f *localFleet) remove(n ir.Name) {
	delete(f.objects, n)
	f.dirty = true
}

// A folder's fleet serves every Gateway, in the shape that it has.

func (*localFleet) gateway(ir.Name, *gatewayv1.Gateway) {}

func (*localFleet) class(string, *gatewayv1.GatewayClass) {}

// Nor does anything wait there for a Secret: what is issued is given before it is asked
// for.

func (*localFleet) secret(ir.Name, *corev1.Secret, time.Time) bool { return false }

func (*localFleet) next() time.Time { return time.Time{} }

func (f *localFleet) apply(c *graph.Changes, in *translator.Inputs, _ time.Time) {
	if !f.dirty {
		return
	}
	f.dirty = false
	spec := f.base
	f.shaper = ir.Name{}
	switch names := f.names(); {
	case len(names) > 0:
		f.shaper = names[0]
		shape(&spec, f.objects[f.shaper])
	case f.refused != "":
		// What it asks for is not known: the defaults may be weaker.
		spec.Failure = f.refused
	}
	f.logs.follow(&spec)
	in.Fleets.Put(c, spec.Name, &spec)
	for i := range f.others {
		in.Fleets.Put(c, f.others[i].Name, &f.others[i])
	}
}

// note looks at what the source could not read.
func (f *localFleet) note(problems []source.Problem) {
	refused := ""
	for i := range problems {
		if p := &problems[i]; p.Severity == source.Error && strings.HasPrefix(p.Object, fleetKind+" ") {
			refused = p.Object + " was refused: " + p.Message
			break
		}
	}
	f.dirty = f.dirty || refused != f.refused
	f.refused = refused
}

func (f *localFleet) names() []ir.Name {
	return slices.SortedFunc(maps.Keys(f.objects), func(a, b ir.Name) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// shape puts what an EnvoyFleet asks for into a fleet's spec.
func shape(spec *translator.FleetSpec, o *v1alpha1.EnvoyFleet) {
	spec.Generation = o.Generation
	if p := o.Spec.HTTPProxies; p != nil {
		spec.Selector.IngressClassNames = p.IngressClassNames
		spec.Selector.RootNamespaces = p.RootNamespaces
	}
	spec.AccessLog = AccessLog(o)
	spec.Upstream = UpstreamTLS(o)
	if ref, ok := clientCertificate(o); ok {
		spec.Upstream.ClientCertificate = &ref
	}
}

// UpstreamTLS is what an EnvoyFleet asks for towards backends, but for the client
// certificate.
func UpstreamTLS(o *v1alpha1.EnvoyFleet) upstream.FleetSettings {
	t := o.Spec.UpstreamTLS
	if t == nil {
		return upstream.FleetSettings{}
	}
	return upstream.FleetSettings{
		Min: string(t.MinimumProtocolVersion), Max: string(t.MaximumProtocolVersion),
		Ciphers: t.CipherSuites, Curves: t.ECDHCurves, RequireValidation: t.RequireValidation,
	}
}

// clientCertificate is the Secret that an EnvoyFleet's Envoys present.
func clientCertificate(o *v1alpha1.EnvoyFleet) (ir.Name, bool) {
	t := o.Spec.UpstreamTLS
	if t == nil || t.ClientCertificate == nil {
		return ir.Name{}, false
	}
	switch c := t.ClientCertificate; {
	case c.SecretRef != nil:
		return ir.Name{Namespace: cmp.Or(c.SecretRef.Namespace, o.Namespace), Name: c.SecretRef.Name}, true
	case c.Issued != nil:
		return ir.Name{Namespace: o.Namespace, Name: c.Issued.Secret(o.Name)}, true
	}
	return ir.Name{}, false
}

// report lists the EnvoyFleets with the fleet that each shapes.
func (f *localFleet) report() []report.FleetObject {
	var out []report.FleetObject
	for _, n := range f.names() {
		o := report.FleetObject{Object: f.objects[n], Chosen: f.shaper}
		if n == f.shaper {
			o.Fleet = f.base.Name
		}
		out = append(out, o)
	}
	return out
}
