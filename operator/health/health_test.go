package health

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/ir"
)

func TestControlPlane(t *testing.T) {
	cases := map[string]struct {
		reason    string
		complete  bool
		committed uint64
		want      error
	}{
		"Starts":      {"it has seen nothing", false, 0, ErrSourceIncomplete},
		"Incomplete":  {"half a list would answer 404 for the other half", false, 3, ErrSourceIncomplete},
		"Uncommitted": {"what was listed is not served yet", true, 0, ErrNoRevision},
		"Ready":       {"both", true, 1, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ControlPlane(c.complete, c.committed); !errors.Is(got, c.want) {
				t.Errorf("%s: %v, want %v", c.reason, got, c.want)
			}
		})
	}
}

func TestAnyEnvoy(t *testing.T) {
	fresh := xds.StreamState{Node: "fresh", Sent: 4, Unacknowledged: 3}
	ready := xds.StreamState{Node: "ready", Sent: 9, Acknowledged: 4, Ready: 4}
	cases := map[string]struct {
		reason  string
		streams []xds.StreamState
		want    error
	}{
		"None":   {"nobody is connected", nil, ErrNoEnvoy},
		"Fresh":  {"sent is not acknowledged", []xds.StreamState{fresh}, ErrNotAcknowledged},
		"Behind": {"it serves, and is only behind", []xds.StreamState{ready}, nil},
		"One":    {"one that serves is enough", []xds.StreamState{fresh, ready}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := xds.FleetState{Fleet: ir.Name{Namespace: "a", Name: "b"}, Revision: 9, Streams: c.streams}
			if got := AnyEnvoy(&f); !errors.Is(got, c.want) {
				t.Errorf("%s: %v, want %v", c.reason, got, c.want)
			}
		})
	}
}

func TestHandlers(t *testing.T) {
	good := Check{"source", func(context.Context) error { return nil }}
	bad := Check{"envoy", func(context.Context) error { return errors.Join(ErrNoEnvoy, ErrNotAcknowledged) }}
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "some_rows", Help: "Rows."}, func() float64 { return 7 }))
	cases := map[string]struct {
		reason string
		h      Handlers
		method string
		path   string
		code   int
		want   string
	}{
		"Live":     {"it answers", Handlers{Ready: []Check{bad}}, "GET", LivePath, 200, "ok"},
		"Dead":     {"a check of its own", Handlers{Live: []Check{bad}}, "GET", LivePath, 503, "[-]envoy failed: no Envoy is connected; no complete revision is acknowledged\n"},
		"Ready":    {"all holds", Handlers{Ready: []Check{good}}, "GET", ReadyPath, 200, "ok"},
		"Verbose":  {"as kubectl get --raw does", Handlers{Ready: []Check{good}}, "GET", ReadyPath + "?verbose", 200, "[+]source ok\n"},
		"NotReady": {"it says what fails", Handlers{Ready: []Check{good, bad}}, "GET", ReadyPath, 503, "[+]source ok\n[-]envoy failed: no Envoy is connected; no complete revision is acknowledged\n"},
		"Metrics":  {"as text", Handlers{Metrics: registry}, "GET", MetricsPath, 200, "# HELP some_rows Rows.\n# TYPE some_rows gauge\nsome_rows 7\n"},
		"None":     {"no registry", Handlers{}, "GET", MetricsPath, 404, "404 page not found\n"},
		"Profiles": {"only on request", Handlers{}, "GET", ProfilesPath, 404, "404 page not found\n"},
		"Post":     {"a probe reads", Handlers{}, "POST", ReadyPath, 405, "Method Not Allowed\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			c.h.Mux().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody))
			if diff := cmp.Diff(c.want, w.Body.String()); w.Code != c.code || diff != "" {
				t.Errorf("%s: %d, want %d (-want, +got):\n%s", c.reason, w.Code, c.code, diff)
			}
		})
	}
	h := Handlers{Profiles: true}
	w := httptest.NewRecorder()
	h.Mux().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, ProfilesPath, http.NoBody))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("profiles: %d %s", w.Code, w.Body)
	}
}

// A check that hangs must not hang the probe.
func TestProbesEnd(t *testing.T) {
	h := Handlers{Ready: []Check{{"hangs", func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}}}}
	w := httptest.NewRecorder()
	h.Mux().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, ReadyPath, http.NoBody))
	if want := "[-]hangs failed: context deadline exceeded\n"; w.Code != 503 || w.Body.String() != want {
		t.Errorf("%d %q, want 503 %q", w.Code, w.Body, want)
	}
}
