package certificate

import (
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

func mustURI(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func settle(t *testing.T, s State, now time.Time, p Policy) (State, []Kind) {
	t.Helper()
	s, done, err := Settle(s, now, p)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, a := range done {
		if a.Reason == "" {
			t.Errorf("action %s has no reason", a.Kind)
		}
		kinds = append(kinds, a.Kind)
	}
	return s, kinds
}

// TestRotation follows one installation through time.
func TestRotation(t *testing.T) {
	const day = 24 * time.Hour
	p := Policy{AuthorityLife: 30 * day, LeafLife: day, Overlap: time.Hour, Skew: time.Minute}
	s := Want(State{}, fleet)
	steps := []struct {
		reason  string
		at      time.Duration
		want    []Kind
		trusted int
	}{
		{"at first there is everything to do", 0, []Kind{CreateAuthority, IssueServer, IssueIdentity}, 1},
		{"and then nothing", 0, nil, 1},
		{"nothing before two thirds less a tenth of a day", 13 * time.Hour, nil, 1},
		{"at two thirds the leaves are renewed", 16 * time.Hour, []Kind{IssueServer, IssueIdentity}, 1},
		{"a machine that slept renews once", 5 * day, []Kind{IssueServer, IssueIdentity}, 1},
		{"at two thirds at the latest a successor is trusted", 20 * day, []Kind{CreateAuthority, IssueServer, IssueIdentity}, 2},
		{"it does not sign before all trust it", 20*day + 59*time.Minute, nil, 2},
		{"then it signs, and all is signed anew", 20*day + time.Hour, []Kind{SwitchAuthority, IssueServer, IssueIdentity}, 2},
		{"the old one is trusted as long as its leaves live", 21*day + 59*time.Minute, []Kind{IssueServer, IssueIdentity}, 2},
		{"and is dropped after", 21*day + time.Hour, []Kind{DropAuthority}, 1},
		{"a machine that slept over all lives starts anew", 200 * day, []Kind{CreateAuthority, IssueServer, IssueIdentity}, 1},
		{"a clock that goes back makes new ones too", 0, []Kind{CreateAuthority, IssueServer, IssueIdentity}, 1},
	}
	for _, step := range steps {
		var kinds []Kind
		s, kinds = settle(t, s, start.Add(step.at), p)
		if diff := cmp.Diff(step.want, kinds); diff != "" {
			t.Errorf("%s: at %s (-want, +got):\n%s", step.reason, step.at, diff)
		}
		if got := len(s.Trusted()); got != step.trusted {
			t.Errorf("%s: at %s %d authorities are trusted, want %d", step.reason, step.at, got, step.trusted)
		}
	}
}

// TestNobodyIsEverLockedOut walks through random times and fleets. Each peer
// learns of a change late, but within the overlap and a third of a leaf's life;
// whatever leaf it then holds must verify at the other side.
func TestNobodyIsEverLockedOut(t *testing.T) {
	p := Policy{AuthorityLife: 10 * time.Hour, LeafLife: time.Hour, Overlap: 15 * time.Minute, Skew: time.Minute}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	s := Want(State{}, fleet)
	other := ir.Name{Namespace: "edge", Name: "other"}
	type at struct {
		State
		time.Time
	}
	var history []at
	now := start
	for range 1500 {
		if random.IntN(50) == 0 {
			s = Want(Forget(s, other), other)
		}
		due := Due(s, now, p)
		s, _ = settle(t, s, now, p)
		if due.After(now) && len(history) > 0 && cmp.Diff(fingerprints(history[len(history)-1].State), fingerprints(s)) != "" {
			t.Fatalf("at %s: something was due, Due said %s", now, due)
		}
		history = append(history, at{s, now})
		// A peer that is behind by less than the overlap, in both roles.
		late := history[0]
		for _, h := range history {
			if now.Sub(h.Time) < p.Overlap {
				late = h
				break
			}
		}
		mustVerify(t, now, s.Trusted(), late.Identities[fleet], x509.ExtKeyUsageClientAuth)
		mustVerify(t, now, late.Trusted(), s.Server, x509.ExtKeyUsageServerAuth)
		history = history[max(0, len(history)-20):]
		now = now.Add(time.Duration(random.Int64N(int64(4 * time.Minute))))
	}
}

func fingerprints(s State) []string {
	all := []string{s.Signing.Fingerprint(), s.Server.Fingerprint()}
	for _, f := range sortedFleets(s.Identities) {
		all = append(all, f.String(), s.Identities[f].Fingerprint())
	}
	for _, c := range s.Trusted() {
		all = append(all, c.Subject.String())
	}
	return all
}

func mustVerify(t *testing.T, now time.Time, trusted []*x509.Certificate, leaf *KeyPair, usage x509.ExtKeyUsage) {
	t.Helper()
	pool := x509.NewCertPool()
	for _, c := range trusted {
		pool.AddCert(c)
	}
	if _, err := leaf.Certificate().Verify(x509.VerifyOptions{
		Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	}); err != nil {
		t.Fatalf("at %s: %s: %v", now, leaf, err)
	}
}

func TestDueIsTheMomentOfTheNextAction(t *testing.T) {
	p := DefaultPolicy()
	p.AuthorityLife = 30 * 24 * time.Hour
	s, _ := settle(t, Want(State{}, fleet), start, p)
	now := start
	for now.Sub(start) < 40*24*time.Hour {
		due := Due(s, now, p)
		if a, is := Next(s, due.Add(-time.Nanosecond), p); is {
			t.Fatalf("just before %s: %s is due (%s)", due, a.Kind, a.Reason)
		}
		if _, is := Next(s, due, p); !is {
			t.Fatalf("at %s: nothing is due", due)
		}
		now = due
		s, _ = settle(t, s, now, p)
	}
}

func TestRenewalIsSpread(t *testing.T) {
	p := DefaultPolicy()
	a := authority(t, start, p)
	seen := map[time.Time]bool{}
	for range 50 {
		leaf, err := a.Identity(fleet, start, p)
		if err != nil {
			t.Fatal(err)
		}
		at := renewAt(leaf.Certificate(), p)
		if again := renewAt(leaf.Certificate(), p); !at.Equal(again) {
			t.Fatalf("the renewal of one certificate is at %s and at %s", at, again)
		}
		if lived := at.Sub(start); lived > 16*time.Hour || lived < 16*time.Hour-144*time.Minute {
			t.Errorf("renewal after %s, want at two thirds of a day less up to a tenth", lived)
		}
		seen[at] = true
	}
	if len(seen) < 45 {
		t.Errorf("50 certificates are renewed at %d moments", len(seen))
	}
	leaf, err := a.Identity(fleet, start, p)
	if err != nil {
		t.Fatal(err)
	}
	seeded := p
	seeded.Seed = 7
	if renewAt(leaf.Certificate(), p).Equal(renewAt(leaf.Certificate(), seeded)) {
		t.Error("the seed changes nothing")
	}
}

func TestApplyLeavesTheOldState(t *testing.T) {
	p := DefaultPolicy()
	before, _ := settle(t, Want(State{}, fleet), start, p)
	want := fingerprints(before)
	for _, a := range []Action{
		{Kind: CreateAuthority},
		{Kind: IssueServer},
		{Kind: IssueIdentity, Fleet: fleet},
		{Kind: DropAuthority, ID: before.Signing.Fingerprint()},
	} {
		if _, err := Apply(before, a, start.Add(time.Hour), p); err != nil {
			t.Fatal(err)
		}
	}
	Forget(before, fleet)
	if diff := cmp.Diff(want, fingerprints(before)); diff != "" {
		t.Errorf("a state is immutable (-want, +got):\n%s", diff)
	}
	if _, err := Apply(before, Action{}, start, p); err == nil {
		t.Error("an action of no kind is applied")
	}
}

func TestPolicyCheck(t *testing.T) {
	cases := map[string]struct {
		reason string
		policy Policy
		want   error
	}{
		"default":         {"the default can be kept", DefaultPolicy(), nil},
		"zero":            {"no life at all", Policy{}, ErrPolicy},
		"short authority": {"it would expire while its leaves live", Policy{AuthorityLife: 3 * time.Hour, LeafLife: time.Hour}, ErrPolicy},
		"long overlap":    {"it would expire before its successor signs", Policy{AuthorityLife: 10 * time.Hour, LeafLife: time.Hour, Overlap: 3 * time.Hour}, ErrPolicy},
		"short leaf":      {"certificates count in seconds", Policy{AuthorityLife: time.Hour, LeafLife: 2 * time.Second}, ErrPolicy},
		"negative skew":   {"certificates would start in the future", Policy{AuthorityLife: 10 * time.Hour, LeafLife: time.Hour, Skew: -1}, ErrPolicy},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := tc.policy.Check(); !errors.Is(err, tc.want) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
		})
	}
}
