package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/rig"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == rig.Command {
		os.Exit(rig.Operator(os.Args[2:]))
	}
	os.Exit(rig.Inside(m.Run))
}

// progress goes to the test's log.
type progress struct{ t *testing.T }

func (p progress) Write(text []byte) (int, error) {
	p.t.Log(strings.TrimSuffix(string(text), "\n"))
	return len(text), nil
}

// small are the scenarios' sizes here, and what each must have measured: one rig
// stands for all.
func small() map[string]struct {
	reason string
	size   scenario
	most   map[string]float64
} {
	type row = struct {
		reason string
		size   scenario
		most   map[string]float64
	}
	return map[string]row{
		"S1": {
			"a restart writes nothing that is right", scenario{objects: 50, secrets: 200},
			map[string]float64{"HTTPProxies written by a restart": 0, "status writes of HTTPProxies, first start": 50},
		},
		"S2": {"every kind of change of an HTTPProxy arrives", scenario{objects: 20, changes: 5}, nil},
		"S3": {"every kind of change of an HTTPRoute arrives", scenario{objects: 20, changes: 5}, nil},
		"S4": {
			"attachedRoutes is right in the end, and statuses are not written again and again", scenario{objects: 50},
			map[string]float64{"status writes of the Gateway": mostWrites, "status writes of one HTTPRoute, at most": mostWrites},
		},
		"S5": {
			"no order of events makes cleartext", scenario{objects: 40},
			map[string]float64{
				"HTTPRoutes: connections in cleartext at backends": 0, "HTTPProxies: connections in cleartext at backends": 0,
			},
		},
		"S6": {"no answer is lost, and no change, when watches must begin anew", scenario{objects: 50, changes: 1}, nil},
		"S7": {"no answer is wrong while routes and policies change", scenario{objects: 20, changes: 8, rate: 100}, nil},
	}
}

func TestScenarios(t *testing.T) {
	began := time.Now()
	s, err := newStage(t.Context(), rig.Options{
		Signet: []string{"/proc/self/exe", rig.Command}, Install: "../../docs/kubernetes/install.yaml", Progress: progress{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("the rig stands after %s", time.Since(began))
	for _, x := range scenarios() {
		c := small()[x.ID]
		t.Run(x.ID, func(t *testing.T) {
			s.Progress = progress{t}
			r := figures.New("objects", s.Progress)
			x.objects, x.secrets, x.changes, x.rate = c.size.objects, c.size.secrets, c.size.changes, c.size.rate
			r.Measure(t.Context(), x.Scenario, x.objects, 1, func(run *figures.Run) error {
				return x.run(&bench{stage: s, Run: run, scenario: x, ctx: t.Context()})
			})
			if err := r.Err(); err != nil {
				t.Fatalf("%s: %v; the operator's log ends:\n%s", c.reason, err, s.Operator.LogTail())
			}
			if n := s.Cleartext(); n != 0 {
				t.Errorf("%d connections in cleartext", n)
			}
			got := map[string]float64{}
			for _, f := range r.Figures {
				got[f.What] = f.Max
			}
			if len(got) == 0 {
				t.Error("nothing was measured")
			}
			for what, most := range c.most {
				if n, ok := got[what]; !ok || n > most {
					t.Errorf("%s: %s: %v (measured: %t), want at most %v", c.reason, what, n, ok, most)
				}
			}
		})
	}
}

// The judges of a burst refuse what they must.
func TestBurstJudges(t *testing.T) {
	x := &burst{life: make([]life, 1), codes: map[int]int{}}
	for _, step := range []struct {
		code int
		want bool
	}{{404, false}, {503, false}, {200, true}, {503, false}} {
		if got := x.note(0, outcome(step.code)); got != step.want {
			t.Errorf("an answer of %d is noted as %t", step.code, got)
		}
	}
	got := [2]int{x.life[0].refused, x.life[0].lost}
	if diff := cmp.Diff([2]int{2, 1}, got); diff != "" {
		t.Errorf("5xx, and answers lost after the first 200: -want, +got:\n%s", diff)
	}
}

func outcome(code int) *load.Outcome { return &load.Outcome{Code: code, Done: time.Now()} }
