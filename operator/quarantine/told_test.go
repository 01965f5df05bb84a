package quarantine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// What other replicas tell is known here as long as they tell it, and what this
// replica has found itself counts more.
func TestLearn(t *testing.T) {
	told := func(version string) Told {
		return Told{
			Namespace: "f", Fleet: "one", Type: envoy.ClusterType, Name: "c",
			Version: version, Message: "no", Serves: reason.MessageLastGood,
		}
	}
	first := told("1")
	key := first.key()
	if diff := cmp.Diff(translator.RefusalKey{Fleet: ir.Name{Namespace: "f", Name: "one"}, Type: envoy.ClusterType, Name: "c"}, key); diff != "" {
		t.Fatal(diff)
	}
	elsewhere := func(version string) *translator.Refusal {
		return &translator.Refusal{Version: version, Message: "no", Elsewhere: reason.MessageLastGood}
	}
	own := &translator.Refusal{Version: "1", Message: "seen here"}
	cases := map[string]struct {
		reason string
		own    *translator.Refusal
		said   [][]Told
		want   *translator.Refusal
	}{
		"one":         {"it is told here too", nil, [][]Told{{told("1")}}, elsewhere("1")},
		"no more":     {"it was mended there", nil, [][]Told{{told("1")}, nil}, nil},
		"another":     {"other bytes are refused now", nil, [][]Told{{told("1")}, {told("2")}}, elsewhere("2")},
		"two at once": {"replicas that are not at the same revision", nil, [][]Told{{told("1"), told("2")}}, elsewhere("1")},
		"own":         {"it is known what is served here instead", own, [][]Told{{told("1")}}, own},
		"own stays":   {"others that have mended it do not mend it here", own, [][]Told{{told("1")}, nil}, own},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, tr := New(Options{}), translator.New()
				if tc.own != nil {
					q.book.put(key, tc.own)
				}
				step := func() {
					c := []change{}
					if row := q.book.rows[key]; row != nil {
						c = append(c, change{key: key, row: row})
					}
					q.submit(tr, c)
					synctest.Wait()
				}
				go func() { _ = tr.Run(t.Context(), nil) }()
				for _, all := range tc.said {
					q.Learn(all)
					step()
				}
				got, _ := tr.Quarantine.Get(tr.Current().Reader(), key)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
				}
			})
		})
	}
}

// Where more is refused than is told, it is the same each time: what came and went
// would be recomputed by every other replica.
func TestOfTooMuchTheSameIsTold(t *testing.T) {
	q, tr := New(Options{}), translator.New()
	c := graph.NewChanges()
	for i := range 2 * mostTold {
		key := translator.RefusalKey{Fleet: fleet, Type: envoy.EndpointType, Name: fmt.Sprintf("%05d", i)}
		q.said[key] = &translator.Refusal{Version: "1", Message: "no"}
		tr.Quarantine.Put(c, key, q.said[key])
	}
	rev := tr.Commit(c)
	q.publish(tr, rev)
	first := q.Told()
	q.publish(tr, rev)
	if len(first) != mostTold || first[0].Name != "00000" || first[mostTold-1].Name != fmt.Sprintf("%05d", mostTold-1) {
		t.Errorf("%d are told, want the first %d by name", len(first), mostTold)
	}
	if diff := cmp.Diff(first, q.Told()); diff != "" {
		t.Errorf("others are told the second time (%d lines of difference)", strings.Count(diff, "\n"))
	}
}
