package standalone

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/issuer"
	"github.com/signetproxy/signet/translator/ir"
)

// A Secret that nobody asks the issuer for is no reason to ask it: it may be slow.
func TestOtherSecretsAreNoReasonToIssue(t *testing.T) {
	o := newOffice(t)
	s := newIssuing(nil, o)
	other := folderSecret("other")
	for _, step := range []struct {
		what  string
		batch source.Batch
		asked int32
	}{
		{"the fleet asks", source.Batch{Changed: []client.Object{asking("edge", "")}}, 1},
		{"another Secret", source.Batch{Changed: []client.Object{other}}, 1},
		{"it is gone", source.Batch{Deleted: []source.Key{source.KeyOf(other)}}, 1},
		{"the folder has the one that is asked for", source.Batch{Changed: []client.Object{folderSecret("edge-client")}}, 1},
		{"it is gone", source.Batch{Deleted: []source.Key{source.KeyOf(folderSecret("edge-client"))}}, 2},
		{"the fleet is another", source.Batch{Changed: []client.Object{asking("edge", "")}}, 3},
	} {
		s.extend(t.Context(), step.batch)
		if n := o.asked.Load(); n != step.asked {
			t.Errorf("%s: asked %d times, want %d", step.what, n, step.asked)
		}
	}
}

// slow is an office that takes its time for a renewal.
type slow struct {
	*office
	hold chan struct{}
}

// Client implements clients.
func (o *slow) Client(ctx context.Context, n ir.Name, r certificate.ClientRequest) (issuer.Client, error) {
	if o.asked.Load() > 0 && o.hold != nil && n.Name == "edge-client" {
		select {
		case <-o.hold:
		case <-ctx.Done():
			return issuer.Client{}, ctx.Err()
		}
	}
	return o.office.Client(ctx, n, r)
}

// relay is a source that passes on.
type relay chan source.Batch

// Run implements source.Source.
func (r relay) Run(ctx context.Context, sink source.Sink) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-r:
			sink.Apply(b)
		}
	}
}

// renewal is a source whose fleet has a certificate that is being renewed.
type renewal struct {
	office *slow
	in     relay
	got    chan told
	end    func()
}

func renewing(t *testing.T) renewal {
	t.Helper()
	o := &slow{office: newOffice(t), hold: make(chan struct{})}
	in, got := make(relay), make(chan told, 16)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- newIssuing(in, o).Run(ctx, source.SinkFunc(func(b source.Batch) { got <- tell(b) }))
	}()
	in <- source.Batch{Changed: []client.Object{asking("edge", "")}, Complete: true}
	compareTold(t, "the fleet begins with its certificate", got,
		told{Changed: []string{"EnvoyFleet default/edge", "Secret default/edge-client"}})
	time.Sleep(45 * time.Minute) //nolint:forbidigo // the time of the bubble
	return renewal{o, in, got, func() {
		t.Helper()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the end waits for the renewal")
			close(o.hold)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}}
}

func compareTold(t *testing.T, what string, got chan told, want ...told) {
	t.Helper()
	synctest.Wait()
	var all []told
	for len(got) > 0 {
		all = append(all, <-got)
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("%s (-want, +got):\n%s", what, diff)
	}
}

// A renewal may take seconds: a long key, a disk that is busy, another process.
func TestRenewalHoldsUpNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := renewing(t)
		defer r.end()
		r.in <- source.Batch{Changed: []client.Object{folderSecret("other")}}
		compareTold(t, "while it is renewed", r.got, told{Changed: []string{"Secret default/other"}})
		close(r.office.hold)
		compareTold(t, "when it is there", r.got, told{Changed: []string{"Secret default/edge-client"}})
	})
}

func TestRenewalHoldsUpNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := renewing(t)
		r.end()
		compareTold(t, "at the end nothing is told", r.got)
	})
}

// A renewal of what is no longer asked for is given up, and neither presented nor
// waited for; the next one is on time.
func TestRenewalIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := renewing(t)
		defer r.end()
		r.in <- source.Batch{Changed: []client.Object{asking("edge", "mine")}}
		compareTold(t, "another Secret is asked for", r.got, told{
			Changed: []string{"EnvoyFleet default/edge", "Secret default/mine"}, Deleted: []string{"Secret default/edge-client"},
		})
		time.Sleep(45 * time.Minute) //nolint:forbidigo // the time of the bubble
		compareTold(t, "it is renewed", r.got, told{Changed: []string{"Secret default/mine"}})
	})
}
