package route

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// authorize puts the question to the authorization server before what the rule
// does. Where that server cannot be reached as asked nobody is let through.
func (d *ruleReader) authorize(in *gatewayv1.HTTPExternalAuthFilter) {
	out, why := externalAuth(in)
	d.fault(why)
	u, f := d.speak(&in.BackendRef, true, in.ExternalAuthProtocol == gatewayv1.HTTPRouteExternalAuthGRPCProtocol)
	if f != nil {
		where := d.at + ".filters: externalAuth.backendRef"
		d.failRef(where, f)
		d.fail(where + ": " + f.Message)
		return
	}
	if why == "" && d.out.Action.Response == nil {
		out.Upstream = u
		d.out.Action.Auth = out
	}
}

// externalAuth reads a filter but for its server.
func externalAuth(in *gatewayv1.HTTPExternalAuthFilter) (*ir.ExternalAuth, string) {
	out := &ir.ExternalAuth{}
	if in.ForwardBody != nil {
		out.MaxBody = uint32(max(0, in.ForwardBody.MaxSize))
	}
	var why string
	switch in.ExternalAuthProtocol {
	case gatewayv1.HTTPRouteExternalAuthGRPCProtocol:
		c := gatewayapi.Or(in.GRPCAuthConfig, gatewayv1.GRPCAuthConfig{})
		out.RequestHeaders, why = fieldNames("grpc.allowedHeaders", c.AllowedRequestHeaders, nil)
	case gatewayv1.HTTPRouteExternalAuthHTTPProtocol:
		c := gatewayapi.Or(in.HTTPAuthConfig, gatewayv1.HTTPAuthConfig{})
		out.HTTP = &ir.HTTPAuth{PathPrefix: strings.TrimRight(c.Path, "/")}
		if c.Path != "" && (!strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "?#")) {
			return nil, fmt.Sprintf("externalAuth.http.path: %q is no path: it must start with \"/\" and hold neither '?' nor '#'", clip(c.Path))
		}
		if out.RequestHeaders, why = fieldNames("http.allowedHeaders", c.AllowedRequestHeaders, nil); why == "" {
			out.HTTP.Copied, why = fieldNames("http.allowedResponseHeaders", c.AllowedResponseHeaders, ir.MessageFields())
		}
	default:
		why = fmt.Sprintf("protocol: %q is not supported", clip(string(in.ExternalAuthProtocol)))
	}
	if why != "" {
		return nil, "externalAuth." + why
	}
	return out, ""
}

// token is what a field name and a cookie name are made of (RFC 9110, 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// fieldNames reads names of header fields, each once; refused are those that
// cannot be meant.
func fieldNames(field string, in, refused []string) (out []string, fault string) {
	for _, name := range in {
		lower := strings.ToLower(name)
		switch {
		case !token.MatchString(name):
			return nil, fmt.Sprintf("%s: %q is no header name", field, clip(name))
		case slices.Contains(refused, lower):
			return nil, fmt.Sprintf("%s: %q is about the answer itself and cannot be copied", field, clip(name))
		case !slices.Contains(out, lower):
			out = append(out, lower)
		}
	}
	return out, ""
}
