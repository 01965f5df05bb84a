package httpproxy

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// parseTimeout reads a timeout: nil for "" and zero, which mean Envoy's
// default, a pointer to 0 for "infinity", which switches it off.
func parseTimeout(s string) (*time.Duration, error) {
	if s == "infinity" || s == "infinite" {
		return new(time.Duration), nil
	}
	if s == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, fmt.Errorf("unable to parse timeout string %q: %w", clip(s), err)
	}
	if d < 0 {
		return nil, fmt.Errorf("unable to parse timeout string %q: negative", clip(s))
	}
	if d == 0 {
		return nil, nil
	}
	return &d, nil
}

type timeouts struct{ response, idle, idleConnection *time.Duration }

func parseTimeouts(p *contourv1.TimeoutPolicy) (out timeouts, err error) {
	if p == nil {
		return out, nil
	}
	if out.response, err = parseTimeout(p.Response); err != nil {
		return timeouts{}, fmt.Errorf("error parsing response timeout: %w", err)
	}
	if out.idle, err = parseTimeout(p.Idle); err != nil {
		return timeouts{}, fmt.Errorf("error parsing idle timeout: %w", err)
	}
	if out.idleConnection, err = parseTimeout(p.IdleConnection); err != nil {
		return timeouts{}, fmt.Errorf("error parsing idle connection timeout: %w", err)
	}
	return out, nil
}

// retryWords are the values of retryPolicy.retryOn.
var retryWords = []contourv1.RetryOn{
	"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx",
	"refused-stream", "retriable-status-codes", "retriable-headers", "http3-post-connect-failure",
	"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
}

// parseRetry reads a retry policy: nil never retries. A count of -1 switches
// retries off, 0 means one.
func parseRetry(p *contourv1.RetryPolicy) (*ir.Retry, error) {
	if p == nil {
		return nil, nil
	}
	if p.NumRetries < -1 || p.NumRetries > math.MaxUint32 {
		return nil, fmt.Errorf("route.retryPolicy.count %d is not in the range -1-%d", p.NumRetries, uint32(math.MaxUint32))
	}
	perTry, err := parseTimeout(p.PerTryTimeout)
	if err != nil {
		return nil, fmt.Errorf("route.retryPolicy.perTryTimeout failed to parse: %w", err)
	}
	out := &ir.Retry{On: []string{"5xx"}, Count: uint32(max(p.NumRetries, 1)), StatusCodes: slices.Clone(p.RetriableStatusCodes)}
	if perTry != nil {
		out.PerTryTimeout = *perTry
	}
	if len(p.RetryOn) > 0 {
		out.On = make([]string, len(p.RetryOn))
	}
	for i, word := range p.RetryOn {
		if !slices.Contains(retryWords, word) {
			return nil, fmt.Errorf("route.retryPolicy.retryOn[%d]: unknown value %q", i, clip(string(word)))
		}
		out.On[i] = string(word)
	}
	for _, code := range p.RetriableStatusCodes {
		if code < 100 || code > 599 {
			return nil, fmt.Errorf("route.retryPolicy.retriableStatusCodes: %d is no status code", code)
		}
	}
	if p.NumRetries == -1 {
		return nil, nil
	}
	return out, nil
}

// sessionCookie is the cookie of the strategy Cookie, Contour's name.
const sessionCookie = "X-Contour-Session-Affinity"

// balancing is a parsed load balancer policy.
type balancing struct {
	policy   ir.LoadBalancerPolicy
	hash     []ir.HashPolicy
	warnings []string
}

// parseBalancing reads a load balancer policy. A hash policy that makes no
// sense is left out with a warning, as in Contour: it only spreads load.
func parseBalancing(p *contourv1.LoadBalancerPolicy) (out balancing) {
	out.policy = ir.RoundRobin
	if p == nil {
		return out
	}
	switch p.Strategy {
	case "", "RoundRobin":
	case "Random":
		out.policy = ir.Random
	case "WeightedLeastRequest":
		out.policy = ir.LeastRequest
	case "Cookie":
		out.policy = ir.RingHash
		out.hash = []ir.HashPolicy{{Cookie: sessionCookie, CookiePath: "/"}}
	case "RequestHash":
		out.policy = ir.RingHash
		for i := range p.RequestHashPolicies {
			out.addHash(&p.RequestHashPolicies[i])
		}
		if len(out.hash) == 0 {
			out.policy = ir.RoundRobin
			out.warn("ignoring invalid request hash policy options, setting load balancer strategy to default RoundRobin")
		}
		return out
	default:
		out.warn("ignoring unknown load balancer strategy %q, using RoundRobin", clip(p.Strategy))
	}
	if len(p.RequestHashPolicies) > 0 {
		out.warn("ignoring loadBalancerPolicy.requestHashPolicies: only the strategy RequestHash uses them")
	}
	return out
}

func (b *balancing) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

func (b *balancing) addHash(p *contourv1.RequestHashPolicy) {
	h := ir.HashPolicy{Terminal: p.Terminal, SourceIP: p.HashSourceIP}
	count := 0
	if p.HashSourceIP {
		count++
	}
	if p.HeaderHashOptions != nil {
		h.Header = http.CanonicalHeaderKey(p.HeaderHashOptions.HeaderName)
		count++
	}
	if p.QueryParameterHashOptions != nil {
		h.Query = strings.ToLower(p.QueryParameterHashOptions.ParameterName)
		count++
	}
	same := func(o ir.HashPolicy) bool {
		return o.Header == h.Header && o.Query == h.Query && o.SourceIP == h.SourceIP
	}
	switch {
	case count != 1:
		b.warn("ignoring invalid request hash policy, must set exactly one of hashSourceIP or headerHashOptions or queryParameterHashOptions")
	case p.HeaderHashOptions != nil && !isHeaderName(h.Header):
		b.warn("ignoring invalid header hash policy options with invalid header name %q", clip(h.Header))
	case p.QueryParameterHashOptions != nil && h.Query == "":
		b.warn("ignoring invalid query parameter hash policy options with an invalid empty query parameter name")
	case slices.ContainsFunc(b.hash, same) && h.SourceIP:
		b.warn("ignoring invalid request hash policy, hashSourceIP specified multiple times")
	case slices.ContainsFunc(b.hash, same):
		b.warn("ignoring request hash policy that repeats %q", clip(h.Header+h.Query))
	default:
		b.hash = append(b.hash, h)
	}
}

// Defaults of active health checks, Contour's.
const (
	healthInterval  = 10 * time.Second
	healthTimeout   = 2 * time.Second
	healthUnhealthy = 3
	healthHealthy   = 2
	healthHost      = "contour-envoy-healthcheck"
)

func parseHealthCheck(p *contourv1.HTTPHealthCheckPolicy) (*ir.HealthCheck, error) {
	if p == nil {
		return nil, nil
	}
	out, err := healthCheck(p.IntervalSeconds, p.TimeoutSeconds, p.UnhealthyThresholdCount, p.HealthyThresholdCount)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.Path, "/") || strings.ContainsFunc(p.Path, isControl) {
		return nil, fmt.Errorf("healthCheckPolicy.path %q is not a path: it must start with /", clip(p.Path))
	}
	if p.Host != "" && !hostLiteral.MatchString(p.Host) {
		return nil, fmt.Errorf("healthCheckPolicy.host %q is not a host name", clip(p.Host))
	}
	out.HTTP = &ir.HTTPHealthCheck{Path: p.Path, Host: cmp.Or(p.Host, healthHost)}
	for _, r := range p.ExpectedStatuses {
		switch {
		case r.Start < 100 || r.Start > 599:
			return nil, errors.New("invalid expected status range: start must be in the range [100, 599]")
		case r.End < 101 || r.End > 600:
			return nil, errors.New("invalid expected status range: end must be in the range [101, 600]")
		case r.Start >= r.End:
			return nil, errors.New("invalid expected status range: start must be below end")
		}
		out.HTTP.Expected = append(out.HTTP.Expected, ir.StatusRange{Start: r.Start, End: r.End})
	}
	return out, nil
}

func parseTCPHealthCheck(p *contourv1.TCPHealthCheckPolicy) (*ir.HealthCheck, error) {
	if p == nil {
		return nil, nil
	}
	return healthCheck(p.IntervalSeconds, p.TimeoutSeconds, int64(p.UnhealthyThresholdCount), int64(p.HealthyThresholdCount))
}

func healthCheck(interval, timeout, unhealthy, healthy int64) (*ir.HealthCheck, error) {
	const day = 24 * 60 * 60
	for _, f := range [...]struct {
		name  string
		value int64
		most  int64
	}{
		{"intervalSeconds", interval, day},
		{"timeoutSeconds", timeout, day},
		{"unhealthyThresholdCount", unhealthy, math.MaxUint32},
		{"healthyThresholdCount", healthy, math.MaxUint32},
	} {
		if f.value < 0 || f.value > f.most {
			return nil, fmt.Errorf("healthCheckPolicy.%s %d is not in the range 0-%d", f.name, f.value, f.most)
		}
	}
	return &ir.HealthCheck{
		Interval:  cmp.Or(time.Duration(interval)*time.Second, healthInterval),
		Timeout:   cmp.Or(time.Duration(timeout)*time.Second, healthTimeout),
		Unhealthy: cmp.Or(uint32(unhealthy), healthUnhealthy), //nolint:gosec // checked above
		Healthy:   cmp.Or(uint32(healthy), healthHealthy),     //nolint:gosec // checked above
	}, nil
}

func parseSlowStart(p *contourv1.SlowStartPolicy, policy ir.LoadBalancerPolicy) (*ir.SlowStart, error) {
	if p == nil {
		return nil, nil
	}
	if policy != ir.RoundRobin && policy != ir.LeastRequest {
		return nil, errors.New(string(reason.MessageSlowStartStrategy))
	}
	window, err := time.ParseDuration(p.Window)
	if err != nil || window <= 0 {
		return nil, errors.New(reason.FormatSlowStart.With(fmt.Sprintf("error parsing window: %q is not a positive duration", clip(p.Window))))
	}
	aggression := 1.0
	if p.Aggression != "" {
		aggression, err = strconv.ParseFloat(p.Aggression, 64)
		if err != nil || !(aggression > 0) || math.IsInf(aggression, 0) {
			return nil, errors.New(reason.FormatSlowStart.With(
				fmt.Sprintf("error parsing aggression: %q is not a positive decimal number", clip(p.Aggression))))
		}
	}
	if p.MinimumWeightPercent > 100 {
		return nil, errors.New(reason.FormatSlowStart.With(fmt.Sprintf("minWeightPercent %d is above 100", p.MinimumWeightPercent)))
	}
	return &ir.SlowStart{Window: window, Aggression: aggression, MinWeight: p.MinimumWeightPercent}, nil
}

// parseReplacements reads pathRewritePolicy.replacePrefix.
func parseReplacements(p *contourv1.PathRewritePolicy) ([]prefixReplacement, reason.Reason, error) {
	if p == nil {
		return nil, "", nil
	}
	var out []prefixReplacement
	for _, r := range p.ReplacePrefix {
		if slices.ContainsFunc(out, func(o prefixReplacement) bool { return o.prefix == r.Prefix }) {
			if r.Prefix == "" {
				return nil, reason.AmbiguousReplacement, errors.New("ambiguous prefix replacement")
			}
			return nil, reason.DuplicateReplacement, fmt.Errorf("duplicate replacement prefix '%s'", clip(r.Prefix))
		}
		if !isPath(r.Replacement) {
			return nil, reason.ReplacementNotValid, fmt.Errorf("replacement %q is not a path: it must start with /", clip(r.Replacement))
		}
		out = append(out, prefixReplacement{prefix: r.Prefix, replacement: r.Replacement})
	}
	return out, "", nil
}

// intendedReplacements are those of a closed route, so far as they can be read:
// else they may be for any prefix.
func (d *routeDraft) intendedReplacements() []prefixReplacement {
	if c := &d.out.conditions; len(d.in.Services) == 0 || c.kind == ir.PathExact || c.kind == ir.PathRegex {
		return nil
	}
	out, _, err := parseReplacements(d.in.PathRewritePolicy)
	if err != nil {
		return []prefixReplacement{{}}
	}
	return out
}

func isPath(s string) bool { return strings.HasPrefix(s, "/") && !strings.ContainsFunc(s, notInPath) }

func parseRedirect(p *contourv1.HTTPRequestRedirectPolicy, c *conditions) (*ir.Redirect, error) {
	out := &ir.Redirect{StatusCode: http.StatusFound}
	if p.StatusCode != nil {
		out.StatusCode = uint32(*p.StatusCode)
	}
	if !slices.Contains([]uint32{301, 302, 303, 307, 308}, out.StatusCode) {
		return nil, fmt.Errorf("statusCode %d is not 301, 302, 303, 307 or 308", out.StatusCode)
	}
	if p.Scheme != nil {
		if *p.Scheme != "http" && *p.Scheme != "https" {
			return nil, fmt.Errorf("scheme %q is neither http nor https", clip(*p.Scheme))
		}
		out.Scheme = *p.Scheme
	}
	if p.Hostname != nil {
		if !hostLiteral.MatchString(*p.Hostname) || strings.Contains(*p.Hostname, ":") {
			return nil, fmt.Errorf("hostname %q is not a host name", clip(*p.Hostname))
		}
		out.Host = *p.Hostname
	}
	if p.Port != nil {
		if *p.Port < 1 || *p.Port > math.MaxUint16 {
			return nil, fmt.Errorf("port %d is not in the range 1-65535", *p.Port)
		}
		out.Port = uint32(*p.Port)
	}
	return out, redirectPath(p, c, out)
}

func redirectPath(p *contourv1.HTTPRequestRedirectPolicy, c *conditions, out *ir.Redirect) error {
	switch {
	case p.Path != nil && p.Prefix != nil:
		return errors.New("cannot specify both redirect path and redirect prefix")
	case p.Path != nil:
		// Unlike a prefix it may hold a query.
		if !strings.HasPrefix(*p.Path, "/") || strings.ContainsFunc(*p.Path, isControl) {
			return fmt.Errorf("path %q must start with /", clip(*p.Path))
		}
		out.Path = *p.Path
	case p.Prefix != nil && c.kind == ir.PathRegex:
		return errors.New("a regex condition has no prefix to replace: set path")
	case p.Prefix != nil:
		if !isPath(*p.Prefix) {
			return fmt.Errorf("prefix %q is not a path: it must start with /", clip(*p.Prefix))
		}
		out.HasPrefix, out.Prefix = true, *p.Prefix
	}
	return nil
}

// maxBody is the body of a direct response that Envoy takes by default.
const maxBody = 4096

func parseDirectResponse(p *contourv1.HTTPDirectResponsePolicy) (*ir.DirectResponse, error) {
	if p.StatusCode < 200 || p.StatusCode > 599 {
		return nil, fmt.Errorf("route.directResponsePolicy.statusCode %d is not in the range 200-599", p.StatusCode)
	}
	if len(p.Body) > maxBody {
		return nil, fmt.Errorf("route.directResponsePolicy.body has %d bytes, more than %d", len(p.Body), maxBody)
	}
	return &ir.DirectResponse{StatusCode: uint32(p.StatusCode), Body: p.Body}, nil
}
