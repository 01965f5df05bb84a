package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// An API server that was away for a moment took the load balancer's address out
// of every HTTPProxy.
func TestALookThatFailsKeepsWhatWasSeen(t *testing.T) {
	failure := errors.New("connection refused")
	before := &controller.Outcome{
		Generation: 1, Progress: kubernetes.Progress{Desired: 2, Ready: 2, Complete: true},
		Addresses:    []v1alpha1.Address{{Type: v1alpha1.IPAddress, Value: "192.0.2.7"}},
		LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}},
	}
	want := *before
	want.Generation, want.Err = 2, failure
	if diff := cmp.Diff(&want, unknown(&controller.Outcome{Generation: 2, Err: failure}, before), cmpopts.EquateErrors()); diff != "" {
		t.Errorf("outcome (-want, +got):\n%s", diff)
	}
}

// Each term took the load balancer's address out of every HTTPProxy, and wrote it
// back once the fleet was looked at.
func TestATermKeepsTheLoadBalancerUntilItIsSeen(t *testing.T) {
	type outcomes map[ir.Name]*controller.Outcome
	seven, eight := balancerAt("192.0.2.7"), balancerAt("192.0.2.8")
	first, second := ir.Name{Namespace: "default", Name: "a"}, ir.Name{Namespace: "default", Name: "b"}
	none, failed := corev1.LoadBalancerStatus{}, &controller.Outcome{Generation: 1, Err: errors.New("forbidden")}
	cases := map[string]struct {
		reason    string
		has, want corev1.LoadBalancerStatus
		outcomes  outcomes
	}{
		"begin":      {"nothing was looked at", seven, seven, nil},
		"failed":     {"a look that failed has not seen that there is none", seven, seven, outcomes{first: failed}},
		"the other":  {"the first one's address goes before the other's", seven, seven, outcomes{second: seen(eight)}},
		"one of two": {"an address is better than none", none, eight, outcomes{first: failed, second: seen(eight)}},
		"seen":       {"what was looked at counts", seven, eight, outcomes{first: seen(eight)}},
		"without":    {"no fleet has one any more", seven, none, outcomes{first: seen(none), second: seen(none)}},
		"gone":       {"a fleet that is gone has none", seven, eight, outcomes{first: nil, second: seen(eight)}},
		"not all":    {"the second may have it", seven, seven, outcomes{first: seen(none)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := helloProxy()
			p.Status.LoadBalancer = tc.has
			s := statusesOf(t, p, edge(first, 1), edge(second, 1))
			// An earlier term of the process may have seen another address.
			s.settled(first, seen(balancerAt("192.0.2.1")))
			s.begin()
			for n, o := range tc.outcomes {
				s.settled(n, o)
			}
			got, ok := s.proxy(ir.Name{Namespace: "default", Name: "hello"})
			if diff := cmp.Diff(tc.want, got.LoadBalancer); !ok || diff != "" {
				t.Errorf("%s: written %t (-want, +got):\n%s", tc.reason, ok, diff)
			}
			if _, ok := s.fleet(second); ok != (tc.outcomes[second] != nil) {
				t.Errorf("the status of a fleet is known: %t", ok)
			}
		})
	}
}

// A new leader wrote every HTTPProxy twice.
func TestATermWritesNothingThatIsRight(t *testing.T) {
	fleet, other := ir.Name{Namespace: "default", Name: "a"}, helloProxy()
	other.Name, other.Spec.VirtualHost.Fqdn = "other", "other.test"
	hello := helloProxy()
	s := statusesOf(t, hello, other, edge(fleet, 1))
	hello.Status, _ = s.proxy(ir.Name{Namespace: "default", Name: "hello"})
	hello.Status.LoadBalancer = balancerAt("192.0.2.7")
	if err := s.options.Client.Update(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	written := make(chan string, 100)
	inner, ok := s.options.Client.(client.WithWatch)
	if !ok {
		t.Fatal("the client cannot be watched")
	}
	s.options.Client = interceptor.NewClient(inner, interceptor.Funcs{SubResourceApply: func(
		_ context.Context, _ client.Client, _ string, o runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption,
	) error {
		text, err := json.Marshal(o)
		written <- string(text)
		return err
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	await := func(part string) {
		t.Helper()
		for {
			select {
			case x := <-written:
				if strings.Contains(x, `"name":"hello"`) {
					t.Errorf("written: %s", x)
				}
				if strings.Contains(x, `"name":"other"`) && strings.Contains(x, part) {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("a status with %s is not written", part)
			}
		}
	}
	await("valid")
	s.settled(fleet, seen(balancerAt("192.0.2.7")))
	await("192.0.2.7")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What a term has not seen of a fleet is looked at when it is seen, though it may
// be that there is nothing.
func TestProxiesAreLookedAtOnceTheFleetIsSeen(t *testing.T) {
	fleet, end := ir.Name{Namespace: "default", Name: "a"}, ir.Name{Name: "end"}
	cases := map[string]struct {
		reason   string
		outcomes []*controller.Outcome
		want     []bool
	}{
		"first look": {"that there is no address is news once", []*controller.Outcome{{Seen: true}, {Seen: true}}, []bool{true, false}},
		"after failures": {"a failure is no news", []*controller.Outcome{
			{Err: errors.New("a")}, {Err: errors.New("b")}, {Seen: true},
		}, []bool{false, false, true}},
		"gone": {"a fleet that is gone without having been seen", []*controller.Outcome{nil, nil}, []bool{true, false}},
		"address": {"another address is news, and none that a look has missed", []*controller.Outcome{
			seen(balancerAt("192.0.2.7")), seen(balancerAt("192.0.2.8")), {Err: errors.New("a")}, seen(balancerAt("192.0.2.8")),
		}, []bool{true, true, false, false}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := statusesOf(t, helloProxy(), edge(fleet, 1))
			looks := make(chan ir.Name, 100)
			s.options.HTTPProxy = func(n ir.Name) (contourv1.HTTPProxyStatus, bool) {
				looks <- n
				return contourv1.HTTPProxyStatus{}, false
			}
			s.options.Workers = 1 // which looks in the order of the touches
			w := status.New(s.options)
			s.writer.Store(w)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			for i, o := range tc.outcomes {
				s.settled(fleet, o)
				s.touch(status.HTTPProxy, end)
				looked := false
				for n := <-looks; n != end; n = <-looks {
					looked = true
				}
				if looked != tc.want[i] {
					t.Errorf("%s: outcome %d: looked at: %t", tc.reason, i, looked)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func balancerAt(ip string) corev1.LoadBalancerStatus {
	return corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: ip}}}
}

func seen(b corev1.LoadBalancerStatus) *controller.Outcome {
	return &controller.Outcome{Generation: 1, Seen: true, LoadBalancer: b}
}

func helloProxy() *contourv1.HTTPProxy {
	return &contourv1.HTTPProxy{
		APIVersion: contourv1.GroupVersion.String(), Kind: "HTTPProxy", Namespace: "default", Name: "hello", Generation: 1,
		Spec: contourv1.HTTPProxySpec{VirtualHost: &contourv1.VirtualHost{Fqdn: "hello.test"}, Routes: []contourv1.Route{
			{DirectResponsePolicy: &contourv1.HTTPDirectResponsePolicy{StatusCode: 200}},
		}},
	}
}

func edge(n ir.Name, generation int64) *v1alpha1.EnvoyFleet {
	return &v1alpha1.EnvoyFleet{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "EnvoyFleet", Namespace: n.Namespace, Name: n.Name, Generation: generation,
	}
}

// statusesOf has translated objects, which an API server has too.
func statusesOf(t *testing.T, objects ...client.Object) *statuses {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	p := pipeline.New(pipeline.Options{XDS: xds.New(xds.Options{}), Each: fleetSpec, Gateway: gatewaySpec, Log: logr.Discard()})
	s := newStatuses(c, c, logr.Discard())
	s.serve(p, xds.New(xds.Options{}), nil)
	s.committed(p.Once(source.Batch{Changed: objects, Complete: true}, time.Now()))
	return s
}

// A restart with 5,000 hosts wrote a fleet's status twice: without its Envoys, and
// with them when they were back.
func TestEnvoysThatMayComeBackAreCounted(t *testing.T) {
	cases := map[string]struct {
		reason        string
		seen, written envoyCount
		term          time.Duration
		want          envoyCount
	}{
		"restart":         {"the Envoys have not come back yet", envoyCount{}, envoyCount{3, 3}, time.Second, envoyCount{3, 3}},
		"on the way":      {"one is back, and has acknowledged nothing", envoyCount{1, 0}, envoyCount{3, 3}, time.Second, envoyCount{3, 3}},
		"more than were":  {"what is seen is told at once", envoyCount{4, 4}, envoyCount{3, 2}, time.Second, envoyCount{4, 4}},
		"never come back": {"they had their time", envoyCount{1, 1}, envoyCount{3, 3}, reconnecting, envoyCount{1, 1}},
		"in the term":     {"an Envoy that goes later is missed at once", envoyCount{2, 2}, envoyCount{3, 3}, time.Hour, envoyCount{2, 2}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := counted(tc.seen, tc.written, tc.term); got != tc.want {
				t.Errorf("%s: %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

// A restart with 5,000 hosts wrote that a fleet is not accepted, and took it back
// when the first revision was there.
func TestNoStatusOfAFleetBeforeItIsTranslated(t *testing.T) {
	p := pipeline.New(pipeline.Options{XDS: xds.New(xds.Options{}), Each: fleetSpec, Gateway: gatewaySpec, Log: logr.Discard()})
	s := newStatuses(nil, nil, logr.Discard())
	s.serve(p, xds.New(xds.Options{}), nil)
	n := ir.Name{Namespace: "default", Name: "edge"}
	s.outcomes[n] = &controller.Outcome{Generation: 1}
	batch := func(generation int64) source.Batch {
		return source.Batch{Changed: []client.Object{edge(n, generation)}, Complete: true}
	}
	p.Apply(batch(1)) // and nobody translates it
	if got, ok := s.fleet(n); ok {
		t.Errorf("not translated: %+v", got)
	}
	p.Once(batch(2), time.Now())
	got, ok := s.fleet(n)
	if c := meta.FindStatusCondition(got.Conditions, string(reason.ConditionAccepted)); !ok || c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("translated (written: %t): %+v", ok, got)
	}
}

// A Gateway is programmed when it can be reached as it is asked for.
func TestUnprogrammed(t *testing.T) {
	has := func(values ...string) *controller.Outcome {
		o := &controller.Outcome{}
		for _, v := range values {
			o.Addresses = append(o.Addresses, v1alpha1.Address{Type: v1alpha1.IPAddress, Value: v})
		}
		return o
	}
	cases := map[string]struct {
		reason  string
		outcome *controller.Outcome
		asked   []string
		want    reason.Reason
	}{
		"reached":    {"any address will do", has("192.0.2.1"), nil, ""},
		"as asked":   {"among others", has("192.0.2.1", "192.0.2.2"), []string{"192.0.2.2"}, ""},
		"no address": {"the load balancer has not answered yet", has(), nil, reason.AddressNotAssigned},
		"not asked":  {"all that are asked for must be had", has("192.0.2.1"), []string{"192.0.2.1", "192.0.2.9"}, reason.AddressNotUsable},
		"none asked": {"what is asked for is named before what is missing", has(), []string{"192.0.2.9"}, reason.AddressNotUsable},
		"failed":     {"the objects go first", &controller.Outcome{Err: errors.New("no")}, nil, reason.ProvisioningFailed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got, message := unprogrammed(tc.outcome, tc.asked); got != tc.want || (got == "") != (message == "") {
				t.Errorf("%s: %q (%s), want %q", tc.reason, got, message, tc.want)
			}
		})
	}
}

// The version of the CRDs is judged by its minor release.
func TestSupportedVersion(t *testing.T) {
	cases := map[string]struct {
		reason string
		bundle bundle
		want   string
	}{
		"same":   {"the one that Signet is built with", bundle{version: "v1.7.0"}, "True SupportedVersion"},
		"patch":  {"a patch changes no field", bundle{version: "v1.7.3"}, "True SupportedVersion"},
		"newer":  {"what it has more is not known", bundle{version: "v1.8.0"}, "False UnsupportedVersion"},
		"longer": {"1.70 is not 1.7", bundle{version: "v1.70.0"}, "False UnsupportedVersion"},
		"none":   {"CRDs that do not say are not trusted", bundle{}, "False UnsupportedVersion"},
		"unread": {"it is not known", bundle{err: errNotRead}, "Unknown Pending"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if state, why, _ := tc.bundle.judge(); string(state)+" "+why != tc.want {
				t.Errorf("%s: %s %s, want %s", tc.reason, state, why, tc.want)
			}
		})
	}
}

// What a Gateway's status says of itself is written at once; what it counts can
// wait.
func TestCountsOnly(t *testing.T) {
	status := func(name string, routes int32, reason string) gatewayv1.GatewayStatus {
		return gatewayv1.GatewayStatus{Listeners: []gatewayv1.ListenerStatus{{
			Name: gatewayv1.SectionName(name), AttachedRoutes: routes, Conditions: []metav1.Condition{{Type: "Accepted", Reason: reason}},
		}}}
	}
	cases := map[string]struct {
		reason string
		is     gatewayv1.GatewayStatus
		want   bool
	}{
		"number":    {"only the routes have changed", status("http", 2, "Accepted"), true},
		"condition": {"a condition is news", status("http", 2, "PortUnavailable"), false},
		"listener":  {"so is a listener", status("https", 1, "Accepted"), false},
		"fewer":     {"and one that is gone", gatewayv1.GatewayStatus{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			was := status("http", 1, "Accepted")
			if got := countsOnly(was, tc.is); got != tc.want {
				t.Errorf("%s: %t", tc.reason, got)
			}
			if was.Listeners[0].AttachedRoutes != 1 {
				t.Error("a status that was committed was changed")
			}
		})
	}
}
