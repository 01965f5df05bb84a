package envoy_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// dice turns bytes into values: each byte decides one thing, and what is left
// over is text.
type dice struct{ b []byte }

func (d *dice) roll(n int) int {
	if len(d.b) == 0 {
		return 0
	}
	v := int(d.b[0]) % n
	d.b = d.b[1:]
	return v
}

func (d *dice) flip() bool { return d.roll(2) == 1 }

// text is mostly a word that is right somewhere and wrong elsewhere, and
// sometimes raw bytes.
func (d *dice) text(words ...string) string {
	words = append(words, "", "x", "a.test", "/", "/foo", "/foo/", "X-Header", "100%%", "%REQ(X)%")
	if n := d.roll(len(words) + 2); n < len(words) {
		return words[n]
	}
	n := min(d.roll(24), len(d.b))
	out := string(d.b[:n])
	d.b = d.b[n:]
	return out
}

func (d *dice) duration() time.Duration {
	return []time.Duration{0, time.Nanosecond, time.Second, time.Hour, -time.Second, 1<<63 - 1}[d.roll(6)]
}

func (d *dice) maybe() *time.Duration {
	if d.flip() {
		return nil
	}
	return new(d.duration())
}

func many[T any](d *dice, limit int, one func() T) []T {
	var out []T
	for range d.roll(limit) {
		out = append(out, one())
	}
	return out
}

func (d *dice) upstream() *ir.Upstream {
	u := &ir.Upstream{
		Service:      service("s"),
		Protocol:     []ir.Protocol{ir.HTTP1, ir.HTTP2, ir.TCP, ir.UDP}[d.roll(4)],
		LoadBalancer: ir.LoadBalancer{Policy: []ir.LoadBalancerPolicy{"", ir.Random, ir.LeastRequest, ir.RingHash}[d.roll(4)]},
		IdleTimeout:  d.maybe(), ConnectTimeout: d.duration(),
	}
	if d.flip() {
		u.ExternalName = "127.0.0.1" // a name would be looked up
	}
	if d.flip() {
		u.TLS = &ir.UpstreamTLS{SNI: d.text("b.test"), Profile: modern, ALPN: many(d, 3, func() string { return d.text("h2") })}
	}
	if u.TLS != nil && d.flip() {
		u.TLS.Verify = &ir.Verify{Trust: []ir.TrustRef{trust("ca")}, Names: many(d, 3, func() ir.SubjectName {
			return ir.SubjectName{Kind: []ir.NameKind{ir.DNSName, ir.IPName, ir.URIName}[d.roll(3)], Value: d.text("b.test", "10.0.0.1")}
		})}
	}
	if d.flip() {
		u.HealthCheck = &ir.HealthCheck{Interval: d.duration(), Timeout: d.duration(), Healthy: uint32(d.roll(3))}
		if d.flip() {
			u.HealthCheck.HTTP = &ir.HTTPHealthCheck{Path: d.text("/healthz"), Host: d.text(), Expected: many(d, 2, func() ir.StatusRange {
				return ir.StatusRange{Start: int64(d.roll(7) * 100), End: int64(d.roll(7) * 100)}
			})}
		}
	}
	if d.flip() {
		u.SlowStart = &ir.SlowStart{Window: d.duration(), Aggression: float64(d.roll(3)) - 0.5, MinWeight: uint32(d.roll(200))}
	}
	if d.flip() {
		u.CircuitBreakers = ir.CircuitBreakers{MaxRequests: uint32(d.roll(3)), PerHostMaxConnections: uint32(d.roll(3))}
	}
	return u
}

func (d *dice) header() ir.Header {
	return ir.Header{Name: d.text("Host", ":path", "x-signet-scope"), Value: d.text("%PROTOCOL%", "%START_TIME(%s)%", "a\nb", "%")}
}

func (d *dice) headers() ir.HeaderPolicy {
	return ir.HeaderPolicy{
		Set: many(d, 3, d.header), Add: many(d, 3, d.header), Remove: many(d, 3, func() string { return d.header().Name }),
	}
}

func (d *dice) value() ir.ValueMatch {
	kinds := []ir.ValueKind{ir.ValuePresent, ir.ValueExact, ir.ValuePrefix, ir.ValueSuffix, ir.ValueContains, ir.ValueRegex, "like"}
	return ir.ValueMatch{
		Name: d.text(":authority", "q"), Kind: kinds[d.roll(7)], Value: d.text("a+", "(", `\C`, "(?P<n>a)", "a{1001}"),
		IgnoreCase: d.flip(), Invert: d.flip(), MissingMatches: d.flip(),
	}
}

func (d *dice) backend() ir.Backend {
	return ir.Backend{
		Upstream: d.upstream(), Weight: uint32(d.roll(3)), HostRewrite: d.text(), RequestHeaders: d.headers(), ResponseHeaders: d.headers(),
	}
}

func (d *dice) route() ir.Route {
	kinds := []ir.PathKind{ir.PathPrefix, ir.PathSegments, ir.PathExact, ir.PathRegex, "glob"}
	r := ir.Route{
		Name:            "r",
		Match:           ir.Match{PathKind: kinds[d.roll(5)], Path: d.text("/v[0-9]+", "//", "/?q", "/(?i)x", `/\pL{100}`), Method: d.text("GET")},
		RequestHeaders:  d.headers(),
		ResponseHeaders: d.headers(),
	}
	r.Match.Headers, r.Match.Query = many(d, 3, d.value), many(d, 3, d.value)
	switch d.roll(4) {
	case 0:
		r.Redirect = &ir.Redirect{
			Scheme: d.text("https"), Host: d.text("new.test"), Port: uint32(d.roll(3)) * 40000,
			StatusCode: []uint32{301, 302, 303, 307, 308, 0}[d.roll(6)], Path: d.text(), HasPrefix: d.flip(), Prefix: d.text(), HTTPS: d.flip(),
		}
	case 1:
		r.Response = &ir.DirectResponse{StatusCode: uint32(d.roll(7)) * 100, Body: d.text("body")}
	default:
		r.Forward = d.forward()
	}
	return r
}

func (d *dice) forward() *ir.Forward {
	f := &ir.Forward{
		Backends: many(d, 4, d.backend), Timeout: d.maybe(), IdleTimeout: d.maybe(),
		HostRewrite: d.text(), HostFromHeader: d.text("Host"), Websockets: d.flip(),
		Mirrors: many(d, 2, func() ir.Mirror {
			return ir.Mirror{Upstream: d.upstream(), Numerator: uint32(d.roll(4)), Denominator: uint32(d.roll(4))}
		}),
		Hash: many(d, 3, func() ir.HashPolicy {
			return ir.HashPolicy{Header: d.text(), Query: d.text(), SourceIP: d.flip(), Cookie: d.text(), CookieTTL: d.duration(), CookiePath: d.text()}
		}),
	}
	if d.flip() {
		f.Retry = &ir.Retry{On: many(d, 3, func() string { return d.text("5xx") }), Count: uint32(d.roll(3)), PerTryTimeout: d.duration(), StatusCodes: []uint32{503}}
	}
	if d.flip() {
		f.Rewrite = &ir.PathRewrite{HasPrefix: d.flip(), Prefix: d.text(), Full: d.text(), Regex: d.text("(a)"), Substitution: d.text(`\1`, `\2`, `\`)}
	}
	return f
}

// written are all the resources of one throw, as far as they are accepted.
func (d *dice) written(host string) ([]*envoy.Resource, []error) {
	var out []*envoy.Resource
	var errs []error
	keep := func(r *envoy.Resource, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		out = append(out, r)
	}
	vh := &ir.VirtualHost{Listener: "http", Host: host, TLS: d.flip(), Routes: many(d, 3, d.route)}
	keep(envoy.Scope(vh))
	keep(envoy.Cluster(d.upstream()))
	keep(envoy.LoadAssignment(&ir.LoadAssignment{Service: service("s"), Endpoints: many(d, 3, func() ir.Endpoint {
		return ir.Endpoint{Address: d.text("127.0.0.1", "::1", "fe80::1%eth0"), Port: uint32(d.roll(3)), Zone: d.text()}
	})}))
	stream := &ir.TCPRoute{
		Listener: "a/gw/" + fmt.Sprint(d.roll(3)), Host: d.text("*", "*.h.test"), Plain: d.flip(), Backends: many(d, 4, d.backend),
		Refused: uint32(d.roll(3)), IdleTimeout: d.duration(),
	}
	if d.flip() {
		stream.Termination = &ir.Termination{Profile: modern, Certificates: many(d, 2, func() ir.CertificateRef { return *client("c") })}
	}
	var log *ir.AccessLog
	if d.flip() {
		log = &ir.AccessLog{Text: "%RESPONSE_CODE%\n", Only: ir.LogFilter(d.roll(3)), MinimumStatus: 400}
	}
	if part, err := envoy.StreamPart(stream, log); err != nil {
		errs = append(errs, err)
	} else {
		l := &ir.Listener{Name: "a/gw/" + host, Address: "127.0.0.1", TLS: !stream.Plain, Chains: []ir.Chain{}}
		keep(envoy.ComposeListener(l, []*envoy.Resource{part}))
	}
	if part, err := envoy.DatagramPart(stream, log); err != nil {
		errs = append(errs, err)
	} else {
		l := &ir.Listener{Name: "a/gw/udp/" + host, Address: "127.0.0.1", UDP: true, Chains: []ir.Chain{}}
		keep(envoy.ComposeListener(l, []*envoy.Resource{part}))
	}
	return out, errs
}

func FuzzRoute(f *testing.F) {
	for i := range 20 {
		f.Add(throw(uint64(i)), "h.test")
	}
	f.Fuzz(func(t *testing.T, b []byte, host string) {
		out, errs := (&dice{b}).written(host)
		again, _ := (&dice{b}).written(host)
		for _, err := range errs {
			if !errors.Is(err, envoy.ErrRefused) {
				t.Errorf("%v is no ErrRefused", err)
			}
		}
		for i, r := range out {
			m, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			if err := m.(interface{ ValidateAll() error }).ValidateAll(); err != nil {
				t.Errorf("%s is invalid: %v", r, err)
			}
			if !bytes.Equal(r.Body, again[i].Body) {
				t.Errorf("%s has other bytes when written again", r)
			}
		}
	})
}

// throw is the same for the same seed.
func throw(seed uint64) []byte {
	src := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, 100+src.IntN(300))
	for i := range out {
		out[i] = byte(src.Uint32())
	}
	return out
}

// TestEnvoyTakesAll holds that what this package accepts Envoy accepts too.
func TestEnvoyTakesAll(t *testing.T) {
	ok := must(t)
	rs := []*envoy.Resource{ok(envoy.Listener(loopback("http", false), nil)), ok(envoy.FallbackScope("http", false, nil)), ok(assignment("127.0.0.1", 1))}
	rs = append(rs, ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "commands.test", Routes: []ir.Route{everyCommand()}})))
	accepted, refused := 0, 0
	seen := map[string]bool{}
	for seed := range uint64(3_000) {
		out, errs := (&dice{throw(seed)}).written(fmt.Sprintf("h%d.test", seed))
		refused += len(errs)
		for _, r := range out {
			if r.Type == envoy.EndpointType || r.Type == envoy.ListenerType || seen[r.Name] {
				// Envoy asks for one assignment alone, and listeners want ports.
				continue
			}
			seen[r.Name] = true
			accepted++
			rs = append(rs, r)
		}
	}
	if accepted < 500 || refused < 500 {
		t.Fatalf("%d resources are accepted and %d refused: the throws are too much alike", accepted, refused)
	}
	p := runEnvoy(t, rs...)
	if n := p.refused(); len(n) != 0 {
		t.Error(n)
	}
}

// everyCommand is a route that uses all format commands that are allowed.
func everyCommand() ir.Route {
	r := ir.Route{Name: "r", Match: prefix("/"), Response: &ir.DirectResponse{StatusCode: 200}}
	for name, argument := range envoy.FormatCommands {
		value := "%" + name + "%"
		if argument {
			value = "%" + name + "(X-From):10%"
		}
		h := ir.Header{Name: "X-" + name, Value: value}
		r.RequestHeaders.Set, r.ResponseHeaders.Add = append(r.RequestHeaders.Set, h), append(r.ResponseHeaders.Add, h)
	}
	return r
}
