package xds

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
)

// warmRecord hears of warming alone.
type warmRecord struct {
	mu   sync.Mutex
	said []string
}

func (r *warmRecord) OnAck(Ack)   {}
func (r *warmRecord) OnNack(Nack) {}

func (r *warmRecord) OnWarming(w Warming) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range w.Clusters {
		line := "begin " + c.Name
		for _, m := range c.Missing {
			line += fmt.Sprintf("; %s %s", m.Name, m.Reason)
		}
		for i, is := range []bool{c.Outside, c.Taken, c.Served} {
			if is {
				line += "; " + []string{"outside", "taken", "served"}[i]
			}
		}
		r.said = append(r.said, line)
	}
}

func (r *warmRecord) OnWarm(w Warm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range sortedKeys(w.Clusters) {
		r.said = append(r.said, fmt.Sprintf("end %s: %s", name, w.Clusters[name]))
	}
}

func (r *warmRecord) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.said)
}

// bubble is a running stream inside of synctest.
type bubble struct {
	t        *testing.T
	server   *Server
	heard    *warmRecord
	revision uint64
	sinks    []*bubbleWire
	// connection is that of the streams; it may be nil.
	connection *peer.Connection
}

// bubbleWire is a scripted Envoy; what it is sent it can answer by type.
type bubbleWire struct {
	ctx      context.Context
	hangUp   context.CancelFunc
	requests chan *discoveryv3.DeltaDiscoveryRequest
	fake     fakeWire
	mu       sync.Mutex
	ended    chan error
}

func (w *bubbleWire) Context() context.Context { return w.ctx }

func (w *bubbleWire) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	select {
	case r := <-w.requests:
		return r, nil
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	}
}

func (w *bubbleWire) SendMsg(m any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fake.SendMsg(m)
}

func inBubble(t *testing.T, play func(b *bubble)) []string {
	t.Helper()
	heard := &warmRecord{}
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, heard: heard, server: New(Options{Observer: Observers{&record{}, heard}})}
		play(b)
		for _, w := range b.sinks {
			w.hangUp()
			if err := <-w.ended; err == nil {
				t.Error("a stream ends without an error though its Envoy has gone")
			}
		}
	})
	return heard.said
}

func (b *bubble) publish(changed []*envoy.Resource, removed ...*envoy.Resource) {
	b.revision++
	u := FleetUpdate{Fleet: edge, Changed: changed}
	for _, r := range removed {
		u.Removed = append(u.Removed, ResourceKey{r.Type, r.Name})
	}
	b.server.Publish(Update{Revision: b.revision, Fleets: []FleetUpdate{u}})
	synctest.Wait()
}

// connect begins a stream that has everything of world and has said so.
func (b *bubble) connect() *bubbleWire {
	w := &bubbleWire{requests: make(chan *discoveryv3.DeltaDiscoveryRequest), ended: make(chan error, 1)}
	w.ctx, w.hangUp = context.WithCancel(b.t.Context())
	st := newStream(b.server, peer.Identity{Fleet: edge, Connection: b.connection}, w)
	if err := b.server.join(st); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		defer b.server.leave(st)
		w.ended <- st.run(nil)
	}()
	b.sinks = append(b.sinks, w)
	had := byType(world()...)
	for _, t := range types {
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(t), InitialResourceVersions: map[string]string{}}
		for _, r := range had[t] {
			req.InitialResourceVersions[r.Name] = r.Version
			if t == envoy.EndpointType || t == envoy.SecretType {
				req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, r.Name)
			}
		}
		w.send(req)
	}
	return w
}

func (w *bubbleWire) send(req *discoveryv3.DeltaDiscoveryRequest) {
	w.requests <- req
	synctest.Wait()
}

func (w *bubbleWire) ask(t envoy.Type, names ...string) {
	w.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(t), ResourceNamesSubscribe: names})
}

// ack answers all that came of the types; a message refuses them.
func (w *bubbleWire) ack(message string, of ...envoy.Type) {
	w.mu.Lock()
	var mine []*discoveryv3.DeltaDiscoveryResponse
	w.fake.sent = slices.DeleteFunc(w.fake.sent, func(r *discoveryv3.DeltaDiscoveryResponse) bool {
		if !slices.Contains(of, envoy.Type(r.GetTypeUrl())) {
			return false
		}
		mine = append(mine, r)
		return true
	})
	w.mu.Unlock()
	for _, r := range mine {
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
		if message != "" {
			req.ErrorDetail = &spb.Status{Code: 13, Message: message}
		}
		w.send(req)
	}
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestWarming(t *testing.T) {
	const e, s, c, route = envoy.EndpointType, envoy.SecretType, envoy.ClusterType, envoy.ScopeType
	// alone has all that it needs from world.
	alone := func(name string) *envoy.Resource { return cluster(name, "svc/a", "trust/a", "1") }
	cases := map[string]struct {
		reason string
		play   func(b *bubble, w *bubbleWire)
		want   []string
	}{
		"in time": {
			"nothing is told of a cluster that needs a while",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b"), scope("http|b", "1")))
				w.ack("", e, s, route)
				wait(4 * time.Second)
				w.ack("", c)
				wait(time.Hour)
			}, nil,
		},
		"health check": {
			"all that it needs is there: all of the response are named, once, and once when it is over",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b"), alone("c"), scope("http|b", "1")))
				w.ack("", e, s, route)
				wait(30 * time.Second)
				w.ack("", c)
				wait(time.Hour)
			},
			[]string{"begin b", "begin c", "end b: acknowledged", "end c: acknowledged"},
		},
		"endpoints missing": {
			"the cluster at fault is named alone",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b"), cluster("c", "svc/none", "", "1")))
				w.ask(e, "svc/none")
				w.ack("", e)
				wait(time.Minute)
			},
			[]string{"begin c; svc/none not in the fleet", "end c: stream closed"},
		},
		"endpoints refused": {
			"a refused load assignment leaves its cluster without one",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b"), cluster("c", "svc/c", "", "1"), assignment("svc/c", "bad")))
				w.ack("", e)
				w.ask(e, "svc/c")
				w.ack("bad", e)
				wait(time.Minute)
			},
			[]string{"begin c; svc/c refused", "end c: stream closed"},
		},
		"never subscribed, never answered": {
			"Envoy has not asked for the secret, and has not answered the endpoints",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b"), cluster("c", "svc/c", "trust/c", "1"), assignment("svc/c", "1"), secret("trust/c", "1"), scope("http|b", "1")))
				w.ack("", e, route)
				w.ask(e, "svc/c")
				wait(time.Minute)
			},
			[]string{"begin c; svc/c not acknowledged; trust/c not subscribed", "end c: stream closed"},
		},
		"known to others": {
			"another Envoy uses all but one of these clusters",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", c, e, s)
				b.publish(list(alone("d")))
				late := b.connect() // it is sent both at once
				late.ack("", e, s)
				wait(10 * time.Second)
			},
			[]string{"begin d", "end d: stream closed"},
		},
		"a stuck Envoy": {
			"one that says nothing may be stuck itself: keepalive finds out first",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				wait(39 * time.Second)
			}, nil,
		},
		"an Envoy that has nothing else to say": {
			"keepalive has found it alive",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				wait(40 * time.Second)
			},
			[]string{"begin b; svc/a not acknowledged", "end b: stream closed"},
		},
		"busy": {
			"as long as Envoy gets on with what clusters need, none is to blame",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				for i := range 5 {
					wait(4 * time.Second)
					w.ask(e, fmt.Sprint("svc/more", i))
					w.ack("", e, s)
				}
				w.ack("", c)
				wait(time.Hour)
			}, nil,
		},
		"busy for too long": {
			"new clusters do not hide a stuck one for ever",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				for i := range 8 {
					w.ask(e, fmt.Sprint("svc/more", i))
					w.ack("", e, s)
					wait(4 * time.Second)
				}
			},
			[]string{"begin b", "end b: stream closed"},
		},
		"traffic": {
			"changes of endpoints and handshakes are no progress of a cluster",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				for i := range 6 {
					b.publish(list(assignment("svc/a", fmt.Sprint(i))))
					w.ask(s, fmt.Sprint("host", i))
					w.ack("", e, s)
					wait(time.Second)
				}
			},
			[]string{"begin b", "end b: stream closed"},
		},
		"removed": {
			"the fleet gives the cluster up",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(time.Minute)
				b.publish(nil, alone("b"))
				w.ack("", c)
			},
			[]string{"begin b", "end b: removed"},
		},
		"refused in the end": {
			"a Nack says the rest",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(time.Minute)
				w.ack("bad", c)
			},
			[]string{"begin b", "end b: refused"},
		},
		"replaced": {
			"new bytes of a suspect do not end it",
			func(b *bubble, w *bubbleWire) {
				b.publish(list(alone("b")))
				w.ack("", e)
				wait(time.Minute)
				b.publish(list(cluster("b", "svc/a", "trust/a", "2")))
				wait(time.Minute)
				w.ack("", c, e)
			},
			[]string{"begin b", "end b: acknowledged"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := inBubble(t, func(b *bubble) {
				b.publish(world())
				tc.play(b, b.connect())
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWarmingIsShown(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.publish(world())
		w := b.connect()
		b.publish(list(cluster("b", "svc/a", "", "1"), cluster("c", "svc/none", "", "1")))
		sent := time.Now()
		w.ask(envoy.EndpointType, "svc/none")
		w.ack("", envoy.EndpointType)
		wait(time.Minute)
		want := []WarmingCluster{{
			Name: "c", Revision: 2, Since: sent,
			Missing: []Missing{{envoy.EndpointType, "svc/none", MissingInFleet}},
		}}
		if diff := cmp.Diff(want, b.server.State().Fleets[0].Streams[0].Warming); diff != "" {
			t.Errorf("-want, +got:\n%s", diff)
		}
		if got := gather(t, b.server)["signet_xds_warming_clusters"]; got != 1 {
			t.Errorf("the metric is %v, want 1", got)
		}
		w.ack("", envoy.ClusterType)
		if got := b.server.State().Fleets[0].Streams[0].Warming; len(got) != 0 {
			t.Errorf("%v are shown after the acknowledgement", got)
		}
	})
}
