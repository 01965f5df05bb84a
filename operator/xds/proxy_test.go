package xds

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetproxy/signet/provisioner/bootstrap"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// proxy is a real Envoy with a real bootstrap and identity.
type proxy struct {
	t     *testing.T
	dir   string
	admin *http.Client
}

func (h *harness) envoy(t *testing.T, fleet ir.Name) *proxy {
	t.Helper()
	id, _, err := h.keeper.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	return startEnvoy(t, h.addr, &id)
}

func startEnvoy(t *testing.T, xds string, id *certificate.Identity) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "xds") // a unix socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin")
	p := &proxy{t: t, dir: dir}
	p.identify(id)
	p.write("bootstrap.json")(bootstrap.Bootstrap(bootstrap.Config{
		Fleet: id.Fleet, NodeID: "envoy-" + id.Fleet.Name, XDSAddress: xds, ServerName: id.ServerName,
		CertificateFolder: dir, AdminSocket: socket,
	}))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoyBinary(t), "-c", filepath.Join(dir, "bootstrap.json"),
		"--concurrency", "2", "--use-dynamic-base-id", "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Envoy: %v", err)
	}
	p.admin = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()         // says that it was killed
		_ = log.Close()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("Envoy said:\n%s", out[max(0, len(out)-5000):])
		}
	})
	return p
}

// identify writes the identity as a host does: each file by one rename, the
// trust first.
func (p *proxy) identify(id *certificate.Identity) {
	p.t.Helper()
	key, err := id.KeyPair.KeyPEM()
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(bootstrap.TrustFile)(bootstrap.Trust(id.TrustPEM))
	p.write(bootstrap.IdentityFile)(bootstrap.Identity(id.KeyPair.CertificatePEM(), key))
}

func (p *proxy) write(name string) func([]byte, error) {
	return func(data []byte, err error) {
		p.t.Helper()
		fresh := filepath.Join(p.dir, ".new")
		if err == nil {
			err = os.WriteFile(fresh, data, 0o600)
		}
		if err == nil {
			err = os.Rename(fresh, filepath.Join(p.dir, name))
		}
		if err != nil {
			p.t.Fatal(err)
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

// address waits until Envoy has the listener.
func (p *proxy) address(name string) string {
	p.t.Helper()
	var last string
	ctx, cancel := context.WithTimeout(p.t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last = p.get(ctx, "/listeners?format=json")
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
		if json.Unmarshal([]byte(last), &out) == nil {
			for _, s := range out.Statuses {
				if s.Name == name && s.Address.Socket.Port != 0 {
					return fmt.Sprint("127.0.0.1:", s.Address.Socket.Port)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("Envoy has no listener %q: %s", name, last)
		}
	}
}

// until waits until a statistic is there and not zero.
func (p *proxy) until(filter, name string) {
	p.t.Helper()
	p.wait("/stats?filter="+filter, func(body string) bool {
		return strings.Contains(body, name) && !strings.Contains(body, name+"0\n")
	})
}

func (p *proxy) untilReady() {
	p.t.Helper()
	p.wait("/ready", func(body string) bool { return strings.Contains(body, "LIVE") })
}

func (p *proxy) wait(path string, ok func(body string) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		body := p.get(ctx, path)
		if ok(body) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%s of Envoy: %s", path, body)
		}
	}
}

// get asks the admin interface; an error is an answer too.
func (p *proxy) get(ctx context.Context, path string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin"+path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	res, err := p.admin.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

var tlsBoth = ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13}

// site makes the resources of hosts with TLS upstreams.
type site struct {
	t  *testing.T
	ca *pki.Authority
}

func newSite(t *testing.T) *site {
	t.Helper()
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, ca}
}

func (s *site) ok(r *envoy.Resource, err error) *envoy.Resource {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *site) backend(name string) *backend.Backend {
	s.t.Helper()
	pair, err := s.ca.Issue(pki.Leaf{DNS: []string{"b.test"}})
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := backend.Start(backend.Config{Name: name, Certificate: &pair.TLS})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Close)
	return b
}

func (s *site) upstream(service, trust string) *ir.Upstream {
	return &ir.Upstream{
		Service:  ir.ServicePort{Name: ir.Name{Namespace: "shop", Name: service}, Port: 443},
		Protocol: ir.HTTP1,
		TLS: &ir.UpstreamTLS{SNI: "b.test", Profile: tlsBoth, Verify: &ir.Verify{
			Trust: []ir.TrustRef{{Kind: ir.TrustSecret, Name: ir.Name{Namespace: "shop", Name: trust}}},
			Names: []ir.SubjectName{{Kind: ir.DNSName, Value: "b.test"}},
		}},
	}
}

func (s *site) trust(name string, cas ...*pki.Authority) *envoy.Resource {
	var pem []byte
	for _, ca := range cas {
		pem = append(pem, ca.PEM()...)
	}
	ref := ir.TrustRef{Kind: ir.TrustSecret, Name: ir.Name{Namespace: "shop", Name: name}}
	return s.ok(envoy.TrustSecret(ref.SecretName(), []*ir.TrustBundle{{Ref: ref, PEM: pem}}))
}

func (s *site) cluster(u *ir.Upstream, b *backend.Backend) []*envoy.Resource {
	return list(s.ok(envoy.Cluster(u)), s.ok(envoy.LoadAssignment(&ir.LoadAssignment{
		Service:   u.Service,
		Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: uint32(b.Port())}},
	})))
}

func (s *site) route(listener, host string, u *ir.Upstream) *envoy.Resource {
	return s.ok(envoy.Scope(&ir.VirtualHost{Listener: listener, Host: host, TLS: listener == "https", Routes: []ir.Route{{
		Name: "all", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"},
		Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u, Weight: 1}}},
	}}}))
}

func (s *site) listener(name string) []*envoy.Resource {
	secure := name == "https"
	out := list(
		s.ok(envoy.Listener(&ir.Listener{Name: name, Address: "127.0.0.1", TLS: secure, Profile: tlsBoth}, nil)),
		s.ok(envoy.FallbackScope(name, secure, nil)))
	if secure {
		out = append(out, s.ok(envoy.MisdirectedScope(name)))
	}
	return out
}

// certificate is the secret of an HTTPS host.
func (s *site) certificate(host string) *envoy.Resource {
	s.t.Helper()
	pair, err := s.ca.Issue(pki.Leaf{DNS: []string{host}})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.ok(envoy.CertificateSecret(host, &ir.KeyPair{Chain: pair.CertPEM, Key: pair.KeyPEM}))
}

func join(lists ...[]*envoy.Resource) (out []*envoy.Resource) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// fetch returns "status backend", or the error.
func fetch(ctx context.Context, c *http.Client, url, host string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	req.Host = host
	res, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	var seen backend.Request
	_ = json.NewDecoder(res.Body).Decode(&seen) // only backends speak JSON
	return fmt.Sprint(res.StatusCode, " ", seen.Backend)
}
