package host

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/freeport"
)

func TestEnvoyStartsAndLeavesNothing(t *testing.T) {
	keeper := newKeeper(t)
	h := run(t, keeper, serveXDS(t, keeper, nil).address, nil)
	p := receive(t, "a ready Envoy", h.readys)

	modes := map[string]fs.FileMode{}
	for _, path := range []string{p.Folder, filepath.Join(p.Folder, "identity.json"), filepath.Join(p.Folder, "trust.json"),
		filepath.Join(p.Folder, "envoy.json"), filepath.Join(p.Folder, "lock"), p.AdminSocket} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		modes[filepath.Base(path)] = info.Mode()
	}
	want := map[string]fs.FileMode{
		filepath.Base(p.Folder): fs.ModeDir | 0o700,
		"identity.json":         0o600, "trust.json": 0o600, "envoy.json": 0o600, "lock": 0o600,
		"admin.sock": fs.ModeSocket | 0o600,
	}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Errorf("nothing is for others (-want, +got):\n%s", diff)
	}
	if p.Version.String() != EnvoyVersion || p.PID == 0 || p.Supervisor == 0 {
		t.Errorf("process %+v", p)
	}

	h.end(t)
	if !gone(p.PID) || !gone(p.Supervisor) {
		t.Errorf("Envoy gone %v, supervisor gone %v after Run", gone(p.PID), gone(p.Supervisor))
	}
}

func TestEnvoyIsNotReadyWithoutAControlPlane(t *testing.T) {
	h := run(t, newKeeper(t), "127.0.0.1:1", nil)
	p := receive(t, "a started Envoy", h.starts)
	a := newAdmin(p.AdminSocket)
	eventually(t, "the admin interface", func() bool {
		_, err := a.do(t.Context(), http.MethodGet, "/server_info")
		return err == nil
	})
	if _, err := a.do(t.Context(), http.MethodGet, "/ready"); err == nil {
		t.Error("an Envoy without configuration says that it is ready")
	}
}

func TestEnvoyIsRestartedAfterACrash(t *testing.T) {
	keeper := newKeeper(t)
	h := run(t, keeper, serveXDS(t, keeper, nil).address, nil)
	first := receive(t, "a ready Envoy", h.readys)
	mustKill(t, first.PID, syscall.SIGKILL)
	second := receive(t, "another ready Envoy", h.readys)
	if first.PID == second.PID || first.Folder != second.Folder || first.Supervisor != second.Supervisor {
		t.Errorf("after the crash of %+v runs %+v, want another process in the same folder", first, second)
	}
}

func TestEnvoyDiesWithItsSupervisor(t *testing.T) {
	keeper := newKeeper(t)
	h := run(t, keeper, serveXDS(t, keeper, nil).address, nil)
	first := receive(t, "a ready Envoy", h.readys)
	mustKill(t, first.Supervisor, syscall.SIGKILL)
	second := receive(t, "another ready Envoy", h.readys)
	if first.PID == second.PID || first.Supervisor == second.Supervisor {
		t.Errorf("after the supervisor of %+v was killed runs %+v", first, second)
	}
	eventually(t, "the end of the first Envoy", func() bool { return gone(first.PID) })
	if got, want := children(t, h.folder), []string{filepath.Base(second.Folder)}; !cmp.Equal(want, got) {
		t.Errorf("folders %v, want %v", got, want)
	}
}

// TestBackOff runs a program that always fails, on a clock of the test.
func TestBackOff(t *testing.T) {
	envoy := program(t, t.TempDir(), "envoy", "[ \"$1\" = --version ] && echo 'version: abc/1.40.0' && exit 0\nexit 3")
	clock := clocktesting.NewFakeClock(time.Unix(0, 0))
	h := run(t, newKeeper(t), "127.0.0.1:1", func(c *Config) { c.Envoy, c.Clock = envoy, clock })
	for _, wait := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		receive(t, "a start", h.starts)
		eventually(t, "the back-off", clock.HasWaiters)
		clock.Step(wait - 1)
		if !clock.HasWaiters() {
			t.Errorf("started again before %s", wait)
		}
		clock.Step(1)
	}
}

// TestStubbornEnvoyIsKilled runs a program that ignores SIGTERM.
func TestStubbornEnvoyIsKilled(t *testing.T) {
	envoy := program(t, t.TempDir(), "envoy",
		"[ \"$1\" = --version ] && echo 'version: abc/1.40.0' && exit 0\ntrap '' TERM\necho deaf\nexec sleep 1000")
	out := make(lines, 10)
	h := run(t, newKeeper(t), "127.0.0.1:1", func(c *Config) {
		c.Envoy, c.StopTimeout, c.Stdout = envoy, 100*time.Millisecond, out
	})
	p := receive(t, "a start", h.starts)
	if got := receive(t, "its output", out); got != "deaf\n" {
		t.Errorf("standard output is %q", got)
	}
	h.end(t)
	if !gone(p.PID) {
		t.Error("it runs on")
	}
}

type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestFolderRemoved lets someone else tidy up, as of old temporary files.
func TestFolderRemoved(t *testing.T) {
	keeper := newKeeper(t)
	first, _, err := keeper.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	identities := &source{current: first, changed: make(chan struct{}), asked: make(chan struct{}, 100)}
	h := run(t, keeper, serveXDS(t, keeper, nil).address, func(c *Config) { c.Identities = identities })
	p := receive(t, "a ready Envoy", h.readys)
	receive(t, "the first look at the identity", identities.asked)
	if err := os.RemoveAll(p.Folder); err != nil {
		t.Fatal(err)
	}
	second := first
	if second.KeyPair, err = keeper.State().Signing.Identity(fleet, time.Now(), certificate.DefaultPolicy()); err != nil {
		t.Fatal(err)
	}
	identities.set(second)
	receive(t, "the second look at the identity", identities.asked)
	if gone(p.PID) {
		t.Error("an Envoy that served was ended")
	}
	mustKill(t, p.PID, syscall.SIGKILL)
	next := receive(t, "another ready Envoy", h.readys)
	if next.Folder == p.Folder {
		t.Errorf("the same folder %s", p.Folder)
	}
}

// slowBackend holds each request until it is let go.
func slowBackend(t *testing.T) (port string, arrived chan struct{}, release chan struct{}) {
	t.Helper()
	arrived, release = make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "done")
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), arrived, release
}

type answer struct {
	status int
	body   string
	err    error
}

func request(ctx context.Context, client *http.Client, port string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/", http.NoBody)
		if err != nil {
			c <- answer{err: err}
			return
		}
		response, err := client.Do(r)
		if err != nil {
			c <- answer{err: err}
			return
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		c <- answer{response.StatusCode, string(body), err}
	}()
	return c
}

func TestStopLetsRequestsEnd(t *testing.T) {
	keeper := newKeeper(t)
	backend, arrived, release := slowBackend(t)
	port := strconv.Itoa(freeport.For(t))
	h := run(t, keeper, serveXDS(t, keeper, proxyTo(t, port, backend)).address, func(c *Config) { c.DrainTimeout = deadline })
	p := receive(t, "a ready Envoy", h.readys)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	got := request(t.Context(), client, port)
	receive(t, "the request at the backend", arrived)

	h.stop()
	eventually(t, "Envoy to refuse new connections", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if gone(p.PID) {
		t.Fatal("Envoy ended with a request in flight")
	}
	close(release)
	if a := receive(t, "the answer", got); a.err != nil || a.status != http.StatusOK || a.body != "done" {
		t.Errorf("the request in flight got %+v, want 200 done", a)
	}
	h.end(t)
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	keeper := newKeeper(t)
	backend, arrived, _ := slowBackend(t)
	port := strconv.Itoa(freeport.For(t))
	h := run(t, keeper, serveXDS(t, keeper, proxyTo(t, port, backend)).address,
		func(c *Config) { c.DrainTimeout = 100 * time.Millisecond })
	receive(t, "a ready Envoy", h.readys)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	got := request(t.Context(), client, port)
	receive(t, "the request at the backend", arrived)
	h.end(t)
	receive(t, "the end of the request", got)
}

// TestIdleConnectionsDoNotDelayTheStop keeps a browser's connection open.
func TestIdleConnectionsDoNotDelayTheStop(t *testing.T) {
	keeper := newKeeper(t)
	backend, _, release := slowBackend(t)
	close(release)
	port := strconv.Itoa(freeport.For(t))
	h := run(t, keeper, serveXDS(t, keeper, proxyTo(t, port, backend)).address, func(c *Config) { c.DrainTimeout = time.Hour })
	receive(t, "a ready Envoy", h.readys)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if a := receive(t, "the answer", request(t.Context(), client, port)); a.status != http.StatusOK {
		t.Fatalf("got %+v", a)
	}
	h.end(t) // within the deadline, not in an hour
}

// TestStatistics looks at what is kept after some traffic.
func TestStatistics(t *testing.T) {
	keeper := newKeeper(t)
	backend, _, release := slowBackend(t)
	close(release)
	port := strconv.Itoa(freeport.For(t))
	h := run(t, keeper, serveXDS(t, keeper, proxyTo(t, port, backend)).address, nil)
	p := receive(t, "a ready Envoy", h.readys)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if a := receive(t, "the answer", request(t.Context(), client, port)); a.status != http.StatusOK {
		t.Fatalf("got %+v", a)
	}
	body, err := newAdmin(p.AdminSocket).do(t.Context(), http.MethodGet, "/stats?format=text")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for line := range strings.Lines(string(body)) {
		name, _, _ := strings.Cut(line, ":")
		kept[name] = true
	}
	for _, name := range []string{
		"cluster.backend.upstream_rq_2xx", "cluster.backend.upstream_rq_total", "cluster.backend.upstream_rq_time",
		"cluster.backend.upstream_cx_connect_fail", "cluster.backend.membership_healthy",
		"http.web.downstream_rq_2xx", "http.web.downstream_rq_active", "http.web.downstream_rq_time",
		"listener.127.0.0.1_" + port + ".downstream_cx_active", "cluster_manager.active_clusters",
		"listener_manager.total_listeners_active", "control_plane.connected_state", "server.live",
		"cluster.xds.ssl.handshake",
	} {
		if !kept[name] {
			t.Errorf("an operator misses %s", name)
		}
	}
	for name := range kept {
		object, rest, _ := strings.Cut(strings.TrimPrefix(name, "cluster."), ".")
		if object == "backend" && (strings.HasPrefix(rest, "external") || strings.HasPrefix(rest, "lb_") ||
			strings.HasPrefix(rest, "circuit_breakers") || rest == "upstream_rq_200") {
			t.Errorf("nobody reads %s", name)
		}
	}
	if len(kept) > 400 {
		t.Errorf("%d statistics for one cluster and one listener", len(kept))
	}
}
