package cluster

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRanges looks at the addresses of all slots at once: none is another's,
// all are for tests, and DNS and the API server are among the Services.
func TestRanges(t *testing.T) {
	tests := netip.MustParsePrefix("198.18.0.0/15")
	taken := map[netip.Prefix]int{}
	for slot := range slots {
		r := ranges(slot)
		if r.Host.Masked() != r.Node.Masked() || r.Host == r.Node {
			t.Errorf("slot %d: the ends of the link are %s and %s", slot, r.Host, r.Node)
		}
		if !r.Services.Contains(r.DNS()) || !r.Services.Contains(r.KubernetesService()) {
			t.Errorf("slot %d: DNS %s and API server %s are not Services of %s", slot, r.DNS(), r.KubernetesService(), r.Services)
		}
		for _, p := range []netip.Prefix{r.Pods, r.Services, r.LoadBalancers, r.Host.Masked()} {
			if !tests.Contains(p.Addr()) || p != p.Masked() {
				t.Errorf("slot %d: %s is no range of %s", slot, p, tests)
			}
			for other, owner := range taken {
				if p.Overlaps(other) {
					t.Errorf("slots %d and %d: %s and %s overlap", slot, owner, p, other)
				}
			}
			taken[p] = slot
		}
	}
}

func TestName(t *testing.T) {
	cases := map[string]struct {
		reason, name, want string
	}{
		"Default":  {"no name is the default one", "", DefaultName},
		"Good":     {"letters, digits and dashes", "a-1", "a-1"},
		"Slash":    {"a name is the name of a folder", "../a", ""},
		"Capital":  {"and of a cgroup", "A", ""},
		"LastDash": {"it ends as it begins", "a-", ""},
		"Long":     {"sockets' paths are short", "abcdefghijklmnopqrstu", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := Options{Name: c.name}
			err := o.complete()
			if (err == nil) != (c.want != "") {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if diff := cmp.Diff(c.want, o.Name); err == nil && diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}

// TestLayout looks for the tools where the installer puts them.
func TestLayout(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("SIGNET_CACHE", cache)
	l, err := newLayout()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ETCD", "KUBERNETES", "CONTAINERD", "CNI", "COREDNS", "HELM", "ENVOY"} {
		if l.versions[name] == "" {
			t.Errorf("test/tools/versions has no version of %s", name)
		}
	}
	want := cache + "/tools/kubernetes-node-" + l.versions["KUBERNETES"]
	if diff := cmp.Diff(want, l.tool("kubernetes-node")); diff != "" {
		t.Errorf("folder of a tool, -want, +got:\n%s", diff)
	}
	if err := l.complete(); err == nil {
		t.Error("an empty cache has all tools")
	}
	t.Setenv("SIGNET_CACHE", "/var/cache/signet")
	if _, err := newLayout(); err == nil {
		t.Error("a cache that a cluster would not see was taken")
	}
}
