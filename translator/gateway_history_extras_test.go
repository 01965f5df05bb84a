package translator

import (
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// trustStep changes what Gateways and policies refer to beside Secrets.
func (h *history) trustStep(t *Translator, c *graph.Changes) {
	pem := string(pick(h, h.pems...))
	switch h.rand.IntN(4) {
	case 0:
		n := h.name("ca")
		m := &corev1.ConfigMap{Namespace: n.Namespace, Name: n.Name, Data: map[string]string{pick(h, "ca.crt", "ca.crt", "other"): pem}}
		put(h, t, c, edit[*corev1.ConfigMap]{func(t *Translator) *graph.Input[ir.Name, *corev1.ConfigMap] { return t.ConfigMaps }, n, m})
	case 1:
		n := ir.Name{Name: "ca"}
		b := &certificatesv1beta1.ClusterTrustBundle{Name: n.Name, Spec: certificatesv1beta1.ClusterTrustBundleSpec{TrustBundle: pem}}
		put(h, t, c, edit[*certificatesv1beta1.ClusterTrustBundle]{
			func(t *Translator) *graph.Input[ir.Name, *certificatesv1beta1.ClusterTrustBundle] {
				return t.TrustBundles
			}, n, b,
		})
	case 2:
		set := func(t *Translator, c *graph.Changes) { t.SystemTrust.Put(c, SystemTrustKey, pem) }
		if h.maybe(25) {
			h.record(t, c, "system trust", nil, func(t *Translator, c *graph.Changes) { t.SystemTrust.Delete(c, SystemTrustKey) })
			return
		}
		h.record(t, c, "system trust", set, nil)
	case 3:
		put(h, t, c, edit[bool]{func(t *Translator) *graph.Input[ir.Name, bool] { return t.EnvoyFleets }, h.name("edge"), true})
	}
}

func (h *history) class() *gatewayv1.GatewayClass {
	out := classOfOurs()
	if h.maybe(20) {
		out.Spec.ParametersRef = &gatewayv1.ParametersReference{
			Group: "operator.signetproxy.io", Kind: "EnvoyFleet", Name: "edge", Namespace: new(gatewayv1.Namespace(pick(h, namespaces...))),
		}
	}
	return out
}

func (h *history) tlsOptions() map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue {
	if h.maybe(70) {
		return nil
	}
	return map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{
		pick(h, gatewayv1.AnnotationKey("signetproxy.io/minimum-protocol-version"), "signetproxy.io/maximum-protocol-version", "signetproxy.io/odd", "x.test/any"): pick(h, gatewayv1.AnnotationValue("1.2"), "1.3", "9"),
	}
}

func (h *history) listenerExtras(l *gatewayv1.Listener) {
	if l.TLS != nil && len(l.TLS.CertificateRefs) > 0 {
		l.TLS.Options = h.tlsOptions()
	}
	if h.maybe(10) {
		l.Filters = &gatewayv1.ListenerFilters{}
	}
}

// authorities are references to bundles, of which some lead nowhere.
func (h *history) authorities() []gatewayv1.ObjectReference {
	var out []gatewayv1.ObjectReference
	for range 1 + h.rand.IntN(2) {
		out = append(out, pick(h,
			gatewayv1.ObjectReference{Kind: "ConfigMap", Name: "ca"},
			gatewayv1.ObjectReference{Kind: "ConfigMap", Name: "ca", Namespace: new(gatewayv1.Namespace(pick(h, namespaces...)))},
			gatewayv1.ObjectReference{Kind: "Secret", Name: "ca"},
			gatewayv1.ObjectReference{Group: certificatesv1beta1.GroupName, Kind: "ClusterTrustBundle", Name: "ca"},
			gatewayv1.ObjectReference{Kind: "Widget", Name: "ca"},
		))
	}
	return out
}

func (h *history) gatewayExtras(g *gatewayv1.Gateway) {
	if h.maybe(15) {
		g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{ParametersRef: &gatewayv1.LocalParametersReference{
			Group: "operator.signetproxy.io", Kind: "EnvoyFleet", Name: "edge",
		}}
	}
	if !h.maybe(30) {
		return
	}
	if g.Spec.TLS == nil {
		g.Spec.TLS = &gatewayv1.GatewayTLSConfig{}
	}
	v := &gatewayv1.FrontendTLSValidation{CACertificateRefs: h.authorities(), Mode: pick(h, gatewayv1.AllowValidOnly, gatewayv1.AllowInsecureFallback)}
	g.Spec.TLS.Frontend = &gatewayv1.FrontendTLSConfig{}
	if h.maybe(50) {
		g.Spec.TLS.Frontend.Default.Validation = v
		return
	}
	g.Spec.TLS.Frontend.PerPort = []gatewayv1.TLSPortConfig{{Port: 443, TLS: gatewayv1.TLSConfig{Validation: v}}}
}

func (h *history) ruleExtras(r *gatewayv1.HTTPRouteRule) {
	if h.maybe(15) {
		r.Timeouts = &gatewayv1.HTTPRouteTimeouts{Request: new(pick(h, gatewayv1.Duration("0s"), "1s", "1h"))}
		r.Retry = &gatewayv1.HTTPRouteRetry{Codes: []gatewayv1.HTTPRouteRetryStatusCode{504}}
	}
	if h.maybe(10) {
		kind := pick(h, gatewayv1.CookieBasedSessionPersistence, gatewayv1.HeaderBasedSessionPersistence)
		r.SessionPersistence = &gatewayv1.SessionPersistence{Type: &kind} //nolint:staticcheck // the experimental channel still has it
	}
	for h.maybe(30) {
		r.Filters = append(r.Filters, h.filter())
	}
}

func (h *history) filter() gatewayv1.HTTPRouteFilter {
	s1 := gatewayv1.BackendObjectReference{Name: "s1", Port: new(gatewayv1.PortNumber(443))}
	changes := &gatewayv1.HTTPHeaderFilter{Set: []gatewayv1.HTTPHeader{{Name: "X-A", Value: pick(h, "1", "2")}}}
	return pick(h,
		gatewayv1.HTTPRouteFilter{
			Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: &gatewayv1.HTTPRequestMirrorFilter{BackendRef: s1},
		},
		gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterRequestHeaderModifier, RequestHeaderModifier: changes},
		gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterResponseHeaderModifier, ResponseHeaderModifier: changes},
		gatewayv1.HTTPRouteFilter{
			Type: gatewayv1.HTTPRouteFilterRequestRedirect, RequestRedirect: &gatewayv1.HTTPRequestRedirectFilter{Scheme: new("https")},
		},
		gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterURLRewrite, URLRewrite: &gatewayv1.HTTPURLRewriteFilter{
			Path: &gatewayv1.HTTPPathModifier{Type: gatewayv1.PrefixMatchHTTPPathModifier, ReplacePrefixMatch: new("/z")},
		}},
		gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterCORS, CORS: &gatewayv1.HTTPCORSFilter{
			AllowOrigins: []gatewayv1.CORSOrigin{pick(h, gatewayv1.CORSOrigin("*"), "https://App.test:443", "https://*.test")},
		}},
		gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterExternalAuth, ExternalAuth: &gatewayv1.HTTPExternalAuthFilter{
			ExternalAuthProtocol: pick(h, gatewayv1.HTTPRouteExternalAuthGRPCProtocol, gatewayv1.HTTPRouteExternalAuthHTTPProtocol), BackendRef: s1,
		}},
		gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterExtensionRef},
	)
}

func (h *history) policyExtras(p *gatewayv1.BackendTLSPolicy) {
	p.Spec.Options = h.tlsOptions()
	if h.maybe(15) {
		p.Spec.Validation.CACertificateRefs = nil
		p.Spec.Validation.WellKnownCACertificates = new(gatewayv1.WellKnownCACertificatesSystem)
		return
	}
	p.Spec.Validation.CACertificateRefs = []gatewayv1.LocalObjectReference{pick(h,
		gatewayv1.LocalObjectReference{Kind: "Secret", Name: "ca"},
		gatewayv1.LocalObjectReference{Kind: "ConfigMap", Name: "ca"},
		gatewayv1.LocalObjectReference{Group: certificatesv1beta1.GroupName, Kind: "ClusterTrustBundle", Name: "ca"},
		gatewayv1.LocalObjectReference{Kind: "Widget", Name: "ca"},
	)}
}
