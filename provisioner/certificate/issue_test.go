package certificate

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fleet = ir.Name{Namespace: "edge", Name: "public"}
)

func authority(t *testing.T, now time.Time, p Policy) *Authority {
	t.Helper()
	a, err := NewAuthority(now, p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestIssue(t *testing.T) {
	p := DefaultPolicy()
	a := authority(t, start, p)
	type facts struct {
		URIs, DNS           []string
		Usage               []x509.ExtKeyUsage
		NotBefore, NotAfter time.Time
		CA                  bool
	}
	cases := map[string]struct {
		reason string
		issue  func() (*KeyPair, error)
		want   facts
	}{
		"identity": {
			reason: "an Envoy is named by one URI, may only be a client, and lives a day",
			issue:  func() (*KeyPair, error) { return a.Identity(fleet, start, p) },
			want: facts{
				URIs:      []string{"spiffe://signetproxy.io/fleet/edge/public"},
				Usage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
				NotBefore: start.Add(-5 * time.Minute), NotAfter: start.Add(24 * time.Hour),
			},
		},
		"server": {
			reason: "the server is named by one DNS name and may only be a server",
			issue:  func() (*KeyPair, error) { return a.Server(start, p) },
			want: facts{
				DNS:       []string{"xds.signet.internal"},
				Usage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
				NotBefore: start.Add(-5 * time.Minute), NotAfter: start.Add(24 * time.Hour),
			},
		},
		"late": {
			reason: "nothing outlives its authority",
			issue:  func() (*KeyPair, error) { return a.Server(start.Add(364*24*time.Hour+time.Hour), p) },
			want: facts{
				DNS:       []string{"xds.signet.internal"},
				Usage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
				NotBefore: start.Add(364*24*time.Hour + 55*time.Minute), NotAfter: start.Add(365 * 24 * time.Hour),
			},
		},
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pair, err := tc.issue()
			if err != nil {
				t.Fatal(err)
			}
			c := pair.Certificate()
			got := facts{
				DNS: c.DNSNames, Usage: c.ExtKeyUsage,
				NotBefore: c.NotBefore, NotAfter: c.NotAfter, CA: c.IsCA,
			}
			for _, u := range c.URIs {
				got.URIs = append(got.URIs, u.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
			if _, err := c.Verify(x509.VerifyOptions{
				Roots: roots, CurrentTime: c.NotAfter.Add(-time.Second), KeyUsages: tc.want.Usage,
			}); err != nil {
				t.Errorf("%s: does not verify: %v", tc.reason, err)
			}
		})
	}
}

// TestNameConstraints shows that the authority's key is good for nothing else.
func TestNameConstraints(t *testing.T) {
	p := DefaultPolicy()
	a := authority(t, start, p)
	cases := map[string]struct {
		reason string
		name   func(*x509.Certificate)
	}{
		"other server": {"a stolen key must not pass for a web server", func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }},
		"other domain": {"nor for a workload of another trust domain", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, mustURI(t, "spiffe://example.com/fleet/edge/public"))
		}},
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pair, err := a.leaf(start, p, x509.ExtKeyUsageServerAuth, tc.name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = pair.Certificate().Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start})
			var invalid x509.CertificateInvalidError
			if !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
				t.Errorf("%s: verify gives %v, want CANotAuthorizedForThisName", tc.reason, err)
			}
		})
	}
}

func TestIdentityRefusesNames(t *testing.T) {
	a := authority(t, start, DefaultPolicy())
	for _, name := range []ir.Name{{}, {Namespace: "edge"}, {Namespace: "a/b", Name: "c"}, {Namespace: "edge", Name: "../x"}} {
		if _, err := a.Identity(name, start, DefaultPolicy()); !errors.Is(err, ErrNotFleet) {
			t.Errorf("fleet %q: error %v, want ErrNotFleet", name, err)
		}
	}
}

func TestParseBack(t *testing.T) {
	p := DefaultPolicy()
	a := authority(t, start, p)
	leaf, err := a.Identity(fleet, start, p)
	if err != nil {
		t.Fatal(err)
	}
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := a.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason            string
		certificate, key  []byte
		asAuthority       bool
		want              error
		wantedFingerprint string
	}{
		"leaf":           {"what was written is read", leaf.CertificatePEM(), key, false, nil, leaf.Fingerprint()},
		"authority":      {"what was written is read", a.CertificatePEM(), caKey, true, nil, a.Fingerprint()},
		"leaf as CA":     {"a leaf cannot issue", leaf.CertificatePEM(), key, true, ErrNotAuthority, ""},
		"foreign key":    {"a key of another certificate", leaf.CertificatePEM(), caKey, false, ErrKeyMismatch, ""},
		"no certificate": {"an empty Secret key", nil, key, false, ErrNoCertificate, ""},
		"no key":         {"an empty Secret key", leaf.CertificatePEM(), nil, false, ErrNoKey, ""},
		"swapped":        {"the two are in each other's place", key, leaf.CertificatePEM(), false, ErrNoCertificate, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			parse := ParseKeyPair
			if tc.asAuthority {
				parse = func(certificate, key []byte) (*KeyPair, error) {
					a, err := ParseAuthority(certificate, key)
					if err != nil {
						return nil, err
					}
					return &a.KeyPair, nil
				}
			}
			got, err := parse(tc.certificate, tc.key)
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if err == nil && got.Fingerprint() != tc.wantedFingerprint {
				t.Errorf("%s: got %s, want fingerprint %s", tc.reason, got, tc.wantedFingerprint)
			}
		})
	}
}

// TestKeysAreNotPrinted tries every common way by which a value gets into a
// log, and looks for the key in each of the forms that it could take there.
func TestKeysAreNotPrinted(t *testing.T) {
	k, err := NewKeeper(KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := k.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	state := k.State()
	secrets := keyForms(t, id.KeyPair, &state.Signing.KeyPair, state.Server)
	values := map[string]any{
		"pair": id.KeyPair, "pair by value": *id.KeyPair, "identity": id, "authority": state.Signing,
		"authority by value": *state.Signing, "state": state, "identities": state.Identities,
		"retired": RetiredAuthority{Authority: state.Signing}, "keeper": k, "server TLS": k.ServerTLS(),
	}
	for name, v := range values {
		var outputs []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			outputs = append(outputs, fmt.Sprintf(verb, v))
		}
		if b, err := json.Marshal(v); err == nil {
			outputs = append(outputs, string(b))
		}
		var text strings.Builder
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "v", v)
		outputs = append(outputs, text.String())
		for _, out := range outputs {
			for _, secret := range secrets {
				if strings.Contains(strings.ToLower(out), strings.ToLower(secret)) {
					t.Errorf("%s prints its key: %.200s", name, out)
				}
			}
		}
	}
	if got := id.KeyPair.String(); !strings.Contains(got, "redacted") {
		t.Errorf("a key pair prints as %q, want a word that the key is redacted", got)
	}
}

func keyForms(t *testing.T, pairs ...*KeyPair) []string {
	t.Helper()
	forms := []string{"PRIVATE KEY-"}
	for _, p := range pairs {
		d, err := p.key.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		decimals := strings.Trim(fmt.Sprintf("%d", d[:8]), "[]")
		forms = append(forms, fmt.Sprintf("%x", d), new(big.Int).SetBytes(d).String(), decimals)
	}
	return forms
}
