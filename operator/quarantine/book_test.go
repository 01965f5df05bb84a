package quarantine

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

var fleet = ir.Name{Namespace: "signet", Name: "fleet"}

// bench is a translator with one fallback scope, and an Envoy that refuses some
// of its hosts.
type bench struct {
	t    *testing.T
	book *book
	// computed are the hosts by name; a body that ends in "bad" is refused.
	computed map[string]*envoy.Resource
	rows     map[translator.RefusalKey]*translator.Refusal // as committed
	effects  map[translator.RefusalKey]bool
	served   *envoy.Resource
	lastGood *envoy.Resource
	// broken refuses everything whose base is this one.
	broken   bool
	revision uint64
	answers  int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{
		t: t, book: newBook(), computed: map[string]*envoy.Resource{},
		rows: map[translator.RefusalKey]*translator.Refusal{}, effects: map[translator.RefusalKey]bool{},
	}
}

func whole() translator.RefusalKey {
	return translator.RefusalKey{Fleet: fleet, Type: envoy.ScopeType, Name: envoy.FallbackScopeID("http")}
}

func partKey(name string) translator.RefusalKey {
	k := whole()
	k.Part = name
	return k
}

// set makes a host say something.
func (b *bench) set(name, says string) {
	b.t.Helper()
	b.computed[name] = part(b.t, name, says)
}

func part(t *testing.T, name, says string) *envoy.Resource {
	t.Helper()
	p, err := envoy.HostPart(&ir.VirtualHost{Listener: "http", Host: name, Routes: []ir.Route{{
		Name: "r", Match: ir.Match{PathKind: ir.PathPrefix, Path: "/"}, Response: &ir.DirectResponse{StatusCode: 200, Body: says},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// commit composes what is served, as the translator does.
func (b *bench) commit() {
	b.t.Helper()
	b.revision++
	clear(b.effects)
	var hosts []*envoy.Resource
	for _, name := range sorted(b.computed) {
		p := b.computed[name]
		if row := b.rows[partKey(name)]; row != nil && row.Version == p.Version {
			b.effects[partKey(name)] = true
			if p = row.LastGood; p == nil {
				p = part(b.t, name, "closed")
			}
		}
		hosts = append(hosts, p)
	}
	x, err := envoy.ComposeFallback("http", hosts)
	if err != nil {
		b.t.Fatal(err)
	}
	if row := b.rows[whole()]; row != nil && row.Version == x.Version {
		b.effects[whole()] = true
		x = row.LastGood
		if row.Withheld {
			x = nil
		} else if x == nil {
			x, _ = envoy.ComposeFallback("http", []*envoy.Resource{part(b.t, "*", "closed")})
		}
	}
	b.served = x
	changes := b.book.settle(b.revision, b.inEffect)
	b.apply(append(changes, b.book.abandon(func(_ ir.Name, x *envoy.Resource) bool { return x.Equal(b.served) })...))
}

func (b *bench) inEffect(k translator.RefusalKey) bool { return b.effects[k] }

// apply records rows and commits again when there are any.
func (b *bench) apply(changes []change) {
	b.t.Helper()
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		if c.probing {
			continue
		}
		if c.row == nil {
			delete(b.rows, c.key)
		} else {
			b.rows[c.key] = c.row
		}
	}
	b.commit()
}

// answer lets Envoy answer for what is served.
func (b *bench) answer() {
	b.t.Helper()
	b.answers++
	if x := b.book.trials[whole()]; x != nil && x.probe != nil {
		changes, err := b.book.probed(fleet, answer{probe: x.probe, refused: b.refuses(x.probe), message: "no"})
		if err != nil {
			b.t.Fatal(err)
		}
		b.apply(changes)
		return
	}
	if b.served == nil || !b.refuses(b.served) {
		b.lastGood = b.served
		b.apply(b.book.acknowledged(fleet, b.revision))
		return
	}
	changes, err := b.book.refuse(&refused{key: whole(), resource: b.served, lastGood: b.lastGood, message: "no"}, b.inEffect)
	if err != nil {
		b.t.Fatal(err)
	}
	b.apply(changes)
}

func (b *bench) refuses(x *envoy.Resource) bool {
	return b.broken || strings.Contains(string(x.Body), "bad")
}

// settle answers until nothing changes any more, and returns how often.
func (b *bench) settle() int {
	b.t.Helper()
	before := b.answers
	for {
		at := b.revision
		b.answer()
		if b.revision == at && len(b.book.searches) == 0 {
			return b.answers - before
		}
		if b.answers-before > 10_000 {
			b.t.Fatalf("the search does not end: %d rows, %d searches", len(b.rows), len(b.book.searches))
		}
	}
}

// held are the hosts that are held back.
func (b *bench) held() []string {
	var out []string
	for k, row := range b.rows {
		name := k.Part
		if row.Suspect {
			name += " (suspect)"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func hostName(i int) string { return fmt.Sprintf("*.h%04d.test", i) }

// Random culprits among many hosts are found, each and no other, within a few
// answers for each; hosts that Envoy had before serve what they served.
func TestCulpritsAreFound(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			b := newBench(t)
			n := 1 + r.IntN(300)
			for i := range n {
				b.set(hostName(i), "one")
			}
			b.commit()
			known := r.IntN(2) == 0
			if known {
				b.settle()
			}
			var want []string
			for i := range n {
				if r.IntN(100) < 3 || i == n/2 {
					b.set(hostName(i), "two bad")
					want = append(want, hostName(i))
				} else if r.IntN(100) < 50 {
					b.set(hostName(i), "two")
				}
			}
			b.commit()
			answers := b.settle()
			if diff := cmp.Diff(want, b.held()); diff != "" {
				t.Fatalf("held back (-want, +got):\n%s", diff)
			}
			// Each bad one is in at most one refused group of each size, each
			// refusal costs the trial and its baseline, and brings two groups.
			if limit := 6 + 6*len(want)*(1+bits.Len(uint(n))); answers > limit {
				t.Errorf("%d bad ones among %d took %d answers, more than %d", len(want), n, answers, limit)
			}
			for _, name := range want {
				good := b.rows[partKey(name)].LastGood
				if known != good.Equal(part(t, name, "one")) {
					t.Errorf("%s: last good %v, known %t", name, good, known)
				}
			}
			for _, name := range want { // other bytes are tried
				b.set(name, "three")
			}
			b.commit()
			b.settle()
			if len(b.rows) > 0 || len(b.book.searches) > 0 || len(b.book.rows) > 0 {
				t.Errorf("after all are mended %v are held back", b.held())
			}
		})
	}
}

// What changes while a search is on is neither lost nor blamed for it.
func TestChangesDuringASearch(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			b := newBench(t)
			bad := map[string]bool{}
			for i := range 50 {
				bad[hostName(i)] = i%10 == 3
				b.set(hostName(i), "one"+map[bool]string{true: " bad"}[i%10 == 3])
			}
			b.commit()
			for step := range 60 {
				name := hostName(r.IntN(60))
				switch bad[name] = r.IntN(4) == 0; {
				case r.IntN(5) == 0:
					delete(b.computed, name)
					delete(bad, name)
				default:
					b.set(name, fmt.Sprint(step, map[bool]string{true: " bad"}[bad[name]]))
				}
				b.commit()
				for range r.IntN(3) {
					b.answer()
				}
			}
			b.settle()
			var want []string
			for _, name := range sorted(bad) {
				if bad[name] {
					want = append(want, name)
				}
			}
			if diff := cmp.Diff(want, b.held()); diff != "" {
				t.Errorf("held back (-want, +got):\n%s", diff)
			}
		})
	}
}

func TestOneSuspectIsHeldBackAtOnce(t *testing.T) {
	b := newBench(t)
	b.set("*.a.test", "one")
	b.set("*.b.test", "one")
	b.commit()
	b.settle()
	b.set("*.a.test", "bad")
	b.commit()
	b.answer()
	if diff := cmp.Diff([]string{"*.a.test"}, b.held()); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// When no part is to blame the whole goes back; other bytes are tried.
func TestWholeIsHeldBack(t *testing.T) {
	b := newBench(t)
	b.set("*.a.test", "one")
	b.set("*.b.test", "one")
	b.broken = true
	b.commit()
	var got []string
	for range 20 {
		b.answer()
		if b.rows[whole()] != nil {
			got = append(got, form(b.served))
		}
	}
	if diff := cmp.Diff([]string{"closed", "nothing"}, slices.Compact(got)); diff != "" {
		t.Errorf("forms in turn: -want, +got:\n%s", diff)
	}
	b.broken = false
	b.set("*.a.test", "two")
	b.commit()
	b.settle()
	if len(b.rows) > 0 {
		t.Errorf("%v are held back after other bytes", b.held())
	}
}

func form(x *envoy.Resource) string {
	switch {
	case x == nil:
		return "nothing"
	case strings.Contains(string(x.Body), "closed"):
		return "closed"
	default:
		return "served"
	}
}

// What is sent instead may be refused too: then the next worse form is sent.
func TestStepsDown(t *testing.T) {
	b := newBook()
	key := translator.RefusalKey{Fleet: fleet, Type: envoy.SecretType, Name: "trust/a/b/c"}
	version := func(says string) *envoy.Resource { return envoy.NewResource(key.Type, key.Name, []byte(says)) }
	var got []string
	for _, x := range []*refused{
		{key: key, resource: version("bad"), lastGood: version("good")},
		{key: key, resource: version("good")},
		{key: key, resource: version("closed")},
	} {
		if _, err := b.refuse(x, func(k translator.RefusalKey) bool { return b.rows[k] != nil }); err != nil {
			t.Fatal(err)
		}
		row := b.rows[key]
		got = append(got, fmt.Sprintf("refused %t, last good %t, withheld %t", row.Version == version("bad").Version, row.LastGood != nil, row.Withheld))
	}
	want := []string{
		"refused true, last good true, withheld false",
		"refused true, last good false, withheld false",
		"refused true, last good false, withheld true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// A version that another Envoy has taken is not taken from it.
func TestTakenByAnother(t *testing.T) {
	b := newBench(t)
	b.set("*.a.test", "one")
	b.commit()
	b.settle()
	changes, err := b.book.refuse(&refused{key: whole(), resource: b.served, lastGood: b.served, message: "no"}, b.inEffect)
	if err != nil || len(changes) > 0 {
		t.Errorf("changes %v, error %v", changes, err)
	}
}

// A cluster that was refused beside a secret is tried again when the secret is
// mended: Envoy refuses what uses a name that it has spoiled.
func TestClustersFollowTheirSecrets(t *testing.T) {
	b := newBook()
	all := func(translator.RefusalKey) bool { return true }
	secret := translator.RefusalKey{Fleet: fleet, Type: envoy.SecretType, Name: "trust/a/b/c"}
	cluster := translator.RefusalKey{Fleet: fleet, Type: envoy.ClusterType, Name: "a/b/1/x"}
	other := cluster
	other.Fleet.Name = "other"
	for _, k := range []translator.RefusalKey{secret, cluster, other} {
		x := envoy.NewResource(k.Type, k.Name, []byte("bad"))
		if _, err := b.refuse(&refused{key: k, resource: x, message: "no"}, all); err != nil {
			t.Fatal(err)
		}
	}
	b.settle(1, func(k translator.RefusalKey) bool { return k != secret })
	if b.rows[cluster] != nil || b.rows[other] == nil {
		t.Errorf("held back: %v", b.rows)
	}
}
