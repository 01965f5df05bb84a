package xds

import (
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
)

// refused waits for the n-th NACK that the observer heard of.
func (h *harness) refused(t *testing.T, o *record, n int) Nack {
	t.Helper()
	h.untilAll(t, "the NACK is heard of", func(State) bool {
		_, nacks := o.seen()
		return len(nacks) >= n
	})
	_, nacks := o.seen()
	return nacks[n-1]
}

func TestLastGood(t *testing.T) {
	cases := map[string]struct {
		reason string
		play   func(h *harness, c *client)
		want   *envoy.Resource
	}{
		"acknowledged before": {
			"the bytes that Envoy has",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, list(scope("http|a", "bad")))
				c.want("scopes +http|a")
				c.nack("bad")
			},
			scope("http|a", "1"),
		},
		"new": {
			"no Envoy ever had it",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, list(scope("http|new", "bad")))
				c.want("scopes +http|new")
				c.nack("bad")
			},
			nil,
		},
		"not acknowledged": {
			"sent is not acknowledged",
			func(h *harness, c *client) {
				c.subscribe(envoy.ScopeType)
				c.want("scopes +http|a")
				h.publish(2, list(scope("http|a", "bad")))
				c.want("scopes +http|a")
				c.unanswered = c.unanswered[1:]
				c.nack("bad")
			},
			nil,
		},
		"bad twice": {
			"the bytes survive as long as what follows is not acknowledged",
			func(h *harness, c *client) {
				c.start(world()...)
				for rev := uint64(2); rev < 5; rev++ {
					h.publish(rev, list(scope("http|a", strings.Repeat("bad", int(rev)))))
					c.want("scopes +http|a")
				}
				c.unanswered = c.unanswered[2:]
				c.nack("bad")
			},
			scope("http|a", "1"),
		},
		"put back": {
			"the bytes that were put back are good before they are acknowledged again",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, list(scope("http|a", "bad")))
				h.publish(3, list(scope("http|a", "1")))
				h.publish(4, list(scope("http|a", "worse")))
				// However many of these the stream skips, the newest comes last.
				r := c.recv()
				for r.GetResources()[0].GetVersion() != scope("http|a", "worse").Version {
					r = c.recv()
				}
				c.unanswered = append(c.unanswered, r)
				c.nack("bad")
			},
			scope("http|a", "1"),
		},
		"late acknowledgement": {
			"an answer that comes after a newer revision still counts",
			func(h *harness, c *client) {
				c.subscribe(envoy.ScopeType)
				c.want("scopes +http|a")
				h.publish(2, list(scope("http|a", "bad")))
				c.want("scopes +http|a")
				second := c.unanswered[1:]
				c.unanswered = c.unanswered[:1]
				c.ack()
				c.unanswered = second
				c.nack("bad")
			},
			scope("http|a", "1"),
		},
		"gone and back": {
			"nothing is kept of a resource that is gone",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, nil, scope("http|a", ""))
				c.want("scopes -http|a")
				c.ack()
				h.publish(3, list(scope("http|a", "bad")))
				c.want("scopes +http|a")
				c.nack("bad")
			},
			nil,
		},
		"resumed": {
			"what a reconnecting Envoy counts, it has taken: also from another process",
			func(h *harness, c *client) {
				c.resume(byType(world()...))
				c.silent()
				h.publish(2, list(scope("http|a", "bad")))
				c.want("scopes +http|a")
				c.nack("bad")
			},
			scope("http|a", "1"),
		},
		"resumed secret": {
			"a name that is subscribed as such",
			func(h *harness, c *client) {
				c.resume(byType(world()...))
				c.silent()
				h.publish(2, list(secret("trust/a", "bad")))
				c.want("secrets +trust/a")
				c.nack("bad")
			},
			secret("trust/a", "1"),
		},
		"resumed secret without a version": {
			"Envoy may have refused these bytes before, and takes them when they come again",
			func(h *harness, c *client) {
				had := byType(world()...)
				c.resumeTypes(had, envoy.ClusterType, envoy.EndpointType)
				c.subscribe(envoy.SecretType, "trust/a")
				c.want("secrets +trust/a")
				c.ack()
				c.resumeTypes(had, envoy.ListenerType, envoy.ScopeType)
				c.silent()
				h.publish(2, list(secret("trust/a", "bad")))
				c.want("secrets +trust/a")
				c.nack("bad")
			},
			nil,
		},
		"other bytes after a resumed secret without a version": {
			"Envoy judges other bytes anew",
			func(h *harness, c *client) {
				c.resumeTypes(byType(world()...), envoy.ClusterType)
				c.subscribe(envoy.SecretType, "trust/a")
				c.want("secrets +trust/a")
				h.publish(2, list(secret("trust/a", "2")))
				c.want("secrets +trust/a")
				c.ack()
				h.publish(3, list(secret("trust/a", "bad")))
				c.want("secrets +trust/a")
				c.nack("bad")
			},
			secret("trust/a", "2"),
		},
		"unasked secret": {
			"Envoy acknowledges a secret that nothing watches, and throws it away",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, list(cluster("b", "svc/a", "trust/b", "1"), secret("trust/b", "1")))
				c.want("clusters +b", "endpoints +svc/a", "secrets +trust/b")
				c.ack()
				c.subscribe(envoy.SecretType, "trust/b")
				c.want("secrets +trust/b")
				c.nack("bad")
			},
			nil,
		},
		"asked secret": {
			"the control of the case before",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, list(cluster("b", "svc/a", "trust/b", "1"), secret("trust/b", "1")))
				c.want("clusters +b", "endpoints +svc/a", "secrets +trust/b")
				c.ack()
				c.subscribe(envoy.SecretType, "trust/b")
				c.want("secrets +trust/b")
				c.ack()
				h.publish(3, list(secret("trust/b", "bad")))
				c.want("secrets +trust/b")
				c.nack("bad")
			},
			secret("trust/b", "1"),
		},
		"secret asked for while it was under way": {
			"it was sent unasked, and Envoy asked before it took it",
			func(h *harness, c *client) {
				c.start(world()...)
				h.publish(2, list(cluster("b", "svc/a", "trust/b", "1"), secret("trust/b", "1")))
				c.want("clusters +b", "endpoints +svc/a", "secrets +trust/b")
				c.subscribe(envoy.SecretType, "trust/b")
				c.ack()
				h.acknowledged(c.t, 2)
				h.publish(3, list(secret("trust/b", "bad")))
				c.want("secrets +trust/b")
				c.nack("bad")
			},
			secret("trust/b", "1"),
		},
		"secret that is watched no more": {
			"a handshake has failed while the secret was on its way: Envoy acknowledges it, and throws it away",
			func(h *harness, c *client) {
				c.start(world()...)
				c.subscribe(envoy.SecretType, "a.example.com")
				c.want("secrets -a.example.com")
				h.publish(2, list(secret("a.example.com", "1")))
				c.want("secrets +a.example.com")
				c.unsubscribe(envoy.SecretType, "a.example.com")
				c.ack()
				c.subscribe(envoy.SecretType, "a.example.com")
				c.want("secrets +a.example.com")
				c.nack("bad")
			},
			nil,
		},
		"secret that is unsubscribed with the answer": {
			"Envoy puts both into one message when it can",
			func(h *harness, c *client) {
				c.start(world()...)
				c.subscribe(envoy.SecretType, "a.example.com")
				c.want("secrets -a.example.com")
				c.ack()
				h.publish(2, list(secret("a.example.com", "1")))
				c.want("secrets +a.example.com")
				nonce := c.unanswered[0].GetNonce()
				c.unanswered = nil
				c.send(&discoveryv3.DeltaDiscoveryRequest{
					TypeUrl: string(envoy.SecretType), ResponseNonce: nonce, ResourceNamesUnsubscribe: []string{"a.example.com"},
				})
				c.subscribe(envoy.SecretType, "a.example.com")
				c.want("secrets +a.example.com")
				c.nack("bad")
			},
			nil,
		},
		"secret of a wildcard": {
			"it is the published secret that was taken under a host's name, and the next that was refused",
			func(h *harness, c *client) {
				h.publish(2, list(secret("*.example.com", "1")))
				c.subscribe(envoy.SecretType, "a.example.com")
				c.want("secrets +a.example.com")
				c.ack()
				h.publish(3, list(secret("*.example.com", "bad")))
				c.want("secrets +a.example.com")
				c.nack("bad")
			},
			secret("*.example.com", "1"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := &record{}
			h := serve(t, Options{Observer: Observers{o, Observers{}}})
			h.publish(1, world())
			c := h.connect(t, edge)
			tc.play(h, c)
			got := h.refused(t, o, 1)
			if len(got.Resources) != 1 || len(got.LastGood) != 1 {
				t.Fatalf("%s: %+v, want one resource", tc.reason, got)
			}
			if diff := cmp.Diff(tc.want, got.LastGood[0]); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
			if good := got.LastGood[0]; good != nil && good.Name != got.Resources[0].Name {
				t.Errorf("%s was refused, and %s is good", got.Resources[0].Name, good.Name)
			}
		})
	}
}

// An Envoy that has refused a secret takes the same bytes the second time,
// also on a stream of its own: they are not good for that.
func TestAnAcknowledgedBadSecretIsNotGood(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	first := h.connect(t, edge)
	first.start(world()...)
	h.publish(2, list(secret("trust/a", "bad")))
	first.want("secrets +trust/a")
	first.nack("bad")
	if got := h.refused(t, o, 1); got.LastGood[0].Version != secret("trust/a", "1").Version {
		t.Errorf("last good are %v, want those of the first revision", got.LastGood)
	}
	first.close()
	second := h.connect(t, edge)
	second.resume(byType(world()...))
	second.want("secrets +trust/a")
	second.ack()
	second.silent()
	third := h.connect(t, edge)
	third.resume(byType(replace(world(), secret("trust/a", "bad"))...))
	third.silent()
	h.publish(3, list(secret("trust/a", "worse")))
	third.want("secrets +trust/a")
	third.nack("worse")
	if got := h.refused(t, o, 2); got.LastGood[0].Version != secret("trust/a", "1").Version {
		t.Errorf("last good are %v, want those of the first revision", got.LastGood)
	}
}

// Two Envoys do not agree: the observer is told that the other has taken it.
func TestLastGoodOfAnotherEnvoy(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	one, two, slow := h.connect(t, edge), h.connect(t, edge), h.connect(t, edge)
	one.start(world()...)
	two.start(world()...)
	slow.subscribe(envoy.ScopeType)
	slow.want("scopes +http|a")
	h.publish(2, list(scope("http|a", "2")))
	one.want("scopes +http|a")
	one.ack()
	one.silent()
	slow.want("scopes +http|a")
	slow.unanswered = slow.unanswered[:1]
	slow.ack() // of the first revision: that does not take its successor's place
	slow.silent()
	row := h.fleets[edge].head.Load().get(scopes, "http|a")
	if good := row.line.good.Load(); good != row {
		t.Errorf("%v is kept as good although the newest is acknowledged", good)
	}
	two.want("scopes +http|a")
	two.nack("odd")
	if got := h.refused(t, o, 1); got.LastGood[0] == nil || got.LastGood[0].Version != got.Resources[0].Version {
		t.Errorf("last good is %v, want what was refused", got.LastGood[0])
	}
}
