package listener

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// The name of a section that is refused stays its own while the port serves
// others: what it was to do to requests, or whom it was to admit, no wider
// section does.
func TestRefusedSectionKeepsItsName(t *testing.T) {
	const filters = "filters: {requests: [{type: ExternalAuth}]}"
	cases := map[string]struct {
		reason, listeners string
		// owner of a.test is none of the sections that are served, or this one.
		owner string
		// find is who answers for a.test in the scope or port of "any".
		find string
		// elsewhere are the hosts that "any" answers with 421.
		elsewhere []string
		// chains of port 443 by name: whether they serve.
		chains map[string]bool
	}{
		"HTTP": {
			"404, and not the wider routes", `[{name: any, port: 443, protocol: HTTP}, {name: a, port: 443, protocol: HTTP, hostname: a.test, ` + filters + `}]`,
			"", "a", nil, map[string]bool{},
		},
		"HTTPS": {
			"closed, and misdirected over other connections",
			`[{name: any, port: 443, protocol: HTTPS}, {name: a, port: 443, protocol: HTTPS, hostname: a.test, ` + filters + `}]`,
			"", "", []string{"a.test"}, map[string]bool{"*": true, "a.test": false},
		},
		"TLS": {
			"closed", `[{name: any, port: 443, protocol: TLS, tls: {mode: Passthrough}}, {name: a, port: 443, protocol: TLS, hostname: a.test, ` + filters + `}]`,
			"", "a", nil, map[string]bool{"*": false, "a.test": false},
		},
		"conflict": {
			"neither has the name, and no other", `[{name: any, port: 443, protocol: HTTPS}, {name: a, port: 443, protocol: HTTPS, hostname: a.test}, {name: b, port: 443, protocol: TLS, hostname: a.test}]`,
			"", "", []string{"a.test"}, map[string]bool{"*": true, "a.test": false},
		},
		"namesake": {
			"one that is served has the name", `[{name: any, port: 443, protocol: HTTPS}, {name: a, port: 443, protocol: HTTPS, hostname: a.test, ` + filters + `}, {name: b, port: 443, protocol: HTTPS, hostname: a.test}]`,
			"b", "", []string{"a.test"}, map[string]bool{"*": true, "a.test": true},
		},
		"another protocol": {
			"what cannot be on the port has no name there", `[{name: any, port: 443, protocol: HTTPS}, {name: a, port: 443, protocol: HTTP, hostname: a.test, ` + filters + `}]`,
			"any", "any", nil, map[string]bool{"*": true},
		},
		"another port": {
			"names are of a port", `[{name: any, port: 443, protocol: HTTP}, {name: a, port: 444, protocol: HTTP, hostname: a.test, ` + filters + `}]`,
			"any", "any", nil, map[string]bool{},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := Merge(facts{}, Class{Ours: true}, gateway(t, "{listeners: "+tc.listeners+"}"), nil)
			refs := &References{Sections: make([]SectionReferences, len(g.Sections))}
			owner := ""
			for i := range g.Sections {
				if s := &g.Sections[i]; s.Served() {
					refs.Sections[i].Certificates = []ir.CertificateRef{{}}
					if g.Owns(s, "a.test") {
						owner += s.Name
					}
				}
			}
			if owner != tc.owner {
				t.Errorf("%s: a.test belongs to %q, want %q", tc.reason, owner, tc.owner)
			}
			wide, found := &g.Sections[0], ""
			for _, s := range []*Section{g.Find(g.Scope(wide), "a.test"), g.Stream(g.Scope(wide), "a.test")} {
				if s != nil {
					found += s.Name
				}
			}
			if found != tc.find {
				t.Errorf("%s: %q answers for a.test, want %q", tc.reason, found, tc.find)
			}
			if diff := cmp.Diff(tc.elsewhere, g.Elsewhere(wide)); diff != "" {
				t.Errorf("%s: elsewhere: -want, +got:\n%s", tc.reason, diff)
			}
			l, chains := g.Listener(refs, "a/gw/443"), map[string]bool{}
			for _, c := range l.Chains {
				if _, twice := chains[c.ServerName]; twice {
					t.Errorf("%s: two chains for %s", tc.reason, c.ServerName)
				}
				chains[c.ServerName] = c.TLS != nil
			}
			if diff := cmp.Diff(tc.chains, chains); diff != "" {
				t.Errorf("%s: chains: -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff([]string{"a/gw/443"}, g.Ports()); diff != "" {
				t.Errorf("%s: ports: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// What a Gateway names and refuses does not go to a ListenerSet, which may be of
// another namespace; what a ListenerSet has lost is nobody's loss.
func TestListenerSetGetsNoRefusedName(t *testing.T) {
	const filters = "filters: {requests: [{type: ExternalAuth}]}"
	cases := map[string]struct {
		reason, listeners, first, second string
		want                             string
		// owner of a.test by port 443, of what is served.
		owner string
	}{
		"two protocols": {
			"neither wins, nor a third",
			"{name: any, port: 443, protocol: HTTPS}, {name: x, port: 443, protocol: HTTPS, hostname: a.test}, {name: w, port: 443, protocol: TLS, hostname: a.test, tls: {mode: Passthrough}}",
			"{name: m, port: 443, protocol: HTTPS, hostname: a.test}, {name: o, port: 443, protocol: HTTPS, hostname: b.test}", "",
			"gw/any served, gw/x ProtocolConflict, gw/w ProtocolConflict, s1/m HostnameConflict, s1/o served", "",
		},
		"a whole port": {
			"the Gateway asks for two things that cannot be",
			"{name: x, port: 80, protocol: HTTP}, {name: w, port: 80, protocol: TCP}, {name: v, port: 443, protocol: HTTPS}",
			"{name: m, port: 80, protocol: HTTP}, {name: o, port: 80, protocol: HTTP, hostname: a.test}", "",
			"gw/x ProtocolConflict, gw/w ProtocolConflict, gw/v served, s1/m HostnameConflict, s1/o ProtocolConflict", "v",
		},
		"filters": {
			"what they were to do nobody does",
			"{name: any, port: 443, protocol: HTTPS}, {name: x, port: 443, protocol: HTTPS, hostname: a.test, " + filters + "}",
			"{name: m, port: 443, protocol: HTTPS, hostname: a.test}, {name: o, port: 443, protocol: HTTPS, hostname: b.test}", "",
			"gw/any served, gw/x UnsupportedValue, s1/m HostnameConflict, s1/o served", "",
		},
		"unknown protocol": {
			"it names nothing", "{name: any, port: 443, protocol: HTTPS}, {name: x, port: 443, protocol: example.com/odd, hostname: a.test}",
			"{name: m, port: 443, protocol: HTTPS, hostname: a.test}", "",
			"gw/any served, gw/x UnsupportedProtocol, s1/m served", "m",
		},
		"of another set": {
			"the older one names it", "{name: any, port: 443, protocol: HTTPS}",
			"{name: m, port: 443, protocol: HTTPS, hostname: a.test}, {name: o, port: 443, protocol: TLS, hostname: a.test}",
			"{name: m, port: 443, protocol: HTTPS, hostname: a.test}",
			"gw/any served, s1/m ProtocolConflict, s1/o ProtocolConflict, s2/m HostnameConflict", "",
		},
		"lost": {
			"what a set lost to the Gateway is no claim", "{name: x, port: 443, protocol: HTTPS}",
			"{name: m, port: 443, protocol: TCP}, {name: o, port: 443, protocol: TCP, " + filters + "}", "{name: m, port: 443, protocol: HTTPS, hostname: a.test}",
			"gw/x served, s1/m ProtocolConflict, s1/o UnsupportedValue, s2/m served", "m",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			sets := []*gatewayv1.ListenerSet{set(t, "s1", "{parentRef: {name: gw}, listeners: ["+tc.first+"]}")}
			if tc.second != "" {
				sets = append(sets, set(t, "s2", "{parentRef: {name: gw}, listeners: ["+tc.second+"]}"))
			}
			for _, s := range sets {
				s.Namespace = "b"
			}
			g := Merge(facts{}, Class{Ours: true}, gateway(t, "{allowedListeners: {namespaces: {from: All}}, listeners: ["+tc.listeners+"]}"), sets)
			if diff := cmp.Diff(tc.want, verdicts(g)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			owner := ""
			for i := range g.Sections {
				if s := &g.Sections[i]; s.Served() && s.Port == 443 && g.Owns(s, "a.test") {
					owner += s.Name
				}
			}
			if owner != tc.owner {
				t.Errorf("%s: a.test belongs to %q, want %q", tc.reason, owner, tc.owner)
			}
		})
	}
}
