package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

// WriteText prints a report for a person.
func (r *Report) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.fleets(r.Fleets)
	for i := range r.Hosts {
		p.host(&r.Hosts[i])
	}
	p.statuses(r.Statuses, r.Time)
	for _, x := range r.Withheld {
		p.line(0, "WITHHELD %s %s: %s", x.Unit, x.Key, x.Error)
	}
	p.quarantine(r.Quarantine)
	for _, x := range r.Problems {
		p.line(0, "%s %s", x.Severity, x.where())
		p.line(1, "%s", x.Message)
	}
	return p.err
}

// printer remembers the first error, so that its users need not look.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(indent int, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, strings.Repeat("  ", indent)+format+"\n", args...)
	}
}

func (p *printer) fleets(fleets []Fleet) {
	for _, f := range fleets {
		p.line(0, "fleet %s/%s", f.Namespace, f.Name)
		for _, e := range f.Envoys {
			state := "not ready"
			if e.Ready {
				state = "ready"
			}
			p.line(1, "envoy %s: %s, revision %d acknowledged", e.Node, state, e.Acknowledged)
			for _, x := range e.Rejected {
				p.line(2, "REJECTED %s", x)
			}
		}
		if c := f.ClientCertificate; c != nil {
			p.line(1, "client certificate %s", c)
		}
		for _, x := range f.Problems {
			p.line(1, "PROBLEM %s", x)
		}
	}
}

func (p *printer) quarantine(list []Quarantined) {
	for i := range list {
		x := &list[i]
		p.line(0, "QUARANTINED %s", x.Message)
		for _, o := range x.Objects {
			p.line(1, "%s", o)
		}
	}
}

func (p *printer) host(h *Host) {
	p.line(0, "host %s (%s) of %s", h.Host, strings.Join(h.Listeners, ", "), h.Object)
	if h.Certificate != nil {
		p.line(1, "certificate %s", h.Certificate)
	}
	for i := range h.Routes {
		p.route(&h.Routes[i])
	}
	for _, x := range []*Route{h.TCP, h.UDP} {
		if x != nil {
			p.route(x)
		}
	}
}

func (p *printer) route(r *Route) {
	action := r.Action
	if r.Detail != "" {
		action += " " + r.Detail
	}
	p.line(1, "%s: %s -> %s (%s)", r.Listener, r.Match, action, r.Object)
	if r.Failure != "" {
		p.line(2, "FAILS CLOSED: %s", r.Failure)
	}
	for i := range r.Upstreams {
		p.upstream(&r.Upstreams[i])
	}
}

func (p *printer) upstream(u *Upstream) {
	kind := ""
	switch {
	case u.Mirror:
		kind = "mirror "
	case u.Auth:
		kind = "asked first: "
	}
	p.line(2, "%sservice %s:%d, %s", kind, u.Service, u.Port, u.transport())
	t := u.TLS
	if t == nil {
		return
	}
	if t.SNI != "" {
		p.line(3, "SNI %s", t.SNI)
	}
	for _, n := range t.Names {
		p.line(3, "accepts %s", n)
	}
	for _, b := range t.Trust {
		p.line(3, "trusts %s", b.Source)
		for _, a := range b.Authorities {
			p.line(4, "%s, until %s%s", a.Subject, day(a.NotAfter), notes(a.Notes))
		}
	}
	if t.ClientCertificate != nil {
		p.line(3, "presents %s", t.ClientCertificate)
	}
}

func (u *Upstream) transport() string {
	if u.TLS == nil {
		return u.Protocol + " in cleartext"
	}
	verified := "verified"
	if !u.TLS.Verified {
		verified = "NOT verified"
	}
	return fmt.Sprintf("%s over TLS %s to %s, %s", u.Protocol, u.TLS.MinVersion, u.TLS.MaxVersion, verified)
}

// String returns the certificate in a line.
func (c *Certificate) String() string {
	if c.Fingerprint == "" {
		return c.Secret + " (not usable)"
	}
	return fmt.Sprintf("%s: %s, until %s", c.Secret, c.Subject, day(c.NotAfter))
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func notes(n []string) string {
	if len(n) == 0 {
		return ""
	}
	return " (" + strings.Join(n, ", ") + ")"
}

func (p *printer) statuses(statuses []Status, now time.Time) {
	for i := range statuses {
		s := &statuses[i]
		switch st := s.Status.(type) {
		case contourv1.HTTPProxyStatus:
			p.line(0, "%s %s/%s: %s, %s", s.Kind, s.Namespace, s.Name, st.CurrentStatus, st.Description)
			for _, c := range st.Conditions {
				p.subConditions("error", c.Errors)
				p.subConditions("warning", c.Warnings)
			}
		case v1alpha1.EnvoyFleetStatus:
			p.line(0, "%s %s/%s", s.Kind, s.Namespace, s.Name)
			for _, c := range st.Conditions {
				p.line(1, "%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
			}
		default:
			if !p.gatewayStatus(s) {
				p.line(0, "%s %s/%s: %v", s.Kind, s.Namespace, s.Name, s.Status)
			}
		}
		if s.Programmed != nil {
			p.line(1, "%s", s.Programmed.text(now))
		}
	}
}

func (p *printer) subConditions(what string, list []contourv1.SubCondition) {
	for _, c := range list {
		p.line(1, "%s %s/%s: %s", what, c.Type, c.Reason, c.Message)
	}
}

func (x *Problem) where() string {
	out := x.File
	if x.Line > 0 {
		out += fmt.Sprintf(":%d", x.Line)
	}
	if x.Object != "" {
		out += ", " + x.Object
	}
	if x.Field != "" {
		out += ", " + x.Field
	}
	return out
}
