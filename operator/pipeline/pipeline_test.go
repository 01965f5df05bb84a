package pipeline

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

var local = ir.Name{Namespace: "signet", Name: "test"}

func base() translator.FleetSpec {
	return translator.FleetSpec{
		Name: local, Selector: httpproxy.Selector{Fleet: local},
		Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: 8080}, {Name: "https", Address: "127.0.0.1", Port: 8443, TLS: true}},
	}
}

// batches is a source that delivers what it is sent.
type batches chan source.Batch

func (b batches) Run(ctx context.Context, sink source.Sink) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case x := <-b:
			sink.Apply(x)
		}
	}
}

// run starts a pipeline inside a synctest bubble.
func run(t *testing.T, committed func(*graph.Revision)) (*Pipeline, batches) {
	t.Helper()
	return runAt(t, nil, committed)
}

// runAt is run with a clock.
func runAt(t *testing.T, now func() time.Time, committed func(*graph.Revision)) (*Pipeline, batches) {
	t.Helper()
	in := make(batches)
	p := New(Options{
		Source: in, Fleet: base(), Log: testr.New(t), Committed: committed, Now: now,
		XDS: xds.New(xds.Options{Identity: func(*url.URL) (ir.Name, error) { return local, nil }}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p, in
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}

func validated() []client.Object {
	tls := "tls"
	return []client.Object{
		&corev1.Service{ObjectMeta: meta("b"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 443}}}},
		&contourv1.HTTPProxy{ObjectMeta: meta("p"), Spec: contourv1.HTTPProxySpec{
			VirtualHost: &contourv1.VirtualHost{Fqdn: "a.test"},
			Routes: []contourv1.Route{{Services: []contourv1.Service{{
				Name: "b", Port: 443, Protocol: &tls,
				UpstreamValidation: &contourv1.UpstreamValidation{CACertificate: "ca", SubjectName: "b.test"},
			}}}},
		}},
	}
}

func secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(name), Type: corev1.SecretTypeOpaque, Data: data}
}

func statusOf(p *Pipeline, name string) string {
	s, _ := p.Translator().ProxyStatuses.Get(p.Translator().Current().Reader(), ir.Name{Namespace: "default", Name: name})
	return s.CurrentStatus
}

// A certificate expires without an event: time alone changes the verdict.
func TestTimeAloneExpiresATrustBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ca, err := pki.NewAuthorityAt("brief", now.Add(-time.Hour), now.Add(90*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		p, in := run(t, nil)
		in <- source.Batch{Changed: append(validated(), secret("ca", map[string][]byte{"ca.crt": ca.PEM()})), Complete: true}
		synctest.Wait()
		if got := statusOf(p, "p"); got != "valid" {
			t.Fatalf("before it expires: %s, want valid", got)
		}
		time.Sleep(89 * time.Minute) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if got := statusOf(p, "p"); got != "valid" {
			t.Errorf("a minute before it expires: %s, want valid", got)
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if got := statusOf(p, "p"); got != "invalid" {
			t.Errorf("after it has expired: %s, want invalid", got)
		}
	})
}

// A certificate that becomes valid needs no event either.
func TestTimeAloneValidatesATrustBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ca, err := pki.NewAuthorityAt("later", now.Add(time.Hour), now.Add(48*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		p, in := run(t, nil)
		in <- source.Batch{Changed: append(validated(), secret("ca", map[string][]byte{"ca.crt": ca.PEM()})), Complete: true}
		synctest.Wait()
		if got := statusOf(p, "p"); got != "invalid" {
			t.Fatalf("before: %s, want invalid", got)
		}
		time.Sleep(time.Hour + time.Second) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if got := statusOf(p, "p"); got != "valid" {
			t.Errorf("after: %s, want valid", got)
		}
	})
}

// A certificate that was issued after the clock last moved was "not valid
// before" a moment that had passed: its routes answered 503 until the clock
// moved, some milliseconds later.
func TestACertificateYoungerThanTheClockIsValidAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := func() []byte {
			ca, err := pki.NewAuthorityAt("rotated", time.Now().Add(-time.Minute), time.Now().Add(48*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return ca.PEM()
		}
		pair := func() *corev1.Secret {
			ca, err := pki.NewAuthority("clients")
			if err != nil {
				t.Fatal(err)
			}
			issued, err := ca.Issue(pki.Leaf{CommonName: "client", NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(48 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			s := secret("client", map[string][]byte{"tls.crt": issued.CertPEM, "tls.key": issued.KeyPEM})
			s.Type = corev1.SecretTypeTLS
			return s
		}
		var revisions []string
		var p *Pipeline
		p, in := run(t, func(rev *graph.Revision) {
			s, _ := p.Translator().ProxyStatuses.Get(rev.Reader(), ir.Name{Namespace: "default", Name: "p"})
			revisions = append(revisions, s.CurrentStatus)
		})
		fleet := &v1alpha1.EnvoyFleet{ObjectMeta: meta("test")}
		fleet.Spec.UpstreamTLS = &v1alpha1.UpstreamTLS{ClientCertificate: &v1alpha1.ClientCertificate{
			SecretRef: &v1alpha1.SecretReference{Name: "client"},
		}}
		in <- source.Batch{
			Changed:  append(validated(), fleet, pair(), secret("ca", map[string][]byte{"ca.crt": authority()})),
			Complete: true,
		}
		for _, renewed := range []func() client.Object{
			func() client.Object { return pair() },
			func() client.Object { return secret("ca", map[string][]byte{"ca.crt": authority()}) },
		} {
			time.Sleep(10 * time.Minute) //nolint:forbidigo // the bubble's time
			synctest.Wait()
			in <- source.Batch{Changed: []client.Object{renewed()}}
			synctest.Wait()
		}
		if len(revisions) < 3 || slices.ContainsFunc(revisions, func(s string) bool { return s != "valid" }) {
			t.Errorf("statuses of the revisions: %q, want three or more that are valid", revisions)
		}
	})
}

// Half a folder must never be served: the other half would answer 404.
func TestNothingIsCommittedBeforeTheFirstListIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revisions int
		p, in := run(t, func(*graph.Revision) { revisions++ })
		objects := validated()
		in <- source.Batch{Changed: objects[:1]}
		synctest.Wait()
		if revisions != 0 || p.Translator().Current().Number() != 0 {
			t.Fatalf("%d revisions before the list is complete, want none", revisions)
		}
		in <- source.Batch{Changed: objects[1:], Complete: true}
		synctest.Wait()
		if revisions != 1 || statusOf(p, "p") == "" {
			t.Errorf("%d revisions, status %q, want one with both batches", revisions, statusOf(p, "p"))
		}
	})
}

// What other replicas know of refusals comes before the source's first list: nothing is
// served with it, and who is ready by then sends older replicas away too early.
func TestNothingIsServedBeforeTheFirstList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, in := run(t, nil)
		c := graph.NewChanges()
		p.Translator().Quarantine.Put(c, translator.RefusalKey{Fleet: local}, &translator.Refusal{Version: "1"})
		p.Translator().Submit(c)
		synctest.Wait()
		if n := p.Translator().Current().Number(); n != 1 || p.Served() != 0 {
			t.Errorf("revision %d is served %d, want 1 that is not", n, p.Served())
		}
		in <- source.Batch{Changed: validated(), Complete: true}
		synctest.Wait()
		if p.Served() != 2 {
			t.Errorf("revision %d is served, want 2", p.Served())
		}
	})
}

func TestFleetsShapeTheLocalFleet(t *testing.T) {
	fleet := func(name string, s v1alpha1.EnvoyFleetSpec) *v1alpha1.EnvoyFleet {
		return &v1alpha1.EnvoyFleet{ObjectMeta: meta(name), Spec: s}
	}
	strict := v1alpha1.EnvoyFleetSpec{UpstreamTLS: &v1alpha1.UpstreamTLS{RequireValidation: true}}
	refusal := source.Problem{Object: "EnvoyFleet default/a", Message: "unknown field", Severity: source.Error}
	cases := map[string]struct {
		reason  string
		batches []source.Batch
		want    translator.FleetSpec
	}{
		"none": {"the defaults serve", nil, base()},
		"one": {
			"it shapes the fleet, whose identity stays",
			[]source.Batch{{Changed: []client.Object{fleet("a", strict)}}},
			func() translator.FleetSpec { f := base(); f.Upstream.RequireValidation = true; return f }(),
		},
		"two": {
			"the first by name, whatever the order of arrival",
			[]source.Batch{{Changed: []client.Object{fleet("b", strict)}}, {Changed: []client.Object{fleet("a", v1alpha1.EnvoyFleetSpec{})}}},
			base(),
		},
		"gone": {
			"the defaults serve again",
			[]source.Batch{
				{Changed: []client.Object{fleet("a", strict)}},
				{Deleted: []source.Key{{GroupVersionKind: v1alpha1.GroupVersion.WithKind("EnvoyFleet"), Namespace: "default", Name: "a"}}},
			},
			base(),
		},
		"refused": {
			"what it asks for is not known, so TLS upstreams fail closed",
			[]source.Batch{{Problems: []source.Problem{refusal}}},
			func() translator.FleetSpec {
				f := base()
				f.Failure = "EnvoyFleet default/a was refused: unknown field"
				return f
			}(),
		},
		"refused after a good one": {
			"the last good one serves on",
			[]source.Batch{{Changed: []client.Object{fleet("a", strict)}}, {Problems: []source.Problem{refusal}}},
			func() translator.FleetSpec { f := base(); f.Upstream.RequireValidation = true; return f }(),
		},
		"refused and mended": {
			"nothing is left of the refusal",
			[]source.Batch{{Problems: []source.Problem{refusal}}, {Problems: []source.Problem{}}},
			base(),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := New(Options{Fleet: base()})
			rev := p.Once(source.Batch{}, time.Now())
			for _, b := range c.batches {
				rev = p.Once(b, time.Now())
			}
			got, ok := p.Translator().Fleets.Get(rev.Reader(), local)
			if !ok {
				t.Fatalf("%s: no fleet", c.reason)
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
			}
		})
	}
}

// Of two EnvoyFleets only one shapes the fleet, and the other is told so.
func TestASecondFleetIsReported(t *testing.T) {
	p := New(Options{Fleet: base()})
	p.Once(source.Batch{Changed: []client.Object{
		&v1alpha1.EnvoyFleet{ObjectMeta: meta("b")}, &v1alpha1.EnvoyFleet{ObjectMeta: meta("a")},
	}}, time.Now())
	var got []string
	for _, f := range p.Fleets() {
		got = append(got, strings.Join([]string{f.Object.Name, f.Fleet.Name, f.Chosen.Name}, " "))
	}
	if diff := cmp.Diff([]string{"a test a", "b  a"}, got); diff != "" {
		t.Errorf("name, fleet, chosen (-want, +got):\n%s", diff)
	}
}

// In a cluster each EnvoyFleet is a fleet, and a write of its status is none.
func TestEachFleetIsAFleet(t *testing.T) {
	p := New(Options{Each: func(*v1alpha1.EnvoyFleet) translator.FleetSpec { return base() }})
	fleet := func(name string, generation int64, class string) *v1alpha1.EnvoyFleet {
		f := &v1alpha1.EnvoyFleet{ObjectMeta: meta(name)}
		f.Generation = generation
		f.Spec.HTTPProxies = &v1alpha1.HTTPProxySelection{IngressClassNames: []string{class}}
		return f
	}
	state := func(rev *graph.Revision) []string {
		var out []string
		for n, s := range p.Translator().Fleets.All(rev.Reader()) {
			out = append(out, n.Name+":"+s.Selector.Fleet.Name+":"+strings.Join(s.Selector.IngressClassNames, ","))
		}
		return out
	}
	for _, step := range []struct {
		reason string
		batch  source.Batch
		want   []string
	}{
		{"none", source.Batch{}, nil},
		{"two", source.Batch{Changed: []client.Object{fleet("b", 1, "y"), fleet("a", 1, "x")}}, []string{"a:a:x", "b:b:y"}},
		{"same generation", source.Batch{Changed: []client.Object{fleet("a", 1, "z")}}, []string{"a:a:x", "b:b:y"}},
		{"next generation", source.Batch{Changed: []client.Object{fleet("a", 2, "z")}}, []string{"a:a:z", "b:b:y"}},
		{"one is gone", source.Batch{Deleted: []source.Key{source.KeyOf(withKind(fleet("a", 2, "z")))}}, []string{"b:b:y"}},
	} {
		if diff := cmp.Diff(step.want, state(p.Once(step.batch, time.Now()))); diff != "" {
			t.Errorf("%s: name, selector, classes (-want, +got):\n%s", step.reason, diff)
		}
	}
}

func withKind(f *v1alpha1.EnvoyFleet) *v1alpha1.EnvoyFleet {
	f.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(fleetKind))
	return f
}
