package listener

import (
	"fmt"
	"slices"
	"strings"

	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Kinds of objects that are referred to.
const (
	kindSecret      = "Secret"
	kindConfigMap   = "ConfigMap"
	kindTrustBundle = "ClusterTrustBundle"
)

// References are what a Gateway's references lead to.
type References struct {
	// Sections in the order of Gateway.Sections.
	Sections []SectionReferences
	// Client is presented to backends; nil when the Gateway names none.
	Client *ir.CertificateRef
	// ClientFault is why it cannot be.
	ClientFault *gatewayapi.Fault
	// Insecure says that clients of some port are served without validation
	// although it is asked for (AllowInsecureFallback).
	Insecure bool
}

// Of returns the references of one of a Gateway's sections.
func (r *References) Of(g *Gateway, s *Section) *SectionReferences {
	for i := range r.Sections {
		if &g.Sections[i] == s {
			return &r.Sections[i]
		}
	}
	return &SectionReferences{}
}

// SectionReferences are those of one section.
type SectionReferences struct {
	Certificates []ir.CertificateRef
	Profile      ir.TLSProfile
	Validation   *ir.ClientValidation
	// Fault is why a reference does not lead anywhere.
	Fault *gatewayapi.Fault
	// Closed is why no connection is served: there is no certificate, or no
	// authority to judge clients by.
	Closed *gatewayapi.Fault
	// Untrusted says that Closed is for want of an authority.
	Untrusted bool
}

// Linked is what resolving reads.
type Linked interface {
	Granted(g gatewayapi.Grant) bool
	// KeyPair and Trust return why a certificate or bundle cannot be used;
	// ClientKeyPair, why one cannot be presented to backends.
	KeyPair(ref ir.CertificateRef) *upstream.Problem
	ClientKeyPair(ref ir.CertificateRef) *upstream.Problem
	Trust(ref ir.TrustRef) *upstream.Problem
}

// Resolve follows the references of a Gateway and its ListenerSets.
func Resolve(o Linked, g *Gateway, in *gatewayv1.Gateway, sets func(ir.Name) *gatewayv1.ListenerSet) *References {
	r := resolver{objects: o, gateway: g, in: in, out: &References{Sections: make([]SectionReferences, len(g.Sections))}}
	for i := range g.Sections {
		s := &g.Sections[i]
		if l := find(in, sets, s); l != nil && s.Terminates() {
			r.section(s, l, &r.out.Sections[i])
		}
	}
	if t := in.Spec.TLS; t != nil && t.Backend != nil && t.Backend.ClientCertificateRef != nil {
		r.client(t.Backend.ClientCertificateRef)
	}
	return r.out
}

// find returns the listener of a section.
func find(in *gatewayv1.Gateway, sets func(ir.Name) *gatewayv1.ListenerSet, s *Section) *gatewayv1.Listener {
	if s.Parent.Kind == gatewayapi.KindGateway {
		i := slices.IndexFunc(in.Spec.Listeners, func(l gatewayv1.Listener) bool { return string(l.Name) == s.Name })
		if i < 0 {
			return nil
		}
		return &in.Spec.Listeners[i]
	}
	set := sets(s.Parent.Name)
	if set == nil {
		return nil
	}
	for i := range set.Spec.Listeners {
		if string(set.Spec.Listeners[i].Name) == s.Name {
			l := gatewayv1.Listener(set.Spec.Listeners[i])
			return &l
		}
	}
	return nil
}

type resolver struct {
	objects Linked
	gateway *Gateway
	in      *gatewayv1.Gateway
	out     *References
}

func (r *resolver) section(s *Section, l *gatewayv1.Listener, out *SectionReferences) {
	out.Profile = ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13}
	if l.TLS != nil {
		if f := profile(l.TLS.Options, &out.Profile); f != nil {
			out.Fault, out.Closed = f, f
			return
		}
		for i := range l.TLS.CertificateRefs {
			ref, f := r.certificate(s.Parent, &l.TLS.CertificateRefs[i], reason.InvalidCertificateRef, r.objects.KeyPair)
			if f != nil {
				out.fail(f)
				continue
			}
			if !slices.Contains(out.Certificates, ref) {
				out.Certificates = append(out.Certificates, ref)
			}
		}
	}
	if len(out.Certificates) == 0 {
		if out.Fault == nil {
			out.Fault = &gatewayapi.Fault{
				Reason: reason.InvalidCertificateRef, Message: "tls.certificateRefs: a certificate is needed to terminate TLS",
			}
		}
		out.Closed = out.Fault
	}
	if s.Protocol == gatewayv1.HTTPSProtocolType {
		r.frontend(s, out)
	}
}

// fail keeps the first fault.
func (s *SectionReferences) fail(f *gatewayapi.Fault) {
	if s.Fault == nil {
		s.Fault = f
	}
}

// certificate follows a reference to a Secret. Whether it may be followed is
// judged before whether it exists, which is not for everyone to know.
func (r *resolver) certificate(
	from ir.ObjectRef, ref *gatewayv1.SecretObjectReference, why reason.Reason, judge func(ir.CertificateRef) *upstream.Problem,
) (ir.CertificateRef, *gatewayapi.Fault) {
	group, kind := string(gatewayapi.Or(ref.Group, "")), string(gatewayapi.Or(ref.Kind, kindSecret))
	name := ir.Name{Namespace: string(gatewayapi.Or(ref.Namespace, gatewayv1.Namespace(from.Namespace))), Name: string(ref.Name)}
	if group != "" || kind != kindSecret {
		return ir.CertificateRef{}, &gatewayapi.Fault{Reason: why,
			Message: fmt.Sprintf("kind %q of group %q is not supported: name a Secret of type %s", kind, group, corev1.SecretTypeTLS)}
	}
	if f := r.permitted(from, "", kindSecret, name); f != nil {
		return ir.CertificateRef{}, f
	}
	out := ir.CertificateRef{Name: name}
	if p := judge(out); p != nil {
		return out, &gatewayapi.Fault{Reason: why, Message: p.Message}
	}
	return out, nil
}

func (r *resolver) permitted(from ir.ObjectRef, group, kind string, to ir.Name) *gatewayapi.Fault {
	if to.Namespace == from.Namespace || r.objects.Granted(gatewayapi.Grant{
		FromKind: from.Kind, From: from.Namespace, Group: group, Kind: kind, Namespace: to.Namespace, Name: to.Name,
	}) {
		return nil
	}
	return &gatewayapi.Fault{Reason: reason.RefNotPermitted, Message: fmt.Sprintf(
		"%s %q may not be referred to: a ReferenceGrant in namespace %q must name it, and %s of namespace %q",
		kind, to, to.Namespace, from.Kind, from.Namespace)}
}

func (r *resolver) client(ref *gatewayv1.SecretObjectReference) {
	own := ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: r.gateway.Name}
	c, f := r.certificate(own, ref, reason.InvalidClientCertificateRef, r.objects.ClientKeyPair)
	if f != nil {
		f.Message = "tls.backend.clientCertificateRef: " + f.Message
	}
	r.out.Client, r.out.ClientFault = &c, f
}

// frontend settles which certificates clients of an HTTPS section need.
func (r *resolver) frontend(s *Section, out *SectionReferences) {
	t := r.in.Spec.TLS
	if t == nil || t.Frontend == nil {
		return
	}
	v := t.Frontend.Default.Validation
	for i := range t.Frontend.PerPort {
		if p := &t.Frontend.PerPort[i]; p.Port == s.Port {
			v = p.TLS.Validation
		}
	}
	if v == nil {
		return
	}
	check := &ir.ClientValidation{Optional: v.Mode == gatewayv1.AllowInsecureFallback}
	r.out.Insecure = r.out.Insecure || check.Optional
	var first *gatewayapi.Fault
	for i := range v.CACertificateRefs {
		ref, f := r.authority(&v.CACertificateRefs[i])
		if f != nil {
			out.fail(f)
			if first == nil {
				first = f
			}
			continue
		}
		check.Trust = append(check.Trust, ref)
	}
	if len(check.Trust) == 0 {
		message := "tls.frontend: no CA certificate can be used"
		if first != nil {
			message += ": " + first.Message
		}
		out.Closed, out.Untrusted = &gatewayapi.Fault{Reason: reason.NoValidCACertificate, Message: message}, true
		return
	}
	slices.SortFunc(check.Trust, func(a, b ir.TrustRef) int { return strings.Compare(a.SecretName(), b.SecretName()) })
	check.Trust = slices.Compact(check.Trust)
	out.Validation = check
}

// authority follows a reference to a CA bundle.
func (r *resolver) authority(ref *gatewayv1.ObjectReference) (ir.TrustRef, *gatewayapi.Fault) {
	own := ir.ObjectRef{Kind: gatewayapi.KindGateway, Name: r.gateway.Name}
	out, ok := trustRef(ref, own.Namespace)
	if !ok {
		return out, &gatewayapi.Fault{Reason: reason.InvalidCACertificateKind,
			Message: fmt.Sprintf("kind %q of group %q cannot hold CA certificates: name a ConfigMap, a Secret or a ClusterTrustBundle",
				ref.Kind, ref.Group)}
	}
	if out.Kind != ir.TrustClusterTrustBundle { // which is for everyone
		if f := r.permitted(own, string(ref.Group), string(ref.Kind), out.Name); f != nil {
			return out, f
		}
	}
	if p := r.objects.Trust(out); p != nil {
		return out, &gatewayapi.Fault{Reason: reason.InvalidCACertificateRef, Message: p.Message}
	}
	return out, nil
}

func trustRef(ref *gatewayv1.ObjectReference, namespace string) (ir.TrustRef, bool) {
	out := ir.TrustRef{Name: ir.Name{Namespace: string(gatewayapi.Or(ref.Namespace, gatewayv1.Namespace(namespace))), Name: string(ref.Name)}}
	switch {
	case ref.Group == "" && ref.Kind == kindConfigMap:
		out.Kind = ir.TrustConfigMap
	case ref.Group == "" && ref.Kind == kindSecret:
		out.Kind = ir.TrustSecret
	case ref.Group == certificatesv1beta1.GroupName && ref.Kind == kindTrustBundle:
		out.Kind, out.Namespace = ir.TrustClusterTrustBundle, "" // has no namespace
	default:
		return out, false
	}
	return out, true
}

// profile reads the options of a section's TLS.
func profile(options map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue, to *ir.TLSProfile) *gatewayapi.Fault {
	asked, f := gatewayapi.TLSOptions(options)
	if f != nil {
		return f
	}
	if asked.Min != "" {
		to.Min = asked.Min
	}
	if asked.Max != "" {
		to.Max = asked.Max
	}
	to.Ciphers, to.Curves = asked.Ciphers, asked.Curves
	return nil
}

// CertificateRefs are the Secrets that a Gateway names, TrustRefs the bundles;
// whether they may be followed is not looked at.
func CertificateRefs(g *gatewayv1.Gateway) []ir.CertificateRef {
	var out []ir.CertificateRef
	for i := range g.Spec.Listeners {
		out = appendCertificates(out, g.Namespace, g.Spec.Listeners[i].TLS)
	}
	if c := ClientCertificate(g); c != nil {
		out = append(out, *c)
	}
	return out
}

// ClientCertificate is the Secret that a Gateway wants to present to backends.
func ClientCertificate(g *gatewayv1.Gateway) *ir.CertificateRef {
	t := g.Spec.TLS
	if t == nil || t.Backend == nil || t.Backend.ClientCertificateRef == nil {
		return nil
	}
	ref := t.Backend.ClientCertificateRef
	return &ir.CertificateRef{Name: ir.Name{
		Namespace: string(gatewayapi.Or(ref.Namespace, gatewayv1.Namespace(g.Namespace))), Name: string(ref.Name),
	}}
}

// SetCertificateRefs are the Secrets that a ListenerSet names.
func SetCertificateRefs(s *gatewayv1.ListenerSet) []ir.CertificateRef {
	var out []ir.CertificateRef
	for i := range s.Spec.Listeners {
		out = appendCertificates(out, s.Namespace, s.Spec.Listeners[i].TLS)
	}
	return out
}

func appendCertificates(out []ir.CertificateRef, namespace string, t *gatewayv1.ListenerTLSConfig) []ir.CertificateRef {
	if t == nil {
		return out
	}
	for i := range t.CertificateRefs {
		ref := &t.CertificateRefs[i]
		out = append(out, ir.CertificateRef{Name: ir.Name{
			Namespace: string(gatewayapi.Or(ref.Namespace, gatewayv1.Namespace(namespace))), Name: string(ref.Name),
		}})
	}
	return out
}

// TrustRefs are the bundles that a Gateway judges clients by.
func TrustRefs(g *gatewayv1.Gateway) []ir.TrustRef {
	if g.Spec.TLS == nil || g.Spec.TLS.Frontend == nil {
		return nil
	}
	f := g.Spec.TLS.Frontend
	validations := []*gatewayv1.FrontendTLSValidation{f.Default.Validation}
	for i := range f.PerPort {
		validations = append(validations, f.PerPort[i].TLS.Validation)
	}
	var out []ir.TrustRef
	for _, v := range validations {
		if v == nil {
			continue
		}
		for i := range v.CACertificateRefs {
			if ref, ok := trustRef(&v.CACertificateRefs[i], g.Namespace); ok {
				out = append(out, ref)
			}
		}
	}
	return out
}
