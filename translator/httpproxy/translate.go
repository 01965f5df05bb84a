package httpproxy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Translate reads one object on its own. It never fails: what is wrong is in
// the findings, and the part that it concerns fails closed.
func Translate(o Objects, p *contourv1.HTTPProxy) *Document {
	name := ir.Name{Namespace: p.Namespace, Name: p.Name}
	t := translation{
		objects: o, spec: &p.Spec,
		origin: ir.ObjectRef{Kind: Kind, Name: name},
		doc:    &Document{Name: name, Class: ingressClass(p)},
	}
	t.virtualHost()
	t.tcpProxy()
	t.includes()
	if n := len(p.Spec.Routes); n > 0 {
		t.doc.routes = make([]route, n)
		t.countPaths()
	}
	for i := range p.Spec.Routes {
		t.doc.routes[i] = t.route(i)
	}
	return t.doc
}

// translation is a document in the making.
type translation struct {
	objects Objects
	spec    *contourv1.HTTPProxySpec
	origin  ir.ObjectRef
	doc     *Document
	// paths counts the routes with a path.
	paths map[string]int
	// services are those whose annotations were looked at.
	services []ir.Name
}

func (t *translation) countPaths() {
	if len(t.spec.Routes) < 2 {
		return
	}
	t.paths = make(map[string]int, len(t.spec.Routes))
	for i := range t.spec.Routes {
		t.paths[label(&t.spec.Routes[i])]++
	}
}

// findAt adds findings about one place.
func (t *translation) findAt(where string, findings []Finding) {
	for _, f := range findings {
		f.Place = where
		t.find(f)
	}
}

func (t *translation) find(f ...Finding) { t.doc.Findings = append(t.doc.Findings, f...) }

// failHost closes the whole virtual host.
func (t *translation) failHost(class reason.ErrorType, why reason.Reason, message string) {
	t.find(Finding{Type: class, Reason: why, Message: message})
	if t.doc.failure == "" {
		t.doc.failure = message
	}
}

func (t *translation) virtualHost() {
	v := t.spec.VirtualHost
	if v == nil {
		return
	}
	t.doc.Root = true
	t.doc.FQDN, _ = hostName(v.Fqdn)
	if len(t.spec.Routes) == 0 && len(t.spec.Includes) == 0 && t.spec.TCPProxy == nil {
		t.failHost(reason.SpecError, reason.NothingDefined, string(reason.MessageNothingDefined))
	}
	if v.TLS != nil {
		t.tls(v.TLS)
	}
	closed := answered503
	if v.TLS != nil && (v.TLS.Passthrough || t.spec.TCPProxy != nil) {
		closed = "connections are closed"
	}
	findings, failure := check(unsupportedHost, v, "spec.virtualhost", notSupported, closed)
	t.find(findings...)
	if t.doc.failure == "" {
		t.doc.failure = failure
	}
}

func (t *translation) tls(v *contourv1.TLS) {
	named := strings.TrimSpace(v.SecretName) != ""
	t.doc.tls = &hostTLS{passthrough: v.Passthrough}
	t.doc.tls.min = t.version(v.MinimumProtocolVersion, "minimumProtocolVersion")
	t.doc.tls.max = t.version(v.MaximumProtocolVersion, "maximumProtocolVersion")
	switch {
	case named && v.Passthrough:
		t.failHost(reason.TLSError, reason.TLSConfigNotValid, string(reason.MessageTLSBoth))
	case !named && !v.Passthrough:
		t.failHost(reason.TLSError, reason.TLSConfigNotValid, string(reason.MessageTLSNothing))
	case v.Passthrough && v.ClientValidation != nil:
		t.failHost(reason.TLSError, reason.TLSIncompatibleFeatures,
			"Spec.VirtualHost.TLS passthrough cannot be combined with tls.clientValidation")
	case v.Passthrough && v.EnableFallbackCertificate:
		t.failHost(reason.TLSError, reason.TLSIncompatibleFeatures,
			"Spec.VirtualHost.TLS: both Passthrough and enableFallbackCertificate were specified")
	case t.doc.tls.min == ir.TLS13 && t.doc.tls.max == ir.TLS12:
		t.failHost(reason.TLSError, reason.TLSConfigNotValid, string(reason.MessageTLSVersions))
	case v.Passthrough && t.spec.TCPProxy == nil:
		t.find(Finding{Severity: Warning, Type: reason.TLSError, Reason: reason.TLSConfigNotValid,
			Message: "Spec.VirtualHost.TLS: Passthrough without Spec.TCPProxy serves nothing over TLS"})
	case named:
		t.certificate(v.SecretName)
	}
}

// version reads a protocol version; as in Contour others mean the default.
func (t *translation) version(s, field string) ir.TLSVersion {
	switch v := ir.TLSVersion(s); v {
	case "", ir.TLS12, ir.TLS13:
		return v
	}
	t.find(ignored("spec.virtualhost.tls."+field, fmt.Sprintf("%q is neither %q nor %q", clip(s), ir.TLS12, ir.TLS13)))
	return ""
}

func (t *translation) certificate(written string) {
	ref := ir.CertificateRef{Name: secretName(written, t.doc.Name.Namespace)}
	fail := func(why reason.Reason, message string) {
		t.find(Finding{Type: reason.TLSError, Reason: why, Message: message})
		t.doc.tls.failure = message
	}
	if ref.Namespace != t.doc.Name.Namespace && !t.objects.Delegated(ref.Name, t.doc.Name.Namespace) {
		fail(reason.DelegationNotPermitted, reason.FormatHostDelegation.With(written))
		return
	}
	if p := t.objects.KeyPair(ref); p != nil {
		fail(reason.SecretNotValid, reason.FormatHostSecret.With(p.Message))
		return
	}
	t.doc.tls.certificate = &ref
	if p := t.objects.Validity(ref); p != nil {
		t.find(Finding{Severity: Warning, Type: reason.TLSError, Reason: p.Reason,
			Message: reason.FormatHostSecret.With(p.Message) + ": it is presented all the same and clients may refuse it"})
	}
}

func (t *translation) includes() {
	seen := make(map[string]int, len(t.spec.Includes))
	for i := range t.spec.Includes {
		in := &t.spec.Includes[i]
		c, errs := parseConditions(in.Conditions, true)
		out := include{target: t.target(in.Name, in.Namespace), conditions: c}
		for _, e := range errs {
			f := Finding{Type: reason.IncludeError, Reason: e.reason, Message: reason.FormatIncludeConditions.With(e.cause)}
			if e.reason != reason.PathMatchConditionsNotValid {
				f.Type, f.Message = reason.RouteError, e.cause.Error()
			}
			f.Place = t.includePlace(i)
			t.find(f)
			out.failure = f.Text()
		}
		if key := includeKey(&c); key != "" && out.failure == "" {
			if first, ok := seen[key]; ok {
				f := Finding{Type: reason.IncludeError, Reason: reason.DuplicateMatchConditions, Place: t.includePlace(i),
					Message: string(reason.MessageDuplicateConditions) + ": " + t.includePlace(first) + " has the same"}
				t.find(f)
				out.failure = f.Text()
			} else {
				seen[key] = i
			}
		}
		t.doc.includes = append(t.doc.includes, out)
	}
}

// includePlace names an include by its target, and by its field too: one
// object may be included several times.
func (t *translation) includePlace(i int) string {
	in := &t.spec.Includes[i]
	return fmt.Sprintf("include %q (spec.includes[%d])", t.target(in.Name, in.Namespace), i)
}

// includeKey tells includes with the same conditions apart from others; empty
// for those without any, or with the prefix "/": several of them are usual.
func includeKey(c *conditions) string {
	m := c.match()
	if m.Path == "/" && len(m.Headers) == 0 && len(m.Query) == 0 {
		return ""
	}
	return matchKey(&m)
}

func (t *translation) target(name, namespace string) ir.Name {
	if namespace == "" {
		namespace = t.doc.Name.Namespace
	}
	return ir.Name{Namespace: namespace, Name: name}
}

// secretName reads "name" or "namespace/name".
func secretName(written, namespace string) ir.Name {
	if ns, name, ok := strings.Cut(written, "/"); ok {
		if ns == "" {
			ns = namespace
		}
		return ir.Name{Namespace: ns, Name: name}
	}
	return ir.Name{Namespace: namespace, Name: written}
}

// hostPattern is a DNS name, optionally with a wildcard for its first label.
var hostPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// hostName returns the host name of a root in lower case.
func hostName(fqdn string) (string, error) {
	host := strings.ToLower(fqdn)
	if len(host) > 253 || !hostPattern.MatchString(host) {
		return "", fmt.Errorf("fqdn %q is not a DNS name or a wildcard such as *.example.com", clip(fqdn))
	}
	return host, nil
}

// TrustRefs returns the CA Secrets that an object's upstreams name.
func TrustRefs(p *contourv1.HTTPProxy) []ir.TrustRef {
	var out []ir.TrustRef
	add := func(services []contourv1.Service) {
		for i := range services {
			v := services[i].UpstreamValidation
			if v == nil || v.CACertificate == "" {
				continue
			}
			if ref := trustRef(v, p.Namespace); !slices.Contains(out, ref) {
				out = append(out, ref)
			}
		}
	}
	for i := range p.Spec.Routes {
		add(p.Spec.Routes[i].Services)
	}
	if p.Spec.TCPProxy != nil {
		add(p.Spec.TCPProxy.Services)
	}
	return out
}

func trustRef(v *contourv1.UpstreamValidation, namespace string) ir.TrustRef {
	return ir.TrustRef{Kind: ir.TrustSecret, Name: secretName(v.CACertificate, namespace)}
}

// CertificateRefs returns the Secret with the certificate of an object's
// virtual host.
func CertificateRefs(p *contourv1.HTTPProxy) []ir.CertificateRef {
	v := p.Spec.VirtualHost
	if v == nil || v.TLS == nil || strings.TrimSpace(v.TLS.SecretName) == "" {
		return nil
	}
	return []ir.CertificateRef{{Name: secretName(v.TLS.SecretName, p.Namespace)}}
}

// Includes returns the objects that an object includes, its TCP proxy's last.
func Includes(p *contourv1.HTTPProxy) []ir.Name {
	t := translation{doc: &Document{Name: ir.Name{Namespace: p.Namespace, Name: p.Name}}}
	var out []ir.Name
	add := func(n ir.Name) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for i := range p.Spec.Includes {
		add(t.target(p.Spec.Includes[i].Name, p.Spec.Includes[i].Namespace))
	}
	if tcp := p.Spec.TCPProxy; tcp != nil {
		if in := tcpInclude(tcp); in != nil {
			add(t.target(in.Name, in.Namespace))
		}
	}
	return out
}
