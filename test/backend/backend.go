// Package backend is a real HTTP server for tests and examples: cleartext or
// TLS, HTTP/1.1 and HTTP/2, with or without client certificates. It remembers
// every connection and request it saw, so that a test can prove that none
// arrived. It listens on loopback, unless it is told otherwise.
package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// None is for a Config's Keep: no request is remembered.
const None = -1

// Config says how a backend serves. Without a certificate it is cleartext
// (HTTP/1.1, and HTTP/2 with prior knowledge).
type Config struct {
	// Name is in every answer.
	Name string
	// Address is where it listens; empty is a free port of loopback.
	Address string
	// Keep is how many requests are remembered, the last ones; 0 is all, and
	// None none, so that a long load costs no memory.
	Keep        int
	Certificate *tls.Certificate
	// GetCertificate, when set, gives the certificate of each new connection.
	GetCertificate func() (*tls.Certificate, error)
	// ClientCAs, when set, makes client certificates required.
	ClientCAs *x509.CertPool
	// MinVersion and MaxVersion of TLS; 0 is Go's default.
	MinVersion, MaxVersion uint16
	// Protocols are offered by ALPN; nil is h2 and http/1.1.
	Protocols []string
	// Delay holds each answer back.
	Delay time.Duration
	// CloseEach closes each HTTP/1.1 connection after one answer; the query ?close
	// closes that which it comes by.
	CloseEach bool
	// NeedsSNI refuses handshakes without a server name.
	NeedsSNI bool
	// Saw, when set, is called with each request before it is answered.
	Saw func(*Request)
}

// Request is what a backend saw of a request; it is also the JSON answer.
type Request struct {
	Backend    string      `json:"backend"`
	Proto      string      `json:"proto"`
	Method     string      `json:"method"`
	Host       string      `json:"host"`
	Path       string      `json:"path"`
	Header     http.Header `json:"header"`
	TLS        bool        `json:"tls"`
	TLSVersion string      `json:"tlsVersion,omitempty"`
	SNI        string      `json:"sni,omitempty"`
	ALPN       string      `json:"alpn,omitempty"`
	// ClientSubject and ClientCertificate (DER) are the peer's leaf.
	ClientSubject     string `json:"clientSubject,omitempty"`
	ClientCertificate []byte `json:"clientCertificate,omitempty"`
	// Connected is when the connection was accepted.
	Connected time.Time `json:"connected"`
}

// Backend is a running server.
type Backend struct {
	cfg         Config
	listener    net.Listener
	server      *http.Server
	certificate atomic.Pointer[tls.Certificate]
	connections atomic.Int64
	cleartext   atomic.Int64
	nameless    atomic.Int64
	done        chan struct{}

	mu       sync.Mutex
	requests []Request
	open     map[net.Conn]struct{}
}

// Start serves until Close.
func Start(cfg Config) (*Backend, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", cmp.Or(cfg.Address, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", cfg.Name, err)
	}
	b := &Backend{cfg: cfg, listener: l, done: make(chan struct{}), open: map[net.Conn]struct{}{}}
	b.certificate.Store(cfg.Certificate)
	var protocols http.Protocols
	protocols.SetHTTP1(cfg.Protocols == nil || slices.Contains(cfg.Protocols, "http/1.1"))
	protocols.SetHTTP2(cfg.Protocols == nil || slices.Contains(cfg.Protocols, "h2"))
	protocols.SetUnencryptedHTTP2(true)
	b.server = &http.Server{
		Handler: http.HandlerFunc(b.serve), Protocols: &protocols,
		// Long: it would end a connection that a proxy opened and has not used yet,
		// under the request that comes at that moment.
		ReadHeaderTimeout: time.Hour,
		ErrorLog:          log.New(discard{}, "", 0),
		ConnState:         b.track,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connection{}, &accepted{c, time.Now()})
		},
	}
	serve := func() error { return b.server.Serve(&watched{l, b}) }
	if cfg.Certificate != nil {
		b.server.TLSConfig = b.tlsConfig()
		serve = func() error { return b.server.ServeTLS(&watched{l, b}, "", "") }
	}
	go func() {
		defer close(b.done)
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("backend %s: %v", cfg.Name, err)
		}
	}()
	return b, nil
}

// connection is the context key of a request's connection.
type connection struct{}

type accepted struct {
	net.Conn

	at time.Time
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (b *Backend) tlsConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: max(b.cfg.MinVersion, tls.VersionTLS12), MaxVersion: b.cfg.MaxVersion,
		NextProtos: b.cfg.Protocols,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "" {
				b.nameless.Add(1)
				if b.cfg.NeedsSNI {
					return nil, errNoName
				}
			}
			if b.cfg.GetCertificate != nil {
				return b.cfg.GetCertificate()
			}
			return b.certificate.Load(), nil
		},
	}
	if c.NextProtos == nil {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	if b.cfg.ClientCAs != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, b.cfg.ClientCAs
	}
	return c
}

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	req := Request{
		Backend: b.cfg.Name, Proto: r.Proto, Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Header: r.Header,
	}
	// Not r.TLS: over HTTP/2 it is set only when the client says that the scheme
	// is https, and a proxy says what its own client used.
	from, _ := r.Context().Value(connection{}).(*accepted)
	req.Connected = from.at
	if c, ok := from.Conn.(*tls.Conn); ok {
		t := c.ConnectionState()
		req.TLS, req.SNI, req.ALPN = true, t.ServerName, t.NegotiatedProtocol
		req.TLSVersion = tls.VersionName(t.Version)
		if len(t.PeerCertificates) > 0 {
			req.ClientSubject = t.PeerCertificates[0].Subject.String()
			req.ClientCertificate = t.PeerCertificates[0].Raw
		}
	}
	if b.cfg.Keep >= 0 {
		b.mu.Lock()
		b.requests = append(b.requests, req)
		if surplus := len(b.requests) - b.cfg.Keep; b.cfg.Keep > 0 && surplus > 0 {
			b.requests = slices.Delete(b.requests, 0, surplus)
		}
		b.mu.Unlock()
	}
	if b.cfg.Saw != nil {
		b.cfg.Saw(&req)
	}
	if r.ProtoMajor == 1 && (b.cfg.CloseEach || r.URL.Query().Has("close")) { // over HTTP/2 it would be a GOAWAY, and refuse requests behind it
		w.Header().Set("Connection", "close")
	}
	if b.cfg.Delay > 0 {
		select {
		case <-time.After(b.cfg.Delay):
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Backend", b.cfg.Name)
	_ = json.NewEncoder(w).Encode(req) // the client may be gone
}

// Address is the IP address and port.
func (b *Backend) Address() *net.TCPAddr {
	a, _ := b.listener.Addr().(*net.TCPAddr)
	return a
}

// Port is the TCP port.
func (b *Backend) Port() int { return b.Address().Port }

// Requests are all requests seen so far, or the last that are kept.
func (b *Backend) Requests() []Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Request(nil), b.requests...)
}

// Connections counts the connections accepted so far, failed handshakes
// included.
func (b *Backend) Connections() int64 { return b.connections.Load() }

// CloseConnections closes every connection, so that the next request needs a
// new handshake.
func (b *Backend) CloseConnections() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		_ = c.Close() // closed is what it shall be
	}
}

func (b *Backend) track(c net.Conn, s http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s {
	case http.StateNew:
		b.connections.Add(1)
		b.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(b.open, c)
	case http.StateActive, http.StateIdle:
	}
}

// SetCertificate changes the certificate of new connections.
func (b *Backend) SetCertificate(c *tls.Certificate) { b.certificate.Store(c) }

// Close ends the server and its connections.
func (b *Backend) Close() {
	_ = b.server.Close() // nothing to save
	<-b.done
}
