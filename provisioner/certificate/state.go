package certificate

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

// Policy says how long certificates live.
type Policy struct {
	// AuthorityLife is the life of an issuing authority; its successor is made
	// after two thirds of it.
	AuthorityLife time.Duration
	// LeafLife is the life of an identity and of the server's certificate.
	// Each is renewed after two thirds of it, less a jitter of up to a tenth.
	LeafLife time.Duration
	// Overlap is how long a successor is trusted before it signs: the time that
	// every Envoy is given to learn to trust it.
	Overlap time.Duration
	// Skew is how far certificates are dated back for clocks that are behind.
	Skew time.Duration
	// Clients makes authorities for client certificates that backends verify:
	// see [Authority.Client]. LeafLife is then the longest that they may live.
	Clients bool
	// Seed makes the jitter of one installation differ from another's.
	Seed uint64
}

// DefaultPolicy is a year for authorities, a day for what they sign, and an
// hour of overlap.
func DefaultPolicy() Policy {
	const day = 24 * time.Hour
	return Policy{AuthorityLife: 365 * day, LeafLife: day, Overlap: time.Hour, Skew: 5 * time.Minute}
}

// ClientPolicy is ten years for authorities of client certificates, a year at
// most for what they sign, and a week of overlap: the owners of backends take
// over a successor when they deploy.
func ClientPolicy() Policy {
	const day = 24 * time.Hour
	return Policy{AuthorityLife: 3650 * day, LeafLife: 365 * day, Overlap: 7 * day, Skew: 5 * time.Minute, Clients: true}
}

// minLeafLife is well above the second in which certificates count.
const minLeafLife = 10 * time.Second

// ErrPolicy says that the lives of a policy do not fit together.
var ErrPolicy = errors.New("policy cannot be kept")

// Check returns [ErrPolicy] when an authority could expire before what
// replaces it is in use everywhere.
func (p Policy) Check() error {
	if p.LeafLife < minLeafLife || p.Overlap < 0 || p.Skew < 0 {
		return fmt.Errorf("%w: LeafLife is %s (at least %s), Overlap %s, Skew %s (not negative)",
			ErrPolicy, p.LeafLife, minLeafLife, p.Overlap, p.Skew)
	}
	if third := p.AuthorityLife / 3; third <= p.Overlap+p.LeafLife {
		return fmt.Errorf("%w: a third of AuthorityLife is %s, which must exceed Overlap + LeafLife = %s",
			ErrPolicy, third, p.Overlap+p.LeafLife)
	}
	return nil
}

// State is everything issued and in use. It is immutable: [Apply] returns
// another. It prints without its keys.
type State struct {
	// Signing signs; nil at the very start.
	Signing *Authority
	// Successor is trusted and does not sign yet; nil while none is due.
	Successor *Authority
	// SuccessorSince is when Successor became trusted.
	SuccessorSince time.Time
	// Retired are trusted for what they signed, and sign no more.
	Retired []RetiredAuthority
	// Server is the xDS server's certificate.
	Server *KeyPair
	// Identities holds one entry for each wanted fleet, nil until issued.
	Identities map[ir.Name]*KeyPair
}

// RetiredAuthority is an authority that a successor has replaced.
type RetiredAuthority struct {
	*Authority
	Since time.Time
}

// Kind is the kind of an [Action].
type Kind int

// The kinds of actions, in the order in which [Next] prefers them.
const (
	// CreateAuthority makes an authority: the signing one when there is none
	// to sign, else the successor.
	CreateAuthority Kind = iota + 1
	// SwitchAuthority lets the successor sign and retires the signing one.
	SwitchAuthority
	// DropAuthority ends the trust in the authority with the action's ID.
	DropAuthority
	// IssueServer issues the server's certificate.
	IssueServer
	// IssueIdentity issues the identity of the action's fleet.
	IssueIdentity
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case CreateAuthority:
		return "create authority"
	case SwitchAuthority:
		return "switch authority"
	case DropAuthority:
		return "drop authority"
	case IssueServer:
		return "issue server certificate"
	case IssueIdentity:
		return "issue fleet identity"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Action is one step of rotation, with the reason why it is due.
type Action struct {
	Kind   Kind
	Fleet  ir.Name // of IssueIdentity
	ID     string  // of DropAuthority: the fingerprint
	Reason string
}

// Next returns the one action that is due, or false when none is.
func Next(s State, now time.Time, p Policy) (Action, bool) {
	if a, due := NextAuthority(s, now, p); due {
		return a, true
	}
	if reason := leafDue(s.Server, s.Signing, now, p); reason != "" {
		return Action{Kind: IssueServer, Reason: reason}, true
	}
	for _, fleet := range sortedFleets(s.Identities) {
		if reason := leafDue(s.Identities[fleet], s.Signing, now, p); reason != "" {
			return Action{Kind: IssueIdentity, Fleet: fleet, Reason: reason}, true
		}
	}
	return Action{}, false
}

// NextAuthority is [Next] for the authorities alone.
func NextAuthority(s State, now time.Time, p Policy) (Action, bool) {
	if a, due := nextForAuthority(s, now, p); due {
		return a, true
	}
	for _, r := range s.Retired {
		switch id := r.Fingerprint(); {
		case !valid(r.certificate, now):
			return Action{Kind: DropAuthority, ID: id, Reason: "it has expired"}, true
		case !now.Before(r.Since.Add(p.LeafLife)):
			return Action{Kind: DropAuthority, ID: id, Reason: "all that it signed has expired"}, true
		}
	}
	return Action{}, false
}

func nextForAuthority(s State, now time.Time, p Policy) (Action, bool) {
	signs := s.Signing != nil && valid(s.Signing.certificate, now)
	waits := s.Successor != nil && valid(s.Successor.certificate, now)
	switch {
	case !signs && waits:
		return Action{Kind: SwitchAuthority, Reason: "the signing authority is not valid now"}, true
	case !signs:
		return Action{Kind: CreateAuthority, Reason: "there is no valid authority"}, true
	case s.Successor != nil && !now.Before(s.Successor.certificate.NotAfter):
		return Action{Kind: DropAuthority, ID: s.Successor.Fingerprint(), Reason: "it expired unused"}, true
	case waits && !now.Before(lastSignature(s.Signing, p)):
		return Action{Kind: SwitchAuthority, Reason: "the signing authority expires before what it would sign"}, true
	case waits && !now.Before(s.SuccessorSince.Add(p.Overlap)):
		return Action{Kind: SwitchAuthority, Reason: "the successor is trusted everywhere"}, true
	case s.Successor == nil && !now.Before(renewAt(s.Signing.certificate, p)):
		return Action{Kind: CreateAuthority, Reason: "two thirds of the authority's life are over"}, true
	}
	return Action{}, false
}

// Due returns the first moment after which [Next] may have something to do; a
// moment that is not in the future means at once.
func Due(s State, now time.Time, p Policy) time.Time {
	if _, due := Next(s, now, p); due {
		return now
	}
	first := s.Signing.certificate.NotAfter
	sooner := func(t time.Time) {
		if t.Before(first) {
			first = t
		}
	}
	if s.Successor != nil {
		at := s.SuccessorSince.Add(p.Overlap)
		if last := lastSignature(s.Signing, p); last.Before(at) {
			at = last
		}
		// The clock may have gone back to before its begin.
		if begin := s.Successor.certificate.NotBefore; at.Before(begin) {
			at = begin
		}
		sooner(at)
	} else {
		sooner(renewAt(s.Signing.certificate, p))
	}
	for _, r := range s.Retired {
		sooner(r.Since.Add(p.LeafLife))
		sooner(r.certificate.NotAfter)
	}
	sooner(renewAt(s.Server.certificate, p))
	for _, pair := range s.Identities {
		sooner(renewAt(pair.certificate, p))
	}
	return first
}

// leafDue returns why a certificate must be issued anew, or "".
func leafDue(pair *KeyPair, signing *Authority, now time.Time, p Policy) string {
	switch {
	case pair == nil:
		return "there is none yet"
	case !bytes.Equal(pair.certificate.AuthorityKeyId, signing.certificate.SubjectKeyId):
		return "another authority signed it"
	case now.Before(pair.certificate.NotBefore):
		return "it is not valid yet: the clock has gone back"
	case !now.Before(renewAt(pair.certificate, p)):
		return "two thirds of its life are over"
	}
	return ""
}

// renewAt is two thirds of the way through the life, less a jitter of up to a
// tenth of it, which follows from the seed and the serial number: so it needs
// no place to be kept.
func renewAt(c *x509.Certificate, p Policy) time.Time {
	life := max(0, c.NotAfter.Sub(c.NotBefore)-p.Skew)
	//nolint:gosec // spreads load; nothing secret depends on it
	jitter := rand.New(rand.NewPCG(p.Seed, c.SerialNumber.Uint64())).Float64()
	return c.NotAfter.Add(-life/3 - time.Duration(jitter*float64(life)/10))
}

// lastSignature is the last moment at which a full life fits into the
// authority's own.
func lastSignature(a *Authority, p Policy) time.Time { return a.certificate.NotAfter.Add(-p.LeafLife) }

func valid(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter)
}

func sortedFleets(m map[ir.Name]*KeyPair) []ir.Name {
	return slices.SortedFunc(maps.Keys(m), func(a, b ir.Name) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}
