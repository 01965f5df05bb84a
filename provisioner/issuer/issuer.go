package issuer

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// Config is what an issuer needs.
type Config struct {
	// Folder is the issuer's own: it is made when it is first needed, and made
	// private (0700) whatever it was.
	Folder string
	// Policy of the authority; the zero one is certificate.ClientPolicy.
	Policy certificate.Policy
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log logr.Logger
}

// Issuer issues client certificates.
type Issuer struct {
	cfg Config
	// put writes a file; replace, but for tests.
	put putter
}

// Client is a client certificate that is valid now.
type Client struct {
	KeyPair *certificate.KeyPair
	// AuthoritiesPEM are what verifies it; in a rotation old and new together.
	AuthoritiesPEM []byte
	// Renewal is when it is replaced.
	Renewal time.Time
	// Problem is why something that is due could not be done, or nil: the
	// certificate is the stored one then, or the authority is.
	Problem error
}

// Files in the folder.
const (
	authorityFile = "client-authority.json"
	// AuthoritiesFile holds, as PEM, what verifies the client certificates.
	AuthoritiesFile = "client-authorities.pem"
)

// New makes an issuer; nothing is read or written before Client.
func New(cfg Config) *Issuer {
	if cfg.Policy == (certificate.Policy{}) {
		cfg.Policy = certificate.ClientPolicy()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Issuer{cfg: cfg, put: replace}
}

// Authorities is the path of the file that owners of backends need to verify
// client certificates; it is there once Client has returned one.
func (i *Issuer) Authorities() string { return filepath.Join(i.cfg.Folder, AuthoritiesFile) }

// Client returns the certificate of a Secret: the stored one, or one that is
// issued now because that is due. It does what is due for the authority too, so
// it is to be asked now and again, at [Client.Renewal] at the latest. If what is
// due cannot be done, a stored one that is good goes on: see [Client.Problem].
// When ctx ends it waits for nothing but the disk.
func (i *Issuer) Client(ctx context.Context, secret ir.Name, r certificate.ClientRequest) (out Client, err error) {
	f, err := open(ctx, i.cfg.Folder, i.put)
	if err != nil {
		return Client{}, err
	}
	defer func() { err = f.close(err) }()
	s, problem, err := i.authority(f)
	if err != nil {
		return Client{}, err
	}
	pair, late, err := i.pair(ctx, f, secret, r, &s)
	if err != nil {
		return Client{}, first(problem, err)
	}
	out = Client{KeyPair: pair, AuthoritiesPEM: s.TrustPEM(), Renewal: certificate.ClientRenewal(pair, r)}
	if problem = first(problem, late, f.problem); problem != nil {
		out.Problem = fmt.Errorf("the client certificate is presented until %s: %w",
			pair.Certificate().NotAfter.UTC().Format(time.RFC3339), problem)
	}
	return out, nil
}

// first returns the first error: it is the cause of the others.
func first(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// authority returns the authority, after what is due for it, and publishes what
// verifies certificates. With a problem it is the stored one.
func (i *Issuer) authority(f *folder) (s certificate.State, problem, err error) {
	data, err := f.read(authorityFile)
	if err != nil {
		return s, nil, err
	}
	if s, err = certificate.Decode(data); err != nil {
		return s, nil, fmt.Errorf("%w: %s: %w", ErrFolder, f.file(authorityFile), err)
	}
	next, problem := i.settle(f, s)
	if problem == nil {
		s = next
	}
	if s.Signing == nil {
		return s, nil, problem
	}
	return s, first(problem, i.publish(f, s.TrustPEM())), nil
}

// settle does what is due for the authority, and stores it.
func (i *Issuer) settle(f *folder, s certificate.State) (certificate.State, error) {
	next, done, err := certificate.SettleAuthority(s, i.cfg.Now(), i.cfg.Policy)
	if err != nil {
		return s, fmt.Errorf("the authority in %s: %w", f.file(authorityFile), err)
	}
	if len(done) == 0 {
		return s, nil
	}
	data, err := certificate.Encode(next)
	if err != nil {
		return s, fmt.Errorf("the authority in %s: %w", f.file(authorityFile), err)
	}
	if err := f.write(authorityFile, data); err != nil {
		return s, err
	}
	for _, d := range done {
		i.cfg.Log.Info("client authority", "action", d.Kind.String(), "reason", d.Reason)
	}
	return next, nil
}

func (i *Issuer) publish(f *folder, authorities []byte) error {
	have, err := f.text(AuthoritiesFile)
	if err != nil || bytes.Equal(have, authorities) {
		return err
	}
	if err := f.replace(AuthoritiesFile, authorities, publicMode); err != nil {
		return err
	}
	i.cfg.Log.Info("backends that verify the client certificate need these authorities", "file", i.Authorities())
	return nil
}

// pair returns the stored key pair, or a new one. What cannot be read is no loss:
// nothing else was signed by it. With a problem it is the stored one, which is due.
func (i *Issuer) pair(ctx context.Context, f *folder, secret ir.Name, r certificate.ClientRequest, s *certificate.State,
) (pair *certificate.KeyPair, problem, err error) {
	// A namespace has no dot.
	name := "client." + secret.Namespace + "." + secret.Name + ".json"
	data, err := f.read(name)
	if err != nil {
		i.cfg.Log.Info("a client certificate is issued anew: what is stored cannot be read", "file", f.file(name), "error", err.Error())
	}
	stored, err := certificate.ParseKeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		stored = nil
	}
	now := i.cfg.Now()
	why := certificate.ClientDue(stored, r, s.Signing, now, i.cfg.Policy)
	if why == "" {
		return stored, nil, nil
	}
	pair, err = i.issue(ctx, f, name, r, s)
	switch {
	case err != nil && certificate.ClientServes(stored, r, *s, now, i.cfg.Policy):
		return stored, err, nil
	case err != nil:
		return nil, nil, err
	}
	i.cfg.Log.Info("client certificate issued", "secret", secret.String(), "reason", why, "certificate", pair.String(),
		"authorities", i.Authorities())
	return pair, nil, nil
}

// issue makes a key pair and stores it.
func (i *Issuer) issue(ctx context.Context, f *folder, name string, r certificate.ClientRequest, s *certificate.State,
) (*certificate.KeyPair, error) {
	now := i.cfg.Now()
	if c := s.Signing.Certificate(); now.Before(c.NotBefore) || !now.Before(c.NotAfter) {
		return nil, fmt.Errorf("issue: %s is not valid now", s.Signing)
	}
	pair, err := interruptible(ctx, func() (*certificate.KeyPair, error) { return s.Signing.Client(r, now, i.cfg.Policy) })
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	return pair, f.write(name, map[string][]byte{corev1.TLSCertKey: pair.CertificatePEM(), corev1.TLSPrivateKeyKey: key})
}

// interruptible leaves sign behind when ctx ends: a long RSA key takes seconds, and
// what is left behind is but work of a processor.
func interruptible(ctx context.Context, sign func() (*certificate.KeyPair, error)) (*certificate.KeyPair, error) {
	type result struct {
		pair *certificate.KeyPair
		err  error
	}
	done := make(chan result, 1)
	go func() {
		pair, err := sign()
		done <- result{pair, err}
	}()
	var r result
	select {
	case <-ctx.Done():
	case r = <-done:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r.pair, r.err
}
