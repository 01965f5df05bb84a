package httpproxy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// routeDraft is a route in the making.
type routeDraft struct {
	*translation
	in *contourv1.Route
	// at is the path of the route in the object.
	at      string
	where   place
	failure string
	out     route

	headers     headers
	balancing   balancing
	health      *ir.HealthCheck
	idle        *time.Duration
	backends    []ir.Backend
	mirrors     []ir.Mirror
	mirrorsSeen int
}

func (t *translation) route(i int) route {
	in := &t.spec.Routes[i]
	d := routeDraft{translation: t, in: in, at: "spec.routes[" + strconv.Itoa(i) + "]"}
	d.where.path = label(in)
	if t.paths[d.where.path] > 1 {
		d.where.field = d.at
	}
	d.conditions()
	d.unsupported(unsupportedRoute, notSupported)
	d.action()
	d.out.where, d.out.insecure = d.where, in.PermitInsecure
	d.out.action.Origin = t.origin
	if d.failure != "" {
		d.out.action = unavailable(t.origin, d.failure)
		d.out.rewrites = d.intendedReplacements()
	}
	return d.out
}

// unavailable is the fail-closed form of a route, without its match.
func unavailable(origin ir.ObjectRef, failure string) ir.Route {
	return ir.Route{Origin: origin, Failure: failure, Response: &ir.DirectResponse{StatusCode: 503}}
}

// label is the path that a user knows the route by.
func label(in *contourv1.Route) string {
	for i := range in.Conditions {
		c := &in.Conditions[i]
		for _, path := range [...]string{c.Prefix, c.Exact, c.Regex} {
			if path != "" {
				return clip(path)
			}
		}
	}
	return "/"
}

// fail closes the route.
func (d *routeDraft) fail(class reason.ErrorType, why reason.Reason, message string) {
	f := Finding{Type: class, Reason: why, Place: d.where.String(), Message: message}
	d.find(f)
	d.shut(f.Text())
}

// failService closes the route unless the service is a mirror.
func (d *routeDraft) failService(s *contourv1.Service, why reason.Reason, message string) {
	f := Finding{Type: reason.ServiceError, Reason: why, Place: d.where.service(s.Name), Message: message}
	d.find(f)
	if !s.Mirror {
		d.shut(f.Text())
	}
}

// shut closes the route; the first reason stays.
func (d *routeDraft) shut(failure string) {
	if d.failure == "" {
		d.failure = failure
	}
}

func (d *routeDraft) unsupported(table []unsupported[contourv1.Route], why string) {
	findings, failure := check(table, d.in, d.at, why, answered503)
	d.findAt(d.where.String(), findings)
	d.shut(failure)
}

func (d *routeDraft) conditions() {
	c, errs := parseConditions(d.in.Conditions, false)
	d.out.conditions = c
	for _, e := range errs {
		message := e.cause.Error()
		if e.reason == reason.PathMatchConditionsNotValid {
			message = reason.FormatRouteConditions.With(e.cause)
		}
		d.fail(reason.RouteError, e.reason, message)
	}
}

// action settles what the route does with a request.
func (d *routeDraft) action() {
	respond, err := parseHeaders(d.in.ResponseHeadersPolicy, response, d.variables(nil))
	if err != nil {
		d.fail(reason.RouteError, reason.ResponseHeaderPolicyInvalid, reason.FormatResponseHeaders.With(err))
	}
	d.out.action.ResponseHeaders = respond.policy
	count := 0
	for _, set := range [...]bool{len(d.in.Services) > 0, d.in.RequestRedirectPolicy != nil, d.in.DirectResponsePolicy != nil} {
		if set {
			count++
		}
	}
	switch {
	case count != 1:
		d.fail(reason.RouteError, reason.RouteActionCountNotValid,
			"must set exactly one of route.services or route.requestRedirectPolicy or route.directResponsePolicy")
	case d.in.RequestRedirectPolicy != nil:
		if d.out.action.Redirect, err = parseRedirect(d.in.RequestRedirectPolicy, &d.out.conditions); err != nil {
			d.fail(reason.RouteError, reason.RequestRedirectPolicy, reason.FormatRedirect.With(err))
		}
		d.unsupported(unsupportedAction, "the route answers by itself")
	case d.in.DirectResponsePolicy != nil:
		if d.out.action.Response, err = parseDirectResponse(d.in.DirectResponsePolicy); err != nil {
			d.fail(reason.RouteError, reason.DirectResponsePolicyInvalid, err.Error())
		}
		d.unsupported(unsupportedAction, "the route answers by itself")
	default:
		d.forward()
	}
}

func (d *routeDraft) variables(s *contourv1.Service) *variables {
	v := &variables{namespace: d.doc.Name.Namespace}
	if s != nil {
		v.service, v.port = s.Name, strconv.Itoa(s.Port)
	}
	return v
}

func (d *routeDraft) forward() {
	f := &ir.Forward{Websockets: d.in.EnableWebsockets}
	d.policies(f)
	for i := range d.in.Services {
		d.service(i)
	}
	f.Backends, f.Mirrors = d.weighted(), d.mirrors
	if len(f.Backends) == 0 && d.failure == "" {
		d.noBackend()
	}
	d.out.action.Forward = f
}

// policies reads what holds for all services of the route.
func (d *routeDraft) policies(f *ir.Forward) {
	var err error
	if d.headers, err = parseHeaders(d.in.RequestHeadersPolicy, routeRequest, d.variables(nil)); err != nil {
		d.fail(reason.RouteError, reason.RequestHeadersPolicyInvalid, reason.FormatRequestHeaders.With(err))
	}
	d.out.action.RequestHeaders = d.headers.policy
	f.HostRewrite, f.HostFromHeader = d.headers.host, d.headers.hostFrom

	limits, err := parseTimeouts(d.in.TimeoutPolicy)
	if err != nil {
		d.fail(reason.RouteError, reason.TimeoutPolicyNotValid, reason.FormatTimeoutPolicy.With(err))
	}
	f.Timeout, f.IdleTimeout, d.idle = limits.response, limits.idle, limits.idleConnection

	if f.Retry, err = parseRetry(d.in.RetryPolicy); err != nil {
		d.fail(reason.RouteError, reason.RetryPolicyNotValid, err.Error())
	}
	if d.health, err = parseHealthCheck(d.in.HealthCheckPolicy); err != nil {
		d.fail(reason.RouteError, reason.HealthCheckPolicyInvalid, err.Error())
	}
	d.balancing = parseBalancing(d.in.LoadBalancerPolicy)
	f.Hash = d.balancing.hash
	for _, w := range d.balancing.warnings {
		d.find(Finding{Severity: Warning, Type: reason.SpecError, Reason: reason.IgnoredField, Place: d.where.String(), Message: w})
	}
	d.replacements()
}

func (d *routeDraft) replacements() {
	var (
		why reason.Reason
		err error
	)
	if d.out.rewrites, why, err = parseReplacements(d.in.PathRewritePolicy); err != nil {
		d.fail(reason.PrefixReplaceError, why, err.Error())
		return
	}
	if c := &d.out.conditions; len(d.out.rewrites) > 0 && (c.kind == ir.PathExact || c.kind == ir.PathRegex) {
		d.fail(reason.PrefixReplaceError, reason.MustHavePrefix, string(reason.MessageMustHavePrefix))
	}
}

// service adds one backend or mirror, or closes the route. A mirror that
// cannot be honoured is left out: its answers are thrown away.
func (d *routeDraft) service(i int) {
	s := &d.in.Services[i]
	if s.Mirror {
		d.mirrorsSeen++
		if d.mirrorsSeen > 1 {
			d.failService(s, reason.OnlyOneMirror, string(reason.MessageOnlyOneMirror))
			return
		}
	}
	b, ok := d.backend(i, s)
	switch {
	case !ok:
	case s.Mirror:
		share := uint32(100)
		if s.Weight != 0 {
			share = uint32(max(0, min(s.Weight, 100)))
		}
		d.mirrors = append(d.mirrors, ir.Mirror{
			Upstream: b.Upstream, Numerator: share, Denominator: 100, HostRewrite: b.HostRewrite, RequestHeaders: b.RequestHeaders,
		})
	default:
		d.backends = append(d.backends, b)
	}
}

// backend translates one service; ok is false when there is nothing to send
// requests to.
func (d *routeDraft) backend(i int, s *contourv1.Service) (ir.Backend, bool) {
	at := d.at + ".services[" + strconv.Itoa(i) + "]"
	findings, failure := check(unsupportedService, s, at, notSupported, answered503)
	d.findAt(d.where.service(s.Name), findings)
	if !s.Mirror {
		d.shut(failure)
	}
	request, err := parseHeaders(s.RequestHeadersPolicy, serviceRequest, d.variables(s))
	if err != nil {
		d.failService(s, reason.RequestHeadersPolicyInvalid, reason.FormatRequestHeaders.With(err))
		return ir.Backend{}, false
	}
	respond, err := parseHeaders(s.ResponseHeadersPolicy, response, d.variables(s))
	if err != nil {
		d.failService(s, reason.ResponseHeadersPolicyInvalid, reason.FormatResponseHeaders.With(err))
		return ir.Backend{}, false
	}
	slow, err := parseSlowStart(s.SlowStartPolicy, d.balancing.policy)
	if err != nil {
		d.failService(s, reason.SlowStartInvalid, err.Error())
		return ir.Backend{}, false
	}
	u, p := d.decide(s, at, d.where, &upstream.Request{
		Hosts:        []string{request.host, d.headers.host},
		LoadBalancer: ir.LoadBalancer{Policy: d.balancing.policy},
		HealthCheck:  d.health, SlowStart: slow,
	})
	if p != nil {
		d.refuse(s, p)
		return ir.Backend{}, false
	}
	u.IdleTimeout = d.idle
	return ir.Backend{
		Upstream: u, Weight: weight(s), HostRewrite: request.host,
		RequestHeaders: request.policy, ResponseHeaders: respond.policy,
	}, true
}

// refuse files why a service cannot be reached as asked. One that does not
// exist is passed over, as in Contour; anything else closes the route.
func (d *routeDraft) refuse(s *contourv1.Service, p *upstream.Problem) {
	f := Finding{Type: p.Type, Reason: p.Category, Place: d.where.service(s.Name), Message: p.Message}
	if p.Description != "" {
		f.Description = reason.FormatRouteService.With(d.where.path, s.Name, p.Description)
	}
	d.find(f)
	if !s.Mirror && p.Category != reason.ServiceUnresolvedReference {
		d.shut(f.Text())
	}
}

// decide asks for the upstream of a service, whatever it carries.
func (t *translation) decide(s *contourv1.Service, at string, where place, r *upstream.Request) (*ir.Upstream, *upstream.Problem) {
	if s.Port < 1 || s.Port > math.MaxUint16 {
		return nil, &upstream.Problem{Type: reason.ServiceError, Category: reason.ServicePortInvalid,
			Message: string(reason.MessageServicePort)}
	}
	namespace := t.doc.Name.Namespace
	t.annotations(ir.Name{Namespace: namespace, Name: s.Name})
	r.Service = ir.ServicePort{Name: ir.Name{Namespace: namespace, Name: s.Name}, Port: int32(s.Port)}
	r.Protocol = s.Protocol
	switch {
	case s.HealthPort == 0:
	case r.HealthCheck == nil:
		t.findAt(where.service(s.Name), []Finding{ignored(at+".healthPort", "there is no healthCheckPolicy")})
	case s.HealthPort < 1 || s.HealthPort > math.MaxUint16:
		return nil, &upstream.Problem{Type: reason.ServiceError, Category: reason.ServicePortInvalid,
			Message: "healthPort must be in the range 1-65535"}
	default:
		r.HealthPort = int32(s.HealthPort)
	}
	v := s.UpstreamValidation
	if v == nil {
		return upstream.Decide(t.objects, *r)
	}
	r.Validation = &upstream.Validation{From: namespace}
	if v.CACertificate != "" {
		r.Validation.Trust = []ir.TrustRef{trustRef(v, namespace)}
	}
	if v.SubjectName != "" {
		if r.Validation.Names = v.SubjectNames; len(v.SubjectNames) == 0 {
			r.Validation.Names = []string{v.SubjectName}
		}
	}
	u, p := upstream.Decide(t.objects, *r)
	if p == nil && len(v.SubjectNames) > 0 && v.SubjectNames[0] != v.SubjectName {
		return nil, &upstream.Problem{Type: reason.ServiceError, Category: reason.TLSUpstreamValidation,
			Message: reason.FormatUpstreamValidation.With(s.Name, s.Port,
				reason.FormatSubjectNames.With(clip(v.SubjectNames[0]), clip(v.SubjectName)))}
	}
	return u, p
}

// annotations warns, once, of those of a Service that say nothing.
func (t *translation) annotations(name ir.Name) {
	if slices.Contains(t.services, name) {
		return
	}
	t.services = append(t.services, name)
	svc, ok := t.objects.Service(name)
	if !ok || svc == nil || len(svc.Annotations) == 0 {
		return
	}
	for _, p := range upstream.CheckService(svc) {
		t.find(Finding{Severity: Warning, Type: p.Type, Reason: p.Category, Message: p.Message})
	}
}

func wrongWeight(w int64) string {
	return fmt.Sprintf("weight %d: weights must not be negative, nor add up to more than %d", w, uint32(math.MaxUint32))
}

// weight clamps; weighted complains about what does not fit.
func weight(s *contourv1.Service) uint32 {
	return uint32(max(0, min(s.Weight, math.MaxUint32)))
}

// weighted settles the weights: none at all means an even split.
func (d *routeDraft) weighted() []ir.Backend {
	var sum int64
	for i := range d.in.Services {
		s := &d.in.Services[i]
		if s.Mirror {
			continue
		}
		// Envoy adds the weights up in 32 bits.
		if s.Weight < 0 || s.Weight > math.MaxUint32 || sum+s.Weight > math.MaxUint32 {
			d.failService(s, reason.WeightNotValid, wrongWeight(s.Weight))
			return nil
		}
		sum += s.Weight
	}
	var left int64
	for i := range d.backends {
		if sum == 0 {
			d.backends[i].Weight = 1
		}
		left += int64(d.backends[i].Weight)
	}
	if left == 0 {
		// Weights were given and those that have one are gone: weight 0 gets
		// nothing, also then.
		return nil
	}
	return d.backends
}

// noBackend closes a route whose services were all passed over.
func (d *routeDraft) noBackend() {
	for i := range d.in.Services {
		if !d.in.Services[i].Mirror {
			d.failure = "no service of the route can be reached"
			return
		}
	}
	d.fail(reason.RouteError, reason.RouteActionCountNotValid, "the route has no service but its mirror")
}
