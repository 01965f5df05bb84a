package httpproxy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// conditions are what one conditions block says.
type conditions struct {
	// kind is "" when there is no path condition (or none that could be read).
	kind    ir.PathKind
	path    string
	headers []ir.ValueMatch
	query   []ir.ValueMatch
	// partial says that some conditions could not be read: what is here
	// matches more than what was asked for.
	partial bool
}

// conditionError says which part of the status a condition's error belongs to.
type conditionError struct {
	reason reason.Reason
	cause  error
}

// parseConditions reads a block as far as it can be read. An include may only
// have prefixes.
func parseConditions(block []contourv1.MatchCondition, inInclude bool) (conditions, []conditionError) {
	var (
		c    conditions
		errs []conditionError
	)
	file := func(why reason.Reason, err error) {
		if err != nil {
			errs, c.partial = append(errs, conditionError{why, err}), true
		}
	}
	kind, path, err := parsePath(block, inInclude)
	file(reason.PathMatchConditionsNotValid, err)
	c.kind, c.path = kind, path
	for i := range block {
		if h := block[i].Header; h != nil {
			m, err := parseHeader(h)
			file(reason.HeaderMatchConditionsNotValid, err)
			if err == nil {
				c.headers = append(c.headers, m)
			}
		}
		if q := block[i].QueryParameter; q != nil {
			m, err := parseQuery(q)
			file(reason.QueryParameterMatchConditionsNotValid, err)
			if err == nil {
				c.query = append(c.query, m)
			}
		}
	}
	file(reason.HeaderMatchConditionsNotValid, contradiction(c.headers))
	file(reason.QueryParameterMatchConditionsNotValid, duplicateQuery(c.query))
	return c, errs
}

// parsePath finds the one path condition of a block.
func parsePath(block []contourv1.MatchCondition, inInclude bool) (ir.PathKind, string, error) {
	var (
		kind  ir.PathKind
		path  string
		count int
	)
	for i := range block {
		for _, p := range [...]struct {
			kind ir.PathKind
			path string
		}{
			{ir.PathPrefix, block[i].Prefix}, {ir.PathExact, block[i].Exact}, {ir.PathRegex, block[i].Regex},
		} {
			if p.path == "" {
				continue
			}
			kind, path = p.kind, p.path
			count++
			if inInclude && kind != ir.PathPrefix {
				return "", "", fmt.Errorf("%s conditions are not allowed in includes block", kind)
			}
			if err := checkPath(kind, path); err != nil {
				return "", "", err
			}
		}
	}
	if count > 1 {
		return "", "", errors.New("more than one prefix, exact or regex is not allowed in a condition block")
	}
	return kind, path, nil
}

func checkPath(kind ir.PathKind, path string) error {
	if path[0] != '/' {
		return fmt.Errorf("%s conditions must start with /, %s was supplied", kind, clip(path))
	}
	if kind == ir.PathRegex {
		if _, err := ir.CheckRegex(path); err != nil {
			return fmt.Errorf("supplied regex: %s invalid. error: %w", clip(path), err)
		}
		return nil
	}
	if i := strings.IndexFunc(path, notInPath); i >= 0 {
		return fmt.Errorf("%s condition %q holds a character that no path has", kind, clip(path))
	}
	return nil
}

// notInPath reports what never stands in a request's path: blanks, control
// characters, and what begins the query or the fragment.
func notInPath(r rune) bool { return r <= ' ' || r == 0x7f || r == '?' || r == '#' }

func parseHeader(h *contourv1.HeaderMatchCondition) (ir.ValueMatch, error) {
	m := ir.ValueMatch{Name: strings.ToLower(h.Name)}
	if !isHeaderName(strings.TrimPrefix(m.Name, ":")) {
		return m, fmt.Errorf("header condition: name %q is not a header name", clip(h.Name))
	}
	operators := [...]struct {
		set     bool
		kind    ir.ValueKind
		value   string
		invert  bool
		missing bool
		fold    bool
	}{
		{h.Present, ir.ValuePresent, "", false, false, false},
		{h.NotPresent, ir.ValuePresent, "", true, false, false},
		{h.Contains != "", ir.ValueContains, h.Contains, false, false, h.IgnoreCase},
		{h.NotContains != "", ir.ValueContains, h.NotContains, true, h.TreatMissingAsEmpty, h.IgnoreCase},
		{h.Exact != "", ir.ValueExact, h.Exact, false, false, h.IgnoreCase},
		{h.NotExact != "", ir.ValueExact, h.NotExact, true, h.TreatMissingAsEmpty, h.IgnoreCase},
		{h.Regex != "", ir.ValueRegex, h.Regex, false, false, false},
	}
	count := 0
	for _, o := range operators {
		if o.set {
			m.Kind, m.Value, m.Invert, m.MissingMatches, m.IgnoreCase = o.kind, o.value, o.invert, o.missing, o.fold
			count++
		}
	}
	if count != 1 {
		return m, fmt.Errorf("header condition %q must have exactly one of present, notpresent, contains, notcontains, exact, notexact, regex",
			h.Name)
	}
	err := checkValue(&m)
	return m, err
}

func parseQuery(q *contourv1.QueryParameterMatchCondition) (ir.ValueMatch, error) {
	m := ir.ValueMatch{Name: q.Name}
	if q.Name == "" || strings.ContainsFunc(q.Name, isControl) {
		return m, fmt.Errorf("query parameter condition: name %q cannot be matched", clip(q.Name))
	}
	operators := [...]struct {
		set   bool
		kind  ir.ValueKind
		value string
		fold  bool
	}{
		{q.Exact != "", ir.ValueExact, q.Exact, q.IgnoreCase},
		{q.Prefix != "", ir.ValuePrefix, q.Prefix, q.IgnoreCase},
		{q.Suffix != "", ir.ValueSuffix, q.Suffix, q.IgnoreCase},
		{q.Regex != "", ir.ValueRegex, q.Regex, false},
		{q.Contains != "", ir.ValueContains, q.Contains, q.IgnoreCase},
		{q.Present, ir.ValuePresent, "", false},
	}
	count := 0
	for _, o := range operators {
		if o.set {
			m.Kind, m.Value, m.IgnoreCase = o.kind, o.value, o.fold
			count++
		}
	}
	switch {
	case count == 0:
		return m, errors.New("must specify at least one query parameter condition")
	case count > 1:
		return m, errors.New("cannot specify more than one condition in the same match condition branch")
	}
	err := checkValue(&m)
	return m, err
}

func checkValue(m *ir.ValueMatch) error {
	if m.Kind == ir.ValueRegex {
		if _, err := ir.CheckRegex(m.Value); err != nil {
			return fmt.Errorf("invalid regular expression specified for 'regex' condition of %q: %w", m.Name, err)
		}
		return nil
	}
	if strings.ContainsFunc(m.Value, isControl) {
		return fmt.Errorf("condition of %q: value %q holds a control character", m.Name, clip(m.Value))
	}
	return nil
}

// contradiction finds conditions on one header that can never hold together.
func contradiction(headers []ir.ValueMatch) error {
	for i := range headers {
		for j := range i {
			a, b := &headers[i], &headers[j]
			if a.Name != b.Name || a.Kind != b.Kind {
				continue
			}
			if a.Kind == ir.ValueExact && !a.Invert && !b.Invert {
				return fmt.Errorf("cannot specify duplicate header 'exact match' conditions in the same route (header %q)", a.Name)
			}
			if a.Kind != ir.ValueRegex && a.Invert != b.Invert && a.Value == b.Value {
				return fmt.Errorf("cannot specify contradictory '%s' and 'not%[1]s' conditions for the same route and header %q", a.Kind, a.Name)
			}
		}
	}
	return nil
}

func duplicateQuery(query []ir.ValueMatch) error {
	for i := range query {
		for j := range i {
			if query[i].Kind == ir.ValueExact && query[j].Kind == ir.ValueExact && strings.EqualFold(query[i].Name, query[j].Name) {
				return errors.New("cannot specify duplicate query parameter 'exact match' conditions in the same route")
			}
		}
	}
	return nil
}

// under puts the conditions of an include chain before those of what is
// included: paths are joined, the rest must all hold.
func (c *conditions) under(chain *conditions) conditions {
	out := conditions{
		kind: c.kind, path: c.path, partial: c.partial || chain.partial,
		headers: slices.Concat(chain.headers, c.headers),
		query:   slices.Concat(chain.query, c.query),
	}
	switch {
	case chain.path == "":
	case c.kind == ir.PathRegex:
		// The group keeps a "|" of the expression behind the prefix.
		out.path = regexp.QuoteMeta(strings.TrimRight(chain.path, "/")) + "(?:" + c.path + ")"
	default:
		out.path = joinPaths(chain.path, c.path)
		if out.kind == "" {
			out.kind = ir.PathPrefix
		}
	}
	return out
}

// joinPaths concatenates and leaves one slash where there are several.
func joinPaths(a, b string) string { return oneSlash(a + b) }

func oneSlash(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// match finishes the conditions: no path is the prefix "/".
func (c *conditions) match() ir.Match {
	m := ir.Match{PathKind: c.kind, Path: c.path, Headers: sorted(c.headers), Query: sorted(c.query)}
	switch m.PathKind {
	case "":
		m.PathKind, m.Path = ir.PathPrefix, "/"
	case ir.PathPrefix, ir.PathExact:
		m.Path = oneSlash(m.Path)
	case ir.PathRegex, ir.PathSegments:
	}
	return m
}

// sorted orders by name, then from the most to the least specific kind, and
// drops repetitions.
func sorted(in []ir.ValueMatch) []ir.ValueMatch {
	if len(in) < 2 {
		return in
	}
	out := slices.Clone(in)
	slices.SortFunc(out, compareValues)
	return slices.Compact(out)
}

func compareValues(a, b ir.ValueMatch) int {
	return cmp.Or(
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(specificity(a.Kind), specificity(b.Kind)),
		cmp.Compare(a.Value, b.Value),
		compareBools(a.Invert, b.Invert),
		compareBools(a.IgnoreCase, b.IgnoreCase),
		compareBools(a.MissingMatches, b.MissingMatches),
	)
}

func specificity(k ir.ValueKind) int {
	switch k {
	case ir.ValueExact:
		return 0
	case ir.ValueRegex:
		return 1
	case ir.ValuePrefix:
		return 2
	case ir.ValueSuffix:
		return 3
	case ir.ValueContains:
		return 4
	case ir.ValuePresent:
		return 5
	}
	return 6
}

// compareBools sorts false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// matchKey is an encoding of a match that is unique to it.
func matchKey(m *ir.Match) string {
	b := make([]byte, 0, 64)
	b = appendText(b, string(m.PathKind))
	b = appendText(b, m.Path)
	b = appendText(b, m.Method)
	for _, list := range [...][]ir.ValueMatch{m.Headers, m.Query} {
		b = strconv.AppendInt(b, int64(len(list)), 10)
		b = append(b, ';')
		for i := range list {
			v := &list[i]
			b = appendText(b, v.Name)
			b = appendText(b, string(v.Kind))
			b = appendText(b, v.Value)
			for _, flag := range [...]bool{v.IgnoreCase, v.Invert, v.MissingMatches} {
				b = strconv.AppendBool(b, flag)
			}
		}
	}
	return string(b)
}

// appendText puts the length before the text: neighbours stay apart.
func appendText(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	return append(b, s...)
}

// routeName is namespace/name/digest: stable, whatever the place of the route
// in its object.
func routeName(origin ir.Name, key string) string {
	sum := sha256.Sum256([]byte(key))
	return origin.Namespace + "/" + origin.Name + "/" + hex.EncodeToString(sum[:16])
}

func isControl(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }

// clip shortens what a user wrote for a message.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
