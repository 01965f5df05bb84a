package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// switching is a route that goes back and forth between two upstreams.
type switching struct {
	name string
	// service is the route's service entry of a version, backend who answers.
	service func(version int) string
	backend func(version int) string
}

func switchings() []switching {
	either := func(even, odd string) func(int) string {
		return func(version int) string {
			if version%2 == 0 {
				return even
			}
			return odd
		}
	}
	secure := func(service, ca string) string { return world.Validated(service, 443, "tls", ca, estate.Subject) }
	return []switching{
		{"between two Services", either(secure("switch-a", "ca-1"), secure("switch-b", "ca-1")), either("switch-a", "switch-b")},
		{"between two CAs of a Service", either(secure("switch-a", "ca-1"), secure("switch-a", "ca-2")), either("switch-a", "switch-a")},
		{
			"between plain and TLS", either(world.Plain("switch-plain", 80, ""), secure("switch-a", "ca-1")),
			either("switch-plain", "switch-a"),
		},
	}
}

// stage holds the backends of a scenario that needs some of its own.
type stage struct{ backends []*backend.Backend }

func (s *stage) start(c backend.Config) (*backend.Backend, error) {
	c.Keep = backend.None
	b, err := backend.Start(c)
	if err == nil {
		s.backends = append(s.backends, b)
	}
	return b, err
}

func (s *stage) close() {
	for _, b := range s.backends {
		b.Close()
	}
}

const switchHost = "switch." + estate.Domain

// setSwitches puts the Services and CAs of the switches into the folder: two
// Secrets, each of which holds the CA of the backends.
func (s *stage) setSwitches(site *estate.Site) error {
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		return err
	}
	other, err := pki.NewAuthority("other CA")
	if err != nil {
		return err
	}
	pair, err := ca.Issue(pki.Leaf{DNS: []string{estate.Subject}})
	if err != nil {
		return err
	}
	docs := []string{world.CA("default", "ca-1", ca.PEM()), world.CA("default", "ca-2", other.PEM(), ca.PEM())}
	for _, name := range []string{"switch-a", "switch-b"} {
		b, err := s.start(backend.Config{Name: name, Certificate: &pair.TLS})
		if err != nil {
			return err
		}
		docs = append(docs, world.Service("default", name, 443, nil, b))
	}
	plain, err := s.start(backend.Config{Name: "switch-plain"})
	if err != nil {
		return err
	}
	_, err = site.Write("switches", world.All(append(docs, world.Service("default", "switch-plain", 80, nil, plain))...))
	return err
}

// judge refuses an answer that is not a 200 by the backend of its version, or
// whose version is not of its time.
func (k *switching) judge(line *load.Timeline, o *load.Outcome) error {
	if o.Err != nil {
		return o.Err
	}
	if o.Code != http.StatusOK {
		return fmt.Errorf("want 200, with %s", o.Header)
	}
	v := versionOf(o)
	if v < 0 {
		return fmt.Errorf("X-Version is %q", o.Header.Get("X-Version"))
	}
	if got, want := o.Header.Get("X-Backend"), k.backend(v); got != want {
		return fmt.Errorf("version %d is answered by backend %q, want %q", v, got, want)
	}
	if oldest, newest := line.Window(o); v < oldest || v > newest {
		return fmt.Errorf("version %d, but only versions %d to %d are of its time", v, oldest, newest)
	}
	return nil
}

// versionOf is the version that an answer shows, -1 for none.
func versionOf(o *load.Outcome) int {
	v, err := strconv.Atoi(strings.TrimPrefix(o.Header.Get("X-Version"), "v"))
	if err != nil {
		return -1
	}
	return v
}

// run switches a route n times at the given rate of requests, and returns how
// long each switch took and what the requests got.
func (k *switching) run(ctx context.Context, site *estate.Site, n int, rate float64) ([]time.Duration, load.Result, error) {
	line := &load.Timeline{}
	judge := func(o *load.Outcome) error { return k.judge(line, o) }
	write := func() (time.Time, int, error) {
		v := line.Write()
		at, err := site.Write("switch", estate.Proxy("switch", switchHost, "", false, world.Route("/", k.service(v))+estate.Version(fmt.Sprintf("v%d", v))))
		return at, v, err
	}
	request := load.Request{Host: switchHost, Expect: judge}
	// The host may have been there, with the last version of another switching.
	_, _, err := write()
	if err == nil {
		_, err = estate.Until(func() (bool, error) {
			o := site.Ask(request)
			return o.Err == nil && judge(o) == nil && versionOf(o) == 0, nil
		})
	}
	if err != nil {
		return nil, load.Result{}, fmt.Errorf("before the switches %s: %w", k.name, err)
	}
	line.Saw(time.Now())
	c := site.Load(rate)
	c.Next = func(int) load.Request { return request }
	l := load.Start(c)
	var took []time.Duration
	var looks lookout
	for i := 0; i < n && err == nil && ctx.Err() == nil; i++ {
		var at, seen time.Time
		var v int
		if at, v, err = write(); err != nil {
			break
		}
		seen, err = estate.Until(func() (bool, error) {
			o := site.Ask(request)
			if wrong := judge(o); wrong != nil {
				looks.add(o, wrong)
				return false, nil
			}
			return versionOf(o) == v, nil
		})
		if err != nil {
			break
		}
		line.Saw(seen)
		took = append(took, seen.Sub(at))
		<-time.After(switchPause)
	}
	return took, l.Stop(), errors.Join(err, looks.wrong(), ctx.Err())
}

// lookout counts what was wrong with the answers of the loop that looks for a
// switch: it meets the moment of the switch itself.
type lookout struct {
	n     int
	first error
}

func (k *lookout) add(o *load.Outcome, wrong error) {
	k.n++
	if k.first == nil {
		k.first = fmt.Errorf("%d, %q: %w", o.Code, o.Body, wrong)
	}
}

func (k *lookout) wrong() error {
	if k.n == 0 {
		return nil
	}
	return fmt.Errorf("%d answers were wrong in the loop that looks for the switch; the first: %w", k.n, k.first)
}

// switchPause lets some requests use each version.
const switchPause = 5 * time.Millisecond

func runSwitches(b *bench) error {
	var s stage
	defer s.close()
	if err := s.setSwitches(&b.Site); err != nil {
		return err
	}
	var wrong []error
	for _, k := range switchings() {
		took, r, err := k.run(b.ctx, &b.Site, b.changes, b.rate)
		what := "switched " + k.name
		b.Times(what, took, figures.P50(3), figures.P99(10))
		b.Histogram("requests, "+what, &r.Latency)
		b.Count("unexpected answers, "+what, r.Unexpected, figures.Max(0))
		b.Count("connection errors, "+what, r.Errors, figures.Max(0))
		wrong = append(wrong, err, r.Wrong(what))
	}
	return errors.Join(wrong...)
}
