package route

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// ReadHTTP reads one HTTPRoute on its own. It never fails: what is wrong is in
// the document, and the part that it concerns fails closed.
func ReadHTTP(o Objects, in *gatewayv1.HTTPRoute) *Document {
	r := newReader(o, OfHTTP(in), speech{kind: gatewayapi.KindHTTPRoute})
	for i := range in.Spec.Rules {
		rule := &in.Spec.Rules[i]
		m, faults := matches(rule.Matches)
		r.rule(i, rule, m, faults)
	}
	r.settle(len(in.Spec.Rules))
	return r.doc
}

func newReader(o Objects, common *Route, s speech) *reader {
	return &reader{objects: o, speech: s, doc: &Document{
		Ref: common.Ref, Generation: common.Generation, Created: common.Created, Hosts: common.Hosts,
	}}
}

// settle files the rules that are not served: as a whole, or one by one.
func (r *reader) settle(rules int) {
	if n := len(r.doc.Dropped); n > 0 && n == rules {
		why := reason.UnsupportedValue
		if r.incompatible == rules {
			why = reason.IncompatibleFilters
		}
		r.doc.Fault = &gatewayapi.Fault{Reason: why, Message: strings.Join(r.doc.Dropped, "; ")}
		r.doc.Dropped = nil
	}
}

// ruleReader is a rule in the making.
type ruleReader struct {
	*reader
	at      string
	in      *gatewayv1.HTTPRouteRule
	out     Rule
	faults  []string
	filters filters
	forward *ir.Forward
	refused []string
}

// rule reads a rule whose matches were read, with faults or without.
func (r *reader) rule(i int, in *gatewayv1.HTTPRouteRule, m []ir.Match, faults []string) {
	d := &ruleReader{reader: r, in: in, at: fmt.Sprintf("spec.rules[%d]", i)}
	d.out.Name = string(gatewayapi.Or(in.Name, ""))
	d.out.Matches, d.faults = m, faults
	var why []string
	d.filters, why = readFilters(in.Filters)
	d.faults = append(d.faults, why...)
	d.out.Action = ir.Route{RequestHeaders: d.filters.request, ResponseHeaders: d.filters.response}
	if d.filters.cors != nil {
		cors, why := crossOrigin(d.filters.cors)
		d.fault(why)
		d.out.Action.CORS = cors
	}
	if d.filters.redirect != nil {
		d.redirect()
	} else {
		d.send()
	}
	if d.filters.auth != nil {
		d.authorize(d.filters.auth)
	}
	if len(d.faults) > 0 {
		message := d.at + ": " + strings.Join(d.faults, ", ")
		r.doc.Dropped = append(r.doc.Dropped, message)
		d.out.Action = broken(message, r.speech.failure())
	}
	d.out.Action.Origin = r.doc.Ref
	r.doc.Rules = append(r.doc.Rules, d.out)
}

// broken is the fail-closed form of a rule, without its matches.
func broken(failure string, code uint32) ir.Route {
	return ir.Route{Failure: failure, Response: &ir.DirectResponse{StatusCode: code}}
}

func (d *ruleReader) fault(why string) {
	if why != "" {
		d.faults = append(d.faults, why)
	}
}

func (d *ruleReader) redirect() {
	if d.filters.rewrite != nil || len(d.filters.mirrors) > 0 {
		d.incompatible++
	}
	if d.filters.rewrite != nil {
		d.fault("a RequestRedirect and a URLRewrite filter cannot stand together")
	}
	if len(d.filters.mirrors) > 0 {
		d.fault("a RequestRedirect and a RequestMirror filter cannot stand together: " +
			"Envoy copies what it forwards, and a redirect forwards nothing")
	}
	out, listenerPort, why := redirect(d.filters.redirect, d.out.Matches)
	d.fault(why)
	d.out.Action.Redirect, d.out.ListenerPort = out, listenerPort
}

// send settles where requests go.
func (d *ruleReader) send() {
	d.forward = &ir.Forward{RefusedStatus: d.speech.failure()}
	d.limits()
	if w := d.filters.rewrite; w != nil {
		d.rewrite(w)
	}
	for i, m := range d.filters.mirrors {
		d.mirror(fmt.Sprintf("%s.filters: mirror %d", d.at, i+1), m)
	}
	for i := range d.in.BackendRefs {
		d.backendRef(i)
	}
	d.settleHeaders()
	d.session()
	switch {
	case len(d.forward.Backends) > 0:
		d.out.Action.Forward = d.forward
		d.forward.Websockets = !slices.ContainsFunc(d.forward.Backends, func(b ir.Backend) bool { return b.Upstream.Protocol != ir.HTTP1 })
		d.out.Action.Failure = strings.Join(d.refused, "; ")
	default:
		failure := "no backend has a weight above 0"
		if len(d.in.BackendRefs) == 0 {
			failure = "the rule has no backend"
		}
		if len(d.refused) > 0 {
			failure = strings.Join(d.refused, "; ")
		}
		d.fail(failure)
	}
}

// fail answers in the place of what the rule asks for.
func (d *ruleReader) fail(failure string) {
	d.out.Action = ir.Route{
		ResponseHeaders: d.out.Action.ResponseHeaders, CORS: d.out.Action.CORS,
		Failure: failure, Response: &ir.DirectResponse{StatusCode: d.speech.failure()},
	}
}

func (d *ruleReader) rewrite(w *gatewayv1.HTTPURLRewriteFilter) {
	if w.Hostname != nil {
		d.forward.HostRewrite = string(*w.Hostname)
	}
	if w.Path != nil {
		out, why := pathRewrite(w.Path, d.out.Matches)
		if why != "" {
			d.fault("urlRewrite.path: " + why)
		}
		d.forward.Rewrite = out
	}
}

// mirror adds a mirror, or leaves it out.
func (d *ruleReader) mirror(where string, m *gatewayv1.HTTPRequestMirrorFilter) {
	u, f := d.backend(&m.BackendRef)
	if f != nil {
		d.failRef(where, f)
		return
	}
	out := ir.Mirror{Upstream: u, Numerator: 100, Denominator: 100, KeepHost: true}
	switch {
	case m.Percent != nil:
		out.Numerator = uint32(max(0, min(*m.Percent, 100)))
	case m.Fraction != nil:
		whole := max(1, gatewayapi.Or(m.Fraction.Denominator, 100))
		out.Numerator, out.Denominator = uint32(max(0, min(m.Fraction.Numerator, whole))), uint32(whole)
	}
	d.forward.Mirrors = append(d.forward.Mirrors, out)
}

// backendRef adds one backend by its weight, or its weight to what is refused.
func (d *ruleReader) backendRef(i int) {
	b := &d.in.BackendRefs[i]
	where := fmt.Sprintf("%s.backendRefs[%d]", d.at, i)
	weight := uint32(max(0, gatewayapi.Or(b.Weight, 1)))
	own, why := readFilters(b.Filters)
	for _, w := range why {
		d.fault(fmt.Sprintf("backendRefs[%d].%s", i, w))
	}
	u, f := d.backend(&b.BackendObjectReference)
	if f != nil {
		d.failRef(where, f)
		if weight > 0 {
			d.refused = append(d.refused, where+": "+f.Message)
			d.forward.Refused += weight
		}
		return
	}
	if weight == 0 {
		return
	}
	out := ir.Backend{Upstream: u, Weight: weight, RequestHeaders: own.request, ResponseHeaders: own.response}
	d.backendFilters(i, &own, &out)
	d.forward.Backends = append(d.forward.Backends, out)
}

// backendFilters settles what only a backend's requests undergo. Envoy has no
// path rewrite and no mirror for one of several backends.
func (d *ruleReader) backendFilters(i int, own *filters, out *ir.Backend) {
	alone := len(d.in.BackendRefs) == 1
	switch {
	case own.redirect != nil || own.cors != nil || own.auth != nil || (len(own.mirrors) > 0 && !alone):
		d.fault(fmt.Sprintf("backendRefs[%d].filters: a backend can have header modifiers and a URLRewrite", i))
	case own.rewrite != nil && own.rewrite.Path != nil && !alone:
		d.fault(fmt.Sprintf("backendRefs[%d].filters: urlRewrite.path needs a rule with one backend", i))
	}
	for j, m := range own.mirrors {
		d.mirror(fmt.Sprintf("%s.backendRefs[%d].filters: mirror %d", d.at, i, j+1), m)
	}
	if own.rewrite == nil {
		return
	}
	if own.rewrite.Hostname != nil {
		out.HostRewrite = string(*own.rewrite.Hostname)
	}
	if own.rewrite.Path != nil && alone {
		d.rewrite(&gatewayv1.HTTPURLRewriteFilter{Path: own.rewrite.Path})
	}
}

// settleHeaders puts the rule's changes before those of a backend, which are
// the more special ones: Envoy would let the rule's win.
func (d *ruleReader) settleHeaders() {
	a := &d.out.Action
	if slices.ContainsFunc(d.forward.Backends, func(b ir.Backend) bool { return !isEmpty(&b.RequestHeaders) }) {
		for i := range d.forward.Backends {
			b := &d.forward.Backends[i]
			b.RequestHeaders = join(&a.RequestHeaders, &b.RequestHeaders)
		}
		a.RequestHeaders = ir.HeaderPolicy{}
	}
	if slices.ContainsFunc(d.forward.Backends, func(b ir.Backend) bool { return !isEmpty(&b.ResponseHeaders) }) {
		for i := range d.forward.Backends {
			b := &d.forward.Backends[i]
			// A response passes the backend's filters first.
			b.ResponseHeaders = join(&b.ResponseHeaders, &a.ResponseHeaders)
		}
		a.ResponseHeaders = ir.HeaderPolicy{}
	}
}

// limits reads timeouts and retries.
func (d *ruleReader) limits() {
	var request, try *time.Duration
	if t := d.in.Timeouts; t != nil {
		request, try = d.duration("timeouts.request", t.Request), d.duration("timeouts.backendRequest", t.BackendRequest)
	}
	d.forward.Timeout = request
	retry := d.retry(try)
	switch {
	case retry == nil && try != nil && *try > 0:
		// One try: the shorter of the two bounds it.
		if request == nil || *request == 0 || *try < *request {
			d.forward.Timeout = try
		}
	case retry != nil && try != nil:
		retry.PerTryTimeout = *try
		if request == nil {
			d.forward.Timeout = new(time.Duration)
		}
	case try != nil && request == nil:
		d.forward.Timeout = new(time.Duration) // 0 switches it off
	}
	d.forward.Retry = retry
	d.forward.IdleTimeout = silence(d.forward.Timeout)
}

// silence is how long neither side needs to say anything: as long as the whole
// may take, where that is longer than what every request has. Nil leaves it.
func silence(timeout *time.Duration) *time.Duration {
	if timeout == nil || (*timeout > 0 && *timeout <= ir.StreamIdle) {
		return nil
	}
	return new(*timeout)
}

func (d *ruleReader) duration(field string, in *gatewayv1.Duration) *time.Duration {
	if in == nil {
		return nil
	}
	out, err := time.ParseDuration(string(*in))
	if err != nil || out < 0 {
		d.fault(fmt.Sprintf("%s: %q is no duration", field, clip(string(*in))))
		return nil
	}
	return &out
}

// retry reads the retries. What no backend has begun to process is tried again
// whatever the codes; a connection that was reset after the request was sent is
// not. To Envoy a try that runs out of its time is such a reset, so 504 beside a
// limit for each try asks for both.
func (d *ruleReader) retry(try *time.Duration) *ir.Retry {
	in := d.in.Retry
	if in == nil {
		return nil
	}
	attempts := gatewayapi.Or(in.Attempts, 1)
	if attempts <= 0 {
		return nil
	}
	out := &ir.Retry{
		On:    []string{"connect-failure", "refused-stream", "reset-before-request"},
		Count: uint32(attempts), //nolint:gosec // above 0
	}
	for _, c := range in.Codes {
		out.StatusCodes = append(out.StatusCodes, uint32(c)) //nolint:gosec // 400 to 599, by the CRD
	}
	if len(out.StatusCodes) > 0 {
		out.On = append(out.On, "retriable-status-codes")
	}
	if try != nil && *try > 0 && slices.Contains(out.StatusCodes, http.StatusGatewayTimeout) {
		out.On = append(out.On, "reset")
	}
	if b := d.duration("retry.backoff", in.Backoff); b != nil {
		out.Backoff = *b
	}
	return out
}
