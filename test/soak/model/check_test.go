package model

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/test/pki"
)

// at is a moment of a history, in seconds.
func at(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// scene makes histories: one fleet with the hosts validated.a.test, plain.a.test
// and secure.a.test, in force from second 1 on.
type scene struct {
	t                    *testing.T
	ca, rogue, clients   *pki.Authority
	client, other, serve *pki.Pair
	h                    *History
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func fingerprint(p *pki.Pair) string { return Fingerprint(p.Leaf().Raw) }

func newScene(t *testing.T) *scene {
	t.Helper()
	authority, issue := must[*pki.Authority](t), must[*pki.Pair](t)
	s := &scene{t: t, ca: authority(pki.NewAuthority("ca")), rogue: authority(pki.NewAuthority("rogue")), clients: authority(pki.NewAuthority("clients"))}
	s.client = issue(s.clients.Issue(pki.Leaf{CommonName: "a"}))
	s.other = issue(s.clients.Issue(pki.Leaf{CommonName: "b"}))
	s.serve = issue(s.clients.Issue(pki.Leaf{DNS: []string{"secure.a.test"}}))
	s.h = NewHistory(Header{
		Fleets: map[string]Fleet{"a": {Namespace: "a", ClientCertificate: "a/client"}},
		Backends: map[string]Backend{
			"good": {Port: 1, TLS: true}, "rogue": {Port: 2, TLS: true}, "clear": {Port: 3}, "trap": {Port: 4, TLS: true, Never: true},
		},
	}, nil)
	for name, a := range map[string]*pki.Authority{"good": s.ca, "rogue": s.rogue, "trap": s.ca} {
		s.h.Add(Presented{Backend: name, Authority: Fingerprint(a.Certificate.Raw), Names: []string{"be.test"}, Began: at(0), Ended: at(0)})
	}
	s.change(0, "validated", proxy("validated", "", "s", "tls", "ca"))
	s.change(0, "plain", proxy("plain", "", "c", "", ""))
	s.change(0, "secure", proxy("secure", "    tls: {secretName: t}\n", "s", "tls", "ca"))
	s.change(0, "s", serviceOf("s"))
	s.change(0, "c", serviceOf("c"))
	s.change(0, "s-endpoints", endpoints("s", "1"))
	s.change(0, "c-endpoints", endpoints("c", "3"))
	s.change(0, "ca", secret("ca", map[string]string{"ca.crt": b64(s.ca.PEM())}))
	s.change(0, "client", pairSecret("client", s.client))
	s.change(0, "t", pairSecret("t", s.serve))
	s.settle(1)
	return s
}

func (s *scene) change(when float64, file, content string) {
	s.h.Add(Change{N: len(s.h.Changes) + 1, File: file, Content: content, Began: at(when), Ended: at(when), Why: "test"})
}

func (s *scene) settle(when float64) { s.h.Add(Settled{N: len(s.h.Changes), At: at(when)}) }

// ask records a request at second when, and what backend saw of it.
func (s *scene) ask(when float64, host string, code int, backend string, edit ...func(*Answer, *Seen)) {
	id := string(rune('A' + len(s.h.Answers)))
	a := Answer{ID: id, Fleet: "a", Host: host, Path: "/", Sent: at(when), Done: at(when + 0.01), Code: code, Backend: backend}
	seen := Seen{
		ID: id, Backend: backend, At: at(when), Connected: at(when), Host: host, Path: "/",
		TLS: true, SNI: "be.test", Client: fingerprint(s.client),
	}
	if backend == "clear" {
		seen.TLS, seen.SNI, seen.Client = false, "", ""
	}
	for _, e := range edit {
		e(&a, &seen)
	}
	s.h.Add(a)
	if backend != "" {
		s.h.Add(seen)
	}
}

func proxy(name, tls, service, protocol, ca string) string {
	out := "kind: HTTPProxy\nmetadata: {name: " + name + ", namespace: a}\nspec:\n  virtualhost:\n    fqdn: " + name + ".a.test\n" + tls +
		"  routes:\n  - services:\n    - name: " + service + "\n      port: 443\n"
	if protocol != "" {
		out += "      protocol: " + protocol + "\n"
	}
	if ca != "" {
		out += "      validation: {caSecret: " + ca + ", subjectName: be.test}\n"
	}
	return out
}

func serviceOf(name string) string {
	return "kind: Service\nmetadata: {name: " + name + ", namespace: a}\nspec:\n  ports: [{name: web, port: 443}]\n"
}

func endpoints(service string, ports ...string) string {
	documents := make([]string, len(ports))
	for i, p := range ports {
		documents[i] = "kind: EndpointSlice\nmetadata: {name: " + service + p + ", namespace: a, labels: {kubernetes.io/service-name: " + service + "}}\n" +
			"endpoints: [{addresses: [127.0.0.1]}]\nports: [{name: web, port: " + p + "}]\n"
	}
	return strings.Join(documents, "---\n")
}

func secret(name string, data map[string]string) string {
	out := "kind: Secret\nmetadata: {name: " + name + ", namespace: a}\ndata:\n"
	for k, v := range data {
		out += "  " + k + ": " + v + "\n"
	}
	return out
}

func pairSecret(name string, p *pki.Pair) string {
	return secret(name, map[string]string{"tls.crt": b64(p.CertPEM), "tls.key": b64(p.KeyPEM)})
}

func TestCheck(t *testing.T) {
	cases := map[string]struct {
		reason string
		// make adds to a scene that is in force from second 1 on.
		make func(s *scene)
		want map[Kind]int
	}{
		"AllRight": {"what the manifests say is no violation", func(s *scene) {
			s.ask(2, "validated.a.test", 200, "good")
			s.ask(2, "plain.a.test", 200, "clear")
			s.ask(2, "secure.a.test", 301, "")
			s.ask(2, "secure.a.test", 200, "good", func(a *Answer, _ *Seen) { a.HTTPS, a.Certificate = true, fingerprint(s.serve) })
			s.ask(2, "nobody.a.test", 404, "")
		}, nil},
		"Lost": {"a valid route answers 503", func(s *scene) { s.ask(2, "validated.a.test", 503, "") }, map[Kind]int{Lost: 1}},
		"LostConnection": {"a valid route does not answer", func(s *scene) {
			s.ask(2, "plain.a.test", 0, "")
		}, map[Kind]int{Lost: 1}},
		"LostHost": {"a valid host answers 404", func(s *scene) { s.ask(2, "plain.a.test", 404, "") }, map[Kind]int{Lost: 1}},
		"LostHandshake": {"a valid host refuses the handshake", func(s *scene) {
			s.ask(2, "secure.a.test", 0, "", func(a *Answer, _ *Seen) { a.HTTPS, a.Handshake = true, true })
		}, map[Kind]int{Lost: 1}},
		"AnswerFromNowhere": {"200 that no backend saw", func(s *scene) { s.ask(2, "plain.a.test", 200, "") }, map[Kind]int{Lost: 1}},
		"WrongBackend": {"a request arrives at another service's endpoint", func(s *scene) {
			s.ask(2, "plain.a.test", 200, "good", func(_ *Answer, x *Seen) { x.TLS = false })
		}, map[Kind]int{WrongTarget: 1}},
		"WrongBackendUnanswered": {"it counts if the client got another answer too", func(s *scene) {
			s.ask(2, "validated.a.test", 200, "good")
			s.h.Add(Seen{ID: "A", Backend: "clear", At: at(2), Connected: at(2)})
		}, map[Kind]int{WrongTarget: 1}},
		"Trap": {"a backend that no manifest allows sees a request", func(s *scene) {
			s.h.Add(Seen{ID: "?", Backend: "trap", At: at(2)})
		}, map[Kind]int{WrongTarget: 1}},
		"Plaintext": {"cleartext where TLS is asked for", func(s *scene) {
			s.ask(2, "validated.a.test", 200, "good", func(_ *Answer, x *Seen) { x.TLS = false })
		}, map[Kind]int{Plaintext: 1}},
		"Unverified": {"a backend whose certificate proves nothing", func(s *scene) {
			s.change(2, "s-endpoints", endpoints("s", "1", "2"))
			s.settle(3)
			s.ask(4, "validated.a.test", 200, "rogue")
		}, map[Kind]int{Unverified: 1}},
		"WrongName": {"the SNI is not the subject name", func(s *scene) {
			s.ask(2, "validated.a.test", 200, "good", func(_ *Answer, x *Seen) { x.SNI = "" })
		}, map[Kind]int{Unverified: 1}},
		"OldTrust": {"a connection made after its authority was withdrawn", func(s *scene) {
			s.change(2, "ca", secret("ca", map[string]string{"ca.crt": b64(s.rogue.PEM())}))
			s.settle(3)
			s.ask(4, "validated.a.test", 200, "good")
		}, map[Kind]int{Unverified: 1}},
		"OldConnection": {"one made before serves on: rotation touches no connection", func(s *scene) {
			s.change(2, "ca", secret("ca", map[string]string{"ca.crt": b64(s.rogue.PEM())}))
			s.settle(3)
			s.ask(4, "validated.a.test", 200, "good", func(_ *Answer, x *Seen) { x.Connected = at(1.5) })
		}, nil},
		"AnothersClientCertificate": {"a fleet presents another's certificate", func(s *scene) {
			s.ask(2, "validated.a.test", 200, "good", func(_ *Answer, x *Seen) { x.Client = fingerprint(s.other) })
		}, map[Kind]int{WrongTarget: 1}},
		"WrongCertificate": {"a host presents another's certificate", func(s *scene) {
			s.ask(2, "secure.a.test", 200, "good", func(a *Answer, _ *Seen) { a.HTTPS, a.Certificate = true, fingerprint(s.other) })
		}, map[Kind]int{Certificate: 1}},
		"RedirectMissing": {"a TLS host answers in plaintext", func(s *scene) {
			s.ask(2, "secure.a.test", 200, "good")
		}, map[Kind]int{Unexpected: 1, WrongTarget: 1}},
		"Opened": {"a host whose CA is gone answers", func(s *scene) {
			s.h.Add(Change{N: len(s.h.Changes) + 1, File: "ca", Removed: true, Began: at(2), Ended: at(2)})
			s.settle(3)
			s.ask(4, "validated.a.test", 200, "good")
			s.ask(4, "validated.a.test", 503, "")
		}, map[Kind]int{Unexpected: 1, WrongTarget: 1}},
		"EitherDuringAChange": {"until it is settled, old and new are right", func(s *scene) {
			s.change(2, "validated", proxy("validated", "", "c", "", ""))
			s.ask(2.5, "validated.a.test", 200, "good")
			s.ask(2.5, "validated.a.test", 200, "clear")
			s.settle(3)
		}, nil},
		"NeitherDuringAChange": {"what neither says is wrong then too", func(s *scene) {
			s.change(2, "validated", proxy("validated", "", "c", "", ""))
			s.ask(2.5, "validated.a.test", 503, "")
			s.settle(3)
		}, map[Kind]int{Lost: 1}},
		"OldAfterAChange": {"when it is settled, the old is wrong", func(s *scene) {
			s.change(2, "validated", proxy("validated", "", "c", "", ""))
			s.settle(3)
			s.ask(3.5, "validated.a.test", 200, "good")
		}, map[Kind]int{Plaintext: 0, WrongTarget: 1}},
		"HostGoes": {"its routes may go before its certificate, but only then", func(s *scene) {
			over := func(a *Answer, _ *Seen) { a.HTTPS = true }
			s.ask(1.5, "secure.a.test", 404, "", over)
			s.h.Add(Change{N: len(s.h.Changes) + 1, File: "secure", Removed: true, Began: at(2), Ended: at(2)})
			s.ask(2.5, "secure.a.test", 404, "", over)
			s.settle(3)
			s.ask(3.5, "secure.a.test", 404, "", over)
		}, map[Kind]int{Lost: 1, Unexpected: 1}},
		"HostBreaks": {"its certificate may go after its routes are closed, but only then", func(s *scene) {
			over := func(a *Answer, _ *Seen) { a.HTTPS = true }
			s.ask(1.5, "secure.a.test", 503, "", over)
			s.change(2, "secure", proxy("secure", "    tls: {secretName: missing}\n", "s", "tls", "ca"))
			s.ask(2.5, "secure.a.test", 503, "", over)
			s.settle(3)
			s.ask(3.5, "secure.a.test", 503, "", over)
		}, map[Kind]int{Lost: 1, Unexpected: 1}},
		"InvalidServesOn": {"a refused version leaves the last one, or none after a restart", func(s *scene) {
			s.h.Add(Change{N: len(s.h.Changes) + 1, File: "plain", Content: "a: [", Invalid: true, Began: at(2), Ended: at(2)})
			s.settle(3)
			s.ask(4, "plain.a.test", 200, "clear")
			s.ask(4, "plain.a.test", 404, "")
			s.ask(4, "plain.a.test", 503, "")
		}, map[Kind]int{Unexpected: 1}},
		"InvalidBesideValid": {"a document against its schema hurts itself alone: the next one of its file is in force", func(s *scene) {
			s.h.Add(Change{N: len(s.h.Changes) + 1, File: "plain", Invalid: true, Began: at(2), Ended: at(2), Content: "kind: HTTPProxy\n" +
				"metadata: {name: plain, namespace: a}\nspec: {virtualhost: {fqdn: plain.a.test}, routes: nothing}\n---\n" +
				proxy("beside", "", "c", "", "")})
			s.settle(3)
			s.ask(4, "plain.a.test", 200, "clear")
			s.ask(4, "beside.a.test", 200, "clear")
			s.ask(4, "beside.a.test", 200, "good")
		}, map[Kind]int{WrongTarget: 1}},
		"EnvoyKilled": {"a killed Envoy excuses what was open, not what came after", func(s *scene) {
			s.h.Add(Fault{Kind: EnvoyEnded, Fleet: "a", Began: at(2), Ended: at(2.1)})
			s.ask(2.05, "plain.a.test", 0, "")
			s.ask(2.05, "plain.a.test", 503, "")
			s.ask(2.2, "plain.a.test", 0, "")
		}, map[Kind]int{Lost: 2}},
		"FirstHandshake": {"without a control plane a handshake may fail, a request may not", func(s *scene) {
			s.h.Add(Fault{Kind: NoControlPlane, Began: at(2), Ended: at(3)})
			s.ask(2.5, "secure.a.test", 0, "", func(a *Answer, _ *Seen) { a.HTTPS, a.Handshake = true, true })
			s.ask(2.5, "plain.a.test", 0, "")
		}, map[Kind]int{Lost: 1}},
		"Leak": {"what was seen in the wrong hands counts", func(s *scene) {
			s.h.Add(Finding{At: at(2), Kind: Leak, Text: "a key"})
		}, map[Kind]int{Leak: 1}},
		"Unsettled": {"a change that is never acknowledged", func(s *scene) {
			s.change(2, "s", serviceOf("s"))
		}, map[Kind]int{Unsettled: 1}},
		"Contested": {"two objects for one host: neither serves", func(s *scene) {
			s.change(2, "again", strings.Replace(proxy("plain", "", "c", "", ""), "name: plain", "name: again", 1))
			s.settle(3)
			s.ask(4, "plain.a.test", 503, "")
			s.ask(4, "plain.a.test", 200, "clear")
		}, map[Kind]int{Unexpected: 1, WrongTarget: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			c.make(s)
			v := Check(s.h)
			want := map[Kind]int{}
			for k, n := range c.want {
				if n > 0 {
					want[k] = n
				}
			}
			if diff := cmp.Diff(want, v.ByKind); diff != "" {
				t.Errorf("%s (-want, +got):\n%s\n%+v", c.reason, diff, v.Violations)
			}
		})
	}
}

// A history on disk is enough to see what happened.
func TestHistoryIsWritten(t *testing.T) {
	var out bytes.Buffer
	h := NewHistory(Header{Seed: 7}, &out)
	h.Add(Settled{N: 1, At: at(1)})
	h.Add(Note{At: at(1), What: "x"})
	if err := h.Err(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 3 {
		t.Errorf("%d lines, want 3:\n%s", got, &out)
	}
}
