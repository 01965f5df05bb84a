package route

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const toWeb = "backendRefs: [{name: web, port: 80}]"

// What a rule lets last longer than Envoy lets a request be silent is not cut
// for being silent.
func TestSilenceFollowsLimits(t *testing.T) {
	cases := map[string]struct {
		why, rule     string
		timeout, idle *time.Duration
	}{
		"nothing":           {"Envoy's own", "", nil, nil},
		"short":             {"the limit cuts first", "timeouts: {request: 10s}, ", new(10 * time.Second), nil},
		"as long":           {"neither cuts before the other", "timeouts: {request: 5m}, ", new(5 * time.Minute), nil},
		"long":              {"the limit is what was asked for", "timeouts: {request: 10m}, ", new(10 * time.Minute), new(10 * time.Minute)},
		"without":           {"neither", "timeouts: {request: 0s}, ", new(time.Duration(0)), new(time.Duration(0))},
		"long try":          {"there is one", "timeouts: {backendRequest: 10m}, ", new(10 * time.Minute), new(10 * time.Minute)},
		"long tries":        {"as many as there are", "timeouts: {backendRequest: 10m}, retry: {attempts: 2}, ", new(time.Duration(0)), new(time.Duration(0))},
		"short of long try": {"the shorter bounds it", "timeouts: {request: 10m, backendRequest: 10s}, ", new(10 * time.Second), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := readRule(t, "{"+tc.rule+toWeb+"}").Rules[0].Action.Forward
			if diff := cmp.Diff([]*time.Duration{tc.timeout, tc.idle}, []*time.Duration{f.Timeout, f.IdleTimeout}); diff != "" {
				t.Errorf("%s: limit and silence: -want, +got:\n%s", tc.why, diff)
			}
		})
	}
}

// A stream of a call may say nothing for hours.
func TestSilenceOfCalls(t *testing.T) {
	var in gatewayv1.GRPCRoute
	if err := yaml.UnmarshalStrict([]byte("rules: [{"+toWeb+"}]"), &in.Spec); err != nil {
		t.Fatal(err)
	}
	f := ReadGRPC(estate{}, &in).Rules[0].Action.Forward
	if f.Timeout == nil || *f.Timeout != 0 || f.IdleTimeout == nil || *f.IdleTimeout != 0 {
		t.Errorf("limit %v and silence %v, want neither", f.Timeout, f.IdleTimeout)
	}
}

// What no backend has begun to process is tried again, a try that ran out of its
// time where 504 is among the codes.
func TestRetriedConditions(t *testing.T) {
	const always = "connect-failure refused-stream reset-before-request"
	cases := map[string]struct{ why, rule, want string }{
		"no codes":        {"it was not processed", "retry: {}", always},
		"codes":           {"as answered", "retry: {codes: [503]}", always + " retriable-status-codes"},
		"504":             {"there is no limit for a try", "retry: {codes: [504]}", always + " retriable-status-codes"},
		"504 and a limit": {"what the limit cuts", "retry: {codes: [504]}, timeouts: {backendRequest: 1s}", always + " retriable-status-codes reset"},
		"504, limit of 0": {"nothing is cut", "retry: {codes: [504]}, timeouts: {backendRequest: 0s}", always + " retriable-status-codes"},
		"503 and a limit": {"who wants no 504 retried", "retry: {codes: [503]}, timeouts: {backendRequest: 1s}", always + " retriable-status-codes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(readRule(t, "{"+tc.rule+", "+toWeb+"}").Rules[0].Action.Forward.Retry.On, " ")
			if got != tc.want {
				t.Errorf("%s: %s, want %s", tc.why, got, tc.want)
			}
		})
	}
}

// Envoy compares origins byte by byte, and browsers write them in one way.
func TestOriginsAsBrowsersWriteThem(t *testing.T) {
	cases := map[string]struct{ why, want string }{
		"https://app.example":      {"so it is", "https://app.example"},
		"https://App.Example":      {"hosts have no case", "https://app.example"},
		"HTTPS://app.example":      {"schemes neither", "https://app.example"},
		"https://app.example:443":  {"the scheme's own port", "https://app.example"},
		"http://app.example:80":    {"the scheme's own port", "http://app.example"},
		"https://app.example:80":   {"another port", "https://app.example:80"},
		"http://app.example:443":   {"another port", "http://app.example:443"},
		"https://app.example:8443": {"another port", "https://app.example:8443"},
		"https://*.Example:443":    {"with a wildcard too", "https://*.example"},
		"https://[2001:DB8::443]":  {"the end of an address", "https://[2001:db8::443]"},
		"*":                        {"any", "*"},
	}
	for origin, tc := range cases {
		t.Run(origin, func(t *testing.T) {
			d := readRule(t, `{filters: [{type: CORS, cors: {allowOrigins: ["`+origin+`"]}}], `+toWeb+"}")
			c := d.Rules[0].Action.CORS
			if c == nil || len(c.Origins) != 1 || c.Origins[0] != tc.want {
				t.Errorf("%s: %+v, want %q; %v", tc.why, c, tc.want, d.Fault)
			}
		})
	}
}

// Filters that cannot stand together make a rule that is not served, and the
// reason says so where there is no other.
func TestIncompatibleFilters(t *testing.T) {
	const (
		redirect = "{type: RequestRedirect, requestRedirect: {scheme: https}}"
		mirror   = "{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}"
		rewrite  = "{type: URLRewrite, urlRewrite: {hostname: x.test}}"
		odd      = "{type: ExtensionRef, extensionRef: {group: x.test, kind: Odd, name: odd}}"
		good     = "{" + toWeb + "}"
	)
	of := func(filters ...string) string { return "{filters: [" + strings.Join(filters, ", ") + "]}" }
	cases := map[string]struct{ why, rules, fault, dropped string }{
		"redirect":             {"nothing beside it", of(redirect), "", ""},
		"mirror and redirect":  {"no copy could be sent", of(redirect, mirror), "IncompatibleFilters", ""},
		"rewrite and redirect": {"one or the other", of(redirect, rewrite), "IncompatibleFilters", ""},
		"beside a good rule":   {"the rest is served", of(mirror, redirect) + "\n- " + good, "", "RequestMirror"},
		"beside another fault": {"that is another reason", of(mirror, redirect) + "\n- " + of(odd), "UnsupportedValue", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, fault := readRule(t, tc.rules), ""
			if d.Fault != nil {
				fault = string(d.Fault.Reason)
			}
			if dropped := strings.Join(d.Dropped, "; "); fault != tc.fault || !strings.Contains(dropped, tc.dropped) || (tc.dropped == "") != (dropped == "") {
				t.Errorf("%s: fault %q, dropped %q, want %q and %q", tc.why, fault, dropped, tc.fault, tc.dropped)
			}
		})
	}
}

// A copy has the host of its request.
func TestMirrorKeepsHost(t *testing.T) {
	d := readRule(t, "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}], "+toWeb+"}")
	if m := d.Rules[0].Action.Forward.Mirrors; len(m) != 1 || !m[0].KeepHost {
		t.Errorf("%+v", m)
	}
}
