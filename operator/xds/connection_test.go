package xds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/envoy"
)

// Both sides rotate while streams are up: the stream stays, a new one uses the
// new certificates, and one of a dropped authority is refused.
func TestRotation(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	current := make(chan *tls.Config, 1)
	current <- &tls.Config{Certificates: []tls.Certificate{before.leaf()}, ClientCAs: before.pool()}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := <-current
		current <- c
		return c, nil
	}}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{Server: New(Options{Identity: certificate.ParseFleetURI}), addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l, conf) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	as := func(a *authority) *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{a.leaf(certificate.FleetURI(edge))}, RootCAs: a.pool(), ServerName: "xds.test",
			MinVersion: tls.VersionTLS13, ClientSessionCache: tls.NewLRUClientSessionCache(8),
		}
	}
	h.publish(1, world())
	old := h.connectTLS(t, as(before))
	old.start(world()...)

	<-current
	current <- &tls.Config{Certificates: []tls.Certificate{after.leaf()}, ClientCAs: after.pool()}
	h.publish(2, list(scope("http|a", "2")))
	old.want("scopes +http|a")
	fresh := h.connectTLS(t, as(after))
	fresh.subscribe(envoy.ScopeType)
	fresh.want("scopes +http|a")
	dropped := as(before)
	dropped.RootCAs = after.pool()
	if got, n := ask(t, l.Addr().String(), dropped); got != codes.Unavailable || n != 0 {
		t.Errorf("a certificate of a dropped authority: code %v and %d resources", got, n)
	}
}

// rotation is a state of certificates whose lives are seconds: shorter than a
// Keeper would accept, and rotated by the same decisions.
type rotation struct {
	t       *testing.T
	policy  certificate.Policy
	mu      sync.Mutex
	state   certificate.State
	changed chan struct{}
}

func newRotation(t *testing.T, p certificate.Policy) *rotation {
	t.Helper()
	r := &rotation{t: t, policy: p, changed: make(chan struct{}), state: certificate.Want(certificate.State{}, edge)}
	r.step()
	return r
}

// step does what is due, and returns the identity and whether anything was.
func (r *rotation) step() (id *certificate.Identity, acted bool) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	next, done, err := certificate.Settle(r.state, time.Now(), r.policy)
	if err != nil {
		r.t.Fatal(err)
	}
	r.state = next
	if len(done) > 0 {
		close(r.changed)
		r.changed = make(chan struct{})
	}
	return &certificate.Identity{
		Fleet: edge, ServerName: certificate.ServerName, TrustPEM: next.TrustPEM(), KeyPair: next.Identities[edge],
	}, len(done) > 0
}

func (r *rotation) trust() (*x509.CertPool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pool := x509.NewCertPool()
	for _, c := range r.state.Trusted() {
		pool.AddCert(c)
	}
	return pool, r.changed
}

func (r *rotation) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool, _ := r.trust()
		r.mu.Lock()
		defer r.mu.Unlock()
		key, err := r.state.Server.KeyPEM()
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(r.state.Server.CertificatePEM(), key)
		return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}, err
	}}
}

// streams are those that were ever seen, by address.
type streams struct {
	byAddress map[string]StreamState
}

func (s *streams) look(server *Server) {
	for _, f := range server.State().Fleets {
		for i := range f.Streams {
			s.byAddress[f.Streams[i].Address] = f.Streams[i]
		}
	}
}

// Identities of four seconds and an authority of sixteen: a real Envoy goes
// through two of them under traffic, on ever new connections, and is never sent
// anything again.
func TestEnvoyOutlivesItsIdentity(t *testing.T) {
	t.Parallel()
	r := newRotation(t, certificate.Policy{AuthorityLife: 16 * time.Second, LeafLife: 4 * time.Second, Overlap: time.Second, Skew: time.Minute})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{Server: New(Options{Identity: certificate.ParseFleetURI, Trust: r.trust}), addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l, r.tls()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	s := newSite(t)
	b := s.backend("a")
	up := s.upstream("a", "ca")
	h.publish(1, join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca), s.route("http", "shop.test", up))))
	id, _ := r.step()
	first := r.state.Signing.Fingerprint()
	p := startEnvoy(t, h.addr, id)
	h.acknowledged(t, 1)
	load := &load{paced: true}
	load.start(t, "http://"+p.address("http")+"/", "shop.test")

	seen := &streams{byAddress: map[string]StreamState{}}
	trusted := map[int]bool{}
	renew := func() {
		id, acted := r.step()
		if acted {
			p.identify(id)
			trusted[len(r.state.Trusted())] = true
		}
	}
	h.untilAll(t, "the first authority is dropped", func(State) bool {
		renew()
		seen.look(h.Server)
		return trusted[2] && len(r.state.Trusted()) == 1 && r.state.Signing.Fingerprint() != first
	})
	// And it still is there, with a change as proof. It may be away for a moment
	// that is longer than what an identity has left: renewing goes on.
	h.publish(2, list(s.trust("ca", s.ca, s.ca)))
	h.untilAll(t, "revision 2 acknowledged", func(now State) bool {
		renew()
		return slices.ContainsFunc(now.Fleets[0].Streams, func(st StreamState) bool { return st.Acknowledged == 2 })
	})
	total, failed := load.stop()
	resumed := 0
	for _, st := range seen.byAddress {
		if st.Resumed {
			resumed++
			if st.Responses != 0 {
				t.Errorf("an Envoy that came back was sent %d responses: %+v", st.Responses, st)
			}
		}
	}
	t.Logf("%d requests, %d connections after the first", total, resumed)
	if len(failed) > 0 || total < 500 {
		t.Errorf("%d of %d requests failed: %q", len(failed), total, failed[:min(len(failed), 5)])
	}
	if resumed < 3 {
		t.Errorf("%d connections after the first, want at least 3 in four lives of an identity", resumed)
	}
	if n := h.counters.ended.expiry.Load(); n < 3 {
		t.Errorf("%d streams are counted as ended before expiry, want at least 3", n)
	}
}

// Its end waits for the answers that Envoy owes, up to the hard end.
func TestTheEndOfAConnectionLosesNoAnswer(t *testing.T) {
	const grace = 10 * time.Second
	cases := map[string]struct {
		reason string
		answer time.Duration // of the owed response; 0: never
		want   time.Duration
	}{
		"quiet":     {"nothing is owed", -1, time.Hour},
		"answering": {"the answer comes late", 3 * time.Second, time.Hour + 3*time.Second},
		"silent":    {"the hard end", 0, time.Hour + grace},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				near, far := net.Pipe()
				defer far.Close()
				start := time.Now()
				b.connection = &peer.Connection{Conn: near, Soft: start.Add(time.Hour), Hard: start.Add(time.Hour + grace), ByAge: true}
				b.publish(world())
				w := b.connect()
				wait(time.Hour - time.Second)
				if tc.answer >= 0 {
					b.publish(list(scope("http|a", "2")))
				}
				if tc.answer > 0 {
					wait(time.Second + tc.answer)
					w.ack("", envoy.ScopeType)
				}
				err := <-w.ended
				w.ended <- errors.New("it has ended")
				if got := time.Since(start); err != nil || got != tc.want {
					t.Errorf("%s: the stream ends after %s (%v), want %s", tc.reason, got, err, tc.want)
				}
				if _, err := near.Write([]byte("x")); err == nil {
					t.Error("the connection outlives the wait for its last frame")
				}
			})
		})
	}
}

// serveAs is a server of an authority that signs anything.
func serveAs(t *testing.T, a *authority, o Options) *harness {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Identity = certificate.ParseFleetURI
	h := &harness{Server: New(o), addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	conf := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.leaf()}, ClientCAs: a.pool()}
	go func() { served <- h.Serve(ctx, l, conf) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

// as are the settings of a client with a certificate of the fleet edge.
func (a *authority) as(end time.Time) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.leafUntil(end, certificate.FleetURI(edge))}, RootCAs: a.pool(), ServerName: "xds.test",
		MinVersion: tls.VersionTLS13,
	}
}

// gone waits until a client's connection has ended.
func (c *client) gone() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), deadline)
	defer cancel()
	for state := c.conn.GetState(); state == connectivity.Ready; state = c.conn.GetState() {
		if !c.conn.WaitForStateChange(ctx, state) {
			c.t.Fatal("the connection does not end")
		}
	}
}

// An authority that is dropped takes its streams with it, also that of an Envoy
// that reads nothing; those of other authorities stay.
func TestADroppedAuthorityEndsItsStreams(t *testing.T) {
	old, fresh := newAuthority(t), newAuthority(t)
	both := old.pool()
	both.AddCert(fresh.cert)
	var now atomic.Pointer[x509.CertPool]
	now.Store(both)
	dropped, never := make(chan struct{}), make(chan struct{})
	h := serveAs(t, old, Options{Trust: func() (*x509.CertPool, <-chan struct{}) {
		if pool := now.Load(); pool != both {
			return pool, never
		}
		return both, dropped
	}})
	h.publish(1, append(world(), scope("http|big", strings.Repeat("x", 1<<20))))
	idle, stuck := h.connectTLS(t, old.as(time.Now().Add(time.Hour))), h.connectTLS(t, old.as(time.Now().Add(time.Hour)))
	idle.subscribe(envoy.ClusterType)
	idle.want("clusters +a")
	stuck.subscribe(envoy.ScopeType)
	stuck.subscribe(envoy.ClusterType)
	h.until(t, "it is stuck", func(s StreamState) bool { return !s.BlockedSince.IsZero() })
	h.publish(2, nil)
	now.Store(fresh.pool())
	close(dropped)
	if _, err := idle.stream.Recv(); err == nil {
		t.Error("a stream of a dropped authority lives on")
	}
	idle.gone()
	stuck.gone()
	h.untilAll(t, "all streams are gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
	if n := h.counters.ended.distrusted.Load(); n == 0 {
		t.Error("no stream is counted as distrusted")
	}
	// The handshake still accepts the old authority here: the stream is not.
	late := h.connectTLS(t, old.as(time.Now().Add(time.Hour)))
	late.subscribe(envoy.ClusterType)
	if r, err := late.stream.Recv(); err == nil {
		t.Errorf("a stream of a dropped authority is sent %s", describe(r))
	}
}

// An Envoy that reads nothing when its certificate expires is cut off.
func TestAnExpiredCertificateEndsAStuckStream(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	h := serveAs(t, a, Options{})
	h.publish(1, list(scope("http|big", strings.Repeat("x", 1<<20))))
	end := time.Now().Add(4 * time.Second)
	stuck := h.connectTLS(t, a.as(end))
	stuck.subscribe(envoy.ScopeType)
	stuck.subscribe(envoy.ClusterType)
	st := h.until(t, "it is stuck", func(s StreamState) bool { return !s.BlockedSince.IsZero() })
	if !st.Expires.Equal(end.Truncate(time.Second)) {
		t.Errorf("the certificate is shown to expire at %v, want %v", st.Expires, end.Truncate(time.Second))
	}
	stuck.gone()
	h.untilAll(t, "its stream is gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
}
