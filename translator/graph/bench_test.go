package graph_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/signetproxy/signet/translator/graph"
)

// fleet is a graph in the shape of the translator: five layers of units above
// sites, about ten reads for each, one hub that all of them read.
type fleet struct {
	g     *graph.Graph
	sites *graph.Input[graph.String, *site]
	parts *graph.Input[graph.String, int]
	last  *graph.Unit[graph.String, int]
}

type site struct {
	host  string
	parts []graph.String
	rev   int
}

const benchLayers, partsOfSite = 5, 6

func newFleet() *fleet {
	f := &fleet{g: graph.New()}
	f.sites = graph.NewInput[graph.String](f.g, "sites", graph.Main, func(a, b *site) bool { return a == b })
	f.parts = graph.NewInput[graph.String](f.g, "parts", graph.Main, func(a, b int) bool { return a == b })
	byHost := graph.NewIndex(f.sites, "host", func(_ graph.String, s *site) []graph.String {
		return []graph.String{graph.String(s.host)}
	})
	hosts := graph.NewUnit(f.g, graph.UnitSpec[graph.String, *site]{
		Name: "layer0", Live: []graph.Liveness[graph.String]{byHost},
		Compute: func(r *graph.Reader, host graph.String) (*site, error) {
			first, _ := byHost.First(r, host)
			s, ok := f.sites.Get(r, first)
			if !ok {
				return nil, errors.New("no site")
			}
			for _, p := range s.parts {
				f.parts.Get(r, p)
			}
			f.parts.Get(r, "hub")
			f.parts.Get(r, "missing")
			return s, nil
		},
		Equal: func(a, b *site) bool { return a == b },
	})
	byItself := graph.NewIndex(hosts, "self", func(k graph.String, _ *site) []graph.String {
		return []graph.String{k}
	})
	read := func(r *graph.Reader, k graph.String) (int, *site) {
		s, ok := hosts.Get(r, k)
		if !ok {
			return 0, &site{}
		}
		return s.rev, s
	}
	for i := 1; i < benchLayers; i++ {
		below := read
		unit := graph.NewUnit(f.g, graph.UnitSpec[graph.String, int]{
			Name: fmt.Sprint("layer", i), Live: []graph.Liveness[graph.String]{byItself},
			Compute: func(r *graph.Reader, k graph.String) (int, error) {
				n, s := below(r, k)
				for _, p := range s.parts {
					x, _ := f.parts.Get(r, p)
					n += x
				}
				f.parts.Get(r, "hub")
				if err := hosts.Failure(r, k); err != nil {
					return 0, err
				}
				byItself.Has(r, k)
				return n + 1, nil
			},
			Equal: func(a, b int) bool { return a == b },
		})
		read = func(r *graph.Reader, k graph.String) (int, *site) {
			n, _ := unit.Get(r, k)
			s, _ := hosts.Get(r, k)
			return n, s
		}
		f.last = unit
	}
	return f
}

func siteKey(i int) graph.String { return graph.String(fmt.Sprintf("namespace-%d/site-%06d", i%10, i)) }

func (f *fleet) put(c *graph.Changes, i, rev int) {
	s := &site{host: fmt.Sprintf("host-%06d.example.com", i), rev: rev}
	for p := range partsOfSite {
		s.parts = append(s.parts, graph.String(fmt.Sprintf("namespace-%d/part-%06d-%d", i%10, i, p)))
	}
	f.sites.Put(c, siteKey(i), s)
}

func (f *fleet) load(n int) {
	c := graph.NewChanges()
	for i := range n {
		f.put(c, i, 0)
		for p := range partsOfSite {
			f.parts.Put(c, graph.String(fmt.Sprintf("namespace-%d/part-%06d-%d", i%10, i, p)), p)
		}
	}
	f.parts.Put(c, "hub", 1)
	f.g.Commit(c)
}

// BenchmarkOneRowChangedMustNotDependOnTheNumberOfRows changes one site through
// five layers of about ten reads each. Time and allocations must stay flat.
func BenchmarkOneRowChangedMustNotDependOnTheNumberOfRows(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			f := newFleet()
			f.load(n)
			runtime.GC()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c := graph.NewChanges()
				f.put(c, i*7919%n, i+1)
				if rev := f.g.Commit(c); len(graph.ChangesOf(rev, f.last)) != 1 {
					b.Fatal("the change did not arrive")
				}
			}
		})
	}
}

// BenchmarkDependentOfAHubAddedAndRemoved must not depend on the number of those
// that are there already.
func BenchmarkDependentOfAHubAddedAndRemoved(b *testing.B) {
	for _, n := range []int{50, 5_000} {
		b.Run(fmt.Sprintf("dependents=%d", n), func(b *testing.B) {
			f := newFleet()
			f.load(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c := graph.NewChanges()
				f.put(c, n, i)
				f.g.Commit(c)
				c = graph.NewChanges()
				f.sites.Delete(c, siteKey(n))
				f.g.Commit(c)
			}
		})
	}
}

// BenchmarkHubChanged recomputes 5,000 dependents in each of five layers.
func BenchmarkHubChanged(b *testing.B) {
	f := newFleet()
	f.load(5_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := graph.NewChanges()
		f.parts.Put(c, "hub", i+2)
		f.g.Commit(c)
	}
}

// BenchmarkFirstTranslation loads 10,000 sites: 50,000 units of about ten reads.
// bytes/unit is what the graph keeps for a unit, inputs and edges included.
func BenchmarkFirstTranslation(b *testing.B) {
	const n = 10_000
	b.ReportAllocs()
	var kept uint64
	for b.Loop() {
		b.StopTimer()
		f, c := newFleet(), graph.NewChanges()
		for i := range n {
			f.put(c, i, 0)
			for p := range partsOfSite {
				f.parts.Put(c, graph.String(fmt.Sprintf("namespace-%d/part-%06d-%d", i%10, i, p)), p)
			}
		}
		f.parts.Put(c, "hub", 1)
		before := heap()
		b.StartTimer()
		f.g.Commit(c)
		b.StopTimer()
		c = graph.NewChanges()
		f.parts.Put(c, "another", 1)
		f.g.Commit(c) // lets go of the list of changes
		kept = heap() - before
		runtime.KeepAlive(f)
		b.StartTimer()
	}
	b.ReportMetric(float64(kept)/n/benchLayers, "bytes/unit")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
