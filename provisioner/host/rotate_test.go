package host

import (
	"net/http"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// TestEnvoyRefusesAnotherServer holds what makes an Envoy safe from a control
// plane that is not its own.
func TestEnvoyRefusesAnotherServer(t *testing.T) {
	keeper := newKeeper(t)
	id, _, err := keeper.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	other := id
	other.ServerName = "other.signet.internal"
	cases := map[string]struct {
		reason  string
		server  *certificate.Keeper
		id      certificate.Identity
		counter string
	}{
		"authority": {"a server of another authority", newKeeper(t), id, "cluster.xds.ssl.fail_verify_error"},
		"name":      {"a server of another name", keeper, other, "cluster.xds.ssl.fail_verify_san"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			control := serveXDS(t, tc.server, nil)
			h := run(t, keeper, control.address, func(c *Config) {
				c.Identities = &source{current: tc.id, changed: make(chan struct{})}
			})
			a := newAdmin(receive(t, "a start", h.starts).AdminSocket)
			eventually(t, tc.counter, func() bool {
				body, err := a.do(t.Context(), http.MethodGet, "/stats?usedonly&filter=^"+tc.counter+"$")
				return err == nil && len(body) > 0
			})
			if len(control.peers) > 0 {
				t.Errorf("%s gets a stream", tc.reason)
			}
		})
	}
}

// source hands out the identities that a test gives it.
type source struct {
	mu      sync.Mutex
	current certificate.Identity
	changed chan struct{}
	asked   chan struct{} // may be nil
}

func (s *source) Watch(ir.Name) (certificate.Identity, <-chan struct{}, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed, nil
}

func (s *source) set(id certificate.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = id
	close(s.changed)
	s.changed = make(chan struct{})
}

func TestIdentityRotatesWhileEnvoyRuns(t *testing.T) {
	keeper := newKeeper(t)
	first, _, err := keeper.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	state := keeper.State()
	pair, err := state.Signing.Identity(fleet, time.Now(), certificate.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	second := first
	second.KeyPair = pair

	control := serveXDS(t, keeper, nil)
	identities := &source{current: first, changed: make(chan struct{})}
	h := run(t, keeper, control.address, func(c *Config) { c.Identities = identities })
	receive(t, "a ready Envoy", h.readys)
	if got := receive(t, "a stream", control.peers); got != first.KeyPair.Fingerprint() {
		t.Fatalf("the first stream comes with %s, want %s", got, first.KeyPair.Fingerprint())
	}
	identities.set(second)
	eventually(t, "a stream with the new certificate", func() bool {
		control.disconnect()
		return receive(t, "a stream", control.peers) == second.KeyPair.Fingerprint()
	})
	if len(h.starts) != 1 {
		t.Errorf("%d starts of Envoy, want one", len(h.starts))
	}
}

// TestAuthorityRotatesWhileEnvoyRuns goes through the phases of a rotation of
// the issuing authority, with the server at each on its newest certificate.
// The clock is the test's for all but Envoy: so certificates start early.
func TestAuthorityRotatesWhileEnvoyRuns(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{Clock: clock, Log: testLog(t), Policy: certificate.Policy{
		AuthorityLife: 100 * time.Hour, LeafLife: 10 * time.Hour, Overlap: time.Hour, Skew: 1000 * time.Hour,
	}})
	if err != nil {
		t.Fatal(err)
	}
	control := serveXDS(t, keeper, nil)
	h := run(t, keeper, control.address, nil)
	receive(t, "a ready Envoy", h.readys)
	receive(t, "a stream", control.peers)

	old, trusted, phases := keeper.State(), 1, 0
	for s := old; phases == 0 || len(s.Trusted()) > 1; s = keeper.State() {
		wait, err := keeper.Rotate()
		if err != nil {
			t.Fatal(err)
		}
		clock.Step(wait)
		if _, err := keeper.Rotate(); err != nil {
			t.Fatal(err)
		}
		now := keeper.State()
		if len(now.Trusted()) == trusted && now.Signing.Fingerprint() == s.Signing.Fingerprint() {
			continue
		}
		trusted = len(now.Trusted())
		phases++
		// Envoy may have to try until it has read the files.
		control.disconnect()
		receive(t, "a stream after a phase of the rotation", control.peers)
	}
	if phases != 3 || keeper.State().Signing.Fingerprint() == old.Signing.Fingerprint() {
		t.Errorf("%d phases, want trust, switch and drop", phases)
	}
	if len(h.starts) != 1 {
		t.Errorf("%d starts of Envoy, want one", len(h.starts))
	}
}
