package envoy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/translator/envoy"
)

const deadline = 20 * time.Second

// feeder is the smallest delta ADS server that can show resources to an Envoy.
type feeder struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	mu        sync.Mutex
	resources map[envoy.Type]map[string]*envoy.Resource
	asked     map[envoy.Type]map[string]bool
	nacks     []string
	stream    discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
}

func newFeeder(rs []*envoy.Resource) *feeder {
	f := &feeder{resources: map[envoy.Type]map[string]*envoy.Resource{}, asked: map[envoy.Type]map[string]bool{}}
	for _, r := range rs {
		f.keep(r)
	}
	return f
}

func (f *feeder) keep(r *envoy.Resource) {
	if f.resources[r.Type] == nil {
		f.resources[r.Type] = map[string]*envoy.Resource{}
	}
	f.resources[r.Type][r.Name] = r
}

// set serves resources from now on, in the order given.
func (f *feeder) set(t *testing.T, rs ...*envoy.Resource) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rs {
		f.keep(r)
		if err := f.send(r.Type, []*envoy.Resource{r}, nil); err != nil {
			t.Fatalf("sending %s: %v", r, err)
		}
	}
}

func (f *feeder) send(typ envoy.Type, rs []*envoy.Resource, removed []string) error {
	out := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: string(typ), Nonce: "n", RemovedResources: removed}
	for _, r := range rs {
		out.Resources = append(out.Resources, &discoveryv3.Resource{
			Name: r.Name, Version: r.Version, Resource: &anypb.Any{TypeUrl: string(r.Type), Value: r.Body},
		})
	}
	return f.stream.Send(out)
}

// DeltaAggregatedResources serves one Envoy.
func (f *feeder) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	f.mu.Lock()
	f.stream = s
	f.mu.Unlock()
	for {
		req, err := s.Recv()
		if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.answer(req); err != nil {
			return err
		}
	}
}

func (f *feeder) answer(req *discoveryv3.DeltaDiscoveryRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	typ := envoy.Type(req.GetTypeUrl())
	if req.GetErrorDetail() != nil {
		f.nacks = append(f.nacks, string(typ)+": "+req.GetErrorDetail().GetMessage())
		return nil
	}
	first := f.asked[typ] == nil
	if first {
		f.asked[typ] = map[string]bool{}
	}
	var rs []*envoy.Resource
	var removed []string
	switch typ {
	case envoy.EndpointType, envoy.SecretType:
		for _, name := range req.GetResourceNamesSubscribe() {
			f.asked[typ][name] = true
			if r := f.resources[typ][name]; r != nil {
				rs = append(rs, r)
			} else {
				removed = append(removed, name)
			}
		}
	default:
		if first {
			for _, r := range f.resources[typ] {
				rs = append(rs, r)
			}
		}
	}
	if len(rs)+len(removed) == 0 && !first {
		return nil
	}
	return f.send(typ, rs, removed)
}

func (f *feeder) refused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.nacks...)
}

func (f *feeder) wasAsked(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[envoy.SecretType][name]
}

// proxy is a running Envoy that a feeder feeds.
type proxy struct {
	*feeder
	admin string
	// ports by listener name.
	ports map[string]string
}

// runEnvoy starts the real Envoy on resources and waits until it listens.
func runEnvoy(t *testing.T, rs ...*envoy.Resource) *proxy {
	t.Helper()
	f := newFeeder(rs)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, f)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Errorf("feeder: %v", err)
		}
	})
	p := &proxy{feeder: f}
	p.start(t, bootstrap(lis.Addr().(*net.TCPAddr).Port), len(f.resources[envoy.ListenerType]))
	t.Cleanup(func() {
		if n := f.refused(); len(n) != 0 {
			t.Errorf("Envoy refused: %s", strings.Join(n, "\n"))
		}
	})
	return p
}

func bootstrap(xdsPort int) string {
	return fmt.Sprintf(`{
	  "node": {"id": "test", "cluster": "test"},
	  "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
	  "dynamic_resources": {
	    "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
	    "cds_config": {"ads": {}, "resource_api_version": "V3"},
	    "lds_config": {"ads": {}, "resource_api_version": "V3"}
	  },
	  "static_resources": {"clusters": [{
	    "name": "xds", "connect_timeout": "1s",
	    "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
	      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
	      "explicit_http_config": {"http2_protocol_options": {}}}},
	    "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
	      "socket_address": {"address": "127.0.0.1", "port_value": %d}}}}]}]}
	  }]}
	}`, xdsPort)
}

func (p *proxy) start(t *testing.T, config string, listeners int) {
	t.Helper()
	dir := t.TempDir()
	adminFile, logFile := filepath.Join(dir, "admin"), filepath.Join(dir, "log")
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoyBinary(t), "--config-yaml", config, "--concurrency", "1", "--disable-hot-restart",
		"--admin-address-path", adminFile, "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting Envoy: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()         // reports the kill
		_ = log.Close()
		if t.Failed() {
			out, _ := os.ReadFile(logFile)
			t.Logf("Envoy said:\n%s", tail(string(out), 6000))
		}
	})
	eventually(t, "Envoy listens", func() error {
		addr, err := os.ReadFile(adminFile)
		if err != nil {
			return err
		}
		p.admin = "http://" + string(addr)
		if n := p.refused(); len(n) != 0 {
			t.Fatalf("Envoy refused: %s", strings.Join(n, "\n"))
		}
		return p.findPorts(t.Context(), listeners)
	})
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *proxy) findPorts(ctx context.Context, want int) error {
	if _, err := p.get(ctx, "/ready"); err != nil {
		return err
	}
	body, err := p.get(ctx, "/listeners?format=json")
	if err != nil {
		return err
	}
	var out struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return err
	}
	if len(out.Statuses) != want {
		return fmt.Errorf("%d of %d listeners", len(out.Statuses), want)
	}
	p.ports = map[string]string{}
	for _, s := range out.Statuses {
		p.ports[s.Name] = fmt.Sprint(s.Address.Socket.Port)
	}
	return nil
}

func (p *proxy) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return body, err
}

// eventually polls until check has no error.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func envoyBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SIGNET_ENVOY")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(cache, "signet", "tools", "envoy-1.40.0", "envoy")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test needs Envoy: %v; run make tools, or set $SIGNET_ENVOY", err)
	}
	return path
}
