package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
)

const (
	host        = "secure.example.com"
	subjectName = "tls-nginx.example"
)

// world is everything around Signet: folders, certificates and a backend.
type world struct {
	scratch, manifests, rotated, api string
	backend                          *backend.Backend
}

func newWorld(scratch, api string, port int) (*world, error) {
	w := &world{
		scratch: scratch, api: api, manifests: filepath.Join(scratch, "manifests"),
		rotated: filepath.Join(scratch, "rotated"),
	}
	for _, d := range []string{"manifests", "backend", "rotated/manifests", "rotated/backend"} {
		if err := os.MkdirAll(filepath.Join(scratch, d), 0o700); err != nil {
			return nil, fmt.Errorf("scratch folder: %w", err)
		}
	}
	if err := copyManifests(w.manifests, api, port); err != nil {
		return nil, err
	}
	clients, err := w.clientCertificate()
	if err != nil {
		return nil, err
	}
	if err := w.authority("Example backend authority", w.scratch); err != nil {
		return nil, err
	}
	if err := w.authority("Example backend authority, the next", w.rotated); err != nil {
		return nil, err
	}
	first, err := w.leaf()
	if err != nil {
		return nil, err
	}
	if w.backend, err = backend.Start(backend.Config{
		Name: "tls-nginx", Certificate: first, ClientCAs: clients.Pool(),
		// Read at each handshake, so that copying a file rotates it.
		GetCertificate: w.leaf,
	}); err != nil {
		return nil, fmt.Errorf("starting the backend: %w", err)
	}
	if err := w.endpoints(); err != nil {
		return nil, err
	}
	return w, nil
}

// clientCertificate makes what Envoy presents, and the authority that the
// backend trusts for it.
func (w *world) clientCertificate() (*pki.Authority, error) {
	ca, err := pki.NewAuthority("Example client authority")
	if err != nil {
		return nil, fmt.Errorf("client authority: %w", err)
	}
	pair, err := ca.Issue(pki.Leaf{CommonName: "envoy.edge", DNS: []string{"envoy.edge"}})
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	return ca, secret(filepath.Join(w.manifests, "envoy-client.yaml"), "envoy-client", "kubernetes.io/tls",
		map[string]string{"tls.crt": string(pair.CertPEM), "tls.key": string(pair.KeyPEM)})
}

// authority makes a backend authority and a leaf of it below dir.
func (w *world) authority(name, dir string) error {
	ca, err := pki.NewAuthority(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	pair, err := ca.Issue(pki.Leaf{CommonName: subjectName, DNS: []string{subjectName}})
	if err != nil {
		return fmt.Errorf("backend certificate: %w", err)
	}
	file := filepath.Join(dir, "backend", "pair.pem")
	if err := os.WriteFile(file, append(pair.CertPEM, pair.KeyPEM...), 0o600); err != nil {
		return fmt.Errorf("backend certificate: %w", err)
	}
	trusted, data := filepath.Join(dir, "manifests", "backend-ca.yaml"), map[string]string{"ca.crt": string(ca.PEM())}
	if w.api == gateway {
		return write(trusted, map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "backend-ca"}, "data": data,
		})
	}
	return secret(trusted, "backend-ca", "Opaque", data)
}

func (w *world) leaf() (*tls.Certificate, error) {
	b, err := os.ReadFile(filepath.Join(w.scratch, "backend", "pair.pem"))
	if err != nil {
		return nil, fmt.Errorf("backend certificate: %w", err)
	}
	c, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, fmt.Errorf("backend certificate: %w", err)
	}
	return &c, nil
}

func (w *world) endpoints() error {
	a := w.backend.Address()
	return write(filepath.Join(w.manifests, "endpoints.yaml"), map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata": map[string]any{
			"name": "tls-nginx-1", "labels": map[string]string{"kubernetes.io/service-name": "tls-nginx"},
		},
		"addressType": "IPv4",
		"endpoints":   []any{map[string]any{"addresses": []string{a.IP.String()}}},
		"ports":       []any{map[string]any{"name": "https", "port": a.Port, "protocol": "TCP"}},
	})
}

func secret(file, name, kind string, data map[string]string) error {
	return write(file, map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": kind,
		"metadata": map[string]any{"name": name}, "stringData": data,
	})
}

func write(file string, object any) error {
	b, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// firstAnswers asks until the backend answers, then checks and prints what
// each side saw of the other.
func (w *world) firstAnswers(ctx context.Context, port int, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := ask(ctx, port, host)
		if err == nil {
			return w.check(ctx, port, answer)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no verified answer within 30 s: %w", err)
		case e := <-ended:
			return fmt.Errorf("signet standalone ended before it served: %w", e)
		case <-tick.C:
		}
	}
}

func (w *world) check(ctx context.Context, port int, answer *backend.Request) error {
	fmt.Printf("\n200 OK from %s\n", answer.Backend)
	fmt.Printf("  %s, SNI %q, ALPN %q\n", answer.TLSVersion, answer.SNI, answer.ALPN)
	fmt.Printf("  Envoy verified: the backend's certificate names %s and is signed by the CA in %s default/backend-ca\n",
		subjectName, map[string]string{httpProxy: "Secret", gateway: "ConfigMap"}[w.api])
	fmt.Printf("  the backend verified: Envoy's client certificate is %s\n\n", answer.ClientSubject)
	switch {
	case !answer.TLS:
		return errors.New("the backend was reached without TLS")
	case answer.SNI != subjectName:
		return fmt.Errorf("the backend saw SNI %q, want %q", answer.SNI, subjectName)
	case answer.ClientSubject != "CN=envoy.edge":
		return fmt.Errorf("the backend saw client certificate %q, want CN=envoy.edge", answer.ClientSubject)
	}
	if _, err := ask(ctx, port, "unknown.example.com"); err == nil || !strings.Contains(err.Error(), "404") {
		return fmt.Errorf("a host that nothing claims: got %w, want 404", err)
	}
	return nil
}

func ask(ctx context.Context, port int, name string) (*backend.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Host = name
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", name, res.Status)
	}
	var out backend.Request
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", name, err)
	}
	return &out, nil
}

func (w *world) suggest(signet string, port int) {
	fmt.Printf("It stays up until Ctrl-C. In another terminal:\n"+
		"  ask:            curl -i -H 'Host: %s' http://127.0.0.1:%d/ ; %s status\n"+
		"  rotate the CA:  cp -r %s/. %s/\n"+
		"  break it:       sed -i 's/ca.crt/ca.cert/' %s\n",
		host, port, signet, w.rotated, w.scratch, filepath.Join(w.manifests, "backend-ca.yaml"))
}

// freePort returns the wanted loopback port when it is free, else any.
func freePort(want int) int {
	var lc net.ListenConfig
	for _, p := range []int{want, 0} {
		l, err := lc.Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			continue
		}
		a, _ := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		return a.Port
	}
	return want
}
