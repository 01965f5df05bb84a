package xds

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// A route moves to a cluster that checks the health of its endpoints, one of which
// never answers: until that check has failed Envoy has no such cluster, and answered
// 503 to what led there.
func TestEnvoyMovesARouteToAClusterThatChecksHealth(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	a, b := s.backend("a"), s.backend("b")
	from, to := s.upstream("a", "ca"), s.upstream("b", "ca")
	to.HealthCheck = &ir.HealthCheck{
		HTTP: &ir.HTTPHealthCheck{Path: "/", Host: "b.test"}, Interval: time.Hour, Timeout: 500 * time.Millisecond, Unhealthy: 1, Healthy: 1,
	}
	h.publish(1, join(s.listener("http"), s.cluster(from, a), list(s.trust("ca", s.ca), s.route("http", "shop.test", from))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	url := "http://" + p.address("http") + "/"

	silent := listenLocal(t)
	defer silent.Close()
	checks := list(s.ok(envoy.Cluster(to)), s.ok(envoy.LoadAssignment(&ir.LoadAssignment{
		Service: to.Service, Endpoints: []ir.Endpoint{
			{Address: "127.0.0.1", Port: uint32(b.Port())}, {Address: "127.0.0.1", Port: port(silent)},
		},
	})))
	l := startLoad(t, url, "shop.test")
	h.publish(2, join(checks, list(s.route("http", "shop.test", to))), s.cluster(from, a)...)
	h.until(t, "it waits", func(s StreamState) bool { return s.Waiting == 1 && s.Acknowledged == 1 })
	h.acknowledged(t, 2)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got := fetch(t.Context(), client, url, "shop.test"); got != "200 b" {
		t.Errorf("after the move: %q, want 200 b", got)
	}
	if total, failed := l.stop(); len(failed) > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %q", len(failed), total, failed[:min(len(failed), 5)])
	}
	h.until(t, "nothing lingers", func(s StreamState) bool { return s.Lingering == 0 && s.Waiting == 0 })
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func port(l net.Listener) uint32 {
	a, _ := l.Addr().(*net.TCPAddr)
	return uint32(a.Port)
}

// A request waits to be tried again while its route moves to another cluster: it
// looks for the one that it began with.
func TestEnvoyTriesAgainAfterItsRouteHasMoved(t *testing.T) {
	h := serve(t, Options{Linger: deadline})
	s := newSite(t)
	b := s.backend("b")
	closed := listenLocal(t)
	address, at := closed.Addr().String(), port(closed)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	from, to := s.upstream("a", "ca"), s.upstream("b", "ca")
	from.TLS = nil
	dead := list(s.ok(envoy.Cluster(from)), s.ok(envoy.LoadAssignment(&ir.LoadAssignment{
		Service: from.Service, Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: at}},
	})))
	patient := s.ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "shop.test", Routes: []ir.Route{{
		Name: "all", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"},
		Forward: &ir.Forward{
			Backends: []ir.Backend{{Upstream: from, Weight: 1}},
			Retry:    &ir.Retry{On: []string{"connect-failure"}, Count: 1000, Backoff: 50 * time.Millisecond},
		},
	}}}))
	h.publish(1, join(s.listener("http"), dead, list(s.trust("ca", s.ca), patient)))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + p.address("http") + "/"
	answer := make(chan string, 1)
	go func() { answer <- fetch(t.Context(), client, url, "shop.test") }()
	p.until("shop_a_443.upstream_rq_retry$", "upstream_rq_retry: ")

	h.publish(2, join(s.cluster(to, b), list(s.route("http", "shop.test", to))), dead...)
	h.acknowledged(t, 2)
	if got := fetch(t.Context(), client, url, "shop.test"); got != "200 b" {
		t.Errorf("a new request: %q, want 200 b", got)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: deadline, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"backend":"a"}`))
	})}
	defer server.Close()
	go func() { _ = server.Serve(l) }()
	if got := <-answer; got != "200 a" {
		t.Errorf("the request that had begun before: %q, want 200 a", got)
	}
}
