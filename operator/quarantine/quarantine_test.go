package quarantine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Whatever is written, the quarantine goes on: it waits for what was written,
// and not for what it would have written alone.
func TestGoesOnAfterItsWrites(t *testing.T) {
	row := &translator.Refusal{Version: "1", Message: "no"}
	told := []Told{{
		Namespace: fleet.Namespace, Fleet: fleet.Name, Type: envoy.ScopeType, Name: whole().Name, Part: "a",
		Version: "1", Message: "no", Serves: reason.MessageLastGood,
	}}
	cases := map[string]struct {
		reason string
		decide func(t *testing.T, q *Quarantine, tr *translator.Translator) []change
		want   *translator.Refusal // of part a
	}{
		"mended here, told by another": {
			"the other has not settled yet: its row takes the place of the own one",
			func(_ *testing.T, q *Quarantine, _ *translator.Translator) []change {
				q.book.put(partKey("a"), row)
				q.Learn(told)
				return q.book.settle(1, nothing)
			},
			&translator.Refusal{Version: "1", Message: "no", Elsewhere: reason.MessageLastGood},
		},
		"let go here, convicted by another": {
			"the suspect is tried here, and the other's row is shown",
			func(_ *testing.T, q *Quarantine, _ *translator.Translator) []change {
				suspect := *row
				suspect.Suspect = true
				q.book.put(partKey("a"), &suspect)
				q.book.searches[whole()] = &search{groups: [][]string{{"a"}}}
				q.Learn(told)
				return q.book.advance(whole(), q.book.searches[whole()])
			},
			&translator.Refusal{Version: "1", Message: "no", Elsewhere: reason.MessageLastGood},
		},
		"a probe that is asked again": {
			"the graph keeps the equal one that it has", probesAgain, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, tr := New(Options{}), translator.New()
				q.submit(tr, c.decide(t, q, tr))
				goOn(t, q, tr)
				got, _ := tr.Quarantine.Get(tr.Current().Reader(), partKey("a"))
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
				}
			})
		})
	}
}

// probesAgain ends a trial for other bytes, whose first probe is the same.
func probesAgain(t *testing.T, q *Quarantine, tr *translator.Translator) []change {
	t.Helper()
	begin := func(last string) []change {
		parts := []*envoy.Resource{part(t, "*.a.test", "one"), part(t, "*.b.test", last)}
		x, err := envoy.ComposeFallback("http", parts)
		if err != nil {
			t.Fatal(err)
		}
		out, err := q.book.begin(&refused{key: whole(), resource: x, message: "no"}, parts)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := begin("one")
	c := graph.NewChanges()
	tr.Probes.Put(c, whole(), first[0].probe)
	tr.Commit(c)
	out := append(q.book.close(q.book.trials[whole()]), begin("two")...)
	if again := out[1].probe; again == first[0].probe || !again.Equal(first[0].probe) {
		t.Fatal("the second probe is not an equal one of its own")
	}
	return out
}

func nothing(translator.RefusalKey) bool { return false }

// goOn commits what was submitted, runs both, and checks that what is said then is written.
func goOn(t *testing.T, q *Quarantine, tr *translator.Translator) {
	t.Helper()
	go func() { _ = tr.Run(t.Context(), func(*graph.Revision) { q.look() }) }()
	synctest.Wait()
	go func() { _ = q.Run(t.Context(), tr) }()
	synctest.Wait()
	q.OnWarming(xds.Warming{Fleet: fleet, Stream: 1, Clusters: []xds.WarmingCluster{{Name: "c", Outside: true}}})
	synctest.Wait()
	if _, ok := tr.Warming.Get(tr.Current().Reader(), translator.ClusterKey{Fleet: fleet, Name: "c"}); !ok {
		t.Error("a cluster that does not get warm is not written: the quarantine has stopped")
	}
}

// A revision that is committed and refused while the quarantine looks at the one
// before is judged all the same: Envoy does not say it twice.
func TestRefusedWhileItLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := func() {}
		log := funcr.New(func(string, string) { looks() }, funcr.Options{})
		s := newStage(t, Options{Log: log}, "one")
		s.step()
		lastGood := s.scope()
		s.q.said[partKey("gone")] = &translator.Refusal{} // to be told of
		looks = func() {
			looks = func() {}
			s.set("two")
			s.refuse(lastGood)
		}
		s.q.look()
		s.step()
		if diff := cmp.Diff(lastGood.Version, s.scope().Version); diff != "" {
			t.Errorf("what was refused is served still (-last good, +served):\n%s", diff)
		}
	})
}

// Envoys acknowledge the revisions that change their fleet, and no other: a
// search goes on whatever was committed before it looked.
func TestSearchGoesOn(t *testing.T) {
	other := ir.Name{Namespace: "signet", Name: "other"}
	cases := map[string]struct {
		reason string
		before func(*stage) // the quarantine sees that the suspects are set aside
	}{
		"nothing happens":       {"the revision that set them aside is acknowledged", func(*stage) {}},
		"another fleet changes": {"Envoys of this one hear nothing of it", func(s *stage) { s.serve(other, 9090) }},
		"a suspect is given up": {"its last good form is served already", func(s *stage) { s.set("one", "bad", "two") }},
		"acknowledged at once":  {"the answer is there before the fleet stays as it is", func(s *stage) { s.take(); s.serve(other, 9090) }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{}, "one", "one", "one")
				s.take()
				s.step()
				lastGood := s.scope()
				s.set("two", "bad", "two")
				s.refuse(lastGood)
				<-s.q.wake
				s.q.step(s.tr)
				synctest.Wait()
				c.before(s)
				s.step()
				for range 10 { // Envoy answers
					if strings.Contains(string(s.scope().Body), "bad") {
						s.refuse(lastGood)
					} else {
						lastGood = s.scope()
						s.take()
					}
					s.step()
				}
				if len(s.q.book.searches) > 0 || len(s.q.book.rows) != 1 {
					t.Errorf("%s: %d searches are on, %d parts are held back, want none and one",
						c.reason, len(s.q.book.searches), len(s.q.book.rows))
				}
			})
		})
	}
}

// What is lost because too much was said at once is logged; what all Envoys of a
// fleet say of the same bytes is not too much.
func TestTooMuchAtOnce(t *testing.T) {
	cases := map[string]func(*Quarantine, *envoy.Resource){
		"refusals": func(q *Quarantine, x *envoy.Resource) {
			q.OnNack(xds.Nack{Fleet: fleet, Type: x.Type, Resources: []*envoy.Resource{x}})
		},
		"answers to probes": func(q *Quarantine, x *envoy.Resource) { q.OnProbed(xds.Probed{Fleet: fleet, Resource: x}) },
	}
	for name, say := range cases {
		t.Run(name, func(t *testing.T) {
			logged := 0
			q := New(Options{Log: funcr.New(func(string, string) { logged++ }, funcr.Options{})})
			for range 500 { // Envoys
				for i := range 10 {
					say(q, envoy.NewResource(envoy.ScopeType, fmt.Sprint(i), nil))
				}
			}
			if logged != 0 {
				t.Errorf("%d of 10 things that 500 Envoys say are lost", logged)
			}
			for i := range 4096 - 10 + 1 {
				say(q, envoy.NewResource(envoy.ScopeType, fmt.Sprint("x", i), nil))
			}
			if logged != 1 {
				t.Errorf("%d lines for one that is lost", logged)
			}
			what := q.listen()
			if n := len(what.nacks) + len(what.probes); n != 4096 {
				t.Errorf("%d are looked at, want 4,096", n)
			}
		})
	}
}

// Of a refusal that several Envoys say, the newest knows what is good.
func TestTheNewestRefusalCounts(t *testing.T) {
	q := New(Options{})
	x := envoy.NewResource(envoy.ScopeType, "x", nil)
	for revision, good := range []*envoy.Resource{nil, nil, x} {
		q.OnNack(xds.Nack{Fleet: fleet, Type: x.Type, Revision: 9 - uint64(revision), Resources: []*envoy.Resource{x}, LastGood: []*envoy.Resource{good}})
	}
	if got := q.listen().nacks; len(got) != 1 || got[0].LastGood[0] != x || got[0].Revision != 9 {
		t.Errorf("heard: %+v", got)
	}
}

// An answer to a probe counts also where other bytes of the resource are refused
// at the same time: Envoy is not asked again what it has answered.
func TestAnsweredBesideARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{}, "bad", "one", "one", "one")
		var answered *envoy.Resource
		answer := func() bool {
			x := s.probe()
			if x == nil || x.Equal(answered) {
				return false
			}
			answered = x
			s.q.OnProbed(xds.Probed{Fleet: fleet, Resource: x, Refused: strings.Contains(string(x.Body), "bad"), Message: "no"})
			return true
		}
		s.refuse(nil)
		s.step()
		if !answer() {
			t.Fatal("no probe")
		}
		s.set("bad", "two", "one", "one")
		s.refuse(nil)
		for s.step(); answer(); s.step() {
			continue
		}
		if strings.Contains(string(s.scope().Body), "bad") || len(s.q.book.rows) != 1 {
			t.Errorf("%d parts are held back, want the bad one", len(s.q.book.rows))
		}
	})
}
