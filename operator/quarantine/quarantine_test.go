package quarantine

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
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
		decide func(t *testing.T, q *Quarantine) []change
		want   *translator.Refusal // of part a
	}{
		"mended here, told by another": {
			"the other has not settled yet: its row takes the place of the own one",
			func(_ *testing.T, q *Quarantine) []change {
				q.book.put(partKey("a"), row)
				q.Learn(told)
				return q.book.settle(1, nothing, nil)
			},
			&translator.Refusal{Version: "1", Message: "no", Elsewhere: reason.MessageLastGood},
		},
		"let go here, convicted by another": {
			"the suspect is tried here, and the other's row is shown",
			func(_ *testing.T, q *Quarantine) []change {
				suspect := *row
				suspect.Suspect = true
				q.book.put(partKey("a"), &suspect)
				q.book.searches[whole()] = &search{groups: [][]string{{"a"}}}
				q.Learn(told)
				return q.book.advance(whole(), q.book.searches[whole()])
			},
			&translator.Refusal{Version: "1", Message: "no", Elsewhere: reason.MessageLastGood},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, tr := New(Options{}), translator.New()
				q.submit(tr, c.decide(t, q))
				goOn(t, q, tr)
				got, _ := tr.Quarantine.Get(tr.Current().Reader(), partKey("a"))
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
				}
			})
		})
	}
}

func nothing(translator.RefusalKey) bool { return false }

// goOn commits what was submitted, runs both, and checks that what is said then is written.
func goOn(t *testing.T, q *Quarantine, tr *translator.Translator) {
	t.Helper()
	go func() { _ = tr.Run(t.Context(), func(rev *graph.Revision) { q.Committed(rev) }) }()
	synctest.Wait()
	go func() { _ = q.Run(t.Context(), tr) }()
	synctest.Wait()
	q.OnWarming(xds.Warming{Fleet: fleet, Stream: 1, Clusters: []xds.WarmingCluster{{Name: "c", Outside: true}}})
	synctest.Wait()
	if _, ok := tr.Warming.Get(tr.Current().Reader(), translator.ClusterKey{Fleet: fleet, Name: "c"}); !ok {
		t.Error("a cluster that does not get warm is not written: the quarantine has stopped")
	}
}
