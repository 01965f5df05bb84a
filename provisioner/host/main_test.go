package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"go.uber.org/goleak"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// parentCommand makes the test binary a program that calls Run, for the tests
// that kill it.
const parentCommand = "test-parent"

// deadline bounds every wait: it is for what never comes.
const deadline = 30 * time.Second

var fleet = ir.Name{Namespace: "edge", Name: "public"}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case SupervisorCommand:
			os.Exit(SupervisorMain(os.Args[2:]))
		case parentCommand:
			os.Exit(parentMain(os.Args[2], os.Args[3]))
		}
	}
	goleak.VerifyTestMain(m)
}

// parentMain runs Envoy as a program would, and prints each start.
func parentMain(folder, xds string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err == nil {
		err = Run(ctx, Config{
			Fleet: fleet, XDSAddress: xds, Identities: keeper, Folder: folder, Concurrency: 1,
			OnStart: func(p Process) { _ = json.NewEncoder(os.Stdout).Encode(p) },
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// harness is one Run in the background.
type harness struct {
	folder string
	keeper *certificate.Keeper
	starts chan Process
	readys chan Process
	stop   context.CancelFunc
	ended  chan error
}

func testEnvoy(t *testing.T) string {
	t.Helper()
	path, err := Find("")
	if err != nil {
		t.Fatalf("this test needs Envoy: %v", err)
	}
	return path
}

func newKeeper(t *testing.T) *certificate.Keeper {
	t.Helper()
	k, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func shortDir(t *testing.T) string {
	t.Helper()
	// t.TempDir is too long for a unix socket's path.
	dir, err := os.MkdirTemp("", "h")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testLog(t *testing.T) logr.Logger {
	t.Helper()
	return testr.NewWithOptions(t, testr.Options{Verbosity: 1})
}

// run starts Envoy against an xDS server; change adjusts the config.
func run(t *testing.T, keeper *certificate.Keeper, xds string, change func(*Config)) *harness {
	t.Helper()
	h := &harness{
		folder: shortDir(t), keeper: keeper,
		starts: make(chan Process, 100), readys: make(chan Process, 100), ended: make(chan error, 1),
	}
	c := Config{
		Fleet: fleet, NodeID: "node", XDSAddress: xds, Identities: keeper, Folder: h.folder, Concurrency: 1,
		OnStart: func(p Process) { h.starts <- p },
		OnReady: func(p Process) { h.readys <- p },
		Log:     testLog(t),
	}
	if change != nil {
		change(&c)
	}
	if c.Envoy == "" {
		c.Envoy = testEnvoy(t)
	}
	var ctx context.Context
	ctx, h.stop = context.WithCancel(t.Context())
	go func() { h.ended <- Run(ctx, c) }()
	t.Cleanup(func() { h.end(t) })
	return h
}

// end stops the run, once, and checks that it left nothing.
func (h *harness) end(t *testing.T) {
	t.Helper()
	if h.ended == nil {
		return
	}
	h.stop()
	if err := receive(t, "the end of Run", h.ended); err != nil {
		t.Errorf("Run: %v", err)
	}
	h.ended = nil
	h.empty(t)
}

func (h *harness) empty(t *testing.T) {
	t.Helper()
	if left := children(t, h.folder); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func children(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("waited %s in vain for %s", deadline, what)
		panic("unreachable")
	}
}

// eventually polls for something that no one announces.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), deadline)
	defer cancel()
	if poll(ctx, done) != nil {
		t.Fatalf("waited %s in vain for %s", deadline, what)
	}
}

// gone says that no process runs under the id; one that only waits to be
// reaped does not run.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) != nil
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}

func mustKill(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("process id %d", pid)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// parent is the test binary in the role of a program that calls Run.
type parent struct {
	cmd     *exec.Cmd
	folder  string
	process Process
}

func startParent(t *testing.T, folder, xds string) *parent {
	t.Helper()
	testEnvoy(t)
	p := &parent{cmd: exec.Command(os.Args[0], parentCommand, folder, xds), folder: folder}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	if err := json.NewDecoder(out).Decode(&p.process); err != nil {
		t.Fatalf("the parent's first line: %v", err)
	}
	return p
}
