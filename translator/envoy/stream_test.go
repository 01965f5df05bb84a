package envoy_test

import (
	"errors"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

func streams(weights ...uint32) []ir.Backend {
	out := make([]ir.Backend, len(weights))
	for i, w := range weights {
		out[i] = ir.Backend{Upstream: &ir.Upstream{Service: service(string(rune('a' + i))), Protocol: ir.TCP}, Weight: w}
	}
	return out
}

// What Envoy would not take, or take for something else, is refused here.
func TestStreamPartRefuses(t *testing.T) {
	ended := &ir.Termination{Certificates: []ir.CertificateRef{*client("c")}, Profile: modern}
	cases := map[string]struct {
		reason  string
		route   *ir.TCPRoute
		refused bool
	}{
		"plain":        {"all of a port", &ir.TCPRoute{Listener: "l", Host: "*", Plain: true, Backends: streams(1)}, false},
		"by name":      {"passed through", &ir.TCPRoute{Listener: "l", Host: "a.test", Backends: streams(1)}, false},
		"terminated":   {"with a certificate", &ir.TCPRoute{Listener: "l", Host: "*.test", Termination: ended, Backends: streams(1, 2), Refused: 3}, false},
		"closed":       {"without a backend", &ir.TCPRoute{Listener: "l", Host: "a.test"}, false},
		"no name":      {"it would match every name", &ir.TCPRoute{Listener: "l", Backends: streams(1)}, true},
		"plain name":   {"nobody sends a name without TLS", &ir.TCPRoute{Listener: "l", Host: "a.test", Plain: true, Backends: streams(1)}, true},
		"plain ended":  {"there is no TLS to end", &ir.TCPRoute{Listener: "l", Host: "*", Plain: true, Termination: ended, Backends: streams(1)}, true},
		"certificates": {"TLS without one", &ir.TCPRoute{Listener: "l", Host: "*", Termination: &ir.Termination{Profile: modern}, Backends: streams(1)}, true},
		"weights":      {"Envoy's sum is of 32 bits", &ir.TCPRoute{Listener: "l", Host: "*", Backends: streams(1<<31, 1<<31-1), Refused: 1}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := envoy.StreamPart(tc.route, nil)
			if (err != nil) != tc.refused || (err != nil && !errors.Is(err, envoy.ErrRefused)) {
				t.Errorf("%s: %v", tc.reason, err)
			}
		})
	}
}

// A route without backends closes connections before any handshake: a client
// must not take the certificate for a sign that somebody is there.
func TestClosedStreamDoesNotTerminate(t *testing.T) {
	part := must(t)(envoy.StreamPart(&ir.TCPRoute{
		Listener: "l", Host: "a.test", Termination: &ir.Termination{Certificates: []ir.CertificateRef{*client("c")}, Profile: modern},
	}, nil))
	m, err := part.Message()
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := m.(*listenerv3.FilterChain); !ok || c.GetTransportSocket() != nil || c.GetFilters()[0].GetName() != "envoy.filters.network.direct_response" {
		t.Errorf("the chain is %v", m)
	}
}

// A UDP listener is its one part, whatever else changes.
func TestDatagramListener(t *testing.T) {
	ok := must(t)
	l := &ir.Listener{Name: "a/gw/udp/53", Address: "127.0.0.1", Port: 5300, UDP: true, Chains: []ir.Chain{}}
	part := ok(envoy.DatagramPart(&ir.TCPRoute{Listener: l.Name, Host: "*", Plain: true, Backends: streams(2, 3), Refused: 5}, nil))
	whole := ok(envoy.ComposeListener(l, []*envoy.Resource{part}))
	m, err := whole.Message()
	if err != nil {
		t.Fatal(err)
	}
	got, isListener := m.(*listenerv3.Listener)
	if !isListener || len(got.GetListenerFilters()) != 1 || len(got.GetFilterChains()) != 0 || got.GetUdpListenerConfig() == nil {
		t.Errorf("the listener is %v", m)
	}
	if parts, err := envoy.Parts(whole); err != nil || len(parts) != 0 {
		t.Errorf("parts: %v, %v", parts, err)
	}
	again := ok(envoy.ComposeListener(l, []*envoy.Resource{ok(envoy.DatagramPart(&ir.TCPRoute{
		Listener: l.Name, Host: "*", Plain: true, Backends: streams(2, 3), Refused: 5,
	}, nil))}))
	if diff := cmp.Diff(whole.Version, again.Version); diff != "" {
		t.Errorf("versions: -first, +again:\n%s", diff)
	}
	chain := ok(envoy.StreamPart(&ir.TCPRoute{Listener: "l", Host: "*", Plain: true}, nil))
	for name, parts := range map[string][]*envoy.Resource{"none": nil, "two": {part, part}, "a chain": {chain}} {
		if _, err := envoy.ComposeListener(l, parts); !errors.Is(err, envoy.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
