package envoy_test

import (
	"bytes"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// A probe holds the parts as they are, and serves nobody.
func TestProbe(t *testing.T) {
	ok := must(t)
	host := func(name string) *ir.VirtualHost {
		return &ir.VirtualHost{Listener: "https", Host: name, TLS: true, Routes: []ir.Route{
			{Name: "one", Match: segments("/a"), Response: &ir.DirectResponse{StatusCode: 200}},
			{Name: "two", Match: segments("/b"), Response: &ir.DirectResponse{StatusCode: 200}},
		}}
	}
	routes, _, err := envoy.RouteParts(host("a.test"))
	if err != nil {
		t.Fatal(err)
	}
	l := loopback("https", true)
	wild := []*envoy.Resource{ok(envoy.HostPart(host("*.a.test"))), ok(envoy.HostPart(host("*.b.test")))}
	chains := []*envoy.Resource{ok(envoy.ChainPart(l, envoy.TCPChain(&ir.TCPRoute{Host: "b.test"})))}
	cases := map[string]struct {
		reason       string
		whole        *envoy.Resource
		with, absent []*envoy.Resource
	}{
		"Listener":   {"the shared chain is no part", ok(envoy.ComposeListener(l, chains)), chains, nil},
		"Fallback":   {"one of two hosts", ok(envoy.ComposeFallback("https", wild)), wild[1:], wild[:1]},
		"Exact host": {"one of two routes", ok(envoy.Scope(host("a.test"))), routes[:1], routes[1:]},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			probe := ok(envoy.Probe(c.whole, c.with))
			if !probe.Probe || c.whole.Probe || probe.Name == c.whole.Name || probe.Type != c.whole.Type {
				t.Errorf("%s: %s, marked %t, of %s", c.reason, probe, probe.Probe, c.whole)
			}
			for _, p := range c.with {
				if !bytes.Contains(probe.Body, p.Body) {
					t.Errorf("%s: part %s is not in the probe as it is", c.reason, p)
				}
			}
			for _, p := range c.absent {
				if bytes.Contains(probe.Body, p.Body) {
					t.Errorf("%s: part %s is in the probe", c.reason, p)
				}
			}
			m, err := probe.Message()
			if err != nil {
				t.Fatal(err)
			}
			servesNobody(t, m)
		})
	}
	if _, err := envoy.Probe(wild[0], nil); err == nil {
		t.Error("a part can be probed; it has none itself")
	}
}

func servesNobody(t *testing.T, m proto.Message) {
	t.Helper()
	switch m := m.(type) {
	case *listenerv3.Listener:
		if m.GetBindToPort() == nil || m.GetBindToPort().GetValue() || m.GetAddress().GetSocketAddress().GetPortValue() != 0 {
			t.Errorf("the listener takes connections: %v", m.GetAddress())
		}
	case *routev3.ScopedRouteConfiguration:
		// The key of a request begins with its listener's name.
		if key := m.GetKey().GetFragments()[0].GetStringKey(); !strings.HasPrefix(key, "|") {
			t.Errorf("a request can have the key %q", key)
		}
	default:
		t.Errorf("no listener and no scope: %T", m)
	}
}
