package envoy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

func TestRenamedSecret(t *testing.T) {
	k := &ir.KeyPair{Chain: []byte("chain"), Key: []byte("key")}
	ok := must(t)
	wild := ok(envoy.CertificateSecret("*.wild.test", k))
	got, err := envoy.RenamedSecret(wild, "a.wild.test").Message()
	if err != nil {
		t.Fatal(err)
	}
	want, err := ok(envoy.CertificateSecret("a.wild.test", k)).Message()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	if again, err := wild.Message(); err != nil || again.(*tlsv3.Secret).GetName() != "*.wild.test" {
		t.Errorf("the original is now %v, error %v", again, err)
	}
}

func TestResourceIdentity(t *testing.T) {
	ok := must(t)
	bundle := func(pem string) *envoy.Resource {
		return ok(envoy.TrustSecret("trust/ns/Secret/ca", []*ir.TrustBundle{{PEM: []byte(pem)}}))
	}
	a, b, c := bundle("one"), bundle("one"), bundle("two")
	var none *envoy.Resource
	cases := map[string]struct {
		reason string
		a, b   *envoy.Resource
		want   bool
	}{
		"same content":  {"made twice", a, b, true},
		"other content": {"another version", a, c, false},
		"other name":    {"another resource", a, envoy.RenamedSecret(a, "x"), false},
		"none":          {"nothing equals nothing", none, none, true},
		"one none":      {"nothing equals nothing else", a, none, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.a.Equal(tc.b); got != tc.want {
				t.Errorf("%s: Equal is %t, want %t", tc.reason, got, tc.want)
			}
			if got := tc.b.Equal(tc.a); got != tc.want {
				t.Errorf("%s: Equal the other way round is %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
	sum := sha256.Sum256(a.Body)
	if want := hex.EncodeToString(sum[:16]); a.Version != want {
		t.Errorf("the version is %q, want the digest %q", a.Version, want)
	}
	if _, err := (&envoy.Resource{Type: "other"}).Message(); err == nil {
		t.Error("a resource of an unknown type was decoded")
	}
	if _, err := (&envoy.Resource{Type: envoy.ClusterType, Body: []byte("x")}).Message(); err == nil {
		t.Error("a broken resource was decoded")
	}
}

// TestSecretsStayInside holds that no way of printing shows a private key.
func TestSecretsStayInside(t *testing.T) {
	r := must(t)(envoy.CertificateSecret("c", &ir.KeyPair{Chain: []byte("chain"), Key: []byte("PRIVATE")}))
	_, refused := envoy.CertificateSecret("", &ir.KeyPair{Chain: []byte("chain"), Key: []byte("PRIVATE")})
	if refused == nil {
		t.Fatal("a secret without a name was accepted")
	}
	const asNumbers, inBase64 = "80 82 73 86 65 84 69", "UFJJVkFURQ"
	shown, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(shown), "chain") {
		t.Errorf("the certificate is not shown: %s", shown)
	}
	for _, s := range []string{r.String(), string(shown), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r), refused.Error()} {
		if strings.Contains(s, "PRIVATE") || strings.Contains(s, asNumbers) || strings.Contains(s, inBase64) {
			t.Errorf("%q shows the key", s)
		}
	}
}

func TestTrustName(t *testing.T) {
	a, b := trust("a"), trust("b")
	if got, want := envoy.TrustName([]ir.TrustRef{a}), a.SecretName(); got != want {
		t.Errorf("the name of one bundle is %q, want its own, %q", got, want)
	}
	joined := envoy.TrustName([]ir.TrustRef{a, b})
	if other := envoy.TrustName([]ir.TrustRef{b, a}); other != joined {
		t.Errorf("the order matters: %q and %q", joined, other)
	}
	if other := envoy.TrustName([]ir.TrustRef{a, trust("c")}); other == joined {
		t.Errorf("two unions share the name %q", joined)
	}
}

func TestTrustSecret(t *testing.T) {
	r := must(t)(envoy.TrustSecret("t", []*ir.TrustBundle{{PEM: []byte("A")}, {PEM: []byte("B\n"), CRL: []byte("L")}, {PEM: []byte("C"), CRL: []byte("M")}}))
	got, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	v := got.(*tlsv3.Secret).GetValidationContext()
	if ca, crl := string(v.GetTrustedCa().GetInlineBytes()), string(v.GetCrl().GetInlineBytes()); ca != "A\nB\nC" || crl != "L\nM" || !v.GetOnlyVerifyLeafCertCrl() {
		t.Errorf("CAs %q, lists %q, leaf alone %t", ca, crl, v.GetOnlyVerifyLeafCertCrl())
	}
}

// upstreamOf is a good upstream that a case spoils.
func upstreamOf(spoil func(*ir.Upstream)) *ir.Upstream {
	u := &ir.Upstream{Service: service("s"), Protocol: ir.HTTP1, TLS: &ir.UpstreamTLS{Profile: modern, Verify: &ir.Verify{
		Trust: []ir.TrustRef{trust("ca")}, Names: []ir.SubjectName{{Kind: ir.DNSName, Value: "b.test"}},
	}}}
	spoil(u)
	return u
}

func TestClusterRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		spoil  func(*ir.Upstream)
		want   string // in the error, beside the name
	}{
		"protocol": {"unknown", func(u *ir.Upstream) { u.Protocol = "spdy" }, `protocol: "spdy"`},
		"policy":   {"unknown", func(u *ir.Upstream) { u.LoadBalancer.Policy = "Maglev" }, `load balancer: policy "Maglev"`},
		"slow start": {"has no effect there", func(u *ir.Upstream) {
			u.LoadBalancer.Policy = ir.Random
			u.SlowStart = &ir.SlowStart{Window: time.Second}
		}, "slow start"},
		"no version":   {"Envoy's default is TLS 1.2", func(u *ir.Upstream) { u.TLS.Profile.Max = "" }, `version ""`},
		"versions":     {"the wrong way round", func(u *ir.Upstream) { u.TLS.Profile = ir.TLSProfile{Min: ir.TLS13, Max: ir.TLS12} }, "minimum version 1.3"},
		"no trust":     {"nothing would be verified", func(u *ir.Upstream) { u.TLS.Verify.Trust = nil }, "no trust bundle"},
		"no names":     {"any name would do", func(u *ir.Upstream) { u.TLS.Verify.Names = nil }, "no accepted name"},
		"empty name":   {"no certificate has it", func(u *ir.Upstream) { u.TLS.Verify.Names[0].Value = "" }, "accepted DNS name is empty"},
		"kind of name": {"unknown", func(u *ir.Upstream) { u.TLS.Verify.Names[0].Kind = "EMAIL" }, `"EMAIL"`},
		"ALPN":         {"Envoy dies of it", func(u *ir.Upstream) { u.TLS.ALPN = []string{"h2", ""} }, "ALPN"},
		"long SNI":     {"longer than TLS allows", func(u *ir.Upstream) { u.TLS.SNI = strings.Repeat("x", 256) }, "Sni"},
		"health path":  {"empty", func(u *ir.Upstream) { u.HealthCheck = &ir.HealthCheck{HTTP: &ir.HTTPHealthCheck{}} }, "Path"},
		"statuses": {"none", func(u *ir.Upstream) {
			u.HealthCheck = &ir.HealthCheck{HTTP: &ir.HTTPHealthCheck{Path: "/", Expected: []ir.StatusRange{{Start: 200, End: 200}}}}
		}, "expected statuses"},
		"health period": {"negative", func(u *ir.Upstream) { u.HealthCheck = &ir.HealthCheck{Interval: -time.Second} }, "health check: interval"},
		"connect":       {"negative", func(u *ir.Upstream) { u.ConnectTimeout = -time.Second }, "connectTimeout"},
		"long connect":  {"Envoy refuses the whole response", func(u *ir.Upstream) { u.ConnectTimeout = 1<<63 - 1 }, "connectTimeout"},
		"idle":          {"negative", func(u *ir.Upstream) { u.IdleTimeout = new(-time.Second) }, "protocol options: idleTimeout"},
		"slow window":   {"negative", func(u *ir.Upstream) { u.SlowStart = &ir.SlowStart{Window: -time.Second} }, "slow start: window"},
		"slow weight":   {"above 100", func(u *ir.Upstream) { u.SlowStart = &ir.SlowStart{Window: time.Second, MinWeight: 101} }, "MinWeightPercent"},
		"not UTF-8":     {"no message can hold it", func(u *ir.Upstream) { u.TLS.SNI = "\xff" }, "UTF-8"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := upstreamOf(tc.spoil)
			r, err := envoy.Cluster(u)
			checkRefused(t, tc.reason, r, err, u.Name(), tc.want)
		})
	}
	if _, err := envoy.Cluster(upstreamOf(func(*ir.Upstream) {})); err != nil {
		t.Errorf("the upstream that the cases spoil is bad: %v", err)
	}
}

func checkRefused(t *testing.T, reason string, r *envoy.Resource, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: accepted as %s", reason, r)
	}
	if !errors.Is(err, envoy.ErrRefused) {
		t.Errorf("%s: %v is no ErrRefused", reason, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error does not say %q: %v", reason, text, err)
		}
	}
}

func TestScopeRefused(t *testing.T) {
	u := upstreamOf(func(*ir.Upstream) {})
	forward := func(f ir.Forward) func(*ir.Route) {
		return func(r *ir.Route) {
			if f.Backends == nil {
				f.Backends = []ir.Backend{{Upstream: u}}
			}
			r.Forward = &f
		}
	}
	headers := func(p ir.HeaderPolicy) func(*ir.Route) { return func(r *ir.Route) { r.RequestHeaders = p } }
	set := func(name, value string) func(*ir.Route) {
		return headers(ir.HeaderPolicy{Set: []ir.Header{{Name: name, Value: value}}})
	}
	match := func(m ir.Match) func(*ir.Route) { return func(r *ir.Route) { r.Match = m } }
	value := func(v ir.ValueMatch) func(*ir.Route) {
		return match(ir.Match{PathKind: ir.PathPrefix, Path: "/", Headers: []ir.ValueMatch{v}})
	}
	rewrite := func(w ir.PathRewrite) func(*ir.Route) { return forward(ir.Forward{Rewrite: &w}) }
	cases := map[string]struct {
		reason string
		spoil  func(*ir.Route)
		want   string
	}{
		"no action":   {"nothing to do", func(r *ir.Route) { r.Forward = nil }, "action: there are 0"},
		"two actions": {"one too many", func(r *ir.Route) { r.Response = &ir.DirectResponse{StatusCode: 200} }, "action: there are 2"},
		"status":      {"no HTTP status", func(r *ir.Route) { r.Forward, r.Response = nil, &ir.DirectResponse{StatusCode: 99} }, "Status"},
		"body": {"every Envoy holds it", func(r *ir.Route) {
			r.Forward, r.Response = nil, &ir.DirectResponse{StatusCode: 200, Body: strings.Repeat("x", 1<<20+1)}
		}, "response: body"},
		"path":            {"no path", match(ir.Match{PathKind: ir.PathPrefix, Path: "x"}), `match.path: prefix: "x"`},
		"path kind":       {"unknown", match(ir.Match{PathKind: "glob", Path: "/"}), `"glob"`},
		"segments":        {"no path", match(ir.Match{PathKind: ir.PathSegments, Path: "/a?b"}), "match.path: segments"},
		"regex":           {"no expression", match(ir.Match{PathKind: ir.PathRegex, Path: "/("}), "match.path: regex"},
		"empty regex":     {"no expression", match(ir.Match{PathKind: ir.PathRegex}), "match.path: regex"},
		"large regex":     {"Envoy has no memory for it", match(ir.Match{PathKind: ir.PathRegex, Path: `/(\pL{100}){9}`}), "too large"},
		"header regex":    {"no expression", value(ir.ValueMatch{Name: "X", Kind: ir.ValueRegex, Value: "("}), `match.headers "X": regex`},
		"header name":     {"no name", value(ir.ValueMatch{Kind: ir.ValuePresent}), "Name"},
		"header kind":     {"unknown", value(ir.ValueMatch{Name: "X", Kind: "like", Value: "x"}), `"like"`},
		"empty prefix":    {"fits everything", value(ir.ValueMatch{Name: "X", Kind: ir.ValuePrefix}), `match.headers "X": prefix`},
		"inverted query":  {"Envoy has none", match(ir.Match{PathKind: ir.PathPrefix, Path: "/", Query: []ir.ValueMatch{{Name: "q", Kind: ir.ValuePresent, Invert: true}}}), `match.query "q": invert`},
		"set host":        {"Envoy would refuse all routes", set("Host", "x"), `requestHeaders.set: header: "Host"`},
		"remove host":     {"Envoy would refuse all routes", headers(ir.HeaderPolicy{Remove: []string{"host"}}), `requestHeaders.remove: header: "host"`},
		"pseudo header":   {"Envoy would refuse all routes", set(":path", "x"), `header: ":path"`},
		"header value":    {"two headers in one", set("X", "a\r\nb"), "line break"},
		"per cent":        {"no command", set("X", "100%"), "per cent sign"},
		"command":         {"unknown", set("X", "%ENVIRONMENT(KEY)%"), "is unknown"},
		"REQ alone":       {"it needs a name", set("X", "%REQ%"), "needs the name"},
		"argument":        {"it takes none", set("X", "%PROTOCOL(x)%"), "takes no argument"},
		"no backends":     {"nowhere to go", forward(ir.Forward{Backends: []ir.Backend{}}), "forward.backends"},
		"nil upstream":    {"nowhere to go", forward(ir.Forward{Backends: []ir.Backend{{}}}), "no upstream"},
		"weights":         {"more than Envoy adds up", forward(ir.Forward{Backends: []ir.Backend{{Upstream: u, Weight: 1 << 31}, {Upstream: u, Weight: 1 << 31}}}), "sum of the weights"},
		"mixed hosts":     {"Envoy cannot say it", forward(ir.Forward{HostFromHeader: "X", Backends: []ir.Backend{{Upstream: u, HostRewrite: "h"}, {Upstream: u}}}), "hostRewrite"},
		"two hosts":       {"one too many", forward(ir.Forward{HostFromHeader: "X", HostRewrite: "h"}), "hostRewrite"},
		"share":           {"more than all", forward(ir.Forward{Mirrors: []ir.Mirror{{Upstream: u, Numerator: 2, Denominator: 1}}}), "forward.mirrors: fraction"},
		"no share":        {"of nothing", forward(ir.Forward{Mirrors: []ir.Mirror{{Upstream: u}}}), "forward.mirrors: fraction"},
		"hash":            {"of nothing", forward(ir.Forward{Hash: []ir.HashPolicy{{}}}), "forward.hash"},
		"timeout":         {"negative", forward(ir.Forward{Timeout: new(-time.Second)}), "forward.timeout"},
		"idle timeout":    {"negative", forward(ir.Forward{IdleTimeout: new(-time.Second)}), "forward.idleTimeout"},
		"try timeout":     {"negative", forward(ir.Forward{Retry: &ir.Retry{PerTryTimeout: -time.Second}}), "forward.retry"},
		"cookie":          {"negative", forward(ir.Forward{Hash: []ir.HashPolicy{{Cookie: "c", CookieTTL: -time.Second}}}), "forward.hash"},
		"nobody to ask":   {"all would go on", func(r *ir.Route) { r.Auth = &ir.ExternalAuth{} }, "auth: upstream"},
		"header to send":  {"no name", func(r *ir.Route) { r.Auth = &ir.ExternalAuth{Upstream: u, RequestHeaders: []string{"a b"}} }, "auth: requestHeaders"},
		"header to copy":  {"no name", func(r *ir.Route) { r.Auth = &ir.ExternalAuth{Upstream: u, HTTP: &ir.HTTPAuth{Copied: []string{""}}} }, "auth: copied"},
		"prefix of paths": {"no path", func(r *ir.Route) { r.Auth = &ir.ExternalAuth{Upstream: u, HTTP: &ir.HTTPAuth{PathPrefix: "x"}} }, "auth: pathPrefix"},
		"session of none": {"neither cookie nor header", forward(ir.Forward{Session: &ir.Session{}}), "forward.session: header"},
		"session cookie":  {"no name", forward(ir.Forward{Session: &ir.Session{Cookie: &ir.SessionCookie{Name: "a;b"}}}), "forward.session: cookie: name"},
		"session path":    {"two attributes", forward(ir.Forward{Session: &ir.Session{Cookie: &ir.SessionCookie{Name: "a", Path: "/;b"}}}), "forward.session: cookie: path"},
		"session life":    {"negative", forward(ir.Forward{Session: &ir.Session{Cookie: &ir.SessionCookie{Name: "a", Lifetime: -time.Second}}}), "forward.session: cookie: lifetime"},
		"rewrite of regex": {"no prefix", func(r *ir.Route) {
			r.Match = ir.Match{PathKind: ir.PathRegex, Path: "/x"}
			rewrite(ir.PathRewrite{HasPrefix: true, Prefix: "/"})(r)
		}, "forward.rewrite: prefix"},
		"rewrite to query":  {"no path", rewrite(ir.PathRewrite{HasPrefix: true, Prefix: "/x?y"}), "forward.rewrite: prefix"},
		"rewrite to word":   {"no path", rewrite(ir.PathRewrite{HasPrefix: true, Prefix: "x"}), "forward.rewrite: prefix"},
		"full rewrite":      {"no path", rewrite(ir.PathRewrite{Full: "x"}), "forward.rewrite: full"},
		"rewrite regex":     {"no expression", rewrite(ir.PathRewrite{Regex: "("}), "forward.rewrite: regex"},
		"substitution":      {"no such group", rewrite(ir.PathRewrite{Regex: "(a)", Substitution: `\2`}), "substitution"},
		"substitution tail": {"nothing follows", rewrite(ir.PathRewrite{Regex: "(a)", Substitution: `x\`}), "substitution"},
		"redirect code":     {"no redirection", func(r *ir.Route) { r.Forward, r.Redirect = nil, &ir.Redirect{StatusCode: 200} }, "redirect: statusCode"},
		"redirect port":     {"no port", func(r *ir.Route) { r.Forward, r.Redirect = nil, &ir.Redirect{StatusCode: 301, Port: 70000} }, "redirect: port"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := ir.Route{Name: "the-route", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"}, Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u}}}}
			tc.spoil(&r)
			got, err := envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "h.test", Routes: []ir.Route{r}})
			checkRefused(t, tc.reason, got, err, "http|h.test", `route "the-route"`, tc.want)
			wild, err := envoy.FallbackScope("http", false, []*ir.VirtualHost{{Listener: "http", Host: "*.h.test", Routes: []ir.Route{r}}})
			checkRefused(t, tc.reason+", wildcard", wild, err, "http|~")
		})
	}
}

func TestNamesRefused(t *testing.T) {
	scope := func(listener, host string) (*envoy.Resource, error) {
		return envoy.Scope(&ir.VirtualHost{Listener: listener, Host: host})
	}
	fallback := func(listener string, hosts ...string) (*envoy.Resource, error) {
		var vhs []*ir.VirtualHost
		for _, h := range hosts {
			vhs = append(vhs, &ir.VirtualHost{Listener: "http", Host: h})
		}
		return envoy.FallbackScope(listener, false, vhs)
	}
	listener := func(l ir.Listener, chains ...envoy.Chain) (*envoy.Resource, error) {
		return envoy.Listener(&l, chains)
	}
	good := *loopback("https", true)
	own := *envoy.TCPChain(&ir.TCPRoute{Host: "a.test"})
	cases := map[string]struct {
		reason string
		got    func() (*envoy.Resource, error)
		want   string
	}{
		"wildcard scope":   {"it would be taken literally", func() (*envoy.Resource, error) { return scope("http", "*.a.test") }, "wildcard"},
		"upper case":       {"no key would fit", func() (*envoy.Resource, error) { return scope("http", "A.test") }, `"A.test"`},
		"port":             {"no key would fit", func() (*envoy.Resource, error) { return scope("http", "a.test:80") }, `"a.test:80"`},
		"separator":        {"another key", func() (*envoy.Resource, error) { return scope("http", "a|b") }, `"a|b"`},
		"fallback host":    {"the fallback's key", func() (*envoy.Resource, error) { return scope("http", "~") }, `"~"`},
		"misdirected host": {"the misdirected scope's key", func() (*envoy.Resource, error) { return scope("http", "!") }, `"!"`},
		"no host":          {"empty", func() (*envoy.Resource, error) { return scope("http", "") }, "host"},
		"listener bar":     {"another key", func() (*envoy.Resource, error) { return scope("a|b", "a.test") }, `"a|b"`},
		"listener colon":   {"the key would be cut off", func() (*envoy.Resource, error) { return envoy.MisdirectedScope("a:b") }, `"a:b"`},
		"listener percent": {"a command in the key", func() (*envoy.Resource, error) { return listener(ir.Listener{Name: "a%b", Address: "::"}) }, `"a%b"`},
		"exact fallback":   {"it has a scope", func() (*envoy.Resource, error) { return fallback("http", "a.test") }, `"a.test"`},
		"twice":            {"Envoy refuses it", func() (*envoy.Resource, error) { return fallback("http", "*.a.test", "*.a.test") }, "twice"},
		"other listener":   {"it would be served here", func() (*envoy.Resource, error) { return fallback("other", "*.a.test") }, `"http"`},
		"inner asterisk":   {"no wildcard", func() (*envoy.Resource, error) { return fallback("http", "*.*.test") }, `"*.*.test"`},
		"address":          {"no IP address", func() (*envoy.Resource, error) { return listener(ir.Listener{Name: "http", Address: "localhost"}) }, `"localhost"`},
		"port number": {"no port", func() (*envoy.Resource, error) {
			return listener(ir.Listener{Name: "http", Address: "::", Port: 70000})
		}, "Port"},
		"plain chain": {"there is no SNI", func() (*envoy.Resource, error) { return listener(*loopback("http", false), own) }, `"a.test"`},
		"two chains":  {"Envoy refuses the listener", func() (*envoy.Resource, error) { return listener(good, own, own) }, "two chains"},
		"empty chain": {"made by hand", func() (*envoy.Resource, error) { return listener(good, envoy.Chain{}) }, "host"},
		"chain profile": {"no versions", func() (*envoy.Resource, error) {
			return listener(good, *envoy.HTTPChain(&ir.HostCertificate{Host: "a.test"}))
		}, "version"},
		"TCP idle": {"negative", func() (*envoy.Resource, error) {
			return listener(good, *envoy.TCPChain(&ir.TCPRoute{
				Host: "a.test", IdleTimeout: -time.Second, Backends: []ir.Backend{{Upstream: upstreamOf(func(*ir.Upstream) {})}},
			}))
		}, "idleTimeout"},
		"no CA":      {"nothing would be verified", func() (*envoy.Resource, error) { return envoy.TrustSecret("t", nil) }, "no certificate"},
		"no key":     {"no certificate", func() (*envoy.Resource, error) { return envoy.CertificateSecret("c", &ir.KeyPair{Chain: []byte("x")}) }, "key"},
		"endpoint":   {"no IP address", func() (*envoy.Resource, error) { return assignment("b.test", 80) }, `"b.test"`},
		"no port":    {"nothing to connect to", func() (*envoy.Resource, error) { return assignment("127.0.0.1", 0) }, "port is 0"},
		"large port": {"no port", func() (*envoy.Resource, error) { return assignment("127.0.0.1", 70000) }, "Port"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := tc.got()
			checkRefused(t, tc.reason, r, err, tc.want)
		})
	}
}

func assignment(address string, port uint32) (*envoy.Resource, error) {
	return envoy.LoadAssignment(&ir.LoadAssignment{
		Service: service("s"), Endpoints: []ir.Endpoint{{Address: address, Port: port}},
	})
}
