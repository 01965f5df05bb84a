package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// placed is a route of a host with what its precedence depends on.
type placed struct {
	route  ir.Route
	weight weight
	// host is the route object's own hostname that led here.
	host    string
	created time.Time
	ref     ir.ObjectRef
	// place of the match in its object.
	rule, match int
}

// weight is the precedence of a path: the lower rank, then more characters of
// the path or of the service, then of the method.
type weight struct{ rank, path, method int }

// Call is what precedence depends on in a match of a GRPCRoute: the number of
// characters of its service and its method.
type Call struct{ Service, Method int }

// compare is the order of precedence of the Gateway API: the more specific
// hostname of the route; exact path, expression, longest prefix; a method; more
// headers; more query parameters; the older object; the first by name; the
// first in the object.
func compare(a, b *placed) int {
	x, y := &a.route.Match, &b.route.Match
	return cmp.Or(
		gatewayapi.CompareHosts(a.host, b.host),
		cmp.Compare(a.weight.rank, b.weight.rank),
		cmp.Compare(b.weight.path, a.weight.path),
		cmp.Compare(b.weight.method, a.weight.method),
		-compareBools(x.Method != "", y.Method != ""),
		cmp.Compare(len(y.Headers), len(x.Headers)),
		cmp.Compare(len(y.Query), len(x.Query)),
		gatewayapi.Older(a.created, a.ref.Name, b.created, b.ref.Name),
		cmp.Compare(a.ref.Kind, b.ref.Kind),
		cmp.Compare(a.rule, b.rule), cmp.Compare(a.match, b.match),
	)
}

// weigh weighs the path of one of a rule's matches. What a GRPCRoute matches
// otherwise than exactly stands among prefixes, be it an expression: there the
// service decides before the method, and how either is matched does not.
func (r *Rule) weigh(match int) weight {
	const exact, expression, prefix = 0, 1, 2
	m := &r.Matches[match]
	switch {
	case m.PathKind == ir.PathExact:
		return weight{rank: exact}
	case r.Calls != nil:
		c := r.Calls[match]
		return weight{prefix, len("/") + c.Service, c.Method}
	case m.PathKind == ir.PathRegex:
		return weight{rank: expression, path: len(m.Path)}
	default:
		return weight{rank: prefix, path: len(m.Path)}
	}
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

func sortValues(list []ir.ValueMatch) {
	slices.SortFunc(list, func(a, b ir.ValueMatch) int { return strings.Compare(a.Name, b.Name) })
}

// routeName is the object's name with the rule's, or else with a digest of the
// match: stable, whatever the place of the rule in its object.
func routeName(ref ir.ObjectRef, rule string, m *ir.Match) string {
	b := make([]byte, 0, 64)
	text := func(s string) {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
	}
	text(string(m.PathKind))
	text(m.Path)
	text(m.Method)
	for _, list := range [...][]ir.ValueMatch{m.Headers, m.Query} {
		b = strconv.AppendInt(b, int64(len(list)), 10)
		b = append(b, ';')
		for i := range list {
			text(list[i].Name)
			text(string(list[i].Kind))
			text(list[i].Value)
		}
	}
	sum := sha256.Sum256(b)
	name := ref.Kind + "/" + ref.Namespace + "/" + ref.Name.Name + "/"
	if rule != "" {
		name += rule + "/"
	}
	return name + hex.EncodeToString(sum[:8])
}
