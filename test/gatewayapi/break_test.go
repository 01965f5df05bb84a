package gatewayapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// victim is a Service with a policy that is broken and mended again under load.
// It has two endpoints: right has the certificate that the policy asks for;
// wrong has the same names, by another CA, and must never get a request. What
// cannot be verified is tried again at the other, by the route's retries.
type victim struct {
	*world.World

	port, tcp               int
	right, wrong, neighbour *backend.Backend
	rightSeen, wrongSeen    atomic.Int64
	ca, foreign, expired    *pki.Authority
	client                  *load.Client
}

// Documents of the victim as they are when nothing is broken, by file.
func (v *victim) good() map[string]string {
	return map[string]string{
		"victim-service": v.service("victim"),
		"victim-policy":  tlsPolicy("tls", "victim", victimValidation),
		"victim-ca":      configMap("ca", "ca.crt", string(v.ca.PEM())),
	}
}

const (
	victimValidation = `{hostname: victim.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`
	victimSNI        = "victim.internal"
)

func (v *victim) service(name string) string {
	return world.Service("default", name, 443, nil, v.right, v.wrong)
}

// startVictim serves a Gateway with routes to the victim: one of its own, one
// half of whose weight is a neighbour's, a neighbour's that mirrors to it, and a
// TCPRoute.
func startVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{ca: authority(t, "CA"), foreign: authority(t, "foreign"), port: freeport.For(t), tcp: freeport.For(t)}
	var err error
	if v.expired, err = pki.NewAuthorityAt("expired", time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	names := pki.Leaf{DNS: []string{victimSNI}}
	good, bad, near := issue(t, v.ca, names), issue(t, authority(t, "CA"), names), issue(t, v.ca, pki.Leaf{DNS: []string{"near.internal"}})
	// Each request has a connection of its own, so that each is verified.
	v.right = serve(t, backend.Config{Name: "right", Certificate: &good.TLS, Protocols: []string{"http/1.1"}, CloseEach: true,
		Keep: backend.None, Saw: func(*backend.Request) { v.rightSeen.Add(1) }})
	v.wrong = serve(t, backend.Config{Name: "wrong", Certificate: &bad.TLS, Protocols: []string{"http/1.1"}, CloseEach: true,
		Keep: backend.None, Saw: func(*backend.Request) { v.wrongSeen.Add(1) }})
	v.neighbour = serve(t, backend.Config{Name: "neighbour", Certificate: &near.TLS, Keep: backend.None})
	files := v.good()
	files["gateway"] = world.All(class, gateway("gw", "", plainListener("http", v.port, ""), streamListener("tcp", v.tcp, "TCP")))
	files["neighbour"] = world.All(world.Service("default", "neighbour", 443, nil, v.neighbour), configMap("near", "ca.crt", string(v.ca.PEM())),
		tlsPolicy("near", "neighbour", `{hostname: near.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: near}]}`))
	const retry = ", retry: {attempts: 3}}"
	files["routes"] = world.All(
		httpRoute("victim", "{name: gw}", []string{"victim.test"}, "{backendRefs: ["+ref("victim")+"]"+retry),
		httpRoute("mixed", "{name: gw}", []string{"mixed.test"}, "{backendRefs: ["+ref("neighbour")+", "+ref("victim")+"]"+retry),
		httpRoute("near", "{name: gw}", []string{"near.test"}, "{backendRefs: ["+ref("neighbour")+
			"], filters: [{type: RequestMirror, requestMirror: {backendRef: "+ref("victim")+"}}]}"),
		streamRoute("TCPRoute", "tcp", "{name: gw, sectionName: tcp}", nil, ref("victim")))
	v.World = start(t, files)
	v.client = load.NewClient(load.Config{HTTP: fmt.Sprintf("127.0.0.1:%d", v.port)})
	t.Cleanup(v.client.Close)
	return v
}

// underLoad asks all hosts while something is changed: the neighbour's must be
// served, and nobody may be by a backend that does not verify.
func (v *victim) underLoad() *load.Load {
	ways := []load.Request{
		{Host: "near.test", Expect: func(o *load.Outcome) error { return served(o, "neighbour", "near.internal") }},
		{Host: "victim.test", Expect: func(o *load.Outcome) error { return servedOrNot(o, "right", victimSNI) }},
		{Host: "mixed.test", Expect: func(o *load.Outcome) error {
			if served(o, "neighbour", "near.internal") == nil {
				return nil
			}
			return servedOrNot(o, "right", victimSNI)
		}},
	}
	return load.Start(load.Config{
		Rate: 60, HTTP: fmt.Sprintf("127.0.0.1:%d", v.port),
		Next: func(n int) load.Request { return ways[n%len(ways)] },
	})
}

// served wants a 200 by a backend over TLS, which was asked for by a name.
func served(o *load.Outcome, by, sni string) error {
	if o.Err != nil {
		return o.Err
	}
	var seen backend.Request
	if o.Code != http.StatusOK || json.Unmarshal(o.Body, &seen) != nil || seen.Backend != by || !seen.TLS || seen.SNI != sni {
		return fmt.Errorf("want 200 by %s over TLS for %s, got %d %q", by, sni, o.Code, o.Body)
	}
	return nil
}

// refusal wants a 5xx that no backend gave.
func refusal(o *load.Outcome) error {
	if o.Err != nil {
		return o.Err
	}
	if o.Code < http.StatusInternalServerError || o.Header.Get("X-Backend") != "" {
		return fmt.Errorf("want a 5xx by no backend, got %d %q", o.Code, o.Body)
	}
	return nil
}

func servedOrNot(o *load.Outcome, by, sni string) error {
	if refusal(o) == nil {
		return nil
	}
	return served(o, by, sni)
}

// put writes files; an empty one is removed.
func (v *victim) put(files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == "" {
			v.Remove(name)
		} else {
			v.Write(name, files[name])
		}
	}
}

// mend undoes what files did.
func (v *victim) mend(files map[string]string) {
	back := map[string]string{}
	for name, content := range files {
		good, ours := v.good()[name]
		if ours || content != "" {
			back[name] = good
		}
	}
	v.put(back)
}

func (v *victim) ask(host string) *load.Outcome { return v.client.Do(load.Request{Host: host}) }

// until asks a host until the answer is as wanted.
func (v *victim) until(t *testing.T, host string, want func(o *load.Outcome) error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); {
		if err = want(v.ask(host)); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", host, err)
}

// verified wants the victim to be served, by the right backend alone.
func (v *victim) verified(t *testing.T) {
	t.Helper()
	right := func(o *load.Outcome) error { return served(o, "right", victimSNI) }
	v.until(t, "victim.test", right)
	v.until(t, "mixed.test", right)
	for range 5 {
		if o := v.ask("victim.test"); right(o) != nil && refusal(o) != nil {
			t.Errorf("the victim: %v", right(o))
		}
	}
	if a := await(t, v.World, world.Request{Host: "victim.test", Port: v.tcp, Header: closing()}, http.StatusOK); a.Seen.Backend != "right" || !a.Seen.TLS {
		t.Errorf("over TCP: %+v", a.Seen)
	}
}

func closing() http.Header { return http.Header{"Connection": {"close"}} }

// closed wants the victim's share, and only that, to be answered with a code,
// and the backends to be left alone.
func (v *victim) closed(t *testing.T, code int) {
	t.Helper()
	exactly := func(o *load.Outcome) error { return errors.Join(refusal(o), load.Code(code)(o)) }
	v.until(t, "victim.test", exactly)
	v.until(t, "mixed.test", exactly)
	v.until(t, "mixed.test", func(o *load.Outcome) error { return served(o, "neighbour", "near.internal") })
	refused(t, v.World, world.Request{Host: "victim.test", Port: v.tcp})
	// What was on its way when it broke may still arrive; nothing may after that.
	for deadline := time.Now().Add(world.Patience); ; {
		before := v.rightSeen.Load()
		for range 10 {
			if o := v.ask("victim.test"); exactly(o) != nil {
				t.Errorf("the victim, once it is closed: %v", exactly(o))
			}
			if o := v.ask("near.test"); served(o, "neighbour", "near.internal") != nil {
				t.Errorf("the neighbour: %v", served(o, "neighbour", "near.internal"))
			}
			if _, err := v.Do(world.Request{Host: "victim.test", Port: v.tcp, Header: closing()}); !closed(err) {
				t.Errorf("over TCP, once it is closed: %v", err)
			}
		}
		if v.rightSeen.Load() == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a backend that must not be reached still gets requests")
		}
	}
}

// clean wants that no backend was ever spoken to in plaintext, and that nobody
// sent a request to the one that does not verify, though it was tried.
func (v *victim) clean(t *testing.T) {
	t.Helper()
	for _, b := range []*backend.Backend{v.right, v.wrong, v.neighbour} {
		if n := b.Cleartext(); n != 0 {
			t.Errorf("%d connections in plaintext", n)
		}
	}
	if n := v.wrongSeen.Load(); n != 0 {
		t.Errorf("the backend that does not verify got %d requests", n)
	}
}

// conditionsOf are those of an object's ancestors or parents, as "name:
// Type=Status/Reason ..."; a policy's Gateway is the ancestor.
func conditionsOf(w *world.World, kind, name string) string {
	for _, s := range w.Report().Statuses {
		if s.Kind != kind || s.Name != name {
			continue
		}
		raw, err := json.Marshal(s.Status)
		if err != nil {
			return err.Error()
		}
		type entry struct {
			AncestorRef, ParentRef struct{ Name string }
			Conditions             []struct{ Type, Status, Reason string }
		}
		var status struct{ Ancestors, Parents []entry }
		if err := json.Unmarshal(raw, &status); err != nil {
			return err.Error()
		}
		var out []string
		for _, e := range append(status.Ancestors, status.Parents...) {
			words := e.AncestorRef.Name + e.ParentRef.Name + ":"
			for _, c := range e.Conditions {
				words += fmt.Sprintf(" %s=%s/%s", c.Type, c.Status, c.Reason)
			}
			out = append(out, words)
		}
		return strings.Join(out, "; ")
	}
	return "no status"
}

func wantStatus(t *testing.T, w *world.World, kind, name, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); {
		if got = conditionsOf(w, kind, name); got == want {
			return
		}
	}
	t.Errorf("%s %s: %s, want %s", kind, name, got, want)
}
