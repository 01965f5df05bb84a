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
	route ir.Route
	// host is the route object's own hostname that led here.
	host    string
	created time.Time
	ref     ir.ObjectRef
	// place of the match in its object.
	rule, match int
}

// compare is the order of precedence of the Gateway API: the more specific
// hostname of the route; exact path, expression, longest prefix; a method; more
// headers; more query parameters; the older object; the first by name; the
// first in the object.
func compare(a, b *placed) int {
	x, y := &a.route.Match, &b.route.Match
	length := 0
	if x.PathKind == y.PathKind && x.PathKind != ir.PathExact {
		length = cmp.Compare(len(y.Path), len(x.Path))
	}
	return cmp.Or(
		gatewayapi.CompareHosts(a.host, b.host),
		cmp.Compare(rank(x.PathKind), rank(y.PathKind)), length,
		-compareBools(x.Method != "", y.Method != ""),
		cmp.Compare(len(y.Headers), len(x.Headers)),
		cmp.Compare(len(y.Query), len(x.Query)),
		gatewayapi.Older(a.created, a.ref.Name, b.created, b.ref.Name),
		cmp.Compare(a.ref.Kind, b.ref.Kind),
		cmp.Compare(a.rule, b.rule), cmp.Compare(a.match, b.match),
	)
}

func rank(k ir.PathKind) int {
	switch k {
	case ir.PathExact:
		return 0
	case ir.PathRegex:
		return 1
	case ir.PathSegments, ir.PathPrefix:
	}
	return 2
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
