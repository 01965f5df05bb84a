package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

const subject = "backend.example"

// estate is a folder of n hosts with a running standalone.
type estate struct {
	dir      string
	n        int
	port     int
	backends [2]*backend.Backend
	cmd      *exec.Cmd
	ended    chan error
	client   *http.Client
}

func newEstate(ctx context.Context, signet string, n int) (*estate, error) {
	dir, err := os.MkdirTemp("", "signet-traffic-")
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	e := &estate{dir: dir, n: n, ended: make(chan error, 1), client: &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8},
	}}
	if err := e.prepare(); err != nil {
		return e, err
	}
	err = e.start(ctx, signet)
	return e, err
}

func (e *estate) prepare() error {
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	pair, err := ca.Issue(pki.Leaf{DNS: []string{subject}})
	if err != nil {
		return fmt.Errorf("backend certificate: %w", err)
	}
	hosts, err := ca.Issue(pki.Leaf{DNS: []string{"*.traffic.test"}})
	if err != nil {
		return fmt.Errorf("host certificate: %w", err)
	}
	for i, name := range []string{"a", "b"} {
		if e.backends[i], err = backend.Start(backend.Config{Name: name, Certificate: &pair.TLS}); err != nil {
			return fmt.Errorf("backend: %w", err)
		}
	}
	if err := e.write("shared.yaml", world.All(world.CA("default", "ca", ca.PEM()),
		world.Secret("default", "host", "kubernetes.io/tls", map[string]string{"tls.crt": string(hosts.CertPEM), "tls.key": string(hosts.KeyPEM)}))); err != nil {
		return err
	}
	for i := range e.n {
		if err := errors.Join(
			e.write(fmt.Sprintf("service-%d.yaml", i), world.Service("default", fmt.Sprint("s", i), 443, nil)),
			e.write(fmt.Sprintf("slice-%d.yaml", i), world.Endpoints("default", fmt.Sprint("s", i), e.backends[0])),
			e.write(fmt.Sprintf("proxy-%d.yaml", i), proxy(i, "v0"))); err != nil {
			return err
		}
	}
	return nil
}

func host(i int) string { return fmt.Sprintf("h%d.traffic.test", i) }

// proxy is host i; odd ones are HTTPS hosts that allow plain requests too.
func proxy(i int, version string) string {
	route := world.Route("/", world.Validated(fmt.Sprint("s", i), 443, "tls", "ca", subject)) +
		"  responseHeadersPolicy: {set: [{name: X-Version, value: " + version + "}]}\n"
	if i%2 == 0 {
		return world.Proxy("default", fmt.Sprint("p", i), host(i), world.Routes(route))
	}
	doc := world.Proxy("default", fmt.Sprint("p", i), host(i), world.Routes(route+"  permitInsecure: true\n"))
	fqdn := fmt.Sprintf("    fqdn: %q\n", host(i))
	return strings.Replace(doc, fqdn, fqdn+"    tls: {secretName: host}\n", 1)
}

// write replaces a file by a rename, as an editor does.
func (e *estate) write(name, content string) error {
	temp := filepath.Join(e.dir, ".tmp")
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := os.Rename(temp, filepath.Join(e.dir, name)); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

func (e *estate) start(ctx context.Context, signet string) error {
	e.port = freePort(ctx)
	e.cmd = exec.CommandContext(ctx, signet, "standalone", "--manifests", e.dir, "--log-format", "json",
		"--http-port", fmt.Sprint(e.port), "--https-port", fmt.Sprint(freePort(ctx)), "--concurrency", "1")
	e.cmd.Stderr = os.Stderr
	e.cmd.Cancel = func() error { return e.cmd.Process.Signal(syscall.SIGTERM) }
	began := time.Now()
	if err := e.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", signet, err)
	}
	go func() { e.ended <- e.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if a, err := e.ask(ctx, host(e.n-1)); err == nil && a.code == http.StatusOK {
			fmt.Printf("%d hosts served %.1f s after the start\n", e.n, time.Since(began).Seconds())
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the last host was not served within 3 minutes")
		case err := <-e.ended:
			e.ended <- err
			return fmt.Errorf("signet standalone ended: %w", err)
		case <-tick.C:
		}
	}
}

// answer is what a request got; the body does not matter.
type answer struct {
	code   int
	header http.Header
}

func (e *estate) ask(ctx context.Context, name string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", e.port), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Host = name
	res, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", name, err)
	}
	_, err = io.Copy(io.Discard, res.Body) // to use the connection again
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", name, err)
	}
	return &answer{res.StatusCode, res.Header}, nil
}

func (e *estate) close() {
	if e.cmd != nil && e.cmd.Process != nil {
		if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Printf("stopping signet: %v\n", err)
		}
		if err := <-e.ended; err != nil {
			fmt.Printf("signet ended: %v\n", err)
		}
	}
	for _, b := range e.backends {
		if b != nil {
			b.Close()
		}
	}
	_ = os.RemoveAll(e.dir) // a leftover is harmless
}

func freePort(ctx context.Context) int {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer func() { _ = l.Close() }()
	a, _ := l.Addr().(*net.TCPAddr)
	return a.Port
}
