package listener

import (
	"fmt"
	"slices"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

// conflicts finds the sections that cannot share a port. Those of earlier
// objects keep it, also where they are refused themselves, so that no ListenerSet
// answers for what its Gateway names; what is left of one object and clashes is
// refused together.
func (g *Gateway) conflicts() {
	for first := 0; first < len(g.Sections); {
		next := first
		for next < len(g.Sections) && g.Sections[next].Parent == g.Sections[first].Parent {
			next++
		}
		g.conflictsOf(first, next)
		first = next
	}
}

// conflictsOf judges the sections of one object, from first to before next.
func (g *Gateway) conflictsOf(first, next int) {
	for i := first; i < next; i++ {
		s := &g.Sections[i]
		lost := g.clashing(i, 0, first, (*Section).claims)
		if s.Fault == nil {
			s.Conflict = lost
		}
		s.Claims = lost == nil && (s.Fault == nil || s.Fault.Reason == reason.UnsupportedValue)
	}
	// All are judged by what was left before any of them is refused.
	found := make([]*gatewayapi.Fault, next-first)
	for i := first; i < next; i++ {
		if g.Sections[i].Served() {
			found[i-first] = g.clashing(i, first, next, (*Section).Served)
		}
	}
	for i, f := range found {
		if f != nil {
			g.Sections[first+i].Conflict = f
		}
	}
}

// clashing is why a section cannot be served beside those that count from first
// to before next; nil when it can.
func (g *Gateway) clashing(i, first, next int, counts func(*Section) bool) *gatewayapi.Fault {
	s := &g.Sections[i]
	for j := first; j < next; j++ {
		o := &g.Sections[j]
		if i == j || !counts(o) {
			continue
		}
		if why := clash(s, o); why != "" {
			return &gatewayapi.Fault{Reason: why, Message: fmt.Sprintf(
				"port %d: listener %q of %s has protocol %s and hostname %q", s.Port, o.Name, o.Parent, o.Protocol, o.Host)}
		}
	}
	return nil
}

// clash is why two sections cannot both be served; "" when they can.
func clash(a, b *Section) reason.Reason {
	if a.Port != b.Port || a.UDP() != b.UDP() {
		return ""
	}
	switch {
	case a.TLS() != b.TLS(), !a.TLS() && (!a.HTTP() || !b.HTTP()):
		return reason.ProtocolConflict // among TCP and UDP the port alone tells them apart
	case a.Host == b.Host && a.Protocol != b.Protocol:
		return reason.ProtocolConflict
	case a.Host == b.Host:
		return reason.HostnameConflict
	default:
		return ""
	}
}

// overlaps says that a client's connection to one section may be used, by its
// certificate's names, for hosts of another: both terminate TLS.
func (g *Gateway) overlaps(s *Section) (other *Section) {
	if !s.Terminates() || !s.Served() {
		return nil
	}
	for i := range g.Sections {
		o := &g.Sections[i]
		if o.Port != s.Port || o == s || !o.Terminates() || !o.Served() {
			continue
		}
		if _, ok := gatewayapi.Intersect(o.Host, s.Host); ok {
			return o
		}
	}
	return nil
}

// Bind is one port that a Gateway binds.
type Bind struct {
	Address string
	Port    uint32
	UDP     bool
}

// Binds are the ports that a Gateway binds, each once.
func (g *Gateway) Binds() []Bind {
	if g.Fault != nil || g.Unusable != nil {
		return nil
	}
	var out []Bind
	seen := map[Bind]bool{}
	for i := range g.Sections {
		s := &g.Sections[i]
		b := g.bind(s)
		if s.Served() && !seen[b] {
			seen[b] = true
			out = append(out, b)
		}
	}
	return out
}

func (g *Gateway) bind(s *Section) Bind {
	return Bind{Address: g.Address, Port: g.Bound(s.Port), UDP: s.UDP()}
}

// Place takes the ports away that others on the fleet have: taken says who. A
// port that is bound higher may meet another of the same Gateway, of which the
// first is served.
func (g *Gateway) Place(taken func(Bind) string) *Gateway {
	out := *g
	out.Sections = make([]Section, len(g.Sections))
	first := map[Bind]int32{}
	for i := range g.Sections {
		s := g.Sections[i]
		if s.Served() && g.Fault == nil {
			b := g.bind(&s)
			who := taken(b)
			if port, ok := first[b]; ok && port != s.Port {
				who = fmt.Sprintf("port %d of the same Gateway", port)
			} else if slices.Contains(g.Reserved, b.Port) {
				who = "the fleet itself"
			}
			if who == "" {
				first[b] = s.Port
			} else {
				s.Fault = &gatewayapi.Fault{Reason: reason.PortUnavailable, Message: fmt.Sprintf(
					"port %d of %s belongs to %s: choose another port, or another address in spec.addresses", b.Port, b.Address, who)}
			}
		}
		out.Sections[i] = s
	}
	if some, _ := out.accepted(nil); !some && out.Fault == nil && len(out.Sets) == 0 {
		out.Fault = unaccepted()
	}
	return &out
}
