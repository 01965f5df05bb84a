package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// said is what is compared of an outcome.
type said struct {
	Code   int
	Body   string
	Reused bool
	Err    string
}

func saidBy(o *Outcome) said {
	s := said{Code: o.Code, Body: string(o.Body), Reused: o.Reused}
	if o.Err != nil {
		s.Err, _, _ = strings.Cut(o.Err.Error(), " 127.0.0.1")
	}
	return s
}

func TestClient(t *testing.T) {
	cases := map[string]struct {
		reason   string
		handler  http.HandlerFunc
		requests []Request
		// between is done before each request but the first.
		between     func(*httptest.Server)
		want        []said
		connections int64
	}{
		"Kept": {
			reason: "one connection serves all plain hosts", handler: echo,
			requests: []Request{{Host: "a"}, {Host: "b"}},
			want:     []said{{Code: 200, Body: "a"}, {Code: 200, Body: "b", Reused: true}}, connections: 1,
		},
		"Fresh": {
			reason: "a request that asks for it has a connection of its own, and leaves the kept one", handler: echo,
			requests: []Request{{Host: "a"}, {Host: "a", Fresh: true}, {Host: "a"}},
			want:     []said{{Code: 200, Body: "a"}, {Code: 200, Body: "a"}, {Code: 200, Body: "a", Reused: true}}, connections: 2,
		},
		"Code": {
			reason: "an answer that says no keeps the connection", handler: http.NotFound,
			requests: []Request{{Host: "a"}, {Host: "a"}},
			want:     []said{{Code: 404, Body: "404 page not found\n"}, {Code: 404, Body: "404 page not found\n", Reused: true}}, connections: 1,
		},
		"ClosedIdle": {
			reason: "a kept connection that was closed since is not used: no request is lost with it", handler: echo,
			requests: []Request{{Host: "a"}, {Host: "a"}}, between: (*httptest.Server).CloseClientConnections,
			want: []said{{Code: 200, Body: "a"}, {Code: 200, Body: "a"}}, connections: 2,
		},
		"ClosedByAnswer": {
			reason: "a connection that the answer closes is not kept",
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				echo(w, r)
			},
			requests: []Request{{Host: "a"}, {Host: "a"}},
			want:     []said{{Code: 200, Body: "a"}, {Code: 200, Body: "a"}}, connections: 2,
		},
		"NoAnswer": {
			reason:   "a first connection without an answer is an error",
			handler:  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			requests: []Request{{Host: "a"}},
			want:     []said{{Err: "asking a: EOF"}}, connections: 1,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, connections := server(t, c.handler)
			s.Start()
			client := NewClient(Config{HTTP: address(s)})
			defer client.Close()
			var got []said
			for i, r := range c.requests {
				if i > 0 && c.between != nil {
					c.between(s)
					settled(t, client)
				}
				got = append(got, saidBy(client.Do(r)))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(c.connections, connections.Load()); diff != "" {
				t.Errorf("%s: connections: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}

// settled waits until the end of kept connections has come.
func settled(t *testing.T, c *Client) {
	t.Helper()
	for _, lines := range c.idle {
		for _, l := range lines {
			if err := l.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := l.read.Peek(1); err == nil {
				t.Fatal("a kept connection has something to say")
			}
		}
	}
}

// Closed between the request and its answer: the request may have been lost.
func TestClientClosedUnderARequest(t *testing.T) {
	first := true
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if !first {
			panic(http.ErrAbortHandler)
		}
		first = false
		echo(w, r)
	})
	s.Start()
	client := NewClient(Config{HTTP: address(s)})
	defer client.Close()
	if o := client.Do(Request{Host: "a"}); o.Err != nil {
		t.Fatal(o.Err)
	}
	if o := client.Do(Request{Host: "a"}); !errors.Is(o.Err, ErrClosedUnder) {
		t.Errorf("a kept connection was closed under the request: want %v, got %v", ErrClosedUnder, o.Err)
	}
}

// A server that does not answer is no closed connection.
func TestClientTimeout(t *testing.T) {
	release := make(chan struct{})
	quick := true
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if !quick {
			<-release
		}
		quick = false
		echo(w, r)
	})
	s.Start()
	defer close(release)
	client := NewClient(Config{HTTP: address(s), Timeout: 50 * time.Millisecond})
	defer client.Close()
	if o := client.Do(Request{Host: "a"}); o.Err != nil {
		t.Fatal(o.Err)
	}
	var timeout net.Error
	if o := client.Do(Request{Host: "a"}); !errors.As(o.Err, &timeout) || !timeout.Timeout() {
		t.Errorf("want a timeout, got %v", o.Err)
	}
}

func TestClientTLS(t *testing.T) {
	ca, pair := certified(t)
	s, connections := server(t, echo)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS}}
	s.StartTLS()
	client := NewClient(Config{HTTPS: address(s), Roots: ca.Pool()})
	defer client.Close()
	for _, host := range []string{"a.test", "b.test", "a.test", "b.test"} {
		o := client.Do(Request{Host: host, TLS: true})
		if o.Err != nil || string(o.Body) != host || o.TLS == nil || o.TLS.ServerName != host {
			t.Errorf("%s: %+v", host, o)
		}
	}
	if got := connections.Load(); got != 2 {
		t.Errorf("each host keeps a connection with its server name: %d connections", got)
	}
	stranger := NewClient(Config{HTTPS: address(s), Roots: x509.NewCertPool()})
	defer stranger.Close()
	var unknown x509.UnknownAuthorityError
	if o := stranger.Do(Request{Host: "a.test", TLS: true}); !errors.As(o.Err, &unknown) {
		t.Errorf("a certificate that is not trusted is an error, got %v", o.Err)
	}
}
