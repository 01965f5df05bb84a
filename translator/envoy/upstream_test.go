package envoy_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

var modern = ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13}

func trust(name string) ir.TrustRef {
	return ir.TrustRef{Kind: ir.TrustSecret, Name: ir.Name{Namespace: "ns", Name: name}}
}

func client(name string) *ir.CertificateRef {
	return &ir.CertificateRef{Name: ir.Name{Namespace: "ns", Name: name}}
}

func authority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	ca, err := pki.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func serve(t *testing.T, cfg backend.Config) *backend.Backend {
	t.Helper()
	b, err := backend.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestUpstreamTLS(t *testing.T) {
	right, wrong := authority(t, "right"), authority(t, "wrong")
	leaf, err := right.Issue(pki.Leaf{DNS: []string{"b.test"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}, URIs: []string{"spiffe://x/b"}})
	if err != nil {
		t.Fatal(err)
	}
	pair := keyPair(t, right, "client.test")
	verified := serve(t, backend.Config{Name: "b", Certificate: &leaf.TLS})
	mutual := serve(t, backend.Config{Name: "m", Certificate: &leaf.TLS, ClientCAs: right.Pool()})
	only13 := serve(t, backend.Config{Name: "13", Certificate: &leaf.TLS, MinVersion: tls.VersionTLS13})
	plain := serve(t, backend.Config{Name: "plain"})

	verify := func(value string, kind ir.NameKind, refs ...string) *ir.Verify {
		v := &ir.Verify{Names: []ir.SubjectName{{Kind: kind, Value: value}}}
		for _, r := range refs {
			v.Trust = append(v.Trust, trust(r))
		}
		return v
	}
	several := verify("other.test", ir.DNSName, "right")
	several.Names = append(several.Names, ir.SubjectName{Kind: ir.DNSName, Value: "b.test"})
	type want struct {
		Code       int
		SNI, Proto string
		Client     string
	}
	cases := map[string]struct {
		reason string
		b      *backend.Backend
		http2  bool
		tls    ir.UpstreamTLS
		want   want
	}{
		"verified":       {"right CA and name", verified, false, ir.UpstreamTLS{SNI: "sni.test", Verify: verify("b.test", ir.DNSName, "right")}, want{200, "sni.test", "HTTP/1.1", ""}},
		"IP":             {"a name of the kind IP", verified, false, ir.UpstreamTLS{Verify: verify("10.0.0.1", ir.IPName, "right")}, want{200, "", "HTTP/1.1", ""}},
		"URI":            {"a name of the kind URI", verified, false, ir.UpstreamTLS{Verify: verify("spiffe://x/b", ir.URIName, "right")}, want{200, "", "HTTP/1.1", ""}},
		"several names":  {"one suffices", verified, false, ir.UpstreamTLS{Verify: several}, want{200, "", "HTTP/1.1", ""}},
		"joined trust":   {"the union is trusted", verified, false, ir.UpstreamTLS{Verify: verify("b.test", ir.DNSName, "right", "wrong")}, want{200, "", "HTTP/1.1", ""}},
		"wrong CA":       {"fails closed", verified, false, ir.UpstreamTLS{Verify: verify("b.test", ir.DNSName, "wrong")}, want{Code: 503}},
		"wrong name":     {"fails closed", verified, false, ir.UpstreamTLS{Verify: verify("c.test", ir.DNSName, "right")}, want{Code: 503}},
		"wrong kind":     {"a DNS name is no URI", verified, false, ir.UpstreamTLS{Verify: verify("b.test", ir.URIName, "right")}, want{Code: 503}},
		"no bundle":      {"the secret does not exist", verified, false, ir.UpstreamTLS{Verify: verify("b.test", ir.DNSName, "missing")}, want{Code: 503}},
		"not verified":   {"any certificate will do", verified, false, ir.UpstreamTLS{}, want{200, "", "HTTP/1.1", ""}},
		"plaintext":      {"TLS is never given up", plain, false, ir.UpstreamTLS{Verify: verify("b.test", ir.DNSName, "right")}, want{Code: 503}},
		"HTTP/2":         {"by ALPN", verified, true, ir.UpstreamTLS{ALPN: []string{"h2"}, Verify: verify("b.test", ir.DNSName, "right")}, want{200, "", "HTTP/2.0", ""}},
		"TLS 1.3":        {"Envoy alone would offer 1.2", only13, false, ir.UpstreamTLS{Verify: verify("b.test", ir.DNSName, "right")}, want{200, "", "HTTP/1.1", ""}},
		"client":         {"the certificate is presented", mutual, false, ir.UpstreamTLS{ClientCertificate: client("c"), Verify: verify("b.test", ir.DNSName, "right")}, want{200, "", "HTTP/1.1", "client.test"}},
		"no client":      {"the backend refuses", mutual, false, ir.UpstreamTLS{Verify: verify("b.test", ir.DNSName, "right")}, want{Code: 503}},
		"missing client": {"fails closed", mutual, false, ir.UpstreamTLS{ClientCertificate: client("missing"), Verify: verify("b.test", ir.DNSName, "right")}, want{Code: 503}},
	}

	w := &world{t: t, upstreams: map[string]*ir.Upstream{}}
	ok := must(t)
	rightBundle := &ir.TrustBundle{PEM: right.PEM()}
	wrongBundle := &ir.TrustBundle{PEM: wrong.PEM()}
	both := []ir.TrustRef{trust("right"), trust("wrong")}
	w.rs = append(w.rs, ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.FallbackScope("http", false, nil)),
		ok(envoy.TrustSecret(trust("right").SecretName(), []*ir.TrustBundle{rightBundle})),
		ok(envoy.TrustSecret(trust("wrong").SecretName(), []*ir.TrustBundle{wrongBundle})),
		ok(envoy.TrustSecret(envoy.TrustName(both), []*ir.TrustBundle{wrongBundle, rightBundle})),
		ok(envoy.CertificateSecret(client("c").SecretName(), pair)))
	hosts := map[string]string{}
	for name, tc := range cases {
		tc.tls.Profile = modern
		u := &ir.Upstream{Protocol: ir.HTTP1, TLS: &tc.tls}
		if tc.http2 {
			u.Protocol = ir.HTTP2
		}
		hosts[name] = fmt.Sprintf("h%d.test", len(hosts))
		w.upstream(fmt.Sprintf("s%d", len(hosts)), tc.b, u)
		w.rs = append(w.rs, ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: hosts[name], Routes: []ir.Route{{
			Name: "r", Match: prefix("/"), Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u}}},
		}}})))
	}
	p := runEnvoy(t, w.rs...)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a, err := p.ask(t, "http", request{host: hosts[name], path: "/"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := want{Code: a.Code}
			if a.Code == http.StatusOK {
				var r backend.Request
				if err := json.Unmarshal([]byte(a.Body), &r); err != nil {
					t.Fatal(err)
				}
				got = want{a.Code, r.SNI, r.Proto, strings.TrimPrefix(r.ClientSubject, "CN=")}
				if len(r.ClientCertificate) != 0 {
					got.Client = "client.test"
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
	if n := len(plain.Requests()); n != 0 {
		t.Errorf("the plaintext backend saw %d requests, want none", n)
	}
}

// TestFullHandshakes holds that no upstream connection resumes a session: a
// resumed one would not look at the backend's certificate.
func TestFullHandshakes(t *testing.T) {
	ca := authority(t, "CA")
	leaf, err := ca.Issue(pki.Leaf{DNS: []string{"b.test"}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var resumed []bool
	lis, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: deadline, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		resumed = append(resumed, r.TLS.DidResume)
		w.Header().Set("Connection", "close")
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(lis) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })

	u := &ir.Upstream{Service: service("b"), Protocol: ir.HTTP1, TLS: &ir.UpstreamTLS{Profile: modern, Verify: &ir.Verify{
		Trust: []ir.TrustRef{trust("ca")}, Names: []ir.SubjectName{{Kind: ir.DNSName, Value: "b.test"}},
	}}}
	ok := must(t)
	p := runEnvoy(t, ok(envoy.Cluster(u)),
		ok(envoy.LoadAssignment(&ir.LoadAssignment{
			Service:   u.Service,
			Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: uint32(lis.Addr().(*net.TCPAddr).Port)}},
		})),
		ok(envoy.TrustSecret(trust("ca").SecretName(), []*ir.TrustBundle{{PEM: ca.PEM()}})),
		ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.FallbackScope("http", false, nil)),
		ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "b.test", Routes: []ir.Route{{
			Name: "r", Match: prefix("/"), Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u}}},
		}}})))
	for range 3 {
		if a, err := p.ask(t, "http", request{host: "b.test", path: "/"}, nil); err != nil || a.Code != http.StatusOK {
			t.Fatalf("answer %v, error %v", a, err)
		}
	}
	mu.Lock()
	got := slices.Clone(resumed)
	mu.Unlock()
	if diff := cmp.Diff([]bool{false, false, false}, got); diff != "" {
		t.Errorf("resumed sessions: -want, +got:\n%s", diff)
	}
	p.set(t, ok(envoy.TrustSecret(trust("ca").SecretName(), []*ir.TrustBundle{{PEM: authority(t, "other").PEM()}})))
	eventually(t, "a rotated bundle no longer trusts the backend", func() error {
		a, err := p.ask(t, "http", request{host: "b.test", path: "/"}, nil)
		if err == nil && a.Code != http.StatusServiceUnavailable {
			err = fmt.Errorf("the answer is %d", a.Code)
		}
		return err
	})
}

func TestShares(t *testing.T) {
	w := newWorld(t, "a", "b", "shadow", "half", "ring1", "ring2")
	ring := &ir.Upstream{Service: service("ring"), Protocol: ir.HTTP1, LoadBalancer: ir.LoadBalancer{Policy: ir.RingHash}}
	ok := must(t)
	var ends []ir.Endpoint
	for _, n := range []string{"ring1", "ring2"} {
		ends = append(ends, ir.Endpoint{Address: "127.0.0.1", Port: uint32(w.backends[n].Port()), Zone: n})
	}
	weighted := w.to("a", "b")
	weighted[0].Weight = 3
	to := func(bs []ir.Backend, f ir.Forward) []ir.Route {
		f.Backends = bs
		return []ir.Route{{Name: "r", Match: prefix("/"), Forward: &f}}
	}
	hosts := map[string][]ir.Route{
		"weights.test": to(weighted, ir.Forward{}),
		"even.test":    to([]ir.Backend{{Upstream: w.upstreams["a"]}, {Upstream: w.upstreams["b"]}}, ir.Forward{}),
		"mirror.test": to(w.to("a"), ir.Forward{Mirrors: []ir.Mirror{
			{Upstream: w.upstreams["shadow"], Numerator: 100, Denominator: 100, HostRewrite: "copy.test", RequestHeaders: ir.HeaderPolicy{
				Set: []ir.Header{{Name: "X-Copy", Value: "1"}}, Remove: []string{"Authorization"},
			}},
			{Upstream: w.upstreams["half"], Numerator: 1, Denominator: 2},
		}}),
		"hash.test":   to([]ir.Backend{{Upstream: ring}}, ir.Forward{Hash: []ir.HashPolicy{{Header: "X-User", Terminal: true}, {SourceIP: true}}}),
		"cookie.test": to([]ir.Backend{{Upstream: ring}}, ir.Forward{Hash: []ir.HashPolicy{{Cookie: "affinity", CookiePath: "/"}}}),
	}
	w.rs = append(w.rs, ok(envoy.Cluster(ring)), ok(envoy.LoadAssignment(&ir.LoadAssignment{
		Service: ring.Service, Endpoints: ends,
	})), ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.FallbackScope("http", false, nil)))
	for h, routes := range hosts {
		w.rs = append(w.rs, ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: h, Routes: routes})))
	}
	p := runEnvoy(t, w.rs...)
	count := func(t *testing.T, host string, n int, header http.Header) map[string]int {
		t.Helper()
		out := map[string]int{}
		for range n {
			out[p.see(t, routeCase{path: "/", header: header}, host).Backend]++
		}
		return out
	}
	t.Run("weights", func(t *testing.T) {
		// 200 requests, 3 to 1: 50 are expected, with a deviation of 6.
		if got := count(t, "weights.test", 200, nil); got["a"]+got["b"] != 200 || got["b"] < 15 || got["b"] > 90 {
			t.Errorf("shares are %v, want about 150 to 50", got)
		}
	})
	t.Run("no weights", func(t *testing.T) {
		if got := count(t, "even.test", 200, nil); got["a"]+got["b"] != 200 || got["b"] < 55 || got["b"] > 145 {
			t.Errorf("shares are %v, want about even", got)
		}
	})
	t.Run("mirrors", func(t *testing.T) {
		if got := count(t, "mirror.test", 100, http.Header{"Authorization": {"secret"}, "X-Copy": {"0"}}); got["a"] != 100 {
			t.Errorf("answers are %v, want 100 of a: a mirror never answers", got)
		}
		eventually(t, "all requests are mirrored", func() error {
			if n := len(w.backends["shadow"].Requests()); n != 100 {
				return fmt.Errorf("%d of 100", n)
			}
			return nil
		})
		for _, r := range w.backends["shadow"].Requests() {
			if r.Header.Get("X-Signet-Scope") != "" {
				t.Errorf("the mirror saw the scope %q", r.Header.Get("X-Signet-Scope"))
			}
			if r.Host != "copy.test" || r.Header.Get("Authorization") != "" || !slices.Equal(r.Header["X-Copy"], []string{"1"}) {
				t.Errorf("the mirror of %s saw %v", r.Host, r.Header)
			}
		}
		for _, r := range slices.Concat(w.backends["a"].Requests(), w.backends["half"].Requests()) {
			if r.Header.Get("Authorization") != "secret" && strings.HasPrefix(r.Host, "mirror.test") {
				t.Errorf("%s saw %v: the changes are for the other mirror alone", r.Host, r.Header)
			}
		}
		if n := len(w.backends["half"].Requests()); n < 15 || n > 85 {
			t.Errorf("%d of 100 requests are mirrored, want about half", n)
		}
	})
	t.Run("hash of a header", func(t *testing.T) {
		used := map[string]bool{}
		for i := range 20 {
			got := count(t, "hash.test", 3, http.Header{"X-User": {fmt.Sprint(i)}})
			if len(got) != 1 {
				t.Errorf("user %d reached %v, want one backend", i, got)
			}
			for b := range got {
				used[b] = true
			}
		}
		if len(used) != 2 {
			t.Errorf("all users reached %v, want both backends in use", used)
		}
	})
	t.Run("hash of a cookie", func(t *testing.T) {
		res, err := p.do(t.Context(), "http", request{host: "cookie.test", path: "/"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if c := res.Cookies(); len(c) != 1 || c[0].Name != "affinity" || c[0].Path != "/" || c[0].MaxAge != 0 {
			t.Fatalf("cookies are %v, want a session cookie called affinity", c)
		}
		if got := count(t, "cookie.test", 10, http.Header{"Cookie": {"affinity=" + res.Cookies()[0].Value}}); len(got) != 1 {
			t.Errorf("one cookie reached %v, want one backend", got)
		}
	})
}

func TestTCP(t *testing.T) {
	ca := authority(t, "CA")
	leaf, err := ca.Issue(pki.Leaf{DNS: []string{"pass.test", "one.wild.test"}})
	if err != nil {
		t.Fatal(err)
	}
	secure := serve(t, backend.Config{Name: "secure", Certificate: &leaf.TLS})
	plain := serve(t, backend.Config{Name: "plain"})
	w := &world{t: t, upstreams: map[string]*ir.Upstream{}}
	w.upstream("secure", secure, &ir.Upstream{Protocol: ir.TCP})
	w.upstream("plain", plain, &ir.Upstream{Protocol: ir.TCP})
	w.upstream("plain2", plain, &ir.Upstream{Protocol: ir.TCP})
	chains := []envoy.Chain{
		*envoy.TCPChain(&ir.TCPRoute{Listener: "https", Host: "pass.test", Backends: w.to("secure")}),
		*envoy.TCPChain(&ir.TCPRoute{Listener: "https", Host: "*.wild.test", Backends: w.to("secure")}),
		*envoy.TCPChain(&ir.TCPRoute{Listener: "https", Host: "ends.test", Certificate: client("ends"), Profile: modern, Backends: w.to("plain", "plain2")}),
		*envoy.TCPChain(&ir.TCPRoute{Listener: "https", Host: "closed.test"}),
	}
	ok := must(t)
	w.rs = append(w.rs, ok(envoy.Listener(loopback("https", true), chains)), ok(envoy.FallbackScope("https", true, nil)),
		ok(envoy.MisdirectedScope("https")), ok(envoy.CertificateSecret(client("ends").SecretName(), keyPair(t, ca, "ends.test"))))
	p := runEnvoy(t, w.rs...)
	cases := map[string]struct {
		reason, sni string
		// want is the backend that answers; none is a closed connection.
		want string
	}{
		"passed through": {"the backend's certificate is seen", "pass.test", "secure"},
		"wildcard":       {"by SNI", "one.wild.test", "secure"},
		"terminated":     {"the route's certificate is seen", "ends.test", "plain"},
		"no backends":    {"fails closed", "closed.test", ""},
		"another":        {"no chain, no certificate", "other.test", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			res, err := p.do(t.Context(), "https", request{host: tc.sni, path: "/"}, &tls.Config{RootCAs: ca.Pool(), ServerName: tc.sni})
			if err != nil {
				if tc.want != "" {
					t.Fatal(err)
				}
				return
			}
			defer res.Body.Close()
			var r backend.Request
			if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
				t.Fatal(err)
			}
			if r.Backend != tc.want {
				t.Errorf("%s: %q answers, want %q", tc.reason, r.Backend, tc.want)
			}
		})
	}
	t.Run("plaintext", func(t *testing.T) {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+p.ports["https"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: ends.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			t.Errorf("a TLS port answers plaintext with %q", line)
		}
	})
}
