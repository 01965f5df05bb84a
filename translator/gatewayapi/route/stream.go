package route

import (
	"cmp"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Stream is where connections or datagrams go. A TLSRoute does not know by
// itself whether the listener passes TLS through: policies count where it does
// not.
type Stream struct {
	Passed, Ruled Share
}

// Share are backends by weight.
type Share struct {
	Backends []ir.Backend
	// Refused is the weight of those that cannot be reached as asked, and
	// Failure says why, for people.
	Refused uint32
	Failure string
	// Fault is why a reference does not lead to a usable backend.
	Fault *gatewayapi.Fault
}

// OfTLS is the common part of a TLSRoute.
func OfTLS(r *gatewayv1.TLSRoute) *Route {
	return streamRoute(gatewayapi.KindTLSRoute, r, r.Spec.ParentRefs, r.Spec.Hostnames)
}

// OfTCP is the common part of a TCPRoute, which has no hosts.
func OfTCP(r *gatewayv1.TCPRoute) *Route {
	return streamRoute(gatewayapi.KindTCPRoute, r, r.Spec.ParentRefs, nil)
}

// OfUDP is the common part of a UDPRoute, which has no hosts.
func OfUDP(r *gatewayv1.UDPRoute) *Route {
	return streamRoute(gatewayapi.KindUDPRoute, r, r.Spec.ParentRefs, nil)
}

func streamRoute(kind string, o metav1.Object, parents []gatewayv1.ParentReference, names []gatewayv1.Hostname) *Route {
	return &Route{
		Ref:        ir.ObjectRef{Kind: kind, Name: gatewayapi.NameOf(o)},
		Generation: o.GetGeneration(), Created: o.GetCreationTimestamp().Time,
		Parents: parents, Hosts: hosts(names),
	}
}

// ReadTLS reads one TLSRoute on its own. Like all readers it never fails.
func ReadTLS(o Objects, in *gatewayv1.TLSRoute) *Document {
	r := newReader(o, OfTLS(in), speech{kind: gatewayapi.KindTLSRoute, tcp: true})
	return r.stream(refsOf(in.Spec.Rules, func(x *gatewayv1.TLSRouteRule) []gatewayv1.BackendRef { return x.BackendRefs }))
}

// ReadTCP reads one TCPRoute on its own.
func ReadTCP(o Objects, in *gatewayv1.TCPRoute) *Document {
	r := newReader(o, OfTCP(in), speech{kind: gatewayapi.KindTCPRoute, tcp: true})
	return r.stream(refsOf(in.Spec.Rules, func(x *gatewayv1.TCPRouteRule) []gatewayv1.BackendRef { return x.BackendRefs }))
}

// ReadUDP reads one UDPRoute on its own.
func ReadUDP(o Objects, in *gatewayv1.UDPRoute) *Document {
	r := newReader(o, OfUDP(in), speech{kind: gatewayapi.KindUDPRoute, udp: true})
	return r.stream(refsOf(in.Spec.Rules, func(x *gatewayv1.UDPRouteRule) []gatewayv1.BackendRef { return x.BackendRefs }))
}

func refsOf[R any](rules []R, refs func(*R) []gatewayv1.BackendRef) [][]gatewayv1.BackendRef {
	out := make([][]gatewayv1.BackendRef, len(rules))
	for i := range rules {
		out[i] = refs(&rules[i])
	}
	return out
}

// stream reads the backends of the one rule that the API allows. Nothing tells
// connections of one rule from those of another, so of several none is served.
func (r *reader) stream(rules [][]gatewayv1.BackendRef) *Document {
	out := &Stream{}
	r.doc.Stream = out
	if len(rules) > 1 {
		r.doc.Fault = &gatewayapi.Fault{Reason: reason.UnsupportedValue,
			Message: fmt.Sprintf("spec.rules: %s has %d rules, which nothing tells apart: leave one", r.speech.kind, len(rules))}
		out.Passed.Failure, out.Ruled.Failure = r.doc.Fault.Message, r.doc.Fault.Message
		return r.doc
	}
	var refs []gatewayv1.BackendRef
	if len(rules) == 1 {
		refs = rules[0]
	}
	if r.speech.kind != gatewayapi.KindTCPRoute {
		out.Passed = r.share(refs, false)
	}
	if !r.speech.udp {
		out.Ruled = r.share(refs, true)
	}
	return r.doc
}

func (r *reader) share(refs []gatewayv1.BackendRef, ruled bool) Share {
	var (
		out     Share
		refused []string
	)
	for i := range refs {
		b := &refs[i]
		weight := uint32(max(0, gatewayapi.Or(b.Weight, 1)))
		u, f := r.reach(&b.BackendObjectReference, ruled)
		switch {
		case f != nil:
			at := fmt.Sprintf("spec.rules[0].backendRefs[%d]: %s", i, f.Message)
			if out.Fault == nil {
				out.Fault = &gatewayapi.Fault{Reason: f.Reason, Message: at}
			}
			if weight > 0 {
				out.Refused += weight
				refused = append(refused, at)
			}
		case weight > 0:
			out.Backends = append(out.Backends, ir.Backend{Upstream: u, Weight: weight})
		}
	}
	out.Failure = strings.Join(refused, "; ")
	if len(out.Backends) == 0 && out.Failure == "" {
		out.Failure = "the route has no backend with a weight above 0"
	}
	return out
}

// ComposeStream builds what is done with the connections for one server name
// of a section, or with all of a TCP or UDP section: they go where the one
// route leads that fits best, by its own hostname, then its age. Without a
// route, and where the section is closed, they are closed. The fleet has the
// Gateway's own client certificate.
func ComposeStream(
	gw *listener.Gateway, s *listener.Section, refs *listener.SectionReferences, host string, fleet *ir.Fleet, docs []*Document,
) *ir.Site {
	out := &ir.TCPRoute{
		Listener: gw.PortName(s), Host: host, Plain: !s.TLS(), Origin: ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: gw.Name},
	}
	site := &ir.Site{Fleet: gw.Fleet, Host: host}
	if site.TCP = out; s.UDP() {
		site.TCP, site.UDP = nil, out
	}
	best := foremost(docs, host)
	if best == nil {
		return site
	}
	out.Origin = best.Ref
	if s.Terminates() {
		if out.Termination = refs.Termination(); out.Termination == nil {
			out.Failure = "the listener has no certificate and closes its connections"
			return site
		}
	}
	if best.Stream == nil {
		out.Failure = unknownBackends(best)
		return site
	}
	share := &best.Stream.Ruled
	if s.Passthrough || s.UDP() {
		share = &best.Stream.Passed
	}
	out.Refused, out.Failure = share.Refused, share.Failure
	for _, b := range share.Backends {
		u, p := upstream.Finish(b.Upstream, fleet)
		if p != nil {
			out.Refused += b.Weight
			out.Failure = cmp.Or(out.Failure, p.Message)
			continue
		}
		out.Backends = append(out.Backends, ir.Backend{Upstream: u, Weight: b.Weight})
	}
	return site
}

// foremost is the document that goes before all others for a host.
func foremost(docs []*Document, host string) *Document {
	var (
		best *Document
		own  string
	)
	for _, d := range docs {
		h := hostFor(d.Hosts, host)
		if h == "" {
			continue
		}
		if best == nil || cmp.Or(gatewayapi.CompareHosts(h, own),
			gatewayapi.Older(d.Created, d.Ref.Name, best.Created, best.Ref.Name), cmp.Compare(d.Ref.Kind, best.Ref.Kind)) < 0 {
			best, own = d, h
		}
	}
	return best
}

// unknownBackends is why a document without a stream leads nowhere.
func unknownBackends(d *Document) string {
	for i := range d.Rules {
		if f := d.Rules[i].Action.Failure; f != "" {
			return f
		}
	}
	return "it is not known where the route leads"
}
