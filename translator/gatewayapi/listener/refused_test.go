package listener

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
