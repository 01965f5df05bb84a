package httpproxy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
)

func TestParseTimeout(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     string
		want   *time.Duration
		bad    bool
	}{
		"empty":    {reason: "Envoy's default", in: ""},
		"zero":     {reason: "zero means the default, as in Contour", in: "0s"},
		"infinity": {reason: "switches off", in: "infinity", want: new(time.Duration)},
		"infinite": {reason: "the other spelling", in: "infinite", want: new(time.Duration)},
		"value":    {reason: "a Go duration", in: "1m30s", want: new(90 * time.Second)},
		"negative": {reason: "there is no negative time", in: "-1s", bad: true},
		"word":     {reason: "not a duration", in: "soon", bad: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseTimeout(tc.in)
			if (err != nil) != tc.bad {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseRetry(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     *contourv1.RetryPolicy
		want   *ir.Retry
		bad    bool
	}{
		"none":     {reason: "no policy, no retries"},
		"defaults": {reason: "one retry on 5xx", in: &contourv1.RetryPolicy{}, want: &ir.Retry{On: []string{"5xx"}, Count: 1}},
		"off":      {reason: "-1 switches retries off", in: &contourv1.RetryPolicy{NumRetries: -1}},
		"all": {
			reason: "everything is kept in its order",
			in: &contourv1.RetryPolicy{NumRetries: 4, PerTryTimeout: "2s", RetryOn: []contourv1.RetryOn{"reset", "5xx"},
				RetriableStatusCodes: []uint32{503, 502}},
			want: &ir.Retry{On: []string{"reset", "5xx"}, Count: 4, PerTryTimeout: 2 * time.Second, StatusCodes: []uint32{503, 502}},
		},
		"word":    {reason: "Envoy would ignore an unknown word", in: &contourv1.RetryPolicy{RetryOn: []contourv1.RetryOn{"always"}}, bad: true},
		"timeout": {reason: "not a duration", in: &contourv1.RetryPolicy{PerTryTimeout: "x"}, bad: true},
		"count":   {reason: "below -1", in: &contourv1.RetryPolicy{NumRetries: -2}, bad: true},
		"code":    {reason: "no status code", in: &contourv1.RetryPolicy{RetriableStatusCodes: []uint32{7}}, bad: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseRetry(tc.in)
			if (err != nil) != tc.bad {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseBalancing(t *testing.T) {
	header := func(name string) contourv1.RequestHashPolicy {
		return contourv1.RequestHashPolicy{HeaderHashOptions: &contourv1.HeaderHashOptions{HeaderName: name}}
	}
	query := func(name string) contourv1.RequestHashPolicy {
		return contourv1.RequestHashPolicy{QueryParameterHashOptions: &contourv1.QueryParameterHashOptions{ParameterName: name}}
	}
	cases := map[string]struct {
		reason   string
		in       *contourv1.LoadBalancerPolicy
		policy   ir.LoadBalancerPolicy
		hash     []ir.HashPolicy
		warnings int
	}{
		"none":    {reason: "the default", policy: ir.RoundRobin},
		"random":  {reason: "by name", in: &contourv1.LoadBalancerPolicy{Strategy: "Random"}, policy: ir.Random},
		"least":   {reason: "by name", in: &contourv1.LoadBalancerPolicy{Strategy: "WeightedLeastRequest"}, policy: ir.LeastRequest},
		"unknown": {reason: "said, not silent", in: &contourv1.LoadBalancerPolicy{Strategy: "Best"}, policy: ir.RoundRobin, warnings: 1},
		"cookie": {
			reason: "Contour's session cookie", in: &contourv1.LoadBalancerPolicy{Strategy: "Cookie"}, policy: ir.RingHash,
			hash: []ir.HashPolicy{{Cookie: "X-Contour-Session-Affinity", CookiePath: "/"}},
		},
		"hash": {
			reason: "each source once; entries that make no sense are left out with a warning",
			in: &contourv1.LoadBalancerPolicy{Strategy: "RequestHash", RequestHashPolicies: []contourv1.RequestHashPolicy{
				{HashSourceIP: true, Terminal: true}, {HashSourceIP: true}, header("x-user"), header("X-User"), header("a b"),
				query("Q"), query(""), {},
			}},
			policy:   ir.RingHash,
			hash:     []ir.HashPolicy{{SourceIP: true, Terminal: true}, {Header: "X-User"}, {Query: "q"}},
			warnings: 5,
		},
		"hash without policies": {
			reason: "nothing to hash", in: &contourv1.LoadBalancerPolicy{Strategy: "RequestHash"}, policy: ir.RoundRobin, warnings: 1,
		},
		"policies without hash": {
			reason: "they have no effect",
			in:     &contourv1.LoadBalancerPolicy{RequestHashPolicies: []contourv1.RequestHashPolicy{{HashSourceIP: true}}},
			policy: ir.RoundRobin, warnings: 1,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := parseBalancing(tc.in)
			if got.policy != tc.policy || len(got.warnings) != tc.warnings {
				t.Errorf("%s: policy %s, warnings %q", tc.reason, got.policy, got.warnings)
			}
			if diff := cmp.Diff(tc.hash, got.hash); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseHealthCheck(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     *contourv1.HTTPHealthCheckPolicy
		want   *ir.HealthCheck
		bad    bool
	}{
		"none": {reason: "no checks"},
		"defaults": {
			reason: "Contour's", in: &contourv1.HTTPHealthCheckPolicy{Path: "/h"},
			want: &ir.HealthCheck{Interval: 10 * time.Second, Timeout: 2 * time.Second, Unhealthy: 3, Healthy: 2,
				HTTP: &ir.HTTPHealthCheck{Path: "/h", Host: "contour-envoy-healthcheck"}},
		},
		"all": {
			reason: "as written",
			in: &contourv1.HTTPHealthCheckPolicy{Path: "/h", Host: "h.test", IntervalSeconds: 1, TimeoutSeconds: 4, UnhealthyThresholdCount: 5,
				HealthyThresholdCount: 6, ExpectedStatuses: []contourv1.HTTPStatusRange{{Start: 200, End: 300}}},
			want: &ir.HealthCheck{Interval: time.Second, Timeout: 4 * time.Second, Unhealthy: 5, Healthy: 6,
				HTTP: &ir.HTTPHealthCheck{Path: "/h", Host: "h.test", Expected: []ir.StatusRange{{Start: 200, End: 300}}}},
		},
		"path":     {reason: "a check needs a path", in: &contourv1.HTTPHealthCheckPolicy{Path: "h"}, bad: true},
		"negative": {reason: "no negative time", in: &contourv1.HTTPHealthCheckPolicy{Path: "/h", IntervalSeconds: -1}, bad: true},
		"huge":     {reason: "no overflow", in: &contourv1.HTTPHealthCheckPolicy{Path: "/h", HealthyThresholdCount: 1 << 40}, bad: true},
		"range": {reason: "an empty range expects nothing", bad: true, in: &contourv1.HTTPHealthCheckPolicy{Path: "/h",
			ExpectedStatuses: []contourv1.HTTPStatusRange{{Start: 300, End: 200}}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseHealthCheck(tc.in)
			if (err != nil) != tc.bad {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseSlowStart(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     *contourv1.SlowStartPolicy
		policy ir.LoadBalancerPolicy
		want   *ir.SlowStart
		bad    bool
	}{
		"none":     {reason: "no slow start", policy: ir.RingHash},
		"values":   {reason: "as written", policy: ir.LeastRequest, in: &contourv1.SlowStartPolicy{Window: "5s", Aggression: "2.5", MinimumWeightPercent: 20}, want: &ir.SlowStart{Window: 5 * time.Second, Aggression: 2.5, MinWeight: 20}},
		"strategy": {reason: "Envoy has it for two strategies", policy: ir.Random, in: &contourv1.SlowStartPolicy{Window: "5s"}, bad: true},
		"window":   {reason: "not a duration", policy: ir.RoundRobin, in: &contourv1.SlowStartPolicy{Window: "x"}, bad: true},
		"NaN":      {reason: "no number has no encoding", policy: ir.RoundRobin, in: &contourv1.SlowStartPolicy{Window: "5s", Aggression: "NaN"}, bad: true},
		"infinite": {reason: "nor has infinity", policy: ir.RoundRobin, in: &contourv1.SlowStartPolicy{Window: "5s", Aggression: "Inf"}, bad: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseSlowStart(tc.in, tc.policy)
			if (err != nil) != tc.bad {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseHeaders(t *testing.T) {
	set := func(pairs ...string) *contourv1.HeadersPolicy {
		p := &contourv1.HeadersPolicy{}
		for i := 0; i < len(pairs); i += 2 {
			p.Set = append(p.Set, contourv1.HeaderValue{Name: pairs[i], Value: pairs[i+1]})
		}
		return p
	}
	cases := map[string]struct {
		reason string
		in     *contourv1.HeadersPolicy
		scope  headerScope
		want   headers
		bad    string
	}{
		"none": {reason: "nothing to do"},
		"set and remove": {
			reason: "canonical names, sorted; set wins over remove",
			in: &contourv1.HeadersPolicy{Set: []contourv1.HeaderValue{{Name: "x-b", Value: "1"}, {Name: "X-A", Value: "2"}},
				Remove: []string{"x-b", "x-z", "x-c"}},
			want: headers{policy: ir.HeaderPolicy{Set: []ir.Header{{Name: "X-A", Value: "2"}, {Name: "X-B", Value: "1"}}, Remove: []string{"X-C", "X-Z"}}},
		},
		"host":             {reason: "rewrites :authority", in: set("host", "h.test"), want: headers{host: "h.test"}},
		"host from header": {reason: "on a route", in: set("Host", "%REQ(x-host)%"), want: headers{hostFrom: "X-Host"}},
		"host from header on a service": {
			reason: "Envoy has no such thing", in: set("Host", "%REQ(x-host)%"), scope: serviceRequest, bad: "dynamic value",
		},
		"host twice":       {reason: "which one?", in: set("Host", "a", "host", "b"), bad: "duplicate"},
		"host as format":   {reason: "it would be sent literally", in: set("Host", "%HOSTNAME%"), bad: "neither a host name"},
		"host on response": {reason: "a response has none", in: set("Host", "a"), scope: response, bad: "not supported"},
		"remove host": {
			reason: "Envoy refuses the whole route configuration", in: &contourv1.HeadersPolicy{Remove: []string{"hOST"}}, bad: "remove header",
		},
		"set twice":    {reason: "which one?", in: set("x-a", "1", "X-A", "2"), bad: "duplicate header addition"},
		"remove twice": {reason: "as in Contour", in: &contourv1.HeadersPolicy{Remove: []string{"x-a", "X-A"}}, bad: "duplicate header removal"},
		"name":         {reason: "not a name", in: set("a b", "1"), bad: "invalid set header"},
		"pseudo":       {reason: "Envoy's own", in: set(":path", "/x"), bad: "invalid set header"},
		"line break":   {reason: "would split the header", in: set("x-a", "1\r\nx-b: 2"), bad: "control character"},
		"variables": {
			reason: "ours are replaced, Envoy's pass, the rest is literal",
			in: set("x-a", "%CONTOUR_NAMESPACE%/%CONTOUR_SERVICE_NAME%:%CONTOUR_SERVICE_PORT%",
				"x-b", "100% %HOSTNAME%%PROTOCOL% %NOPE% %REQ(:path?x_y):12% %REQ(a b)%", "x-c", "%"),
			want: headers{policy: ir.HeaderPolicy{Set: []ir.Header{
				{Name: "X-A", Value: "ns/svc:80"},
				{Name: "X-B", Value: "100%% %HOSTNAME%%PROTOCOL% %%NOPE%% %REQ(:path?x_y):12% %%REQ(a b)%%"},
				{Name: "X-C", Value: "%%"},
			}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseHeaders(tc.in, tc.scope, &variables{namespace: "ns", service: "svc", port: "80"})
			if (err != nil) != (tc.bad != "") || (err != nil && !strings.Contains(err.Error(), tc.bad)) {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(headers{})); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseDirectResponse(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		in     contourv1.HTTPDirectResponsePolicy
		bad    bool
	}{
		"good": {reason: "within the limits", in: contourv1.HTTPDirectResponsePolicy{StatusCode: 200, Body: strings.Repeat("x", 4096)}},
		"code": {reason: "Envoy refuses it", in: contourv1.HTTPDirectResponsePolicy{StatusCode: 99}, bad: true},
		"body": {reason: "Envoy refuses the whole route configuration", in: contourv1.HTTPDirectResponsePolicy{StatusCode: 200, Body: strings.Repeat("x", 4097)}, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseDirectResponse(&tc.in); (err != nil) != tc.bad {
				t.Errorf("%s: error %v", tc.reason, err)
			}
		})
	}
}
