package xds

import (
	"testing"

	"github.com/signetproxy/signet/translator/envoy"
)

// An Envoy is ready when it has acknowledged all that it asks for. It asks for scopes
// if a listener leads to them; where none does, as where all chains of a fleet are
// closed, it never became ready, and no cluster was ever removed from it.
func TestReadyWithoutScopes(t *testing.T) {
	cases := map[string]struct {
		reason   string
		listener []*envoy.Resource
		asks     bool
	}{
		"leads to scopes": {"it is ready when it has asked for them", newSite(t).listener("http"), true},
		"leads to none":   {"nothing makes it ask for them", list(listener("tcp", "1"), scope("left", "1")), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Options{})
			h.publish(1, join(tc.listener, list(cluster("a", "svc/a", "", "1"), assignment("svc/a", "1"))))
			c := h.connect(t, edge)
			c.subscribe(envoy.ClusterType)
			c.next(1)
			c.subscribe(envoy.EndpointType, "svc/a")
			c.next(1)
			c.subscribe(envoy.ListenerType)
			c.next(1)
			c.ack()
			if tc.asks {
				c.silent()
				if got := h.until(t, "it is there", func(StreamState) bool { return true }); got.Ready != 0 {
					t.Errorf("%s, and it is before", tc.reason)
				}
				c.subscribe(envoy.ScopeType)
				c.next(1)
				c.ack()
			}
			if got := h.acknowledged(t, 1); got.Ready != 1 {
				t.Errorf("%s: ready at %d, want 1", tc.reason, got.Ready)
			}
			h.publish(2, nil, cluster("a", "", "", ""))
			c.want("clusters -a")
		})
	}
}
