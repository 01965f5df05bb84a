package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/signetproxy/signet/translator/ir"
)

// Identity is what an Envoy needs to know its control plane and to be known by
// it.
type Identity struct {
	Fleet ir.Name
	// ServerName is the one DNS name to accept in the server's certificate.
	ServerName string
	// TrustPEM holds the authorities of the server's certificate.
	TrustPEM []byte
	// KeyPair is the fleet's client certificate.
	KeyPair *KeyPair
}

// KeeperConfig are the parts of a [Keeper]. Zero values take the default.
type KeeperConfig struct {
	Clock  clock.Clock // the system's
	Policy Policy      // DefaultPolicy
	Log    logr.Logger // silent
}

// Keeper keeps a [State] in memory and up to date. All methods may be called
// from any goroutine.
type Keeper struct {
	clock  clock.Clock
	policy Policy
	log    logr.Logger
	wake   chan struct{}
	server atomic.Pointer[tls.Config]

	mu      sync.Mutex
	state   State
	changed chan struct{}
}

// longestNap bounds the wait between two looks at the clock: timers stand still
// while a machine sleeps, certificates do not.
const longestNap = time.Minute

// NewKeeper makes an authority and the server's certificate, so that
// [Keeper.ServerTLS] serves at once. It returns [ErrPolicy] for a policy that
// cannot be kept.
func NewKeeper(c KeeperConfig) (*Keeper, error) {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Policy == (Policy{}) {
		c.Policy = DefaultPolicy()
	}
	if err := c.Policy.Check(); err != nil {
		return nil, err
	}
	k := &Keeper{
		clock: c.Clock, policy: c.Policy, log: c.Log,
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.settle(k.state); err != nil {
		return nil, err
	}
	return k, nil
}

// Run rotates until the context ends, and then returns nil. An error means
// that a certificate could not be issued.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		wait, err := k.Rotate()
		if err != nil {
			return err
		}
		timer := k.clock.NewTimer(min(wait, longestNap))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.wake:
			timer.Stop()
		case <-timer.C():
		}
	}
}

// Rotate does what is due now, and returns how long nothing will be. [Keeper.Run]
// calls it as time passes.
func (k *Keeper) Rotate() (time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.settle(k.state); err != nil {
		return 0, err
	}
	now := k.clock.Now()
	return Due(k.state, now, k.policy).Sub(now), nil
}

// Watch returns the fleet's identity, issued at the first call, and a channel
// that is closed when it, or anything else that the keeper holds, changes.
func (k *Keeper) Watch(fleet ir.Name) (Identity, <-chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Identities[fleet] == nil {
		if err := k.settle(Want(k.state, fleet)); err != nil {
			return Identity{}, nil, err
		}
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
	return Identity{
		Fleet:      fleet,
		ServerName: ServerName,
		TrustPEM:   k.state.TrustPEM(),
		KeyPair:    k.state.Identities[fleet],
	}, k.changed, nil
}

// Authorities returns the authorities whose certificates are accepted now, and
// a channel that is closed when they, or anything else that the keeper holds,
// change.
func (k *Keeper) Authorities() (*x509.CertPool, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.pool(), k.changed
}

// Load replaces what the keeper holds, but for the identities, by a state that
// is kept elsewhere, and hands it out. It issues nothing: whoever keeps the
// state rotates it. A state without a server's certificate is [ErrStored].
func (k *Keeper) Load(s State) error {
	if s.Signing == nil || s.Server == nil {
		return fmt.Errorf("%w: there is no authority or no server's certificate yet", ErrStored)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Identities = k.state.Identities
	k.state = s
	k.server.Store(serverConfig(s, k.clock.Now))
	close(k.changed)
	k.changed = make(chan struct{})
	return nil
}

// Forget stops to renew the fleet's identity. What was issued stays valid
// until it expires.
func (k *Keeper) Forget(fleet ir.Name) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = Forget(k.state, fleet)
}

// State returns what the keeper holds, for status and for keeping it.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// settle publishes the settled state, or keeps the old one on error. The lock
// is held.
func (k *Keeper) settle(s State) error {
	next, done, err := Settle(s, k.clock.Now(), k.policy)
	if err != nil {
		return fmt.Errorf("rotate certificates: %w", err)
	}
	k.state = next
	if len(done) == 0 {
		return nil
	}
	for _, a := range done {
		k.log.V(1).Info("certificate rotation", "action", a.Kind.String(), "reason", a.Reason, "fleet", a.Fleet.String())
	}
	k.server.Store(serverConfig(next, k.clock.Now))
	close(k.changed)
	k.changed = make(chan struct{})
	return nil
}
