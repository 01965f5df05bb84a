package route

import (
	"net/http"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// Compose builds what one host of one scope serves: the routes of the
// documents that are attached to its section, in order of precedence. The fleet
// has the Gateway's own client certificate.
//
// An exact host of a wider section holds the routes of that host alone, and
// lets what they do not match fall through to the wildcard hosts; every other
// host holds those of all hosts that are wider.
func Compose(gw *listener.Gateway, s *listener.Section, host string, fleet *ir.Fleet, docs []*Document) *ir.Site {
	v := ir.VirtualHost{
		Listener: gw.Scope(s), Host: host, FallThrough: !strings.HasPrefix(host, "*") && s.Host != host,
		Origin: ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: gw.Name},
	}
	var routes []placed
	for _, d := range docs {
		own := hostFor(d.Hosts, host)
		if own == "" {
			continue
		}
		for i := range d.Rules {
			r := &d.Rules[i]
			action := finish(&r.Action, fleet)
			action.Redirect = through(action.Redirect, r.ListenerPort, s)
			for j := range r.Matches {
				p := placed{route: action, weight: r.weigh(j), host: own, created: d.Created, ref: d.Ref, rule: i, match: j}
				p.route.Match = r.Matches[j]
				p.route.Name = routeName(d.Ref, r.Name, &r.Matches[j])
				routes = append(routes, p)
			}
		}
	}
	slices.SortFunc(routes, func(a, b placed) int { return compare(&a, &b) })
	for i := range routes {
		v.Routes = append(v.Routes, routes[i].route)
	}
	return &ir.Site{Fleet: gw.Fleet, Host: host, VirtualHosts: []ir.VirtualHost{v}}
}

const httpPort, httpsPort = 80, 443

// through gives a redirect that names no port the one that it has by the section:
// the section's own, or that of the redirect's scheme. Envoy would keep the port
// that the client asked for, unless it is 80 or 443.
func through(in *ir.Redirect, listenerPort bool, s *listener.Section) *ir.Redirect {
	if in == nil || in.Port != 0 {
		return in
	}
	out := *in
	switch {
	case listenerPort:
		out.Port = portOf(s)
	case in.Host == "" && portOf(s) != 0 && in.Scheme == "https":
		out.Port = httpsPort
	case in.Host == "" && portOf(s) != 0:
		out.Port = httpPort
	}
	return &out
}

// Elsewhere is a host that another section on the port serves: over this
// connection it is misdirected (RFC 9110, 15.5.20).
func Elsewhere(gw *listener.Gateway, scope, host string) *ir.Site {
	origin := ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: gw.Name}
	return &ir.Site{Fleet: gw.Fleet, Host: host, VirtualHosts: []ir.VirtualHost{{
		Listener: scope, Host: host, Origin: origin,
		Routes: []ir.Route{{
			Name: "misdirected", Match: anything(), Origin: origin,
			Response: &ir.DirectResponse{StatusCode: http.StatusMisdirectedRequest},
		}},
	}}}
}

// hostFor is the most specific hostname of a route that leads to a host; "" for
// none.
func hostFor(hosts []string, host string) string {
	best := ""
	for _, h := range hosts {
		if gatewayapi.Covers(h, host) && (best == "" || gatewayapi.CompareHosts(h, best) < 0) {
			best = h
		}
	}
	return best
}

// portOf is the port that a redirect to the listener names; 0 where the scheme
// says it.
func portOf(s *listener.Section) uint32 {
	usual := int32(httpPort)
	if s.Protocol == gatewayv1.HTTPSProtocolType {
		usual = httpsPort
	}
	if s.Port == usual {
		return 0
	}
	return uint32(s.Port) //nolint:gosec // a port
}

// finish gives the upstreams of a route what Gateway and fleet bring. The share
// of a backend that cannot be finished is answered with 500, and everything
// where the server that is to be asked cannot be; a mirror that cannot be is
// left out.
func finish(action *ir.Route, fleet *ir.Fleet) ir.Route {
	out := *action
	if !speaksTLS(action) {
		return out
	}
	if action.Auth != nil {
		u, p := upstream.Finish(action.Auth.Upstream, fleet)
		if p != nil {
			return closed(action, p.Message, http.StatusInternalServerError)
		}
		auth := *action.Auth
		auth.Upstream, out.Auth = u, &auth
	}
	if action.Forward == nil {
		return out
	}
	f := *action.Forward
	f.Backends, f.Mirrors = nil, nil
	for _, b := range action.Forward.Backends {
		u, p := upstream.Finish(b.Upstream, fleet)
		if p != nil {
			f.Refused += b.Weight
			if out.Failure == "" {
				out.Failure = p.Message
			}
			continue
		}
		b.Upstream = u
		f.Backends = append(f.Backends, b)
	}
	for _, m := range action.Forward.Mirrors {
		if u, p := upstream.Finish(m.Upstream, fleet); p == nil {
			m.Upstream = u
			f.Mirrors = append(f.Mirrors, m)
		}
	}
	out.Forward = &f
	if len(f.Backends) == 0 {
		return closed(action, out.Failure, f.RefusedStatus)
	}
	return out
}

// closed is the fail-closed form of a finished action.
func closed(action *ir.Route, failure string, code uint32) ir.Route {
	out := broken(failure, code)
	out.Origin, out.CORS = action.Origin, action.CORS
	return out
}

func speaksTLS(r *ir.Route) bool {
	for u := range r.Upstreams() {
		if u.TLS != nil {
			return true
		}
	}
	return false
}

// Patterns are the hosts whose claims a host of a section holds.
func Patterns(s *listener.Section, host string) []string {
	out := []string{host}
	if !strings.HasPrefix(host, "*") {
		return out
	}
	for host != s.Host {
		if host = gatewayapi.Wider(host); host == "" {
			break
		}
		out = append(out, host)
	}
	return out
}

// Unknown is a route of which nothing is known but that it serves a host: what
// no other route there matches is answered with 500.
func Unknown(ref ir.ObjectRef, host, failure string) *Document {
	action := broken(failure, speech{kind: ref.Kind}.failure())
	action.Origin = ref
	return &Document{Ref: ref, Hosts: []string{host}, Rules: []Rule{{Matches: []ir.Match{anything()}, Action: action}}}
}
