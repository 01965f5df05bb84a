package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Kinds of objects that hold CA certificates, and the kind of a target.
const (
	kindService     = "Service"
	kindConfigMap   = "ConfigMap"
	kindSecret      = "Secret"
	kindTrustBundle = "ClusterTrustBundle"
)

// Policy is a BackendTLSPolicy on its own.
type Policy struct {
	Name       ir.Name
	Generation int64
	Created    time.Time
	Targets    []Target
	// Strays are those of the targets whose section names no port of a Service
	// that exists.
	Strays []Target
	// Faults say why the targets cannot be ruled, in their order; nil for one
	// that can.
	Faults []*gatewayapi.Fault
	// Validation is what it asks of a backend; nil with a Fault.
	Validation *upstream.Validation
	// Fault is why it cannot be honoured, nil when it can.
	Fault *gatewayapi.Fault
	// RefsFault is why a reference does not lead anywhere.
	RefsFault *gatewayapi.Fault
	// Note is what a user should know of a policy that is accepted.
	Note string
}

// Target is a Service, or one port of it by name.
type Target struct {
	Service ir.Name
	// Section is the name of a port; "" is every port.
	Section string
}

// Objects is what reading a policy reads.
type Objects interface {
	Service(name ir.Name) (*corev1.Service, bool)
	// Trust returns why a trust bundle cannot be used; nil when it can.
	Trust(ref ir.TrustRef) *upstream.Problem
}

// Targets are the Services that a policy names.
func Targets(p *gatewayv1.BackendTLSPolicy) []Target {
	var out []Target
	for i := range p.Spec.TargetRefs {
		t := &p.Spec.TargetRefs[i]
		if (t.Group == "" || t.Group == "core") && t.Kind == kindService {
			out = append(out, Target{
				Service: ir.Name{Namespace: p.Namespace, Name: string(t.Name)}, Section: string(gatewayapi.Or(t.SectionName, "")),
			})
		}
	}
	return out
}

// TrustRefs are the bundles that a policy names.
func TrustRefs(p *gatewayv1.BackendTLSPolicy) []ir.TrustRef {
	var out []ir.TrustRef
	for i := range p.Spec.Validation.CACertificateRefs {
		if ref, ok := trustRef(p.Namespace, &p.Spec.Validation.CACertificateRefs[i]); ok {
			out = append(out, ref)
		}
	}
	if isSystem(p) {
		out = append(out, ir.SystemTrust())
	}
	return out
}

func isSystem(p *gatewayv1.BackendTLSPolicy) bool {
	w := p.Spec.Validation.WellKnownCACertificates
	return w != nil && *w == gatewayv1.WellKnownCACertificatesSystem
}

// trustRef is the bundle that a reference names; false for kinds that hold
// none.
func trustRef(namespace string, r *gatewayv1.LocalObjectReference) (ir.TrustRef, bool) {
	out := ir.TrustRef{Name: ir.Name{Namespace: namespace, Name: string(r.Name)}}
	switch {
	case (r.Group == "" || r.Group == "core") && r.Kind == kindConfigMap:
		out.Kind = ir.TrustConfigMap
	case (r.Group == "" || r.Group == "core") && r.Kind == kindSecret:
		out.Kind = ir.TrustSecret
	case r.Group == certificatesv1beta1.GroupName && r.Kind == kindTrustBundle:
		out.Kind, out.Namespace = ir.TrustClusterTrustBundle, "" // has no namespace
	default:
		return out, false
	}
	return out, true
}

// Read judges a policy on its own. The first fault that a user must mend is
// the one that is named.
func Read(o Objects, p *gatewayv1.BackendTLSPolicy) *Policy {
	out := &Policy{
		Name: gatewayapi.NameOf(p), Generation: p.Generation, Created: p.CreationTimestamp.Time, Targets: Targets(p),
	}
	v := &upstream.Validation{From: p.Namespace, SNI: strings.ToLower(string(p.Spec.Validation.Hostname))}
	for _, rule := range [...]func(Objects, *gatewayv1.BackendTLSPolicy, *Policy, *upstream.Validation) *gatewayapi.Fault{
		findTargets, trust, names, options,
	} {
		if f := rule(o, p, out, v); f != nil && out.Fault == nil {
			out.Fault = f
		}
	}
	if out.Fault == nil {
		out.Validation = v
	}
	return out
}

// findTargets wants one Service, or port of one, that can speak TLS.
func findTargets(o Objects, p *gatewayv1.BackendTLSPolicy, out *Policy, _ *upstream.Validation) *gatewayapi.Fault {
	var first *gatewayapi.Fault
	found := false
	for _, t := range out.Targets {
		f := findTarget(o, t, out)
		out.Faults = append(out.Faults, f)
		found = found || f == nil
		if first == nil {
			first = f
		}
	}
	if found {
		return nil
	}
	if first == nil {
		first = &gatewayapi.Fault{Reason: reason.TargetNotFound,
			Message: fmt.Sprintf("spec.targetRefs: none of the %d targets is a Service", len(p.Spec.TargetRefs))}
	}
	return first
}

func findTarget(o Objects, t Target, out *Policy) *gatewayapi.Fault {
	svc, ok := o.Service(t.Service)
	if !ok || svc == nil {
		return &gatewayapi.Fault{Reason: reason.TargetNotFound, Message: reason.FormatServiceNotFound.With(t.Service)}
	}
	var tcp, udp bool
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		if t.Section == "" || port.Name == t.Section {
			tcp = tcp || port.Protocol == "" || port.Protocol == corev1.ProtocolTCP
			udp = udp || port.Protocol == corev1.ProtocolUDP
		}
	}
	switch {
	case tcp && udp:
		out.Note = fmt.Sprintf("Service %q has UDP ports, which are left alone", t.Service)
	case udp:
		return &gatewayapi.Fault{Reason: reason.Invalid,
			Message: fmt.Sprintf("Service %q has only UDP ports here: TLS needs TCP", t.Service)}
	case !tcp && t.Section != "":
		out.Strays = append(out.Strays, t)
		return &gatewayapi.Fault{Reason: reason.TargetNotFound,
			Message: fmt.Sprintf("Service %q has no port named %q", t.Service, t.Section)}
	}
	return nil
}

// trust gathers the bundles that can be used. One that cannot takes no part:
// what only it would have vouched for is refused.
func trust(o Objects, p *gatewayv1.BackendTLSPolicy, out *Policy, v *upstream.Validation) *gatewayapi.Fault {
	w, refs := p.Spec.Validation.WellKnownCACertificates, p.Spec.Validation.CACertificateRefs
	if w != nil && *w != "" {
		if len(refs) > 0 {
			return &gatewayapi.Fault{Reason: reason.Invalid, Message: fmt.Sprintf(
				"spec.validation: wellKnownCACertificates is %q and caCertificateRefs names %d objects: use one of the two", *w, len(refs))}
		}
		if !isSystem(p) {
			return &gatewayapi.Fault{Reason: reason.Invalid, Message: fmt.Sprintf(
				"spec.validation.wellKnownCACertificates: %q is not supported: use %q", *w, gatewayv1.WellKnownCACertificatesSystem)}
		}
		if problem := o.Trust(ir.SystemTrust()); problem != nil {
			out.RefsFault = &gatewayapi.Fault{Reason: reason.InvalidCACertificateRef, Message: problem.Message}
			return &gatewayapi.Fault{Reason: reason.NoValidCACertificate, Message: problem.Message}
		}
		v.Trust = []ir.TrustRef{ir.SystemTrust()}
		return nil
	}
	for i := range refs {
		r := &refs[i]
		ref, ok := trustRef(p.Namespace, r)
		if !ok {
			out.failRef(reason.InvalidKind, i, fmt.Sprintf(
				"kind %q of group %q cannot hold CA certificates: name a ConfigMap, a Secret or a ClusterTrustBundle", r.Kind, r.Group))
			continue
		}
		if problem := o.Trust(ref); problem != nil {
			out.failRef(reason.InvalidCACertificateRef, i, problem.Message)
			continue
		}
		v.Trust = append(v.Trust, ref)
	}
	if len(v.Trust) > 0 {
		return nil
	}
	message := "spec.validation: no CA certificate is named, or the document is refused for what its source says"
	if out.RefsFault != nil {
		message = out.RefsFault.Message
	}
	return &gatewayapi.Fault{Reason: reason.NoValidCACertificate, Message: message}
}

func (p *Policy) failRef(why reason.Reason, i int, message string) {
	if p.RefsFault == nil {
		p.RefsFault = &gatewayapi.Fault{Reason: why, Message: fmt.Sprintf("spec.validation.caCertificateRefs[%d]: %s", i, message)}
	}
}

// names are those that the backend's certificate may bear: the alternative
// names if there are any, else the hostname.
func names(_ Objects, p *gatewayv1.BackendTLSPolicy, _ *Policy, v *upstream.Validation) *gatewayapi.Fault {
	if f := notAnAddress("spec.validation.hostname", v.SNI); f != nil {
		return f
	}
	for i, n := range p.Spec.Validation.SubjectAltNames {
		field := fmt.Sprintf("spec.validation.subjectAltNames[%d]", i)
		switch {
		case n.Type == gatewayv1.HostnameSubjectAltNameType && n.Hostname != "":
			if f := notAnAddress(field+".hostname", string(n.Hostname)); f != nil {
				return f
			}
			v.Names = append(v.Names, string(n.Hostname))
		case n.Type == gatewayv1.URISubjectAltNameType && strings.Contains(string(n.URI), "://"):
			v.Names = append(v.Names, string(n.URI))
		default:
			return &gatewayapi.Fault{Reason: reason.Invalid, Message: fmt.Sprintf(
				"%s: type %q needs a value: use %s with hostname, or %s with an absolute uri", field, n.Type,
				gatewayv1.HostnameSubjectAltNameType, gatewayv1.URISubjectAltNameType)}
		}
	}
	if len(v.Names) == 0 {
		v.Names = []string{v.SNI}
	}
	for _, name := range v.Names {
		if why := upstream.NameFault(name); why != "" {
			return &gatewayapi.Fault{Reason: reason.Invalid, Message: fmt.Sprintf("spec.validation: %q %s", name, why)}
		}
	}
	return nil
}

func notAnAddress(field, host string) *gatewayapi.Fault {
	if _, err := netip.ParseAddr(strings.TrimSuffix(host, ".")); err != nil && host != "" && !strings.Contains(host, "://") {
		return nil
	}
	return &gatewayapi.Fault{Reason: reason.Invalid, Message: fmt.Sprintf("%s: %q is not a DNS name", field, host)}
}

func options(_ Objects, p *gatewayv1.BackendTLSPolicy, _ *Policy, v *upstream.Validation) (f *gatewayapi.Fault) {
	if v.Profile, f = gatewayapi.TLSOptions(p.Spec.Options); f != nil {
		f.Reason = reason.Invalid
		f.Message = "spec." + f.Message
	}
	return f
}

// Binding says which policies rule the ports of one Service.
type Binding struct {
	// Whole rules the ports without a policy of their own; nil when none does.
	Whole *ir.Name
	// Sections rule single ports, by name.
	Sections map[string]ir.Name
	// Stray closes the ports without a policy: it is for a section that names no
	// port, and which one was meant is not known. Nil when there is none.
	Stray *Policy
}

// Bind settles which policies rule a Service: for each section the oldest,
// then the first by name.
func Bind(service ir.Name, policies []*Policy) *Binding {
	sorted := slices.Clone(policies)
	slices.SortFunc(sorted, func(a, b *Policy) int { return gatewayapi.Older(a.Created, a.Name, b.Created, b.Name) })
	out := &Binding{}
	for _, p := range sorted {
		for _, t := range p.Targets {
			switch {
			case t.Service != service:
			case t.Section == "" && out.Whole == nil:
				name := p.Name
				out.Whole = &name
			case t.Section != "":
				if out.Sections == nil {
					out.Sections = map[string]ir.Name{}
				}
				if _, taken := out.Sections[t.Section]; !taken {
					out.Sections[t.Section] = p.Name
				}
				if out.Stray == nil && slices.Contains(p.Strays, t) {
					out.Stray = stray(p.Name, t)
				}
			}
		}
	}
	return out
}

// stray is the policy of the ports that a policy might be meant for.
func stray(name ir.Name, t Target) *Policy {
	return &Policy{Name: name, Fault: &gatewayapi.Fault{Reason: reason.TargetNotFound, Message: fmt.Sprintf(
		"sectionName %q is none of the Service's ports, and which one is meant is not known: name a port, or give this one a policy of its own",
		t.Section)}}
}

// For returns the policy that rules a port, by the port's name; nil when none
// does.
func (b *Binding) For(port string) *ir.Name {
	if b == nil {
		return nil
	}
	if n, ok := b.Sections[port]; ok && port != "" {
		return &n
	}
	return b.Whole
}

// winner returns who rules a target in the place of a policy; nil when the
// policy does.
func (b *Binding) winner(p ir.Name, t Target) *ir.Name {
	w := b.Whole
	if t.Section != "" {
		if n, ok := b.Sections[t.Section]; ok {
			w = &n
		}
	}
	if w == nil || *w == p {
		return nil
	}
	return w
}

// Unknown is a policy of which nothing is known but that there is one.
func Unknown(name ir.Name, err error) *Policy {
	message := "it is not known what it asks for"
	if err != nil {
		message += ": " + err.Error()
	}
	return &Policy{Name: name, Fault: &gatewayapi.Fault{Reason: reason.Unusable, Message: message}}
}
