package upstream

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/signetproxy/signet/translator/reason"
)

// SameService says whether two versions of a Service are equal in all that is
// read of one, here and by the translations of routes and policies. What
// controllers write beside that, as notes, node ports, labels, must not make
// every route to the Service be translated again.
func SameService(a, b *corev1.Service) bool {
	return a.Spec.Type == b.Spec.Type && a.Spec.ExternalName == b.Spec.ExternalName &&
		slices.EqualFunc(a.Spec.Ports, b.Spec.Ports, samePort) && maps.Equal(ours(a.Annotations), ours(b.Annotations))
}

func samePort(a, b corev1.ServicePort) bool {
	return a.Name == b.Name && a.Port == b.Port && ProtocolOf(&a) == ProtocolOf(&b) && ptr.Equal(a.AppProtocol, b.AppProtocol)
}

// ours are the annotations that may be read.
func ours(all map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range all {
		if strings.HasPrefix(key, annotationPrefix) {
			out[key] = value
		}
	}
	return out
}

func findService(d *draft) *Problem {
	svc, ok := d.objects.Service(d.request.Service.Name)
	if !ok || svc == nil {
		return d.unresolved(reason.ServiceNotFound, reason.FormatServiceNotFound.With(d.request.Service.Name))
	}
	d.service = svc
	return nil
}

func findPort(d *draft) (p *Problem) {
	protocol := corev1.ProtocolTCP
	if d.request.UDP {
		protocol = corev1.ProtocolUDP
	}
	d.port, p = d.findPort(d.request.Service.Port, protocol)
	return p
}

func findHealthPort(d *draft) *Problem {
	health := d.request.HealthPort
	if health == 0 || health == d.request.Service.Port {
		return nil
	}
	if _, p := d.findPort(health, corev1.ProtocolTCP); p != nil {
		return p
	}
	d.out.HealthPort = health
	return nil
}

// findPort finds a port of the Service by number. One number may stand there
// twice, for UDP and for TCP.
func (d *draft) findPort(number int32, protocol corev1.Protocol) (*corev1.ServicePort, *Problem) {
	var other corev1.Protocol
	for i := range d.service.Spec.Ports {
		port := &d.service.Spec.Ports[i]
		if port.Port != number {
			continue
		}
		if ProtocolOf(port) == protocol {
			return port, nil
		}
		other = ProtocolOf(port)
	}
	if other != "" && protocol == corev1.ProtocolTCP {
		return nil, d.unresolved(reason.PortNotTCP, reason.FormatPortNotTCP.With(other))
	}
	return nil, d.unresolved(reason.PortNotFound, reason.FormatPortNotFound.With(number, d.request.Service.Name))
}

// ProtocolOf is the transport of a Service port: TCP unless it says another.
func ProtocolOf(p *corev1.ServicePort) corev1.Protocol {
	return cmp.Or(p.Protocol, corev1.ProtocolTCP)
}

// refuseOwnHost keeps an ExternalName from naming Envoy's own host or link: a
// tenant could reach Envoy's admin interface or a cloud's metadata service.
func refuseOwnHost(d *draft) *Problem {
	if d.service.Spec.Type != corev1.ServiceTypeExternalName {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(d.service.Spec.ExternalName, "."))
	if addr, ok := externalAddress(name); ok {
		if addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast() ||
			addr.IsUnspecified() || addr.IsMulticast() {
			return d.unresolved(reason.ExternalNameNotAllowed, reason.FormatExternalLoopback.With(d.request.Service.Name))
		}
		d.out.ExternalName = addr.String()
		return nil
	}
	if isLocalhost(name) {
		return d.unresolved(reason.ExternalNameNotAllowed, reason.FormatExternalLocalhost.With(d.request.Service.Name))
	}
	why := dnsNameFault(name)
	if why == "" && endsInNumber(name) {
		why = "is an IP address in a form that resolvers disagree on: write it in full"
	}
	if why != "" {
		return d.unresolved(reason.ExternalNameInvalid, fmt.Sprintf("spec.externalName %q of service %q %s",
			clip(d.service.Spec.ExternalName), d.request.Service.Name, why))
	}
	d.out.ExternalName = name
	return nil
}

// externalAddress reads an IP address, also in the brackets of a URL.
func externalAddress(name string) (netip.Addr, bool) {
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		name = name[1 : len(name)-1]
	}
	addr, err := netip.ParseAddr(name)
	return addr.WithZone("").Unmap(), err == nil
}

// ownNames are what /etc/hosts of common systems, and of every pod, call the
// host's own addresses and its link's.
var ownNames = []string{
	"localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "ip6-localnet",
	"ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts",
}

func isLocalhost(name string) bool {
	bare := strings.TrimRight(name, "0123456789")
	if before, ok := strings.CutSuffix(bare, ".localdomain"); ok {
		name = before
	}
	if name == "local.projectcontour.io" || slices.Contains(ownNames, name) {
		return true
	}
	// RFC 6761, 6.3: every name below localhost is loopback.
	return strings.HasSuffix(name, ".localhost")
}

// endsInNumber reports names such as "127.1" and "0x7f.1", which inet_aton(3)
// reads as addresses.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9'
}

// unresolved files a reference that leads nowhere.
func (d *draft) unresolved(why reason.Reason, cause string) *Problem {
	p := &Problem{Reason: why, Type: reason.ServiceError, Category: reason.ServiceUnresolvedReference,
		Message: reason.FormatUnresolved.With(cause)}
	if d.request.TCP {
		p.Type, p.Message = reason.TCPProxyError, reason.FormatTCPUnresolved.With(cause)
	}
	return p
}
