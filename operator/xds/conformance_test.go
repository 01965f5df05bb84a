package xds

import (
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/signetproxy/signet/translator/envoy"
)

// What go-control-plane demands of its delta server (pkg/server/v3,
// delta_test.go, v0.14), where it applies: that server answers endpoints by
// wildcard too, which Envoy never asks for, and ends a stream over a request
// without a type. The xDS protocol's text is "Deleting Resources" and
// "Unsubscribing From Resources" of "xDS REST and gRPC protocol".
func TestDeltaServerOfGoControlPlane(t *testing.T) {
	type step struct {
		subscribe, unsubscribe []string
		edit                   string // all of world's scopes get this edition
		want                   []string
	}
	all := func(sign string) []string { return []string{"scopes " + sign + "s0 " + sign + "s1 " + sign + "s2"} }
	cases := map[string]struct {
		reason string
		steps  []step
	}{
		"legacy wildcard": {"a first request without names asks for all, and goes on to do so beside names", []step{
			{want: all("+")},
			{edit: "2", want: all("+")},
			{subscribe: []string{"s0"}, want: []string{"scopes +s0"}},
			{edit: "3", want: all("+")},
			{unsubscribe: []string{"*"}},
			{edit: "4", want: []string{"scopes +s0"}},
		}},
		"wildcard by name": {"names and the wildcard come and go on their own", []step{
			{subscribe: []string{"s1"}, want: []string{"scopes +s1"}},
			{edit: "2", want: []string{"scopes +s1"}},
			{subscribe: []string{"*"}, want: all("+")},
			{subscribe: []string{"s2"}, want: []string{"scopes +s2"}},
			{unsubscribe: []string{"*"}},
			{edit: "3", want: []string{"scopes +s1 +s2"}},
		}},
		"unsubscribed beside a wildcard": {"what the wildcard still holds is sent again, what it does not is removed", []step{
			{subscribe: []string{"*"}, want: all("+")},
			{subscribe: []string{"s2", "s4"}, want: []string{"scopes +s2 -s4"}},
			{edit: "2", want: all("+")},
			{unsubscribe: []string{"s2", "s4"}, want: []string{"scopes +s2 -s4"}},
			{unsubscribe: []string{"s0", "*"}},
			{edit: "3"},
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Options{})
			fleet := func(edition string) []*envoy.Resource {
				return list(scope("s0", edition), scope("s1", edition), scope("s2", edition))
			}
			h.publish(1, fleet("1"))
			c := h.connect(t, edge)
			for i, s := range tc.steps {
				if s.edit != "" {
					h.publish(uint64(i+2), fleet(s.edit))
				} else {
					c.send(&discoveryv3.DeltaDiscoveryRequest{
						TypeUrl: string(envoy.ScopeType), ResourceNamesSubscribe: s.subscribe, ResourceNamesUnsubscribe: s.unsubscribe,
					})
				}
				if len(s.want) > 0 {
					c.want(s.want...)
					c.ack()
				}
				c.silent()
			}
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

// One stream carries all types, each answered for itself; that of a client that
// closes its side ends without an error.
func TestAClientThatClosesItsSide(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	if err := c.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if r, err := c.stream.Recv(); err == nil {
		t.Errorf("sent after the end: %s", describe(r))
	}
	h.untilAll(t, "the stream is gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
}
