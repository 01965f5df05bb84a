package controlplane

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"

	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
	"github.com/signetproxy/signet/translator/ir"
)

// The test binary is also the control plane and the supervisor of Envoys.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case host.SupervisorCommand:
			os.Exit(host.SupervisorMain(os.Args[2:]))
		case Command:
			os.Exit(Main(os.Args[2:]))
		}
	}
	m.Run()
}

var restarts = flag.Int("restarts", 3, "how often TestRestart kills the control plane")

const patience = time.Minute

// stage is a control plane for the fleets changed, untouched and late, with one
// Envoy each for the first two, and two backends behind validated TLS.
type stage struct {
	t          *testing.T
	dir        string
	config     Config
	identities *Identities
	process    *Process
	authority  *pki.Authority
	backends   [2]*backend.Backend
	marker     int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stage{t: t, dir: dir}
	for _, name := range []string{"m", "i", "e"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if s.identities, err = NewIdentities(filepath.Join(dir, "i")); err != nil {
		t.Fatal(err)
	}
	if s.authority, err = pki.NewAuthority("CA"); err != nil {
		t.Fatal(err)
	}
	pair, err := s.authority.Issue(pki.Leaf{DNS: []string{"be.test", "*.late.test", "*.untouched.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.backends {
		if s.backends[i], err = backend.Start(backend.Config{Name: fmt.Sprint("backend", i), Certificate: &pair.TLS, Keep: backend.None}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.backends[i].Close)
	}
	s.config = Config{
		Manifests: filepath.Join(dir, "m"), Identities: filepath.Join(dir, "i"), Socket: filepath.Join(dir, "s"),
		XDSAddress: freeport.AddressFor(t), Marker: ir.Name{Namespace: "default", Name: "marker"},
	}
	for _, name := range []string{"changed", "untouched", "late"} {
		s.config.Fleets = append(s.config.Fleets, Fleet{
			Name: ir.Name{Namespace: name, Name: "fleet"}, RootNamespaces: []string{name},
			HTTPPort: portOf(t, freeport.AddressFor(t)), HTTPSPort: portOf(t, freeport.AddressFor(t)),
		})
		s.write(name+"-fixed", world.All(
			world.CA(name, "ca", s.authority.PEM()),
			world.Secret(name, "host", "kubernetes.io/tls", map[string]string{"tls.crt": string(pair.CertPEM), "tls.key": string(pair.KeyPEM)}),
			world.Service(name, "s0", 443, nil, s.backends[0]), world.Service(name, "s1", 443, nil, s.backends[1])))
		s.proxy(name, 0)
	}
	if s.process, err = New(&s.config, dir, t.Output()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.process.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

// write replaces a file by a rename.
func (s *stage) write(name, content string) {
	s.t.Helper()
	temp := filepath.Join(s.config.Manifests, "."+name+".tmp")
	err := os.WriteFile(temp, []byte(content), 0o600)
	if err = errors.Join(err, os.Rename(temp, filepath.Join(s.config.Manifests, name+".yaml"))); err != nil {
		s.t.Fatal(err)
	}
}

// proxy points the host of a fleet to one of the two services: a route that
// moves to another cluster.
func (s *stage) proxy(fleet string, n int) {
	route := world.Route("/", world.Validated(fmt.Sprint("s", n%2), 443, "tls", "ca", "be.test")) +
		fmt.Sprintf("  permitInsecure: true\n  responseHeadersPolicy: {set: [{name: X-Version, value: \"%d\"}]}\n", n)
	doc := world.Proxy(fleet, "p", "h."+fleet+".test", world.Routes(route))
	if fleet == "untouched" {
		fqdn := "    fqdn: \"h.untouched.test\"\n"
		doc = strings.Replace(doc, fqdn, fqdn+"    tls: {secretName: host}\n", 1)
	}
	s.write(fleet+"-proxy", doc)
}

// mark writes the marker, and returns it.
func (s *stage) mark() string {
	s.marker++
	s.write("marker", fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: marker}\ndata: {at: \"%d\"}\n", s.marker))
	return fmt.Sprint(s.marker)
}

// settled waits until the Envoys have acknowledged all that is written.
func (s *stage) settled(nodes ...string) *Sample {
	s.t.Helper()
	marker := s.mark()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	sample, err := s.process.Await(ctx, func(x *Sample) bool {
		for _, node := range nodes {
			if x.Marker != marker || !x.Acknowledged(node) {
				return false
			}
		}
		return true
	})
	if err != nil {
		s.t.Fatalf("%v: %+v", err, sample)
	}
	return sample
}

func (s *stage) envoy(fleet int, node string) *Envoy {
	e := StartEnvoy(EnvoyConfig{
		Fleet: s.config.Fleets[fleet].Name, Node: node, XDSAddress: s.config.XDSAddress,
		Identities: s.identities, Folder: filepath.Join(s.dir, "e"), Log: logr.Discard(),
	})
	s.t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	return e
}

func (s *stage) await(e *Envoy, ready bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := e.Await(ctx, ready); err != nil {
		s.t.Fatal(err)
	}
}

// load asks for the host of a fleet all the while; what it expects is any
// version from least to most.
func (s *stage) load(fleet int, tls bool, least, most *atomic.Int64) *load.Load {
	f := &s.config.Fleets[fleet]
	return load.Start(load.Config{
		Rate: 100, HTTP: fmt.Sprint("127.0.0.1:", f.HTTPPort), HTTPS: fmt.Sprint("127.0.0.1:", f.HTTPSPort), Roots: s.authority.Pool(),
		Next: func(n int) load.Request {
			low := least.Load()
			return load.Request{Host: "h." + f.Name.Namespace + ".test", TLS: tls && n%4 == 0, Fresh: n%8 == 0, Expect: func(o *load.Outcome) error {
				if err := load.Code(http.StatusOK)(o); err != nil {
					return err
				}
				var version int64
				if _, err := fmt.Sscan(o.Header.Get("X-Version"), &version); err != nil || version < low || version > most.Load() {
					return fmt.Errorf("version %q, want %d to %d: %w", o.Header.Get("X-Version"), low, most.Load(), err)
				}
				return nil
			}}
		},
	})
}

// updates are what an Envoy has taken over, by its own count.
func (s *stage) updates(e *Envoy) string {
	s.t.Helper()
	stats, err := e.Stats(s.t.Context(), `^(cluster_manager\.(cds\.update_(success|rejected)|cluster_(added|modified|removed))|listener_manager\.(lds\.update_(success|rejected)|listener_(added|modified|removed)))$`)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(stats) != 10 {
		s.t.Fatalf("statistics of Envoy %s are missing: %v", e.Node, stats)
	}
	return fmt.Sprint(stats)
}

// A control plane that is killed and started again costs no request, sends an
// Envoy nothing that it has, and delivers what was changed meanwhile. An Envoy
// that starts without one waits.
func TestRestart(t *testing.T) {
	s := newStage(t)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	changed, untouched := s.envoy(0, "changed-1"), s.envoy(1, "untouched-1")
	s.await(changed, true)
	s.await(untouched, true)
	s.settled("changed-1", "untouched-1")

	var zero, least, most atomic.Int64
	loads := []*load.Load{s.load(0, false, &least, &most), s.load(1, true, &zero, &zero)}
	// The certificate of a host is fetched at its first handshake.
	s.reaches(loads[1], 8)
	before := s.updates(untouched)
	change := func() {
		most.Add(1)
		s.proxy("changed", int(most.Load()))
	}
	var late *Envoy
	for n := range *restarts {
		change() // on its way when the control plane is killed
		if err := s.process.Kill(); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			late = s.envoy(2, "late-1")
			s.await(late, false)
		}
		change()
		if n == 0 {
			s.waits(late)
		}
		if err := s.process.Start(); err != nil {
			t.Fatal(err)
		}
		change()
		sample := s.settled("changed-1", "untouched-1")
		least.Store(most.Load())
		st := sample.Stream("untouched-1")
		if !st.Resumed || st.Responses != 0 {
			t.Errorf("restart %d: an untouched Envoy got %d responses (resumed: %v), want none", n, st.Responses, st.Resumed)
		}
		if after := s.updates(untouched); after != before {
			t.Errorf("restart %d: an untouched Envoy took something over: %s, before: %s", n, after, before)
		}
		if n == 0 {
			s.await(late, true)
		}
	}
	for i, l := range loads {
		r := l.Stop()
		t.Logf("fleet %s: %d requests, %d unexpected, p99 %s", s.config.Fleets[i].Name, r.Requests, r.Unexpected, r.Latency.At(0.99))
		if r.Unexpected > 0 || r.Requests == 0 {
			t.Errorf("fleet %s: %d of %d answers were not what they should be: %v", s.config.Fleets[i].Name, r.Unexpected, r.Requests, r.Failures)
		}
	}
	if v := most.Load(); v < int64(3**restarts) {
		t.Errorf("%d changes were made, want 3 for each restart", v)
	}
}

// reaches waits for a number of answers.
func (s *stage) reaches(l *load.Load, n int) {
	s.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); l.Result().Requests < n; <-ticker.C {
		if time.Since(began) > patience {
			s.t.Fatalf("fewer than %d answers within %s", n, patience)
		}
	}
}

// waits holds that an Envoy without a control plane is not ready and does not
// listen.
func (s *stage) waits(e *Envoy) {
	s.t.Helper()
	if _, err := e.Admin(s.t.Context(), "/ready"); err == nil || e.Ready() {
		s.t.Errorf("an Envoy that has never had a control plane says that it is ready (%v)", err)
	}
	address := fmt.Sprint("127.0.0.1:", s.config.Fleets[2].HTTPPort)
	if c, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", address); err == nil {
		_ = c.Close()
		s.t.Error("an Envoy that has never had a control plane listens")
	}
}

// A control plane that ends leaves no goroutine behind.
func TestEndLeavesNothing(t *testing.T) {
	s := newStage(t)
	already := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, &s.config, logr.Discard()) }()
	e := s.envoy(0, "changed-1")
	s.await(e, true)
	s.proxy("changed", 1)
	s.settled("changed-1")
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, already)
}
