package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/signetproxy/signet/translator/ir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keeper(t *testing.T) (*Keeper, *clocktesting.FakeClock) {
	t.Helper()
	clock := clocktesting.NewFakeClock(start)
	k, err := NewKeeper(KeeperConfig{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return k, clock
}

func TestKeeperRunRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, err := NewKeeper(KeeperConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		first, _, err := k.Watch(fleet)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		id := first
		for id.KeyPair.Fingerprint() == first.KeyPair.Fingerprint() {
			var changed <-chan struct{}
			if id, changed, err = k.Watch(fleet); err != nil {
				t.Fatal(err)
			}
			if id.KeyPair.Fingerprint() == first.KeyPair.Fingerprint() {
				<-changed
			}
		}
		if took := time.Since(begin); took < 13*time.Hour || took > 16*time.Hour+longestNap {
			t.Errorf("the identity was renewed after %s, want about two thirds of a day", took)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returns %v when its context ends, want nil", err)
		}
	})
}

func TestKeeperForgets(t *testing.T) {
	k, clock := keeper(t)
	if _, _, err := k.Watch(fleet); err != nil {
		t.Fatal(err)
	}
	k.Forget(fleet)
	clock.Step(48 * time.Hour)
	if _, err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if n := len(k.State().Identities); n != 0 {
		t.Errorf("%d identities are kept of fleets that are gone", n)
	}
}

func TestKeeperRefuses(t *testing.T) {
	if _, err := NewKeeper(KeeperConfig{Policy: Policy{LeafLife: time.Hour}}); !errors.Is(err, ErrPolicy) {
		t.Errorf("a policy that cannot be kept: error %v, want ErrPolicy", err)
	}
	k, _ := keeper(t)
	if _, _, err := k.Watch(ir.Name{Namespace: "a b", Name: "c"}); !errors.Is(err, ErrNotFleet) {
		t.Errorf("a fleet that cannot be: error %v, want ErrNotFleet", err)
	}
	if n := len(k.State().Identities); n != 0 {
		t.Error("a fleet that was refused is kept, and would break every rotation after")
	}
}

// handshake connects once and returns what the server sees.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	errs := make(chan error, 1)
	go func() {
		c := tls.Client(far, client)
		err := c.Handshake()
		if err == nil { // with TLS 1.3 a client learns of a refusal when it reads
			_, err = c.Read(make([]byte, 1))
		}
		errs <- err
	}()
	s := tls.Server(near, server)
	err := s.HandshakeContext(t.Context())
	if err == nil {
		_, err = s.Write([]byte{1})
	}
	_ = near.Close()
	return s.ConnectionState(), errors.Join(err, <-errs)
}

func clientConfig(t *testing.T, k *Keeper, id Identity) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(id.TrustPEM) {
		t.Fatal("no trusted authority")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: id.ServerName, Time: k.clock.Now,
		Certificates: []tls.Certificate{id.KeyPair.tls()}, NextProtos: []string{"h2"},
	}
}

func TestServerTLS(t *testing.T) {
	k, _ := keeper(t)
	id, _, err := k.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := keeper(t)
	foreign, _, err := stranger.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	state := k.State()
	issue := func(usage x509.ExtKeyUsage, name func(*x509.Certificate)) tls.Certificate {
		pair, err := state.Signing.leaf(start, k.policy, usage, name)
		if err != nil {
			t.Fatal(err)
		}
		return pair.tls()
	}
	cases := map[string]struct {
		reason  string
		change  func(*tls.Config)
		refused bool
	}{
		"fleet":    {"an identity of ours is let in", func(*tls.Config) {}, false},
		"none":     {"nobody comes without a certificate", func(c *tls.Config) { c.Certificates = nil }, true},
		"stranger": {"nor with another authority's", func(c *tls.Config) { c.Certificates = []tls.Certificate{foreign.KeyPair.tls()} }, true},
		"TLS 1.2":  {"nor with an old protocol", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		"server":   {"nor as a server", func(c *tls.Config) { c.Certificates = []tls.Certificate{state.Server.tls()} }, true},
		"no name": {"nor without a name", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{issue(x509.ExtKeyUsageClientAuth, func(*x509.Certificate) {})}
		}, true},
		"not a fleet": {"nor with a name that is no fleet's", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{issue(x509.ExtKeyUsageClientAuth, named(t, "spiffe://signetproxy.io/other"))}
		}, true},
		"two fleets": {"nor with two names", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{issue(x509.ExtKeyUsageClientAuth, named(t, FleetURI(fleet), FleetURI(ir.Name{Namespace: "a", Name: "b"})))}
		}, true},
		"expired": {"nor too late", func(c *tls.Config) { c.Certificates = []tls.Certificate{expired(t, k)} }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := clientConfig(t, k, id)
			tc.change(c)
			got, err := handshake(t, k.ServerTLS(), c)
			if refused := err != nil; refused != tc.refused {
				t.Fatalf("%s: error %v, want refused %v", tc.reason, err, tc.refused)
			}
			if tc.refused {
				return
			}
			if who, err := PeerFleet(got); err != nil || who != fleet {
				t.Errorf("%s: the peer is %s (%v), want %s", tc.reason, who, err, fleet)
			}
		})
	}
	if _, err := PeerFleet(tls.ConnectionState{PeerCertificates: []*x509.Certificate{id.KeyPair.Certificate()}}); !errors.Is(err, ErrNotFleet) {
		t.Errorf("a certificate that was not verified names a fleet (error %v)", err)
	}
}

func named(t *testing.T, uris ...string) func(*x509.Certificate) {
	t.Helper()
	return func(c *x509.Certificate) {
		for _, u := range uris {
			c.URIs = append(c.URIs, mustURI(t, u))
		}
	}
}

func expired(t *testing.T, k *Keeper) tls.Certificate {
	t.Helper()
	pair, err := k.State().Signing.Identity(fleet, start.Add(-25*time.Hour), k.policy)
	if err != nil {
		t.Fatal(err)
	}
	return pair.tls()
}

// TestServerTLSRotates shows that one tls.Config, given to a server once,
// follows every phase of the authority's rotation, for peers that are up to
// date and for one that is a phase behind.
func TestServerTLSRotates(t *testing.T) {
	policy := DefaultPolicy()
	policy.AuthorityLife = 30 * 24 * time.Hour
	clock := clocktesting.NewFakeClock(start)
	k, err := NewKeeper(KeeperConfig{Clock: clock, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	server := k.ServerTLS()
	behind, _, err := k.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	authorities := map[string]bool{}
	end := start.Add(60 * 24 * time.Hour)
	for step := 0; clock.Now().Before(end); step++ {
		wait, err := k.Rotate()
		if err != nil {
			t.Fatal(err)
		}
		id, _, err := k.Watch(fleet)
		if err != nil {
			t.Fatal(err)
		}
		s := k.State()
		authorities[s.Signing.Fingerprint()] = true
		if phase := s.Successor != nil || len(s.Retired) > 0; phase || step%50 == 0 {
			for who, i := range map[string]Identity{"up to date": id, "behind": behind} {
				if _, err := handshake(t, server, clientConfig(t, k, i)); err != nil {
					t.Fatalf("at %s: peer that is %s: %v", clock.Now(), who, err)
				}
			}
		}
		behind = id
		clock.Step(wait)
	}
	if len(authorities) < 2 {
		t.Errorf("%d authorities in two lives, want a rotation", len(authorities))
	}
}
