package envoy_test

import (
	"math/rand/v2"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// Envoy takes one number of 64 bits for whether a request is refused, by its
// remainder of a million, and for the choice among the backends, by its remainder
// of their weights: whatever the weights are, each gets its share.
func TestRefusedShareStarvesNobody(t *testing.T) {
	cases := map[string]struct {
		reason  string
		weights []uint32
		refused uint32
		// exact says that the weights are written as they are.
		exact bool
	}{
		"small":            {"as they are", []uint32{1, 2}, 3, true},
		"hundreds":         {"as they are", []uint32{90, 10}, 100, true},
		"a million":        {"the remainders would be one", []uint32{500_000, 500_000}, 1_000_000, false},
		"half a million":   {"the million is twice that", []uint32{250_000, 250_000}, 250_000, false},
		"powers":           {"2 and 5 alone", []uint32{62_500, 15_625, 78_125}, 156_250, false},
		"nearly all":       {"few numbers are left", []uint32{1, 1, 2}, 999_996, false},
		"the API's most":   {"the largest weights", []uint32{1_000_000, 1_000_000}, 1_000_000, false},
		"large, no factor": {"remainders know nothing of each other", []uint32{700_001, 300_000}, 1_000_000, true},
		"one":              {"no choice", []uint32{1_000_000}, 1_000_000, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := &ir.Forward{Backends: streams(tc.weights...), Refused: tc.refused, RefusedStatus: 500}
			total := tc.refused
			for _, w := range tc.weights {
				total += w
			}
			x := must(t)(envoy.Scope(&ir.VirtualHost{Listener: "l", Host: "a.test", Routes: []ir.Route{{Name: "r", Match: prefix("/"), Forward: f}}}))
			m, err := x.Message()
			if err != nil {
				t.Fatal(err)
			}
			routes := m.(*routev3.ScopedRouteConfiguration).GetRouteConfiguration().GetVirtualHosts()[0].GetRoutes()
			share := uint64(routes[0].GetMatch().GetRuntimeFraction().GetDefaultValue().GetNumerator())
			var written []uint32
			for _, c := range routes[1].GetRoute().GetWeightedClusters().GetClusters() {
				written = append(written, c.GetWeight().GetValue())
			}
			if len(tc.weights) == 1 {
				written = tc.weights
			}
			counts, refused := draw(share, written)
			if len(counts) != len(tc.weights) {
				t.Fatalf("%s: %d backends, want %d", tc.reason, len(counts), len(tc.weights))
			}
			for i, w := range tc.weights {
				want := float64(w) / float64(total)
				near(t, tc.reason, counts[i], want)
				if same := written[i] == w; tc.exact && !same {
					t.Errorf("%s: weight %d has become %d", tc.reason, w, written[i])
				}
			}
			near(t, tc.reason, refused, float64(tc.refused)/float64(total))
		})
	}
}

const draws = 2_000_000

// draw tells how many of some requests go where, as Envoy chooses.
func draw(share uint64, weights []uint32) (counts []int, refused int) {
	counts = make([]int, len(weights))
	sum := uint64(0)
	for _, w := range weights {
		sum += uint64(w)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range draws {
		r := random.Uint64()
		if r%1_000_000 < share {
			refused++
			continue
		}
		left := r % sum
		for i, w := range weights {
			if left < uint64(w) {
				counts[i]++
				break
			}
			left -= uint64(w)
		}
	}
	return counts, refused
}

// near compares a count with a share: within four standard deviations, and what
// a millionth and a rounded weight make of it.
func near(t *testing.T, reason string, count int, share float64) {
	t.Helper()
	mean := share * draws
	if off := float64(count) - mean; off*off > 16*(mean+9) {
		t.Errorf("%s: %d of %d requests, want about %.0f", reason, count, draws, mean)
	}
}
