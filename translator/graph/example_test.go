package graph_test

import (
	"fmt"
	"strings"

	"github.com/signetproxy/signet/translator/graph"
)

// A greeting for each host that some site claims, made from the host's owner.
func Example() {
	type site struct{ host, owner string }

	g := graph.New()
	sites := graph.NewInput[graph.String, site](g, "sites", graph.Main, nil)
	people := graph.NewInput[graph.String, string](g, "people", graph.Main, nil)
	byHost := graph.NewIndex(sites, "host", func(_ graph.String, s site) []graph.String {
		return []graph.String{graph.String(s.host)}
	})
	hosts := graph.NewUnit(g, graph.UnitSpec[graph.String, string]{
		Name: "hosts",
		Live: []graph.Liveness[graph.String]{byHost},
		Compute: func(r *graph.Reader, host graph.String) (string, error) {
			first, _ := byHost.First(r, host)
			s, _ := sites.Get(r, first)
			name, ok := people.Get(r, graph.String(s.owner))
			if !ok {
				return "", fmt.Errorf("site %q: owner %q not found", first, s.owner)
			}
			return strings.ToUpper(name), nil
		},
	})

	c := graph.NewChanges()
	sites.Put(c, "a", site{"example.com", "ada"})
	rev := g.Commit(c)
	fmt.Println(rev.Number(), hosts.Failure(rev.Reader(), "example.com"))

	// The miss was recorded: when the owner appears, the host is computed again.
	c = graph.NewChanges()
	people.Put(c, "ada", "Ada")
	rev = g.Commit(c)
	for _, change := range graph.ChangesOf(rev, hosts) {
		fmt.Println(rev.Number(), change.Key, change.New)
	}
	why, _ := hosts.Explain(rev, "example.com")
	for _, d := range why.Dependencies {
		fmt.Println("  read", d.Table, d.Index, d.Kind, d.Key, d.Found)
	}

	// Output:
	// 1 site "a": owner "ada" not found
	// 2 example.com ADA
	//   read sites host first example.com true
	//   read sites  row a true
	//   read people  row ada true
}
