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
	c.separate()
	routes := c.unique()
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
// behind those that are equal in all of this.
func comparePlaced(a, b *placed) int {
	x, y := &a.route.Match, &b.route.Match
	length := 0
	if x.PathKind != ir.PathExact {
		length = cmp.Compare(len(y.Path), len(x.Path))
	}
	if d := cmp.Or(
		cmp.Compare(pathRank(x.PathKind), pathRank(y.PathKind)), length,
		strings.Compare(y.Path, x.Path),
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

// rewrite applies the replacement for the route's prefix: the one that names
// it, else the default one.
func (c *conditions) rewrite(r *ir.Route, replacements []prefixReplacement) {
	if len(replacements) == 0 {
		return
	}
	prefix := c.match().Path
	i := slices.IndexFunc(replacements, func(p prefixReplacement) bool { return p.prefix == prefix })
	if i < 0 {
		if i = slices.IndexFunc(replacements, func(p prefixReplacement) bool { return p.prefix == "" }); i < 0 {
			return
		}
	}
	forward := *r.Forward
	forward.Rewrite = &ir.PathRewrite{HasPrefix: true, Prefix: replacements[i].replacement}
	r.Forward = &forward
}

// separate gives replaced prefixes that end in a slash their second form: the
// prefix "/foo/" with a replacement serves "/foo" too, as in Contour, unless
// another route has it. The prefix "/" gets a replacement that ends in a slash,
// so that "/x" becomes "/bar/x" rather than "/barx".
func (c *composer) separate() {
	var taken map[string]bool
	for i := range len(c.routes) { // not those added below
		r := &c.routes[i].route
		if r.Forward == nil || r.Forward.Rewrite == nil || !strings.HasSuffix(r.Match.Path, "/") {
			continue
		}
		bare := strings.TrimRight(r.Forward.Rewrite.Prefix, "/")
		if r.Match.Path == "/" {
			c.routes[i].route = withPrefix(*r, bare+"/")
			continue
		}
		if taken == nil {
			taken = make(map[string]bool, len(c.routes))
			for j := range c.routes {
				taken[c.routes[j].key] = true
			}
		}
		other := c.routes[i]
		other.route = withPrefix(*r, cmp.Or(bare, "/"))
		m := &other.route.Match
		m.Path = strings.TrimRight(m.Path, "/")
		prefix := matchKey(m)
		m.PathKind = ir.PathExact
		other.key = matchKey(m)
		if taken[prefix] || taken[other.key] {
			continue
		}
		taken[other.key] = true
		other.route.Name = routeName(other.route.Origin.Name, other.key)
		c.routes = append(c.routes, other)
	}
}

func withPrefix(r ir.Route, prefix string) ir.Route {
	forward := *r.Forward
	forward.Rewrite = &ir.PathRewrite{HasPrefix: true, Prefix: prefix}
	r.Forward = &forward
	return r
}
