//go:build unix

package issuer_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signetproxy/signet/provisioner/issuer"
)

// hang holds the lock of a folder as a process does that was stopped.
func hang(t *testing.T, folder string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

// Whoever holds the lock for ever does not hold up who waits for it: what is stored
// is presented, and what hangs is told.
func TestLockIsNotWaitedForForEver(t *testing.T) {
	folder := t.TempDir()
	first := open(t, folder).client(request())
	hang(t, folder)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := &desk{t: t, folder: folder, now: start}
		d.Issuer = issuer.New(issuer.Config{Folder: folder, Now: func() time.Time { return d.now }})
		c, err := d.Client(t.Context(), secret, request())
		if err != nil {
			t.Fatal(err)
		}
		if c.KeyPair.Fingerprint() != first.KeyPair.Fingerprint() {
			t.Error("it is not the stored one")
		}
		if c.Problem == nil || !strings.Contains(c.Problem.Error(), filepath.Join(folder, "lock")+": another process has held it for 5s") {
			t.Errorf("the problem is %v", c.Problem)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Nor does it hold up the end of the program, and nothing is issued then.
func TestLockIsNotWaitedForAtTheEnd(t *testing.T) {
	folder := t.TempDir()
	hang(t, folder)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := issuer.New(issuer.Config{Folder: folder}).Client(ctx, secret, request()); err == nil {
			t.Error("it was issued without the lock")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Nor is a key waited for that is no longer wanted.
func TestKeyIsNotWaitedForAtTheEnd(t *testing.T) {
	folder := t.TempDir()
	first := open(t, folder).client(request())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, asked := open(t, folder), request()
	asked.Lifetime = time.Hour // it is due
	c, err := d.Client(ctx, secret, asked)
	if err == nil {
		t.Fatalf("it was issued: %s", c.KeyPair)
	}
	if again := d.client(request()); again.KeyPair.Fingerprint() != first.KeyPair.Fingerprint() {
		t.Error("what is stored is another")
	}
}
