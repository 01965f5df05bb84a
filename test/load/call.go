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

// Client sends single requests as a load does: by kept connections, or each by
// one of its own.
type Client struct {
	kept, fresh *http.Transport
	http        string
	timeout     time.Duration
}

// NewClient returns a client by the addresses, Roots, Connections and Timeout
// of a Config. Whoever calls it calls Close.
func NewClient(cfg Config) *Client {
	cfg.defaults()
	c := &Client{http: cfg.HTTP, timeout: cfg.Timeout}
	// A host of HTTPS has a connection of its own name, so the addresses of URLs
	// are names and all lead to one address; plain requests share connections.
	var dialer net.Dialer
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != cfg.HTTP {
			address = cfg.HTTPS
		}
		return dialer.DialContext(ctx, network, address)
	}
	c.kept = &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost: cfg.Connections, MaxIdleConnsPerHost: cfg.Connections,
		MaxIdleConns: 4 * cfg.Connections, DisableCompression: true,
		// Before a proxy closes it (Envoy here after 60 s), under a request.
		IdleConnTimeout: 20 * time.Second,
	}
	c.fresh = c.kept.Clone()
	c.fresh.DisableKeepAlives, c.fresh.MaxConnsPerHost = true, 0
	return c
}

// Close closes the connections that are kept.
func (c *Client) Close() {
	c.kept.CloseIdleConnections()
	c.fresh.CloseIdleConnections()
}

// Do sends a request now; what it expects is not judged.
func (c *Client) Do(r Request) *Outcome { return c.call(&r, time.Now()) }

func (c *Client) call(r *Request, due time.Time) *Outcome {
	o := &Outcome{Host: r.Host, Path: r.Path, Due: due, Sent: time.Now()}
	if o.Path == "" {
		o.Path = "/"
	}
	o.Err = c.ask(r, o)
	o.Done = time.Now()
	return o
}

func (c *Client) ask(r *Request, o *Outcome) error {
	// No caller's context: an open request is never cut off.
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	var connections atomic.Int32
	var reused atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		reused.Store(i.Reused)
		if connections.Add(1) > 1 {
			cancel() // it is about to be sent again
		}
	}})
	url := "http://" + c.http + o.Path
	if r.TLS {
		url = "https://" + r.Host + o.Path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req.Host = r.Host
	maps.Copy(req.Header, r.Header)
	transport := c.kept
	if r.Fresh {
		transport = c.fresh
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
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	_ = res.Body.Close() // all of it that matters was read
	if err != nil {
		return fmt.Errorf("answer of %s: %w", r.Host, err)
	}
	o.Code, o.Header, o.Body, o.TLS, o.Reused = res.StatusCode, res.Header, body, res.TLS, reused.Load()
	return nil
}
