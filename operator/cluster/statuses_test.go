package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
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
	edge := func(generation int64) source.Batch {
		return source.Batch{Changed: []client.Object{&v1alpha1.EnvoyFleet{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "EnvoyFleet",
			Namespace: n.Namespace, Name: n.Name, Generation: generation,
		}}, Complete: true}
	}
	p.Apply(edge(1)) // and nobody translates it
	if got, ok := s.fleet(n); ok {
		t.Errorf("not translated: %+v", got)
	}
	p.Once(edge(2), time.Now())
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
