package translator

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// gatewayStep changes an object of the Gateway API.
func (h *history) gatewayStep(t *Translator, c *graph.Changes) {
	switch h.rand.IntN(17) {
	case 15, 16:
		h.trustStep(t, c)
	case 11, 12:
		n := h.name("t1", "t2", "t3")
		like := h.httpRoute(n)
		r := &gatewayv1.TLSRoute{Namespace: n.Namespace, Name: n.Name, Generation: like.Generation, CreationTimestamp: like.CreationTimestamp}
		r.Spec.ParentRefs, r.Spec.Hostnames = like.Spec.ParentRefs, like.Spec.Hostnames
		r.Spec.Rules = []gatewayv1.TLSRouteRule{{BackendRefs: h.backends()}}
		put(h, t, c, edit[*gatewayv1.TLSRoute]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.TLSRoute] { return t.TLSRoutes }, n, r})
	case 13:
		n := h.name("c1", "c2")
		like := h.httpRoute(n)
		r := &gatewayv1.TCPRoute{Namespace: n.Namespace, Name: n.Name, Generation: like.Generation, CreationTimestamp: like.CreationTimestamp}
		r.Spec.ParentRefs, r.Spec.Rules = like.Spec.ParentRefs, []gatewayv1.TCPRouteRule{{BackendRefs: h.backends()}}
		put(h, t, c, edit[*gatewayv1.TCPRoute]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.TCPRoute] { return t.TCPRoutes }, n, r})
	case 14:
		n := h.name("u1", "u2")
		like := h.httpRoute(n)
		r := &gatewayv1.UDPRoute{Namespace: n.Namespace, Name: n.Name, Generation: like.Generation, CreationTimestamp: like.CreationTimestamp}
		r.Spec.ParentRefs, r.Spec.Rules = like.Spec.ParentRefs, []gatewayv1.UDPRouteRule{{BackendRefs: h.backends()}}
		put(h, t, c, edit[*gatewayv1.UDPRoute]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.UDPRoute] { return t.UDPRoutes }, n, r})
	case 9:
		n := h.name("r4")
		r := &gatewayv1.GRPCRoute{Namespace: n.Namespace, Name: n.Name, CreationTimestamp: h.age()}
		like := h.httpRoute(n)
		r.Spec.ParentRefs, r.Spec.Hostnames = like.Spec.ParentRefs, like.Spec.Hostnames
		for i := range like.Spec.Rules {
			rule := gatewayv1.GRPCRouteRule{}
			for _, b := range like.Spec.Rules[i].BackendRefs {
				rule.BackendRefs = append(rule.BackendRefs, gatewayv1.GRPCBackendRef{BackendRef: b.BackendRef})
			}
			r.Spec.Rules = append(r.Spec.Rules, rule)
		}
		put(h, t, c, edit[*gatewayv1.GRPCRoute]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.GRPCRoute] { return t.GRPCRoutes }, n, r})
	case 10:
		n := h.name("l1", "l2")
		s := &gatewayv1.ListenerSet{Namespace: n.Namespace, Name: n.Name, CreationTimestamp: h.age()}
		ns := gatewayv1.Namespace(pick(h, namespaces...))
		s.Spec.ParentRef = gatewayv1.ParentGatewayReference{Name: gatewayv1.ObjectName(pick(h, "g1", "g2")), Namespace: &ns}
		for _, l := range h.gateway(n).Spec.Listeners {
			s.Spec.Listeners = append(s.Spec.Listeners, gatewayv1.ListenerEntry(l))
		}
		put(h, t, c, edit[*gatewayv1.ListenerSet]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.ListenerSet] { return t.ListenerSets }, n, s})
	case 0:
		n := ir.Name{Name: "signet"}
		put(h, t, c, edit[*gatewayv1.GatewayClass]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.GatewayClass] { return t.GatewayClasses }, n, h.class()})
	case 1, 2:
		n := h.name("g1", "g2")
		put(h, t, c, edit[*gatewayv1.Gateway]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.Gateway] { return t.Gateways }, n, h.gateway(n)})
	case 3, 4, 5:
		n := h.name("r1", "r2", "r3")
		put(h, t, c, edit[*gatewayv1.HTTPRoute]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.HTTPRoute] { return t.HTTPRoutes }, n, h.httpRoute(n)})
	case 6:
		n := h.name("b1", "b2")
		put(h, t, c, edit[*gatewayv1.BackendTLSPolicy]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.BackendTLSPolicy] { return t.Policies }, n, h.policy(n)})
	case 7:
		n := h.name("grant")
		g := &gatewayv1.ReferenceGrant{Namespace: n.Namespace, Name: n.Name}
		for _, kind := range []gatewayv1.Kind{"HTTPRoute", "Gateway", "TLSRoute", "TCPRoute", "UDPRoute"} {
			g.Spec.From = append(g.Spec.From, gatewayv1.ReferenceGrantFrom{Group: gatewayv1.GroupName, Kind: kind, Namespace: gatewayv1.Namespace(pick(h, namespaces...))})
		}
		g.Spec.To = []gatewayv1.ReferenceGrantTo{{Kind: "Service"}, {Kind: "Secret"}}
		put(h, t, c, edit[*gatewayv1.ReferenceGrant]{func(t *Translator) *graph.Input[ir.Name, *gatewayv1.ReferenceGrant] { return t.Grants }, n, g})
	case 8:
		n := ir.Name{Name: pick(h, namespaces...)}
		labels := map[string]string{"team": pick(h, "x", "y")}
		put(h, t, c, edit[*corev1.Namespace]{func(t *Translator) *graph.Input[ir.Name, *corev1.Namespace] { return t.Namespaces }, n, &corev1.Namespace{Name: n.Name, Labels: labels}})
	}
}

func (h *history) age() metav1.Time { return metav1.NewTime(time.Unix(int64(1000+h.rand.IntN(3)), 0)) }

func (h *history) gateway(n ir.Name) *gatewayv1.Gateway {
	g := &gatewayv1.Gateway{Namespace: n.Namespace, Name: n.Name, Generation: int64(h.rand.IntN(3)), CreationTimestamp: h.age()}
	g.Spec.GatewayClassName = gatewayv1.ObjectName(pick(h, "signet", "signet", "signet", "other"))
	hosts := []gatewayv1.Hostname{"", "one.test", "*.test", "two.test"}
	for i := range 1 + h.rand.IntN(3) {
		l := gatewayv1.Listener{
			Name: gatewayv1.SectionName([]string{"x", "y", "z"}[i]), Port: pick(h, int32(80), 443, 8080),
			Protocol: pick(h, gatewayv1.HTTPProtocolType, gatewayv1.HTTPProtocolType, gatewayv1.HTTPSProtocolType, gatewayv1.HTTPSProtocolType,
				gatewayv1.TLSProtocolType, gatewayv1.TLSProtocolType, gatewayv1.TCPProtocolType, gatewayv1.UDPProtocolType),
		}
		if host := pick(h, hosts...); host != "" {
			l.Hostname = &host
		}
		if l.Protocol == gatewayv1.TLSProtocolType && h.maybe(50) {
			l.TLS = &gatewayv1.ListenerTLSConfig{Mode: new(gatewayv1.TLSModePassthrough)}
		} else if l.Protocol == gatewayv1.HTTPSProtocolType || l.Protocol == gatewayv1.TLSProtocolType {
			l.TLS = &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: "cert"}}}
			if h.maybe(40) {
				ns := gatewayv1.Namespace(pick(h, namespaces...))
				l.TLS.CertificateRefs[0].Namespace = &ns
			}
		}
		h.listenerExtras(&l)
		from := pick(h, gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame, gatewayv1.NamespacesFromSelector)
		l.AllowedRoutes = &gatewayv1.AllowedRoutes{Namespaces: &gatewayv1.RouteNamespaces{
			From: &from, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "x"}},
		}}
		g.Spec.Listeners = append(g.Spec.Listeners, l)
	}
	if h.maybe(50) {
		from := pick(h, gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame)
		g.Spec.AllowedListeners = &gatewayv1.AllowedListeners{Namespaces: &gatewayv1.ListenerNamespaces{From: &from}}
	}
	if h.maybe(25) {
		g.Spec.TLS = &gatewayv1.GatewayTLSConfig{Backend: &gatewayv1.GatewayBackendTLS{ClientCertificateRef: &gatewayv1.SecretObjectReference{Name: "cert"}}}
	}
	h.gatewayExtras(g)
	return g
}

func (h *history) httpRoute(n ir.Name) *gatewayv1.HTTPRoute {
	r := &gatewayv1.HTTPRoute{Namespace: n.Namespace, Name: n.Name, Generation: int64(h.rand.IntN(3)), CreationTimestamp: h.age()}
	for range 1 + h.rand.IntN(2) {
		p := gatewayv1.ParentReference{Name: gatewayv1.ObjectName(pick(h, "g1", "g2"))}
		if h.maybe(20) {
			p.Name, p.Kind = gatewayv1.ObjectName(pick(h, "l1", "l2")), new(gatewayv1.Kind("ListenerSet"))
		}
		if h.maybe(50) {
			ns := gatewayv1.Namespace(pick(h, namespaces...))
			p.Namespace = &ns
		}
		if h.maybe(30) {
			section := gatewayv1.SectionName(pick(h, "x", "y", "w"))
			p.SectionName = &section
		}
		r.Spec.ParentRefs = append(r.Spec.ParentRefs, p)
	}
	for range h.rand.IntN(3) {
		r.Spec.Hostnames = append(r.Spec.Hostnames, pick(h, gatewayv1.Hostname("one.test"), "*.test", "a.one.test", "two.test"))
	}
	for range 1 + h.rand.IntN(2) {
		path := pick(h, "/", "/x", "/y")
		rule := gatewayv1.HTTPRouteRule{Matches: []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Value: &path}}}}
		for range h.rand.IntN(3) {
			b := gatewayv1.HTTPBackendRef{Name: gatewayv1.ObjectName(pick(h, "s1", "s2", "s3"))}
			port, weight := gatewayv1.PortNumber(pick(h, 80, 443)), int32(h.rand.IntN(3))
			b.Port, b.Weight = &port, &weight
			if h.maybe(30) {
				ns := gatewayv1.Namespace(pick(h, namespaces...))
				b.Namespace = &ns
			}
			rule.BackendRefs = append(rule.BackendRefs, b)
		}
		h.ruleExtras(&rule)
		r.Spec.Rules = append(r.Spec.Rules, rule)
	}
	return r
}

func (h *history) backends() []gatewayv1.BackendRef {
	var out []gatewayv1.BackendRef
	for range h.rand.IntN(3) {
		b := gatewayv1.BackendRef{Name: gatewayv1.ObjectName(pick(h, "s1", "s2", "s3"))}
		port, weight := gatewayv1.PortNumber(pick(h, 80, 443, 53)), int32(h.rand.IntN(3))
		b.Port, b.Weight = &port, &weight
		if h.maybe(30) {
			ns := gatewayv1.Namespace(pick(h, namespaces...))
			b.Namespace = &ns
		}
		out = append(out, b)
	}
	return out
}

func (h *history) policy(n ir.Name) *gatewayv1.BackendTLSPolicy {
	p := policyOf(asked{names: []string{"x.example"}, sni: pick(h, "x.example", "y.example")}, pick(h, "", "web", "secure", "none"))
	p.Namespace, p.Name, p.Generation, p.CreationTimestamp = n.Namespace, n.Name, int64(h.rand.IntN(3)), h.age()
	p.Spec.TargetRefs[0].Name = gatewayv1.ObjectName(pick(h, "s1", "s2"))
	h.policyExtras(p)
	return p
}
