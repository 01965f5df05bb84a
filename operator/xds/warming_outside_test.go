package xds

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
)

// Of clusters that wait for a health check, only one that Envoy can wait for alone,
// and that nobody serves, is known to be to blame.
func TestWarmingForSomethingOutside(t *testing.T) {
	const e, s, c = envoy.EndpointType, envoy.SecretType, envoy.ClusterType
	alone := func(name string) *envoy.Resource { return checked(t, cluster(name, "svc/a", "trust/a", "1")) }
	cases := map[string]struct {
		reason string
		first  []*envoy.Resource
		play   func(b *bubble, w *bubbleWire)
		want   []string
	}{
		"alone": {
			"nothing else can hold the acknowledgement back", world(),
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b"), cluster("c", "svc/a", "", "1")))
				w.ack("", e)
				wait(10 * time.Second)
			},
			[]string{"begin b; outside", "end b: stream closed"},
		},
		"behind a stuck one": {
			"the second is warm and serves, and its acknowledgement is withheld because of the first", world(),
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(10 * time.Second)
				b.publish(list(alone("c")))
				w.ack("", e)
				wait(10 * time.Second)
				w.ack("", c)
			},
			[]string{"begin b; outside", "begin c", "end b: acknowledged", "end c: acknowledged"},
		},
		"before a young one": {
			"the first may be warm, and wait for the second", world(),
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(4 * time.Second)
				b.publish(list(checked(t, cluster("c", "svc/c", "", "1")), assignment("svc/c", "1")))
				wait(3 * time.Second)
			},
			[]string{"begin b", "end b: stream closed"},
		},
		"beside one that had something missing": {
			"it is told again when the other can be it no more", world(),
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(4 * time.Second)
				b.publish(list(cluster("c", "svc/c", "", "1"), assignment("svc/c", "1")))
				wait(2 * time.Second)
				w.ask(e, "svc/c")
				w.ack("", e)
				wait(10 * time.Second)
			},
			[]string{"begin b", "begin b; outside", "end b: stream closed"},
		},
		"new bytes of one that Envoy came with": {
			"an upgrade writes it in another way: Envoy serves it as before", replace(world(), alone("a")),
			func(_ *bubble, w *bubbleWire) {
				w.ack("", e, s)
				wait(10 * time.Second)
			},
			[]string{"begin a; outside; served", "end a: stream closed"},
		},
		"new bytes of one that was acknowledged": {
			"Envoy serves it as before", world(),
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("a")))
				w.ack("", e, s)
				wait(10 * time.Second)
			},
			[]string{"begin a; outside; served", "end a: stream closed"},
		},
		"another Envoy gets it warm later": {
			"that one says nothing of it: this one looks", world(),
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(10 * time.Second)
				b.connect().ack("", c, e, s)
				wait(time.Second)
			},
			[]string{"begin b; outside", "end b: taken by another", "begin b; outside; taken", "end b: stream closed"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := inBubble(t, func(b *bubble) {
				b.publish(tc.first)
				tc.play(b, b.connect())
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}
