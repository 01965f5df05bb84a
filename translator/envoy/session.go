package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/type/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/translator/ir"
)

const sessionFilter = "signet.session"

// session does nothing on routes without a session.
var session = &hcmv3.HttpFilter{
	Name:       sessionFilter,
	ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: constant(&sessionv3.StatefulSession{})},
}

// sessionPolicy carries the endpoint's address in a cookie or a header. Envoy
// looks it up among the endpoints of the route's own cluster alone; one that is
// not there is chosen anew (strict is false).
func sessionPolicy(s *ir.Session) (*anypb.Any, error) {
	state, err := sessionState(s)
	if err != nil {
		return nil, err
	}
	return pack(&sessionv3.StatefulSessionPerRoute{Override: &sessionv3.StatefulSessionPerRoute_StatefulSession{
		StatefulSession: &sessionv3.StatefulSession{SessionState: state},
	}})
}

func sessionState(s *ir.Session) (*corev3.TypedExtensionConfig, error) {
	if s.Cookie != nil {
		c, err := sessionCookie(s.Cookie)
		if err != nil {
			return nil, in("cookie", err)
		}
		packed, err := pack(&cookiev3.CookieBasedSessionState{Cookie: c})
		return &corev3.TypedExtensionConfig{Name: "envoy.http.stateful_session.cookie", TypedConfig: packed}, err
	}
	if !headerName.MatchString(s.Header) {
		return nil, refuse("header", "%q is no header name", s.Header)
	}
	packed, err := pack(&headerv3.HeaderBasedSessionState{Name: s.Header})
	return &corev3.TypedExtensionConfig{Name: "envoy.http.stateful_session.header", TypedConfig: packed}, err
}

// sessionCookie checks what Envoy writes into Set-Cookie as it is.
func sessionCookie(c *ir.SessionCookie) (*httpv3.Cookie, error) {
	if !headerName.MatchString(c.Name) {
		return nil, refuse("name", "%q is no name of a cookie", c.Name)
	}
	for _, b := range []byte(c.Path) {
		if b < ' ' || b > '~' || b == ';' {
			return nil, refuse("path", "%q is no path of a cookie", c.Path)
		}
	}
	if c.Lifetime%time.Second != 0 {
		return nil, refuse("lifetime", "%s is not in whole seconds", c.Lifetime)
	}
	out := &httpv3.Cookie{Name: c.Name, Path: c.Path}
	ttl, err := duration("lifetime", &c.Lifetime)
	if err != nil {
		return nil, err
	}
	if c.Lifetime != 0 {
		out.Ttl = ttl
	}
	return out, nil
}
