package issued

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

func fleet(issued string) string {
	return "apiVersion: operator.signetproxy.io/v1alpha1\nkind: EnvoyFleet\nmetadata: {name: edge, namespace: default}\n" +
		"spec: {upstreamTLS: {clientCertificate: {issued: " + issued + "}}}\n"
}

// bed is a Signet with a folder for its state.
type bed struct {
	*world.World
	t     *testing.T
	state string
}

func start(t *testing.T, state string, files map[string]string) *bed {
	t.Helper()
	return &bed{t: t, state: state, World: world.Start(t, logr.Discard(), files, func(c *standalone.Config) { c.StateRoot = state })}
}

// status waits until the EnvoyFleet shows a certificate other than a fingerprint.
func (b *bed) status(other string) *v1alpha1.ClientCertificateStatus {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); <-tick.C {
		for _, s := range b.Report().Statuses {
			if st, ok := s.Status.(v1alpha1.EnvoyFleetStatus); ok && st.ClientCertificate != nil && st.ClientCertificate.Fingerprint != other {
				return st.ClientCertificate
			}
		}
	}
	b.t.Fatalf("the EnvoyFleet shows no certificate: %+v", b.Report().Statuses)
	return nil
}

// authorities are what the owner of a backend takes over.
func (b *bed) authorities() *x509.CertPool {
	b.t.Helper()
	pem, err := os.ReadFile(filepath.Join(b.state, "standalone-clients", "client-authorities.pem"))
	if err != nil {
		b.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		b.t.Fatalf("no certificate in %s", pem)
	}
	return pool
}

// A backend that demands a certificate of the published authority is reached, by
// the next run too, and with other names as soon as they are asked for.
func TestBackendDemandsIssuedCertificate(t *testing.T) {
	state := t.TempDir()
	ca, err := pki.NewAuthority("backends")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Leaf{CommonName: "web", DNS: []string{"web.test"}})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"fleet": fleet(`{dnsNames: [edge.test], lifetime: 24h}`),
		"ca":    world.CA("default", "ca", ca.PEM()),
		"host":  world.Proxy("default", "web", "web.test", world.Routes(world.Route("/", world.Validated("web", 443, "tls", "ca", "web.test")))),
	}
	var fingerprint string
	t.Run("issued", func(t *testing.T) {
		b := start(t, state, files)
		first := b.status("")
		fingerprint = first.Fingerprint
		if first.Secret != "default/edge-client" || first.NotAfter == nil || first.RenewalTime == nil || !first.RenewalTime.Before(first.NotAfter) {
			t.Errorf("the status is %+v", first)
		}
		web, err := backend.Start(backend.Config{Name: "web", Certificate: &pair.TLS, ClientCAs: b.authorities()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(web.Close)
		b.Write("web", world.Service("default", "web", 443, nil, web))
		seen := b.Await(t, "web.test", "/", 200).Seen
		if !strings.Contains(seen.ClientSubject, "edge.test") {
			t.Errorf("the backend saw %q", seen.ClientSubject)
		}
		b.Write("fleet", fleet(`{dnsNames: [other.test], lifetime: 24h}`))
		second := b.status(fingerprint)
		fingerprint = second.Fingerprint
		for deadline := time.Now().Add(world.Patience); !strings.Contains(seen.ClientSubject, "other.test"); {
			if time.Now().After(deadline) {
				t.Fatalf("the backend still sees %q", seen.ClientSubject)
			}
			web.CloseConnections() // a new handshake shows the new certificate
			if a, err := b.Get("web.test", "/"); err == nil && a.Seen != nil {
				seen = a.Seen
			}
		}
	})
	files["fleet"] = fleet(`{dnsNames: [other.test], lifetime: 24h}`)
	t.Run("kept", func(t *testing.T) {
		b := start(t, state, files)
		if again := b.status(""); again.Fingerprint != fingerprint {
			t.Error("the next run issues another certificate")
		}
	})
	t.Run("without it", func(t *testing.T) {
		other := start(t, t.TempDir(), files)
		other.status("")
		b := start(t, state, files)
		web, err := backend.Start(backend.Config{Name: "web", Certificate: &pair.TLS, ClientCAs: b.authorities()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(web.Close)
		other.Write("web", world.Service("default", "web", 443, nil, web))
		other.Await(t, "web.test", "/", 503)
		b.Write("web", world.Service("default", "web", 443, nil, web))
		b.Await(t, "web.test", "/", 200)
	})
}

// A state that cannot be kept fails closed, and the report says why.
func TestStateCannotBeKept(t *testing.T) {
	state := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, state, map[string]string{"fleet": fleet(`{}`)})
	for _, s := range b.Report().Statuses {
		if st, ok := s.Status.(v1alpha1.EnvoyFleetStatus); ok && (st.ClientCertificate != nil || string(st.Conditions[0].Status) != "False") {
			t.Errorf("the status is %+v", st)
		}
	}
	for _, p := range b.Report().Problems {
		if p.Field == "spec.upstreamTLS.clientCertificate.issued" && strings.Contains(p.Message, state) {
			return
		}
	}
	t.Errorf("the report does not say why: %+v", b.Report().Problems)
}
