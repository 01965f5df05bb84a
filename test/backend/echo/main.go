// Command echo is test/backend as a program, for a pod: it answers every
// request with what it saw of it, in cleartext and over TLS, and demands a
// client certificate where it is given an authority for them.
//
// Its administration port answers /healthz, /requests (the last requests, of
// both ports) and /connections (how many were accepted, failed handshakes
// included), so that a test can prove that nothing arrived.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/signetproxy/signet/test/backend"
)

// options are the command line.
type options struct {
	name, http, https, admin   string
	certificate, key, clientCA string
	delay                      time.Duration
}

func main() {
	var o options
	hostname, _ := os.Hostname() // a name is not essential
	flag.StringVar(&o.name, "name", hostname, "name in every answer")
	flag.StringVar(&o.http, "http", ":8080", "address for cleartext, empty for none")
	flag.StringVar(&o.https, "https", "", "address for TLS, empty for none")
	flag.StringVar(&o.admin, "admin", ":9090", "address for administration")
	flag.StringVar(&o.certificate, "certificate", "", "PEM file of the certificate, read at every handshake")
	flag.StringVar(&o.key, "key", "", "PEM file of its key, read at every handshake")
	flag.StringVar(&o.clientCA, "client-ca", "", "PEM file of authorities; makes client certificates required")
	flag.DurationVar(&o.delay, "delay", 0, "time that each answer is held back")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "echo: "+err.Error())
		os.Exit(1)
	}
}

// kept is how many requests each port remembers.
const kept = 1000

func run(ctx context.Context, o options) error {
	var servers []*backend.Backend
	start := func(cfg backend.Config) error {
		b, err := backend.Start(cfg)
		if err == nil {
			servers = append(servers, b)
		}
		return err
	}
	defer func() {
		for _, b := range servers {
			b.Close()
		}
	}()
	base := backend.Config{Name: o.name, Keep: kept, Delay: o.delay}
	if o.http != "" {
		plain := base
		plain.Address = o.http
		if err := start(plain); err != nil {
			return err
		}
	}
	if o.https != "" {
		secure, err := o.secure(base)
		if err != nil {
			return err
		}
		if err := start(secure); err != nil {
			return err
		}
	}
	return administer(ctx, o.admin, servers)
}

// secure is the configuration of the TLS port.
func (o *options) secure(cfg backend.Config) (backend.Config, error) {
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		return &pair, nil
	}
	pair, err := load()
	if err != nil {
		return cfg, err
	}
	cfg.Address, cfg.Certificate, cfg.GetCertificate = o.https, pair, load
	if o.clientCA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(o.clientCA)
	if err != nil {
		return cfg, fmt.Errorf("client authorities: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return cfg, fmt.Errorf("client authorities: %s holds no certificate", o.clientCA)
	}
	return cfg, nil
}

// administer serves the administration port until the context ends.
func administer(ctx context.Context, address string, servers []*backend.Backend) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		requests := []backend.Request{}
		for _, b := range servers {
			requests = append(requests, b.Requests()...)
		}
		answer(w, requests)
	})
	mux.HandleFunc("GET /connections", func(w http.ResponseWriter, _ *http.Request) {
		var n int64
		for _, b := range servers {
			n += b.Connections()
		}
		answer(w, n)
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing to save
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("administration: %w", err)
	}
	return nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
