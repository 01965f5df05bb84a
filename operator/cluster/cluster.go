package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	fleets "github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/event"
	"github.com/signetproxy/signet/operator/health"
	own "github.com/signetproxy/signet/operator/metrics"
	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/kubernetes"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/graph"
)

// Config says how to run in a cluster.
type Config struct {
	// REST reaches the API server.
	REST *rest.Config
	// Namespace is Signet's own: the lease and the authorities are there.
	Namespace string
	// Namespaces to serve; none is all of them.
	Namespaces []string
	// XDSBind is the address that the xDS server listens on, XDSAddress the one
	// that pods reach it by.
	XDSBind, XDSAddress string
	// Image of the fleets' pods, where an EnvoyFleet names none.
	Image string
	// HealthAddress serves /healthz and /readyz, MetricsAddress /metrics; "0"
	// is none.
	HealthAddress, MetricsAddress string
	// StatusAddress answers `signet status`, without authentication: a loopback
	// address of the pod, which a port-forward reaches. "0" is none.
	StatusAddress string
	// LeaderElection is false where only one replica can run.
	LeaderElection bool
	// Version of the program, for the metrics.
	Version string
	Log     logr.Logger
}

// Cluster is one assembly. Make it with New, run it once with Run.
type Cluster struct {
	cfg         Config
	scheme      *runtime.Scheme
	manager     manager.Manager
	fleets      *fleets.Fleets
	gateways    *fleets.Gateways
	classes     *fleets.Classes
	triggers    *triggers
	source      *kubernetes.Source
	keeper      *certificate.Keeper
	xds         *xds.Server
	collectors  []prometheus.Collector
	pipeline    *pipeline.Pipeline
	rollout     *rollout.Tracker
	authorities *fleets.Authorities
	statuses    *statuses
	events      *event.Events
	direct      client.Client
}

// New assembles; nothing runs before Run.
func New(cfg Config) (*Cluster, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, scheme: scheme}
	if c.keeper, err = certificate.NewKeeper(certificate.KeeperConfig{Log: cfg.Log.WithName("certificate")}); err != nil {
		return nil, fmt.Errorf("identities: %w", err)
	}
	if c.source, err = kubernetes.New(kubernetes.Options{
		Config: cfg.REST, Namespaces: cfg.Namespaces, References: references,
		Uses: pipeline.Uses, Targets: pipeline.Targets, Backends: pipeline.Backends, Lacks: pipeline.Lacks,
		Rewritten: func(k source.Key) { c.statuses.rewritten(k) },
		Log:       cfg.Log.WithName("source"),
	}); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if c.manager, err = manager.New(cfg.REST, manager.Options{
		Scheme: scheme, Logger: cfg.Log, HealthProbeBindAddress: cfg.HealthAddress,
		Metrics: metricsserver.Options{BindAddress: cfg.MetricsAddress},
	}); err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	direct, err := client.New(cfg.REST, client.Options{
		Scheme: scheme, HTTPClient: c.manager.GetHTTPClient(), Mapper: c.manager.GetRESTMapper(),
	})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c.direct = direct
	c.events = &event.Events{Recorder: c.manager.GetEventRecorder("signet"), Now: time.Now}
	held := quarantine.New(quarantine.Options{Log: cfg.Log.WithName("quarantine"), Event: c.events.Refused})
	changes := rollout.New(rollout.Options{Log: cfg.Log.WithName("rollout")})
	c.rollout = changes
	c.statuses = newStatuses(direct, c.source.Cache(), cfg.Log.WithName("status"))
	c.triggers = newTriggers()
	c.xds = xds.New(xds.Options{
		Log: cfg.Log.WithName("xds"), Identity: certificate.ParseFleetURI, Trust: c.keeper.Authorities,
		Observer: xds.Observers{held, changes, c.statuses},
		Linger:   xds.DefaultLinger,
	})
	c.pipeline = pipeline.New(pipeline.Options{
		Source: c.source, XDS: c.xds, Each: fleetSpec, Gateway: gatewaySpec, SystemTrust: source.SystemTrust(),
		Log: cfg.Log.WithName("pipeline"),
		Committed: func(rev *graph.Revision) {
			c.statuses.committed(rev)
			c.triggers.committed(rev)
		},
		Quarantine: held, Rollout: changes,
	})
	c.triggers.pipeline = c.pipeline
	c.events.Translator, c.events.Fleet = c.pipeline.Translator(), c.fleetObject
	c.collectors = own.Collectors(own.Sources{
		Version: cfg.Version, Pipeline: c.pipeline, XDS: c.xds, Rollout: changes, Quarantine: held,
	})
	replica := string(uuid.NewUUID())
	others := newPeers(&cfg, replica, direct, c.xds, held)
	c.statuses.serve(c.pipeline, c.xds, others)
	if others != nil {
		if err := c.manager.AddMetricsServerExtraHandler(envoysPath, others); err != nil {
			return nil, fmt.Errorf("count of Envoys: %w", err)
		}
	}
	c.provision()
	err = c.register()
	return c, err
}

// provision assembles what writes while this replica leads, but for statuses.
func (c *Cluster) provision() {
	cfg := &c.cfg
	c.authorities = &fleets.Authorities{
		Client: c.direct, Namespace: cfg.Namespace, Keeper: c.keeper, Changed: c.triggers.authorities,
		Now: time.Now, Log: cfg.Log.WithName("authorities"),
	}
	objects := fleets.Provisioner{
		Client: c.direct, Authorities: c.authorities, Image: cfg.Image, XDSAddress: cfg.XDSAddress,
		Now: time.Now, Log: cfg.Log.WithName("fleets"),
	}
	c.fleets = &fleets.Fleets{Provisioner: objects, Settled: c.statuses.settled}
	c.gateways = &fleets.Gateways{Provisioner: objects, Exposure: c.triggers.exposure, Settled: c.statuses.settledGateway}
	c.classes = &fleets.Classes{Client: c.direct, Used: c.triggers.used}
}

// Run runs until ctx ends, or a part fails for good.
func (c *Cluster) Run(ctx context.Context) error {
	defer func() {
		for _, x := range c.collectors {
			metrics.Registry.Unregister(x)
		}
	}()
	for _, x := range c.collectors {
		if err := metrics.Registry.Register(x); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if err := c.manager.Start(ctx); err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	return nil
}

// register adds all parts to the manager.
func (c *Cluster) register() error {
	for _, part := range []everywhere{c.pipeline.Run, c.serve, c.report, c.authorities.Follow, c.lead} {
		if err := c.manager.Add(part); err != nil {
			return fmt.Errorf("operator: %w", err)
		}
	}
	if err := c.manager.AddHealthzCheck("alive", func(*http.Request) error { return nil }); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if err := c.manager.AddReadyzCheck("serving", c.ready); err != nil {
		return fmt.Errorf("readiness: %w", err)
	}
	return nil
}

// everywhere is a part that runs on every replica, whoever leads.
type everywhere func(context.Context) error

// Start implements manager.Runnable.
func (f everywhere) Start(ctx context.Context) error { return f(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

var errNoCertificate = errors.New("the xDS server has no certificate yet")

func (c *Cluster) ready(*http.Request) error {
	select {
	case <-c.authorities.Loaded():
	default:
		return errNoCertificate
	}
	return health.ControlPlane(c.pipeline.IsComplete(), c.pipeline.Served())
}

// serve is the xDS server, from when it has a certificate of the cluster's
// authority.
func (c *Cluster) serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.authorities.Loaded():
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.cfg.XDSBind)
	if err != nil {
		return fmt.Errorf("xDS listener: %w", err)
	}
	c.cfg.Log.Info("xDS is served", "address", l.Addr().String())
	return c.xds.Serve(ctx, l, c.keeper.ServerTLS())
}

func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, contourv1.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install,
	} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("scheme: %w", err)
		}
	}
	return s, nil
}
