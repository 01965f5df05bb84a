package xds

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// The whole of a fleet's life with a real Envoy: it starts, serves a verified
// TLS upstream, loses no request while its route moves, and gets nothing when
// it comes back to another process.
func TestEnvoy(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	s := newSite(t)
	a, b := s.backend("a"), s.backend("b")
	ups := [2]*ir.Upstream{s.upstream("a", "ca-a"), s.upstream("b", "ca-b")}
	backs := [2]*backend.Backend{a, b}
	trusts := [2]*envoy.Resource{s.trust("ca-a", s.ca), s.trust("ca-b", s.ca)}
	fleet := join(s.listener("http"), s.cluster(ups[0], a), list(trusts[0], s.route("http", "shop.test", ups[0])))
	h.publish(1, fleet)
	p := h.envoy(t, edge)
	st := h.acknowledged(t, 1)
	if st.Node != "envoy-edge" || st.Identity != certificate.FleetURI(edge) || len(st.Rejected) != 0 {
		t.Errorf("the stream is %+v", st)
	}
	url := "http://" + p.address("http") + "/"
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if got := fetch(t.Context(), client, url, "shop.test"); got != "200 a" {
		t.Fatalf("answer %q, want 200 a", got)
	}

	load := startLoad(t, url, "shop.test")
	revision := uint64(1)
	for n := range 150 {
		// A cluster, its endpoints and its secret come new each time, and those
		// of the route before go in the same revision.
		from, to := n%2, (n+1)%2
		revision++
		old := s.cluster(ups[from], backs[from])
		h.publish(revision, join(s.cluster(ups[to], backs[to]), list(trusts[to], s.route("http", "shop.test", ups[to]))),
			append(old, trusts[from])...)
		h.acknowledged(t, revision)
		if got, want := fetch(t.Context(), client, url, "shop.test"), fmt.Sprint("200 ", []string{"a", "b"}[to]); got != want {
			t.Fatalf("revision %d is acknowledged, and the answer is %q, want %q", revision, got, want)
		}
	}
	total, failed := load.stop()
	t.Logf("%d requests during %d moves, %d failed", total, revision-1, len(failed))
	if len(failed) > 0 || total < 100 {
		t.Errorf("%d of %d requests failed: %q", len(failed), total, failed[:min(len(failed), 5)])
	}
	h.until(t, "nothing lingers", func(s StreamState) bool { return s.Lingering == 0 && s.Unacknowledged == 0 })
	if _, nacks := o.seen(); len(nacks) != 0 {
		t.Errorf("Envoy refused %+v", nacks)
	}
	next := h.restarted(t, join(s.listener("http"), s.cluster(ups[0], a), list(trusts[0], s.route("http", "shop.test", ups[0]))))
	if got := fetch(t.Context(), client, url, "shop.test"); got != "200 a" {
		t.Errorf("after the restart: %q, want 200 a", got)
	}
	if st := next.acknowledged(t, 77); st.Names != 2 || st.Responses != 0 {
		t.Errorf("an untouched Envoy was sent %d responses, want none; it asks for %d names", st.Responses, st.Names)
	}
}

// The first TLS upstream of an Envoy, and its first endpoints by discovery: it
// has no subscription of secrets or endpoints until it handles the message.
func TestEnvoyFirstUpstream(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	b := s.backend("a")
	up := s.upstream("a", "ca")
	direct := s.ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "shop.test", Routes: []ir.Route{{
		Name: "all", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"}, Response: &ir.DirectResponse{StatusCode: 200},
	}}}))
	h.publish(1, append(s.listener("http"), direct))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	url := "http://" + p.address("http") + "/"
	load := startLoad(t, url, "shop.test")
	for rev := uint64(2); rev < 22; rev += 2 {
		h.publish(rev, join(s.cluster(up, b), list(s.trust("ca", s.ca), s.route("http", "shop.test", up))))
		h.acknowledged(t, rev)
		old := s.cluster(up, b)
		h.publish(rev+1, list(direct), append(old, s.trust("ca", s.ca))...)
		h.acknowledged(t, rev+1)
		h.until(t, "all is removed", func(s StreamState) bool { return s.Lingering == 0 })
	}
	if total, failed := load.stop(); len(failed) > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %q", len(failed), total, failed[:min(len(failed), 5)])
	}
}

// Trust bundles are replaced under load: connections stay, and new ones verify
// by the newest.
func TestEnvoyRotation(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	next, err := pki.NewAuthority("next")
	if err != nil {
		t.Fatal(err)
	}
	b := s.backend("a")
	up := s.upstream("a", "ca")
	h.publish(1, join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca), s.route("http", "shop.test", up))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	load := startLoad(t, "http://"+p.address("http")+"/", "shop.test")
	bundles := [2]*envoy.Resource{s.trust("ca", s.ca), s.trust("ca", s.ca, next)}
	for rev := uint64(2); rev < 42; rev++ {
		before := h.acknowledged(t, rev-1).Responses
		h.publish(rev, list(bundles[rev%2]))
		if got := h.acknowledged(t, rev).Responses - before; got > 1 {
			t.Fatalf("a rotation took %d responses, want one", got)
		}
	}
	if total, failed := load.stop(); len(failed) > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %q", len(failed), total, failed[:min(len(failed), 5)])
	}
	if n := b.Connections(); n > 4 {
		t.Errorf("the backend has seen %d connections: a rotation leaves those that are up", n)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	h.publish(100, list(s.trust("ca", next)))
	h.acknowledged(t, 100)
	b.CloseConnections()
	if got := fetch(t.Context(), client, "http://"+p.address("http")+"/", "shop.test"); got != "503 " {
		t.Errorf("an authority that is trusted no more: %q, want 503", got)
	}
}

// load sends requests one after another on two connections, 100 a second in
// all if it is paced.
type load struct {
	paced    bool
	stopping atomic.Bool
	done     sync.WaitGroup
	total    atomic.Int64
	mu       sync.Mutex
	failed   []string
}

func startLoad(t *testing.T, url, host string) *load {
	t.Helper()
	l := &load{}
	l.start(t, url, host)
	return l
}

func (l *load) start(t *testing.T, url, host string) {
	t.Helper()
	for range 2 {
		l.done.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for !l.stopping.Load() {
				if l.paced {
					<-tick.C
				}
				got := fetch(t.Context(), c, url, host)
				l.total.Add(1)
				if !strings.HasPrefix(got, "200 ") {
					l.mu.Lock()
					l.failed = append(l.failed, got)
					l.mu.Unlock()
				}
			}
		})
	}
}

func (l *load) stop() (int64, []string) {
	l.stopping.Store(true)
	l.done.Wait()
	return l.total.Load(), l.failed
}

// One bad resource among good ones: the good ones arrive, the bad one is known,
// and an Envoy that starts afterwards serves.
func TestEnvoyRefusesOneOfMany(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	s := newSite(t)
	up, b := s.upstream("a", "ca"), s.backend("a")
	h.publish(1, join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	// Two scopes with one key.
	good := s.route("http", "good.test", up)
	twin := *s.route("http", "good.test", up)
	twin.Name, twin.Version = "http|zz-twin", "twin"
	twin.Body = append(append([]byte(nil), twin.Body...), append([]byte{0x0a, byte(len(twin.Name))}, twin.Name...)...)
	h.publish(2, list(good, &twin, s.route("http", "other.test", up)))
	h.until(t, "the twin alone is rejected", func(s StreamState) bool {
		return s.Unacknowledged == 0 && len(s.Rejected) == 1 && s.Rejected[0].Name == twin.Name && s.Rejected[0].Message != ""
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, host := range []string{"good.test", "other.test"} {
		if got := fetch(t.Context(), client, "http://"+p.address("http")+"/", host); got != "200 a" {
			t.Errorf("%s: %q, want 200 a", host, got)
		}
	}
	h.publish(3, nil, &twin)
	h.acknowledged(t, 3)
}

// Envoy notes the good scopes of a response before it meets the bad one and
// refuses the response; the same bytes, sent again, it then takes for what it
// has, acknowledges and does not use. Seed 21 of a soak found it.
func TestEnvoyUsesTheGoodScopesOfARefusedResponse(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	s := newSite(t)
	up, b := s.upstream("a", "ca"), s.backend("a")
	direct := func(host string) *envoy.Resource {
		return s.ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: host, Routes: []ir.Route{{
			Name: "all", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"}, Response: &ir.DirectResponse{StatusCode: 503},
		}}}))
	}
	h.publish(1, join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca), direct("changed.test"))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	added, changed := s.route("http", "added.test", up), s.route("http", "changed.test", up)
	bad := direct("bad.test")
	// Envoy meets the bad one last: names are sorted.
	spoilt := *bad
	spoilt.Name, spoilt.Version = "~last", "spoilt"
	spoilt.Body = append(append([]byte(nil), bad.Body...), append([]byte{0x0a, byte(len(spoilt.Name))}, spoilt.Name...)...)
	// A second virtual host of the same name: refused when the routes are made.
	spoilt.Body = append(spoilt.Body, scopeWithHost(t, "x", "same.test")...)
	spoilt.Body = append(spoilt.Body, scopeWithHost(t, "x", "same.test")...)
	h.publish(2, list(added, changed, &spoilt))
	h.until(t, "the bad scope alone is rejected", func(s StreamState) bool {
		return s.Unacknowledged == 0 && len(s.Rejected) == 1 && s.Rejected[0].Name == spoilt.Name
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, host := range []string{"added.test", "changed.test"} {
		if got := fetch(t.Context(), client, "http://"+p.address("http")+"/", host); got != "200 a" {
			t.Errorf("%s: %q, want 200 a", host, got)
		}
	}
}

// scopeWithHost is what adds a virtual host to a marshalled scope.
func scopeWithHost(t *testing.T, name, domain string) []byte {
	t.Helper()
	b, err := proto.Marshal(&routev3.ScopedRouteConfiguration{RouteConfiguration: &routev3.RouteConfiguration{
		VirtualHosts: []*routev3.VirtualHost{{Name: name, Domains: []string{domain}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnvoyOfAnotherFleetGetsNothing(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	h.publish(1, s.listener("http"))
	p := h.envoy(t, ir.Name{Namespace: "prod", Name: "stranger"})
	st := h.until(t, "it has asked", func(s StreamState) bool { return s.Node == "envoy-stranger" })
	if st.Responses != 0 || st.Ready != 0 {
		t.Errorf("the stranger was sent %d responses, ready at %d", st.Responses, st.Ready)
	}
	if got := p.get(t.Context(), "/ready"); strings.Contains(got, "LIVE") {
		t.Errorf("an Envoy without a configuration is ready: %s", got)
	}
}

// handshake returns the error of a handshake with any bytes as the server name.
func handshake(ctx context.Context, address, name string) error {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // it is closed below too
	defer stop()
	c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	// With TLS 1.3 the server's refusal comes behind the handshake.
	return c.CloseWrite()
}

// A client says any bytes as its server name: Envoy asks for them, and is served
// on.
func TestEnvoyAsksForANameThatIsNotUTF8(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	h.publish(1, join(s.listener("https"), list(s.certificate("shop.test"))))
	p := h.envoy(t, edge)
	before := h.acknowledged(t, 1)
	address := p.address("https")

	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error, 1)
	go func() { hung <- handshake(ctx, address, "\xff.shop.test") }()
	got := h.until(t, "the name is ignored", func(s StreamState) bool { return s.Ignored > 0 })
	cancel()
	if err := <-hung; err == nil {
		t.Error("a name of no host is handshaken")
	}
	if err := handshake(t.Context(), address, "shop.test"); err != nil {
		t.Errorf("another host: %v", err)
	}
	if !got.Since.Equal(before.Since) || h.counters.ended.request.Load() != 0 {
		t.Error("the stream was ended")
	}
}

// A client's server name may be "*", which to its Envoy is every secret: those
// that are rotated meanwhile are not refused for it.
func TestEnvoyRotatesSecretsWhileAClientAsksForAll(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	s := newSite(t)
	next, err := pki.NewAuthority("next")
	if err != nil {
		t.Fatal(err)
	}
	bundles := [2]*envoy.Resource{s.trust("ca", s.ca), s.trust("ca", s.ca, next)}
	up, b := s.upstream("a", "ca"), s.backend("a")
	h.publish(1, join(s.listener("http"), s.listener("https"), s.cluster(up, b), list(bundles[1], s.route("http", "shop.test", up))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	address := p.address("https")
	var asking sync.WaitGroup
	var enough atomic.Bool
	t.Cleanup(func() { enough.Store(true) })
	for range 2 {
		asking.Go(func() {
			for !enough.Load() {
				if err := handshake(t.Context(), address, "*"); err == nil {
					t.Error("a name of no host is handshaken")
				}
			}
		})
	}
	refused := &h.counters.byType[secrets].nacks
	const enoughRotations, most = 60, 3000
	for rev := uint64(2); rev < enoughRotations || refused.Load() == 0 && rev < most; rev++ {
		h.publish(rev, list(bundles[rev%2]))
		h.acknowledged(t, rev)
	}
	enough.Store(true)
	asking.Wait()
	if _, nacks := o.seen(); len(nacks) != 0 {
		t.Errorf("%d NACKs, the first: %+v", len(nacks), nacks[0])
	}
	if refused.Load() == 0 {
		t.Errorf("Envoy refused nothing in %d rotations: this shows nothing", most)
	}
	t.Logf("Envoy refused %d responses for the name", refused.Load())
}

// A client's server name may be any text, also what looks like the name of an
// object's secret: Envoy neither shows that one nor refuses its rotations.
func TestEnvoyTakesNoServerNameForAnObjectsSecret(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	s := newSite(t)
	next, err := pki.NewAuthority("next")
	if err != nil {
		t.Fatal(err)
	}
	up, b := s.upstream("a", "ca"), s.backend("a")
	ref := ir.CertificateRef{Name: ir.Name{Namespace: "shop", Name: "client"}}
	up.TLS.ClientCertificate = &ref
	pair := s.certificate(ref.SecretName())
	h.publish(1, join(s.listener("http"), s.listener("https"), s.cluster(up, b),
		list(pair, s.trust("ca", s.ca), s.route("http", "shop.test", up))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	for _, suffix := range []string{"", "\x00"} {
		for _, name := range []string{"trust/shop/Secret/ca", "certificate/shop/client"} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if err := handshake(ctx, p.address("https"), name+suffix); err == nil || ctx.Err() != nil {
				t.Errorf("%q: the handshake is not refused: %v", name+suffix, err)
			}
			cancel()
		}
	}
	h.publish(2, list(s.trust("ca", s.ca, next)))
	h.acknowledged(t, 2)
	if _, nacks := o.seen(); len(nacks) != 0 {
		t.Errorf("Envoy refused %+v", nacks)
	}
}
