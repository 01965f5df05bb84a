// Package rollout proves with a real Envoy that programmed means acknowledged:
// in the status, in the metrics, and in what probes are told.
package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/signetproxy/signet/operator/health"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/world"
	"github.com/signetproxy/signet/translator/gatewayapi"
)

func TestMain(m *testing.M) { world.Main(m) }

// answers is an HTTPProxy that answers with a status code.
func answers(code int) string {
	return fmt.Sprintf(`apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: web}
spec:
  virtualhost: {fqdn: web.test}
  routes: [{directResponsePolicy: {statusCode: %d}}]
`, code)
}

const fleet = `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: edge}
spec: {}
`

// get asks for a path; an address that nobody listens on yet is code 0.
func get(t *testing.T, address, path string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// within asks until ok says yes.
func within(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	var last string
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); <-ticker.C {
		var yes bool
		if yes, last = ok(); yes {
			return
		}
	}
	t.Fatalf("%s: not within %s, last was %s", what, world.Patience, last)
}

// sample is the value of a metric's sample, written as Prometheus does.
func sample(t *testing.T, w *world.World, name string) float64 {
	t.Helper()
	_, text := get(t, w.Metrics, health.MetricsPath)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no sample of %s in:\n%s", name, text)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// programmed returns the entry of an object in the report.
func programmed(t *testing.T, r *report.Report, kind string) report.Programmed {
	t.Helper()
	for _, s := range r.Statuses {
		if s.Kind == kind && s.Programmed != nil {
			return *s.Programmed
		}
	}
	t.Fatalf("no %s with its progress in %+v", kind, r.Statuses)
	return report.Programmed{}
}

// A change shows in traffic, in the status and in the histogram.
func TestAnAcknowledgementIsCounted(t *testing.T) {
	w := world.Start(t, testr.New(t), map[string]string{"proxy": answers(200), "fleet": fleet})
	w.Await(t, "web.test", "/", 200)
	var first report.Programmed
	within(t, "the first revision is acknowledged", func() (bool, string) {
		first = programmed(t, w.Report(), "HTTPProxy")
		return first.Acknowledged == 1 && first.Envoys == 1, fmt.Sprint(first)
	})
	const count = `signet_propagation_seconds_count{kind="HTTPProxy"}`
	if n := sample(t, w, count); n != 0 {
		t.Errorf("%g changes are measured before there was one", n)
	}
	w.Write("proxy", answers(204))
	w.Await(t, "web.test", "/", 204)
	within(t, "the change is acknowledged", func() (bool, string) {
		p := programmed(t, w.Report(), "HTTPProxy")
		return p.Revision > first.Revision && p.Acknowledged == 1 && p.Envoys == 1, fmt.Sprint(p)
	})
	within(t, "the change is measured", func() (bool, string) {
		n := sample(t, w, count)
		return n == 1, fmt.Sprint(n)
	})
	if s := sample(t, w, `signet_propagation_seconds_sum{kind="HTTPProxy"}`); s <= 0 {
		t.Errorf("the change took %g s", s)
	}
	if n := sample(t, w, `signet_propagation_pending{fleet="standalone",namespace="signet"}`); n != 0 {
		t.Errorf("%g changes wait for an acknowledgement", n)
	}
	var text bytes.Buffer
	if err := w.Report().WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"HTTPProxy default/web: valid, Valid HTTPProxy\n  programmed 1/1, revision ",
		"  Programmed=True Programmed: 1/1 connected Envoys have acknowledged revision ",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the status lacks %q:\n%s", want, text.String())
		}
	}
}

// redirects is a Gateway with a route, which answers by itself.
func redirects(port, code int) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: signet}
spec: {controllerName: %s}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: signet
  listeners: [{name: http, protocol: HTTP, port: %d}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: edge}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: other.test, statusCode: %d}}]}]
`, gatewayapi.ControllerName, port, code)
}

// So it is with the kinds of the Gateway API.
func TestAnAcknowledgementOfTheGatewayAPIIsCounted(t *testing.T) {
	port := freeport.For(t)
	w := world.Start(t, testr.New(t), map[string]string{"route": redirects(port, 301)})
	var first report.Programmed
	within(t, "the first revision is acknowledged", func() (bool, string) {
		first = programmed(t, w.Report(), "HTTPRoute")
		return first.Acknowledged == 1 && first.Envoys == 1, fmt.Sprint(first)
	})
	w.Write("route", redirects(port, 302))
	within(t, "the change is acknowledged", func() (bool, string) {
		p := programmed(t, w.Report(), "HTTPRoute")
		return p.Revision > first.Revision && p.Acknowledged == 1 && p.Envoys == 1, fmt.Sprint(p)
	})
	within(t, "the change is measured", func() (bool, string) {
		n := sample(t, w, `signet_propagation_seconds_count{kind="HTTPRoute"}`)
		return n == 1, fmt.Sprint(n)
	})
	if n := sample(t, w, `signet_propagation_seconds_count{kind="Gateway"}`); n != 0 {
		t.Errorf("%g changes of the Gateway are measured, and it is as it was", n)
	}
	if p := programmed(t, w.Report(), "Gateway"); p.Acknowledged != 1 || p.Envoys != 1 {
		t.Errorf("the Gateway is programmed %d/%d", p.Acknowledged, p.Envoys)
	}
}

// held is an Envoy that starts when the test lets it. It returns its path.
func held(t *testing.T) (path string, release func()) {
	t.Helper()
	dir := t.TempDir()
	gate, script := filepath.Join(dir, "gate"), filepath.Join(dir, "envoy")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	envoy, err := host.Find("")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --version ] || read -r _ < '%s'\nexec '%s' \"$@\"\n", gate, envoy)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script, func() {
		if err := os.WriteFile(gate, []byte("go\n"), 0o600); err != nil { // waits for the reader
			t.Error(err)
		}
	}
}

// Nobody is told that requests are served before Envoy has said so.
func TestReadyMeansAcknowledged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "proxy.yaml"), []byte(answers(200)), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeport.AddressFor(t)
	envoy, release := held(t)
	runtime, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runtime) })
	s, err := standalone.New(standalone.Config{
		Manifests: dir, Address: "127.0.0.1", HTTPPort: freeport.For(t), HTTPSPort: freeport.For(t), MetricsAddress: address,
		RuntimeRoot: runtime, Log: testr.New(t), Concurrency: 1, Envoy: envoy,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("signet standalone: %v", err)
		}
	})

	within(t, "the control plane is ready", func() (bool, string) {
		code, body := get(t, address, health.ReadyPath)
		if code == http.StatusOK {
			t.Fatalf("ready before Envoy has started: %s", body)
		}
		return strings.Contains(body, "[+]control-plane ok"), body
	})
	if code, body := get(t, address, health.ReadyPath); code != http.StatusServiceUnavailable || !strings.Contains(body, "[-]envoy failed: fleet signet/standalone: no Envoy is connected") {
		t.Errorf("without Envoy: %d %s, want 503", code, body)
	}
	if code, body := get(t, address, health.LivePath); code != http.StatusOK {
		t.Errorf("alive: %d %s, want 200", code, body)
	}
	release()
	within(t, "Envoy is ready", func() (bool, string) {
		code, body := get(t, address, health.ReadyPath)
		if code != http.StatusOK {
			return false, body
		}
		if e := s.Report().Fleets[0].Envoys; len(e) != 1 || !e[0].Ready || e[0].Acknowledged == 0 {
			t.Fatalf("ready, and the Envoys are %+v", e)
		}
		return true, body
	})
}
