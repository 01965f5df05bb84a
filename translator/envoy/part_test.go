package envoy_test

import (
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// What is put together of parts is, byte for byte, what is written whole, and
// is taken apart into the same parts.
func TestPartsMakeTheWhole(t *testing.T) {
	ok := must(t)
	u := upstreamOf(func(*ir.Upstream) {})
	forward := &ir.Forward{Backends: []ir.Backend{{Upstream: u}}, Rewrite: &ir.PathRewrite{HasPrefix: true, Prefix: "/"}}
	routes := []ir.Route{
		{Name: "two of Envoy's", Match: segments("/a"), Forward: forward},
		{Name: "large", Match: segments("/b"), Response: &ir.DirectResponse{StatusCode: 200, Body: strings.Repeat("x", 5000)}},
		{Name: "twice", Match: segments("/c"), Response: &ir.DirectResponse{StatusCode: 200}},
		{Name: "between", Match: segments("/d"), Response: &ir.DirectResponse{StatusCode: 200}},
		{Name: "twice", Match: segments("/e"), Response: &ir.DirectResponse{StatusCode: 200}},
	}
	host := func(name string, tls bool) *ir.VirtualHost {
		return &ir.VirtualHost{Listener: "https", Host: name, TLS: tls, OneLabel: true, Routes: routes}
	}
	l := loopback("https", true)
	closed := envoy.TCPChain(&ir.TCPRoute{Host: "b.test"})
	own := envoy.HTTPChain(&ir.HostCertificate{Host: "a.test", Profile: l.Profile})

	exact, first, err := envoy.RouteParts(host("a.test", true))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, first); diff != "" {
		t.Errorf("first routes of the parts: -want, +got:\n%s", diff)
	}
	open := host("c.test", false)
	open.FallThrough = true
	through, _, err := envoy.RouteParts(open)
	if err != nil {
		t.Fatal(err)
	}
	given := loopback("gateway", true)
	given.Chains = []ir.Chain{{ServerName: "*"}, {ServerName: "a.test"}}
	closedOnes, err := envoy.GivenParts(given)
	if err != nil {
		t.Fatal(err)
	}
	wild := []*envoy.Resource{ok(envoy.HostPart(host("*.a.test", true))), ok(envoy.HostPart(host("*.b.test", true)))}
	chains := []*envoy.Resource{ok(envoy.ChainPart(l, closed)), ok(envoy.ChainPart(l, own))}
	cases := map[string]struct {
		reason       string
		whole, again *envoy.Resource
		parts        []*envoy.Resource
	}{
		"exact host": {"its parts are routes", ok(envoy.Scope(host("a.test", true))), ok(envoy.ComposeScope(host("a.test", true), exact)), exact},
		"wildcards": {
			"its parts are hosts", ok(envoy.FallbackScope("https", true, []*ir.VirtualHost{host("*.a.test", true), host("*.b.test", true)})),
			ok(envoy.ComposeFallback("https", wild)), wild,
		},
		"no wildcard": {"404 is nobody's part", ok(envoy.FallbackScope("https", true, nil)), ok(envoy.ComposeFallback("https", nil)), nil},
		"misdirected": {"421 is nobody's part", ok(envoy.MisdirectedScope("https")), ok(envoy.MisdirectedScope("https")), nil},
		"listener": {
			"the shared chain is nobody's part", ok(envoy.Listener(l, []envoy.Chain{*own, *closed})),
			ok(envoy.ComposeListener(l, chains)), []*envoy.Resource{chains[1], chains[0]},
		},
		"host that falls through": {
			"no 404 is added to its routes", ok(envoy.Scope(open)), ok(envoy.ComposeScope(open, through)), through,
		},
		"listener of a Gateway": {
			"all its chains are parts", ok(envoy.Listener(given, nil)), ok(envoy.ComposeListener(given, closedOnes)), closedOnes,
		},
		"cluster": {"it has none", ok(envoy.Cluster(u)), ok(envoy.Cluster(u)), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if !tc.whole.Equal(tc.again) {
				a, _ := tc.whole.Message()
				b, _ := tc.again.Message()
				t.Errorf("%s: composed otherwise (equal when decoded: %t)", tc.reason, proto.Equal(a, b))
			}
			parts, err := envoy.Parts(tc.again)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(versions(tc.parts), versions(parts)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestScopeHost(t *testing.T) {
	ok := must(t)
	for want, r := range map[string]*envoy.Resource{
		"http a.test": ok(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "a.test"})),
		"http ":       ok(envoy.FallbackScope("http", false, nil)),
		"https ":      ok(envoy.MisdirectedScope("https")),
	} {
		listener, host, err := envoy.ScopeHost(r)
		if got := listener + " " + host; err != nil || got != want {
			t.Errorf("want %q, got %q, %v", want, got, err)
		}
	}
	if _, _, err := envoy.ScopeHost(envoy.NewResource(envoy.ScopeType, "x", []byte{0xff})); err == nil {
		t.Error("what is no scope has a host")
	}
}

// A scope that is sent again is another message that serves alike.
func TestFreshScope(t *testing.T) {
	r := must(t)(envoy.Scope(&ir.VirtualHost{Listener: "http", Host: "a.test"}))
	messages := make([]*routev3.ScopedRouteConfiguration, 3)
	for i, x := range []*envoy.Resource{r, envoy.FreshScope(r, 1), envoy.FreshScope(r, 2)} {
		m, err := x.Message()
		if err != nil || !x.Equal(r) {
			t.Fatalf("%v, %v", x, err)
		}
		messages[i], _ = m.(*routev3.ScopedRouteConfiguration)
	}
	if proto.Equal(messages[0], messages[1]) || proto.Equal(messages[1], messages[2]) {
		t.Error("two of them are equal")
	}
	for _, m := range messages {
		m.GetRouteConfiguration().Metadata = nil
		if !proto.Equal(messages[0], m) {
			t.Errorf("another meaning: %v", m)
		}
	}
}

func versions(parts []*envoy.Resource) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.String())
	}
	return slices.Clip(out)
}
