package route

import (
	"errors"
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// anything is the match of a rule without matches.
func anything() ir.Match { return ir.Match{PathKind: ir.PathSegments, Path: "/"} }

// matches reads the matches of a rule. The rule's answer, an error, is to cover
// what was meant and little more: without a path that can be read there is no
// match.
func matches(in []gatewayv1.HTTPRouteMatch) (out []ir.Match, faults []string) {
	if len(in) == 0 {
		return []ir.Match{anything()}, nil
	}
	for i := range in {
		m, ok, why := match(&in[i])
		for _, w := range why {
			faults = append(faults, fmt.Sprintf("matches[%d].%s", i, w))
		}
		if ok {
			out = append(out, m)
		}
	}
	return out, faults
}

func match(in *gatewayv1.HTTPRouteMatch) (out ir.Match, ok bool, faults []string) {
	out = anything()
	if p := in.Path; p != nil {
		var why string
		if out.PathKind, out.Path, why = path(p); why != "" {
			return out, false, []string{"path: " + why}
		}
	}
	if in.Method != nil {
		out.Method = string(*in.Method)
	}
	for i := range in.Headers {
		h := &in.Headers[i]
		m, why := value(string(h.Name), h.Value, string(gatewayapi.Or(h.Type, gatewayv1.HeaderMatchExact)))
		m.Name = strings.ToLower(m.Name)
		if why != "" {
			faults = append(faults, fmt.Sprintf("headers[%d]: %s", i, why))
		}
		if !named(out.Headers, m.Name) {
			out.Headers = append(out.Headers, m)
		}
	}
	for i := range in.QueryParams {
		q := &in.QueryParams[i]
		m, why := value(string(q.Name), q.Value, string(gatewayapi.Or(q.Type, gatewayv1.QueryParamMatchExact)))
		if why != "" {
			faults = append(faults, fmt.Sprintf("queryParams[%d]: %s", i, why))
		}
		if !named(out.Query, m.Name) {
			out.Query = append(out.Query, m)
		}
	}
	sortValues(out.Headers)
	sortValues(out.Query)
	return out, true, faults
}

func path(p *gatewayv1.HTTPPathMatch) (kind ir.PathKind, value, fault string) {
	value = gatewayapi.Or(p.Value, "/")
	t := gatewayapi.Or(p.Type, gatewayv1.PathMatchPathPrefix)
	switch t {
	case gatewayv1.PathMatchExact:
		kind = ir.PathExact
	case gatewayv1.PathMatchPathPrefix:
		kind = ir.PathSegments
		// A final slash says nothing: "/abc/" matches what "/abc" does.
		if trimmed := strings.TrimRight(value, "/"); trimmed != "" {
			value = trimmed
		} else {
			value = "/"
		}
	case gatewayv1.PathMatchRegularExpression:
		return ir.PathRegex, value, expression(value)
	default:
		return kind, value, fmt.Sprintf("type %q is not supported", t)
	}
	if !strings.HasPrefix(value, "/") || strings.ContainsAny(value, "?#") {
		return kind, value, fmt.Sprintf("%q is no path: it must start with \"/\" and hold neither '?' nor '#'", clip(value))
	}
	return kind, value, ""
}

// value matches a header or a query parameter; the types have the same names.
// One that cannot be read matches whatever value there is: that holds what was
// meant, counts among the rule's fields, and lets requests without it pass.
func value(name, v, kind string) (out ir.ValueMatch, fault string) {
	switch kind {
	case string(gatewayv1.HeaderMatchExact):
		return ir.ValueMatch{Name: name, Kind: ir.ValueExact, Value: v}, ""
	case string(gatewayv1.HeaderMatchRegularExpression):
		if fault = expression(v); fault == "" {
			return ir.ValueMatch{Name: name, Kind: ir.ValueRegex, Value: v}, ""
		}
	default:
		fault = fmt.Sprintf("type %q is not supported", kind)
	}
	return ir.ValueMatch{Name: name, Kind: ir.ValuePresent}, fault
}

// expression says why Envoy would not take an expression.
func expression(expr string) (fault string) {
	switch _, err := ir.CheckRegex(expr); {
	case err == nil:
		return ""
	case errors.Is(err, ir.ErrRegexLarge):
		return reason.FormatRegexLarge.With(clip(expr))
	default:
		return reason.FormatRegex.With(clip(expr))
	}
}

// named says that a name was there before: of several only the first counts.
func named(list []ir.ValueMatch, name string) bool {
	for i := range list {
		if list[i].Name == name {
			return true
		}
	}
	return false
}

// clip keeps what a user wrote from flooding a message.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
