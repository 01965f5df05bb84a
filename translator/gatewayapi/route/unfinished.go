package route

import (
	"fmt"
	"iter"
	"strings"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Fleets gives the fleet of a Gateway, with the Gateway's own client certificate;
// nil when it is not known.
type Fleets func(gateway ir.Name) *ir.Fleet

// unfinished is why backends are not reached for want of what a parent and its
// fleet bring to them; nil when all are. Each is named: its share is answered
// with an error, and a mirror is left out.
func (d *Document) unfinished(p *Parent, fleets Fleets) *gatewayapi.Fault {
	var (
		fleet *ir.Fleet
		whys  []string
		at    = map[string][]string{} // by why
	)
	for where, u := range d.upstreamsOf(p) {
		if u.TLS == nil {
			continue
		}
		if fleet == nil {
			if fleet = fleets(p.Gateway); fleet == nil {
				return nil
			}
		}
		_, problem := upstream.Finish(u, fleet)
		if problem == nil {
			continue
		}
		if at[problem.Message] == nil {
			whys = append(whys, problem.Message)
		}
		at[problem.Message] = append(at[problem.Message], fmt.Sprintf("%sService %q", where, u.Service.Name))
	}
	if len(whys) == 0 {
		return nil
	}
	for i, why := range whys {
		whys[i] = strings.Join(at[why], ", ") + ": " + why
	}
	return &gatewayapi.Fault{Reason: reason.InvalidBackendTLSPolicy, Message: strings.Join(whys, "; ")}
}

// upstreamsOf yields what is reached from a parent, with the place where it is
// written.
func (d *Document) upstreamsOf(p *Parent) iter.Seq2[string, *ir.Upstream] {
	return func(yield func(string, *ir.Upstream) bool) {
		if d.Stream != nil {
			d.Stream.share(p.Ruled).each(yield)
			return
		}
		for i := range d.Rules {
			if !eachOfRule(fmt.Sprintf("spec.rules[%d]: ", i), &d.Rules[i].Action, yield) {
				return
			}
		}
	}
}

func eachOfRule(at string, a *ir.Route, yield func(string, *ir.Upstream) bool) bool {
	if a.Auth != nil && !yield(at+"externalAuth ", a.Auth.Upstream) {
		return false
	}
	if a.Forward == nil {
		return true
	}
	for i := range a.Forward.Backends {
		if !yield(at, a.Forward.Backends[i].Upstream) {
			return false
		}
	}
	for i := range a.Forward.Mirrors {
		if !yield(at+"mirror to ", a.Forward.Mirrors[i].Upstream) {
			return false
		}
	}
	return true
}

// share is what a stream leads to: where policies count, or where they do not.
func (s *Stream) share(ruled bool) *Share {
	if ruled {
		return &s.Ruled
	}
	return &s.Passed
}

func (s *Share) each(yield func(string, *ir.Upstream) bool) {
	for i := range s.Backends {
		if !yield("spec.rules[0]: ", s.Backends[i].Upstream) {
			return
		}
	}
}
