package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/kubernetes"
)

// Names of the objects in Signet's namespace.
const (
	// AuthoritySecret holds the authority of the fleets' identities and the
	// certificate of the xDS server.
	AuthoritySecret = "signet-authority"
	// ClientAuthoritySecret holds the authority of the client certificates.
	ClientAuthoritySecret = "signet-client-authority"
	// ClientAuthorities is the ConfigMap and the Secret that publish, in ca.crt,
	// what verifies client certificates: old and new together in a rotation.
	ClientAuthorities = "signet-client-authorities"
)

const (
	// lookAgain bounds the wait between two looks at the stored authorities.
	// It is far below the overlap of a rotation.
	lookAgain = 10 * time.Second
	// attempts to write a Secret that others write too.
	attempts = 5
)

// Authorities keeps two authorities in Secrets: one for who may speak xDS, one
// for the client certificates of fleets.
type Authorities struct {
	// Client has no cache: what is stored must not be stale.
	Client client.Client
	// Namespace is Signet's.
	Namespace string
	// Keeper hands the first one out to the xDS server.
	Keeper *certificate.Keeper
	// Changed is told by Keep when either of the two is another than at its last
	// look: what they have signed is then due.
	Changed func()
	Log     logr.Logger
	// Now is the clock.
	Now func() time.Time

	once   sync.Once
	loaded chan struct{}

	mu      sync.Mutex
	version string // of what Keeper has
	// held are the authorities as they were stored last, by the Secret's name.
	held map[string]certificate.State
}

// Loaded is closed when the xDS server has a certificate.
func (a *Authorities) Loaded() <-chan struct{} {
	a.once.Do(func() { a.loaded = make(chan struct{}) })
	return a.loaded
}

// Follow loads the stored authority into the Keeper, whenever it changes, until
// ctx ends. Every replica does.
func (a *Authorities) Follow(ctx context.Context) error {
	return a.repeat(ctx, func() error {
		// It is held, so that whoever leads next can restore it. Keep says what is
		// wrong with it.
		_, _, _ = a.read(ctx, ClientAuthoritySecret)
		return a.load(ctx)
	})
}

// Keep rotates both authorities and publishes the second, until ctx ends. The
// leader alone does.
func (a *Authorities) Keep(ctx context.Context) error {
	trusted := ""
	return a.repeat(ctx, func() error {
		if _, err := a.settle(ctx, AuthoritySecret, certificate.DefaultPolicy(), certificate.SettleStored); err != nil {
			return err
		}
		if err := a.load(ctx); err != nil {
			return err
		}
		clients, stored, err := a.read(ctx, ClientAuthoritySecret)
		if err != nil {
			return err
		}
		if _, held := a.last(ClientAuthoritySecret); held || stored.ResourceVersion != "" { // else nobody has asked for a client certificate
			if clients, err = a.Clients(ctx); err != nil {
				return err
			}
		}
		// The signing one is the first, so that a switch shows too.
		last := trusted
		trusted = string(a.Keeper.State().TrustPEM()) + string(clients.TrustPEM())
		if trusted != last && last != "" {
			a.Changed()
		}
		return nil
	})
}

// repeat does something now and again. What fails is logged and done again
// soon: a certificate that cannot be rotated now is still valid.
func (a *Authorities) repeat(ctx context.Context, do func() error) error {
	for {
		pause := lookAgain
		if err := do(); err != nil && ctx.Err() == nil {
			if !errors.Is(err, certificate.ErrStored) || a.isLoaded() {
				a.Log.Error(err, "authorities cannot be kept: it is tried again")
			}
			pause = time.Second
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (a *Authorities) isLoaded() bool {
	select {
	case <-a.Loaded():
		return true
	default:
		return false
	}
}

func (a *Authorities) load(ctx context.Context) error {
	s, stored, err := a.read(ctx, AuthoritySecret)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if stored.ResourceVersion != "" && stored.ResourceVersion == a.version {
		return nil
	}
	if err := a.Keeper.Load(s); err != nil {
		return fmt.Errorf("secret %s/%s: %w", a.Namespace, AuthoritySecret, err)
	}
	a.version = stored.ResourceVersion
	if !a.isLoaded() {
		close(a.loaded)
	}
	return nil
}

// Clients returns the authority of client certificates, made and published
// first if need be.
func (a *Authorities) Clients(ctx context.Context) (certificate.State, error) {
	s, err := a.settle(ctx, ClientAuthoritySecret, certificate.ClientPolicy(), certificate.SettleAuthority)
	if err != nil {
		return s, err
	}
	return s, a.publish(ctx, s.TrustPEM())
}

// read returns a stored state; a Secret that does not exist is the empty one.
func (a *Authorities) read(ctx context.Context, name string) (certificate.State, *corev1.Secret, error) {
	stored := &corev1.Secret{}
	err := a.Client.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: name}, stored)
	if apierrors.IsNotFound(err) {
		stored = &corev1.Secret{
			Namespace: a.Namespace, Name: name, Labels: map[string]string{kubernetes.LabelManagedBy: kubernetes.Manager},
		}
		return certificate.State{}, stored, nil
	}
	if err != nil {
		return certificate.State{}, nil, fmt.Errorf("read Secret %s/%s: %w", a.Namespace, name, err)
	}
	s, err := certificate.Decode(stored.Data)
	if err != nil {
		return s, nil, fmt.Errorf("secret %s/%s: %w", a.Namespace, name, err)
	}
	a.hold(name, s)
	return s, stored, nil
}

func (a *Authorities) hold(name string, s certificate.State) {
	if s.Signing == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		a.held = map[string]certificate.State{}
	}
	a.held[name] = s
}

// last returns an authority as it was stored last, if it ever was.
func (a *Authorities) last(name string) (certificate.State, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.held[name]
	return s, ok
}

// settle does what is due and stores it before anyone uses it. If another wrote
// meanwhile, what it wrote counts. An authority whose Secret is gone is stored again
// as it was: those who trust it would refuse what another signs.
func (a *Authorities) settle(
	ctx context.Context, name string, p certificate.Policy,
	settle func(certificate.State, time.Time, certificate.Policy) (certificate.State, []certificate.Action, error),
) (certificate.State, error) {
	for range attempts {
		s, stored, err := a.read(ctx, name)
		if err != nil {
			return s, err
		}
		restored := false
		if s.Signing == nil {
			s, restored = a.last(name)
		}
		next, done, err := settle(s, a.Now(), p)
		if err != nil {
			return s, fmt.Errorf("secret %s/%s: %w", a.Namespace, name, err)
		}
		if len(done) == 0 && !restored {
			return s, nil
		}
		if stored.Data, err = certificate.Encode(next); err != nil {
			return s, fmt.Errorf("secret %s/%s: %w", a.Namespace, name, err)
		}
		err = a.write(ctx, stored)
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			return s, err
		}
		a.hold(name, next)
		a.tell(name, restored, done)
		return next, nil
	}
	return certificate.State{}, fmt.Errorf("secret %s/%s: others write it all the time", a.Namespace, name)
}

func (a *Authorities) write(ctx context.Context, s *corev1.Secret) (err error) {
	if s.ResourceVersion == "" {
		err = a.Client.Create(ctx, s)
	} else {
		err = a.Client.Update(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", a.Namespace, s.Name, err)
	}
	return nil
}

func (a *Authorities) tell(name string, restored bool, done []certificate.Action) {
	if restored {
		a.Log.Info("the Secret of an authority was gone: it is restored from memory", "secret", name)
	}
	for _, d := range done {
		a.Log.Info("certificate rotation", "secret", name, "action", d.Kind.String(), "reason", d.Reason)
	}
}

// publish writes what verifies client certificates, for the owners of backends.
func (a *Authorities) publish(ctx context.Context, pem []byte) error {
	meta := metav1.ObjectMeta{
		Namespace: a.Namespace, Name: ClientAuthorities, Labels: map[string]string{kubernetes.LabelManagedBy: kubernetes.Manager},
	}
	for _, o := range []client.Object{
		&corev1.ConfigMap{
			APIVersion: "v1", Kind: "ConfigMap", ObjectMeta: meta,
			Data: map[string]string{corev1.ServiceAccountRootCAKey: string(pem)},
		},
		&corev1.Secret{
			APIVersion: "v1", Kind: "Secret", ObjectMeta: meta,
			Type: corev1.SecretTypeOpaque, Data: map[string][]byte{corev1.ServiceAccountRootCAKey: pem},
		},
	} {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return fmt.Errorf("publish authorities: %w", err)
		}
		err = a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: content}),
			client.FieldOwner(kubernetes.Manager), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("publish authorities in %s/%s: %w", a.Namespace, ClientAuthorities, err)
		}
	}
	return nil
}
