package node

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestProcess ends a component as a crash would, and by order.
func TestProcess(t *testing.T) {
	p := &process{component: component{"sleep", []string{"sleep", "1000"}}, log: filepath.Join(t.TempDir(), "log")}
	start := func() {
		t.Helper()
		if err := p.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	start()
	first := running(t, p, 0)
	start()
	if again := running(t, p, 0); again != first {
		t.Errorf("a component that runs was started again: %d, then %d", first, again)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := running(t, p, first)
	p.kill()
	if s := p.state(); s.PID != 0 || !s.Stopped {
		t.Errorf("a component that was stopped is %+v", s)
	}
	p.kill() // nothing to do
	start()
	running(t, p, second)
	p.kill()
	if s := p.state(); s.Ends != 3 {
		t.Errorf("a component that ended three times: %+v", s)
	}
}

// running waits until the component runs as another process than before.
func running(t *testing.T, p *process, before int) int {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if s := p.state(); s.PID != 0 && s.PID != before {
			return s.PID
		}
		select {
		case <-deadline:
			t.Fatalf("the component does not run: %+v", p.state())
		case <-tick.C:
		}
	}
}

func TestFind(t *testing.T) {
	p := &process{component: component{Kubelet, nil}}
	if found, err := find([]*process{p}, Kubelet); found != p || err != nil {
		t.Errorf("the kubelet: %v, %v", found, err)
	}
	if _, err := find([]*process{p}, "kubelte"); err == nil {
		t.Error("a component was found that there is not")
	}
}
