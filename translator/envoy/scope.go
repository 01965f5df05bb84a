package envoy

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	scopeHeader = "x-signet-scope"

	fallbackHost    = "~"
	misdirectedHost = "!"

	notFoundRoute = "not-found"

	// defaultBodyLimit is Envoy's limit for the body of a direct response.
	defaultBodyLimit = 4096
)

var (
	// A hit needs neither Lua filter.
	luaDisabled = map[string]*anypb.Any{
		lowercaseFilter: constant(&routev3.FilterConfig{Disabled: true}),
		fallbackFilter:  constant(&routev3.FilterConfig{Disabled: true}),
	}

	scopeHeaderOnly = []string{scopeHeader}
	anyDomain       = []string{"*"}

	anyPath  = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	notFound = &routev3.Route{
		// An empty prefix also fits the "*" of OPTIONS and the CONNECT method.
		Name:   notFoundRoute,
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 404}},
		// A websocket to nowhere gets this answer too.
		Metadata: websocketsAllowed,
	}
	misdirected = &routev3.Route{
		Name:     "misdirected",
		Match:    notFound.GetMatch(),
		Action:   &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 421}},
		Metadata: websocketsAllowed,
	}
)

// LeadsToScopes says whether an Envoy that takes a listener asks for scopes: one
// without a connection manager, as a port of TCP or one whose chains are all closed,
// leads to none.
func LeadsToScopes(listener *Resource) bool {
	return bytes.Contains(listener.Body, []byte(scopeHeader))
}

// scopeID is the resource name of a scope: 128 bits of the digest of its name,
// in 22 characters. At every update Envoy copies the map of all its scopes'
// names; names that fit into its strings without an allocation (22 characters)
// make that 3 times as cheap, 9 ms less at 30,000 scopes. The name that people
// read is the route configuration's.
func scopeID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ScopeName is the name of the route configuration in the scope of an exact
// host on a listener, and the beginning of the scope's key.
func ScopeName(listener, host string) string { return listener + "|" + host }

// FallbackScopeID is the resource name of a listener's fallback scope.
func FallbackScopeID(listener string) string { return scopeID(FallbackScopeName(listener)) }

// FallbackScopeName is the name of the scope with a listener's wildcard hosts.
func FallbackScopeName(listener string) string { return ScopeName(listener, fallbackHost) }

// MisdirectedScopeName is the name of the scope that answers 421.
func MisdirectedScopeName(listener string) string { return ScopeName(listener, misdirectedHost) }

// Scope is the scope of an exact host. Its last route answers 404, so that a
// path that the host lacks never falls through to a wildcard sibling.
//
// A host that falls through has no such route: the fallback filter then finds
// none and turns to the listener's wildcard hosts.
func Scope(vh *ir.VirtualHost) (*Resource, error) {
	name := ScopeName(vh.Listener, vh.Host)
	if strings.HasPrefix(vh.Host, "*") {
		return nil, refuse(name, "a wildcard host has no scope of its own")
	}
	if err := checkHost(vh.Host); err != nil {
		return nil, in(name, err)
	}
	host, limit, err := virtualHost(vh, anyDomain)
	if err != nil {
		return nil, in(name, err)
	}
	key := name
	if vh.TLS {
		key = ScopeName(name, vh.Host)
	}
	return scope(vh.Listener, name, key, limit, host)
}

// FallbackScope is the scope that holds the wildcard and catch-all hosts of a
// listener, by Envoy's rule that the longest fitting domain wins, and 404 for
// every other host. A listener always needs it, also without such hosts. On a
// TLS listener the Lua filter has compared host and SNI before a request gets
// here.
func FallbackScope(listener string, _ bool, hosts []*ir.VirtualHost) (*Resource, error) {
	parts := make([]*Resource, len(hosts))
	for i, vh := range hosts {
		if vh.Listener != listener {
			return nil, refuse(FallbackScopeName(listener), "host %q belongs to listener %q", vh.Host, vh.Listener)
		}
		var err error
		if parts[i], err = HostPart(vh); err != nil {
			return nil, err
		}
	}
	return ComposeFallback(listener, parts)
}

// MisdirectedScope is the scope of a TLS listener that answers 421 (RFC 9110,
// section 15.5.20) to a request for another host than its connection was
// opened for.
func MisdirectedScope(listener string) (*Resource, error) {
	name := MisdirectedScopeName(listener)
	return scope(listener, name, name, 0, &routev3.VirtualHost{
		Name: "misdirected", Domains: anyDomain, Routes: []*routev3.Route{misdirected},
	})
}

// checkHost refuses what could be taken for a part of a scope key.
func checkHost(host string) error {
	name := strings.TrimPrefix(host, "*.")
	if host == "*" {
		return nil
	}
	if name == "" || strings.ContainsAny(name, "|:*/ ") || name != strings.ToLower(name) || name == fallbackHost || name == misdirectedHost {
		return refuse("host", "%q is neither a lower-case name nor a wildcard \"*.<name>\"", host)
	}
	return nil
}

func checkListener(name string) error {
	if name == "" || strings.ContainsAny(name, "|:%") || name != strings.ToLower(name) {
		return refuse("listener", "the name %q must be lower case, without '|', ':' and '%%'", name)
	}
	return nil
}

func scope(listener, name, key string, bodyLimit int, hosts ...*routev3.VirtualHost) (*Resource, error) {
	if err := checkListener(listener); err != nil {
		return nil, in(name, err)
	}
	config := routeConfiguration(name, bodyLimit)
	config.VirtualHosts = hosts
	id := scopeID(name)
	whole := scoped(id, key)
	whole.RouteConfiguration = config
	out, err := seal(ScopeType, id, whole)
	if err != nil {
		// The rules name a field by its index: better to name the route.
		if culprit := refusedRoute(hosts); culprit != nil {
			err = in(name, culprit)
		}
		return nil, err
	}
	return out, nil
}

// routeConfiguration is one without hosts.
func routeConfiguration(name string, bodyLimit int) *routev3.RouteConfiguration {
	config := &routev3.RouteConfiguration{
		Name:                   name,
		RequestHeadersToRemove: scopeHeaderOnly,
		TypedPerFilterConfig:   luaDisabled,
		// Matters to wildcard hosts: the port is no part of a host.
		IgnorePortInHostMatching: true,
	}
	if bodyLimit > defaultBodyLimit {
		config.MaxDirectResponseBodySizeBytes = wrapperspb.UInt32(uint32(bodyLimit)) //nolint:gosec // checked by directResponse
	}
	return config
}

// scoped is a scope without its route configuration.
func scoped(id, key string) *routev3.ScopedRouteConfiguration {
	return &routev3.ScopedRouteConfiguration{
		Name: id,
		Key: &routev3.ScopedRouteConfiguration_Key{Fragments: []*routev3.ScopedRouteConfiguration_Key_Fragment{{
			Type: &routev3.ScopedRouteConfiguration_Key_Fragment_StringKey{StringKey: key},
		}}},
	}
}

// refusedRoute finds the route that makes a route configuration invalid.
func refusedRoute(hosts []*routev3.VirtualHost) error {
	for _, h := range hosts {
		for _, r := range h.GetRoutes() {
			if _, err := pack(r); err != nil {
				return in("route \""+r.GetName()+"\"", err)
			}
		}
	}
	return nil
}

// virtualHost also returns the size of the largest direct response.
func virtualHost(vh *ir.VirtualHost, domains []string) (*routev3.VirtualHost, int, error) {
	out := &routev3.VirtualHost{Name: vh.Host, Domains: domains, Routes: make([]*routev3.Route, 0, len(vh.Routes)+2)}
	if vh.OneLabel && strings.HasPrefix(vh.Host, "*.") {
		out.Routes = append(out.GetRoutes(), severalLabels(vh.Host))
	}
	var limit int
	for i := range vh.Routes {
		r := &vh.Routes[i]
		var err error
		if out.Routes, err = appendRoutes(out.GetRoutes(), r); err != nil {
			return nil, 0, in("route \""+r.Name+"\"", err)
		}
		if r.Response != nil {
			limit = max(limit, len(r.Response.Body))
		}
	}
	if !vh.FallThrough {
		out.Routes = append(out.GetRoutes(), notFound)
	}
	return out, limit, nil
}

// severalLabels answers 404 to hosts with more than one label in place of the
// asterisk, which Envoy's wildcard domains would accept.
func severalLabels(host string) *routev3.Route {
	pattern := `(?i)[^.]+` + regexp.QuoteMeta(host[1:]) + `(:[0-9]+)?`
	return &routev3.Route{
		Name: notFoundRoute,
		Match: &routev3.RouteMatch{
			PathSpecifier: notFound.GetMatch().GetPathSpecifier(),
			Headers: []*routev3.HeaderMatcher{{
				Name:        ":authority",
				InvertMatch: true,
				HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
					MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}},
				}},
			}},
		},
		Action: notFound.GetAction(),
	}
}
