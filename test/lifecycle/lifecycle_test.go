// Package lifecycle proves how `signet standalone` begins and ends, with the
// real binary as a user runs it: whatever ends it, no Envoy, socket or folder
// is left behind, and the next one serves.
package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/signetproxy/signet/test/freeport"
)

const patience = 30 * time.Second

var signet string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signet-lifecycle-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	signet = filepath.Join(dir, "signet")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-race", "-o", signet, "../../cmd/signet").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building signet: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

const manifest = `apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: hello}
spec:
  virtualhost: {fqdn: hello.test}
  routes: [{directResponsePolicy: {statusCode: 200, body: hello}}]
`

// output collects what a process says, for the report of a failure.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// standalone is one run of the binary with a runtime folder of its own.
type standalone struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *output
	runtime string
	port    int
	ended   chan error
}

func start(t *testing.T, manifests, runtime string, args ...string) *standalone {
	t.Helper()
	s := &standalone{t: t, runtime: runtime, port: freeport.For(t), out: &output{}, ended: make(chan error, 1)}
	s.cmd = exec.CommandContext(context.Background(), signet, append([]string{
		"standalone", "--manifests", manifests, "--http-port", fmt.Sprint(s.port), "--https-port", fmt.Sprint(freeport.For(t)), "--concurrency", "1",
	}, args...)...)
	s.cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

func (s *standalone) serves() {
	s.t.Helper()
	s.until("a 200 from hello.test", func() bool {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", s.port), http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Host, req.Close = "hello.test", true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// until polls: what it waits for are other processes.
func (s *standalone) until(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	s.t.Fatalf("waited %s for %s; it said:\n%s", patience, what, s.out)
}

// processes are the living processes that know the runtime folder: signet, its
// supervisor and Envoy.
func (s *standalone) processes() []string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var found []string
	for _, d := range dirs {
		env, err := os.ReadFile(filepath.Join(d, "environ"))
		if err != nil || !bytes.Contains(env, []byte(s.runtime)) {
			continue
		}
		if stat, err := os.ReadFile(filepath.Join(d, "stat")); err != nil || strings.Contains(string(stat), ") Z ") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	return found
}

// stop ends the run as a user would, and checks that nothing is left.
func (s *standalone) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		s.t.Errorf("ended with %v; it said:\n%s", err, s.out)
	}
	s.nothingLeft()
}

func (s *standalone) nothingLeft() {
	s.t.Helper()
	s.until("all processes to be gone", func() bool { return len(s.processes()) == 0 })
	s.until("an empty runtime folder", func() bool {
		left, err := os.ReadDir(s.runtime)
		return err == nil && len(left) == 0
	})
}

func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNothingIsLeftBehind(t *testing.T) {
	cases := map[string]struct {
		reason string
		signal syscall.Signal
		clean  bool // exit code 0
	}{
		"SIGINT":  {"Ctrl-C drains and ends", syscall.SIGINT, true},
		"SIGTERM": {"as a supervisor of services stops it", syscall.SIGTERM, true},
		"SIGKILL": {"no chance to clean up", syscall.SIGKILL, false},
	}
	manifests := folder(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, manifests, shortTempDir(t))
			s.serves()
			if n := len(s.processes()); n < 3 {
				t.Fatalf("%d processes run, want signet, its supervisor and Envoy", n)
			}
			if err := s.cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-s.ended:
				if (err == nil) != c.clean {
					t.Errorf("%s: ended with %v; it said:\n%s", c.reason, err, s.out)
				}
			case <-time.After(patience):
				t.Fatalf("%s: still running after %s; it said:\n%s", c.reason, patience, s.out)
			}
			s.nothingLeft()

			again := start(t, manifests, s.runtime)
			again.serves()
			again.stop()
		})
	}
}

// Envoy is started again when it dies, and serves again.
func TestEnvoyIsRestarted(t *testing.T) {
	s := start(t, folder(t), shortTempDir(t))
	s.serves()
	killed := s.kill()
	s.until("another Envoy", func() bool {
		pid := s.pid()
		return pid != 0 && pid != killed
	})
	s.serves()
	s.stop()
}

// kill ends the Envoy of this run and returns its process id.
func (s *standalone) kill() int {
	s.t.Helper()
	pid := s.pid()
	if pid == 0 {
		s.t.Fatalf("no Envoy among %q", s.processes())
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// pid returns the process id of this run's Envoy, 0 when there is none.
func (s *standalone) pid() int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		env, err := os.ReadFile(filepath.Join(d, "environ"))
		if err != nil || !bytes.Contains(env, []byte(s.runtime)) {
			continue
		}
		exe, err := os.Readlink(filepath.Join(d, "exe"))
		if err != nil || filepath.Base(exe) != "envoy" {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(filepath.Base(d), &pid); err == nil {
			return pid
		}
	}
	return 0
}

func TestStatusOfARunningStandalone(t *testing.T) {
	s := start(t, folder(t), shortTempDir(t))
	s.serves()
	cmd := exec.CommandContext(t.Context(), signet, "status", "-o", "json")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+s.runtime)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("signet status: %v\n%s", err, out)
	}
	var report struct {
		Statuses []struct {
			APIVersion, Kind, Namespace, Name string
			Status                            struct{ CurrentStatus string }
		}
		Fleets []struct{ Envoys []struct{ Ready bool } }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(report.Statuses) != 1 || report.Statuses[0].Status.CurrentStatus != "valid" || report.Statuses[0].APIVersion != "projectcontour.io/v1" {
		t.Errorf("statuses: got %+v, want one that is valid", report.Statuses)
	}
	if len(report.Fleets) != 1 || len(report.Fleets[0].Envoys) != 1 || !report.Fleets[0].Envoys[0].Ready {
		t.Errorf("fleets: got %+v, want one with one ready Envoy", report.Fleets)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"no folder":    {"the flag is required", []string{"standalone"}, `required flag(s) "manifests" not set`},
		"wrong folder": {"a typing error", []string{"standalone", "--manifests", "/nonexistent"}, "/nonexistent"},
		"no Envoy":     {"it says where it looked", []string{"standalone", "--manifests", ".", "--envoy", "/nonexistent/envoy"}, "/nonexistent/envoy"},
		"not running":  {"status has nobody to ask", []string{"status"}, "no running standalone"},
		"same ports":   {"two listeners cannot share one", []string{"standalone", "--manifests", ".", "--http-port", "1234", "--https-port", "1234"}, "are both 1234"},
		"log format":   {"it names the choices", []string{"standalone", "--manifests", ".", "--log-format", "xml"}, "console or json"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), signet, c.args...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+shortTempDir(t))
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), c.want) {
				t.Errorf("%s: got exit code %d (%v) and\n%swant 2 and %q", c.reason, cmd.ProcessState.ExitCode(), err, out, c.want)
			}
		})
	}
}

// shortTempDir is a temporary folder with a short path: a unix socket's is
// limited to some 100 bytes.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
