package standalone

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/issuer"
	"github.com/signetproxy/signet/translator/ir"
)

// office issues as the policy says, and keeps what it has issued in memory.
type office struct {
	t      *testing.T
	state  certificate.State
	pairs  map[ir.Name]*certificate.KeyPair
	issued atomic.Int32
	asked  atomic.Int32
	fail   error
	// late is why what it has issued is not renewed.
	late error
}

func newOffice(t *testing.T) *office {
	t.Helper()
	s, _, err := certificate.SettleAuthority(certificate.State{}, time.Now(), certificate.ClientPolicy())
	if err != nil {
		t.Fatal(err)
	}
	return &office{t: t, state: s, pairs: map[ir.Name]*certificate.KeyPair{}}
}

// Client implements clients.
func (o *office) Client(_ context.Context, n ir.Name, r certificate.ClientRequest) (issuer.Client, error) {
	o.asked.Add(1)
	if o.fail != nil {
		return issuer.Client{}, o.fail
	}
	if o.late == nil && certificate.ClientDue(o.pairs[n], r, o.state.Signing, time.Now(), certificate.ClientPolicy()) != "" {
		pair, err := o.state.Signing.Client(r, time.Now(), certificate.ClientPolicy())
		if err != nil {
			o.t.Fatal(err)
		}
		o.pairs[n] = pair
		o.issued.Add(1)
	}
	return issuer.Client{
		KeyPair: o.pairs[n], AuthoritiesPEM: o.state.TrustPEM(), Renewal: certificate.ClientRenewal(o.pairs[n], r), Problem: o.late,
	}, nil
}

func asking(name, secret string) *v1alpha1.EnvoyFleet {
	return &v1alpha1.EnvoyFleet{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "EnvoyFleet",
		Namespace: "default", Name: name,
		Spec: v1alpha1.EnvoyFleetSpec{UpstreamTLS: &v1alpha1.UpstreamTLS{ClientCertificate: &v1alpha1.ClientCertificate{
			Issued: &v1alpha1.IssuedCertificate{SecretName: secret, Lifetime: metav1.Duration{Duration: time.Hour}},
		}}},
	}
}

func folderSecret(name string) *corev1.Secret {
	return &corev1.Secret{
		APIVersion: "v1", Kind: "Secret",
		Namespace: "default", Name: name,
	}
}

// told is a batch in words.
type told struct{ Changed, Deleted, Problems []string }

func tell(b source.Batch) told {
	var out told
	for _, o := range b.Changed {
		out.Changed = append(out.Changed, source.KeyOf(o).String())
	}
	for _, k := range b.Deleted {
		out.Deleted = append(out.Deleted, k.String())
	}
	for _, p := range b.Problems {
		out.Problems = append(out.Problems, p.Object+" "+p.Field)
	}
	return out
}

// The Secret follows the EnvoyFleet that asks for it, and gives way to one of the
// folder's.
func TestIssuedSecretFollows(t *testing.T) {
	o := newOffice(t)
	s := newIssuing(nil, o)
	step := func(what string, b source.Batch, want told) {
		t.Helper()
		if diff := cmp.Diff(want, tell(s.extend(t.Context(), b))); diff != "" {
			t.Errorf("%s (-want, +got):\n%s", what, diff)
		}
	}
	changed := func(list ...client.Object) source.Batch { return source.Batch{Changed: list} }
	deleted := func(o client.Object) source.Batch { return source.Batch{Deleted: []source.Key{source.KeyOf(o)}} }
	const foreign = "EnvoyFleet default/edge spec.upstreamTLS.clientCertificate.issued.secretName"

	step("no EnvoyFleet", changed(folderSecret("other")), told{Changed: []string{"Secret default/other"}})
	step("it asks", changed(asking("edge", "")), told{Changed: []string{"EnvoyFleet default/edge", "Secret default/edge-client"}})
	if got := s.renewal(ir.Name{Namespace: "default", Name: "edge"}); time.Until(got) > time.Hour || time.Until(got) < 30*time.Minute {
		t.Errorf("it is renewed at %s", got)
	}
	step("nothing new", changed(asking("edge", "")), told{Changed: []string{"EnvoyFleet default/edge"}})
	step("another that comes later shapes nothing", changed(asking("front", "")), told{Changed: []string{"EnvoyFleet default/front"}})
	step("another Secret", changed(asking("edge", "mine")), told{
		Changed: []string{"EnvoyFleet default/edge", "Secret default/mine"}, Deleted: []string{"Secret default/edge-client"},
	})
	step("a Secret of the folder's", changed(folderSecret("mine")), told{Changed: []string{"Secret default/mine"}, Problems: []string{foreign}})
	if got := s.renewal(ir.Name{Namespace: "default", Name: "edge"}); !got.IsZero() {
		t.Errorf("what is not Signet's is renewed at %s", got)
	}
	step("it is gone", deleted(folderSecret("mine")), told{Changed: []string{"Secret default/mine"}})
	o.fail = errors.New("disk full")
	step("it cannot be kept", changed(asking("edge", "mine")), told{
		Changed: []string{"EnvoyFleet default/edge"}, Problems: []string{"EnvoyFleet default/edge spec.upstreamTLS.clientCertificate.issued"},
	})
	step("nor be issued", changed(asking("edge", "third")), told{
		Changed: []string{"EnvoyFleet default/edge"}, Deleted: []string{"Secret default/mine"},
		Problems: []string{"EnvoyFleet default/edge spec.upstreamTLS.clientCertificate.issued"},
	})
	o.fail = nil
	step("it can", changed(asking("edge", "third")), told{Changed: []string{"EnvoyFleet default/edge", "Secret default/third"}})
	step("the first is gone", deleted(asking("edge", "")), told{
		Changed: []string{"Secret default/front-client"}, Deleted: []string{"EnvoyFleet default/edge", "Secret default/third"},
	})
	quiet := asking("front", "")
	quiet.Spec.UpstreamTLS = nil
	step("nobody asks", changed(quiet), told{Changed: []string{"EnvoyFleet default/front"}, Deleted: []string{"Secret default/front-client"}})
}

// What is stored and good is presented by a new run too when it cannot be renewed,
// with the reason on the EnvoyFleet, and it is tried again each minute.
func TestStoredCertificateIsGivenWithItsProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		newIssuing(nil, o).extend(t.Context(), source.Batch{Changed: []client.Object{asking("edge", "")}})
		time.Sleep(50 * time.Minute) //nolint:forbidigo // the time of the bubble
		o.late = errors.New("disk full")
		o.asked.Store(0)
		batches := make(chan source.Batch, 8)
		s := newIssuing(silent{source.Batch{Changed: []client.Object{asking("edge", "")}, Complete: true}}, o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, source.SinkFunc(func(b source.Batch) { batches <- b })) }()
		b := <-batches
		if diff := cmp.Diff(told{
			Changed:  []string{"EnvoyFleet default/edge", "Secret default/edge-client"},
			Problems: []string{"EnvoyFleet default/edge spec.upstreamTLS.clientCertificate.issued"},
		}, tell(b)); diff != "" {
			t.Errorf("-want, +got:\n%s", diff)
		}
		if len(b.Problems) == 1 && b.Problems[0].Message != "disk full" {
			t.Errorf("the problem is %q", b.Problems[0].Message)
		}
		time.Sleep(5*time.Minute + time.Second) //nolint:forbidigo // the time of the bubble
		synctest.Wait()
		if n := o.asked.Load(); n != 6 {
			t.Errorf("it was tried %d times in five minutes, want one a minute", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Problems of the folder are not lost behind those of issuing.
func TestProblemsAreJoined(t *testing.T) {
	o := newOffice(t)
	o.fail = errors.New("disk full")
	s := newIssuing(nil, o)
	s.extend(t.Context(), source.Batch{Changed: []client.Object{asking("edge", "")}})
	b := s.extend(t.Context(), source.Batch{Problems: []source.Problem{{Object: "Service default/web"}}})
	if diff := cmp.Diff([]string{
		"Service default/web ", "EnvoyFleet default/edge spec.upstreamTLS.clientCertificate.issued",
	}, tell(b).Problems); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// silent is a folder that never changes.
type silent struct{ first source.Batch }

// Run implements source.Source.
func (s silent) Run(ctx context.Context, sink source.Sink) error {
	sink.Apply(s.first)
	<-ctx.Done()
	return nil
}

// A certificate is renewed by time alone, while nothing else happens.
func TestCertificateIsRenewedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		s := newIssuing(silent{source.Batch{Changed: []client.Object{asking("edge", "")}, Complete: true}}, o)
		var (
			mu  sync.Mutex
			got []source.Batch
		)
		seen := func() ([]source.Batch, int) {
			mu.Lock()
			defer mu.Unlock()
			return got, int(o.issued.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- s.Run(ctx, source.SinkFunc(func(b source.Batch) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, b)
			}))
		}()
		time.Sleep(35 * time.Minute) //nolint:forbidigo // the time of the bubble
		synctest.Wait()
		if got, issued := seen(); len(got) != 1 || issued != 1 {
			t.Errorf("after 35 minutes: %d batches, %d certificates, want one of each", len(got), issued)
		}
		time.Sleep(90 * time.Minute) //nolint:forbidigo // the time of the bubble
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(got) != 4 || o.issued.Load() != 4 {
			t.Errorf("after two hours: %d batches, %d certificates, want 4 of each", len(got), o.issued.Load())
		}
		for _, b := range got {
			if !b.Complete {
				t.Error("a batch says that the folder is not complete")
			}
		}
	})
}
