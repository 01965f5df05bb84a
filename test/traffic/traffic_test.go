package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

// siteOf is a world as a site.
func siteOf(t *testing.T, w *world.World) *estate.Site {
	t.Helper()
	s := &estate.Site{
		Folder: w.Folder(), HTTP: fmt.Sprintf("127.0.0.1:%d", w.HTTPPort), HTTPS: fmt.Sprintf("127.0.0.1:%d", w.HTTPSPort),
	}
	s.Open()
	t.Cleanup(s.Close)
	return s
}

// The short forms are small enough for two loaded processors with the race
// detector: what is asserted is answers, never how long they took.
const (
	shortRate      = 100
	shortSwitches  = 30
	shortRotations = 10
	shortRounds    = 5
)

// TestSwitches is D3: a route that moves loses no request, and whoever has seen
// the new upstream never meets the old one.
func TestSwitches(t *testing.T) {
	w := world.Start(t, testr.New(t), nil)
	site := siteOf(t, w)
	var s stage
	t.Cleanup(s.close)
	if err := s.setSwitches(site); err != nil {
		t.Fatal(err)
	}
	for _, k := range switchings() {
		t.Run(k.name, func(t *testing.T) {
			took, r, err := k.run(t.Context(), site, shortSwitches, shortRate)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Wrong("switched " + k.name); err != nil {
				t.Error(err)
			}
			if len(took) != shortSwitches || r.Requests < shortSwitches/2 {
				t.Errorf("want %d switches and requests beside each, got %d and %d", shortSwitches, len(took), r.Requests)
			}
		})
	}
}

// TestRotations is D4: a rotation loses no request, opens no connection where
// one is kept, and new connections use the new material.
func TestRotations(t *testing.T) {
	// The folder is there before the backends' addresses are known to it.
	w := world.Start(t, testr.New(t), nil)
	site := siteOf(t, w)
	r, err := newRotation(site, shortRotations)
	t.Cleanup(r.close)
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.files()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteAll(files)
	for name, rotate := range map[string]func(int) (time.Duration, error){"trust": r.trust, "client certificate": r.certificate} {
		t.Run(name, func(t *testing.T) {
			if name == "client certificate" {
				// Whichever came first, the backend must be trusted.
				if _, err := estate.Until(r.site.Served(firstHost, false)); err != nil {
					t.Fatal(err)
				}
			}
			out, err := r.run(t.Context(), shortRotations, shortRate, rotate)
			if err != nil {
				t.Fatal(err)
			}
			if err := out.requests.Wrong(name); err != nil {
				t.Error(err)
			}
			if out.kept == 0 || out.opened != 0 {
				t.Errorf("connections to the backend that keeps its: there were %d, and %d were opened", out.kept, out.opened)
			}
		})
	}
}

// TestRetranslation is D8: endpoints reach traffic while all hosts are
// translated again, and no request of any host is lost by that.
func TestRetranslation(t *testing.T) {
	const hosts = 200
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Leaf{DNS: []string{estate.Subject}})
	if err != nil {
		t.Fatal(err)
	}
	var s stage
	t.Cleanup(s.close)
	var backends [2]*backend.Backend
	for i, name := range []string{"a", "b"} {
		if backends[i], err = s.start(backend.Config{Name: name, Certificate: &pair.TLS}); err != nil {
			t.Fatal(err)
		}
	}
	shared := func(protocol string) string {
		return world.Service("default", "shared", 443, map[string]string{"projectcontour.io/upstream-protocol." + protocol: "443"}, backends[0])
	}
	docs := make([]string, hosts)
	for i := range docs {
		docs[i] = estate.Proxy(estate.Host(i)[:len(estate.Host(i))-len(estate.Domain)-1], estate.Host(i), "", false,
			world.Route("/", world.Validated("own", 443, "tls", "ca", estate.Subject)),
			world.Route(estate.SharedPath, world.Validated("shared", 443, "", "ca", estate.Subject)))
	}
	w := world.Start(t, testr.New(t), map[string]string{
		"ca": world.CA("default", "ca", ca.PEM()), "shared": shared("tls"), "hosts": world.All(docs...),
		"own": world.Service("default", "own", 443, nil), "slice": world.Endpoints("default", "own", backends[0]),
	})
	site := siteOf(t, w)
	for _, path := range []string{"/", estate.SharedPath} {
		if _, err := estate.Until(func() (bool, error) {
			o := site.Ask(load.Request{Host: estate.Host(hosts - 1), Path: path})
			return o.Code == http.StatusOK, o.Err
		}); err != nil {
			t.Fatal(err)
		}
	}
	c := site.Load(shortRate)
	c.Next = func(n int) load.Request {
		return load.Request{Host: estate.Host(n * 7 % hosts), Path: []string{"/", estate.SharedPath}[n%2]}
	}
	l := load.Start(c)
	for i := range shortRounds {
		protocol, proto, to := "h2", "HTTP/2.0", "b"
		if i%2 == 1 {
			protocol, proto, to = "tls", "HTTP/1.1", "a"
		}
		w.Write("shared", shared(protocol))
		w.Write("slice", world.Endpoints("default", "own", backends[(i+1)%2]))
		await(t, site, "the endpoints", func(o *load.Outcome) bool { return o.Header.Get("X-Backend") == to }, "/")
		await(t, site, "the protocol", func(o *load.Outcome) bool {
			var seen backend.Request
			return json.Unmarshal(o.Body, &seen) == nil && seen.Proto == proto
		}, estate.SharedPath)
	}
	r := l.Stop()
	if err := r.Wrong("while all is translated"); err != nil {
		t.Error(err)
	}
}

// await waits until an answer is fresh; each must be a 200.
func await(t *testing.T, site *estate.Site, what string, fresh func(*load.Outcome) bool, path string) {
	t.Helper()
	if _, err := estate.Until(func() (bool, error) {
		o := site.Ask(load.Request{Host: estate.Host(0), Path: path})
		return o.Err == nil && fresh(o), load.Code(http.StatusOK)(o)
	}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// TestSwitchJudge shows that the judge of the switches refuses what it must.
func TestSwitchJudge(t *testing.T) {
	k := &switching{backend: func(v int) string { return []string{"even", "odd"}[v%2] }}
	line := &load.Timeline{}
	line.Write()
	line.Saw(time.Now())
	line.Write()
	afterWrite := time.Now()
	line.Saw(time.Now())
	afterSeen := time.Now()
	answer := func(code int, version, backend string, sent time.Time) *load.Outcome {
		return &load.Outcome{Code: code, Sent: sent, Done: time.Now(), Header: http.Header{"X-Version": {version}, "X-Backend": {backend}}}
	}
	cases := map[string]struct {
		reason  string
		outcome *load.Outcome
		wrong   bool
	}{
		"New":          {"the newest version is right", answer(200, "v1", "odd", afterSeen), false},
		"OldInTime":    {"a request sent before the switch was seen may get the old one", answer(200, "v0", "even", afterWrite), false},
		"OldTooLate":   {"after it was seen it must not", answer(200, "v0", "even", afterSeen), true},
		"WrongBackend": {"a version has one backend", answer(200, "v1", "even", afterSeen), true},
		"Early":        {"nothing is served before it is written", answer(200, "v2", "even", afterSeen), true},
		"NoVersion":    {"an answer has a version", answer(200, "", "odd", afterSeen), true},
		"Code":         {"503 is a lost request", answer(503, "", "", afterSeen), true},
		"Error":        {"no answer is a lost request", &load.Outcome{Err: errors.New("reset"), Sent: afterSeen, Done: time.Now()}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := k.judge(line, c.outcome)
			if diff := cmp.Diff(c.wrong, err != nil); diff != "" {
				t.Errorf("%s: wrong: -want, +got:\n%s%v", c.reason, diff, err)
			}
		})
	}
}

func TestRatios(t *testing.T) {
	row := func(scenario, what string, hosts int, p50, p99 float64, bars ...figures.Bar) figures.Summary {
		s := figures.Summary{
			Scenario: scenario, Size: hosts, What: what, Unit: figures.Millis, Runs: 3,
			N: 300, P50: p50, P99: p99, Max: 2 * p99, LowP50: p50 - 1, HighP50: p50 + 1,
		}
		s.Judge(bars...)
		return s
	}
	ratio := func(scenario, what string, hosts int, values figures.Values, low, high float64, bars ...figures.Verdict) figures.Summary {
		return figures.Summary{
			Scenario: scenario, Size: hosts, What: what, Unit: "x", Runs: 3,
			Values: values, LowP50: low, HighP50: high, Bars: bars,
		}
	}
	cases := map[string]struct {
		reason string
		rows   []figures.Summary
		want   []figures.Summary
	}{
		"Sizes": {
			"the largest size is compared with the smallest, where a bar is set",
			[]figures.Summary{
				row("D1", edits, 1000, 3, 9, figures.P50(3)), row("D1", edits, 5000, 3, 9, figures.P50(3)),
				row("D1", edits, 20000, 4.5, 9, figures.P50(3)),
				row("D1", "requests", 1000, 1, 1), row("D1", "requests", 20000, 2, 2),
			},
			[]figures.Summary{ratio("D1", edits+", by 1000 hosts", 20000, figures.Values{N: 300, P50: 1.5, P99: 1, Max: 1}, 0.875, 2.75,
				figures.Verdict{Of: "p50", Most: 1.3})},
		},
		"OneSize": {"one size has nothing to be compared with", []figures.Summary{row("D1", edits, 1000, 3, 9, figures.P50(3))}, nil},
		"Pressure": {
			"edits with others are compared with those alone",
			[]figures.Summary{row("D2", edits+alone, 5000, 3, 5), row("D2", edits+withOthers, 5000, 6, 15)},
			[]figures.Summary{ratio("D2", edits+withOthers+", by alone", 5000, figures.Values{N: 300, P50: 2, P99: 3, Max: 3}, 1.25, 3.5,
				figures.Verdict{Of: "p50", Most: 2, Met: true}, figures.Verdict{Of: "p99", Most: 2})},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, ratios(c.rows)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}
