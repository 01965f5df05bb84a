package upstream

import (
	"testing"

	"github.com/signetproxy/signet/translator/reason"
)

// Names of /etc/hosts and of RFC 6761 lead to Envoy's own host.
func TestNamesOfOwnHost(t *testing.T) {
	cases := map[string]struct {
		reason string
		own    bool
	}{
		"localhost":                         {"RFC 6761", true},
		"x.localhost":                       {"RFC 6761, 6.3", true},
		"localhost.localdomain":             {"Red Hat", true},
		"x.localhost.localdomain":           {"systemd-resolved", true},
		"localhost4":                        {"Red Hat", true},
		"localhost6":                        {"Red Hat", true},
		"localhost4.localdomain4":           {"Red Hat", true},
		"localhost6.localdomain6":           {"Red Hat", true},
		"localhost6.localdomain":            {"mixed", true},
		"ip6-localhost":                     {"Debian, and each pod's /etc/hosts", true},
		"ip6-loopback":                      {"Debian, and each pod's /etc/hosts", true},
		"ip6-loopback.localdomain":          {"a search domain that some add", true},
		"ip6-allnodes":                      {"the hosts of the link", true},
		"local.projectcontour.io":           {"it resolves to 127.0.0.1", true},
		"localhost.example.com":             {"somebody's host", false},
		"db.localdomain":                    {"somebody's host", false},
		"mylocalhost":                       {"somebody's host", false},
		"localhost.localdomain.example.com": {"somebody's host", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, p := Decide(holding(good(external(name))), to(443))
			if own := p != nil && p.Reason == reason.ExternalNameNotAllowed; own != tc.own {
				t.Errorf("%s: %v", tc.reason, p)
			}
		})
	}
}
