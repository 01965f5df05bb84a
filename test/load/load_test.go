package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/pki"
)

// server answers with the name that it was asked for.
func server(t *testing.T, handler http.HandlerFunc) (s *httptest.Server, connections *atomic.Int64) {
	t.Helper()
	connections = &atomic.Int64{}
	s = httptest.NewUnstartedServer(handler)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			connections.Add(1)
		}
	}
	t.Cleanup(s.Close)
	return s, connections
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Host)) }

func address(s *httptest.Server) string { return s.Listener.Addr().String() }

// named refuses every answer but one whose body is the host.
func named(o *Outcome) error {
	if err := Code(http.StatusOK)(o); err != nil {
		return err
	}
	if string(o.Body) != o.Host {
		return errors.New("another host")
	}
	return nil
}

func TestOutcomes(t *testing.T) {
	type want struct {
		Requests, Unexpected, Errors int
		Why                          string
	}
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		request Request
		want    want
	}{
		"Right": {"an answer that Expect takes is no failure", echo, Request{Host: "a", Expect: named}, want{20, 0, 0, ""}},
		"Code":  {"a code is judged by default", http.NotFound, Request{Host: "a"}, want{20, 20, 0, "want 200"}},
		"Body": {
			"what is in an answer is judged",
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("b")) },
			Request{Host: "a", Expect: named},
			want{20, 20, 0, "another host"},
		},
		"NoAnswer": {
			"a connection without an answer is an error",
			func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			Request{Host: "a", Fresh: true},
			want{20, 20, 20, "asking a: EOF"},
		},
		"Expected": {
			"an error may be what is expected",
			func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			Request{Host: "a", Fresh: true, Expect: func(o *Outcome) error {
				if o.Err == nil {
					return errors.New("answered")
				}
				return nil
			}},
			want{20, 0, 20, ""},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, _ := server(t, c.handler)
			s.Start()
			l := Start(Config{Rate: 1000, Count: 20, HTTP: address(s), Next: func(int) Request { return c.request }})
			<-l.Done()
			r := l.Stop()
			got := want{Requests: r.Requests, Unexpected: r.Unexpected, Errors: r.Errors}
			if len(r.Failures) > 0 {
				got.Why = r.Failures[0].Why
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
			if len(r.Failures) != r.Unexpected {
				t.Errorf("%d failures are kept of %d", len(r.Failures), r.Unexpected)
			}
		})
	}
}

// A server that closes a kept connection without an answer makes Go's client
// send the request again: that must not hide the loss.
func TestClosedUnderARequest(t *testing.T) {
	var seen sync.Map
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if _, again := seen.LoadOrStore(r.RemoteAddr, true); again {
			panic(http.ErrAbortHandler)
		}
		echo(w, r)
	})
	s.Start()
	l := Start(Config{Rate: 200, Count: 20, Connections: 1, HTTP: address(s), Next: func(int) Request { return Request{Host: "a"} }})
	<-l.Done()
	r := l.Stop()
	if r.Unexpected == 0 || r.Failures[0].Why != ErrClosedUnder.Error() {
		t.Errorf("connections closed under requests: want %v, got %d unexpected of %d: %v", ErrClosedUnder, r.Unexpected, r.Requests, r.Failures)
	}
}

// certified is a certificate for a.test and b.test, and its authority.
func certified(t *testing.T) (*pki.Authority, *pki.Pair) {
	t.Helper()
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Leaf{DNS: []string{"a.test", "b.test"}})
	if err != nil {
		t.Fatal(err)
	}
	return ca, pair
}

func TestServerNamesAndConnections(t *testing.T) {
	ca, pair := certified(t)
	cases := map[string]struct {
		reason      string
		fresh       bool
		connections int64
	}{
		"Kept":  {"each host keeps a connection with its server name", false, 2},
		"Fresh": {"each request has its own handshake", true, 20},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, connections := server(t, echo)
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS}}
			s.StartTLS()
			// One at a time, so that a connection is free when it is wanted.
			turn := make(chan struct{}, 1)
			l := Start(Config{
				Rate: 1000, Count: 20, HTTPS: address(s), Roots: ca.Pool(), Connections: 1,
				Next: func(n int) Request {
					turn <- struct{}{}
					return Request{Host: []string{"a.test", "b.test"}[n%2], TLS: true, Fresh: c.fresh, Expect: func(o *Outcome) error {
						defer func() { <-turn }()
						if err := named(o); err != nil {
							return err
						}
						if o.TLS == nil || o.TLS.ServerName != o.Host {
							return fmt.Errorf("connection: %+v", o.TLS)
						}
						return nil
					}}
				},
			})
			<-l.Done()
			if r := l.Stop(); r.Unexpected != 0 || r.Requests != 20 {
				t.Errorf("%s: %d of %d were unexpected: %v", c.reason, r.Unexpected, r.Requests, r.Failures)
			}
			if diff := cmp.Diff(c.connections, connections.Load()); diff != "" {
				t.Errorf("%s: connections: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
	t.Run("Untrusted", func(t *testing.T) {
		s, _ := server(t, echo)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS}}
		s.StartTLS()
		l := Start(Config{Rate: 1000, Count: 1, HTTPS: address(s), Roots: x509.NewCertPool(), Next: func(int) Request {
			return Request{Host: "a.test", TLS: true}
		}})
		<-l.Done()
		if r := l.Stop(); r.Errors != 1 || !strings.Contains(r.Failures[0].Why, "unknown authority") {
			t.Errorf("a certificate that is not trusted is an error, got %+v", r.Failures)
		}
	})
}

// While a server stands still, requests go on being due: those beyond the
// bound are refused, and the stall is in the latency of the others.
func TestOpenModel(t *testing.T) {
	release := make(chan struct{})
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		echo(w, r)
	})
	s.Start()
	var notSent atomic.Int32
	l := Start(Config{Rate: 1000, Count: 30, Open: 10, Connections: 5, Keep: 3, HTTP: address(s), Next: func(n int) Request {
		return Request{Host: "a", Expect: func(o *Outcome) error {
			if errors.Is(o.Err, ErrNotSent) && notSent.Add(1) == 20 {
				close(release)
			}
			return o.Err
		}}
	}})
	<-l.Done()
	r := l.Stop()
	if r.Requests != 30 || r.Unexpected != 20 || r.Latency.N() != 10 || len(r.Failures) != 3 {
		t.Errorf("want 30 requests, 20 not sent, 10 answered, 3 failures kept; got %d, %d, %d, %d", r.Requests, r.Unexpected, r.Latency.N(), len(r.Failures))
	}
	// Request 9 was due 9 ms, and the last one 29 ms after the start.
	if got := r.Latency.At(0); got < 20*time.Millisecond {
		t.Errorf("each answered request had to wait at least 20 ms, the quickest had %s", got)
	}
}

func TestStopEndsAndWaits(t *testing.T) {
	began := make(chan struct{})
	release := make(chan struct{})
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		echo(w, r)
	})
	s.Start()
	l := Start(Config{Rate: 0.01, HTTP: address(s), Next: func(int) Request { return Request{Host: "a"} }})
	<-began
	time.AfterFunc(10*time.Millisecond, func() { close(release) })
	if r := l.Stop(); r.Requests != 1 || r.Unexpected != 0 {
		t.Errorf("an open request is waited for: want 1 answer, got %+v", r.Failures)
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.At(0.5) != 0 {
		t.Error("an empty histogram has no median")
	}
	for i := 1; i <= 1000; i++ {
		h.Add(time.Duration(i) * time.Millisecond)
	}
	for share, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.At(share); got < want || float64(got) > 1.03*float64(want) {
			t.Errorf("At(%v): want %s or at most 3 %% more, got %s", share, want, got)
		}
	}
	h.Add(time.Hour)
	if h.Max() != time.Hour || h.At(1) > time.Hour || h.N() != 1001 {
		t.Errorf("beyond the last bucket: max %s, at 1 %s, n %d", h.Max(), h.At(1), h.N())
	}
}
