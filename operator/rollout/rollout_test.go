package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/ir"
)

var (
	edge  = ir.Name{Namespace: "prod", Name: "edge"}
	inner = ir.Name{Namespace: "prod", Name: "inner"}
	web   = Object{HTTPProxy, ir.Name{Namespace: "shop", Name: "web"}}
	api   = Object{HTTPProxy, ir.Name{Namespace: "shop", Name: "api"}}
	trust = Object{Secret, ir.Name{Namespace: "shop", Name: "ca"}}
)

// play is a tracker whose clock stands still but for at.
type play struct {
	*Tracker
	clock *testingclock.FakePassiveClock
	start time.Time
	log   []string
}

func newPlay(limit int) *play {
	p := &play{start: time.Unix(1000, 0)}
	p.clock = testingclock.NewFakePassiveClock(p.start)
	log := funcr.New(func(_, args string) { p.log = append(p.log, args) }, funcr.Options{Verbosity: 1})
	p.Tracker = New(Options{Clock: p.clock, MaxPending: limit, Log: log})
	return p
}

// at moves the clock to a number of milliseconds from the start.
func (p *play) at(ms int) *play {
	p.clock.SetTime(p.start.Add(time.Duration(ms) * time.Millisecond))
	return p
}

// commit commits a revision of objects that were delivered now.
func (p *play) commit(revision uint64, fleets []ir.Name, objects ...Object) {
	c := Commit{Revision: revision, Fleets: fleets}
	for _, o := range objects {
		c.Changes = append(c.Changes, Change{Object: o, Delivered: p.Now()})
	}
	p.Commit(c)
}

func (p *play) join(f ir.Name, id uint64)  { p.OnJoin(xds.Stream{Fleet: f, ID: id}) }
func (p *play) leave(f ir.Name, id uint64) { p.OnLeave(xds.Stream{Fleet: f, ID: id}) }
func (p *play) ack(f ir.Name, id, revision uint64) {
	p.OnAck(xds.Ack{Fleet: f, Stream: id, Revision: revision})
}

// measured lists what the histogram and the counter hold: "HTTPProxy 2 in 30ms"
// and "HTTPProxy superseded 1".
func (p *play) measured(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, k := range Kinds {
		var m dto.Metric
		h, ok := p.metrics.propagation.WithLabelValues(string(k)).(interface{ Write(*dto.Metric) error })
		if !ok {
			t.Fatal("the histogram does not show its values")
		}
		if err := h.Write(&m); err != nil {
			t.Fatal(err)
		}
		if n := m.GetHistogram().GetSampleCount(); n > 0 {
			sum := time.Duration(m.GetHistogram().GetSampleSum() * float64(time.Second)).Round(time.Millisecond)
			out = append(out, fmt.Sprintf("%s %d in %s", k, n, sum))
		}
		for _, r := range Reasons {
			if err := p.metrics.skipped.WithLabelValues(string(k), string(r)).Write(&m); err != nil {
				t.Fatal(err)
			}
			if n := m.GetCounter().GetValue(); n > 0 {
				out = append(out, fmt.Sprintf("%s %s %.0f", k, r, n))
			}
		}
	}
	return out
}

// idle fails when something is left of changes that are over.
func (p *play) idle(t *testing.T) {
	t.Helper()
	if len(p.open) != 0 {
		t.Errorf("%d objects are still under way", len(p.open))
	}
	for _, f := range p.fleets {
		if len(f.queue) != 0 || f.pending != 0 || f.buried != 0 {
			t.Errorf("fleet %s: %d in the queue, %d pending, %d buried, want none", f.name, len(f.queue), f.pending, f.buried)
		}
	}
}

func both() []ir.Name { return []ir.Name{edge, inner} }

func only(f ir.Name) []ir.Name { return []ir.Name{f} }

func TestPropagationIsMeasuredToTheLastAcknowledgement(t *testing.T) {
	cases := map[string]struct {
		reason string
		limit  int
		play   func(p *play)
		want   []string
	}{
		"OneEnvoy": {
			"from delivery to acknowledgement", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.at(30).ack(edge, 1, 2)
			},
			[]string{"HTTPProxy 1 in 30ms"},
		},
		"TheLastOfTwo": {
			"the slowest Envoy counts", 0,
			func(p *play) {
				p.join(edge, 1)
				p.join(edge, 2)
				p.commit(2, only(edge), web, trust)
				p.at(10).ack(edge, 1, 2)
				p.at(40).ack(edge, 2, 2)
			},
			[]string{"HTTPProxy 1 in 40ms", "Secret 1 in 40ms"},
		},
		"ALaterRevision": {
			"an acknowledgement covers all revisions before", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.at(10).commit(3, only(edge), trust)
				p.at(50).ack(edge, 1, 3)
			},
			[]string{"HTTPProxy 1 in 50ms", "Secret 1 in 40ms"},
		},
		"AnEarlierRevision": {
			"acknowledging what was before says nothing of the change", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.commit(3, only(edge), trust)
				p.at(10).ack(edge, 1, 2)
				p.at(20).leave(edge, 1)
			},
			[]string{"HTTPProxy 1 in 10ms", "Secret abandoned 1"},
		},
		"ConnectsLater": {
			"an Envoy that comes after the commit is not waited for", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.join(edge, 2)
				p.at(10).ack(edge, 1, 2)
				p.at(99).ack(edge, 2, 2)
			},
			[]string{"HTTPProxy 1 in 10ms"},
		},
		"Leaves": {
			"an Envoy that goes holds nothing up, and its end is no acknowledgement", 0,
			func(p *play) {
				p.join(edge, 1)
				p.join(edge, 2)
				p.commit(2, only(edge), web)
				p.at(10).ack(edge, 1, 2)
				p.at(99).leave(edge, 2)
			},
			[]string{"HTTPProxy 1 in 10ms"},
		},
		"AllLeave": {
			"what nobody acknowledged has no time", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.leave(edge, 1)
				p.at(50).join(edge, 2)
				p.ack(edge, 2, 2)
			},
			[]string{"HTTPProxy abandoned 1"},
		},
		"TwoFleets": {
			"every fleet that the revision changed counts", 0,
			func(p *play) {
				p.join(edge, 1)
				p.join(inner, 2)
				p.commit(2, both(), web)
				p.at(10).ack(inner, 2, 2)
				p.at(20).ack(edge, 1, 2)
			},
			[]string{"HTTPProxy 1 in 20ms"},
		},
		"OtherFleet": {
			"a fleet that the revision did not change is not waited for", 0,
			func(p *play) {
				p.join(edge, 1)
				p.join(inner, 2)
				p.commit(2, only(edge), web)
				p.at(10).ack(edge, 1, 2)
			},
			[]string{"HTTPProxy 1 in 10ms"},
		},
		"OutOfOrder": {
			"one fleet's later change arrives before another's earlier one", 0,
			func(p *play) {
				p.join(edge, 1)
				p.join(inner, 2)
				p.commit(2, both(), web)
				p.commit(3, only(inner), web)
				p.at(10).ack(inner, 2, 3)
				p.at(20).ack(edge, 1, 2)
			},
			[]string{"HTTPProxy 2 in 30ms"},
		},
		"Superseded": {
			"the oldest and the newest are measured, what is between is counted", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.at(10).commit(3, only(edge), web)
				p.at(20).commit(4, only(edge), web)
				p.at(30).commit(5, only(edge), web)
				p.at(40).ack(edge, 1, 5)
			},
			[]string{"HTTPProxy 2 in 50ms", "HTTPProxy superseded 2"},
		},
		"NeverAtRest": {
			"an object that changes faster than Envoys answer is measured all the same", 0,
			func(p *play) {
				p.join(edge, 1)
				for r := uint64(2); r < 12; r++ {
					p.at(int(r)*10).commit(r, only(edge), web)
					if r > 3 {
						p.at(int(r)*10+5).ack(edge, 1, r-2)
					}
				}
				p.at(130).ack(edge, 1, 11)
			},
			[]string{"HTTPProxy 6 in 150ms", "HTTPProxy superseded 4"},
		},
		"Untouched": {
			"a change that no Envoy is told of takes no time", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, nil, web)
			},
			[]string{"HTTPProxy untouched 1"},
		},
		"NoEnvoy": {
			"there is nobody to acknowledge", 0,
			func(p *play) { p.commit(2, only(edge), web) },
			[]string{"HTTPProxy no_envoy 1"},
		},
		"Overflow": {
			"memory is bounded when an Envoy never answers", 2,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web, trust)
				p.commit(3, only(edge), api)
				p.at(10).ack(edge, 1, 3)
			},
			[]string{"HTTPProxy 1 in 10ms", "HTTPProxy overflow 1", "Secret 1 in 10ms"},
		},
		"Gone": {
			"a deletion is a change", 0,
			func(p *play) {
				p.join(edge, 1)
				p.Commit(Commit{Revision: 2, Fleets: only(edge), Changes: []Change{{Object: web, Gone: true, Delivered: p.Now()}}})
				p.at(10).ack(edge, 1, 2)
			},
			[]string{"HTTPProxy 1 in 10ms"},
		},
		"Repeated": {
			"an acknowledgement that comes again counts once", 0,
			func(p *play) {
				p.join(edge, 1)
				p.join(edge, 2)
				p.commit(2, only(edge), web)
				p.at(10).ack(edge, 1, 2)
				p.at(20).ack(edge, 1, 2)
				p.at(30).ack(edge, 2, 2)
			},
			[]string{"HTTPProxy 1 in 30ms"},
		},
		"Stranger": {
			"a stream that is not known changes nothing", 0,
			func(p *play) {
				p.join(edge, 1)
				p.commit(2, only(edge), web)
				p.at(10).ack(edge, 7, 2)
				p.ack(inner, 1, 2)
				p.leave(edge, 7)
				p.leave(inner, 1)
				p.at(20).ack(edge, 1, 2)
			},
			[]string{"HTTPProxy 1 in 20ms"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPlay(c.limit)
			p.commit(1, both(), web) // the state at start is no change
			c.play(p)
			if diff := cmp.Diff(c.want, p.measured(t)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
			}
			p.idle(t)
		})
	}
}

func TestProgressCountsAcknowledgements(t *testing.T) {
	p := newPlay(0)
	p.commit(1, only(edge), web, trust)
	want := func(o Object, fleets []ir.Name, want string) {
		t.Helper()
		got := "unknown"
		if x, ok := p.Progress(o, fleets); ok {
			got = fmt.Sprintf("%d/%d revision %d since %s", x.Acknowledged, x.Envoys, x.Revision, x.Since.Sub(p.start))
		}
		if got != want {
			t.Errorf("%s: %s, want %s", o, got, want)
		}
	}
	want(web, nil, "0/0 revision 1 since 0s")
	p.join(edge, 1)
	p.join(inner, 2)
	want(web, nil, "0/1 revision 1 since 0s")
	p.ack(edge, 1, 1)
	want(web, nil, "1/1 revision 1 since 0s")
	want(web, both(), "1/2 revision 1 since 0s") // who has acknowledged nothing counts for nothing
	p.at(5).commit(2, only(edge), web)
	p.at(6).commit(3, nil, api)
	want(web, nil, "0/1 revision 2 since 5ms")
	want(trust, nil, "1/1 revision 1 since 0s")
	want(api, nil, "0/0 revision 3 since 6ms")
	want(api, only(edge), "0/1 revision 3 since 6ms") // the fleet owes revision 2
	p.join(edge, 3)
	p.ack(edge, 3, 2)
	want(web, nil, "1/2 revision 2 since 5ms")
	p.at(7).commit(4, only(edge), trust)
	p.ack(edge, 1, 2)
	want(web, nil, "2/2 revision 2 since 5ms")
	want(api, only(edge), "2/2 revision 3 since 6ms") // nothing changed between 2 and 4
	want(trust, nil, "0/2 revision 4 since 7ms")
	p.leave(edge, 1)
	want(trust, nil, "0/1 revision 4 since 7ms")
	p.Commit(Commit{Revision: 5, Fleets: only(edge), Changes: []Change{{Object: web, Gone: true, Delivered: p.Now()}}})
	want(web, nil, "unknown")
}

// Of an Envoy that is far behind nothing is claimed that it has not said.
func TestProgressOfAnEnvoyFarBehind(t *testing.T) {
	p := newPlay(0)
	p.commit(1, only(edge), web)
	p.join(edge, 1)
	p.ack(edge, 1, 1)
	p.commit(2, nil, api) // covered by the acknowledgement of 1
	for r := uint64(3); r < 3+3*maxChanges; r++ {
		p.commit(r, only(edge), trust)
	}
	if n := len(p.fleets[edge].changes); n > maxChanges {
		t.Errorf("%d revisions are remembered, want at most %d", n, maxChanges)
	}
	for o, want := range map[Object]int{web: 1, api: 0, trust: 0} {
		if got, _ := p.Progress(o, only(edge)); got.Acknowledged != want {
			t.Errorf("%s: %d acknowledged, want %d", o, got.Acknowledged, want)
		}
	}
	// One object changes all the time, and takes the room of two changes.
	if f := p.fleets[edge]; f.pending != 2 || len(f.queue) > 4 {
		t.Errorf("%d changes and %d entries wait, want 2 and at most 4", f.pending, len(f.queue))
	}
	p.ack(edge, 1, p.newest)
	p.idle(t)
}

// A fleet that is no more is forgotten when its last Envoy has gone.
func TestFleetsAreForgotten(t *testing.T) {
	p := newPlay(0)
	fleet := Object{EnvoyFleet, edge}
	p.commit(1, both(), fleet)
	p.join(edge, 1)
	p.Commit(Commit{Revision: 2, Fleets: only(edge), Changes: []Change{{Object: fleet, Gone: true}}})
	if p.fleets[edge] == nil {
		t.Error("forgotten while an Envoy is there")
	}
	p.leave(edge, 1)
	p.join(ir.Name{Name: "unknown"}, 2)
	p.leave(ir.Name{Name: "unknown"}, 2)
	if len(p.fleets) != 1 || p.fleets[inner] == nil {
		t.Errorf("%d fleets are left, want the one that is served", len(p.fleets))
	}
	p.Commit(Commit{Revision: 3, Fleets: only(inner), Changes: []Change{{Object: Object{EnvoyFleet, inner}, Gone: true}}})
	if len(p.fleets) != 0 || len(p.records) != 0 {
		t.Errorf("%d fleets and %d objects are left, want none", len(p.fleets), len(p.records))
	}
}

func TestArrivalIsLogged(t *testing.T) {
	p := newPlay(0)
	p.commit(1, only(edge), web)
	p.join(edge, 1)
	p.join(edge, 2)
	p.commit(2, only(edge), web)
	p.at(3).ack(edge, 1, 2)
	if len(p.log) != 0 {
		t.Errorf("logged before all have acknowledged: %q", p.log)
	}
	p.at(4).ack(edge, 2, 2)
	want := []string{`"level"=1 "msg"="Acknowledged" "object"="HTTPProxy shop/web" "revision"=2 "acknowledged"=2 "envoys"=2 "after"="4ms"`}
	if diff := cmp.Diff(want, p.log); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
}

// Whatever happens in whatever order, nothing is left when all is acknowledged,
// each change is either measured or counted, and progress tells what a slow
// model tells.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(50) {
		h := &history{play: newPlay(1 << 20), rand: rand.New(rand.NewPCG(seed, 2)), acked: map[xds.Stream]uint64{}, heads: map[xds.Stream]uint64{}}
		h.commit(1, both())
		for range 300 {
			h.step(t)
		}
		for s := range h.acked {
			h.ack(s.Fleet, s.ID, h.revision())
		}
		h.idle(t)
		if got := h.total(t); got != h.changes {
			t.Errorf("seed %d: %d changes are accounted for, want %d", seed, got, h.changes)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// history is a model of what Progress promises: it remembers every revision.
type history struct {
	*play

	rand    *rand.Rand
	touched []map[ir.Name]bool // by revision, from 2
	acked   map[xds.Stream]uint64
	heads   map[xds.Stream]uint64 // the newest revision of its fleet when it came
	nextID  uint64
	changes int
}

func (h *history) revision() uint64 { return uint64(len(h.touched)) + 1 }

func (h *history) step(t *testing.T) {
	t.Helper()
	streams := make([]xds.Stream, 0, len(h.acked))
	for s := range h.acked {
		streams = append(streams, s)
	}
	slices.SortFunc(streams, func(a, b xds.Stream) int { return int(a.ID) - int(b.ID) })
	switch n := h.rand.IntN(10); {
	case n < 4:
		fleets := [][]ir.Name{nil, only(edge), only(inner), both()}[h.rand.IntN(4)]
		touched := map[ir.Name]bool{}
		for _, f := range fleets {
			touched[f] = true
		}
		h.touched = append(h.touched, touched)
		objects := []Object{web, api, trust}[:h.rand.IntN(4)]
		h.changes += len(objects)
		h.commit(h.revision(), fleets, objects...)
	case n < 5:
		h.nextID++
		s := xds.Stream{Fleet: both()[h.rand.IntN(2)], ID: h.nextID}
		h.acked[s], h.heads[s] = 0, h.head(s.Fleet)
		h.join(s.Fleet, s.ID)
	case n < 6 && len(streams) > 2:
		s := streams[h.rand.IntN(len(streams))]
		delete(h.acked, s)
		h.leave(s.Fleet, s.ID)
	case len(streams) > 0:
		s := streams[h.rand.IntN(len(streams))]
		r := max(h.acked[s]+1, h.heads[s]) + uint64(h.rand.IntN(4))
		if r <= h.revision() {
			h.acked[s] = r
			h.ack(s.Fleet, s.ID, r)
		}
	}
	h.check(t)
}

// check compares Progress with the model.
func (h *history) check(t *testing.T) {
	t.Helper()
	for _, o := range []Object{web, api, trust} {
		got, ok := h.Progress(o, both())
		if !ok {
			continue
		}
		want := 0
		for s, acked := range h.acked {
			if acked > 0 && h.covers(s.Fleet, acked, got.Revision) {
				want++
			}
		}
		if got.Acknowledged != want || got.Envoys != len(h.acked) {
			t.Errorf("%s: %d/%d, want %d/%d", o, got.Acknowledged, got.Envoys, want, len(h.acked))
		}
	}
}

func (h *history) head(f ir.Name) uint64 {
	for r := h.revision(); r > 1; r-- {
		if h.touched[r-2][f] {
			return r
		}
	}
	return 1
}

// covers says whether nothing changed the fleet behind one revision up to
// another.
func (h *history) covers(f ir.Name, acked, revision uint64) bool {
	for r := acked + 1; r <= revision; r++ {
		if h.touched[r-2][f] {
			return false
		}
	}
	return true
}

func (h *history) total(t *testing.T) int {
	t.Helper()
	total := 0
	for _, line := range h.measured(t) {
		fields := strings.Fields(line) // "KIND n in TIME" or "KIND reason n"
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			n, err = strconv.Atoi(fields[2])
		}
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}
