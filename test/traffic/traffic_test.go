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
			if err := wrongAnswers("switched "+k.name, &r); err != nil {
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
	for name, content := range files {
		w.Write(name, content)
	}
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
			if err := wrongAnswers(name, &out.requests); err != nil {
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
	if err := wrongAnswers("while all is translated", &r); err != nil {
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

// TestTimeline shows that the judge of the switches refuses what it must.
func TestTimeline(t *testing.T) {
	line := &timeline{backend: func(v int) string { return []string{"even", "odd"}[v%2] }}
	line.write()
	line.saw(time.Now())
	line.write()
	afterWrite := time.Now()
	line.saw(time.Now())
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
		"Code":         {"503 is a lost request", answer(503, "", "", afterSeen), true},
		"Error":        {"no answer is a lost request", &load.Outcome{Err: errors.New("reset"), Sent: afterSeen, Done: time.Now()}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := line.judge(c.outcome)
			if diff := cmp.Diff(c.wrong, err != nil); diff != "" {
				t.Errorf("%s: wrong: -want, +got:\n%s%v", c.reason, diff, err)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	r := newReport()
	for run, p50 := range []float64{2, 4, 3} {
		for _, size := range []struct {
			hosts  int
			factor float64
		}{{1000, 1}, {5000, 1}, {20000, 1.5}} {
			r.Figures = append(r.Figures, figure{
				Scenario: "D1", Hosts: size.hosts, Run: run + 1, What: edits, Unit: millis, N: 100,
				P50: p50 * size.factor, P99: 9, Max: 10, bars: bars{"p50": 3, "p99": 10},
			})
		}
	}
	r.summarize()
	var got []string
	for i := range r.Summary {
		s := &r.Summary[i]
		got = append(got, fmt.Sprintf("%d %s: %g (%g to %g) of %d %v", s.Hosts, s.What, s.P50, s.LowP50, s.HighP50, s.N, s.Bars))
	}
	want := []string{
		"1000 header edited: 3 (2 to 4) of 300 [{p50 3 true} {p99 10 true}]",
		"5000 header edited: 3 (2 to 4) of 300 [{p50 3 true} {p99 10 true}]",
		"20000 header edited: 4.5 (3 to 6) of 300 [{p50 3 false} {p99 10 true}]",
		"20000 header edited, by 1000 hosts: 1.5 (0.75 to 3) of 300 [{p50 1.3 false}]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("medians, bars and the ratio of sizes: -want, +got:\n%s", diff)
	}
}
