package certificate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// phases are a state in each phase of a rotation, with the times of its actions.
type phases struct {
	fresh, waiting, switched State
	created, trusted, signs  time.Time
}

func rotated(t *testing.T, p Policy) phases {
	t.Helper()
	settle := func(s State, now time.Time) State {
		next, _, err := SettleStored(s, now, p)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	x := phases{created: clientStart, trusted: clientStart.Add(p.AuthorityLife * 2 / 3)}
	x.signs = x.trusted.Add(p.Overlap)
	x.fresh = settle(State{}, x.created)
	x.waiting = settle(x.fresh, x.trusted)
	x.switched = settle(x.waiting, x.signs)
	if x.waiting.Successor == nil || len(x.switched.Retired) != 1 {
		t.Fatal("the states do not show what they should")
	}
	return x
}

// A clock that is behind must not cost a stored authority: all who trust it would
// refuse what another has signed, and nothing brings its key back.
func TestStoredAuthorityOutlivesAClockThatIsBehind(t *testing.T) {
	p := ClientPolicy()
	x := rotated(t, p)
	cases := map[string]struct {
		reason string
		state  State
		now    time.Time
		want   error
	}{
		"right":              {"nothing is due", x.fresh, x.created, nil},
		"within the skew":    {"it is valid already", x.fresh, x.created.Add(-p.Skew), nil},
		"behind":             {"it is not valid yet", x.fresh, x.created.Add(-p.Skew - time.Second), ErrNotValidYet},
		"at the epoch":       {"a machine without a battery", x.fresh, time.Unix(0, 0), ErrNotValidYet},
		"with a successor":   {"the signing one counts", x.waiting, x.created.Add(-time.Hour), ErrNotValidYet},
		"after a switch":     {"the retired one is valid, and signs no more", x.switched, x.trusted.Add(-time.Hour), ErrNotValidYet},
		"before a switch":    {"its successor is not valid yet, and is needed later", x.waiting, x.trusted.Add(-time.Hour), nil},
		"after the overlap":  {"the switch is due", x.waiting, x.signs, nil},
		"no authority":       {"there is nothing to lose", State{}, time.Unix(0, 0), nil},
		"long after its end": {"one that has expired is of no use", x.fresh, x.created.Add(2 * p.AuthorityLife), nil},
	}
	for name, c := range cases {
		for how, settle := range map[string]func(State, time.Time, Policy) (State, []Action, error){
			"authority": SettleAuthority, "all": SettleStored,
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				got, done, err := settle(c.state, c.now, p)
				if !errors.Is(err, c.want) {
					t.Fatalf("error %v, want %v: %s", err, c.want, c.reason)
				}
				if err == nil {
					return
				}
				if diff := cmp.Diff(trustedIn(c.state), trustedIn(got)); diff != "" || len(done) > 0 {
					t.Errorf("it changed: %v (-want, +got):\n%s", done, diff)
				}
				for _, at := range []time.Time{c.state.Signing.Certificate().NotBefore, c.now} {
					if text := at.UTC().Format(time.RFC3339); !strings.Contains(err.Error(), text) {
						t.Errorf("%q does not say %s", err, text)
					}
				}
			})
		}
	}
}

func trustedIn(s State) []string {
	var out []string
	for _, c := range s.Trusted() {
		out = append(out, c.Subject.String())
	}
	return out
}

// Backends may have taken a successor over already.
func TestSuccessorWaitsForAClockThatIsBehind(t *testing.T) {
	p := ClientPolicy()
	x := rotated(t, p)
	behind := x.trusted.Add(-time.Hour)
	got, done, err := SettleAuthority(x.waiting, behind, p)
	if err != nil || len(done) > 0 {
		t.Fatalf("did %v, %v", done, err)
	}
	if diff := cmp.Diff(trustedIn(x.waiting), trustedIn(got)); diff != "" {
		t.Errorf("others are trusted (-want, +got):\n%s", diff)
	}
	late := p
	late.LeafLife = p.AuthorityLife / 2 // the signing one signs nothing of a full life any more
	if _, due := NextAuthority(x.waiting, behind, late); due {
		t.Error("a successor that is not valid yet is to sign")
	}
	if _, done, err = SettleAuthority(got, x.signs, p); err != nil || len(done) != 1 || done[0].Kind != SwitchAuthority {
		t.Errorf("when the clock is right: did %v, %v, want the switch", done, err)
	}
}

// When the clock is right again, what was signed before is good: nothing is issued
// by a clock that is behind the authority's begin, its life might be over.
func TestIdentityOutlivesAClockThatIsBehind(t *testing.T) {
	p := DefaultPolicy()
	s, _, err := Settle(Want(State{}, fleet), clientStart, p)
	if err != nil {
		t.Fatal(err)
	}
	pair := s.Identities[fleet]
	cases := map[string]struct {
		reason string
		pair   *KeyPair
		at     time.Duration
		due    bool
	}{
		"right":    {"nothing has changed", pair, 0, false},
		"behind":   {"the authority is not valid yet", pair, -time.Hour, false},
		"none yet": {"without one an Envoy cannot start", nil, -time.Hour, true},
		"in time":  {"it is renewed", pair, 20 * time.Hour, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := IdentityDue(c.pair, s, clientStart.Add(c.at), p); (got != "") != c.due {
				t.Errorf("due: %q, but %s", got, c.reason)
			}
		})
	}
	later, _, err := Settle(s, clientStart.Add(12*time.Hour), p)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := later.Signing.Identity(fleet, clientStart.Add(12*time.Hour), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := IdentityDue(renewed, later, clientStart, p); got == "" {
		t.Error("an identity that is not valid yet, of an authority that is, is not due")
	}
}
