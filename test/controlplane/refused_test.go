package controlplane

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/world"
)

// innocents is how many hosts share a resource with those that Envoy refuses.
const innocents = 12

// shared writes hosts that share the fallback scope and the listener of the
// fleet "changed".
func (s *stage) shared() {
	for i := range innocents {
		s.wildcard(fmt.Sprint("w", i), "fine")
		s.passthrough(fmt.Sprint("t", i))
	}
}

func (s *stage) wildcard(name, says string) {
	route := world.Route("/", world.Validated("s0", 443, "tls", "ca", "be.test")) +
		"  responseHeadersPolicy: {set: [{name: X-Says, value: \"" + says + "\"}]}\n"
	s.write(name, world.Proxy("changed", name, "*."+name+".test", world.Routes(route)))
}

func (s *stage) passthrough(name string) {
	s.write(name, fmt.Sprintf("apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata: {name: %s, namespace: changed}\n"+
		"spec:\n  virtualhost: {fqdn: %s.untouched.test, tls: {passthrough: true}}\n  tcpproxy: {services: [{name: s0, port: 443}]}\n", name, name))
}

// A control plane that starts while Envoy refuses parts of what it made knows no
// last good version of any part. While it searches, the innocent ones are
// served: a soak of 30 minutes found that they were closed.
func TestRestartWhileEnvoyRefuses(t *testing.T) {
	s := newStage(t)
	s.config.Refused = "poison"
	var err error
	if s.process, err = New(&s.config, s.dir, t.Output()); err != nil {
		t.Fatal(err)
	}
	s.shared()
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	e := s.envoy(0, "changed-1")
	s.await(e, true)
	s.settled("changed-1")
	f := &s.config.Fleets[0]
	l := load.Start(load.Config{
		Rate: 400, HTTP: fmt.Sprint("127.0.0.1:", f.HTTPPort), HTTPS: fmt.Sprint("127.0.0.1:", f.HTTPSPort), Roots: s.authority.Pool(),
		Next: func(n int) load.Request {
			i := n / 2 % innocents
			if n%8 == 1 {
				return load.Request{Host: fmt.Sprint("t", i, ".untouched.test"), TLS: true, Fresh: true, Expect: load.Code(http.StatusOK)}
			}
			return load.Request{Host: fmt.Sprint("x.w", i, ".test"), Expect: load.Code(http.StatusOK)}
		},
	})
	s.reaches(l, 50)
	refused := func(n int) {
		s.wildcard(fmt.Sprint("bad", n), "poison")
		s.passthrough(fmt.Sprint("poison", n))
	}
	refused(0)
	s.settled("changed-1")
	for n := range *restarts {
		if err := s.process.Kill(); err != nil {
			t.Fatal(err)
		}
		refused(n + 1) // one that no process has seen as yet
		s.wildcard("w0", fmt.Sprint("fine ", n))
		if err := s.process.Start(); err != nil {
			t.Fatal(err)
		}
		s.settled("changed-1")
	}
	r := l.Stop()
	t.Logf("%d requests, %d unexpected", r.Requests, r.Unexpected)
	if r.Unexpected > 0 {
		t.Errorf("%d of %d answers were not what they should be: %v", r.Unexpected, r.Requests, r.Failures)
	}
	if sample := s.settled("changed-1"); sample.Stream("changed-1").Nacks == 0 {
		t.Error("Envoy refused nothing: the test shows nothing")
	}
	e2 := s.envoy(0, "changed-2") // one that starts is ready with the innocent ones
	s.await(e2, true)
}
