package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

// Want returns a state in which the fleet has an identity, or is due for one.
func Want(s State, fleet ir.Name) State {
	if _, ok := s.Identities[fleet]; !ok {
		s = s.with(fleet, nil)
	}
	return s
}

// Forget returns a state without the fleet's identity.
func Forget(s State, fleet ir.Name) State {
	s.Identities = maps.Clone(s.Identities)
	delete(s.Identities, fleet)
	return s
}

// Apply carries out one action and returns the state after it. The given state
// stays as it is, also on error.
func Apply(s State, a Action, now time.Time, p Policy) (State, error) {
	switch a.Kind {
	case CreateAuthority:
		return s.create(now, p)
	case SwitchAuthority:
		return s.switched(now), nil
	case DropAuthority:
		return s.drop(a.ID), nil
	case IssueServer:
		pair, err := s.Signing.Server(now, p)
		if err != nil {
			return s, err
		}
		s.Server = pair
		return s, nil
	case IssueIdentity:
		pair, err := s.Signing.Identity(a.Fleet, now, p)
		if err != nil {
			return s, err
		}
		return s.with(a.Fleet, pair), nil
	}
	return s, fmt.Errorf("apply %s: no such action", a.Kind)
}

// Settle applies what is due until nothing is, and tells what it did.
func Settle(s State, now time.Time, p Policy) (State, []Action, error) {
	return settleBy(s, now, p, Next)
}

// SettleStored is [Settle] for a state that outlives the process. It returns
// [ErrNotValidYet] rather than replace its authority.
func SettleStored(s State, now time.Time, p Policy) (State, []Action, error) {
	if err := s.begun(now); err != nil {
		return s, nil, err
	}
	return Settle(s, now, p)
}

// SettleAuthority is [SettleStored] for the authorities alone: no server's
// certificate and no identity is issued.
func SettleAuthority(s State, now time.Time, p Policy) (State, []Action, error) {
	if err := s.begun(now); err != nil {
		return s, nil, err
	}
	return settleBy(s, now, p, NextAuthority)
}

// ErrNotValidYet says that the clock is behind the begin of a stored authority.
var ErrNotValidYet = errors.New("the authority is not valid yet")

// begun returns [ErrNotValidYet] while the signing authority is not valid yet. It
// was made by a clock that was right, or will be good soon; one that took its place
// now would be trusted by nobody, and its key would be lost.
func (s State) begun(now time.Time) error {
	if s.early(now) {
		return fmt.Errorf("%w: it is from %s on, and the clock says %s: set the clock; nothing is changed until then", ErrNotValidYet,
			s.Signing.certificate.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func (s State) early(now time.Time) bool {
	return s.Signing != nil && now.Before(s.Signing.certificate.NotBefore)
}

func settleBy(s State, now time.Time, p Policy, next func(State, time.Time, Policy) (Action, bool)) (State, []Action, error) {
	var done []Action
	// Each authority and each leaf is touched a few times at most: more would
	// mean that an action does not remove its own cause.
	for range 8 + 2*len(s.Identities) + len(s.Retired) {
		a, due := next(s, now, p)
		if !due {
			return s, done, nil
		}
		after, err := Apply(s, a, now, p)
		if err != nil {
			return s, done, fmt.Errorf("%s (%s): %w", a.Kind, a.Reason, err)
		}
		s, done = after, append(done, a)
	}
	return s, done, fmt.Errorf("%w: %d actions did not settle the state", ErrPolicy, len(done))
}

// Trusted returns the certificates of all authorities that may have signed a
// certificate in use, the signing one first.
func (s State) Trusted() []*x509.Certificate {
	var all []*x509.Certificate
	for _, a := range []*Authority{s.Signing, s.Successor} {
		if a != nil {
			all = append(all, a.certificate)
		}
	}
	for _, r := range s.Retired {
		all = append(all, r.certificate)
	}
	return all
}

// TrustPEM returns [State.Trusted] as PEM.
func (s State) TrustPEM() []byte {
	var b []byte
	for _, c := range s.Trusted() {
		b = append(b, certificatePEM(c)...)
	}
	return b
}

func (s State) create(now time.Time, p Policy) (State, error) {
	a, err := NewAuthority(now, p)
	if err != nil {
		return s, err
	}
	if s.Signing == nil || !valid(s.Signing.certificate, now) {
		s.Signing, s.Successor, s.SuccessorSince = a, nil, time.Time{}
		return s, nil
	}
	s.Successor, s.SuccessorSince = a, now
	return s, nil
}

func (s State) switched(now time.Time) State {
	old := s.Signing
	s.Signing, s.Successor, s.SuccessorSince = s.Successor, nil, time.Time{}
	if old != nil && valid(old.certificate, now) {
		s.Retired = append(slices.Clip(s.Retired), RetiredAuthority{Authority: old, Since: now})
	}
	return s
}

func (s State) drop(id string) State {
	if s.Successor != nil && s.Successor.Fingerprint() == id {
		s.Successor, s.SuccessorSince = nil, time.Time{}
	}
	s.Retired = slices.DeleteFunc(slices.Clone(s.Retired), func(r RetiredAuthority) bool {
		return r.Fingerprint() == id
	})
	return s
}

func (s State) with(fleet ir.Name, pair *KeyPair) State {
	next := make(map[ir.Name]*KeyPair, len(s.Identities)+1)
	maps.Copy(next, s.Identities)
	next[fleet] = pair
	s.Identities = next
	return s
}
