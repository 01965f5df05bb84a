package route

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// filters are what a list of filters says.
type filters struct {
	request, response ir.HeaderPolicy
	redirect          *gatewayv1.HTTPRequestRedirectFilter
	rewrite           *gatewayv1.HTTPURLRewriteFilter
	mirrors           []*gatewayv1.HTTPRequestMirrorFilter
	cors              *gatewayv1.HTTPCORSFilter
	auth              *gatewayv1.HTTPExternalAuthFilter
}

// readFilters reads a list; a fault makes the rule one that is not supported.
func readFilters(in []gatewayv1.HTTPRouteFilter) (out filters, faults []string) {
	for i := range in {
		if why := out.add(&in[i]); why != "" {
			faults = append(faults, fmt.Sprintf("filters[%d]: %s", i, why))
		}
	}
	return out, faults
}

// add reads one filter: that of its type, which the CRD demands to be there.
func (out *filters) add(f *gatewayv1.HTTPRouteFilter) (fault string) {
	switch {
	case f.Type == gatewayv1.HTTPRouteFilterRequestHeaderModifier && f.RequestHeaderModifier != nil:
		out.request, fault = headers(f.RequestHeaderModifier)
	case f.Type == gatewayv1.HTTPRouteFilterResponseHeaderModifier && f.ResponseHeaderModifier != nil:
		out.response, fault = headers(f.ResponseHeaderModifier)
	case f.Type == gatewayv1.HTTPRouteFilterRequestRedirect && f.RequestRedirect != nil:
		out.redirect = f.RequestRedirect
	case f.Type == gatewayv1.HTTPRouteFilterURLRewrite && f.URLRewrite != nil:
		out.rewrite = f.URLRewrite
	case f.Type == gatewayv1.HTTPRouteFilterRequestMirror && f.RequestMirror != nil:
		out.mirrors = append(out.mirrors, f.RequestMirror)
	case f.Type == gatewayv1.HTTPRouteFilterCORS && f.CORS != nil:
		out.cors = f.CORS
	case f.Type == gatewayv1.HTTPRouteFilterExternalAuth:
		fault = out.ask(f.ExternalAuth)
	default:
		fault = fmt.Sprintf("type %q is not supported", f.Type)
	}
	return fault
}

// ask adds the one server that may be asked.
func (out *filters) ask(a *gatewayv1.HTTPExternalAuthFilter) (fault string) {
	switch {
	case a == nil:
		return "type ExternalAuth has no externalAuth"
	case out.auth != nil:
		return "there is more than one of type ExternalAuth"
	}
	out.auth = a
	return ""
}

// headers reads a modifier. Values are literal: Envoy's commands have no
// meaning here.
func headers(in *gatewayv1.HTTPHeaderFilter) (out ir.HeaderPolicy, fault string) {
	read := func(list []gatewayv1.HTTPHeader, taken map[string]bool) []ir.Header {
		var out []ir.Header
		for _, h := range list {
			name := http.CanonicalHeaderKey(string(h.Name))
			if taken[name] {
				continue // of equivalent names the first counts
			}
			taken[name] = true
			if name == "Host" {
				fault = `"Host" cannot be set here: use a URLRewrite filter with hostname`
			}
			out = append(out, ir.Header{Name: name, Value: strings.ReplaceAll(h.Value, "%", "%%")})
		}
		return out
	}
	out.Set = read(in.Set, map[string]bool{})
	out.Add = read(in.Add, map[string]bool{})
	for _, name := range in.Remove {
		name = http.CanonicalHeaderKey(name)
		if name == "Host" {
			fault = `"Host" cannot be removed`
		}
		if !slices.Contains(out.Remove, name) {
			out.Remove = append(out.Remove, name)
		}
	}
	return out, fault
}

// join applies one policy after another: what the second sets or removes, the
// first no longer says.
func join(first, second *ir.HeaderPolicy) ir.HeaderPolicy {
	final := map[string]bool{}
	for _, h := range second.Set {
		final[h.Name] = true
	}
	for _, name := range second.Remove {
		final[name] = true
	}
	keep := func(h ir.Header) bool { return !final[h.Name] }
	return ir.HeaderPolicy{
		Set:    append(filter(first.Set, keep), second.Set...),
		Add:    append(filter(first.Add, keep), second.Add...),
		Remove: union(first.Remove, second.Remove),
	}
}

func filter(in []ir.Header, keep func(ir.Header) bool) []ir.Header {
	var out []ir.Header
	for _, h := range in {
		if keep(h) {
			out = append(out, h)
		}
	}
	return out
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func isEmpty(p *ir.HeaderPolicy) bool {
	return len(p.Set) == 0 && len(p.Add) == 0 && len(p.Remove) == 0
}

// defaultRedirect is the status code of a redirect that names none.
const defaultRedirect = http.StatusFound

// redirect reads a redirect; listenerPort says that it keeps to the listener's
// port, since neither a port nor a scheme with a port of its own is given.
func redirect(in *gatewayv1.HTTPRequestRedirectFilter, matches []ir.Match) (out *ir.Redirect, listenerPort bool, fault string) {
	out = &ir.Redirect{
		Scheme: gatewayapi.Or(in.Scheme, ""), Host: string(gatewayapi.Or(in.Hostname, "")),
		StatusCode: uint32(gatewayapi.Or(in.StatusCode, defaultRedirect)), //nolint:gosec // checked below
	}
	switch out.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, false, fmt.Sprintf("requestRedirect.statusCode: %d is not supported", out.StatusCode)
	}
	if out.Scheme != "" && out.Scheme != "http" && out.Scheme != "https" {
		return nil, false, fmt.Sprintf("requestRedirect.scheme: %q is not supported", clip(out.Scheme))
	}
	switch {
	case in.Port != nil:
		out.Port = uint32(*in.Port) //nolint:gosec // 1 to 65535, by the CRD
	case out.Scheme == "":
		listenerPort = true
	}
	if in.Path != nil {
		r, why := pathRewrite(in.Path, matches)
		if why != "" {
			return nil, false, "requestRedirect.path: " + why
		}
		out.Path, out.HasPrefix, out.Prefix = r.Full, r.HasPrefix, r.Prefix
	}
	return out, listenerPort, ""
}

func pathRewrite(in *gatewayv1.HTTPPathModifier, matches []ir.Match) (*ir.PathRewrite, string) {
	switch {
	case in.Type == gatewayv1.FullPathHTTPPathModifier && in.ReplaceFullPath != nil:
		full := *in.ReplaceFullPath
		if full == "" {
			full = "/"
		}
		if !strings.HasPrefix(full, "/") || strings.ContainsAny(full, "?#") {
			return nil, fmt.Sprintf("%q is no path", clip(full))
		}
		return &ir.PathRewrite{Full: full}, ""
	case in.Type == gatewayv1.PrefixMatchHTTPPathModifier && in.ReplacePrefixMatch != nil:
		for i := range matches {
			if matches[i].PathKind != ir.PathSegments {
				return nil, "ReplacePrefixMatch needs a match of type PathPrefix"
			}
		}
		prefix := *in.ReplacePrefixMatch
		if (prefix != "" && !strings.HasPrefix(prefix, "/")) || strings.ContainsAny(prefix, "?#") {
			return nil, fmt.Sprintf("%q is no path", clip(prefix))
		}
		return &ir.PathRewrite{HasPrefix: true, Prefix: prefix}, ""
	default:
		return nil, fmt.Sprintf("type %q is not supported", in.Type)
	}
}

// defaultMaxAge is the API's default of maxAge, in seconds.
const defaultMaxAge = 5

// crossOrigin reads a CORS filter. Beside credentials "*" is a literal to
// browsers (WHATWG Fetch, 3.2.5): Envoy then answers a preflight with the method
// and the headers that it asks for. Nothing tells which headers a response will
// have, so those that are exposed must be named.
func crossOrigin(in *gatewayv1.HTTPCORSFilter) (*ir.CORS, string) {
	age := in.MaxAge
	if age == 0 {
		age = defaultMaxAge
	}
	out := &ir.CORS{Credentials: gatewayapi.Or(in.AllowCredentials, false), MaxAge: time.Duration(age) * time.Second}
	for _, o := range in.AllowOrigins {
		origin := string(o)
		if u, err := url.Parse(strings.ReplaceAll(origin, "*", "x")); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "") {
			return nil, fmt.Sprintf("cors.allowOrigins: %q is no origin", clip(origin))
		}
		out.Origins = append(out.Origins, canonicalOrigin(origin))
	}
	out.Methods, out.Headers, out.Expose = texts(in.AllowMethods), texts(in.AllowHeaders), texts(in.ExposeHeaders)
	if out.Credentials && slices.Contains(out.Expose, "*") {
		return nil, `cors.exposeHeaders: "*" has no meaning beside allowCredentials: name the headers`
	}
	return out, ""
}

// canonicalOrigin is an origin as browsers write it (RFC 6454, 6.2): lower case,
// without the port that its scheme has anyway. Envoy compares bytes.
func canonicalOrigin(origin string) string {
	origin = strings.ToLower(origin)
	for scheme, port := range map[string]string{"http://": ":80", "https://": ":443"} {
		if strings.HasPrefix(origin, scheme) {
			origin = strings.TrimSuffix(origin, port)
		}
	}
	return origin
}

func texts[S ~string](in []S) []string {
	var out []string
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}
