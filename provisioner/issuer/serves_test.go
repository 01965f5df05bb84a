package issuer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/issuer"
)

const day = 24 * time.Hour

var errDiskFull = errors.New("no space left on device")

// short is a policy under which an authority's successor is due after 17 to 20 days.
func short() certificate.Policy {
	return certificate.Policy{AuthorityLife: 30 * day, LeafLife: 8 * day, Overlap: day, Skew: time.Minute, Clients: true}
}

// full is a new run on a folder, in which the writes of some files fail.
func full(t *testing.T, folder string, at time.Duration, files ...string) *desk {
	t.Helper()
	d := &desk{t: t, folder: folder, now: start.Add(at)}
	d.Issuer = issuer.New(issuer.Config{Folder: folder, Policy: short(), Now: func() time.Time { return d.now }})
	d.FailWrites(func(name string) error {
		for _, f := range files {
			if strings.HasPrefix(name, f) {
				return errDiskFull
			}
		}
		return nil
	})
	return d
}

// A disk that is full when something is due costs nothing that is good: also the
// next run presents what is stored, and says what is wrong.
func TestStoredCertificateServesOnAFullDisk(t *testing.T) {
	const every, leaf = "client", "client.default"
	days := func(n float64) time.Duration { return time.Duration(n * float64(day)) }
	r := request()
	r.Lifetime = 6 * day // renewed after four
	cases := map[string]struct {
		reason string
		runs   []time.Duration // without a fault
		at     time.Duration
		fails  []string
		change func(*certificate.ClientRequest)
		kept   bool
		wrong  bool
	}{
		"NothingDue":  {"there is nothing to write", []time.Duration{0}, day, []string{every}, nil, true, false},
		"Renewal":     {"it is due by time alone", []time.Duration{0}, 5 * day, []string{every}, nil, true, true},
		"Expired":     {"nobody takes it", []time.Duration{0}, 7 * day, []string{every}, nil, false, true},
		"OtherNames":  {"it says another name", []time.Duration{0}, day, []string{every}, func(r *certificate.ClientRequest) { r.DNSNames = []string{"b.test"} }, false, true},
		"OtherKey":    {"its key is of another kind", []time.Duration{0}, day, []string{every}, func(r *certificate.ClientRequest) { r.KeyType = certificate.RSA2048 }, false, true},
		"ShorterLife": {"it would live too long", []time.Duration{0}, day, []string{every}, func(r *certificate.ClientRequest) { r.Lifetime = day }, false, true},
		"Successor":   {"the authority that signs is good", []time.Duration{0, days(16.5)}, days(20.1), []string{every}, nil, true, true},
		"Switch":      {"the old authority is good", []time.Duration{0, days(16.5), days(20.1)}, days(21.2), []string{every}, nil, true, true},
		"AfterSwitch": {"the retired authority is trusted", []time.Duration{0, days(16.5), days(20.1)}, days(21.2), []string{leaf}, nil, true, true},
		"NoAuthority": {"there is none that could sign", []time.Duration{0}, 31 * day, []string{every}, nil, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			var before issuer.Client
			for _, at := range c.runs {
				before = full(t, folder, at).client(r)
			}
			d, asked := full(t, folder, c.at, c.fails...), r
			if c.change != nil {
				c.change(&asked)
			}
			got, err := d.Client(d.t.Context(), secret, asked)
			if !c.kept {
				if !errors.Is(err, errDiskFull) {
					t.Errorf("error %v, want %v: %s", err, errDiskFull, c.reason)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v, but %s", err, c.reason)
			}
			if got.KeyPair.Fingerprint() != before.KeyPair.Fingerprint() {
				t.Errorf("it is another, but %s", c.reason)
			}
			if err := d.verify(got.KeyPair); err != nil {
				t.Errorf("a backend refuses it: %v", err)
			}
			if errors.Is(got.Problem, errDiskFull) != c.wrong {
				t.Errorf("the problem is %v: %s", got.Problem, c.reason)
			}
			if end := before.KeyPair.Certificate().NotAfter.UTC().Format(time.RFC3339); c.wrong && !strings.Contains(got.Problem.Error(), end) {
				t.Errorf("the problem does not say until when it serves, %s: %v", end, got.Problem)
			}
			if d = full(t, folder, c.at); d.client(asked).Problem != nil {
				t.Error("there is a problem when the disk has room again")
			}
		})
	}
}

// A certificate can be issued before the file for the owners of backends is there:
// the Secret has the same authorities.
func TestCertificateIsIssuedWithoutThePublishedFile(t *testing.T) {
	folder := t.TempDir()
	c := full(t, folder, 0, issuer.AuthoritiesFile).client(request())
	if !errors.Is(c.Problem, errDiskFull) {
		t.Errorf("the problem is %v, want %v", c.Problem, errDiskFull)
	}
	d := full(t, folder, 0)
	again := d.client(request())
	if again.Problem != nil || again.KeyPair.Fingerprint() != c.KeyPair.Fingerprint() {
		t.Errorf("later: problem %v, or another certificate", again.Problem)
	}
	if err := d.verify(again.KeyPair); err != nil {
		t.Error(err)
	}
}

// On a disk that is read-only no lock can be made either.
func TestFolderThatCannotBeLockedIsRead(t *testing.T) {
	cases := map[string]struct {
		reason string
		at     time.Duration
		stored bool
	}{
		"Stored":        {"nothing is due", 0, true},
		"Due":           {"it is due by time alone", 17 * time.Hour, true},
		"NothingStored": {"nothing can be issued", 0, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			var before issuer.Client
			if c.stored {
				before = full(t, folder, 0).client(request())
				if err := os.Remove(filepath.Join(folder, "lock")); err != nil {
					t.Fatal(err)
				}
			}
			// Nothing can be made in the place of such a link.
			if err := os.Symlink(filepath.Join(folder, "no", "file"), filepath.Join(folder, "lock")); err != nil {
				t.Fatal(err)
			}
			files := names(t, folder)
			got, err := full(t, folder, c.at).Client(t.Context(), secret, request())
			switch {
			case !c.stored && !errors.Is(err, issuer.ErrFolder):
				t.Errorf("error %v, want %v: %s", err, issuer.ErrFolder, c.reason)
			case c.stored && err != nil:
				t.Errorf("%v, but %s", err, c.reason)
			case c.stored && got.KeyPair.Fingerprint() != before.KeyPair.Fingerprint():
				t.Error("it is another")
			case c.stored && !errors.Is(got.Problem, issuer.ErrFolder):
				t.Errorf("the problem is %v, want %v", got.Problem, issuer.ErrFolder)
			}
			if diff := cmp.Diff(files, names(t, folder)); diff != "" {
				t.Errorf("files were written without a lock (-want, +got):\n%s", diff)
			}
		})
	}
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
