package envoy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// must is for inputs that the test knows to be good.
func must(t testing.TB) func(*envoy.Resource, error) *envoy.Resource {
	t.Helper()
	return func(r *envoy.Resource, err error) *envoy.Resource {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// answers is a host that answers its own name under /only.
func answers(listener, host string, tls bool) *ir.VirtualHost {
	return &ir.VirtualHost{
		Listener: listener, Host: host, TLS: tls, OneLabel: strings.HasPrefix(host, "*"),
		Routes: []ir.Route{{
			Name:     "only",
			Match:    ir.Match{PathKind: ir.PathPrefix, Path: "/only"},
			Response: &ir.DirectResponse{StatusCode: 200, Body: host},
		}},
	}
}

// request is sent as written: HTTP clients would tidy up the host.
type request struct {
	host, path, method string
	http2              bool
	headers            http.Header
}

type answer struct {
	Code int
	Body string
}

// errHandshake tells a failed handshake from a failed request.
var errHandshake = errors.New("handshake failed")

func (p *proxy) do(ctx context.Context, listener string, r request, config *tls.Config) (*http.Response, error) {
	addr := "127.0.0.1:" + p.ports[listener]
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	transport.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(c, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(errHandshake, err)
		}
		return conn, nil
	}
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	transport.Protocols = &http.Protocols{}
	transport.Protocols.SetHTTP1(!r.http2)
	transport.Protocols.SetHTTP2(r.http2)
	req, err := http.NewRequestWithContext(ctx, r.method, scheme+"://"+addr+r.path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Host = r.host
	maps.Copy(req.Header, r.headers)
	return transport.RoundTrip(req)
}

func (p *proxy) ask(t *testing.T, listener string, r request, config *tls.Config) (answer, error) {
	t.Helper()
	res, err := p.do(t.Context(), listener, r, config)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, string(body)}, nil
}

func loopback(name string, tls bool) *ir.Listener {
	return &ir.Listener{Name: name, Address: "127.0.0.1", TLS: tls, Profile: ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13}}
}

func TestPlainHosts(t *testing.T) {
	ok := must(t)
	hosts := []string{"exact.test", "inside.wild.test", "~x.test"}
	wild := []*ir.VirtualHost{
		answers("http", "*.wild.test", false), answers("http", "*.sub.wild.test", false),
		{Listener: "http", Host: "*.many.test", Routes: answers("http", "*.many.test", false).Routes},
	}
	rs := []*envoy.Resource{
		ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.FallbackScope("http", false, wild)),
		ok(envoy.Listener(loopback("other", false), nil)), ok(envoy.FallbackScope("other", false, nil)),
		ok(envoy.Scope(answers("other", "elsewhere.test", false))),
	}
	for _, h := range hosts {
		rs = append(rs, ok(envoy.Scope(answers("http", h, false))))
	}
	p := runEnvoy(t, rs...)

	cases := map[string]struct {
		reason string
		host   string
		path   string
		want   answer
	}{
		"exact":           {"a scope of its own", "exact.test", "/only", answer{200, "exact.test"}},
		"port":            {"the port is no part of the host", "exact.test:8080", "/only", answer{200, "exact.test"}},
		"upper case":      {"hosts have no case", "Exact.TEST", "/only", answer{200, "exact.test"}},
		"upper and port":  {"both at once", "Exact.TEST:80", "/only", answer{200, "exact.test"}},
		"other path":      {"nothing serves the path", "exact.test", "/none", answer{404, ""}},
		"trailing dot":    {"it is another spelling, which nothing claims", "exact.test.", "/only", answer{404, ""}},
		"unknown":         {"nothing claims it", "unknown.test", "/only", answer{404, ""}},
		"other listener":  {"a host belongs to its listener", "elsewhere.test", "/only", answer{404, ""}},
		"IPv6":            {"a literal holds the separator", "[::1]:8080", "/only", answer{404, ""}},
		"IPv6 bare":       {"without a port too", "[::1]", "/only", answer{404, ""}},
		"IPv4":            {"nothing claims it", "127.0.0.1:8080", "/only", answer{404, ""}},
		"key":             {"the key of a scope is no host", "~", "/only", answer{404, ""}},
		"key of another":  {"a host cannot name a listener", "|elsewhere.test", "/only", answer{404, ""}},
		"wildcard":        {"one label", "a.wild.test", "/only", answer{200, "*.wild.test"}},
		"wildcard upper":  {"hosts have no case", "A.Wild.Test:80", "/only", answer{200, "*.wild.test"}},
		"wildcard port":   {"the port is no part of the host", "a.wild.test:8080", "/only", answer{200, "*.wild.test"}},
		"two labels":      {"the wildcard stands for one", "a.b.wild.test", "/only", answer{404, ""}},
		"many labels":     {"this wildcard stands for more", "a.b.many.test", "/only", answer{200, "*.many.test"}},
		"no label":        {"the wildcard stands for one", "wild.test", "/only", answer{404, ""}},
		"nested":          {"the longest wildcard wins", "a.sub.wild.test", "/only", answer{200, "*.sub.wild.test"}},
		"wildcard path":   {"nothing serves the path", "a.wild.test", "/none", answer{404, ""}},
		"exact inside":    {"an exact host wins over a wildcard", "inside.wild.test", "/only", answer{200, "inside.wild.test"}},
		"no fall-through": {"an exact host hides its wildcard", "inside.wild.test", "/none", answer{404, ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			// A scope that a client sends must not matter.
			forged := http.Header{"X-Signet-Scope": {"http|exact.test", "http|exact.test"}}
			got, err := p.ask(t, "http", request{host: tc.host, path: tc.path, headers: forged}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestOddRequests are sent byte by byte: none may reach what its host does not
// serve, and none may stop Envoy.
func TestOddRequests(t *testing.T) {
	ok := must(t)
	p := runEnvoy(t, ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.Scope(answers("http", "exact.test", false))),
		ok(envoy.FallbackScope("http", false, []*ir.VirtualHost{answers("http", "*.wild.test", false)})))
	cases := map[string]struct {
		reason, text string
		want         int
	}{
		"options of all":    {"no path", "OPTIONS * HTTP/1.1\r\nHost: exact.test\r\n", 404},
		"options, wildcard": {"no path", "OPTIONS * HTTP/1.1\r\nHost: a.wild.test\r\n", 404},
		"connect":           {"nothing is tunnelled", "CONNECT exact.test:443 HTTP/1.1\r\nHost: exact.test\r\n", 404},
		"connect, wildcard": {"nothing is tunnelled", "CONNECT a.wild.test:443 HTTP/1.1\r\nHost: a.wild.test\r\n", 404},
		"absolute":          {"its host counts", "GET http://exact.test/only HTTP/1.1\r\nHost: other.test\r\n", 200},
		"hop by hop":        {"the scope is not the client's to drop", "GET /only HTTP/1.1\r\nHost: exact.test\r\nConnection: close, x-signet-scope\r\n", 200},
		"hop, wildcard":     {"the scope is not the client's to drop", "GET /only HTTP/1.1\r\nHost: a.wild.test\r\nConnection: close, x-signet-scope\r\n", 200},
		"no host":           {"HTTP/1.1 needs one", "GET /only HTTP/1.1\r\n", 400},
		"HTTP/1.0":          {"with a host it is served", "GET /only HTTP/1.0\r\nHost: exact.test\r\n", 200},
		"other upgrade":     {"only websockets are known", "GET /only HTTP/1.1\r\nHost: a.wild.test\r\nConnection: Upgrade\r\nUpgrade: other\r\n", 403},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+p.ports["http"])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, tc.text+"\r\n"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != tc.want {
				t.Errorf("%s: the answer is %d, want %d", tc.reason, res.StatusCode, tc.want)
			}
		})
	}
}

func keyPair(t testing.TB, ca *pki.Authority, dns ...string) *ir.KeyPair {
	t.Helper()
	p, err := ca.Issue(pki.Leaf{DNS: dns})
	if err != nil {
		t.Fatal(err)
	}
	return &ir.KeyPair{Chain: p.CertPEM, Key: p.KeyPEM}
}

func TestTLSHosts(t *testing.T) {
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	ok := must(t)
	exactCert := ok(envoy.CertificateSecret("exact.test", keyPair(t, ca, "exact.test", "second.test")))
	wild := ok(envoy.CertificateSecret("*.wild.test", keyPair(t, ca, "*.wild.test")))
	strict := &ir.HostCertificate{Listener: "https", Host: "strict.test", Profile: ir.TLSProfile{Min: ir.TLS13, Max: ir.TLS13}}
	rs := []*envoy.Resource{
		ok(envoy.Listener(loopback("https", true), []envoy.Chain{*envoy.HTTPChain(strict)})),
		ok(envoy.FallbackScope("https", true, []*ir.VirtualHost{answers("https", "*.wild.test", true)})),
		ok(envoy.MisdirectedScope("https")),
		exactCert, envoy.RenamedSecret(exactCert, "EXACT.test"),
		ok(envoy.CertificateSecret("second.test", keyPair(t, ca, "exact.test", "second.test"))),
		ok(envoy.CertificateSecret("inside.wild.test", keyPair(t, ca, "inside.wild.test"))),
		ok(envoy.CertificateSecret("strict.test", keyPair(t, ca, "strict.test"))),
		wild, envoy.RenamedSecret(wild, "a.wild.test"), envoy.RenamedSecret(wild, "a.b.wild.test"),
	}
	for _, h := range []string{"exact.test", "second.test", "inside.wild.test", "strict.test"} {
		rs = append(rs, ok(envoy.Scope(answers("https", h, true))))
	}
	p := runEnvoy(t, rs...)

	cases := map[string]struct {
		reason    string
		sni, host string
		path      string
		max       uint16
		want      answer
		refused   bool
	}{
		"right":           {"SNI and host agree", "exact.test", "exact.test", "/only", 0, answer{200, "exact.test"}, false},
		"port":            {"the port is no part of the host", "exact.test", "exact.test:8443", "/only", 0, answer{200, "exact.test"}, false},
		"upper case":      {"hosts have no case", "exact.test", "EXACT.test", "/only", 0, answer{200, "exact.test"}, false},
		"upper port":      {"both at once", "exact.test", "EXACT.test:443", "/only", 0, answer{200, "exact.test"}, false},
		"other path":      {"nothing serves the path", "exact.test", "exact.test", "/none", 0, answer{404, ""}, false},
		"coalesced":       {"the certificate covers both hosts", "exact.test", "second.test", "/only", 0, answer{421, ""}, false},
		"foreign":         {"the connection is another host's", "exact.test", "inside.wild.test", "/only", 0, answer{421, ""}, false},
		"foreign unknown": {"nobody's host is not this one's either", "exact.test", "unknown.test", "/only", 0, answer{421, ""}, false},
		"foreign wild":    {"a wildcard host is not this one", "exact.test", "a.wild.test", "/only", 0, answer{421, ""}, false},
		"IPv6":            {"a literal holds the separator", "exact.test", "[::1]:8443", "/only", 0, answer{421, ""}, false},
		"trailing dot":    {"it is another spelling", "exact.test", "exact.test.", "/only", 0, answer{421, ""}, false},
		"misdirected key": {"the key of a scope is no host", "exact.test", "~", "/only", 0, answer{421, ""}, false},
		"wildcard":        {"one label", "a.wild.test", "a.wild.test", "/only", 0, answer{200, "*.wild.test"}, false},
		"wildcard upper":  {"hosts have no case", "a.wild.test", "A.WILD.test:443", "/only", 0, answer{200, "*.wild.test"}, false},
		"wildcard path":   {"nothing serves the path", "a.wild.test", "a.wild.test", "/none", 0, answer{404, ""}, false},
		"sibling":         {"another host of the same wildcard", "a.wild.test", "c.wild.test", "/only", 0, answer{421, ""}, false},
		"two labels":      {"the wildcard stands for one", "a.b.wild.test", "a.b.wild.test", "/only", 0, answer{404, ""}, false},
		"inside":          {"an exact host wins", "inside.wild.test", "inside.wild.test", "/only", 0, answer{200, "inside.wild.test"}, false},
		"no fall-through": {"an exact host hides its wildcard", "inside.wild.test", "inside.wild.test", "/none", 0, answer{404, ""}, false},
		"upper SNI":       {"Envoy asks for the name as the client spells it", "EXACT.test", "exact.test", "/only", 0, answer{200, "exact.test"}, false},
		"unknown SNI":     {"no certificate", "unknown.test", "unknown.test", "/only", 0, answer{}, true},
		"no SNI":          {"no certificate", "", "exact.test", "/only", 0, answer{}, true},
		"SNI of a key":    {"a client may not name a secret that is no host's", "~:", "a.wild.test", "/only", 0, answer{}, true},
		"own profile":     {"a chain of its own", "strict.test", "strict.test", "/only", 0, answer{200, "strict.test"}, false},
		"profile kept":    {"the chain refuses TLS 1.2", "strict.test", "strict.test", "/only", tls.VersionTLS12, answer{}, true},
		"profile shared":  {"the listener allows TLS 1.2", "exact.test", "exact.test", "/only", tls.VersionTLS12, answer{200, "exact.test"}, false},
	}
	for name, tc := range cases {
		for _, http2 := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "/h1", true: "/h2"}[http2], func(t *testing.T) {
				config := &tls.Config{
					RootCAs: ca.Pool(), ServerName: tc.sni, MaxVersion: tc.max,
					InsecureSkipVerify: tc.sni == "" || tc.sni == "a.b.wild.test",
					NextProtos:         []string{map[bool]string{false: "http/1.1", true: "h2"}[http2]},
				}
				got, err := p.ask(t, "https", request{host: tc.host, path: tc.path, http2: http2}, config)
				if refused := errors.Is(err, errHandshake); refused != tc.refused {
					t.Fatalf("%s: handshake failed: %t, want %t: %v", tc.reason, refused, tc.refused, err)
				}
				if err != nil && !tc.refused {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
				}
			})
		}
	}
	if !p.wasAsked(envoy.NoServerName) {
		t.Errorf("Envoy never asked for %q, the name for a handshake without SNI", envoy.NoServerName)
	}
}
