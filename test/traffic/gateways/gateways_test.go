package gateways

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

// Small enough for two loaded processors with the race detector: what is
// asserted is answers, never how long they took.
const (
	shortRate    = 100
	shortChanges = 8
)

// TestChanges makes a few changes of each kind: no request is lost, none gets
// an answer of another backend, name or certificate than that of its time, and
// nobody speaks plaintext but where no policy rules.
func TestChanges(t *testing.T) {
	w := world.Start(t, testr.New(t), nil)
	s, err := New(w.Folder())
	t.Cleanup(s.Close)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteAll(files)
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			r, err := s.Run(t.Context(), &k, shortChanges, shortRate)
			if err != nil {
				t.Error(err)
			}
			for _, f := range r.Requests.Failures {
				t.Error(f)
			}
			changes := 0
			for _, took := range r.Took {
				changes += len(took)
			}
			if changes != shortChanges || r.Requests.Requests < shortChanges || r.Requests.Unexpected != 0 {
				t.Errorf("%d changes, %d requests, of which %d unexpected", changes, r.Requests.Requests, r.Requests.Unexpected)
			}
		})
	}
	for name, b := range s.backends {
		if n := b.Cleartext(); n != 0 && name != bare {
			t.Errorf("backend %s got %d connections in plaintext", name, n)
		}
	}
	if s.backends[bare].Cleartext() == 0 {
		t.Error("a backend without a policy got no plaintext: would it be noticed?")
	}
}

// TestJudge shows that the judge refuses what it must.
func TestJudge(t *testing.T) {
	var line load.Timeline
	line.Write()
	line.Saw(time.Now())
	afterFirst := time.Now()
	line.Write()
	written := time.Now()
	line.Saw(time.Now())
	afterSecond := time.Now()
	a := &ask{leaf: true, want: func(v int) shown {
		return either(v, shown{Backend: "a", SNI: "a.internal", Version: "v0", Leaf: "1"}, shown{Backend: "b", SNI: "b.internal", Version: "v1", Leaf: "2"})
	}}
	closing := &ask{want: func(v int) shown { return either(v, shown{Backend: "a", SNI: "a.internal"}, shown{}) }}
	shaking := &ask{want: closing.want, handshake: true}
	answer := func(sent time.Time, edit func(o *load.Outcome, seen *backend.Request)) *load.Outcome {
		seen := backend.Request{Backend: "b", TLS: true, SNI: "b.internal", Host: "x.test"}
		o := &load.Outcome{
			Host: "x.test", Code: http.StatusOK, Sent: sent, Done: time.Now(),
			Header: http.Header{"X-Backend": {"b"}, "X-Version": {"v1"}},
			TLS:    &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{SerialNumber: big.NewInt(2)}}},
		}
		if edit != nil {
			edit(o, &seen)
		}
		o.Body, _ = json.Marshal(seen)
		return o
	}
	first := func(o *load.Outcome, seen *backend.Request) {
		o.Header = http.Header{"X-Backend": {"a"}, "X-Version": {"v0"}}
		o.TLS.PeerCertificates[0].SerialNumber = big.NewInt(1)
		seen.Backend, seen.SNI = "a", "a.internal"
	}
	since := func(connected time.Time) func(*load.Outcome, *backend.Request) {
		return func(o *load.Outcome, seen *backend.Request) {
			first(o, seen)
			o.Header.Del("X-Version")
			seen.Connected = connected
		}
	}
	cases := map[string]struct {
		reason string
		ask    *ask
		answer *load.Outcome
		wrong  bool
	}{
		"new":           {"the newest version is right", a, answer(afterSecond, nil), false},
		"old in time":   {"sent before the new one was seen", a, answer(written, first), false},
		"old too late":  {"after it was seen it must not", a, answer(afterSecond, first), true},
		"new too early": {"nothing is served before it is written", a, answer(afterFirst, func(o *load.Outcome, _ *backend.Request) { o.Done = afterFirst }), true},
		"wrong backend": {"another one's answer", a, answer(afterSecond, func(o *load.Outcome, seen *backend.Request) {
			o.Header.Set("X-Backend", "a")
			seen.Backend = "a"
		}), true},
		"wrong name":     {"another policy's", a, answer(afterSecond, func(_ *load.Outcome, seen *backend.Request) { seen.SNI = "a.internal" }), true},
		"plaintext":      {"never", a, answer(afterSecond, func(_ *load.Outcome, seen *backend.Request) { seen.TLS = false }), true},
		"certificate":    {"the one before", a, answer(afterSecond, func(o *load.Outcome, _ *backend.Request) { o.TLS.PeerCertificates[0].SerialNumber = big.NewInt(1) }), true},
		"no backend":     {"a lost request", a, answer(afterSecond, func(o *load.Outcome, _ *backend.Request) { o.Code, o.Header = 503, http.Header{} }), true},
		"no answer":      {"a lost request", a, answer(afterSecond, func(o *load.Outcome, _ *backend.Request) { o.Err = errors.New("reset") }), true},
		"another host":   {"two answers were mixed up", a, answer(afterSecond, func(o *load.Outcome, _ *backend.Request) { o.Host = "y.test" }), true},
		"closed":         {"what is closed is refused", closing, answer(afterSecond, func(o *load.Outcome, _ *backend.Request) { o.Code, o.Header = 500, http.Header{} }), false},
		"open":           {"what is closed serves nobody", closing, answer(afterSecond, first), true},
		"kept":           {"it was verified before", shaking, answer(afterSecond, since(written)), false},
		"verified anew":  {"by what is trusted no more", shaking, answer(afterSecond, since(afterSecond)), true},
		"kept elsewhere": {"no handshake decides here", closing, answer(afterSecond, since(written)), true},
		"a 200 by none":  {"an answer has a backend", closing, answer(afterSecond, func(o *load.Outcome, _ *backend.Request) { o.Header = http.Header{} }), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.ask.judge(&line, c.answer)
			if diff := cmp.Diff(c.wrong, err != nil); diff != "" {
				t.Errorf("%s: wrong: -want, +got:\n%s%v", c.reason, diff, err)
			}
		})
	}
}
