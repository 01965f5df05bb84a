package httpproxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// arrange puts the gathered routes into the order in which they are tried, each
// match once.
func (c *composer) arrange() []placed {
	routes := separate(c.unique())
	slices.SortStableFunc(routes, func(a, b placed) int { return comparePlaced(&a, &b) })
	return routes
}

// unique leaves the last of several routes with the same match, as Contour
// does, but one that yields only where there is no other.
func (c *composer) unique() []placed {
	if len(c.routes) < 2 {
		return c.routes
	}
	winner := make(map[string]int, len(c.routes))
	for i := range c.routes {
		if w, ok := winner[c.routes[i].key]; !ok || !c.routes[i].yields || c.routes[w].yields {
			winner[c.routes[i].key] = i
		}
	}
	if len(winner) == len(c.routes) {
		return c.routes
	}
	out := make([]placed, 0, len(winner))
	for i := range c.routes {
		r := &c.routes[i]
		w := &c.routes[winner[r.key]]
		if r == w {
			out = append(out, *r)
			continue
		}
		if !r.yields {
			c.visit(r.route.Origin.Name, Finding{Severity: Warning, Type: reason.RouteError,
				Reason: reason.DuplicateMatchConditions, Place: r.where.String(),
				Message: fmt.Sprintf("never reached: a route of %s has the same conditions on host %s", w.route.Origin, c.site.Host)})
		}
	}
	return out
}

// comparePlaced is the order of precedence: exact, regex, prefix; the longer
// path; more header, then more query conditions. A route that yields goes
// behind those that are equal in all of this, an implied one behind all those
// that name its path.
func comparePlaced(a, b *placed) int {
	x, y := &a.route.Match, &b.route.Match
	kind := a.rankedAs()
	length := 0
	if kind != ir.PathExact {
		length = cmp.Compare(len(y.Path), len(x.Path))
	}
	if d := cmp.Or(
		cmp.Compare(pathRank(kind), pathRank(b.rankedAs())), length,
		strings.Compare(y.Path, x.Path),
		compareBools(a.implied, b.implied),
		cmp.Compare(len(y.Headers), len(x.Headers)),
		cmp.Compare(len(y.Query), len(x.Query)),
		compareBools(a.yields, b.yields),
	); d != 0 {
		return d
	}
	return cmp.Or(
		slices.CompareFunc(x.Headers, y.Headers, compareValues),
		slices.CompareFunc(x.Query, y.Query, compareValues),
	)
}

// rankedAs is the kind of path that the route's precedence goes by.
func (p *placed) rankedAs() ir.PathKind {
	if p.implied {
		return ir.PathPrefix
	}
	return p.route.Match.PathKind
}

func pathRank(k ir.PathKind) int {
	switch k {
	case ir.PathExact:
		return 0
	case ir.PathRegex:
		return 1
	case ir.PathSegments:
		return 2
	case ir.PathPrefix:
	}
	return 3
}

// replacement is what replaces the route's prefix: the entry that names it,
// else the default one; nil where there is neither.
func (c *conditions) replacement(in []prefixReplacement) *prefixReplacement {
	if len(in) == 0 {
		return nil
	}
	prefix := c.match().Path
	i := slices.IndexFunc(in, func(p prefixReplacement) bool { return p.prefix == prefix })
	if i < 0 {
		if i = slices.IndexFunc(in, func(p prefixReplacement) bool { return p.prefix == "" }); i < 0 {
			return nil
		}
	}
	return &in[i]
}

// apply replaces the prefix, if there is something to replace it by.
func (p *prefixReplacement) apply(f *ir.Forward) *ir.Forward {
	if p == nil {
		return f
	}
	out := *f
	out.Rewrite = &ir.PathRewrite{HasPrefix: true, Prefix: p.replacement}
	return &out
}

// separate gives replaced prefixes that end in a slash their second form: the
// prefix "/foo/" with a replacement serves "/foo" too, as in Contour, unless
// another route has it. A closed route keeps that form, so that no shorter one
// gets its requests. The prefix "/" gets a replacement that ends in a slash, so
// that "/x" becomes "/bar/x" rather than "/barx".
func separate(routes []placed) []placed {
	var taken map[string]bool
	for i := range routes { // not those added below
		p := &routes[i]
		m := &p.route.Match
		if !p.replaced || m.PathKind != ir.PathPrefix || !strings.HasSuffix(m.Path, "/") {
			continue
		}
		if m.Path == "/" {
			p.route.Forward = withPrefix(p.route.Forward, "/")
			continue
		}
		if taken == nil {
			taken = make(map[string]bool, len(routes))
			for j := range routes {
				taken[routes[j].key] = true
			}
		}
		other := p.withoutSlash()
		prefix := other.route.Match
		prefix.PathKind = ir.PathPrefix
		if !taken[other.key] && !taken[matchKey(&prefix)] {
			routes = append(routes, other)
		}
	}
	return routes
}

// withoutSlash is the second form of a prefix that ends in a slash.
func (p *placed) withoutSlash() placed {
	out := *p
	m := &out.route.Match
	m.PathKind, m.Path = ir.PathExact, strings.TrimRight(m.Path, "/")
	out.key, out.implied = matchKey(m), true
	out.route.Name = routeName(out.route.Origin.Name, out.key)
	out.route.Forward = withPrefix(out.route.Forward, "")
	return out
}

// withPrefix gives the replacement another end; a closed route has none.
func withPrefix(f *ir.Forward, end string) *ir.Forward {
	if f == nil || f.Rewrite == nil {
		return f
	}
	out := *f
	out.Rewrite = &ir.PathRewrite{HasPrefix: true, Prefix: cmp.Or(strings.TrimRight(f.Rewrite.Prefix, "/")+end, "/")}
	return &out
}
