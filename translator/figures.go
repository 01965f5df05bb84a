package translator

import (
	"iter"
	"slices"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// FleetsOf lists the fleets that serve a host in which an HTTPProxy takes part,
// sorted; empty, and not nil, when there are none. Its cost follows the hosts.
func (t *Translator) FleetsOf(r *graph.Reader, proxy ir.Name) []ir.Name {
	out := []ir.Name{}
	for _, k := range t.visited.Keys(r, proxy) { // ordered by fleet
		if len(out) == 0 || out[len(out)-1] != k.Fleet {
			out = append(out, k.Fleet)
		}
	}
	return slices.Clip(out)
}

// Figures counts what a fleet serves.
type Figures struct {
	// Hosts are exact and wildcard hosts, on all listeners together; Routes are
	// theirs, and TCP proxies.
	Hosts, Routes int
	// FailClosed of the routes answer 503, or refuse connections, because they
	// cannot be served as asked.
	FailClosed int
	// Upstreams are distinct clusters; TLS of them speak TLS to their backends,
	// and Unverified of those accept any certificate.
	Upstreams, TLS, Unverified int
}

// Figures counts what each fleet of a revision serves. It walks all routes.
func (t *Translator) Figures(rev *graph.Revision) map[ir.Name]Figures {
	r := rev.Reader()
	out := map[ir.Name]Figures{}
	for n := range t.Fleets.All(r) {
		out[n] = Figures{}
	}
	add := func(fleet ir.Name, f func(*Figures)) {
		x := out[fleet]
		f(&x)
		out[fleet] = x
	}
	for k, s := range t.Sites.All(r) {
		add(k.Fleet, func(f *Figures) { f.site(&s.Site) })
	}
	for k, h := range t.hosts.All(r) {
		add(k.Fleet, func(f *Figures) { f.FailClosed += len(h.Refused) })
	}
	for fleet, u := range t.usedUpstreams(r) {
		add(fleet, func(f *Figures) { f.upstream(u) })
	}
	return out
}

func (f *Figures) site(s *ir.Site) {
	for i := range s.VirtualHosts {
		f.Hosts++
		for j := range s.VirtualHosts[i].Routes {
			f.route(s.VirtualHosts[i].Routes[j].Failure)
		}
	}
	if x := s.Stream(); x != nil && x.Origin.Kind != gatewayapi.KindGateway {
		f.Hosts++
		f.route(x.Failure)
	}
}

func (f *Figures) route(failure string) {
	f.Routes++
	if failure != "" {
		f.FailClosed++
	}
}

func (f *Figures) upstream(u *ir.Upstream) {
	f.Upstreams++
	if u.TLS == nil {
		return
	}
	f.TLS++
	if u.TLS.Verify == nil {
		f.Unverified++
	}
}

// usedUpstreams yields each upstream of each fleet once.
func (t *Translator) usedUpstreams(r *graph.Reader) iter.Seq2[ir.Name, *ir.Upstream] {
	return func(yield func(ir.Name, *ir.Upstream) bool) {
		for k := range t.upstreams.All(r) {
			if u, ok := t.upstreams.Payload(r, k); ok && !yield(k.Fleet, u) {
				return
			}
		}
	}
}
