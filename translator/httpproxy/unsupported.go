package httpproxy

import (
	"fmt"
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/reason"
)

// unsupported is a field of the API that has no effect.
type unsupported[T any] struct {
	// path is relative to T.
	path string
	set  func(*T) bool
	// closes names what leaving the field out would take away; the object's
	// host or route then answers 503. Empty: a warning is enough.
	closes string
	class  reason.ErrorType
}

// The tables of all fields that have no effect. A test walks the whole type of
// the spec and holds that every field is here or translated.
var (
	unsupportedHost = []unsupported[contourv1.VirtualHost]{
		{"authorization", func(v *contourv1.VirtualHost) bool { return v.Authorization != nil },
			"authorization", reason.AuthError},
		{"jwtProviders", func(v *contourv1.VirtualHost) bool { return len(v.JWTProviders) > 0 },
			"the verification of tokens", reason.JWTVerificationError},
		{"ipAllowPolicy", func(v *contourv1.VirtualHost) bool { return len(v.IPAllowFilterPolicy) > 0 },
			"the filter of client addresses", reason.IPFilterError},
		{"ipDenyPolicy", func(v *contourv1.VirtualHost) bool { return len(v.IPDenyFilterPolicy) > 0 },
			"the filter of client addresses", reason.IPFilterError},
		{"rateLimitPolicy", func(v *contourv1.VirtualHost) bool { return limitsRate(v.RateLimitPolicy) },
			"the limit of requests", reason.SpecError},
		{"tls.clientValidation", func(v *contourv1.VirtualHost) bool { return v.TLS != nil && v.TLS.ClientValidation != nil },
			"the validation of client certificates", reason.TLSError},
		{"tls.enableFallbackCertificate", func(v *contourv1.VirtualHost) bool { return v.TLS != nil && v.TLS.EnableFallbackCertificate },
			"", reason.SpecError},
		{"corsPolicy", func(v *contourv1.VirtualHost) bool { return v.CORSPolicy != nil },
			"", reason.SpecError},
	}
	unsupportedRoute = []unsupported[contourv1.Route]{
		{"ipAllowPolicy", func(r *contourv1.Route) bool { return len(r.IPAllowFilterPolicy) > 0 },
			"the filter of client addresses", reason.IPFilterError},
		{"ipDenyPolicy", func(r *contourv1.Route) bool { return len(r.IPDenyFilterPolicy) > 0 },
			"the filter of client addresses", reason.IPFilterError},
		{"rateLimitPolicy", func(r *contourv1.Route) bool { return limitsRate(r.RateLimitPolicy) },
			"the limit of requests", reason.RouteError},
		{"jwtVerificationPolicy.require", func(r *contourv1.Route) bool {
			return r.JWTVerificationPolicy != nil && r.JWTVerificationPolicy.Require != ""
		}, "the verification of tokens", reason.JWTVerificationError},
		// Without authorization or tokens there is nothing to switch off; a host
		// that has them is closed as a whole.
		{"jwtVerificationPolicy.disabled", func(r *contourv1.Route) bool {
			return r.JWTVerificationPolicy != nil && r.JWTVerificationPolicy.Disabled
		}, "", reason.SpecError},
		{"authPolicy", func(r *contourv1.Route) bool { return r.AuthPolicy != nil },
			"", reason.SpecError},
		{"internalRedirectPolicy", func(r *contourv1.Route) bool { return r.InternalRedirectPolicy != nil },
			"", reason.SpecError},
		{"cookieRewritePolicies", func(r *contourv1.Route) bool { return protectsCookies(r.CookieRewritePolicies) },
			"the protection of cookies", reason.RouteError},
		{"cookieRewritePolicies", func(r *contourv1.Route) bool {
			return len(r.CookieRewritePolicies) > 0 && !protectsCookies(r.CookieRewritePolicies)
		}, "", reason.SpecError},
	}
	unsupportedService = []unsupported[contourv1.Service]{
		{"cookieRewritePolicies", func(s *contourv1.Service) bool { return protectsCookies(s.CookieRewritePolicies) },
			"the protection of cookies", reason.ServiceError},
		{"cookieRewritePolicies", func(s *contourv1.Service) bool {
			return len(s.CookieRewritePolicies) > 0 && !protectsCookies(s.CookieRewritePolicies)
		}, "", reason.SpecError},
	}
	// unsupportedTCP is about services of a TCP proxy, which knows no headers.
	unsupportedTCP = []unsupported[contourv1.Service]{
		{"requestHeadersPolicy", func(s *contourv1.Service) bool { return s.RequestHeadersPolicy != nil }, "", reason.SpecError},
		{"responseHeadersPolicy", func(s *contourv1.Service) bool { return s.ResponseHeadersPolicy != nil }, "", reason.SpecError},
		{"cookieRewritePolicies", func(s *contourv1.Service) bool { return len(s.CookieRewritePolicies) > 0 }, "", reason.SpecError},
	}
	// unsupportedAction is about routes that answer by themselves.
	unsupportedAction = []unsupported[contourv1.Route]{
		{"enableWebsockets", func(r *contourv1.Route) bool { return r.EnableWebsockets }, "", reason.SpecError},
		{"timeoutPolicy", func(r *contourv1.Route) bool { return r.TimeoutPolicy != nil }, "", reason.SpecError},
		{"retryPolicy", func(r *contourv1.Route) bool { return r.RetryPolicy != nil }, "", reason.SpecError},
		{"healthCheckPolicy", func(r *contourv1.Route) bool { return r.HealthCheckPolicy != nil }, "", reason.SpecError},
		{"loadBalancerPolicy", func(r *contourv1.Route) bool { return r.LoadBalancerPolicy != nil }, "", reason.SpecError},
		{"pathRewritePolicy", func(r *contourv1.Route) bool { return r.PathRewritePolicy != nil }, "", reason.SpecError},
		{"requestHeadersPolicy", func(r *contourv1.Route) bool { return r.RequestHeadersPolicy != nil }, "", reason.SpecError},
	}
)

// limitsRate leaves out what only switches off a limit.
func limitsRate(p *contourv1.RateLimitPolicy) bool {
	return p != nil && (p.Local != nil || (p.Global != nil && !p.Global.Disabled && len(p.Global.Descriptors) > 0))
}

// protectsCookies reports attributes that keep a cookie from leaking.
func protectsCookies(policies []contourv1.CookieRewritePolicy) bool {
	return slices.ContainsFunc(policies, func(p contourv1.CookieRewritePolicy) bool {
		return (p.Secure != nil && *p.Secure) || (p.SameSite != nil && *p.SameSite != "None")
	})
}

// check returns a finding for each field of the table that is set, at being
// the path of the value, why what a field without effect comes to nothing, and
// closed what happens to the clients of a value that must fail closed.
func check[T any](table []unsupported[T], v *T, at, why, closed string) (findings []Finding, failure string) {
	for i := range table {
		u := &table[i]
		if !u.set(v) {
			continue
		}
		if u.closes == "" {
			findings = append(findings, ignored(at+"."+u.path, why))
			continue
		}
		f := Finding{Type: u.class, Reason: reason.FieldNotSupported, Message: fmt.Sprintf(
			"field %q is not supported: %s rather than served without %s", at+"."+u.path, closed, u.closes)}
		findings = append(findings, f)
		if failure == "" {
			failure = f.Message
		}
	}
	return findings, failure
}

const (
	notSupported = "it is not supported"
	answered503  = "requests are answered with 503"
)

// ignored is the warning for a field without effect.
func ignored(path, why string) Finding {
	return Finding{Severity: Warning, Type: reason.SpecError, Reason: reason.IgnoredField,
		Message: reason.FormatIgnored.With(path, why)}
}
