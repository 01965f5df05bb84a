package translator

import (
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/translator/accesslog"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// FleetSpec is what a fleet is asked to be. The operator makes it from an
// EnvoyFleet; standalone makes one by itself when the folder holds none.
type FleetSpec struct {
	Name ir.Name
	// Generation of the EnvoyFleet; 0 for a fleet without one.
	Generation int64
	// Listeners, sorted by name. Their Profile is filled in by the translator.
	Listeners []ir.Listener
	Selector  httpproxy.Selector
	// Gateways says which Gateways the fleet serves, and where; nil serves none.
	Gateways *listener.Hosting
	Upstream upstream.FleetSettings
	// AccessLog is what is asked for. FormerAccessLog takes its place where it
	// cannot be written: what was asked for before, nil for nothing.
	AccessLog       accesslog.Settings
	FormerAccessLog *accesslog.Settings
	// Failure, when not empty, is why it is not known what is asked for: TLS
	// upstreams fail closed.
	Failure string
}

// ServesProxies says that HTTPProxies may claim hosts of the fleet: one that is
// made for a Gateway serves that alone.
func (f *FleetSpec) ServesProxies() bool { return f.Gateways == nil || f.Gateways.Only == nil }

// Translator is a graph from objects to Envoy resources and statuses.
type Translator struct {
	*graph.Graph
	Inputs
	quarantine
	trust
	gateways
	sites
	resources
	refusals
	statuses
	gatewayStatuses
	// objects gives decisions what they read, recorded by r.
	objects func(r *graph.Reader) upstream.Objects
}

// Inputs are the tables that a source fills.
type Inputs struct {
	Proxies     *graph.Input[ir.Name, *contourv1.HTTPProxy]
	Delegations *graph.Input[ir.Name, *contourv1.TLSCertificateDelegation]
	Services    *graph.Input[ir.Name, *corev1.Service]
	Secrets     *graph.Input[ir.Name, *corev1.Secret]
	ConfigMaps  *graph.Input[ir.Name, *corev1.ConfigMap]
	Fleets      *graph.Input[ir.Name, *FleetSpec]
	GatewayInputs
	// Slices are in the fast lane: endpoints never wait for a translation.
	Slices *graph.Input[ir.Name, *discoveryv1.EndpointSlice]
	// Quarantine holds what Envoys have refused: operator/quarantine fills it.
	Quarantine *graph.Input[RefusalKey, *Refusal]
	// Probes are resources that serve nobody, by the listener or scope for whose
	// parts they stand: operator/quarantine fills it.
	Probes *graph.Input[RefusalKey, *envoy.Resource]
	// Warming says of clusters that no Envoy gets warm what they wait for:
	// operator/quarantine fills it.
	Warming *graph.Input[ClusterKey, string]
	// Clock holds the one row ClockKey: the time that validity is judged at.
	Clock *graph.Input[graph.String, time.Time]
	// Delivered is when a Secret, ConfigMap or ClusterTrustBundle last came. What
	// it holds is judged at that time if the Clock is behind it: a certificate may
	// be younger than the Clock, which moves for verdicts that are known.
	Delivered *graph.Input[ir.TrustRef, time.Time]
}

// ClockKey is the key of the only row of the Clock input.
const ClockKey = graph.String("now")

// New declares the graph. The order of the calls is the order of the layers.
func New(options ...Option) *Translator {
	t := &Translator{Graph: graph.New()}
	for _, o := range options {
		o(t)
	}
	t.objects = func(r *graph.Reader) upstream.Objects { return objects{t, r} }
	t.declareInputs()
	t.declareQuarantine()
	t.declareGatewayInputs()
	t.declareTrust()
	t.declareGateways()
	t.declareSites()
	t.declareResources()
	t.declareRefusals()
	t.declareStatuses()
	t.declareGatewayStatuses()
	return t
}

func (t *Translator) declareInputs() {
	g := t.Graph
	t.Proxies = graph.NewInput[ir.Name](g, "HTTPProxy", graph.Main, sameProxy)
	t.Delegations = graph.NewInput[ir.Name](g, "TLSCertificateDelegation", graph.Main, sameDelegation)
	t.Services = graph.NewInput[ir.Name](g, "Service", graph.Main, upstream.SameService)
	t.Secrets = graph.NewInput[ir.Name](g, "Secret", graph.Main, sameSecret)
	t.ConfigMaps = graph.NewInput[ir.Name](g, "ConfigMap", graph.Main, sameConfigMap)
	t.Fleets = graph.NewInput[ir.Name, *FleetSpec](g, "EnvoyFleet", graph.Main, nil)
	t.Slices = graph.NewInput[ir.Name](g, "EndpointSlice", graph.Fast, sameSlice)
	t.Warming = graph.NewInput[ClusterKey](g, "Warming", graph.Main, func(a, b string) bool { return a == b })
	t.Quarantine = graph.NewInput[RefusalKey](g, "Quarantine", graph.Main, func(a, b *Refusal) bool { return a == b })
	t.Probes = graph.NewInput[RefusalKey](g, "Probe", graph.Main, (*envoy.Resource).Equal)
	t.Clock = graph.NewInput[graph.String](g, "Clock", graph.Main, time.Time.Equal)
	t.Delivered = graph.NewInput[ir.TrustRef](g, "Delivered", graph.Main, time.Time.Equal)
}

// The equalities leave out what translation never reads: resource versions,
// managed fields and statuses, so that a write of our own status is no change. An
// object that is made anew, whatever it says, is one: its status is to be written.

func sameProxy(a, b *contourv1.HTTPProxy) bool {
	return sameMeta(&a.ObjectMeta, &b.ObjectMeta) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
}

func sameDelegation(a, b *contourv1.TLSCertificateDelegation) bool {
	return sameMeta(&a.ObjectMeta, &b.ObjectMeta) && equality.Semantic.DeepEqual(&a.Spec, &b.Spec)
}

func sameSecret(a, b *corev1.Secret) bool {
	return a.Type == b.Type && equality.Semantic.DeepEqual(a.Data, b.Data)
}

func sameConfigMap(a, b *corev1.ConfigMap) bool {
	return equality.Semantic.DeepEqual(a.Data, b.Data) && equality.Semantic.DeepEqual(a.BinaryData, b.BinaryData)
}

func sameSlice(a, b *discoveryv1.EndpointSlice) bool {
	return a.AddressType == b.AddressType &&
		a.Labels[discoveryv1.LabelServiceName] == b.Labels[discoveryv1.LabelServiceName] &&
		equality.Semantic.DeepEqual(a.Ports, b.Ports) &&
		equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints)
}

func sameMeta(a, b *metav1.ObjectMeta) bool {
	return a.UID == b.UID && a.Generation == b.Generation && equality.Semantic.DeepEqual(a.Annotations, b.Annotations)
}
