package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of violation.
type Kind string

// Violations.
const (
	Lost        Kind = "lost"
	Unexpected  Kind = "unexpected"
	WrongTarget Kind = "backend"
	Plaintext   Kind = "plaintext"
	Unverified  Kind = "unverified"
	Leak        Kind = "leak"
	Certificate Kind = "certificate"
	// Unsettled is a change that was never acknowledged everywhere.
	Unsettled Kind = "unsettled"
	// Resources is memory or goroutines that grow.
	Resources Kind = "resources"
)

// Violation is one thing that must not be.
type Violation struct {
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Verdict is the result of a check.
type Verdict struct {
	Answers int `json:"answers"`
	// Exact are the answers of which one version of the world alone could speak;
	// Ambiguous those that fell into a change of what they touch; Unbounded those
	// with too many combinations, of which the backend alone was checked.
	Exact     int `json:"exact"`
	Ambiguous int `json:"ambiguous"`
	Unbounded int `json:"unbounded"`
	// Excused are errors by why they may be.
	Excused map[string]int `json:"excused"`
	// ByKind counts the violations, Violations are the first of them.
	ByKind     map[Kind]int `json:"violations"`
	Violations []Violation  `json:"first"`
}

// Failed tells whether anything was violated.
func (v *Verdict) Failed() bool { return len(v.ByKind) > 0 }

const maxViolations = 50

func (v *Verdict) violate(k Kind, at time.Time, format string, args ...any) {
	v.ByKind[k]++
	if len(v.Violations) < maxViolations {
		v.Violations = append(v.Violations, Violation{k, at, fmt.Sprintf(format, args...)})
	}
}

// checker is one check of a history.
type checker struct {
	*History

	worlds    *worlds
	seen      map[string][]*Seen
	presented map[string][]Presented
	ports     map[int]string
	verdict   Verdict
}

// Check judges a history that has ended.
func Check(h *History) *Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &checker{
		History: h, worlds: newWorlds(h), seen: map[string][]*Seen{},
		presented: map[string][]Presented{}, ports: map[int]string{},
		verdict: Verdict{Answers: len(h.Answers), Excused: map[string]int{}, ByKind: map[Kind]int{}},
	}
	for i := range h.Seen {
		s := &h.Seen[i]
		c.seen[s.ID] = append(c.seen[s.ID], s)
		if h.Header.Backends[s.Backend].Never {
			c.verdict.violate(WrongTarget, s.At, "request %s for %s%s arrived at %s, which no manifest ever allows", s.ID, s.Host, s.Path, s.Backend)
		}
	}
	for _, p := range h.Presented {
		c.presented[p.Backend] = append(c.presented[p.Backend], p)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Header.Backends)) {
		c.ports[h.Header.Backends[name].Port] = name
	}
	for _, f := range h.Findings {
		c.verdict.violate(f.Kind, f.At, "%s", f.Text)
	}
	for i := range h.Answers {
		c.answer(&h.Answers[i])
	}
	c.ends()
	return &c.verdict
}

// ends checks that every change was settled.
func (c *checker) ends() {
	for n := 1; n < len(c.worlds.settled); n++ {
		if c.worlds.settled[n].IsZero() {
			i := slices.IndexFunc(c.Changes, func(x Change) bool { return x.N == n })
			c.verdict.violate(Unsettled, c.Changes[i].Began, "change %d (%s, %s) was not acknowledged by every Envoy", n, c.Changes[i].Why, c.Changes[i].File)
			return // those behind it have the same cause
		}
	}
}

// answer checks one request: what its backends saw, then what its client got.
func (c *checker) answer(a *Answer) {
	fleet := c.Header.Fleets[a.Fleet]
	to := a.Done
	for _, s := range c.seen[a.ID] {
		if s.At.After(to) {
			to = s.At
		}
	}
	var says []string
	right, valid := false, true
	gone, there, broken := false, false, false
	allowed := make([]bool, len(c.seen[a.ID]))
	one, all := c.worlds.each(a.Sent, to, func(v *view) bool {
		o := expect(v, &fleet, a)
		for i, s := range c.seen[a.ID] {
			allowed[i] = allowed[i] || c.arrives(&o, a, s) == ""
		}
		why := c.answers(&o, a)
		right = right || why == ""
		valid = valid && o.form == serve
		gone, there = gone || a.HTTPS && o.handshake, there || a.HTTPS && !o.handshake
		broken = broken || a.HTTPS && o.handshake && o.form == closed
		if why != "" && len(says) < 4 {
			says = append(says, why)
		}
		return !right || slices.Contains(allowed, false)
	})
	// A host that comes or goes may have its certificate before its routes, or
	// after; one that breaks or is mended, with the routes of what is broken.
	right = right || gone && there && (a.Code == 404 || broken && a.Code == 503)
	switch {
	case !all:
		c.verdict.Unbounded++
	case one:
		c.verdict.Exact++
	default:
		c.verdict.Ambiguous++
	}
	for i, s := range c.seen[a.ID] {
		if !allowed[i] {
			c.arrived(a, &fleet, s)
		}
	}
	if right || !all {
		return
	}
	if why := c.excuse(a); why != "" {
		c.verdict.Excused[why]++
		return
	}
	kind := Unexpected
	switch {
	case a.Certificate != "" && strings.Contains(strings.Join(says, ""), "certificate"):
		kind = Certificate
	case valid:
		kind = Lost
	}
	c.verdict.violate(kind, a.Sent, "%s: %s", a.text(), strings.Join(slices.Compact(says), "; or "))
}

func (a *Answer) text() string {
	scheme := "http"
	if a.HTTPS {
		scheme = "https"
	}
	return fmt.Sprintf("request %s, %s to %s, %s://%s%s: code %d, backend %q, error %q", a.ID,
		a.Sent.Format("15:04:05.000000"), a.Done.Format("15:04:05.000000"), scheme, a.Host, a.Path, a.Code, a.Backend, a.Error)
}

// arrived says how a request arrived that was not allowed to.
func (c *checker) arrived(a *Answer, fleet *Fleet, s *Seen) {
	var why string
	c.worlds.each(a.Sent, a.Done, func(v *view) bool {
		o := expect(v, fleet, a)
		why = c.arrives(&o, a, s)
		return false
	})
	kind := WrongTarget
	switch {
	case strings.HasPrefix(why, string(Plaintext)):
		kind = Plaintext
	case strings.HasPrefix(why, string(Unverified)):
		kind = Unverified
	}
	c.verdict.violate(kind, s.At, "%s arrived at %s (TLS %v, SNI %q): %s", a.text(), s.Backend, s.TLS, s.SNI, why)
}

// arrives returns why a backend must not have seen a request; empty when it may.
func (c *checker) arrives(o *outcome, a *Answer, s *Seen) string {
	b := c.Header.Backends[s.Backend]
	switch {
	case o.form != serve:
		return "no backend is allowed"
	case !slices.Contains(o.ports, b.Port):
		return fmt.Sprintf("%s is not among the endpoints %v", s.Backend, o.ports)
	case o.tls && !s.TLS:
		return string(Plaintext) + ", where TLS is asked for"
	case !o.tls && s.TLS:
		return "TLS, where none is asked for"
	case o.http2 != s.HTTP2:
		return fmt.Sprintf("HTTP/2 %v, where the protocol asks for %v", s.HTTP2, o.http2)
	case o.verify && s.SNI != o.names[0]:
		return fmt.Sprintf("%s: the SNI is not %q", Unverified, o.names[0])
	case o.verify && !c.proves(o, s.Backend, s.Connected, s.Connected, true):
		return fmt.Sprintf("%s: its certificate does not prove %q by %s", Unverified, o.names, o.bundle)
	case s.TLS && !c.presents(o.client, s, b):
		return fmt.Sprintf("the client certificate %.8s is not the fleet's (%s)", s.Client, o.client)
	}
	return ""
}

// proves tells whether a backend's certificate satisfied an outcome, in some
// or in every combination of what was presented and trusted in a span.
func (c *checker) proves(o *outcome, backend string, from, to time.Time, some bool) bool {
	var bundles [][]string
	for _, secret := range c.worlds.during(o.bundle, from, to) {
		if secret != nil {
			if b, ok := secret.bundle(); ok {
				bundles = append(bundles, b)
			}
		}
	}
	fits, all := false, true
	for _, p := range presentedIn(c.presented[backend], from, to) {
		names := slices.ContainsFunc(o.names, func(n string) bool { return slices.Contains(p.Names, n) })
		for _, b := range bundles {
			ok := names && slices.Contains(b, p.Authority)
			fits, all = fits || ok, all && ok
		}
	}
	if some {
		return fits
	}
	return fits && all
}

// presentedIn returns the certificates that may have been presented in a span.
func presentedIn(list []Presented, from, to time.Time) []Presented {
	var out []Presented
	for _, p := range slices.Backward(list) {
		if p.Began.After(to) {
			continue
		}
		out = append(out, p)
		if !p.Ended.After(from) {
			break
		}
	}
	return out
}

// presents tells whether the client certificate of a connection is one that the
// fleet had when it was made.
func (c *checker) presents(client key, s *Seen, b Backend) bool {
	if s.Client == "" {
		return !b.RequiresClient // Envoy is not asked for one
	}
	return slices.ContainsFunc(c.worlds.during(client, s.Connected, s.Connected), func(o *object) bool {
		if o == nil {
			return false
		}
		got, ok := o.pair()
		return ok && got == s.Client
	})
}

// answers returns why an answer is not what an outcome says; empty when it is.
func (c *checker) answers(o *outcome, a *Answer) string {
	if a.HTTPS && o.handshake {
		if a.Code == 0 {
			return ""
		}
		return "the handshake should fail"
	}
	if a.HTTPS && a.Certificate != "" && o.certificate != "" && a.Certificate != o.certificate {
		return fmt.Sprintf("certificate %.8s is not the host's, %.8s", a.Certificate, o.certificate)
	}
	switch o.form {
	case absent:
		if a.Code != 404 {
			return "it should be 404: there is no such host or route"
		}
	case closed:
		if a.Code == 0 || a.Code == 200 {
			return "it should be closed"
		}
	case redirect:
		if a.Code != 301 {
			return "it should be a redirect"
		}
	case serve:
		return c.served(o, a)
	}
	return ""
}

func (c *checker) served(o *outcome, a *Answer) string {
	if a.Code == 200 {
		if len(c.seen[a.ID]) == 0 {
			return "no backend saw it"
		}
		return "" // what backends saw is checked there
	}
	if a.Code == 0 {
		return "there should be an answer of a backend"
	}
	// Without an endpoint that can be reached as asked, it fails.
	if len(o.ports) == 0 {
		return ""
	}
	for _, port := range o.ports {
		name, ok := c.ports[port]
		b := c.Header.Backends[name]
		if !ok || b.TLS != o.tls || o.verify && !c.proves(o, name, a.Sent, a.Done, false) {
			return ""
		}
	}
	return fmt.Sprintf("it should be 200, of the endpoints %v", o.ports)
}

// excuse returns why an answer may be wrong without fault of Signet; empty when
// it may not.
func (c *checker) excuse(a *Answer) string {
	if a.Code != 0 {
		return ""
	}
	for i := range c.Faults {
		f := &c.Faults[i]
		if f.Fleet != "" && f.Fleet != a.Fleet || f.Began.After(a.Done) || f.Ended.Before(a.Sent) {
			continue
		}
		switch {
		case f.Kind == EnvoyEnded:
			return "open at an Envoy that ended"
		case f.Kind == NoControlPlane && a.Handshake:
			// docs/architecture.md: a certificate that this Envoy was never asked
			// for cannot be fetched then.
			return "first handshake without a control plane"
		}
	}
	return ""
}
