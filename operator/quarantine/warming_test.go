package quarantine

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// What streams say of a cluster decides whether its routes are closed.
func TestClustersThatDoNotGetWarm(t *testing.T) {
	fleet := ir.Name{Namespace: "f", Name: "one"}
	missing := []xds.Missing{{Type: envoy.EndpointType, Name: "svc/a", Reason: xds.MissingInFleet}}
	stuck := func(stream uint64, c xds.WarmingCluster) func(*Quarantine) {
		c.Name = "a"
		return func(q *Quarantine) {
			q.OnWarming(xds.Warming{Fleet: fleet, Stream: stream, Clusters: []xds.WarmingCluster{c}})
		}
	}
	ended := func(stream uint64, outcome xds.WarmOutcome) func(*Quarantine) {
		return func(q *Quarantine) {
			q.OnWarm(xds.Warm{Fleet: fleet, Stream: stream, Clusters: map[string]xds.WarmOutcome{"a": outcome}})
		}
	}
	const named = "endpoint svc/a (not in the fleet)"
	cases := map[string]struct {
		reason string
		said   []func(*Quarantine)
		want   string
	}{
		"something is missing": {"its routes reach nobody", []func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing})}, named},
		"it waits for a health check": {
			"that is known to be its own doing", []func(*Quarantine){stuck(1, xds.WarmingCluster{Outside: true})},
			"a name to be resolved or the first answer to a health check",
		},
		"one of several": {"it may be the neighbour", []func(*Quarantine){stuck(1, xds.WarmingCluster{})}, ""},
		"another Envoy has taken it": {
			"closing would hurt what is served there", []func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing, Taken: true})}, "",
		},
		"an Envoy serves it with earlier bytes": {
			"closing would stop what it serves", []func(*Quarantine){stuck(1, xds.WarmingCluster{Outside: true, Served: true})}, "",
		},
		"known later": {
			"it is told again when no neighbour can be it",
			[]func(*Quarantine){stuck(1, xds.WarmingCluster{}), stuck(1, xds.WarmingCluster{Outside: true})},
			"a name to be resolved or the first answer to a health check",
		},
		"another Envoy gets it warm": {
			"it serves there, whatever those that complained say",
			[]func(*Quarantine){
				stuck(1, xds.WarmingCluster{Missing: missing}), stuck(2, xds.WarmingCluster{Missing: missing}), ended(1, xds.WarmTaken),
				stuck(1, xds.WarmingCluster{Missing: missing, Taken: true}),
			},
			"",
		},
		"warm": {
			"it serves", []func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing}), ended(1, xds.WarmAcknowledged)}, "",
		},
		"warm in one of two": {
			"it serves somewhere",
			[]func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing}), stuck(2, xds.WarmingCluster{Missing: missing}), ended(2, xds.WarmAcknowledged)},
			"",
		},
		"one of two leaves": {
			"the other still waits",
			[]func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing}), stuck(2, xds.WarmingCluster{Missing: missing}), ended(1, xds.WarmClosed)},
			named,
		},
		"both leave": {
			"nobody complains any more",
			[]func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing}), ended(1, xds.WarmClosed)}, "",
		},
		"a stream that did not count leaves": {
			"it takes nothing back", []func(*Quarantine){stuck(1, xds.WarmingCluster{Missing: missing}), ended(2, xds.WarmClosed)}, named,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, tr := New(Options{}), translator.New()
				go func() { _ = q.Run(t.Context(), tr) }()
				go func() { _ = tr.Run(t.Context(), nil) }()
				for _, say := range c.said {
					say(q)
					synctest.Wait()
				}
				got, _ := tr.Warming.Get(tr.Current().Reader(), translator.ClusterKey{Fleet: fleet, Name: "a"})
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
				}
			})
		})
	}
}
