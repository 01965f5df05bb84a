package host

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParentKilled(t *testing.T) {
	dir := shortDir(t)
	p := startParent(t, dir, "127.0.0.1:1")
	mustKill(t, p.cmd.Process.Pid, syscall.SIGKILL)
	eventually(t, "the end of Envoy", func() bool { return gone(p.process.PID) })
	eventually(t, "the end of the supervisor", func() bool { return gone(p.process.Supervisor) })
	if left := children(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAllKilled kills the parent and the supervisor: the kernel ends Envoy,
// and the next run removes the folder.
func TestAllKilled(t *testing.T) {
	dir := shortDir(t)
	p := startParent(t, dir, "127.0.0.1:1")
	// Stopped, the supervisor cannot see its parent's end before its own.
	mustKill(t, p.process.Supervisor, syscall.SIGSTOP)
	mustKill(t, p.cmd.Process.Pid, syscall.SIGKILL)
	mustKill(t, p.process.Supervisor, syscall.SIGKILL)
	eventually(t, "the end of Envoy", func() bool { return gone(p.process.PID) })
	if got, want := children(t, dir), []string{filepath.Base(p.process.Folder)}; !cmp.Equal(want, got) {
		t.Fatalf("folders %v, want the stale one, %v", got, want)
	}
	keeper := newKeeper(t)
	h := run(t, keeper, "127.0.0.1:1", func(c *Config) { c.Folder = dir })
	next := receive(t, "a started Envoy", h.starts)
	if got, want := children(t, dir), []string{filepath.Base(next.Folder)}; !cmp.Equal(want, got) {
		t.Errorf("folders %v, want the live one alone, %v", got, want)
	}
}

func TestParentSignalled(t *testing.T) {
	cases := map[string]struct {
		reason string
		signal func(t *testing.T, p *parent)
	}{
		"SIGTERM": {"as a service manager does", func(t *testing.T, p *parent) {
			t.Helper()
			mustKill(t, p.cmd.Process.Pid, syscall.SIGTERM)
		}},
		"Ctrl-C": {"a terminal signals the whole process group, of which Envoy is none", func(t *testing.T, p *parent) {
			t.Helper()
			for _, pid := range []int{p.process.PID, p.process.Supervisor} {
				if group, err := syscall.Getpgid(pid); err != nil || group == p.cmd.Process.Pid {
					t.Errorf("process %d is in group %d (%v), which is the parent's", pid, group, err)
				}
			}
			if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}},
		"service": {"a service manager may signal all at once", func(t *testing.T, p *parent) {
			t.Helper()
			for _, pid := range []int{p.process.PID, p.process.Supervisor, p.cmd.Process.Pid} {
				mustKill(t, pid, syscall.SIGTERM)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			p := startParent(t, dir, "127.0.0.1:1")
			tc.signal(t, p)
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("%s: the parent ends with %v, want success", tc.reason, err)
			}
			if !gone(p.process.PID) || !gone(p.process.Supervisor) {
				t.Errorf("%s: Envoy gone %v, supervisor gone %v", tc.reason, gone(p.process.PID), gone(p.process.Supervisor))
			}
			if left := children(t, dir); len(left) > 0 {
				t.Errorf("%s: left behind: %v", tc.reason, left)
			}
		})
	}
}
