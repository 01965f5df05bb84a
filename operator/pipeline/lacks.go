package pipeline

import (
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

var (
	proxyKind      = contourv1.GroupVersion.WithKind("HTTPProxy")
	delegationKind = contourv1.GroupVersion.WithKind("TLSCertificateDelegation")
	grantKind      = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("ReferenceGrant")
)

// Lacks lists what an object asks for and is not there, each once: Services with the
// port that it names, HTTPProxies that it includes, and, without a name, the
// TLSCertificateDelegations and ReferenceGrants of a namespace where none of them
// lets it refer to what it names. There returns the object of a key, or all of a kind
// and namespace for one without a name. Contents of Secrets and ConfigMaps are those
// of [References], and not of this.
func Lacks(o client.Object, there func(source.Key) []client.Object) []source.Key {
	l := lacking{of: o, there: there}
	switch o := o.(type) {
	case *contourv1.HTTPProxy:
		l.proxy(o)
	case *gatewayv1.Gateway:
		for _, r := range listener.CertificateRefs(o) {
			l.grant("Secret", r.Name)
		}
		for _, r := range listener.TrustRefs(o) {
			if r.Kind == ir.TrustSecret || r.Kind == ir.TrustConfigMap {
				l.grant(string(r.Kind), r.Name)
			}
		}
	case *gatewayv1.ListenerSet:
		for _, r := range listener.SetCertificateRefs(o) {
			l.grant("Secret", r.Name)
		}
	default:
		protocol := corev1.ProtocolTCP
		if _, ok := o.(*gatewayv1.UDPRoute); ok {
			protocol = corev1.ProtocolUDP
		}
		eachBackend(o, func(b *gatewayv1.BackendObjectReference) {
			if !isService(b) {
				return
			}
			name := ir.Name{Namespace: namespaceOf(b, o), Name: string(b.Name)}
			l.grant(serviceKind.Kind, name)
			l.service(name.Namespace, name.Name, int(gatewayapi.Or(b.Port, 0)), protocol)
		})
	}
	return l.out
}

// lacking is what an object lacks, as far as is known.
type lacking struct {
	of    client.Object
	there func(source.Key) []client.Object
	out   []source.Key
}

func (l *lacking) proxy(o *contourv1.HTTPProxy) {
	eachService(o, func(s *contourv1.Service) {
		l.service(o.Namespace, s.Name, s.Port, corev1.ProtocolTCP)
		if s.HealthPort > 0 {
			l.service(o.Namespace, s.Name, s.HealthPort, corev1.ProtocolTCP)
		}
	})
	for _, n := range httpproxy.Includes(o) {
		l.object(source.Key{GroupVersionKind: proxyKind, Namespace: n.Namespace, Name: n.Name})
	}
	for _, r := range httpproxy.CertificateRefs(o) {
		l.delegation(r.Name)
	}
	for _, r := range httpproxy.TrustRefs(o) {
		l.delegation(r.Name)
	}
}

func (l *lacking) add(k source.Key) {
	if !slices.Contains(l.out, k) {
		l.out = append(l.out, k)
	}
}

func (l *lacking) object(k source.Key) {
	if len(l.there(k)) == 0 {
		l.add(k)
	}
}

func (l *lacking) service(namespace, name string, port int, protocol corev1.Protocol) {
	k := source.Key{GroupVersionKind: serviceKind, Namespace: namespace, Name: name}
	for _, o := range l.there(k) {
		s, ok := o.(*corev1.Service)
		if ok && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
			return int(p.Port) == port && upstream.ProtocolOf(&p) == protocol
		}) {
			return
		}
	}
	l.add(k)
}

func (l *lacking) delegation(secret ir.Name) {
	if secret.Namespace == l.of.GetNamespace() {
		return
	}
	all := source.Key{GroupVersionKind: delegationKind, Namespace: secret.Namespace}
	for _, o := range l.there(all) {
		if d, ok := o.(*contourv1.TLSCertificateDelegation); ok && delegates(d, secret.Name, l.of.GetNamespace()) {
			return
		}
	}
	l.add(all)
}

func delegates(d *contourv1.TLSCertificateDelegation, secret, to string) bool {
	return slices.ContainsFunc(d.Spec.Delegations, func(c contourv1.CertificateDelegation) bool {
		return c.SecretName == secret && (slices.Contains(c.TargetNamespaces, to) || slices.Contains(c.TargetNamespaces, "*"))
	})
}

// grant asks for the permission to refer to an object of the core group.
func (l *lacking) grant(kind string, to ir.Name) {
	if to.Namespace == l.of.GetNamespace() {
		return
	}
	all := source.Key{GroupVersionKind: grantKind, Namespace: to.Namespace}
	wanted := gatewayapi.Grant{
		FromKind: l.of.GetObjectKind().GroupVersionKind().Kind, From: l.of.GetNamespace(), Kind: kind, Namespace: to.Namespace,
	}
	named := wanted
	named.Name = to.Name
	for _, o := range l.there(all) {
		g, ok := o.(*gatewayv1.ReferenceGrant)
		if !ok {
			continue
		}
		if given := gatewayapi.Grants(g); slices.Contains(given, wanted) || slices.Contains(given, named) {
			return
		}
	}
	l.add(all)
}
