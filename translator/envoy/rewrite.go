package envoy

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/ir"
)

// rewritten appends a route whose path is rewritten.
func rewritten(to []*routev3.Route, out *routev3.Route, r *ir.Route) ([]*routev3.Route, error) {
	w := r.Forward.Rewrite
	action := out.GetRoute()
	if !w.HasPrefix {
		rewrite, err := regexRewrite(w)
		if err != nil {
			return nil, in("forward.rewrite", err)
		}
		action.RegexRewrite = rewrite
		return append(to, out), nil
	}
	parts, err := prefixRewrites(&r.Match, w.Prefix)
	if err != nil {
		return nil, in("forward.rewrite", err)
	}
	for _, p := range parts {
		one := p.apply(out)
		one.GetRoute().PrefixRewrite = p.rewrite
		to = append(to, one)
	}
	return to, nil
}

// redirected appends a redirect that replaces the matched prefix.
func redirected(to []*routev3.Route, out *routev3.Route, r *ir.Route) ([]*routev3.Route, error) {
	m := r.Match
	if m.PathKind == ir.PathPrefix && strings.Trim(m.Path, "/") == "" {
		// "//x" in a Location names a host: a redirect always joins with one slash.
		m.PathKind = ir.PathSegments
	}
	parts, err := prefixRewrites(&m, r.Redirect.Prefix)
	if err != nil {
		return nil, in("redirect", err)
	}
	for _, p := range parts {
		one := p.apply(out)
		one.GetRedirect().PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: p.rewrite}
		to = append(to, one)
	}
	return to, nil
}

// part is a share of a match with the text that replaces what it matched.
type part struct {
	// prefix narrows the match to a prefix; "" leaves it.
	prefix, rewrite string
}

func (p part) apply(r *routev3.Route) *routev3.Route {
	out, ok := proto.Clone(r).(*routev3.Route)
	if !ok { // Clone keeps the type
		return r
	}
	if p.prefix != "" {
		out.Match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: p.prefix}
	}
	return out
}

// prefixRewrites says how to replace the matched prefix so that exactly one
// slash stands where the parts meet:
//
//	match           replacement  parts
//	"/foo"          "/bar"       /foo -> /bar
//	"/foo"          "/bar/"      /foo -> /bar
//	"/foo"          "/" or ""    /foo/ -> /, then /foo -> /
//	"/foo/"         "/bar"       /foo/ -> /bar/
//	"/" (prefix)    "/bar"       / -> /bar, as written: "/x" becomes "/barx"
//	"/" (segments)  "/bar"       / -> /bar/
//	exact "/foo"    "/bar/"      /foo -> /bar/
//
// An empty replacement cannot be said to Envoy, which takes it for none.
func prefixRewrites(m *ir.Match, prefix string) ([]part, error) {
	if prefix != "" && !strings.HasPrefix(prefix, "/") {
		return nil, refuse("prefix", "%q does not start with \"/\"", prefix)
	}
	if strings.ContainsAny(prefix, "?#") {
		return nil, refuse("prefix", "%q holds '?' or '#', which no path does", prefix)
	}
	root := strings.TrimRight(m.Path, "/") == ""
	bare := strings.TrimRight(prefix, "/")
	switch {
	case m.PathKind == ir.PathExact:
		return []part{{rewrite: firstOf(prefix, "/")}}, nil
	case m.PathKind != ir.PathPrefix && m.PathKind != ir.PathSegments:
		return nil, refuse("prefix", "a match by %q has no prefix to replace", m.PathKind)
	case root && m.PathKind == ir.PathPrefix:
		return []part{{rewrite: firstOf(prefix, "/")}}, nil
	case root, m.PathKind == ir.PathPrefix && strings.HasSuffix(m.Path, "/"):
		return []part{{rewrite: bare + "/"}}, nil
	case bare == "":
		return []part{{prefix: strings.TrimRight(m.Path, "/") + "/", rewrite: "/"}, {rewrite: "/"}}, nil
	}
	return []part{{rewrite: bare}}, nil
}

func regexRewrite(w *ir.PathRewrite) (*matcherv3.RegexMatchAndSubstitute, error) {
	pattern, substitution := w.Regex, w.Substitution
	if w.Full != "" {
		if !strings.HasPrefix(w.Full, "/") || strings.ContainsAny(w.Full, "?#") {
			return nil, refuse("full", "%q is no path: it must start with \"/\" and hold neither '?' nor '#'", w.Full)
		}
		pattern, substitution = "^/.*$", strings.ReplaceAll(w.Full, `\`, `\\`)
	}
	groups, err := checkRegex(pattern)
	if err != nil {
		return nil, err
	}
	if err := checkSubstitution(substitution, groups); err != nil {
		return nil, in("substitution", err)
	}
	return &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: pattern}, Substitution: substitution}, nil
}

// checkSubstitution checks a replacement of RE2: a backslash stands before a
// backslash or before the number of a group.
func checkSubstitution(s string, groups int) error {
	if strings.ContainsAny(s, "\x00\r\n") {
		return refuse("value", "it holds a line break or a NUL")
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		if i == len(s) {
			return refuse("value", "%q ends in a backslash", s)
		}
		if s[i] == '\\' {
			continue
		}
		if n, err := strconv.Atoi(s[i : i+1]); err != nil || n > groups {
			return refuse("value", "%q refers to group %q; the expression has %d", s, s[i:i+1], groups)
		}
	}
	return nil
}
