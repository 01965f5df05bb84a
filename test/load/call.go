package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// Outcome is what became of a request.
type Outcome struct {
	Host, Path string
	// Due, Sent and Done are when it was due, when it was begun, and when its
	// answer was read or its error known. Sent is zero if it was not sent.
	Due, Sent, Done time.Time
	// Err says why there is no answer; the fields below are then zero.
	Err    error
	Code   int
	Header http.Header
	// Body is at most 64 KiB of it.
	Body []byte
	// TLS is the connection's state with TLS.
	TLS *tls.ConnectionState
	// Reused tells whether an earlier request had used the connection.
	Reused bool
}

// Latency is from the moment at which the request was due.
func (o *Outcome) Latency() time.Duration { return o.Done.Sub(o.Due) }

const maxBody = 64 << 10

// maxIdle is how long a connection is kept without a request: less than a proxy
// keeps it (Envoy here 60 s), which would close it under a request.
const maxIdle = 20 * time.Second

// asker sends a request and reads its answer into the outcome.
type asker interface {
	ask(r *Request, o *Outcome) error
}

func call(a asker, r *Request, due time.Time) *Outcome {
	o := &Outcome{Host: r.Host, Path: r.Path, Due: due, Sent: time.Now()}
	if o.Path == "" {
		o.Path = "/"
	}
	o.Err = a.ask(r, o)
	o.Done = time.Now()
	return o
}

// address is where a request goes, whatever host it asks for.
func (c *Config) address(r *Request) string {
	if r.TLS {
		return c.HTTPS
	}
	return c.HTTP
}

// request is the HTTP request for one.
func (c *Config) request(ctx context.Context, r *Request, path string) (*http.Request, error) {
	// A host of HTTPS has a connection of its own name, so the addresses of URLs
	// are names; plain requests share connections.
	url := "http://" + c.HTTP + path
	if r.TLS {
		url = "https://" + r.Host + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Host = r.Host
	maps.Copy(req.Header, r.Header)
	return req, nil
}

// take reads an answer.
func (o *Outcome) take(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	_ = res.Body.Close() // all of it that matters was read
	if err != nil {
		return fmt.Errorf("answer of %s: %w", o.Host, err)
	}
	o.Code, o.Header, o.Body = res.StatusCode, res.Header, body
	return nil
}

// pool sends requests by Go's own transport, over connections that are shared.
type pool struct {
	cfg         Config
	kept, fresh *http.Transport
}

func newPool(cfg Config) *pool {
	p := &pool{cfg: cfg}
	var dialer net.Dialer
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != cfg.HTTP {
			address = cfg.HTTPS
		}
		return dialer.DialContext(ctx, network, address)
	}
	p.kept = &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost: cfg.Connections, MaxIdleConnsPerHost: cfg.Connections,
		MaxIdleConns: 4 * cfg.Connections, DisableCompression: true,
		IdleConnTimeout: maxIdle,
	}
	p.fresh = p.kept.Clone()
	p.fresh.DisableKeepAlives, p.fresh.MaxConnsPerHost = true, 0
	return p
}

func (p *pool) close() {
	p.kept.CloseIdleConnections()
	p.fresh.CloseIdleConnections()
}

func (p *pool) ask(r *Request, o *Outcome) error {
	// No caller's context: an open request is never cut off.
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Timeout)
	defer cancel()
	var connections atomic.Int32
	var reused atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		reused.Store(i.Reused)
		if connections.Add(1) > 1 {
			cancel() // it is about to be sent again
		}
	}})
	req, err := p.cfg.request(ctx, r, o.Path)
	if err != nil {
		return err
	}
	transport := p.kept
	if r.Fresh {
		transport = p.fresh
	}
	res, err := transport.RoundTrip(req)
	if connections.Load() > 1 {
		if err == nil {
			_ = res.Body.Close() // it counts as lost
		}
		return ErrClosedUnder
	}
	if err != nil {
		return fmt.Errorf("asking %s: %w", r.Host, err)
	}
	if err := o.take(res); err != nil {
		return err
	}
	o.TLS, o.Reused = res.TLS, reused.Load()
	return nil
}
