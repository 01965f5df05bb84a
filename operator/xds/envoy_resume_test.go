package xds

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// restarted replaces the control plane by a fresh one on the same port, with the
// same authority, as another process would be.
func (h *harness) restarted(t *testing.T, fleet []*envoy.Resource) *harness {
	t.Helper()
	h.stop()
	next := &harness{Server: New(Options{Identity: certificate.ParseFleetURI}), keeper: h.keeper, addr: h.addr}
	next.publish(77, fleet)
	next.listen(t)
	if st := next.acknowledged(t, 77); !st.Resumed {
		t.Errorf("Envoy comes back with nothing: %+v", st)
	}
	return next
}

// listen serves on the address of the harness.
func (h *harness) listen(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l, h.keeper.ServerTLS()) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(h.stop)
}

// Certificates are fetched by SNI: a host of its own, one of a wildcard, and
// one that nobody serves.
func TestEnvoyServesCertificatesOnDemand(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	up, b := s.upstream("a", "ca"), s.backend("a")
	certificateOf := func(host string) *envoy.Resource {
		pair, err := s.ca.Issue(pki.Leaf{DNS: []string{host}})
		if err != nil {
			t.Fatal(err)
		}
		return s.ok(envoy.CertificateSecret(host, &ir.KeyPair{Chain: pair.CertPEM, Key: pair.KeyPEM}))
	}
	fleet := join(s.listener("https"), s.cluster(up, b), list(s.trust("ca", s.ca), certificateOf("own.test"),
		certificateOf("*.wild.test"), s.route("https", "own.test", up), s.route("https", "x.wild.test", up)))
	h.publish(1, fleet)
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	addr := p.address("https")
	handshake := func(host string) (string, error) {
		d := tls.Dialer{Config: &tls.Config{RootCAs: s.ca.Pool(), ServerName: host, MinVersion: tls.VersionTLS12}}
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0], nil
	}
	for host, want := range map[string]string{"own.test": "own.test", "x.wild.test": "*.wild.test"} {
		if got, err := handshake(host); err != nil || got != want {
			t.Errorf("%s: certificate of %q (%v), want %q", host, got, err, want)
		}
	}
	if got, err := handshake("unknown.test"); err == nil {
		t.Errorf("an unknown host was shown the certificate of %q", got)
	}
	// A host whose certificate appears later is served at once.
	h.publish(2, list(certificateOf("unknown.test")))
	h.acknowledged(t, 2)
	if got, err := handshake("unknown.test"); err != nil || got != "unknown.test" {
		t.Errorf("certificate of %q (%v), want unknown.test", got, err)
	}

	// Another process knows nothing of what was asked for on demand: it sends
	// none of it again, drains nothing, and keeps it up to date.
	up2 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: s.ca.Pool(), ServerName: "x.wild.test", MinVersion: tls.VersionTLS12,
	}}}
	defer up2.CloseIdleConnections()
	if got := fetch(t.Context(), up2, "https://"+addr+"/", "x.wild.test"); got != "200 a" {
		t.Errorf("before the restart: %q, want 200 a", got)
	}
	before := connections(t, p)
	next := h.restarted(t, replace(fleet, certificateOf("unknown.test")))
	// The certificate of unknown.test was issued anew: it alone is sent.
	next.until(t, "one response", func(s StreamState) bool { return s.Responses == 1 && s.Unacknowledged == 0 })
	if got := fetch(t.Context(), up2, "https://"+addr+"/", "x.wild.test"); got != "200 a" {
		t.Errorf("after the restart: %q, want 200 a", got)
	}
	if now := connections(t, p); now != before {
		t.Errorf("Envoy's counters are %s, want %s", now, before)
	}
	next.publish(100, list(certificateOf("*.wild.test")))
	if st := next.acknowledged(t, 100); st.Responses < 2 {
		t.Errorf("a certificate that was fetched before the restart is not kept up to date: %+v", st)
	}
}

// connections are the counters that a needless update would move.
func connections(t *testing.T, p *proxy) string {
	t.Helper()
	return p.get(t.Context(), "/stats?usedonly&filter="+
		"^(listener_manager.(listener_added|listener_modified|listener_in_place_updated|listener_removed|total_listeners_draining)"+
		"|cluster_manager.(cluster_added|cluster_modified|cluster_removed)|http.https.downstream_cx_total)")
}

// An Envoy that starts while the control plane is down, and then while it has no
// revision yet, waits and is not ready.
func TestEnvoyWaitsForItsControlPlane(t *testing.T) {
	h := serve(t, Options{})
	h.stop()
	p := h.envoy(t, edge)
	notReady := func(when string) {
		t.Helper()
		if got := p.get(t.Context(), "/ready"); strings.Contains(got, "LIVE") {
			t.Errorf("%s: /ready says %q", when, got)
		}
	}
	p.until("^cluster.xds.upstream_cx_connect_fail$", "upstream_cx_connect_fail: ")
	notReady("no control plane")

	next := &harness{Server: New(Options{Identity: certificate.ParseFleetURI}), keeper: h.keeper, addr: h.addr}
	next.listen(t)
	next.untilAll(t, "it has asked", func(s State) bool {
		return len(s.Fleets) == 1 && len(s.Fleets[0].Streams) == 1 && s.Fleets[0].Streams[0].Node != ""
	})
	notReady("no revision")
	s := newSite(t)
	up := s.upstream("a", "ca")
	next.publish(1, join(s.listener("http"), s.cluster(up, s.backend("a")), list(s.trust("ca", s.ca), s.route("http", "shop.test", up))))
	next.acknowledged(t, 1)
	p.untilReady()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got := fetch(t.Context(), client, "http://"+p.address("http")+"/", "shop.test"); got != "200 a" {
		t.Errorf("the first request: %q, want 200 a", got)
	}
}

// The route that Envoy has uses a cluster that no revision holds any more, since
// Envoy refuses the route's successor. It comes back to another process: the
// cluster, its endpoints and its secret stay in use until the route goes.
func TestEnvoyReconnectsWhileARemovalWaits(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	b := s.backend("a")
	up, other := s.upstream("a", "ca"), s.upstream("b", "ca-b")
	route := s.route("http", "shop.test", up)
	h.publish(1, join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca), route)))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	url := "http://" + p.address("http") + "/"
	load := &load{paced: true}
	load.start(t, url, "shop.test")

	bad := seal(envoy.ScopeType, route.Name, &routev3.ScopedRouteConfiguration{Name: route.Name}) // it lacks a key
	fleet := join(s.listener("http"), s.cluster(other, b), list(s.trust("ca-b", s.ca), bad))
	h.publish(2, join(s.cluster(other, b), list(s.trust("ca-b", s.ca), bad)), append(s.cluster(up, b), s.trust("ca", s.ca))...)
	h.until(t, "the removal waits", func(s StreamState) bool { return len(s.Rejected) == 1 && s.Lingering == 3 && s.Unacknowledged == 0 })
	h.stop()
	next := &harness{Server: New(Options{Identity: certificate.ParseFleetURI}), keeper: h.keeper, addr: h.addr}
	next.publish(77, fleet)
	next.listen(t)
	next.until(t, "the removal waits again", func(s StreamState) bool {
		return s.Resumed && len(s.Rejected) == 1 && s.Lingering > 0 && s.Unacknowledged == 0
	})
	// New connections find the endpoints and are verified by the secret.
	b.CloseConnections()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 5 {
		if got := fetch(t.Context(), client, url, "shop.test"); got != "200 a" {
			t.Errorf("while the removal waits: %q, want 200 a", got)
		}
	}
	next.publish(78, list(s.route("http", "shop.test", other)))
	next.acknowledged(t, 78)
	next.until(t, "all is removed", func(s StreamState) bool { return s.Lingering == 0 && s.Unacknowledged == 0 })
	if got := fetch(t.Context(), client, url, "shop.test"); got != "200 a" {
		t.Errorf("in the end: %q, want 200 a", got)
	}
	total, failed := load.stop()
	// The requests whose connections the test closed are not Signet's to save.
	if len(failed) > 2 || total == 0 {
		t.Errorf("%d of %d requests failed: %q", len(failed), total, failed[:min(len(failed), 5)])
	}
}
