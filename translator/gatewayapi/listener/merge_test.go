package listener

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/ir"
)

// facts are a fleet on loopback that serves every Gateway.
type facts struct{}

func (facts) EnvoyFleet(n ir.Name) bool { return n.Name == "edge" }

func (facts) Labels(namespace string) (map[string]string, bool) {
	return map[string]string{"name": namespace}, true
}

func (facts) Host(ir.Name) (ir.Name, Hosting, bool) {
	return ir.Name{Namespace: "f", Name: "edge"}, Hosting{Address: "127.0.0.1", Offset: 10_000}, true
}

func gateway(t *testing.T, spec string) *gatewayv1.Gateway {
	t.Helper()
	g := &gatewayv1.Gateway{Namespace: "a", Name: "gw"}
	if err := yaml.UnmarshalStrict([]byte(spec), &g.Spec); err != nil {
		t.Fatal(err)
	}
	return g
}

func set(t *testing.T, name, spec string) *gatewayv1.ListenerSet {
	t.Helper()
	s := &gatewayv1.ListenerSet{Namespace: "a", Name: name}
	if err := yaml.UnmarshalStrict([]byte(spec), &s.Spec); err != nil {
		t.Fatal(err)
	}
	return s
}

// verdicts is a line for each section: what became of it.
func verdicts(g *Gateway) string {
	var out []string
	for i := range g.Sections {
		s := &g.Sections[i]
		verdict := "served"
		switch {
		case s.Fault != nil:
			verdict = string(s.Fault.Reason)
		case s.Conflict != nil:
			verdict = string(s.Conflict.Reason)
		}
		out = append(out, fmt.Sprintf("%s/%s %s", s.Parent.Name.Name, s.Name, verdict))
	}
	if g.Fault != nil {
		out = append(out, "gateway "+string(g.Fault.Reason))
	}
	return strings.Join(out, ", ")
}

func TestMerge(t *testing.T) {
	const all = "allowedListeners: {namespaces: {from: Same}}"
	cases := map[string]struct {
		reason, gateway string
		sets            map[string]string
		want            string
	}{
		"distinct": {
			reason:  "by hostname, and by port",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: HTTP, hostname: a.test}, {name: z, port: 81, protocol: HTTP}]}`,
			want:    "gw/x served, gw/w served, gw/z served",
		},
		"same host": {
			reason:  "neither wins",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: HTTP}, {name: z, port: 81, protocol: HTTP}]}`,
			want:    "gw/x HostnameConflict, gw/w HostnameConflict, gw/z served",
		},
		"protocols": {
			reason:  "cleartext and TLS cannot share a port",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: HTTPS, hostname: a.test}, {name: z, port: 81, protocol: HTTP}]}`,
			want:    "gw/x ProtocolConflict, gw/w ProtocolConflict, gw/z served",
		},
		"unknown protocol": {
			reason:  "takes no port away",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: example.com/odd}]}`,
			want:    "gw/x served, gw/w UnsupportedProtocol",
		},
		"nothing left": {
			reason:  "the Gateway is not accepted",
			gateway: `{listeners: [{name: x, port: 80, protocol: example.com/odd}]}`,
			want:    "gw/x UnsupportedProtocol, gateway ListenersNotValid",
		},
		"TCP and UDP": {
			reason:  "a port of TCP is one listener's alone, and another port than that of UDP",
			gateway: `{listeners: [{name: x, port: 80, protocol: TCP}, {name: w, port: 80, protocol: UDP}, {name: v, port: 81, protocol: UDP}, {name: z, port: 81, protocol: UDP}]}`,
			want:    "gw/x served, gw/w served, gw/v ProtocolConflict, gw/z ProtocolConflict",
		},
		"TCP and HTTP": {
			reason:  "bytes and requests cannot be told apart",
			gateway: `{listeners: [{name: x, port: 80, protocol: TCP}, {name: w, port: 80, protocol: HTTP, hostname: a.test}, {name: v, port: 81, protocol: TCP}, {name: z, port: 81, protocol: TLS, tls: {mode: Passthrough}}]}`,
			want:    "gw/x ProtocolConflict, gw/w ProtocolConflict, gw/v ProtocolConflict, gw/z ProtocolConflict, gateway ListenersNotValid",
		},
		"modes of TLS": {
			reason:  "share a port by hostname, also with HTTPS",
			gateway: `{listeners: [{name: x, port: 443, protocol: TLS, tls: {mode: Passthrough}}, {name: w, port: 443, protocol: TLS, hostname: a.test}, {name: v, port: 443, protocol: HTTPS, hostname: b.test}, {name: z, port: 443, protocol: TLS, hostname: b.test}]}`,
			want:    "gw/x served, gw/w served, gw/v ProtocolConflict, gw/z ProtocolConflict",
		},
		"TCP in a set": {
			reason:  "who was there before keeps the port",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP, hostname: a.test}], ` + all + `}`,
			sets: map[string]string{
				"s1": `{parentRef: {name: gw}, listeners: [{name: x, port: 80, protocol: TCP}, {name: w, port: 81, protocol: TCP}]}`,
				"s2": `{parentRef: {name: gw}, listeners: [{name: w, port: 81, protocol: TCP}]}`,
			},
			want: "gw/x served, s1/x ProtocolConflict, s1/w served, s2/w ProtocolConflict",
		},
		"sets": {
			reason:  "the Gateway's own go first, then the first by name",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP, hostname: a.test}], ` + all + `}`,
			sets: map[string]string{
				"s1": `{parentRef: {name: gw}, listeners: [{name: x, port: 80, protocol: HTTP, hostname: a.test}, {name: w, port: 80, protocol: HTTP, hostname: b.test}]}`,
				"s2": `{parentRef: {name: gw}, listeners: [{name: w, port: 80, protocol: HTTP, hostname: b.test}]}`,
			},
			want: "gw/x served, s1/x HostnameConflict, s1/w served, s2/w HostnameConflict",
		},
		"sets whose own listeners clash": {
			reason:  "what has lost to the Gateway takes nothing from its own set; what clashes there is no later set's",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP, hostname: a.test}], ` + all + `}`,
			sets: map[string]string{
				"s1": `{parentRef: {name: gw}, listeners: [{name: x, port: 80, protocol: HTTP, hostname: b.test}, {name: w, port: 80, protocol: TCP}, {name: v, port: 81, protocol: TCP}, {name: u, port: 81, protocol: HTTP}]}`,
				"s2": `{parentRef: {name: gw}, listeners: [{name: x, port: 80, protocol: HTTP, hostname: c.test}, {name: v, port: 81, protocol: TCP}]}`,
			},
			want: "gw/x served, s1/x served, s1/w ProtocolConflict, s1/v ProtocolConflict, s1/u ProtocolConflict, s2/x served, s2/v ProtocolConflict",
		},
		"sets not allowed": {
			reason:  "no listener of theirs",
			gateway: `{listeners: [{name: x, port: 80, protocol: HTTP}]}`,
			sets:    map[string]string{"s1": `{parentRef: {name: gw}, listeners: [{name: w, port: 81, protocol: HTTP}]}`},
			want:    "gw/x served",
		},
		"parameters": {
			reason:  "of an EnvoyFleet that is there",
			gateway: `{infrastructure: {parametersRef: {group: operator.signetproxy.io, kind: EnvoyFleet, name: nowhere}}, listeners: [{name: x, port: 80, protocol: HTTP}]}`,
			want:    "gw/x served, gateway InvalidParameters",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var sets []*gatewayv1.ListenerSet
			for n, spec := range tc.sets {
				sets = append(sets, set(t, n, spec))
			}
			g := Merge(facts{}, Class{Ours: true}, gateway(t, tc.gateway), sets)
			if diff := cmp.Diff(tc.want, verdicts(g)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A host belongs to the one section on the port that fits it best.
func TestOwns(t *testing.T) {
	g := Merge(facts{}, Class{Ours: true}, gateway(t, `{listeners: [
		{name: any, port: 443, protocol: HTTPS}, {name: wild, port: 443, protocol: HTTPS, hostname: "*.x.test"},
		{name: exact, port: 443, protocol: HTTPS, hostname: a.x.test}, {name: other, port: 80, protocol: HTTP}]}`), nil)
	cases := map[string]struct{ reason, want string }{
		"a.x.test":   {"the exact hostname", "exact"},
		"b.x.test":   {"the wildcard", "wild"},
		"c.b.x.test": {"any number of labels", "wild"},
		"*.b.x.test": {"a wildcard within the wildcard", "wild"},
		"x.test":     {"the wildcard needs a label", "any"},
		"*.test":     {"wider than every other hostname", "any"},
		"other.test": {"the rest", "any"},
	}
	for host, tc := range cases {
		var owners []string
		for i := range g.Sections {
			if s := &g.Sections[i]; s.Port == 443 && g.Owns(s, host) {
				owners = append(owners, s.Name)
			}
		}
		if diff := cmp.Diff([]string{tc.want}, owners); diff != "" {
			t.Errorf("%s (%s): -want, +got:\n%s", host, tc.reason, diff)
		}
	}
	elsewhere := map[string][]string{
		"any": {"*.x.test", "a.x.test"}, "wild": {"a.x.test", "*"}, "exact": {"*"},
	}
	for i := range g.Sections {
		s := &g.Sections[i]
		if diff := cmp.Diff(elsewhere[s.Name], g.Elsewhere(s)); diff != "" {
			t.Errorf("hosts elsewhere than in %s: -want, +got:\n%s", s.Name, diff)
		}
	}
}

// A server name belongs to one section of a port whatever the protocols, and a
// UDP port is none of its namesake's.
func TestStream(t *testing.T) {
	g := Merge(facts{}, Class{Ours: true}, gateway(t, `{listeners: [
		{name: any, port: 443, protocol: TLS, tls: {mode: Passthrough}}, {name: wild, port: 443, protocol: TLS, hostname: "*.x.test"},
		{name: https, port: 443, protocol: HTTPS, hostname: "*.h.x.test"}, {name: udp, port: 443, protocol: UDP}, {name: tcp, port: 80, protocol: TCP},
		{name: odd, port: 443, protocol: HTTPS, hostname: udp}]}`), nil)
	cases := map[string]struct{ reason, port, host, want string }{
		"any":       {"the rest", "a/gw/443", "other.test", "any"},
		"wild":      {"the wildcard", "a/gw/443", "b.x.test", "wild"},
		"https":     {"of requests, not of connections", "a/gw/443", "a.h.x.test", ""},
		"wider":     {"than the HTTPS section", "a/gw/443", "*.x.test", "wild"},
		"tcp":       {"all of it", "a/gw/80", "*", "tcp"},
		"udp":       {"another transport", "a/gw/udp/443", "*", "udp"},
		"not a UDP": {"the scope of the HTTPS section", "a/gw/443/udp", "*", ""},
	}
	for name, tc := range cases {
		got := ""
		if s := g.Stream(tc.port, tc.host); s != nil {
			got = s.Name
		}
		if got != tc.want {
			t.Errorf("%s (%s): %q, want %q", name, tc.reason, got, tc.want)
		}
	}
	if diff := cmp.Diff([]string{"a/gw/443", "a/gw/udp/443", "a/gw/80"}, g.Ports()); diff != "" {
		t.Errorf("ports: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a/gw/443/*.h.x.test", "a/gw/443/udp"}, g.Scopes()); diff != "" {
		t.Errorf("scopes: -want, +got:\n%s", diff)
	}
}

// A port that another holds is not served, and says by whom it is held.
func TestPlace(t *testing.T) {
	g := Merge(facts{}, Class{Ours: true}, gateway(t, `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 8000, protocol: HTTP}]}`), nil)
	if diff := cmp.Diff([]Bind{{Address: "127.0.0.1", Port: 10080}, {Address: "127.0.0.1", Port: 8000}}, g.Binds()); diff != "" {
		t.Errorf("binds: -want, +got:\n%s", diff)
	}
	placed := g.Place(func(b Bind) string {
		if b.Port == 8000 {
			return "Gateway a/first"
		}
		return ""
	})
	if got := verdicts(placed); got != "gw/x served, gw/w PortUnavailable" {
		t.Errorf("placed: %s", got)
	}
	if g.Sections[1].Fault != nil {
		t.Error("placing changed the Gateway that it was given")
	}
}

// Ports below 1024 are bound higher, where another port of the same Gateway may
// be: Envoy would refuse one of two listeners on a port, and which one is chance.
func TestPlaceWithinAGateway(t *testing.T) {
	cases := map[string]struct{ reason, gateway, want string }{
		"apart":    {"nothing meets", `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 8080, protocol: HTTP}]}`, "gw/x served, gw/w served"},
		"meet":     {"the first is served", `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 10080, protocol: HTTP}]}`, "gw/x served, gw/w PortUnavailable"},
		"same":     {"two hosts of one port do not meet", `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: HTTP, hostname: a.test}]}`, "gw/x served, gw/w served"},
		"reserved": {"the fleet needs it", `{listeners: [{name: x, port: 80, protocol: HTTP}, {name: w, port: 19001, protocol: HTTP}]}`, "gw/x served, gw/w PortUnavailable"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := Merge(facts{}, Class{Ours: true}, gateway(t, tc.gateway), nil)
			g.Reserved = []uint32{19001}
			got := g.Place(func(Bind) string { return "" })
			if diff := cmp.Diff(tc.want, verdicts(got)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// The Service has the ports of the listeners that are served, ListenerSets' too.
func TestExposure(t *testing.T) {
	g := Merge(facts{}, Class{Ours: true}, gateway(t, `{allowedListeners: {namespaces: {from: Same}}, listeners: [
  {name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: HTTP, hostname: a.test}, {name: bad, port: 81, protocol: WHAT}]}`),
		[]*gatewayv1.ListenerSet{set(t, "s", `{parentRef: {name: gw}, listeners: [{name: y, port: 8080, protocol: HTTP}]}`)})
	want := &Exposure{Ports: []Exposed{
		{Port: 80, Bound: 10080, Protocol: gatewayv1.HTTPProtocolType}, {Port: 8080, Bound: 8080, Protocol: gatewayv1.HTTPProtocolType},
	}}
	if diff := cmp.Diff(want, g.Exposure()); diff != "" {
		t.Errorf("exposure (-want, +got):\n%s", diff)
	}
	none := Merge(facts{}, Class{Ours: true}, gateway(t, `{listeners: [{name: bad, port: 81, protocol: WHAT}]}`), nil)
	if e := none.Exposure(); e.Fault == nil || len(e.Ports) != 0 {
		t.Errorf("exposure without a listener: %+v, want a fault", e)
	}
}

// Hosts beyond the limit are not listed; those inside of a wildcard all are.
func TestElsewhereBeyondTheLimit(t *testing.T) {
	listeners := []string{"{name: exact, port: 443, protocol: HTTPS, hostname: a.x.test}", "{name: wild, port: 443, protocol: HTTPS, hostname: '*.y.test'}"}
	var inside []string
	for i := range maxElsewhere + 2 {
		host := fmt.Sprintf("h%d.y.test", i)
		inside = append(inside, host)
		listeners = append(listeners, fmt.Sprintf("{name: h%d, port: 443, protocol: HTTPS, hostname: %s}", i, host),
			fmt.Sprintf("{name: o%d, port: 443, protocol: HTTPS, hostname: o%d.test}", i, i))
	}
	g := Merge(facts{}, Class{Ours: true}, gateway(t, "{listeners: ["+strings.Join(listeners, ", ")+"]}"), nil)
	for i, want := range [][]string{{"*"}, append(inside, "*")} {
		if diff := cmp.Diff(want, g.Elsewhere(&g.Sections[i])); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", g.Sections[i].Name, diff)
		}
	}
}
