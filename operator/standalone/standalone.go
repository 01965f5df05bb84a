package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/provisioner/issuer"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// Fleet is the identity of the one fleet that standalone serves. An EnvoyFleet
// in the folder shapes it; its identity never changes, so that Envoy keeps its
// certificate.
var Fleet = ir.Name{Namespace: "signet", Name: "standalone"}

// Listener names; they are part of scope names and of statistics.
const (
	HTTPListener  = "http"
	HTTPSListener = "https"
)

// Config says what to run.
type Config struct {
	// Manifests is the folder.
	Manifests string
	// Address is the IP address that Envoy listens on.
	Address             string
	HTTPPort, HTTPSPort int
	// Envoy is the path of the binary; empty looks it up, see host.Find.
	Envoy string
	// RuntimeRoot is where the private folder is made; empty is the user's.
	RuntimeRoot string
	// StateRoot is where the authority of client certificates and what it has
	// issued are kept from run to run; empty is $XDG_STATE_HOME/signet, else
	// ~/.local/state/signet. It is touched if an EnvoyFleet asks for one alone.
	StateRoot string
	// Concurrency is Envoy's number of worker threads; 0 is one per processor.
	Concurrency uint32
	// DrainTimeout bounds the wait for open requests at the end; 0 is 5 s.
	DrainTimeout time.Duration
	Log          logr.Logger
	// Stdout takes Envoy's standard output, its access log; nil is Log.
	Stdout io.Writer
	// MetricsAddress is the host:port that probes and metrics are served on;
	// empty serves none. Profiles adds pprof to them.
	MetricsAddress string
	Profiles       bool
	// Version of the program, for the metrics.
	Version string
	// Committed is called with every revision; it must not block; may be nil.
	Committed func(*graph.Revision)
	// Tamper is translator.Tamper's, for tests of refusals; nil in life.
	Tamper func(*envoy.Resource) *envoy.Resource
}

// Standalone is one assembly. Make it with New, run it once with Run.
type Standalone struct {
	cfg      Config
	keeper   *certificate.Keeper
	xds      *xds.Server
	rollout  *rollout.Tracker
	held     *quarantine.Quarantine
	pipeline *pipeline.Pipeline
	issuing  *issuing
	// process is the Envoy that was started last; nil before the first.
	process atomic.Pointer[host.Process]

	ready     chan struct{}
	readyOnce sync.Once
	// folder is the run's private folder, once there is one.
	folder     chan string
	folderOnce sync.Once
}

// New assembles; nothing runs before Run.
func New(cfg Config) (*Standalone, error) {
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{Log: cfg.Log.WithName("certificate")})
	if err != nil {
		return nil, fmt.Errorf("identities: %w", err)
	}
	s := &Standalone{cfg: cfg, keeper: keeper, ready: make(chan struct{}), folder: make(chan string, 1)}
	s.held = quarantine.New(quarantine.Options{Log: cfg.Log.WithName("quarantine")})
	s.rollout = rollout.New(rollout.Options{Log: cfg.Log.WithName("rollout")})
	s.xds = xds.New(xds.Options{
		Log: cfg.Log.WithName("xds"), Identity: certificate.ParseFleetURI, Trust: keeper.Authorities,
		Observer: xds.Observers{s.held, s.rollout},
		Linger:   xds.DefaultLinger,
	})
	s.issuing = newIssuing(folder.New(cfg.Manifests, folder.Options{Log: cfg.Log.WithName("folder")}),
		issuer.New(issuer.Config{Folder: clientFolder(cfg.StateRoot), Log: cfg.Log.WithName("issuer")}))
	s.pipeline = pipeline.New(pipeline.Options{
		Source: s.issuing,
		XDS:    s.xds, Fleet: FleetSpec(cfg.Address, cfg.HTTPPort, cfg.HTTPSPort),
		SystemTrust: source.SystemTrust(),
		Log:         cfg.Log.WithName("pipeline"), Committed: cfg.Committed,
		Quarantine: s.held, Rollout: s.rollout, Tamper: cfg.Tamper,
	})
	return s, nil
}

// FleetSpec is the fleet before an EnvoyFleet shapes it.
func FleetSpec(address string, httpPort, httpsPort int) translator.FleetSpec {
	return translator.FleetSpec{
		Name: Fleet,
		Listeners: []ir.Listener{
			{Name: HTTPListener, Address: address, Port: uint32(httpPort)},              //nolint:gosec // a port
			{Name: HTTPSListener, Address: address, Port: uint32(httpsPort), TLS: true}, //nolint:gosec // a port
		},
		Selector: httpproxy.Selector{Fleet: Fleet},
		Gateways: &listener.Hosting{Address: address, Offset: privilegedOffset},
	}
}

// privilegedOffset is added to the ports below 1024 of Gateways, so that they
// can be bound without a privilege: 80 is 10080 and 443 is 10443.
const privilegedOffset = 10_000

// Ready is closed when Envoy serves the first complete revision.
func (s *Standalone) Ready() <-chan struct{} { return s.ready }

// Report says what is served now.
func (s *Standalone) Report() *report.Report {
	t := s.pipeline.Translator()
	fleets := s.pipeline.Fleets()
	for i := range fleets {
		fleets[i].ClientRenewal = s.issuing.renewal(ir.Name{Namespace: fleets[i].Object.Namespace, Name: fleets[i].Object.Name})
	}
	r := report.Builder{Translator: t, Fleets: fleets, Envoys: s.xds.State(), Rollout: s.rollout}.Build(t.Current())
	r.AddProblems(s.pipeline.Problems())
	return r
}

// Run runs until ctx ends (then it returns nil) or a part fails for good.
func (s *Standalone) Run(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("xDS listener: %w", err)
	}
	var probes net.Listener
	if s.cfg.MetricsAddress != "" {
		if probes, err = lc.Listen(ctx, "tcp", s.cfg.MetricsAddress); err != nil {
			_ = listener.Close() // nothing was accepted
			return fmt.Errorf("probes and metrics: %w", err)
		}
	}
	// The xDS server outlives Envoy, which drains while it is still told.
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServer()
	server := make(chan error, 1)
	go func() { server <- s.xds.Serve(serverCtx, listener, s.keeper.ServerTLS()) }()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-gctx.Done():
			return nil
		case err := <-server:
			server <- nil
			return fmt.Errorf("xDS server ended: %w", err)
		}
	})
	g.Go(func() error { return s.keeper.Run(gctx) })
	g.Go(func() error { return s.pipeline.Run(gctx) })
	g.Go(func() error { return s.serveControl(gctx) })
	if probes != nil {
		g.Go(func() error { return s.serveHealth(gctx, probes) })
	}
	g.Go(func() error { return host.Run(gctx, s.hostConfig(listener.Addr().String())) })
	err = g.Wait()
	stopServer()
	if e := <-server; err == nil {
		err = e
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Standalone) hostConfig(address string) host.Config {
	return host.Config{
		Envoy: s.cfg.Envoy, Fleet: Fleet, XDSAddress: address, Identities: s.keeper,
		Folder: s.cfg.RuntimeRoot, Concurrency: s.cfg.Concurrency, DrainTimeout: s.cfg.DrainTimeout,
		Log: s.cfg.Log, Stdout: s.cfg.Stdout,
		OnStart: func(p host.Process) {
			s.process.Store(&p)
			s.folderOnce.Do(func() { s.folder <- p.Folder })
		},
		OnReady: func(host.Process) { s.readyOnce.Do(func() { close(s.ready) }) },
	}
}
