package envoy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// world is a set of backends with the resources that reach them.
type world struct {
	t  *testing.T
	rs []*envoy.Resource
	// upstreams by the name of the backend.
	upstreams map[string]*ir.Upstream
	backends  map[string]*backend.Backend
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t: t, upstreams: map[string]*ir.Upstream{}, backends: map[string]*backend.Backend{}}
	for _, n := range names {
		b, err := backend.Start(backend.Config{Name: n})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		w.backends[n] = b
		w.upstream(n, b, &ir.Upstream{Protocol: ir.HTTP1})
	}
	return w
}

func service(name string) ir.ServicePort {
	return ir.ServicePort{Name: ir.Name{Namespace: "ns", Name: name}, Port: 80}
}

func (w *world) upstream(name string, b *backend.Backend, u *ir.Upstream) {
	w.t.Helper()
	u.Service = service(name)
	w.upstreams[name] = u
	ok := must(w.t)
	w.rs = append(w.rs, ok(envoy.Cluster(u)), ok(envoy.LoadAssignment(&ir.LoadAssignment{
		Service: u.Service, HealthPort: u.HealthPort,
		Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: uint32(b.Port()), Zone: "a"}},
	})))
}

func (w *world) to(names ...string) []ir.Backend {
	out := make([]ir.Backend, len(names))
	for i, n := range names {
		out[i] = ir.Backend{Upstream: w.upstreams[n], Weight: 1}
	}
	return out
}

func prefix(p string) ir.Match   { return ir.Match{PathKind: ir.PathPrefix, Path: p} }
func segments(p string) ir.Match { return ir.Match{PathKind: ir.PathSegments, Path: p} }
func exact(p string) ir.Match    { return ir.Match{PathKind: ir.PathExact, Path: p} }

func (w *world) rewrite(m ir.Match, to string) ir.Route {
	return ir.Route{Match: m, Forward: &ir.Forward{Backends: w.to("a"), Rewrite: &ir.PathRewrite{HasPrefix: true, Prefix: to}}}
}

func redirectTo(m ir.Match, r ir.Redirect) ir.Route {
	if r.StatusCode == 0 {
		r.StatusCode = 302
	}
	return ir.Route{Match: m, Redirect: &r}
}

// seen is what a backend or a client got, as far as a case speaks of it.
type seen struct {
	Code     int
	Location string
	Backend  string
	Host     string
	Path     string
	// Header and Answer are the request's and the response's fields that the case names.
	Header, Answer map[string][]string
}

// asSent is the host that a case's request has.
const asSent = "as sent"

type routeCase struct {
	reason string
	routes []ir.Route
	host   string
	path   string
	header http.Header
	method string
	// look are the request header fields to compare, and answer the response's.
	look, answer []string
	want         seen
}

func TestRoutes(t *testing.T) {
	w := newWorld(t, "a", "b")
	cases := rewriteCases(w)
	for _, more := range []map[string]routeCase{redirectCases(), headerCases(w), matchCases(w), hostCases(w)} {
		for name, tc := range more {
			if _, twice := cases[name]; twice {
				t.Fatalf("two cases are called %q", name)
			}
			cases[name] = tc
		}
	}
	ok := must(t)
	w.rs = append(w.rs, ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.FallbackScope("http", false, nil)))
	hosts := map[string]string{}
	for name, tc := range cases {
		hosts[name] = fmt.Sprintf("h%d.test", len(hosts))
		vh := &ir.VirtualHost{Listener: "http", Host: hosts[name], Routes: tc.routes}
		for i := range vh.Routes {
			vh.Routes[i].Name = fmt.Sprintf("r%d", i)
		}
		w.rs = append(w.rs, ok(envoy.Scope(vh)))
	}
	p := runEnvoy(t, w.rs...)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := p.see(t, tc, hosts[name])
			switch tc.want.Host {
			case "":
				got.Host = ""
			case asSent:
				tc.want.Host = hosts[name]
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func (p *proxy) see(t *testing.T, tc routeCase, host string) seen {
	t.Helper()
	res, err := p.do(t.Context(), "http", request{host: host + tc.host, path: tc.path, headers: tc.header, method: tc.method}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out := seen{Code: res.StatusCode, Location: res.Header.Get("Location")}
	for _, h := range tc.answer {
		if v := res.Header.Values(h); len(v) != 0 {
			out.Answer = with(out.Answer, h, v)
		}
	}
	if res.Header.Get("Content-Type") != "application/json" {
		return out
	}
	var r backend.Request
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	out.Backend, out.Host, out.Path = r.Backend, r.Host, r.Path
	for _, h := range append(tc.look, "X-Signet-Scope") {
		if v := r.Header.Values(h); len(v) != 0 {
			out.Header = with(out.Header, h, v)
		}
	}
	return out
}

func with(m map[string][]string, k string, v []string) map[string][]string {
	if m == nil {
		m = map[string][]string{}
	}
	m[k] = v
	return m
}

func reached(path string) seen  { return seen{Code: 200, Backend: "a", Path: path} }
func located(where string) seen { return seen{Code: 302, Location: where} }

func rewriteCases(w *world) map[string]routeCase {
	foo := []ir.Route{w.rewrite(prefix("/foo"), "/bar")}
	fooSlash := []ir.Route{w.rewrite(prefix("/foo"), "/bar/")}
	fooRoot := []ir.Route{w.rewrite(prefix("/foo"), "/")}
	fooNone := []ir.Route{w.rewrite(segments("/foo"), "")}
	full := []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{Backends: w.to("a"), Rewrite: &ir.PathRewrite{Full: `/all\1`}}}}
	regex := []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{
		Backends: w.to("a"), Rewrite: &ir.PathRewrite{Regex: "^/v([0-9])/(.*)$", Substitution: `/\2/\1`},
	}}}
	return map[string]routeCase{
		"prefix alone":         {reason: "the prefix is replaced", routes: foo, path: "/foo", want: reached("/bar")},
		"prefix and more":      {reason: "the rest stays", routes: foo, path: "/foo/x?q=1", want: reached("/bar/x?q=1")},
		"prefix of a word":     {reason: "a prefix is of characters", routes: foo, path: "/foosball", want: reached("/barsball")},
		"slash behind":         {reason: "one slash where the parts meet", routes: fooSlash, path: "/foo/x", want: reached("/bar/x")},
		"slash behind, alone":  {reason: "no slash is added", routes: fooSlash, path: "/foo", want: reached("/bar")},
		"to the root":          {reason: "one slash where the parts meet", routes: fooRoot, path: "/foo/x", want: reached("/x")},
		"to the root, alone":   {reason: "a path is never empty", routes: fooRoot, path: "/foo?q=1", want: reached("/?q=1")},
		"to the root, word":    {reason: "a prefix is of characters", routes: fooRoot, path: "/foosball", want: reached("/sball")},
		"segments to nothing":  {reason: "one slash where the parts meet", routes: fooNone, path: "/foo/x", want: reached("/x")},
		"segments, alone":      {reason: "a path is never empty", routes: fooNone, path: "/foo", want: reached("/")},
		"segments, slash":      {reason: "a path is never empty", routes: fooNone, path: "/foo/", want: reached("/")},
		"segments, word":       {reason: "another segment", routes: fooNone, path: "/foosball", want: seen{Code: 404}},
		"segments to segments": {reason: "the prefix is replaced", routes: []ir.Route{w.rewrite(segments("/foo/"), "/bar/")}, path: "/foo/x", want: reached("/bar/x")},
		"root of characters":   {reason: "as written", routes: []ir.Route{w.rewrite(prefix("/"), "/b")}, path: "/x", want: reached("/bx")},
		"root with a slash":    {reason: "as written", routes: []ir.Route{w.rewrite(prefix("/"), "/b/")}, path: "/x", want: reached("/b/x")},
		"root of segments":     {reason: "one slash where the parts meet", routes: []ir.Route{w.rewrite(segments("/"), "/b")}, path: "/x", want: reached("/b/x")},
		"match with slash":     {reason: "one slash where the parts meet", routes: []ir.Route{w.rewrite(prefix("/foo/"), "/bar")}, path: "/foo/x", want: reached("/bar/x")},
		"exact":                {reason: "all of the path is the prefix", routes: []ir.Route{w.rewrite(exact("/foo"), "/bar/")}, path: "/foo", want: reached("/bar/")},
		"full":                 {reason: "the query stays, and no group is meant", routes: full, path: "/x/y?q=1", want: reached(`/all%5C1?q=1`)},
		"regex":                {reason: "groups are filled in", routes: regex, path: "/v2/x/y", want: reached("/x/y/2")},
		"regex without match":  {reason: "the path stays", routes: regex, path: "/w2/x/y", want: reached("/w2/x/y")},
	}
}

func redirectCases() map[string]routeCase {
	to := func(prefix string) ir.Redirect { return ir.Redirect{Host: "new.test", HasPrefix: true, Prefix: prefix} }
	return map[string]routeCase{
		"redirect prefix":      {reason: "the rest stays", routes: []ir.Route{redirectTo(prefix("/foo"), to("/bar"))}, path: "/foo/x?q=1", want: located("http://new.test/bar/x?q=1")},
		"redirect to the root": {reason: "two slashes would name a host", routes: []ir.Route{redirectTo(prefix("/foo"), to("/"))}, path: "/foo/x", want: located("http://new.test/x")},
		"redirect the root":    {reason: "one slash where the parts meet", routes: []ir.Route{redirectTo(prefix("/"), to("/b"))}, path: "/x", want: located("http://new.test/b/x")},
		"redirect path":        {reason: "the whole path", routes: []ir.Route{redirectTo(prefix("/"), ir.Redirect{Host: "new.test", Path: "/p"})}, path: "/x?q=1", want: located("http://new.test/p?q=1")},
		"redirect scheme": {
			reason: "scheme, port and code", routes: []ir.Route{redirectTo(prefix("/"), ir.Redirect{Scheme: "https", Host: "new.test", Port: 8443, StatusCode: 308})},
			path: "/x", want: seen{Code: 308, Location: "https://new.test:8443/x"},
		},
		"redirect https": {
			reason: "the plain redirect of a TLS host", routes: []ir.Route{redirectTo(prefix("/"), ir.Redirect{Host: "new.test", HTTPS: true, StatusCode: 301})},
			path: "/x", want: seen{Code: 301, Location: "https://new.test/x"},
		},
	}
}

func headerCases(w *world) map[string]routeCase {
	policy := func(name, value string) ir.HeaderPolicy {
		return ir.HeaderPolicy{Set: []ir.Header{{Name: name, Value: value}}}
	}
	backendPolicy := w.to("a")
	backendPolicy[0].RequestHeaders = policy("X-Who", "service")
	backendPolicy[0].ResponseHeaders = ir.HeaderPolicy{Add: []ir.Header{{Name: "X-Answer", Value: "service"}}}
	both := ir.Route{Match: prefix("/"), Forward: &ir.Forward{Backends: backendPolicy}, RequestHeaders: policy("X-Who", "route")}
	one := both
	one.RequestHeaders = ir.HeaderPolicy{}
	return map[string]routeCase{
		"set": {
			reason: "replaces what the client sent", routes: []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{Backends: w.to("a")}, RequestHeaders: policy("X-Who", "route 100%%")}},
			path: "/", header: http.Header{"X-Who": {"client"}}, look: []string{"X-Who"},
			want: seen{Code: 200, Backend: "a", Path: "/", Header: map[string][]string{"X-Who": {"route 100%"}}},
		},
		"add": {
			reason: "keeps what the client sent",
			routes: []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{Backends: w.to("a")}, RequestHeaders: ir.HeaderPolicy{Add: []ir.Header{{Name: "X-Who", Value: "%REQ(X-From)%"}}}}},
			path:   "/", header: http.Header{"X-Who": {"client"}, "X-From": {"route"}}, look: []string{"X-Who"},
			want: seen{Code: 200, Backend: "a", Path: "/", Header: map[string][]string{"X-Who": {"client", "route"}}},
		},
		"alternative header": {
			reason: "the value of the first header that is there",
			routes: []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{Backends: w.to("a")}, RequestHeaders: policy("X-Who", "%REQ(X-None?X-From)%|%REQ(X-From?X-None):2%|%REQ(X-None?:PATH)%")}},
			path:   "/p", header: http.Header{"X-From": {"route"}}, look: []string{"X-Who"},
			want: seen{Code: 200, Backend: "a", Path: "/p", Header: map[string][]string{"X-Who": {"route|ro|/p"}}},
		},
		"set to nothing": {
			reason: "an empty value is a value", routes: []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{Backends: w.to("a")}, RequestHeaders: policy("X-Who", "")}},
			path: "/", header: http.Header{"X-Who": {"client"}}, look: []string{"X-Who"},
			want: seen{Code: 200, Backend: "a", Path: "/", Header: map[string][]string{"X-Who": {""}}},
		},
		"remove": {
			reason: "of request and response",
			routes: []ir.Route{{Match: prefix("/"), Forward: &ir.Forward{Backends: w.to("a")}, RequestHeaders: ir.HeaderPolicy{Remove: []string{"X-Who"}}, ResponseHeaders: ir.HeaderPolicy{Remove: []string{"Server"}}}},
			path:   "/", header: http.Header{"X-Who": {"client"}}, look: []string{"X-Who"}, answer: []string{"Server"},
			want: seen{Code: 200, Backend: "a", Path: "/", Answer: map[string][]string{"Server": {"envoy"}}},
		},
		"service": {
			reason: "a backend's own policy", routes: []ir.Route{one}, path: "/", look: []string{"X-Who"}, answer: []string{"X-Answer"},
			want: seen{Code: 200, Backend: "a", Path: "/", Header: map[string][]string{"X-Who": {"service"}}, Answer: map[string][]string{"X-Answer": {"service"}}},
		},
		"route over service": {
			reason: "the route's word is the last", routes: []ir.Route{both}, path: "/", look: []string{"X-Who"},
			want: seen{Code: 200, Backend: "a", Path: "/", Header: map[string][]string{"X-Who": {"route"}}},
		},
		"direct response": {
			reason: "answered by Envoy", routes: []ir.Route{{Match: prefix("/"), Response: &ir.DirectResponse{StatusCode: 503, Body: string(make([]byte, 5000))}}},
			path: "/", want: seen{Code: 503},
		},
	}
}

func matchCases(w *world) map[string]routeCase {
	forward := &ir.Forward{Backends: w.to("a")}
	header := func(m ir.ValueMatch) []ir.Route {
		m.Name = "X-H"
		return []ir.Route{{Match: ir.Match{PathKind: ir.PathPrefix, Path: "/", Headers: []ir.ValueMatch{m}}, Forward: forward}}
	}
	query := []ir.Route{{
		Match:   ir.Match{PathKind: ir.PathPrefix, Path: "/", Query: []ir.ValueMatch{{Name: "q", Kind: ir.ValuePrefix, Value: "Ab", IgnoreCase: true}}},
		Forward: forward,
	}}
	not := header(ir.ValueMatch{Kind: ir.ValueExact, Value: "x", Invert: true})
	notMissing := header(ir.ValueMatch{Kind: ir.ValueExact, Value: "x", Invert: true, MissingMatches: true})
	regex := header(ir.ValueMatch{Kind: ir.ValueRegex, Value: "a|b+", IgnoreCase: true})
	absent := header(ir.ValueMatch{Kind: ir.ValuePresent, Invert: true})
	path := []ir.Route{{Match: ir.Match{PathKind: ir.PathRegex, Path: "/v[0-9]+/.*"}, Forward: forward}}
	method := []ir.Route{{Match: ir.Match{PathKind: ir.PathPrefix, Path: "/", Method: "PUT"}, Forward: forward}}
	x := http.Header{"X-H": {"x"}}
	return map[string]routeCase{
		"regex path":          {reason: "fits", routes: path, path: "/v12/x", want: reached("/v12/x")},
		"regex path, whole":   {reason: "the whole path must fit", routes: path, path: "/a/v12/x", want: seen{Code: 404}},
		"segments match":      {reason: "whole segments", routes: []ir.Route{{Match: segments("/foo"), Forward: forward}}, path: "/foobar", want: seen{Code: 404}},
		"method":              {reason: "fits", routes: method, path: "/", method: "PUT", want: reached("/")},
		"other method":        {reason: "does not fit", routes: method, path: "/", want: seen{Code: 404}},
		"not equal":           {reason: "another value", routes: not, path: "/", header: http.Header{"X-H": {"y"}}, want: reached("/")},
		"not equal, equal":    {reason: "the value", routes: not, path: "/", header: x, want: seen{Code: 404}},
		"not equal, missing":  {reason: "a missing header fails", routes: not, path: "/", want: seen{Code: 404}},
		"not equal or there":  {reason: "a missing header fits", routes: notMissing, path: "/", want: reached("/")},
		"not present":         {reason: "missing", routes: absent, path: "/", want: reached("/")},
		"not present, there":  {reason: "there", routes: absent, path: "/", header: x, want: seen{Code: 404}},
		"regex value":         {reason: "case ignored", routes: regex, path: "/", header: http.Header{"X-H": {"BBB"}}, want: reached("/")},
		"regex value, beyond": {reason: "the whole value must fit", routes: regex, path: "/", header: http.Header{"X-H": {"ac"}}, want: seen{Code: 404}},
		"query":               {reason: "case ignored", routes: query, path: "/?q=aBc", want: reached("/?q=aBc")},
		"query, other":        {reason: "does not fit", routes: query, path: "/?q=cab", want: seen{Code: 404}},
	}
}

func hostCases(w *world) map[string]routeCase {
	own := w.to("a", "b")
	own[0].HostRewrite, own[1].Weight = "service.test", 0
	// Of two weights all but one in billions of the requests go to the larger.
	mixed := func(a, b uint32) []ir.Backend {
		out := w.to("a", "b")
		out[0].HostRewrite, out[0].Weight, out[1].Weight = "service.test", a, b
		return out
	}
	host := func(f ir.Forward) []ir.Route { return []ir.Route{{Match: prefix("/"), Forward: &f}} }
	at := func(h string) seen { return seen{Code: 200, Backend: "a", Host: h, Path: "/"} }
	return map[string]routeCase{
		"host of the route":   {reason: "a literal", routes: host(ir.Forward{Backends: w.to("a"), HostRewrite: "route.test"}), path: "/", want: at("route.test")},
		"host of the service": {reason: "a literal", routes: host(ir.Forward{Backends: own}), path: "/", want: at("service.test")},
		"service over route":  {reason: "the backend's own wins", routes: host(ir.Forward{Backends: own, HostRewrite: "route.test"}), path: "/", want: at("service.test")},
		"one service's host": {
			reason: "the others' stays as it was sent", routes: host(ir.Forward{Backends: mixed(1, 1<<31)}), path: "/",
			want: seen{Code: 200, Backend: "b", Host: asSent, Path: "/"},
		},
		"host of one service": {
			reason: "the others have none", routes: host(ir.Forward{Backends: mixed(1<<31, 1)}), path: "/", want: at("service.test"),
		},
		"host from a header": {
			reason: "its value", routes: host(ir.Forward{Backends: w.to("a"), HostFromHeader: "X-Host"}), path: "/",
			header: http.Header{"X-Host": {"header.test"}}, want: at("header.test"),
		},
		"timeout": {
			reason: "another cluster is not asked", routes: host(ir.Forward{Backends: w.to("a"), Timeout: new(time.Duration), IdleTimeout: new(time.Duration)}),
			path: "/", want: reached("/"),
		},
	}
}

// upgrade opens a websocket as far as the answer to the handshake.
func (p *proxy) upgrade(t *testing.T, host string) int {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+p.ports["http"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return res.StatusCode
	}
	if _, err := io.WriteString(c, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); err != nil || line != "ping\n" {
		t.Fatalf("the echo is %q: %v", line, err)
	}
	return res.StatusCode
}

// echo is a backend that takes every upgrade and sends back what it gets.
func echo(t *testing.T) int {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: deadline, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, rw) // ends with the connection
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(lis) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
	return lis.Addr().(*net.TCPAddr).Port
}

func TestWebsockets(t *testing.T) {
	port := uint32(echo(t))
	u := &ir.Upstream{Service: service("echo"), Protocol: ir.HTTP1}
	host := func(name string, on bool) *ir.VirtualHost {
		return &ir.VirtualHost{Listener: "http", Host: name, Routes: []ir.Route{{
			Name: "r", Match: prefix("/"), Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u}}, Websockets: on},
		}}}
	}
	ok := must(t)
	p := runEnvoy(t,
		ok(envoy.Cluster(u)), ok(envoy.LoadAssignment(&ir.LoadAssignment{
			Service: u.Service, Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: port}},
		})),
		ok(envoy.Listener(loopback("http", false), nil)),
		ok(envoy.Scope(host("on.test", true))), ok(envoy.Scope(host("off.test", false))),
		ok(envoy.FallbackScope("http", false, []*ir.VirtualHost{host("*.on.test", true), host("*.off.test", false)})))
	cases := map[string]struct {
		reason, host string
		want         int
	}{
		"on":             {"the route takes websockets", "on.test", 101},
		"off":            {"the route takes none", "off.test", 403},
		"upper case on":  {"hosts have no case", "ON.test", 101},
		"upper case off": {"hosts have no case", "OFF.test", 403},
		"wildcard on":    {"a wildcard host is a host", "a.on.test", 101},
		"wildcard off":   {"a wildcard host is a host", "a.off.test", 403},
		"unknown":        {"nothing claims it", "unknown.test", 404},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := p.upgrade(t, tc.host); got != tc.want {
				t.Errorf("%s: the answer is %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}
