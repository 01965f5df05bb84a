package httpproxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Limits of one host: includes of includes multiply.
const (
	maxRoutes   = 50_000
	maxIncludes = 50_000
	maxDepth    = 100
)

// Compose builds what one host of one fleet serves: the root's document with
// everything that it includes. Two claimants get none of it: the host answers
// 503 until one gives way.
func Compose(docs Documents, fleet *ir.Fleet, host HostKey, claimants []ir.Name) *Site {
	c := composer{
		docs: docs, fleet: fleet, visits: map[ir.Name]int{},
		site: &Site{Fleet: host.Fleet, Host: host.Host},
	}
	switch len(claimants) {
	case 0:
	case 1:
		c.root(claimants[0])
	default:
		c.contested(claimants)
	}
	slices.SortFunc(c.site.Visits, func(a, b Visit) int { return compareNames(a.Proxy, b.Proxy) })
	return c.site
}

func compareNames(a, b ir.Name) int {
	if d := strings.Compare(a.Namespace, b.Namespace); d != 0 {
		return d
	}
	return strings.Compare(a.Name, b.Name)
}

// composer is a site in the making.
type composer struct {
	docs   Documents
	fleet  *ir.Fleet
	class  string
	site   *Site
	visits map[ir.Name]int
	routes []placed
	// included counts the includes that were followed.
	included int
	// crowded says that a limit was met.
	crowded bool
}

// placed is a route at its place in the site.
type placed struct {
	route ir.Route
	key   string
	where place
	// yields says that another route with the same conditions goes first: what
	// this one was to match could not be read, or belongs to a lost include.
	yields bool
	// implied says that no condition names the path: it is a prefix without its
	// slash.
	implied bool
	// replaced says that the prefix is replaced, or was to be before the route
	// was closed; of a lost include, that it may be.
	replaced bool
	insecure bool
}

// visit notes that an object takes part, and what there is to say of it.
func (c *composer) visit(name ir.Name, findings ...Finding) {
	i, ok := c.visits[name]
	if !ok {
		i = len(c.site.Visits)
		c.visits[name] = i
		c.site.Visits = append(c.site.Visits, Visit{Proxy: name})
	}
	v := &c.site.Visits[i]
	for _, f := range findings {
		if !slices.Contains(v.Findings, f) {
			v.Findings = append(v.Findings, f)
		}
	}
}

func (c *composer) contested(claimants []ir.Name) {
	names := slices.Clone(claimants)
	slices.SortFunc(names, compareNames)
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = n.String()
	}
	message := reason.FormatDuplicateVhost.With(c.site.Host, strings.Join(words, ", "))
	for _, n := range names {
		c.visit(n, Finding{Type: reason.VirtualHostError, Reason: reason.DuplicateVhost, Message: message})
	}
	origin := ir.ObjectRef{Kind: Kind, Name: names[0]}
	for _, tls := range [...]bool{false, true} {
		if l := c.listener(tls); l != nil {
			c.addHost(l, origin, []ir.Route{closedRoute(origin, message)})
		}
	}
}

// closedRoute answers 503 to every path.
func closedRoute(origin ir.ObjectRef, failure string) ir.Route {
	r := unavailable(origin, failure)
	r.Match = ir.Match{PathKind: ir.PathPrefix, Path: "/"}
	r.Name = routeName(origin.Name, matchKey(&r.Match))
	return r
}

func (c *composer) root(name ir.Name) {
	doc, ok := c.docs.Document(name)
	if !ok {
		doc = &Document{Name: name, Root: true, failure: "the object could not be translated"}
	}
	c.class = doc.Class
	c.visit(name)
	c.gather(doc, &conditions{}, []ir.Name{name})
	closed := doc.failure
	if c.crowded {
		closed = fmt.Sprintf("the includes of the host amount to too much: more than %d routes, %d includes or a depth of %d",
			maxRoutes, maxIncludes, maxDepth)
		c.visit(name, Finding{Type: reason.IncludeError, Reason: reason.IncludeTreeTooLarge, Message: closed})
	}
	if closed != "" {
		c.hosts(doc, []placed{{route: closedRoute(doc.origin(), closed), insecure: true}}, closed)
		return
	}
	c.hosts(doc, c.arrange(), "")
}

func (d *Document) origin() ir.ObjectRef { return ir.ObjectRef{Kind: Kind, Name: d.Name} }

// gather adds the routes of a document below the conditions of the includes
// that lead to it: what it includes first, then its own, so that of several
// with the same conditions its own go first.
func (c *composer) gather(doc *Document, chain *conditions, path []ir.Name) {
	for i := range doc.includes {
		if c.full(len(path)) {
			return
		}
		c.include(doc, &doc.includes[i], chain, path)
	}
	for i := range doc.routes {
		if c.full(0) {
			return
		}
		c.place(doc, &doc.routes[i], chain)
	}
}

func (c *composer) full(depth int) bool {
	c.crowded = c.crowded || len(c.routes) >= maxRoutes || c.included >= maxIncludes || depth > maxDepth
	return c.crowded
}

func (c *composer) include(doc *Document, in *include, chain *conditions, path []ir.Name) {
	below := in.conditions.under(chain)
	if in.failure != "" {
		c.lost(doc, &below, 503, in.failure)
		return
	}
	// Contour answers 502 where the include names conditions.
	status := uint32(503)
	if in.conditions.kind != "" || len(in.conditions.headers)+len(in.conditions.query) > 0 {
		status = 502
	}
	target, ok := c.docs.Document(in.target)
	switch {
	case !ok:
		f := Finding{Type: reason.IncludeError, Reason: reason.IncludeNotFound,
			Message: reason.FormatIncludeNotFound.With(in.target.Namespace, in.target.Name)}
		c.visit(doc.Name, f)
		c.lost(doc, &below, status, f.Message)
	case target.Root:
		f := Finding{Type: reason.IncludeError, Reason: reason.RootIncludesRoot,
			Message: reason.FormatRootIncludesRoot.With(in.target.Namespace, in.target.Name)}
		c.visit(doc.Name, f)
		c.lost(doc, &below, status, f.Message)
	case !includable(c.class, target.Class):
		f := otherClass(reason.IncludeError, target)
		c.visit(doc.Name, f)
		c.lost(doc, &below, status, f.Message)
	case slices.Contains(path, in.target):
		f := Finding{Type: reason.IncludeError, Reason: reason.IncludeCreatesCycle,
			Message: reason.FormatIncludeCycle.With(arrows(path, in.target))}
		c.visit(in.target, f)
		c.lost(doc, &below, 503, f.Message)
	default:
		c.visit(in.target)
		c.included++
		c.gather(target, &below, append(slices.Clip(path), in.target))
	}
}

func otherClass(class reason.ErrorType, target *Document) Finding {
	return Finding{Type: class, Reason: reason.IncludeNotFound,
		Message: reason.FormatIncludeNotFound.With(target.Name.Namespace, target.Name.Name) +
			": it is there, but names the ingress class \"" + clip(target.Class) + `"`}
}

func arrows(path []ir.Name, last ir.Name) string {
	var b strings.Builder
	for _, n := range path {
		b.WriteString(n.String())
		b.WriteString(" -> ")
	}
	return b.String() + last.String()
}

// lost answers for an include that cannot be followed, so that no shorter
// route takes its requests.
func (c *composer) lost(doc *Document, below *conditions, status uint32, failure string) {
	r := unavailable(doc.origin(), failure)
	r.Response.StatusCode = status
	c.add(r, below, placed{yields: true, replaced: true})
}

// place adds one route of a document.
func (c *composer) place(doc *Document, r *route, chain *conditions) {
	below := r.conditions.under(chain)
	action := r.action
	if err := below.clash(chain); err != nil {
		f := Finding{Type: reason.RouteError, Reason: err.reason, Place: r.where.String(), Message: err.cause.Error()}
		c.visit(doc.Name, f)
		action, below.partial = unavailable(doc.origin(), f.Text()), true
	}
	replacement := below.replacement(r.rewrites)
	if action.Forward != nil {
		forward, failure := c.finish(doc, r.where, action.Forward)
		if failure != "" {
			action = unavailable(doc.origin(), failure)
		} else {
			action.Forward = replacement.apply(forward)
		}
	}
	c.add(action, &below, placed{yields: below.partial, replaced: replacement != nil, insecure: r.insecure, where: r.where})
}

func (c *composer) add(r ir.Route, below *conditions, p placed) {
	r.Match = below.match()
	p.key = matchKey(&r.Match)
	r.Name = routeName(r.Origin.Name, p.key)
	p.route = r
	c.routes = append(c.routes, p)
}

// clash finds what joining an include's conditions with a route's breaks.
func (c *conditions) clash(chain *conditions) *conditionError {
	if len(chain.headers) > 0 {
		if err := contradiction(c.headers); err != nil {
			return &conditionError{reason.HeaderMatchConditionsNotValid, err}
		}
	}
	if len(chain.query) > 0 {
		if err := duplicateQuery(c.query); err != nil {
			return &conditionError{reason.QueryParameterMatchConditionsNotValid, err}
		}
	}
	if c.kind == ir.PathRegex && chain.path != "" {
		if _, err := ir.CheckRegex(c.path); err != nil {
			*c = *chain
			return &conditionError{reason.PathMatchConditionsNotValid, err}
		}
	}
	return nil
}

// finish gives the upstreams of a route what the fleet brings, or says why it
// cannot. A mirror that cannot be finished is left out.
func (c *composer) finish(doc *Document, where place, f *ir.Forward) (out *ir.Forward, failure string) {
	secure := false
	for u := range f.Upstreams() {
		secure = secure || u.TLS != nil
	}
	if !secure {
		return f, ""
	}
	backends, failure := c.finishAll(doc, where, f.Backends)
	if failure != "" {
		return nil, failure
	}
	finished := *f
	finished.Backends, finished.Mirrors = backends, nil
	for _, m := range f.Mirrors {
		if m.Upstream, failure = c.finishOne(doc, where, m.Upstream); failure == "" {
			finished.Mirrors = append(finished.Mirrors, m)
		}
	}
	return &finished, ""
}

func (c *composer) finishAll(doc *Document, where place, in []ir.Backend) (out []ir.Backend, failure string) {
	out = slices.Clone(in)
	for i := range out {
		u, why := c.finishOne(doc, where, out[i].Upstream)
		if failure == "" {
			failure = why
		}
		out[i].Upstream = u
	}
	if failure != "" {
		return nil, failure
	}
	return out, ""
}

func (c *composer) finishOne(doc *Document, where place, u *ir.Upstream) (out *ir.Upstream, failure string) {
	out, p := upstream.Finish(u, c.fleet)
	if p == nil {
		return out, ""
	}
	f := Finding{Type: p.Type, Reason: p.Category, Place: where.service(u.Service.Name.Name), Message: p.Message}
	c.visit(doc.Name, f)
	return nil, f.Text()
}
