package xds

import (
	"slices"
	"testing"

	"github.com/signetproxy/signet/translator/envoy"
)

// What is sent again belongs to the revision that it was sent for first.
func TestARevisionIsNotOverBeforeWhatIsSentAgain(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	h.publish(2, list(secret("trust/a", "2")))
	c.want("secrets +trust/a")
	h.publish(3, list(scope("http|a", "2")))
	c.want("scopes +http|a")
	c.nack("Unexpected SDS secret (expecting *): trust/a")
	c.ack()
	c.want("secrets +trust/a")
	got := h.until(t, "the scope is acknowledged", func(s StreamState) bool { return s.Nacks == 1 && s.Unacknowledged == 1 })
	if got.Acknowledged != 1 || got.Sent != 3 {
		t.Errorf("%d of %d is acknowledged, want 1 of 3: Envoy has not taken the secret of 2", got.Acknowledged, got.Sent)
	}
	h.publish(4, list(scope("http|a", "3")))
	c.want("scopes +http|a")
	if acks, _ := o.seen(); len(acks) != 1 {
		t.Errorf("told as acknowledged: %+v, want revision 1 alone", acks)
	}
	c.ack()
	h.acknowledged(t, 4)
}

// A revision may mend a secret and bring a cluster that uses it: Envoy has the
// cluster first, and refuses it for the old bytes of the secret.
func TestAClusterThatIsRefusedBeforeItsSecretIsMendedIsSentAgain(t *testing.T) {
	for name, bad := range map[string]bool{"for the secret": false, "for itself": true} {
		t.Run(name, func(t *testing.T) {
			o := &record{}
			h := serve(t, Options{Observer: o})
			h.publish(1, world())
			c := h.connect(t, edge)
			c.start(world()...)
			h.publish(2, list(secret("trust/a", "bad")))
			c.want("secrets +trust/a")
			c.nack("bad")
			h.publish(3, list(cluster("b", "svc/a", "trust/a", "1"), secret("trust/a", "good")))
			c.want("clusters +b", "endpoints +svc/a", "secrets +trust/a")
			c.nack("bad secret")
			c.want("clusters +b", "endpoints +svc/a")
			want := 1 // of the secret
			if bad {
				r := c.unanswered[2]
				c.unanswered = slices.Delete(c.unanswered, 2, 3)
				c.ack()
				c.unanswered = append(c.unanswered, r)
				c.nack("bad cluster")
				want = 2
			}
			c.ack()
			c.silent()
			if _, nacks := o.seen(); len(nacks) != want {
				t.Errorf("the observer heard %+v", nacks)
			}
			if !bad {
				h.acknowledged(t, 3)
			}
		})
	}
}

// What was refused, held back and let go again is another try, also for an Envoy
// that was too busy to be sent what came between.
func TestWhatIsLetGoAgainIsSentAgain(t *testing.T) {
	h := serve(t, Options{MaxUnacknowledged: 2})
	h.publish(1, world())
	c := h.connect(t, edge)
	for _, t := range []envoy.Type{envoy.ClusterType, envoy.ListenerType, envoy.ScopeType} {
		c.subscribe(t)
		c.next(1)
		c.ack()
	}
	bad := list(cluster("b", "svc/a", "", "1"), listener("b", "1"), scope("http|b", "1"))
	h.publish(2, bad)
	c.want("clusters +b", "endpoints +svc/a", "listeners +b", "scopes +http|b")
	c.unanswered = append(c.unanswered[:1], c.unanswered[2:]...)
	c.nack("bad")
	c.nack("bad")
	h.until(t, "two are refused", func(s StreamState) bool { return s.Nacks == 2 })
	h.publish(3, list(listener("b", "instead"), scope("http|b", "instead")), bad[0])
	h.until(t, "it is held", func(s StreamState) bool { return s.Held })
	h.publish(4, bad)
	h.until(t, "it is held", func(s StreamState) bool { return s.Held })
	c.nack("bad")
	c.want("clusters +b", "endpoints +svc/a", "listeners +b", "scopes +http|b")
}
