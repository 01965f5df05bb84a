package httpproxy

import (
	"slices"
	"strings"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Selector says which HTTPProxies a fleet serves.
type Selector struct {
	Fleet ir.Name
	// IngressClassNames that the fleet serves; empty serves those without a
	// class and those of the class "contour".
	IngressClassNames []string
	// RootNamespaces are where roots may live; empty is everywhere.
	RootNamespaces []string
}

// Claim is what one HTTPProxy claims of the fleets.
type Claim struct {
	// Ours says that a fleet serves the object's class; the status of an object
	// that is not ours is left alone.
	Ours bool
	// Hosts are the sites that a root wants, one for each fleet that serves it.
	Hosts []HostKey
	// Findings say why a root of ours gets no host at all.
	Findings []Finding
}

// Claims decides which fleets serve an object and under which host.
func Claims(p *contourv1.HTTPProxy, s []Selector) *Claim {
	out := &Claim{}
	class := ingressClass(p)
	var allowed []ir.Name
	for i := range s {
		if !s[i].serves(class) {
			continue
		}
		out.Ours = true
		if s[i].roots(p.Namespace) {
			allowed = append(allowed, s[i].Fleet)
		}
	}
	v := p.Spec.VirtualHost
	if v == nil || !out.Ours {
		return out
	}
	host, err := hostName(v.Fqdn)
	switch {
	case strings.TrimSpace(v.Fqdn) == "":
		out.fail(reason.VirtualHostError, reason.FQDNNotSpecified, string(reason.MessageFQDNNotSpecified))
	case err != nil:
		out.fail(reason.VirtualHostError, reason.FQDNNotValid, "Spec.VirtualHost: "+err.Error())
	case len(allowed) == 0:
		out.fail(reason.RootNamespaceError, reason.RootProxyNotAllowedInNamespace, string(reason.MessageRootNamespace))
	default:
		for _, fleet := range allowed {
			out.Hosts = append(out.Hosts, HostKey{Fleet: fleet, Host: host})
		}
	}
	return out
}

// Serving lists the fleets that serve an object, in the order of s: its class
// and, of a root, its namespace.
func Serving(p *contourv1.HTTPProxy, s []Selector) []ir.Name {
	class := ingressClass(p)
	var out []ir.Name
	for i := range s {
		if s[i].serves(class) && (p.Spec.VirtualHost == nil || s[i].roots(p.Namespace)) {
			out = append(out, s[i].Fleet)
		}
	}
	return out
}

func (c *Claim) fail(class reason.ErrorType, why reason.Reason, message string) {
	c.Findings = append(c.Findings, Finding{Type: class, Reason: why, Message: message})
}

func (s *Selector) serves(class string) bool {
	if len(s.IngressClassNames) == 0 {
		return isDefaultClass(class)
	}
	return slices.Contains(s.IngressClassNames, class)
}

func (s *Selector) roots(namespace string) bool {
	return len(s.RootNamespaces) == 0 || slices.Contains(s.RootNamespaces, namespace)
}

func isDefaultClass(class string) bool { return class == "" || class == "contour" }

// includable reports whether a root of one class may include an object of
// another: an object that names a class of its own belongs to whoever serves
// that class.
func includable(root, class string) bool {
	return class == "" || class == root || (isDefaultClass(class) && isDefaultClass(root))
}

// ingressClass is the class that an object names; the annotations go before
// the field.
func ingressClass(p *contourv1.HTTPProxy) string {
	for _, key := range [...]string{"projectcontour.io/ingress.class", "kubernetes.io/ingress.class"} {
		if class, ok := p.Annotations[key]; ok {
			if class != "" {
				return class
			}
			break
		}
	}
	return p.Spec.IngressClassName
}
