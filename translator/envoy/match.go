package envoy

import (
	"fmt"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/signetproxy/signet/translator/ir"
)

func routeMatch(m *ir.Match) (*routev3.RouteMatch, error) {
	out := &routev3.RouteMatch{}
	if err := matchPath(out, m.PathKind, m.Path); err != nil {
		return nil, in("match.path", err)
	}
	if m.Method != "" {
		out.Headers = append(out.Headers, &routev3.HeaderMatcher{
			Name:                 ":method",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: exactly(m.Method)},
		})
	}
	for i := range m.Headers {
		h, err := headerMatch(&m.Headers[i])
		if err != nil {
			return nil, in(fmt.Sprintf("match.headers %q", m.Headers[i].Name), err)
		}
		out.Headers = append(out.Headers, h)
	}
	for i := range m.Query {
		q, err := queryMatch(&m.Query[i])
		if err != nil {
			return nil, in(fmt.Sprintf("match.query %q", m.Query[i].Name), err)
		}
		out.QueryParameters = append(out.QueryParameters, q)
	}
	return out, nil
}

func matchPath(out *routev3.RouteMatch, kind ir.PathKind, path string) error {
	if kind != ir.PathRegex && !strings.HasPrefix(path, "/") {
		return refuse(string(kind), "%q does not start with \"/\"", path)
	}
	switch kind {
	case ir.PathPrefix:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: path}
	case ir.PathSegments:
		if strings.ContainsAny(path, "?#") {
			return refuse(string(kind), "%q holds '?' or '#', which no path does", path)
		}
		segments := strings.TrimRight(path, "/")
		if segments == "" {
			out.PathSpecifier = anyPath.GetPathSpecifier()
			return nil
		}
		out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: segments}
	case ir.PathExact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: path}
	case ir.PathRegex:
		if _, err := checkRegex(path); err != nil {
			return err
		}
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: path}}
	default:
		return refuse("kind", "%q is unknown", kind)
	}
	return nil
}

// checkRegex returns the number of capture groups.
func checkRegex(expr string) (int, error) {
	groups, err := ir.CheckRegex(expr)
	if err != nil {
		return 0, refuse("regex", "%q cannot be used: %w", expr, err)
	}
	return groups, nil
}

func headerMatch(m *ir.ValueMatch) (*routev3.HeaderMatcher, error) {
	out := &routev3.HeaderMatcher{Name: m.Name, InvertMatch: m.Invert, TreatMissingHeaderAsEmpty: m.MissingMatches}
	if m.Kind == ir.ValuePresent {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
		return out, nil
	}
	s, err := valueMatch(m)
	if err != nil {
		return nil, err
	}
	out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: s}
	return out, nil
}

func queryMatch(m *ir.ValueMatch) (*routev3.QueryParameterMatcher, error) {
	if m.Invert || m.MissingMatches {
		return nil, refuse("invert", "Envoy has no inverted match of a query parameter")
	}
	out := &routev3.QueryParameterMatcher{Name: m.Name}
	if m.Kind == ir.ValuePresent {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
		return out, nil
	}
	s, err := valueMatch(m)
	if err != nil {
		return nil, err
	}
	out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: s}
	return out, nil
}

func exactly(v string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v}}
}

func valueMatch(m *ir.ValueMatch) (*matcherv3.StringMatcher, error) {
	out := &matcherv3.StringMatcher{IgnoreCase: m.IgnoreCase}
	if m.Value == "" && m.Kind != ir.ValueExact {
		return nil, refuse(string(m.Kind), "the value is empty; use a match of presence")
	}
	switch m.Kind {
	case ir.ValueExact:
		out.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: m.Value}
	case ir.ValuePrefix:
		out.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: m.Value}
	case ir.ValueSuffix:
		out.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: m.Value}
	case ir.ValueContains:
		out.MatchPattern = &matcherv3.StringMatcher_Contains{Contains: m.Value}
	case ir.ValueRegex:
		expr := m.Value
		if m.IgnoreCase {
			// ignore_case has no effect on an expression.
			out.IgnoreCase, expr = false, "(?i:"+expr+")"
		}
		if _, err := checkRegex(expr); err != nil {
			return nil, err
		}
		out.MatchPattern = &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: expr}}
	case ir.ValuePresent: // has no value; the callers know it
		return nil, refuse("kind", "a match of presence has no value")
	default:
		return nil, refuse("kind", "%q is unknown", m.Kind)
	}
	return out, nil
}
