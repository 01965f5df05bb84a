package standalone

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/issuer"
	"github.com/signetproxy/signet/translator/ir"
)

// lookAgain bounds the time between two looks at an issued certificate, for a
// machine that slept, and for what went wrong the last time.
const lookAgain = time.Minute

// clientFolder is where client certificates and their authority are kept.
func clientFolder(root string) string {
	if root == "" {
		if root = os.Getenv("XDG_STATE_HOME"); root == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "" // the issuer says so, if it is asked
			}
			root = filepath.Join(home, ".local", "state")
		}
		root = filepath.Join(root, "signet")
	}
	return filepath.Join(root, "standalone-clients")
}

// clients issues client certificates; issuer.Issuer does.
type clients interface {
	Client(ctx context.Context, secret ir.Name, r certificate.ClientRequest) (issuer.Client, error)
}

// issuing is a source with one Secret more than another source: the client
// certificate that the EnvoyFleet asks for, as the API server of a cluster would
// give it. It is given anew when it was renewed.
type issuing struct {
	inner  source.Source
	issuer clients
	clock  clock.Clock

	fleets map[ir.Name]*v1alpha1.EnvoyFleet
	// theirs are the Secrets of the inner source.
	theirs map[ir.Name]bool
	// given is the Secret that was added last; nil for none.
	given *corev1.Secret
	// read and ours are what is wrong with the inner source's documents, and with
	// what is to be issued.
	read, ours []source.Problem
	complete   bool
	// abandon ends the renewal that is under way; nil for none.
	abandon context.CancelFunc

	mu   sync.Mutex // guards what renewal reads
	of   ir.Name
	when time.Time
}

func newIssuing(inner source.Source, from clients) *issuing {
	return &issuing{
		inner: inner, issuer: from, clock: clock.RealClock{},
		fleets: map[ir.Name]*v1alpha1.EnvoyFleet{}, theirs: map[ir.Name]bool{},
	}
}

// renewal is when the certificate of an EnvoyFleet is replaced; zero for none.
func (s *issuing) renewal(fleet ir.Name) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != fleet {
		return time.Time{}
	}
	return s.when
}

// Run implements source.Source.
func (s *issuing) Run(ctx context.Context, sink source.Sink) error {
	var renewals sync.WaitGroup
	defer renewals.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended := make(chan source.Batch), make(chan error, 1)
	go func() {
		ended <- s.inner.Run(ctx, source.SinkFunc(func(b source.Batch) {
			select {
			case batches <- b:
			case <-ctx.Done():
			}
		}))
	}()
	// What is not issued because the end has come is not delivered as a problem.
	apply := func(b source.Batch) {
		if ctx.Err() == nil {
			sink.Apply(b)
		}
	}
	timer := s.clock.NewTimer(lookAgain)
	defer timer.Stop()
	renewed := make(chan answer)
	for {
		select {
		case err := <-ended:
			return err
		case b := <-batches:
			apply(s.extend(ctx, b))
		case <-timer.C():
			if !s.renew(ctx, &renewals, renewed) {
				timer.Reset(s.pause())
			}
		case a := <-renewed:
			if b, changed := s.renewedAs(a); changed {
				apply(b)
			}
			timer.Reset(s.pause())
		}
	}
}

// answer is what an issuer said to a renewal.
type answer struct {
	fleet, secret ir.Name
	client        issuer.Client
	err           error
	// abandoned says that something has changed since it was asked.
	abandoned func() bool
}

// renew asks for the certificate that is valid now, so that batches do not wait
// for it: what is there serves on. It returns false if there is nothing to ask for.
func (s *issuing) renew(ctx context.Context, running *sync.WaitGroup, to chan<- answer) bool {
	fleet, wanted := s.wanted()
	if wanted == (ir.Name{}) || s.theirs[wanted] {
		return false
	}
	request := certificate.Requested(fleet, issuedBy(s.fleets[fleet]))
	asking, cancel := context.WithCancel(ctx)
	s.abandon = cancel
	running.Go(func() {
		c, err := s.issuer.Client(asking, wanted, request)
		select {
		case to <- answer{fleet, wanted, c, err, func() bool { return asking.Err() != nil }}:
		case <-ctx.Done():
		}
	})
	return true
}

// renewedAs takes a renewal, unless something else was decided meanwhile.
func (s *issuing) renewedAs(a answer) (source.Batch, bool) {
	if a.abandoned() {
		return source.Batch{}, false
	}
	s.stopRenewal()
	return s.present(a.fleet, a.secret, a.client, a.err)
}

// stopRenewal lets go of the lock that a renewal holds.
func (s *issuing) stopRenewal() {
	if s.abandon != nil {
		s.abandon()
		s.abandon = nil
	}
}

// pause is the time until the certificate is to be looked at.
func (s *issuing) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	// One whose renewal is over could not be renewed.
	left := s.when.Sub(s.clock.Now())
	if left <= 0 {
		return lookAgain
	}
	return min(lookAgain, max(time.Second, left))
}

// extend adds to a batch what follows from it.
func (s *issuing) extend(ctx context.Context, b source.Batch) source.Batch {
	s.complete = s.complete || b.Complete
	if b.Problems != nil {
		s.read = b.Problems
		b.Problems = s.problems()
	}
	if !s.note(b) {
		return b
	}
	// The fleet is not to be without what it begins to ask for, so this is waited for.
	if more, changed := s.look(ctx); changed {
		return join(b, more)
	}
	return b
}

// note remembers what look reads, and says whether it may decide otherwise now.
func (s *issuing) note(b source.Batch) bool {
	found := false
	secrets := map[ir.Name]bool{}
	for _, o := range b.Changed {
		n := ir.Name{Namespace: o.GetNamespace(), Name: o.GetName()}
		switch o := o.(type) {
		case *v1alpha1.EnvoyFleet:
			s.fleets[n], found = o, true
		case *corev1.Secret:
			s.theirs[n], secrets[n] = true, true
		}
	}
	for _, k := range b.Deleted {
		n := ir.Name{Namespace: k.Namespace, Name: k.Name}
		switch k.Kind {
		case "EnvoyFleet":
			delete(s.fleets, n)
			found = true
		case "Secret":
			delete(s.theirs, n)
			secrets[n] = true
		}
	}
	_, wanted := s.wanted()
	return found || secrets[wanted] || s.given != nil && secrets[nameOf(s.given)]
}

// join lays a later batch over an earlier one: no object is in both lists.
func join(b, more source.Batch) source.Batch {
	in := slices.Contains[[]source.Key]
	var changed []source.Key
	for _, o := range more.Changed {
		changed = append(changed, source.KeyOf(o))
	}
	out := source.Batch{Changed: slices.Clone(b.Changed), Deleted: slices.Clone(b.Deleted), Problems: more.Problems, Complete: b.Complete}
	out.Deleted = slices.DeleteFunc(out.Deleted, func(k source.Key) bool { return in(changed, k) })
	out.Changed = append(out.Changed, more.Changed...)
	for _, k := range more.Deleted {
		if !in(out.Deleted, k) {
			out.Deleted = append(out.Deleted, k)
		}
	}
	return out
}

// look decides which Secret there is to be, and returns what differs from what
// was given.
func (s *issuing) look(ctx context.Context) (source.Batch, bool) {
	s.stopRenewal()
	fleet, wanted := s.wanted()
	switch {
	case wanted == (ir.Name{}):
		return s.settle(fleet, nil, time.Time{}, nil)
	case s.theirs[wanted]:
		return s.settle(fleet, nil, time.Time{}, problem(fleet, "secretName", "Secret "+wanted.String()+
			" is among the manifests and not Signet's, so it is presented as it is: name another Secret, or remove this one"))
	}
	c, err := s.issuer.Client(ctx, wanted, certificate.Requested(fleet, issuedBy(s.fleets[fleet])))
	return s.present(fleet, wanted, c, err)
}

// present settles what the issuer said.
func (s *issuing) present(fleet, wanted ir.Name, c issuer.Client, err error) (source.Batch, bool) {
	var ours []source.Problem
	secret, when, err := s.secretOf(wanted, c, err)
	if err != nil {
		ours = problem(fleet, "", err.Error())
	}
	return s.settle(fleet, secret, when, ours)
}

func (s *issuing) settle(fleet ir.Name, secret *corev1.Secret, when time.Time, ours []source.Problem) (source.Batch, bool) {
	s.mu.Lock()
	s.of, s.when = fleet, when
	s.mu.Unlock()
	return s.differ(secret, ours)
}

func (s *issuing) differ(secret *corev1.Secret, ours []source.Problem) (source.Batch, bool) {
	out := source.Batch{Complete: s.complete}
	if secret != nil && secret != s.given {
		out.Changed = append(out.Changed, secret)
	}
	if old := s.given; old != nil && (secret == nil || nameOf(old) != nameOf(secret)) && !s.theirs[nameOf(old)] {
		out.Deleted = append(out.Deleted, source.KeyOf(old))
	}
	changed := len(out.Changed)+len(out.Deleted) > 0 || !slices.Equal(ours, s.ours)
	s.given, s.ours = secret, ours
	out.Problems = s.problems()
	return out, changed
}

// problems are all; not nil, which would mean that they are as before.
func (s *issuing) problems() []source.Problem {
	out := make([]source.Problem, 0, len(s.read)+len(s.ours))
	out = append(out, s.read...)
	return append(out, s.ours...)
}

// wanted is the EnvoyFleet that shapes the folder's fleet, the first by namespace
// and name, and the Secret that it wants Signet to keep; zero for none.
func (s *issuing) wanted() (fleet, secret ir.Name) {
	for n := range s.fleets {
		if fleet == (ir.Name{}) || cmp.Or(cmp.Compare(n.Namespace, fleet.Namespace), cmp.Compare(n.Name, fleet.Name)) < 0 {
			fleet = n
		}
	}
	if i := issuedBy(s.fleets[fleet]); i != nil {
		return fleet, ir.Name{Namespace: fleet.Namespace, Name: i.Secret(fleet.Name)}
	}
	return fleet, ir.Name{}
}

func issuedBy(o *v1alpha1.EnvoyFleet) *v1alpha1.IssuedCertificate {
	if o == nil || o.Spec.UpstreamTLS == nil || o.Spec.UpstreamTLS.ClientCertificate == nil {
		return nil
	}
	return o.Spec.UpstreamTLS.ClientCertificate.Issued
}

// secretOf is the Secret with a certificate. With an error it is the stored one, or
// the one before, which serves on, if there is one.
func (s *issuing) secretOf(secret ir.Name, c issuer.Client, err error) (*corev1.Secret, time.Time, error) {
	before := s.given
	if before != nil && nameOf(before) != secret {
		before = nil
	}
	if err != nil {
		return before, time.Time{}, err
	}
	if before != nil && bytes.Equal(before.Data[corev1.TLSCertKey], c.KeyPair.CertificatePEM()) &&
		bytes.Equal(before.Data[corev1.ServiceAccountRootCAKey], c.AuthoritiesPEM) {
		return before, c.Renewal, c.Problem
	}
	key, err := c.KeyPair.KeyPEM()
	if err != nil {
		return before, time.Time{}, err
	}
	return &corev1.Secret{
		APIVersion: "v1", Kind: "Secret",
		Namespace: secret.Namespace, Name: secret.Name,
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey: c.KeyPair.CertificatePEM(), corev1.TLSPrivateKeyKey: key, corev1.ServiceAccountRootCAKey: c.AuthoritiesPEM,
		},
	}, c.Renewal, c.Problem
}

func problem(fleet ir.Name, field, message string) []source.Problem {
	at := "spec.upstreamTLS.clientCertificate.issued"
	if field != "" {
		at += "." + field
	}
	return []source.Problem{{Object: "EnvoyFleet " + fleet.String(), Field: at, Message: message, Severity: source.Error}}
}

func nameOf(s *corev1.Secret) ir.Name { return ir.Name{Namespace: s.Namespace, Name: s.Name} }
