package issuer_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/issuer"
	"github.com/signetproxy/signet/translator/ir"
)

var (
	start  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	secret = ir.Name{Namespace: "default", Name: "edge-client"}
)

func request() certificate.ClientRequest {
	return certificate.ClientRequest{CommonName: "edge.test", DNSNames: []string{"edge.test"}, Lifetime: 24 * time.Hour}
}

// desk is an issuer with a clock that the test moves.
type desk struct {
	*issuer.Issuer
	t      *testing.T
	folder string
	now    time.Time
}

func open(t *testing.T, folder string) *desk {
	d := &desk{t: t, folder: folder, now: start}
	d.Issuer = issuer.New(issuer.Config{Folder: folder, Now: func() time.Time { return d.now }})
	return d
}

func (d *desk) client(r certificate.ClientRequest) issuer.Client {
	d.t.Helper()
	c, err := d.Client(d.t.Context(), secret, r)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// verify says whether a backend with the published file takes a certificate now.
func (d *desk) verify(c *certificate.KeyPair) error {
	d.t.Helper()
	pem, err := os.ReadFile(d.Authorities())
	if err != nil {
		d.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		d.t.Fatalf("%s holds no certificate", d.Authorities())
	}
	_, err = c.Certificate().Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: d.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// What is issued lives on, over a restart too, until something makes it due.
func TestCertificateIsKept(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "clients")
	d := open(t, folder)
	first := d.client(request())
	if err := d.verify(first.KeyPair); err != nil {
		t.Errorf("a backend refuses it: %v", err)
	}
	if want := certificate.ClientRenewal(first.KeyPair, request()); !first.Renewal.Equal(want) {
		t.Errorf("it is renewed at %s, want %s", first.Renewal, want)
	}
	cases := map[string]struct {
		reason string
		after  time.Duration
		change func(*certificate.ClientRequest)
		kept   bool
	}{
		"AtOnce":      {"nothing has changed", 0, nil, true},
		"Before":      {"it is not due yet", 15 * time.Hour, nil, true},
		"Renewal":     {"a third of its life is left", 16*time.Hour + 5*time.Minute, nil, false},
		"OtherNames":  {"it would not say who it is", 0, func(r *certificate.ClientRequest) { r.DNSNames = []string{"other.test"} }, false},
		"OtherKey":    {"another kind of key is asked for", 0, func(r *certificate.ClientRequest) { r.KeyType = certificate.ECDSAP384 }, false},
		"ShorterLife": {"it lives too long", 0, func(r *certificate.ClientRequest) { r.Lifetime = time.Hour }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			again, r := open(t, copied), request()
			again.now = start.Add(tc.after)
			if tc.change != nil {
				tc.change(&r)
			}
			c := again.client(r)
			if kept := c.KeyPair.Fingerprint() == first.KeyPair.Fingerprint(); kept != tc.kept {
				t.Errorf("kept: %t, but %s", kept, tc.reason)
			}
			if err := again.verify(c.KeyPair); err != nil {
				t.Errorf("a backend refuses it: %v", err)
			}
			if diff := cmp.Diff(string(first.AuthoritiesPEM), string(c.AuthoritiesPEM)); diff != "" {
				t.Errorf("the authority is another: %s", diff)
			}
		})
	}
}

// In a rotation backends get both authorities before the new one signs.
func TestAuthorityRotates(t *testing.T) {
	d := open(t, t.TempDir())
	old := d.client(request())
	d.now = start.Add(7 * 365 * 24 * time.Hour)
	both := d.client(request())
	if n := bytes.Count(both.AuthoritiesPEM, []byte("BEGIN CERTIFICATE")); n != 2 {
		t.Errorf("%d authorities, want 2", n)
	}
	if !bytes.HasPrefix(both.AuthoritiesPEM, old.AuthoritiesPEM) {
		t.Error("the old authority no longer signs")
	}
	d.now = d.now.Add(8 * 24 * time.Hour)
	later := d.client(request())
	if bytes.HasPrefix(later.AuthoritiesPEM, old.AuthoritiesPEM) {
		t.Error("the new authority does not sign")
	}
	if err := d.verify(later.KeyPair); err != nil {
		t.Error(err)
	}
}

// Nobody else can read what is private, whatever the folder was before.
func TestFilesArePrivate(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t, folder)
	d.client(request())
	info, err := os.Stat(folder)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	private := 0
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if e.Name() == issuer.AuthoritiesFile {
			want = 0o644
			if bytes.Contains(b, []byte("PRIVATE")) {
				t.Error("a private key is published")
			}
		} else if len(b) > 0 {
			private++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %s, want %s", e.Name(), info.Mode(), want)
		}
	}
	if private != 2 {
		t.Errorf("%d private files, want the authority's and the certificate's", private)
	}
}

// An authority that cannot be read is not replaced: backends trust it.
func TestBrokenAuthorityStays(t *testing.T) {
	cases := map[string]struct{ reason, content string }{
		"Empty":    {"a disk was full", ""},
		"NotJSON":  {"another program wrote it", "PRIVATE KEY"},
		"NoKey":    {"half of it is there", `{"signing.crt": "QQ=="}`},
		"NoBase64": {"it was edited", `{"signing.key": "PRIVATE KEY"}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			file := filepath.Join(d.folder, "client-authority.json")
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := d.Client(d.t.Context(), secret, request())
			if !errors.Is(err, issuer.ErrFolder) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v", tc.reason, err)
			} else if strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("the error shows what the file holds: %v", err)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != tc.content {
				t.Errorf("the file is now %q, %v", b, err)
			}
		})
	}
}

// A clock that is behind replaces no authority: when it is right again, backends
// take what they took before.
func TestAuthorityOutlivesAClockThatIsBehind(t *testing.T) {
	d := open(t, t.TempDir())
	first := d.client(request())
	file := filepath.Join(d.folder, "client-authority.json")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d.now = start.Add(-24 * time.Hour)
	_, err = d.Client(d.t.Context(), secret, request())
	if !errors.Is(err, certificate.ErrNotValidYet) || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want %v that names %s", err, certificate.ErrNotValidYet, file)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the authority is another, %v", err)
	}
	d.now = start
	if again := d.client(request()); again.KeyPair.Fingerprint() != first.KeyPair.Fingerprint() {
		t.Error("the certificate is another")
	}
}

// A certificate that cannot be read is issued anew by the same authority.
func TestBrokenCertificateIsReplaced(t *testing.T) {
	d := open(t, t.TempDir())
	first := d.client(request())
	if err := os.WriteFile(filepath.Join(d.folder, "client.default.edge-client.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := d.client(request())
	if again.KeyPair.Fingerprint() == first.KeyPair.Fingerprint() {
		t.Error("it is the same")
	}
	if diff := cmp.Diff(string(first.AuthoritiesPEM), string(again.AuthoritiesPEM)); diff != "" {
		t.Errorf("the authority is another: %s", diff)
	}
}

// Whoever shares the folder shares the authority and the certificate, also those
// who begin at the same moment.
func TestFolderIsShared(t *testing.T) {
	folder := t.TempDir()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got = map[string]bool{}
	)
	for range 8 {
		wg.Go(func() {
			c, err := open(t, folder).Client(t.Context(), secret, request())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[c.KeyPair.Fingerprint()+string(c.AuthoritiesPEM)] = true
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("%d certificates or authorities, want one", len(got))
	}
}

func TestFolderCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"a file is in the way": filepath.Join(file, "clients"), "none is given": ""} {
		if _, err := open(t, folder).Client(t.Context(), secret, request()); !errors.Is(err, issuer.ErrFolder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
