package translator

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/upstream"
)

// steps is how many random changes the property is checked over.
const steps = 20_000

// picture is everything that comes out of a revision, comparable.
func picture(t *Translator, rev *graph.Revision) map[string]string {
	out := map[string]string{}
	for fleet, r := range t.Resources(rev) {
		out[fmt.Sprint(fleet, r.Type, r.Name)] = string(r.Body)
	}
	for n, s := range t.ProxyStatuses.All(rev.Reader()) {
		out["status "+n.String()] = fmt.Sprintf("%+v", s)
	}
	for n, s := range t.FleetStatuses.All(rev.Reader()) {
		out["fleet "+n.String()] = fmt.Sprintf("%d %v %v", s.Generation, s.Problems, s.ClientCertificateRef)
	}
	for k, x := range t.Refusals.All(rev.Reader()) {
		out[fmt.Sprint("refusal ", k)] = fmt.Sprint(x.Message(k.Fleet), x.Objects, x.Idle, t.InEffect(rev, k))
	}
	for n, s := range t.GatewayStatuses.All(rev.Reader()) {
		out["Gateway "+n.String()] = jsonOf(s)
	}
	for ref, s := range t.RouteStatuses.All(rev.Reader()) {
		out[ref.String()] = jsonOf(s)
	}
	for n, s := range t.ListenerSetStatuses.All(rev.Reader()) {
		out["ListenerSet "+n.String()] = jsonOf(s)
	}
	for n, s := range t.PolicyStatuses.All(rev.Reader()) {
		out["policy "+n.String()] = jsonOf(s)
	}
	for _, f := range rev.Failures() {
		out["failure "+f.Table+f.Key] = f.Err.Error()
	}
	return out
}

// material is PEM that is good, expired, not one certificate, and none.
func material(t *testing.T) (pems [][]byte, pairs []*pki.Pair) {
	t.Helper()
	now := time.Now()
	good, err := pki.NewAuthority("good")
	if err != nil {
		t.Fatal(err)
	}
	brief, err := pki.NewAuthorityAt("brief", now.Add(-time.Hour), now.Add(90*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	later, err := pki.NewAuthorityAt("later", now.Add(2*time.Hour), now.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, cn := range []string{"one", "two"} {
		p, err := good.Issue(pki.Leaf{CommonName: cn, DNS: []string{cn + ".test", "*.test"}})
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	p, err := good.Issue(pki.Leaf{CommonName: "brief", DNS: []string{"brief.test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	pairs = append(pairs, p)
	return [][]byte{good.PEM(), brief.PEM(), later.PEM(), append(good.PEM(), brief.PEM()...), []byte("junk"), {}}, pairs
}

// check replays a history and returns the first difference between the
// incremental result and one from scratch.
func check(t *testing.T, seed uint64, n int, blind bool) string {
	t.Helper()
	pems, pairs := material(t)
	h := newHistory(seed, pems, pairs)
	tr := New()
	if blind {
		tr.objects = func(*graph.Reader) upstream.Objects { return objects{tr, tr.Current().Reader()} }
	}
	for done := 0; done < n; {
		c := graph.NewChanges()
		if done == 0 {
			now := h.now
			h.record(tr, c, "clock", func(t *Translator, c *graph.Changes) { t.Clock.Put(c, ClockKey, now) }, nil)
		}
		for range 1 + h.rand.IntN(9) {
			h.step(tr, c)
			done++
		}
		got := picture(tr, tr.Commit(c))

		scratch := New()
		all := graph.NewChanges()
		for _, set := range h.state { // in any order
			set(scratch, all)
		}
		if diff := cmp.Diff(picture(scratch, scratch.Commit(all)), got); diff != "" {
			return fmt.Sprintf("seed %d after %d steps (-from scratch, +incremental):\n%s", seed, done, diff)
		}
	}
	return ""
}

// The incremental result equals a from-scratch one, byte for byte, whatever
// the history: the one property that everything else leans on.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	const seeds = 8
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			if diff := check(t, seed, steps/seeds, false); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A unit that reads past the recorder must be found out; else the property
// above proves nothing.
func TestPropertyFindsAMissingDependency(t *testing.T) {
	for seed := range uint64(5) {
		if check(t, seed, 2_000, true) != "" {
			return
		}
	}
	t.Error("decisions read without being recorded, and no history showed a difference")
}
