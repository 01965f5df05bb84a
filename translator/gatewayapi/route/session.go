package route

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// session reads session persistence, after the backends. What Envoy would not
// keep as asked is refused.
func (d *ruleReader) session() {
	in := d.in.SessionPersistence //nolint:staticcheck // the experimental channel still has it
	if in == nil {
		return
	}
	weighted := 0
	for i := range d.in.BackendRefs {
		if gatewayapi.Or(d.in.BackendRefs[i].Weight, 1) > 0 {
			weighted++
		}
	}
	if weighted > 1 {
		d.fault("sessionPersistence needs a rule with one backend: among several each request is given to one anew")
		return
	}
	out := &ir.Session{}
	var why string
	switch t := gatewayapi.Or(in.Type, gatewayv1.CookieBasedSessionPersistence); t {
	case gatewayv1.CookieBasedSessionPersistence:
		out.Cookie, why = d.cookie(in)
	case gatewayv1.HeaderBasedSessionPersistence:
		out.Header, why = sessionHeader(in)
	default:
		why = fmt.Sprintf("type: %q is not supported", clip(string(t)))
	}
	if why != "" {
		d.fault("sessionPersistence." + why)
		return
	}
	d.forward.Session = out
}

func sessionHeader(in *gatewayv1.SessionPersistence) (name, fault string) {
	switch {
	case in.Header == nil || !token.MatchString(string(in.Header.Name)) || strings.EqualFold(string(in.Header.Name), "Host"):
		return "", fmt.Sprintf("header.name: %q cannot carry a session", clip(string(gatewayapi.Or(in.Header, gatewayv1.HeaderConfig{}).Name)))
	case in.AbsoluteTimeout != nil:
		return "", "absoluteTimeout is not supported with type Header: nothing in the header would end it"
	}
	return string(in.Header.Name), ""
}

func (d *ruleReader) cookie(in *gatewayv1.SessionPersistence) (*ir.SessionCookie, string) {
	c := gatewayapi.Or(in.Cookie, gatewayv1.CookieConfig{})
	out := &ir.SessionCookie{Name: string(gatewayapi.Or(c.Name, "")), Path: gatewayapi.Or(c.Path, "/")}
	if out.Name == "" {
		out.Name = d.sessionName()
	}
	if !token.MatchString(out.Name) {
		return nil, fmt.Sprintf("cookie.name: %q is no name of a cookie", clip(out.Name))
	}
	if why := cookiePath(out.Path); why != "" {
		return nil, why
	}
	why := ""
	switch t := gatewayapi.Or(c.LifetimeType, gatewayv1.SessionCookieLifetimeType); {
	case t == gatewayv1.PermanentCookieLifetimeType:
		out.Lifetime, why = lifetime(in.AbsoluteTimeout)
	case t != gatewayv1.SessionCookieLifetimeType:
		why = fmt.Sprintf("cookie.lifetimeType: %q is not supported", clip(string(t)))
	case in.AbsoluteTimeout != nil:
		why = "absoluteTimeout is not supported with lifetimeType Session: Envoy keeps time by the cookie's own, which that has not"
	}
	return out, why
}

// cookiePath refuses what would end the attribute (RFC 6265, 4.1.1).
func cookiePath(path string) (fault string) {
	outside := func(c rune) bool { return c < ' ' || c > '~' || c == ';' }
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, outside) {
		return fmt.Sprintf("cookie.path: %q is no path of a cookie: it must start with \"/\" and hold no ';'", clip(path))
	}
	return ""
}

// lifetime reads the Max-Age of a permanent cookie (RFC 6265, 5.2.2).
func lifetime(in *gatewayv1.Duration) (out time.Duration, fault string) {
	out, err := time.ParseDuration(string(gatewayapi.Or(in, "")))
	if err != nil || out < time.Second || out%time.Second != 0 {
		return 0, fmt.Sprintf("absoluteTimeout: %q is not supported: a permanent cookie needs one in whole seconds",
			clip(string(gatewayapi.Or(in, ""))))
	}
	return out, ""
}

// sessionName is the name of a cookie that the user leaves open: one for each
// route, named rule and backend, whatever the rule's place.
func (d *ruleReader) sessionName() string {
	parts := []string{d.doc.Ref.String(), d.out.Name}
	for i := range d.forward.Backends {
		parts = append(parts, d.forward.Backends[i].Upstream.Service.String())
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return "signet-session-" + hex.EncodeToString(sum[:8])
}
