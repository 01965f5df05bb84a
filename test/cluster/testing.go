package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// TB is what a cluster needs of a test; testing.TB and GinkgoT() have it.
type TB interface {
	Helper()
	Cleanup(fn func())
	Context() context.Context
	Errorf(format string, args ...any)
	Failed() bool
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// ownNames is how the names begin that Start chooses.
const ownNames = "test-"

// Sweep removes what clusters of tests left whose process was killed.
func Sweep(ctx context.Context) error {
	l, err := newLayout()
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(string(l.state(ownNames)) + "*")
	if err != nil {
		return fmt.Errorf("clusters' folder: %w", err)
	}
	for _, folder := range folders {
		name := filepath.Base(folder)
		if lives, err := alive(l.state(name)); err != nil || lives || filepath.Ext(name) != "" {
			continue
		}
		// One that is just being started is locked, and left alone.
		if err := Down(ctx, name); err != nil && !errors.Is(err, errBusy) {
			return err
		}
	}
	return nil
}

// Start starts a cluster that ends with the test, and with the test's process
// however that ends. A test that fails shows the ends of the components' logs.
// Without a name in the options the cluster has one of its own.
func Start(t TB, o Options) *Cluster {
	t.Helper()
	if o.Name == "" {
		o.Name = fmt.Sprintf("%s%d", ownNames, os.Getpid())
	}
	if err := Sweep(t.Context()); err != nil {
		t.Logf("%v", err) // the next test tries again
	}
	o.tied = true
	if o.Progress == nil {
		o.Progress = func(line string) { t.Logf("cluster %s: %s", o.Name, line) }
	}
	c, err := Up(t.Context(), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the ends of the logs of cluster %s:\n%s", o.Name, c.Tails())
		}
		// The test's context has ended by now.
		if err := c.Down(context.Background()); err != nil {
			t.Errorf("%v", err)
		}
	})
	return c
}
