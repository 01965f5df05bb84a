package listener

import (
	"cmp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// Ports are the names of the listeners that a Gateway binds, each once.
func (g *Gateway) Ports() []string {
	if g.Fault != nil || g.Unusable != nil {
		return nil
	}
	var out []string
	for i := range g.Sections {
		s := &g.Sections[i]
		if name := g.PortName(s); s.Served() && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Exposed is a port that clients reach a Gateway at.
type Exposed struct {
	Port int32
	// Bound is the port that the fleet binds for it.
	Bound uint32
	UDP   bool
	// Protocol of the first listener on the port.
	Protocol gatewayv1.ProtocolType
}

// Exposure is what clients reach of a Gateway.
type Exposure struct {
	// Fault is why nothing is served; nil when something is.
	Fault *gatewayapi.Fault
	// Ports by number, each once for TCP and once for UDP.
	Ports []Exposed
}

// Exposure tells the ports of a Gateway and of the ListenerSets that add to it.
func (g *Gateway) Exposure() *Exposure {
	out := &Exposure{Fault: g.Fault}
	if g.Fault != nil {
		return out
	}
	for i := range g.Sections {
		s := &g.Sections[i]
		x := Exposed{Port: s.Port, Bound: g.Bound(s.Port), UDP: s.Protocol == gatewayv1.UDPProtocolType, Protocol: s.Protocol}
		if s.Served() && !slices.ContainsFunc(out.Ports, func(o Exposed) bool { return o.Port == x.Port && o.UDP == x.UDP }) {
			out.Ports = append(out.Ports, x)
		}
	}
	slices.SortFunc(out.Ports, func(a, b Exposed) int { return cmp.Compare(a.Port, b.Port) })
	if len(out.Ports) == 0 {
		out.Fault = unaccepted()
	}
	return out
}

// Scopes are the names of the tables that the Gateway's hosts are looked up in,
// each once.
func (g *Gateway) Scopes() []string {
	var out []string
	g.eachHeld(func(s *Section) {
		if !s.HTTP() {
			return
		}
		if scope := g.Scope(s); !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	})
	return out
}

// Hosts are the hosts that are there even without a route, by scope: those of
// the sections, and those that other sections on the port serve.
func (g *Gateway) Hosts(to func(scope, host string)) {
	g.eachHeld(func(s *Section) {
		to(g.Scope(s), s.Host)
		for _, host := range g.Elsewhere(s) {
			to(g.Scope(s), host)
		}
	})
}

// eachHeld are the sections that have their names, in order.
func (g *Gateway) eachHeld(f func(*Section)) {
	if g.Fault != nil || g.Unusable != nil {
		return
	}
	for i := range g.Sections {
		if s := &g.Sections[i]; g.holds(s) {
			f(s)
		}
	}
}

// Listener is the listener of one port of a Gateway. Chains that forward
// connections as they are belong to routes: here they close them, so that no
// wider section takes what no route does. Those of refused sections stay closed.
func (g *Gateway) Listener(refs *References, name string) *ir.Listener {
	out := &ir.Listener{Name: name, Address: g.Address, CORS: true}
	for i := range g.Sections {
		s := &g.Sections[i]
		if g.PortName(s) != name || !g.holds(s) {
			continue
		}
		out.Port = g.Bound(s.Port)
		if s.Protocol == gatewayv1.HTTPProtocolType {
			continue
		}
		if out.TLS, out.UDP = s.TLS(), s.UDP(); out.Chains == nil {
			out.Chains = []ir.Chain{}
		}
		switch {
		case slices.ContainsFunc(out.Chains, func(c ir.Chain) bool { return c.ServerName == s.Host }):
			// Of refused namesakes one chain closes what comes for all.
		case s.HTTP():
			out.Chains = append(out.Chains, g.chain(s, &refs.Sections[i]))
		case s.TLS():
			out.Chains = append(out.Chains, ir.Chain{ServerName: s.Host})
		}
	}
	slices.SortFunc(out.Chains, func(a, b ir.Chain) int { return strings.Compare(a.ServerName, b.ServerName) })
	return out
}

// chain serves the hosts of a section; without what it needs for that it closes
// the connections, so that no wider section takes them.
func (g *Gateway) chain(s *Section, r *SectionReferences) ir.Chain {
	out := ir.Chain{ServerName: s.Host}
	if r.Closed != nil || !s.Served() {
		return out
	}
	out.Scope = g.Scope(s)
	out.TLS = r.Termination()
	return out
}

// Termination is how the section speaks TLS to clients; nil where it does not,
// or must not for want of what Closed says.
func (s *SectionReferences) Termination() *ir.Termination {
	if s.Closed != nil || len(s.Certificates) == 0 {
		return nil
	}
	return &ir.Termination{Certificates: s.Certificates, Profile: s.Profile, Client: s.Validation}
}
