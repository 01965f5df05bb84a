package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/source/folder"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
)

// Command is the hidden command by which a binary runs [Main].
const Command = "test-control-plane"

// Main is the process: args are those after [Command]. It ends when its
// standard input does.
func Main(args []string) int {
	if err := run(args); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "control plane:", err) // the last word
		return 1
	}
	return 0
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("got %d arguments, want the path of its configuration", len(args))
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var cfg Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is the parent's
		cancel()
	}()
	level := 0
	if cfg.Verbose {
		level = 1
	}
	log := funcr.NewJSON(func(line string) { _, _ = fmt.Fprintln(os.Stderr, line) },
		funcr.Options{LogTimestamp: true, Verbosity: level, TimestampFormat: "15:04:05.000000"})
	return Run(ctx, &cfg, log)
}

// plane is one run.
type plane struct {
	cfg      *Config
	xds      *xds.Server
	pipeline *pipeline.Pipeline

	mu             sync.Mutex
	marker         string
	markerRevision uint64
	committed      uint64
}

// Run serves until ctx ends, in this process.
func Run(ctx context.Context, cfg *Config, log logr.Logger) error {
	held := quarantine.New(quarantine.Options{Log: log.WithName("quarantine")})
	p := &plane{cfg: cfg, xds: xds.New(xds.Options{
		Log: log.WithName("xds"), Identity: certificate.ParseFleetURI, Observer: xds.Observers{held},
	})}
	fleets := make([]translator.FleetSpec, len(cfg.Fleets))
	for i := range cfg.Fleets {
		fleets[i] = cfg.Fleets[i].spec()
	}
	p.pipeline = pipeline.New(pipeline.Options{
		Source: folder.New(cfg.Manifests, folder.Options{Log: log.WithName("folder")}),
		XDS:    p.xds, Fleet: fleets[0], Others: fleets[1:],
		Log: log.WithName("pipeline"), Committed: p.note,
		Quarantine: held, Tamper: tamper(cfg.Refused),
	})
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.XDSAddress)
	if err != nil {
		return fmt.Errorf("xDS listener: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.xds.Serve(ctx, listener, serverTLS(cfg.Identities)) })
	g.Go(func() error { return p.pipeline.Run(ctx) })
	g.Go(func() error { return p.answer(ctx) })
	return g.Wait()
}

// tamper makes what holds a text into something that Envoy refuses.
func tamper(text string) func(*envoy.Resource) *envoy.Resource {
	if text == "" {
		return nil
	}
	return func(r *envoy.Resource) *envoy.Resource {
		if !bytes.Contains(r.Body, []byte(text)) {
			return r
		}
		m, err := r.Message()
		if err != nil {
			return r
		}
		switch m := m.(type) {
		case *clusterv3.Cluster:
			m.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED // with static endpoints
		case *routev3.VirtualHost:
			for _, route := range m.GetRoutes() {
				if strings.Contains(route.String(), text) {
					route.Match.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}}
				}
			}
		case *listenerv3.FilterChain:
			m.Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/signet.test.Unknown"}}
		default:
			return r
		}
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return r
		}
		return envoy.NewResource(r.Type, r.Name, body)
	}
}

// note is called with every revision.
func (p *plane) note(rev *graph.Revision) {
	marker := ""
	if m, ok := p.pipeline.Translator().ConfigMaps.Get(rev.Reader(), p.cfg.Marker); ok {
		marker = m.Data["at"]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = rev.Number()
	if marker != p.marker {
		p.marker, p.markerRevision = marker, rev.Number()
	}
}

// answer serves the socket. One that a killed process left is replaced.
func (p *plane) answer(ctx context.Context) error {
	if err := os.Remove(p.cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("old socket: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", p.cfg.Socket)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sample", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(p.sample(r.URL.Query().Has("collect"))) // who asked may be gone
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing to save
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("socket: %w", err)
	}
	return nil
}

func (p *plane) sample(collect bool) *Sample {
	p.mu.Lock()
	s := &Sample{PID: os.Getpid(), Marker: p.marker, MarkerRevision: p.markerRevision, Committed: p.committed}
	p.mu.Unlock()
	// Asked after the marker: what it says of the marker's revision holds.
	s.XDS = p.xds.State()
	if collect {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.HeapBytes = m.HeapAlloc
	}
	s.Goroutines = runtime.NumGoroutine()
	return s
}

// serverTLS reads the identity files at each handshake.
func serverTLS(dir string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			text, err := os.ReadFile(filepath.Join(dir, serverFile))
			if err != nil {
				return nil, fmt.Errorf("server certificate: %w", err)
			}
			pair, err := tls.X509KeyPair(text, text)
			if err != nil {
				return nil, fmt.Errorf("server certificate: %w", err)
			}
			trust, err := os.ReadFile(filepath.Join(dir, trustFile))
			if err != nil {
				return nil, fmt.Errorf("trusted authorities: %w", err)
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(trust)
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
				NextProtos: []string{"h2"}, SessionTicketsDisabled: true,
			}, nil
		},
	}
}
