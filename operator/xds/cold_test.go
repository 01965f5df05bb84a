package xds

import (
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
)

// sent describes what came and is not answered.
func (w *bubbleWire) sent() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, r := range w.fake.sent {
		out = append(out, describe(r))
	}
	return out
}

// sends fails unless that came and is not answered.
func (w *bubbleWire) sends(t *testing.T, why string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.sent()); diff != "" {
		t.Errorf("%s (-want, +got):\n%s", why, diff)
	}
}

// is fails unless the last stream has acknowledged so much, and so many wait.
func (b *bubble) is(acknowledged uint64, waiting int) {
	b.t.Helper()
	f, _ := b.server.Fleet(edge)
	s := f.Streams[len(f.Streams)-1]
	if s.Acknowledged != acknowledged || s.Waiting != waiting {
		b.t.Errorf("revision %d is acknowledged and %d wait, want %d and %d", s.Acknowledged, s.Waiting, acknowledged, waiting)
	}
}

// What newly leads to a cluster that waits for a health check waits for it: until it
// is warm, Envoy answers 503 to what leads there.
func TestRouteWaitsForAColdCluster(t *testing.T) {
	const c, e, s = envoy.ClusterType, envoy.EndpointType, envoy.ScopeType
	cold := list(checked(t, cluster("cold", "svc/b", "trust/a", "1")), assignment("svc/b", "1"))
	moved := join(cold, list(scope("http|a", "leads to cold")))
	gone := list(cluster("a", "", "", ""), assignment("svc/a", ""))
	cases := map[string]struct {
		reason string
		play   func(t *testing.T, b *bubble, w *bubbleWire)
	}{
		"warm": {"it goes when its cluster is acknowledged, and the old cluster when it is itself", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.sends(t, "before", "clusters +cold", "endpoints +svc/b")
			w.ack("", e)
			b.is(1, 1)
			w.ack("", c)
			w.sends(t, "warm", "scopes +http|a")
			b.is(1, 0)
			w.ack("", s)
			w.sends(t, "moved", "clusters -a")
			b.is(1, 0)
			w.ack("", c)
			w.ack("", e)
			b.is(2, 0)
		}},
		"others": {"what leads elsewhere goes at once, as does a cluster that needs resources alone", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(join(moved, list(scope("http|b", "leads to a"), cluster("ready", "svc/a", "", "1"), scope("http|c", "leads to ready"))))
			w.sends(t, "others", "clusters +cold +ready", "endpoints +svc/a +svc/b", "scopes +http|b +http|c")
		}},
		"listener": {"a listener leads to clusters too", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(join(cold, list(listener("tcp", "leads to cold"))))
			w.sends(t, "before", "clusters +cold", "endpoints +svc/b")
			w.ack("", c, e)
			w.sends(t, "warm", "listeners +tcp")
		}},
		"too late": {"a cluster that does not get warm is waited for no longer than until it is named", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.ack("", e)
			wait(4900 * time.Millisecond)
			w.sends(t, "before", "clusters +cold")
			wait(200 * time.Millisecond)
			w.sends(t, "after", "clusters +cold", "scopes +http|a")
			b.publish(list(scope("http|b", "leads to cold")))
			w.sends(t, "a later one", "clusters +cold", "scopes +http|a", "scopes +http|b")
		}},
		"moved on": {"what leads elsewhere by now waits no longer, and belongs to the first revision", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.ack("", e)
			b.publish(list(scope("http|a", "closed")))
			w.sends(t, "closed", "clusters +cold", "scopes +http|a")
			b.publish(nil)
			b.is(1, 0)
		}},
		"goes": {"a host that goes meanwhile goes at once, and its cluster after it", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.ack("", c, e)
			w.ack("", s)
			w.ack("", c, e)
			b.publish(list(checked(t, cluster("colder", "svc/b", "trust/a", "1")), scope("http|a", "leads to colder")), cluster("cold", "", "", ""))
			w.ack("", e)
			b.publish(nil, scope("http|a", ""))
			w.sends(t, "gone", "clusters +colder", "scopes -http|a")
			w.ack("", s)
			w.sends(t, "its cluster", "clusters +colder", "clusters -cold")
		}},
		"changed twice": {"the newest goes, once", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			b.publish(list(scope("http|a", "leads to cold as well")))
			w.sends(t, "before", "clusters +cold", "endpoints +svc/b")
			b.is(1, 1)
			w.ack("", c, e)
			w.sends(t, "warm", "scopes +http|a")
			w.ack("", s)
			w.ack("", c)
			w.ack("", e)
			b.is(3, 0)
		}},
		"other bytes": {"Envoy serves a cluster with the bytes before while it warms with others", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(list(checked(t, cluster("a", "svc/a", "trust/a", "2")), scope("http|a", "leads to a")))
			w.sends(t, "at once", "clusters +a", "endpoints +svc/a", "scopes +http|a")
		}},
		"refused": {"a refused cluster is no warm one", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.ack("", e)
			w.ack("no", c)
			w.sends(t, "refused")
			b.publish(list(checked(t, cluster("cold", "svc/b", "trust/a", "2"))))
			w.ack("", c, e)
			w.sends(t, "mended", "scopes +http|a")
		}},
		"taken away": {"a cluster that the fleet has no more is not waited for", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.ack("", e)
			b.publish(nil, cluster("cold", "", "", ""))
			if got := w.sent(); len(got) < 2 || got[1] != "scopes +http|a" {
				t.Errorf("sent: %q", got)
			}
		}},
		"one after another": {"it waits no longer though it leads to a younger cluster by now", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved, gone...)
			w.ack("", e)
			wait(4 * time.Second)
			b.publish(list(checked(t, cluster("colder", "svc/b", "trust/a", "1")), scope("http|a", "leads to colder")))
			w.ack("", e)
			wait(900 * time.Millisecond)
			w.sends(t, "before", "clusters +cold", "clusters +colder")
			wait(200 * time.Millisecond)
			w.sends(t, "after", "clusters +cold", "clusters +colder", "scopes +http|a")
		}},
		"to and fro": {"a cluster that went and came is as cold as it was", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(moved)
			w.ack("", e)
			b.publish(list(scope("http|a", "1")), cold[0])
			w.ack("", e)
			b.publish(moved)
			w.ack("", e)
			w.sends(t, "again", "clusters +cold", "scopes +http|a", "clusters +cold")
			b.is(1, 1)
		}},
		"held": {"an Envoy that owes too many answers is sent nothing, and nothing looks for it all the time", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.server.opts.MaxUnacknowledged = 2
			b.publish(moved, gone...)
			b.publish(list(scope("http|b", "1")))
			wait(10 * time.Second)
			w.sends(t, "held", "clusters +cold", "endpoints +svc/b")
			w.ack("", e)
			w.sends(t, "no longer", "clusters +cold", "scopes +http|b", "scopes +http|a")
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				b.publish(world())
				w := b.connect()
				w.sends(t, "nothing is new")
				tc.play(t, b, w)
			})
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

// Of revisions that are sent as one, none is acknowledged before all are.
func TestAcknowledgementOfSeveralRevisionsAtOnce(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.server.opts.MaxUnacknowledged = 1
		b.publish(world())
		w := b.connect()
		for _, host := range []string{"b", "c", "d"} {
			b.publish(list(scope("http|"+host, "1")))
		}
		w.sends(t, "the first", "scopes +http|b")
		b.is(1, 0)
		w.ack("", envoy.ScopeType)
		w.sends(t, "the others", "scopes +http|c +http|d")
		b.is(2, 0)
		w.ack("", envoy.ScopeType)
		b.is(4, 0)
	})
}

// An Envoy that comes back has routes that serve, too.
func TestRouteOfAReturningEnvoyWaitsForAColdCluster(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.publish(join(replace(world(), scope("http|a", "leads to cold")),
			list(checked(t, cluster("cold", "svc/b", "trust/a", "1")), assignment("svc/b", "1"))))
		w := b.connect()
		w.sends(t, "before", "clusters +cold", "endpoints +svc/b", "secrets +trust/a")
		b.is(0, 1)
		w.ack("", envoy.ClusterType, envoy.EndpointType, envoy.SecretType)
		w.sends(t, "warm", "scopes +http|a")
		w.ack("", envoy.ScopeType)
		b.is(1, 0)
	})
}

// A request may look for its cluster after its route has moved: it is left to Envoy
// for a while, with what it needs, and costs no other removal more than that.
func TestClusterLingers(t *testing.T) {
	const c, e, s, k = envoy.ClusterType, envoy.EndpointType, envoy.ScopeType, envoy.SecretType
	to := func(name, edition string) []*envoy.Resource {
		return list(cluster(name, "svc/"+name, "trust/a", "1"), assignment("svc/"+name, "1"), scope("http|a", edition))
	}
	from := func(name string) []*envoy.Resource {
		return list(cluster(name, "", "", ""), assignment("svc/"+name, ""))
	}
	cases := map[string]struct {
		reason string
		play   func(t *testing.T, b *bubble, w *bubbleWire)
	}{
		"its time": {"it goes when its time is over, and its endpoints after it", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(to("b", "b"), from("a")...)
			w.ack("", c, e, s)
			b.is(2, 0)
			wait(9900 * time.Millisecond)
			w.sends(t, "before")
			wait(200 * time.Millisecond)
			w.sends(t, "after", "clusters -a")
			w.ack("", c)
			w.sends(t, "then", "endpoints -svc/a")
		}},
		"comes back": {"what is used again stays, and has its whole time when it goes again", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(to("b", "b"), from("a")...)
			w.ack("", c, e, s)
			wait(6 * time.Second)
			b.publish(to("a", "a"), from("b")...)
			w.ack("", c, e, s)
			wait(2 * time.Second)
			b.publish(to("b", "b2"), from("a")...)
			w.ack("", c, e, s)
			wait(9 * time.Second)
			w.sends(t, "not yet")
			wait(2 * time.Second)
			w.sends(t, "its time", "clusters -a")
		}},
		"churn": {"what the first needed does not wait for the last", func(t *testing.T, b *bubble, w *bubbleWire) {
			last := "a"
			for _, next := range []string{"b", "c", "d"} {
				b.publish(to(next, next), from(last)...)
				w.ask(e, "svc/"+next)
				w.ack("", c, e, s)
				wait(4 * time.Second)
				last = next
			}
			w.sends(t, "the first", "clusters -a")
			w.ack("", c)
			w.sends(t, "what it needed", "endpoints -svc/a")
			w.ack("", e)
			wait(3 * time.Second)
			w.sends(t, "the second", "clusters -b")
		}},
		"certificate": {"no cluster uses the certificate of a host: it goes with the host", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(list(secret("shop.test", "1")))
			w.ask(k, "shop.test")
			w.ack("", k)
			b.publish(nil, append(from("a"), scope("http|a", ""), secret("shop.test", ""))...)
			w.ack("", s)
			w.sends(t, "at once", "secrets -shop.test")
		}},
		"unsubscribed": {"an Envoy that asks for clusters no more is told nothing of them", func(t *testing.T, b *bubble, w *bubbleWire) {
			b.publish(to("b", "b"), from("a")...)
			w.ack("", c, e, s)
			w.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(c), ResourceNamesUnsubscribe: []string{wildcard}})
			wait(20 * time.Second)
			w.sends(t, "what it asks for", "endpoints -svc/a")
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				b.server.opts.Linger = 10 * time.Second
				b.publish(world())
				tc.play(t, b, b.connect())
			})
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}
