package world

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
)

// TB is what a world needs of a test; testing.TB and GinkgoT() have it.
type TB interface {
	Helper()
	Cleanup(fn func())
	Fatalf(format string, args ...any)
	TempDir() string
	Context() context.Context
}

// World is a running Signet with one Envoy.
type World struct {
	t                   TB
	dir                 string
	HTTPPort, HTTPSPort int
	// Metrics is the host:port of probes and metrics.
	Metrics string
	signet  *standalone.Standalone
	client  *http.Client
}

// Patience is how long a world waits for something that must happen, on a
// machine that does other work too.
const Patience = time.Minute

// Start runs Signet on a folder with the given files and waits until its Envoy
// is ready. Everything ends with the test. The settings may change what runs.
func Start(t TB, log logr.Logger, files map[string]string, settings ...func(*standalone.Config)) *World {
	t.Helper()
	w := &World{t: t, dir: t.TempDir(), HTTPPort: freeport.For(t), HTTPSPort: freeport.For(t)}
	w.client = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	w.WriteAll(files)
	w.Metrics = fmt.Sprintf("127.0.0.1:%d", freeport.For(t))
	var err error
	cfg := standalone.Config{
		Manifests: w.dir, Address: "127.0.0.1", HTTPPort: w.HTTPPort, HTTPSPort: w.HTTPSPort,
		RuntimeRoot: shortTempDir(t), StateRoot: t.TempDir(), Log: log, Concurrency: 1, MetricsAddress: w.Metrics,
	}
	for _, set := range settings {
		set(&cfg)
	}
	w.signet, err = standalone.New(cfg)
	if err != nil {
		t.Fatalf("signet standalone: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.signet.Run(ctx) }()
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("signet standalone: %v", err)
		}
	})
	select {
	case <-w.signet.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("signet standalone ended before it was ready: %v", err)
	case <-time.After(Patience):
		t.Fatalf("signet standalone was not ready within %s", Patience)
	}
	return w
}

// Write puts a file into the folder as an editor would: whole, by rename.
func (w *World) Write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name+".yaml")
	temp := filepath.Join(w.dir, "."+name+".tmp")
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		w.t.Fatalf("manifest: %v", err)
	}
	if err := os.Rename(temp, path); err != nil {
		w.t.Fatalf("manifest: %v", err)
	}
}

// WriteAll puts files into the folder, one after the other in no order.
func (w *World) WriteAll(files map[string]string) {
	w.t.Helper()
	for name, content := range files {
		w.Write(name, content)
	}
}

// Remove deletes a file from the folder.
func (w *World) Remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, name+".yaml")); err != nil {
		w.t.Fatalf("manifest: %v", err)
	}
}

// Folder is the path of the folder.
func (w *World) Folder() string { return w.dir }

// Report is what Signet says of itself now.
func (w *World) Report() *report.Report { return w.signet.Report() }

// Answer is what a client got.
type Answer struct {
	Code   int
	Header http.Header
	Body   string
	// Seen is what the backend saw; nil when no backend answered.
	Seen *backend.Request
	TLS  *tls.ConnectionState
}

// Request is what a client asks for; zero values mean a plain GET of "/".
type Request struct {
	Host, Path, Method string
	Header             http.Header
	Body               string
	// SNI, when set, asks over TLS with that server name, trusting Roots.
	SNI   string
	Roots *x509.CertPool
	// HTTP1 refuses HTTP/2 on a TLS connection.
	HTTP1 bool
	// Port is another one than that of the fleet's own listeners.
	Port int
	// Certificate is presented to Envoy when it asks for one.
	Certificate *tls.Certificate
}

// Get asks for a path of a host over plain HTTP.
func (w *World) Get(host, path string) (*Answer, error) {
	return w.Do(Request{Host: host, Path: path})
}

// Do sends a request through Envoy.
func (w *World) Do(r Request) (*Answer, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d%s", cmp.Or(r.Port, w.HTTPPort), orSlash(r.Path))
	client := w.client
	if r.SNI != "" {
		url = fmt.Sprintf("https://127.0.0.1:%d%s", cmp.Or(r.Port, w.HTTPSPort), orSlash(r.Path))
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{ServerName: r.SNI, RootCAs: r.Roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: !r.HTTP1, DisableKeepAlives: true,
		}
		if r.Certificate != nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{*r.Certificate}
		}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport, Timeout: w.client.Timeout, CheckRedirect: w.client.CheckRedirect}
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Host = r.Host
	maps.Copy(req.Header, r.Header)
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", r.Host, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", r.Host, err)
	}
	a := &Answer{Code: res.StatusCode, Header: res.Header, Body: string(body), TLS: res.TLS}
	var seen backend.Request
	if json.Unmarshal(body, &seen) == nil && seen.Backend != "" {
		a.Seen = &seen
	}
	return a, nil
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// Handshake makes a TLS handshake with the HTTPS listener; an empty name sends
// no SNI.
func (w *World) Handshake(name string, roots *x509.CertPool) error {
	d := tls.Dialer{Config: &tls.Config{
		ServerName: name, RootCAs: roots, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: name == "",
	}}
	c, err := d.DialContext(w.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", w.HTTPSPort))
	if err != nil {
		return fmt.Errorf("handshake for %q: %w", name, err)
	}
	return c.Close()
}

// Await asks until a request gets the status code.
func (w *World) Await(t TB, host, path string, code int) *Answer {
	t.Helper()
	var last string
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); {
		a, err := w.Get(host, path)
		if err == nil && a.Code == code {
			return a
		}
		if last = fmt.Sprint(err); err == nil {
			last = fmt.Sprintf("%d %s", a.Code, a.Body)
		}
	}
	t.Fatalf("%s%s: want %d within %s, last was %s", host, path, code, Patience, last)
	return nil
}

// Main runs the tests of a package that starts worlds. The test binary is also
// the supervisor of its Envoys, as the signet binary is.
func Main(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == host.SupervisorCommand {
		os.Exit(host.SupervisorMain(os.Args[2:])) //nolint:revive // this is main
	}
	os.Exit(m.Run()) //nolint:revive // this is main
}

// shortTempDir is a temporary folder with a short path: a unix socket's is
// limited to some 100 bytes.
func shortTempDir(t TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatalf("temporary folder: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
