package status

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/apiserver"
	"github.com/signetproxy/signet/translator/ir"
)

// many is more than there are workers.
const many = 200

func valid(message string) contourv1.HTTPProxyStatus {
	return contourv1.HTTPProxyStatus{
		CurrentStatus: "valid", Description: message,
		Conditions: []contourv1.DetailedCondition{{
			Type: "Valid", Status: metav1.ConditionTrue, ObservedGeneration: 1, Reason: "Valid", Message: message,
		}},
	}
}

// A real API server shows what is written, and what is not.
func TestWriter(t *testing.T) {
	server, err := apiserver.Start(apiserver.EnvoyFleets, apiserver.HTTPProxies)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{contourv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		p := &contourv1.HTTPProxy{Namespace: "default", Name: fmt.Sprintf("p%d", i)}
		p.Spec.IngressClassName = "x"
		if err := c.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	want := &wanted{statuses: map[ir.Name]contourv1.HTTPProxyStatus{}}
	lead := func(touch func(w *Writer)) { run(t, c, want, touch) }
	all := func(w *Writer) {
		for i := range many {
			w.look(item{HTTPProxy, name(i)})
		}
	}
	for i := range many {
		want.put(name(i), valid("one"))
	}
	lead(all)
	first := read(t, c, 0)
	if first.Status.Description != "one" || len(first.Status.Conditions) != 1 || first.Status.Conditions[0].LastTransitionTime.IsZero() {
		t.Fatalf("status after the first leader: %+v", first.Status)
	}
	// A foreign condition, and a foreign controller's write of ours.
	first.Status.Conditions = append(first.Status.Conditions, contourv1.DetailedCondition{
		Type: "Theirs", Status: metav1.ConditionTrue, Reason: "Theirs", LastTransitionTime: metav1.Now(),
	})
	if err := c.Status().Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	versions := map[int]string{}
	for i := range many {
		versions[i] = read(t, c, i).ResourceVersion
	}
	want.put(name(1), valid("two"))
	lead(all) // the next leader looks at everything
	for i := range many {
		if written := read(t, c, i).ResourceVersion != versions[i]; written != (i == 1) {
			t.Errorf("p%d was written: %t, want %t", i, written, i == 1)
		}
	}
	one := read(t, c, 1)
	if one.Status.Description != "two" {
		t.Errorf("description: %q, want two", one.Status.Description)
	}
	// What is written of ours leaves theirs.
	invalid := valid("three")
	invalid.CurrentStatus, invalid.Conditions[0].Status = "invalid", metav1.ConditionFalse
	invalid.LoadBalancer = corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}
	want.put(name(0), invalid)
	lead(all)
	var types []string
	got := read(t, c, 0)
	for i := range got.Status.Conditions {
		types = append(types, got.Status.Conditions[i].Type+" "+string(got.Status.Conditions[i].Status))
	}
	if diff := cmp.Diff([]string{"Valid False", "Theirs True"}, types); diff != "" {
		t.Errorf("conditions (-want, +got):\n%s", diff)
	}
	if len(got.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("load balancer: %+v, want one address", got.Status.LoadBalancer)
	}
	// What is ours goes when it is not wanted any more.
	want.put(name(0), valid("four"))
	lead(all)
	if got := read(t, c, 0); len(got.Status.LoadBalancer.Ingress) != 0 || got.Status.Description != "four" {
		t.Errorf("status without a load balancer: %+v", got.Status)
	}
	// What is not ours, and what is gone, is no error and no write.
	want.remove(name(2))
	if err := c.Delete(t.Context(), read(t, c, 3)); err != nil {
		t.Fatal(err)
	}
	lead(all)
	fleetLosesItsCertificate(t, c, want)
	flipWhileTheCacheIsBehind(t, c, want)
}

// A status that went from one to two and back to one before the cache had shown
// two was compared with the one of before: nothing was written, and two stayed
// for good. An API server that was away made it last.
func flipWhileTheCacheIsBehind(t *testing.T, c client.Client, want *wanted) {
	t.Helper()
	want.put(name(5), valid("one"))
	run(t, c, want, func(w *Writer) { w.look(item{HTTPProxy, name(5)}) })
	behind := &frozen{Reader: c, proxy: read(t, c, 5)}
	w := New(Options{Client: c, Reader: behind, HTTPProxy: want.get, Log: testr.New(t)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for range 1000 {
			if ok() {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Errorf("%s: %q stands", what, read(t, c, 5).Status.Description)
	}
	want.put(name(5), valid("two"))
	w.Touch(HTTPProxy, name(5))
	until("the first write", func() bool { return read(t, c, 5).Status.Description == "two" })
	want.put(name(5), valid("one"))
	w.Touch(HTTPProxy, name(5))
	until("a look at the cache", func() bool { return behind.looks() > 2 })
	behind.thaw()
	until("the way back", func() bool { return read(t, c, 5).Status.Description == "one" })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// frozen is a cache that shows an HTTPProxy as it was, until it is thawed.
type frozen struct {
	client.Reader
	mu    sync.Mutex
	proxy *contourv1.HTTPProxy
	seen  int
}

func (f *frozen) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if p, ok := o.(*contourv1.HTTPProxy); ok && f.proxy != nil {
		f.proxy.DeepCopyInto(p)
		return nil
	}
	return f.Reader.Get(ctx, key, o, opts...)
}

func (f *frozen) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proxy = nil
}

func (f *frozen) looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// What an EnvoyFleet does not have any more goes from its status.
func fleetLosesItsCertificate(t *testing.T, c client.Client, want *wanted) {
	t.Helper()
	f := &v1alpha1.EnvoyFleet{Namespace: "default", Name: "edge"}
	if err := c.Create(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	full := v1alpha1.EnvoyFleetStatus{
		ObservedGeneration: 1, Envoys: &v1alpha1.EnvoyCounts{Connected: 1},
		Addresses:         []v1alpha1.Address{{Type: v1alpha1.IPAddress, Value: "192.0.2.7"}},
		ClientCertificate: &v1alpha1.ClientCertificateStatus{Secret: "a/b", Fingerprint: "f", NotAfter: new(metav1.NewTime(time.Unix(9, 0)))},
		Conditions:        []metav1.Condition{{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Accepted"}},
	}
	bare := full
	bare.ClientCertificate, bare.Addresses = nil, nil
	for _, s := range []v1alpha1.EnvoyFleetStatus{full, bare, full} {
		want.fleet = &s
		run(t, c, want, func(w *Writer) { w.look(item{EnvoyFleet, ir.Name{Namespace: "default", Name: "edge"}}) })
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(f), f); err != nil {
			t.Fatal(err)
		}
		got := f.Status
		for i := range got.Conditions {
			got.Conditions[i].LastTransitionTime = metav1.Time{}
		}
		if diff := cmp.Diff(s, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) })); diff != "" {
			t.Errorf("status (-want, +got):\n%s", diff)
		}
	}
}

// run leads until everything that was touched was looked at.
func run(t *testing.T, c client.Client, want *wanted, touch func(*Writer)) {
	t.Helper()
	w := New(Options{
		Client: c, Reader: c, HTTPProxy: want.get, Log: testr.New(t),
		EnvoyFleet: func(ir.Name) (v1alpha1.EnvoyFleetStatus, bool) { return *want.fleet, true },
	})
	touch(w)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	// A queue that shuts down by draining ends when all that was taken is done.
	w.many.ShutDownWithDrain()
	w.few.ShutDownWithDrain()
	if err := <-done; err != nil {
		t.Error(err)
	}
	cancel()
}

// wanted are the statuses that objects should have.
type wanted struct {
	mu       sync.Mutex
	statuses map[ir.Name]contourv1.HTTPProxyStatus
	fleet    *v1alpha1.EnvoyFleetStatus
}

func (w *wanted) put(n ir.Name, s contourv1.HTTPProxyStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses[n] = s
}

func (w *wanted) remove(n ir.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.statuses, n)
}

func (w *wanted) get(n ir.Name) (contourv1.HTTPProxyStatus, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.statuses[n]
	return s, ok
}

func name(i int) ir.Name { return ir.Name{Namespace: "default", Name: fmt.Sprintf("p%d", i)} }

func read(t *testing.T, c client.Client, i int) *contourv1.HTTPProxy {
	t.Helper()
	p := &contourv1.HTTPProxy{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: fmt.Sprintf("p%d", i)}, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFleetIsWrittenOnlyWhenItDiffers(t *testing.T) {
	then, now := metav1.NewTime(time.Unix(1, 0)), metav1.NewTime(time.Unix(9, 0))
	c := func(kind, status, message string, at metav1.Time) metav1.Condition {
		return metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(status), Reason: "R", Message: message, LastTransitionTime: at,
		}
	}
	status := func(c ...metav1.Condition) v1alpha1.EnvoyFleetStatus { return v1alpha1.EnvoyFleetStatus{Conditions: c} }
	cases := map[string]struct {
		reason     string
		have, want v1alpha1.EnvoyFleetStatus
		differs    bool
		at         metav1.Time
	}{
		"same":          {"times are not asked for", status(c("A", "True", "m", then)), status(c("A", "True", "m", metav1.Time{})), false, then},
		"other message": {"no transition: the time stays", status(c("A", "True", "m", then)), status(c("A", "True", "n", metav1.Time{})), true, then},
		"other status":  {"a transition", status(c("A", "True", "m", then)), status(c("A", "False", "m", metav1.Time{})), true, now},
		"first":         {"nothing was there", status(), status(c("A", "True", "m", metav1.Time{})), true, now},
		"foreign":       {"theirs is not ours to compare", status(c("B", "True", "m", then), c("A", "True", "m", then)), status(c("A", "True", "m", metav1.Time{})), false, then},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, differs := fleet(&tc.have, &tc.want, now)
			if differs != tc.differs || !got.Conditions[0].LastTransitionTime.Equal(&tc.at) {
				t.Errorf("differs %t at %v, want %t at %v: %s", differs, got.Conditions[0].LastTransitionTime, tc.differs, tc.at, tc.reason)
			}
		})
	}
}
