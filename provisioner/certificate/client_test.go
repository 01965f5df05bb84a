package certificate

import (
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

var clientStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func clientRequest() ClientRequest {
	return ClientRequest{
		CommonName: "edge", DNSNames: []string{"edge.example.com"}, URIs: []string{"spiffe://example.com/edge"},
		Lifetime: 24 * time.Hour,
	}
}

func clientAuthority(t *testing.T, now time.Time) *Authority {
	t.Helper()
	a, err := NewAuthority(now, ClientPolicy())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A backend verifies with nothing but the authority.
func TestClientIsVerified(t *testing.T) {
	a := clientAuthority(t, clientStart)
	for _, k := range []KeyType{"", ECDSAP256, ECDSAP384, RSA2048} {
		r := clientRequest()
		r.KeyType = k
		pair, err := a.Client(r, clientStart, ClientPolicy())
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(a.Certificate())
		verify := func(u x509.ExtKeyUsage) error {
			_, err := pair.Certificate().Verify(x509.VerifyOptions{
				Roots: roots, CurrentTime: clientStart, KeyUsages: []x509.ExtKeyUsage{u},
			})
			return err
		}
		if err := verify(x509.ExtKeyUsageClientAuth); err != nil {
			t.Errorf("%s: as a client: %v", k, err)
		}
		if err := verify(x509.ExtKeyUsageServerAuth); err == nil {
			t.Errorf("%s: it can be a server, want a client alone", k)
		}
		key, err := pair.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKeyPair(pair.CertificatePEM(), key)
		if err != nil {
			t.Fatalf("%s: what was written cannot be read: %v", k, err)
		}
		if due := ClientDue(again, r, a, clientStart, ClientPolicy()); due != "" {
			t.Errorf("%s: a fresh certificate is due: %s", k, due)
		}
	}
}

func TestClientRefuses(t *testing.T) {
	a := clientAuthority(t, clientStart)
	for name, change := range map[string]func(*ClientRequest){
		"key type": func(r *ClientRequest) { r.KeyType = "DSA" },
		"URI":      func(r *ClientRequest) { r.URIs = []string{"://"} },
	} {
		r := clientRequest()
		change(&r)
		if _, err := a.Client(r, clientStart, ClientPolicy()); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v, want %v", name, err, ErrRequest)
		}
	}
}

func TestClientDue(t *testing.T) {
	a := clientAuthority(t, clientStart)
	pair, err := a.Client(clientRequest(), clientStart, ClientPolicy())
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		pair   *KeyPair
		change func(*ClientRequest)
		signer *Authority
		at     time.Duration
		want   string
	}{
		"fresh":          {"nothing has changed", pair, nil, a, 0, ""},
		"none":           {"at the start", nil, nil, a, 0, "there is none yet"},
		"before a third": {"a third of its life is left", pair, nil, a, 15*time.Hour + 58*time.Minute, ""},
		"at two thirds":  {"the default", pair, nil, a, 16 * time.Hour, "it is time to renew it"},
		"asked earlier":  {"renewBefore counts", pair, func(r *ClientRequest) { r.RenewBefore = 20 * time.Hour }, a, 5 * time.Hour, "it is time to renew it"},
		"asked later":    {"renewBefore counts", pair, func(r *ClientRequest) { r.RenewBefore = time.Hour }, a, 20 * time.Hour, ""},
		"other name":     {"the subject follows the fleet", pair, func(r *ClientRequest) { r.DNSNames = []string{"b.example.com"} }, a, 0, "other names are asked for"},
		"no URI":         {"what is not asked for goes", pair, func(r *ClientRequest) { r.URIs = nil }, a, 0, "other names are asked for"},
		"other key":      {"the key follows the fleet", pair, func(r *ClientRequest) { r.KeyType = RSA2048 }, a, 0, "another type of key is asked for"},
		"shorter":        {"a life that is too long now", pair, func(r *ClientRequest) { r.Lifetime = time.Hour }, a, 0, "a shorter life is asked for"},
		"longer":         {"the next one lives longer", pair, func(r *ClientRequest) { r.Lifetime = 48 * time.Hour }, a, 0, ""},
		"other signer":   {"after a switch", pair, nil, clientAuthority(t, clientStart), 0, "another authority signed it"},
		"clock back":     {"it would be refused", pair, nil, a, -time.Hour, "it is not valid yet: the clock has gone back"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := clientRequest()
			if c.change != nil {
				c.change(&r)
			}
			if got := ClientDue(c.pair, r, c.signer, clientStart.Add(c.at), ClientPolicy()); got != c.want {
				t.Errorf("due: %q, want %q: %s", got, c.want, c.reason)
			}
		})
	}
}

// Whoever trusts what is published at any time accepts what is presented then:
// through a whole rotation of the client authority.
func TestClientAuthorityRotatesInTwoPhases(t *testing.T) {
	p := ClientPolicy()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	var (
		s       State
		pair    *KeyPair
		r       = clientRequest()
		bundles [][]*x509.Certificate // of the last week, a day each
		signers = map[string]bool{}
	)
	r.Lifetime = 90 * 24 * time.Hour
	for day := range 4000 {
		now := clientStart.Add(time.Duration(day) * 24 * time.Hour)
		next, _, err := SettleAuthority(s, now, p)
		if err != nil {
			t.Fatal(err)
		}
		if s = next; s.Server != nil {
			t.Fatal("a server's certificate was issued")
		}
		if ClientDue(pair, r, s.Signing, now, p) != "" {
			if pair, err = s.Signing.Client(r, now, p); err != nil {
				t.Fatal(err)
			}
		}
		signers[s.Signing.Fingerprint()] = true
		bundles = append(bundles, s.Trusted())
		// A backend that took over the bundle up to six days ago.
		for _, bundle := range bundles[max(0, len(bundles)-7):] {
			roots := x509.NewCertPool()
			for _, c := range bundle {
				roots.AddCert(c)
			}
			if _, err := pair.Certificate().Verify(x509.VerifyOptions{
				Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
		}
	}
	if len(signers) < 2 {
		t.Errorf("%d authorities signed in 4,000 days: no rotation was seen", len(signers))
	}
}

func TestStoredStateIsReadBack(t *testing.T) {
	p := DefaultPolicy()
	s, _, err := Settle(Want(State{}, ir.Name{Namespace: "a", Name: "b"}), clientStart, p)
	if err != nil {
		t.Fatal(err)
	}
	now := clientStart.Add(p.AuthorityLife * 2 / 3)
	if s, _, err = Settle(s, now, p); err != nil {
		t.Fatal(err)
	}
	withSuccessor := s
	if s, _, err = Settle(s, now.Add(p.Overlap), p); err != nil {
		t.Fatal(err)
	}
	if withSuccessor.Successor == nil || len(s.Retired) != 1 {
		t.Fatalf("the states do not show what they should: %v, %v", withSuccessor, s)
	}
	for name, want := range map[string]State{"empty": {}, "with a successor": withSuccessor, "with a retired one": s} {
		data, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := Encode(got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(data, again); diff != "" {
			t.Errorf("%s (-want, +got):\n%s", name, diff)
		}
	}
}

// What cannot be read must not be taken for nothing: it would be written over.
func TestStoredStateThatIsBroken(t *testing.T) {
	s, _, err := Settle(State{}, clientStart, DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	data, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"signing.crt", "signing.key", "server.crt", "server.key"}
	for _, key := range keys {
		if !slices.Contains(keys, key) || len(data[key]) == 0 {
			t.Fatalf("key %s is not written", key)
		}
		broken := map[string][]byte{}
		maps.Copy(broken, data)
		broken[key] = []byte("?")
		if _, err := Decode(broken); !errors.Is(err, ErrStored) {
			t.Errorf("%s: %v, want %v", key, err, ErrStored)
		}
	}
}
