package route

import (
	"fmt"
	"regexp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// OfGRPC is the common part of a GRPCRoute.
func OfGRPC(r *gatewayv1.GRPCRoute) *Route {
	return &Route{
		Ref:        ir.ObjectRef{Kind: gatewayapi.KindGRPCRoute, Name: gatewayapi.NameOf(r)},
		Generation: r.Generation, Created: r.CreationTimestamp.Time,
		Parents: r.Spec.ParentRefs, Hosts: hosts(r.Spec.Hostnames),
	}
}

// ReadGRPC reads one GRPCRoute on its own, as ReadHTTP does. Its backends speak
// HTTP/2, its calls have no time limit, and what cannot be reached as asked
// answers 503, which is UNAVAILABLE in gRPC.
func ReadGRPC(o Objects, in *gatewayv1.GRPCRoute) *Document {
	r := newReader(o, OfGRPC(in), speech{kind: gatewayapi.KindGRPCRoute, http2: true})
	for i := range in.Spec.Rules {
		rule := &in.Spec.Rules[i]
		m, order, faults := calls(rule.Matches)
		r.rule(i, grpcRule(rule), m, faults)
		r.doc.Rules[i].Calls = order
	}
	r.settle(len(in.Spec.Rules))
	return r.doc
}

// grpcRule is a rule in the terms of an HTTPRoute, without its matches.
func grpcRule(in *gatewayv1.GRPCRouteRule) *gatewayv1.HTTPRouteRule {
	forever := gatewayv1.Duration("0s")
	out := &gatewayv1.HTTPRouteRule{
		Name: in.Name, Filters: grpcFilters(in.Filters), Timeouts: &gatewayv1.HTTPRouteTimeouts{Request: &forever},
		SessionPersistence: in.SessionPersistence, //nolint:staticcheck // the experimental channel still has it
	}
	for i := range in.BackendRefs {
		b := &in.BackendRefs[i]
		out.BackendRefs = append(out.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: b.BackendRef, Filters: grpcFilters(b.Filters)})
	}
	return out
}

func grpcFilters(in []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	var out []gatewayv1.HTTPRouteFilter
	for i := range in {
		f := &in[i]
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type:                  gatewayv1.HTTPRouteFilterType(f.Type),
			RequestHeaderModifier: f.RequestHeaderModifier, ResponseHeaderModifier: f.ResponseHeaderModifier,
			RequestMirror: f.RequestMirror, ExtensionRef: f.ExtensionRef,
		})
	}
	return out
}

// calls reads the matches of a rule: a call's path is "/<service>/<method>".
func calls(in []gatewayv1.GRPCRouteMatch) (out []ir.Match, order []Call, faults []string) {
	if len(in) == 0 {
		return []ir.Match{anything()}, []Call{{}}, nil
	}
	for i := range in {
		m, of := anything(), Call{}
		if c := in[i].Method; c != nil {
			var why string
			if m.PathKind, m.Path, why = call(c); why != "" {
				faults = append(faults, fmt.Sprintf("matches[%d].method: %s", i, why))
				continue
			}
			of = Call{Service: len(gatewayapi.Or(c.Service, "")), Method: len(gatewayapi.Or(c.Method, ""))}
		}
		for j := range in[i].Headers {
			h := &in[i].Headers[j]
			v, why := value(strings.ToLower(string(h.Name)), h.Value, string(gatewayapi.Or(h.Type, gatewayv1.GRPCHeaderMatchExact)))
			if why != "" {
				faults = append(faults, fmt.Sprintf("matches[%d].headers[%d]: %s", i, j, why))
			}
			if !named(m.Headers, v.Name) {
				m.Headers = append(m.Headers, v)
			}
		}
		sortValues(m.Headers)
		out, order = append(out, m), append(order, of)
	}
	return out, order, faults
}

func call(c *gatewayv1.GRPCMethodMatch) (kind ir.PathKind, path, fault string) {
	service, method := gatewayapi.Or(c.Service, ""), gatewayapi.Or(c.Method, "")
	switch t := gatewayapi.Or(c.Type, gatewayv1.GRPCMethodMatchExact); {
	case service == "" && method == "":
		return ir.PathSegments, "/", ""
	case strings.ContainsAny(service+method, "?#\n") && t == gatewayv1.GRPCMethodMatchExact:
		return "", "", fmt.Sprintf("%q and %q are no names of a service and a method", clip(service), clip(method))
	case t == gatewayv1.GRPCMethodMatchExact && method == "":
		return ir.PathSegments, "/" + service, ""
	case t == gatewayv1.GRPCMethodMatchExact && service == "":
		return ir.PathRegex, "/[^/]+/" + regexp.QuoteMeta(method), ""
	case t == gatewayv1.GRPCMethodMatchExact:
		return ir.PathExact, "/" + service + "/" + method, ""
	case t == gatewayv1.GRPCMethodMatchRegularExpression:
		path = "/" + group(service) + "/" + group(method)
		return ir.PathRegex, path, expression(path)
	default:
		return "", "", fmt.Sprintf("type %q is not supported", t)
	}
}

// group is an expression for one part of a path, any if there is none.
func group(expr string) string {
	if expr == "" {
		return "[^/]+"
	}
	return "(?:" + expr + ")"
}
