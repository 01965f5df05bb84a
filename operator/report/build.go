package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// Builder makes reports of one translator's revisions.
type Builder struct {
	Translator *translator.Translator
	// Fleets are the EnvoyFleets whose status is reported.
	Fleets []FleetObject
	// Envoys is what the xDS server knows of them.
	Envoys xds.State
	// Rollout knows what Envoys have acknowledged; nil where there are none.
	Rollout *rollout.Tracker
}

// Build reports a revision. The caller adds the problems of the source.
func (b Builder) Build(rev *graph.Revision) *Report {
	v := view{t: b.Translator, r: rev.Reader()}
	out := &Report{Revision: rev.Number(), Fleets: v.fleets(), Hosts: v.hosts()}
	if b.Rollout != nil {
		out.Time = b.Rollout.Now().UTC()
	}
	out.Statuses = append(v.fleetStatuses(b), v.proxyStatuses(b)...)
	out.Statuses = append(out.Statuses, v.gatewayStatuses(b)...)
	out.addEnvoys(b.Envoys)
	out.Quarantine = v.quarantine()
	for _, f := range rev.Failures() {
		out.Withheld = append(out.Withheld, Withheld{Unit: f.Table, Key: f.Key, Error: f.Err.Error()})
	}
	return out
}

// view reads one revision.
type view struct {
	t *translator.Translator
	r *graph.Reader
}

func (v view) fleets() []Fleet {
	var out []Fleet
	for n, s := range v.t.FleetStatuses.All(v.r) {
		f := Fleet{Namespace: n.Namespace, Name: n.Name}
		for i := range s.Problems {
			f.Problems = append(f.Problems, s.Problems[i].Message)
		}
		if s.ClientCertificateRef != nil {
			f.ClientCertificate = v.certificate(*s.ClientCertificateRef)
		}
		out = append(out, f)
	}
	return out
}

func (v view) quarantine() []Quarantined {
	var out []Quarantined
	for k, x := range v.t.Refusals.All(v.r) {
		if x.Idle {
			continue
		}
		q := Quarantined{
			Fleet: k.Fleet.String(), Type: shortType(k.Type), Name: k.Name, Part: k.Part,
			Version: x.Version, Message: x.Message(k.Fleet), Suspect: x.Suspect,
		}
		for _, n := range x.Objects {
			q.Objects = append(q.Objects, n.String())
		}
		out = append(out, q)
	}
	return out
}

func (v view) hosts() []Host {
	var out []Host
	for k, s := range v.t.Sites.All(v.r) {
		h := Host{Fleet: k.Fleet.String(), Host: k.Host}
		for i := range s.VirtualHosts {
			vh := &s.VirtualHosts[i]
			h.Object = vh.Origin.String()
			h.Listeners = append(h.Listeners, vh.Listener)
			for j := range vh.Routes {
				h.Routes = append(h.Routes, v.route(vh.Listener, &vh.Routes[j]))
			}
		}
		for _, c := range s.Certificates {
			h.Certificate = v.certificate(c.Certificate)
		}
		if x := s.Stream(); x != nil {
			h.Object = x.Origin.String()
			h.Listeners = append(h.Listeners, x.Listener)
			h.TCP, h.UDP = v.stream(s.TCP), v.stream(s.UDP)
		}
		slices.Sort(h.Listeners)
		h.Listeners = slices.Compact(h.Listeners)
		out = append(out, h)
	}
	return out
}

func (v view) route(listener string, r *ir.Route) Route {
	out := Route{Listener: listener, Match: describeMatch(&r.Match), Object: r.Origin.String(), Failure: r.Failure}
	switch {
	case r.Forward != nil:
		out.Action = "forward"
		for i := range r.Forward.Backends {
			b := &r.Forward.Backends[i]
			u := v.upstream(b.Upstream)
			u.Weight = b.Weight
			out.Upstreams = append(out.Upstreams, u)
		}
		for i := range r.Forward.Mirrors {
			u := v.upstream(r.Forward.Mirrors[i].Upstream)
			u.Mirror = true
			out.Upstreams = append(out.Upstreams, u)
		}
	case r.Redirect != nil:
		out.Action, out.Detail = "redirect", describeRedirect(r.Redirect)
	case r.Response != nil:
		out.Action, out.Detail = "respond", fmt.Sprint(r.Response.StatusCode)
	}
	if r.Auth != nil {
		u := v.upstream(r.Auth.Upstream)
		u.Auth = true
		out.Upstreams = append(out.Upstreams, u)
	}
	return out
}

// stream describes a TCP or UDP route; nil for none.
func (v view) stream(t *ir.TCPRoute) *Route {
	if t == nil {
		return nil
	}
	out := &Route{Listener: t.Listener, Match: "SNI " + t.Host, Object: t.Origin.String(), Action: "forward", Failure: t.Failure}
	switch {
	case len(t.Backends) == 0:
		out.Action = "refuse"
	case !t.Plain && len(t.Certificates()) == 0:
		out.Detail = "TLS passed through"
	}
	if t.Plain {
		out.Match = "everything"
	}
	for i := range t.Backends {
		u := v.upstream(t.Backends[i].Upstream)
		u.Weight = t.Backends[i].Weight
		out.Upstreams = append(out.Upstreams, u)
	}
	return out
}

func (v view) upstream(u *ir.Upstream) Upstream {
	out := Upstream{
		Service: u.Service.Name.String(), Port: u.Service.Port,
		Protocol: string(u.Protocol), Cluster: u.Name(),
	}
	t := u.TLS
	if t == nil {
		return out
	}
	out.TLS = &UpstreamTLS{
		Verified: t.Verify != nil, SNI: t.SNI,
		MinVersion: string(t.Profile.Min), MaxVersion: string(t.Profile.Max),
	}
	if t.ClientCertificate != nil {
		out.TLS.ClientCertificate = v.certificate(*t.ClientCertificate)
	}
	if t.Verify == nil {
		return out
	}
	for _, n := range t.Verify.Names {
		out.TLS.Names = append(out.TLS.Names, string(n.Kind)+" "+n.Value)
	}
	for _, ref := range t.Verify.Trust {
		out.TLS.Trust = append(out.TLS.Trust, v.trust(ref))
	}
	return out
}

func (v view) trust(ref ir.TrustRef) Trust {
	out := Trust{Source: string(ref.Kind) + " " + ref.String()}
	b, ok := v.t.Trust.Get(v.r, ref)
	if !ok || b.Value == nil {
		return out
	}
	if ref.Kind == ir.TrustSystem {
		// Some hundred, which everybody knows.
		out.Source = fmt.Sprintf("the system's %d certificates", len(b.Value.CAs))
		return out
	}
	for _, a := range b.Value.CAs {
		out.Authorities = append(out.Authorities, Authority{
			Subject: a.Subject, Fingerprint: a.Fingerprint, NotAfter: a.NotAfter, Notes: a.Notes,
		})
	}
	return out
}

func (v view) certificate(ref ir.CertificateRef) *Certificate {
	out := &Certificate{Secret: ref.String()}
	if k, ok := v.t.KeyPairs.Get(v.r, ref); ok && k.Value != nil {
		out.Subject, out.Fingerprint, out.NotAfter = k.Value.Subject, k.Value.Fingerprint, k.Value.NotAfter
	}
	return out
}

func describeMatch(m *ir.Match) string {
	var b strings.Builder
	b.WriteString(string(m.PathKind) + " " + m.Path)
	if m.Method != "" {
		b.WriteString(", method " + m.Method)
	}
	describeValues(&b, "header", m.Headers)
	describeValues(&b, "query", m.Query)
	return b.String()
}

func describeValues(b *strings.Builder, what string, values []ir.ValueMatch) {
	for _, v := range values {
		b.WriteString(", " + what + " " + v.Name)
		if v.Invert {
			b.WriteString(" not")
		}
		b.WriteString(" " + string(v.Kind))
		if v.Value != "" {
			b.WriteString(" " + v.Value)
		}
	}
}

func describeRedirect(r *ir.Redirect) string {
	if r.HTTPS {
		return fmt.Sprintf("%d to https", r.StatusCode)
	}
	return fmt.Sprintf("%d to %s", r.StatusCode, strings.TrimSpace(strings.Join([]string{r.Scheme, r.Host, r.Path, r.Prefix}, " ")))
}
