package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	at := func(second int, envoys []Envoy, p *Programmed) *Report {
		return &Report{
			Revision: uint64(second), Time: time.Unix(int64(second), 0),
			Fleets:   []Fleet{{Namespace: "a", Name: "edge", Envoys: envoys}},
			Statuses: []Status{{Kind: "HTTPProxy", Namespace: "a", Name: "web", Programmed: p}},
		}
	}
	one, two := Envoy{Node: "one", Ready: true}, Envoy{Node: "two"}
	cases := map[string]struct {
		reason   string
		replicas []*Report
		want     *Report
	}{
		"None":       {"nobody answered", nil, nil},
		"One":        {"a single replica is shown as it is", []*Report{at(1, []Envoy{one}, nil)}, at(1, []Envoy{one}, nil)},
		"Two":        {"the Envoys of both, and what is newest", []*Report{at(1, []Envoy{two}, &Programmed{Acknowledged: 0, Envoys: 1}), at(2, []Envoy{one}, &Programmed{Acknowledged: 1, Envoys: 1})}, at(2, []Envoy{one, two}, &Programmed{Acknowledged: 1, Envoys: 2})},
		"Only there": {"the newest replica has no Envoy", []*Report{at(2, nil, nil), at(1, []Envoy{one}, &Programmed{Acknowledged: 1, Envoys: 1})}, at(2, []Envoy{one}, &Programmed{Acknowledged: 1, Envoys: 1})},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Merge(c.replicas)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}
