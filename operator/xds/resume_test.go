package xds

import (
	"slices"
	"testing"

	"github.com/signetproxy/signet/translator/envoy"
)

func byType(rs ...*envoy.Resource) map[envoy.Type][]*envoy.Resource {
	out := map[envoy.Type][]*envoy.Resource{}
	for _, r := range rs {
		out[r.Type] = append(out[r.Type], r)
	}
	return out
}

func replace(rs []*envoy.Resource, with ...*envoy.Resource) []*envoy.Resource {
	out := append([]*envoy.Resource(nil), with...)
	for _, r := range rs {
		kept := true
		for _, w := range with {
			kept = kept && (w.Type != r.Type || w.Name != r.Name)
		}
		if kept {
			out = append(out, r)
		}
	}
	return out
}

// The fleet has world; Envoy comes with what it had.
func TestReconnect(t *testing.T) {
	wild := secret("*.example.com", "1")
	cases := map[string]struct {
		reason string
		had    []*envoy.Resource
		want   []string
	}{
		"untouched": {
			reason: "versions are digests: an Envoy that is up to date gets nothing, from any process",
			had:    append(world(), envoy.RenamedSecret(wild, "a.example.com")),
		},
		"host changed": {
			reason: "the difference alone",
			had:    replace(world(), scope("http|a", "0")),
			want:   []string{"scopes +http|a"},
		},
		"host gone": {
			reason: "what went meanwhile is removed",
			had:    append(world(), scope("http|gone", "1"), listener("gone", "1")),
			want:   []string{"listeners -gone", "scopes -http|gone"},
		},
		"cluster changed": {
			reason: "Envoy warms it until its endpoints come again, whatever version it has of them",
			had:    replace(world(), cluster("a", "svc/a", "trust/a", "0")),
			want:   []string{"clusters +a", "endpoints +svc/a", "secrets +trust/a"},
		},
		"secret changed": {
			reason: "a rotation while the stream was down",
			had:    replace(world(), secret("trust/a", "0"), secret("trust/gone", "1")),
			want:   []string{"secrets +trust/a", "secrets -trust/gone"},
		},
		"wildcard secret changed": {
			reason: "the version is that of the renamed secret",
			had:    append(world(), secret("a.example.com", "0")),
			want:   []string{"secrets +a.example.com"},
		},
		"cluster gone": {
			reason: "no route uses it, and the scopes that Envoy has are up to date",
			had:    append(world(), cluster("gone", "svc/gone", "", "1")),
			want:   []string{"clusters -gone"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Options{})
			h.publish(1, append(world(), wild))
			c := h.connect(t, edge)
			c.resume(byType(tc.had...))
			c.want(tc.want...)
			c.ack()
			if got := h.acknowledged(t, 1); !got.Resumed || got.Ready != 1 {
				t.Errorf("resumed %v, ready at %d; want true and 1", got.Resumed, got.Ready)
			}
			c.silent()
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

func TestReconnectRemovesAClusterAfterItsRoutes(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.resume(byType(append(replace(world(), scope("http|a", "uses gone")), cluster("gone", "svc/gone", "", "1"))...))
	c.want("scopes +http|a")
	c.silent()
	c.ack()
	c.want("clusters -gone")
}

func TestReconnectBeforeTheFirstRevision(t *testing.T) {
	h := serve(t, Options{})
	c := h.connect(t, edge)
	c.resume(byType(replace(world(), scope("http|a", "0"))...))
	h.until(t, "all is asked", func(s StreamState) bool { return s.Names == 2 && s.Resumed })
	h.publish(1, world())
	c.want("scopes +http|a")
	c.ack()
	h.acknowledged(t, 1)
	c.silent()
}

func TestAnEnvoyThatStartsRemovesAtOnce(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, append(world(), cluster("stuck", "svc/stuck", "", "1")))
	c := h.connect(t, edge)
	c.subscribe(envoy.ClusterType)
	c.want("clusters +a +stuck")
	h.publish(2, nil, cluster("stuck", "", "", ""))
	c.want("clusters -stuck") // it has not asked for listeners: nothing uses any cluster
}

func TestAFleetGoesAndComesBack(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	h.Publish(Update{Revision: 2, Fleets: []FleetUpdate{{Fleet: edge, Gone: true}}})
	c.subscribe(envoy.SecretType, "trust/a") // answered from what the stream has
	c.want("secrets +trust/a")
	h.publish(3, replace(world(), scope("http|a", "2")))
	c.want("scopes +http|a")
	c.ack()
	h.acknowledged(t, 3)
	h.Publish(Update{Revision: 4, Fleets: []FleetUpdate{{Fleet: edge, Gone: true}}})
	late := h.connect(t, edge).node("late")
	late.subscribe(envoy.ClusterType)
	got := h.until(t, "the late stream waits", func(s StreamState) bool { return s.Node == "late" })
	if got.Responses != 0 {
		t.Errorf("%d responses of a fleet that is gone", got.Responses)
	}
	c.close()
	late.close()
	h.stop()
	if got := h.State().Fleets; len(got) != 0 {
		t.Errorf("fleets that nobody has are kept: %+v", got)
	}
}

// While the fleet is gone an Envoy that comes back is told nothing: it serves on
// with what it has, and is sent nothing when the same fleet is there again.
func TestReconnectWhileTheFleetIsGone(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	h.Publish(Update{Revision: 2, Fleets: []FleetUpdate{{Fleet: edge, Gone: true}}})
	c := h.connect(t, edge)
	c.resume(byType(world()...))
	got := h.until(t, "it has asked for all", func(s StreamState) bool { return s.Names == 2 && s.Resumed })
	if got.Responses != 0 || got.Ready != 0 {
		t.Errorf("%d responses of a fleet that is gone, ready at %d", got.Responses, got.Ready)
	}
	h.publish(3, world())
	if got := h.acknowledged(t, 3); got.Responses != 0 {
		t.Errorf("%d responses of a fleet that is as it was", got.Responses)
	}
	c.silent()
}

// The stream ends when a refused response is being sent again one by one: the
// next stream begins with the whole difference, and finds the bad one too.
func TestReconnectAmidTheSearchForABadResource(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	h.publish(2, list(scope("http|bad", "1"), scope("http|good", "1")))
	c.want("scopes +http|bad +http|good")
	c.nack("one of them")
	c.want("scopes +http|bad", "scopes +http|good")
	c.close()
	h.untilAll(t, "it is gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })

	c = h.connect(t, edge)
	c.resume(byType(world()...))
	c.want("scopes +http|bad +http|good")
	c.nack("one of them")
	c.want("scopes +http|bad", "scopes +http|good")
	c.nack("this one")
	c.ack()
	c.silent()
	got := h.until(t, "one is refused", func(s StreamState) bool { return len(s.Rejected) == 1 && s.Unacknowledged == 0 })
	if got.Rejected[0].Name != "http|bad" {
		t.Errorf("%s is refused, want http|bad", got.Rejected[0].Name)
	}
	nack := h.refused(t, o, 3)
	if len(nack.Resources) != 1 || nack.Resources[0].Name != "http|bad" || nack.LastGood[0] != nil {
		t.Errorf("the observer heard %+v", nack)
	}
	// Envoy comes back with the good one alone.
	c.close()
	c = h.connect(t, edge)
	c.resume(byType(append(world(), scope("http|good", "1"))...))
	c.want("scopes +http|bad")
}

// A removal that waits for its users when the stream ends waits on the next one.
func TestReconnectWhileARemovalWaits(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(cluster("b", "svc/b", "", "1"), assignment("svc/b", "1"), scope("http|a", "2")),
		cluster("a", "", "", ""), assignment("svc/a", ""), secret("trust/a", ""))
	c.want("clusters +b", "endpoints +svc/b", "scopes +http|a")
	c.close()
	c = h.connect(t, edge)
	c.resume(byType(append(world(), cluster("b", "svc/b", "", "1"), assignment("svc/b", "1"))...))
	// Envoy keeps using the endpoints and the secret of a live cluster when they
	// are removed: the cluster is what waits.
	c.want("endpoints -svc/a", "secrets -trust/a", "scopes +http|a")
	c.silent()
	c.ack()
	c.want("clusters -a")
	c.ack()
	h.acknowledged(t, 2)
}

// What comes between Envoy's requests does not make its old routes go.
func TestReconnectAmidANewRevision(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	had := byType(append(replace(world(), scope("http|a", "uses gone")), cluster("gone", "svc/gone", "", "1"))...)
	c.resumeTypes(had, envoy.ClusterType)
	h.until(t, "it has asked for clusters", func(s StreamState) bool { return s.Resumed && s.Lingering == 1 })
	h.publish(2, list(scope("http|b", "1")))
	h.until(t, "the revision comes", func(s StreamState) bool { return s.Sent == 2 })
	c.resumeTypes(had, types[endpoints:]...)
	c.want("scopes +http|a +http|b")
	c.silent()
	c.ack()
	c.want("clusters -gone")
}

// The answer to a probe is not lost with the stream that it was for.
func TestReconnectWithAProbe(t *testing.T) {
	o := &probeRecord{}
	h := serve(t, Options{Observer: o})
	probe := scope("~probe", "1")
	probe.Probe = true
	h.publish(1, append(world(), probe))
	c := h.connect(t, edge)
	c.resume(byType(append(world(), probe)...))
	c.silent()
	h.acknowledged(t, 1)
	if got := o.all(); len(got) != 1 || got[0].Resource != probe || got[0].Refused || got[0].Fleet != edge {
		t.Errorf("the observer heard %+v, want that the probe is taken", got)
	}
}

// probeRecord is a ProbeObserver.
type probeRecord struct {
	record
	probes []Probed
}

func (r *probeRecord) OnProbed(p Probed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probes = append(r.probes, p)
}

func (r *probeRecord) all() []Probed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.probes)
}
