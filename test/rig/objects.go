package rig

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/backend"
)

// Subject is the name in the certificates of the backends.
const Subject = "backend.example"

// authorities is the Secret and the ConfigMap with the backends' CA.
const authorities = "backend-ca"

// VersionHeader is in the answers of hosts, with their version.
const VersionHeader = "X-Version"

// Host is the host name of object i, of HTTPProxies and of HTTPRoutes.
func Host(i int) string { return Name(i) + ".rig.test" }

// Name is the name of each object of host i.
func Name(i int) string { return fmt.Sprintf("o%d", i) }

// Trust returns a Secret and a ConfigMap with the backends' CA, of the name that
// HTTPProxies and BackendTLSPolicies refer to if they are not told another.
func (r *Rig) Trust() []client.Object {
	return []client.Object{r.CASecret(authorities), r.CAConfigMap(authorities)}
}

// CASecret is a Secret with the backends' CA.
func (r *Rig) CASecret(name string) *corev1.Secret {
	return &corev1.Secret{Namespace: Namespace, Name: name, Data: map[string][]byte{"ca.crt": r.CA.PEM()}}
}

// CAConfigMap is a ConfigMap with the backends' CA.
func (r *Rig) CAConfigMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{Namespace: Namespace, Name: name, Data: map[string]string{"ca.crt": string(r.CA.PEM())}}
}

// Service is that of host i. Annotated says that its port speaks TLS, for
// HTTPProxies; without, a BackendTLSPolicy alone says so.
func Service(i int, annotated bool) *corev1.Service {
	s := &corev1.Service{Namespace: Namespace, Name: Name(i)}
	s.Spec.Ports = []corev1.ServicePort{{Name: "web", Port: 443}}
	if annotated {
		s.Annotations = map[string]string{"projectcontour.io/upstream-protocol.tls": "443"}
	}
	return s
}

// Slice has the endpoints of host i's Service: one backend.
func Slice(i int, b *backend.Backend) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		Namespace: Namespace, Name: Name(i), Labels: map[string]string{discoveryv1.LabelServiceName: Name(i)},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{Address}}},
		Ports:       []discoveryv1.EndpointPort{{Name: new("web"), Port: new(int32(b.Port()))}},
	}
}

// Proxy is the HTTPProxy of host i; its answers bear the version.
func Proxy(i int, version string) *contourv1.HTTPProxy {
	p := &contourv1.HTTPProxy{Namespace: Namespace, Name: Name(i)}
	p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: Host(i)}
	p.Spec.Routes = []contourv1.Route{{
		Services: []contourv1.Service{{
			Name: Name(i), Port: 443,
			UpstreamValidation: &contourv1.UpstreamValidation{CACertificate: authorities, SubjectName: Subject},
		}},
		ResponseHeadersPolicy: &contourv1.HeadersPolicy{Set: []contourv1.HeaderValue{{Name: VersionHeader, Value: version}}},
	}}
	return p
}

// Route is the HTTPRoute of host i; its answers bear the version.
func Route(i int, version string) *gatewayv1.HTTPRoute {
	r := &gatewayv1.HTTPRoute{Namespace: Namespace, Name: Name(i)}
	r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: GatewayName}}
	r.Spec.Hostnames = []gatewayv1.Hostname{gatewayv1.Hostname(Host(i))}
	to := gatewayv1.HTTPBackendRef{}
	to.Name, to.Port = gatewayv1.ObjectName(Name(i)), new(gatewayv1.PortNumber(443))
	r.Spec.Rules = []gatewayv1.HTTPRouteRule{{
		Filters: []gatewayv1.HTTPRouteFilter{{
			Type:                   gatewayv1.HTTPRouteFilterResponseHeaderModifier,
			ResponseHeaderModifier: &gatewayv1.HTTPHeaderFilter{Set: []gatewayv1.HTTPHeader{{Name: VersionHeader, Value: version}}},
		}},
		BackendRefs: []gatewayv1.HTTPBackendRef{to},
	}}
	return r
}

// Policy is the BackendTLSPolicy of host i's Service.
func Policy(i int) *gatewayv1.BackendTLSPolicy {
	p := &gatewayv1.BackendTLSPolicy{Namespace: Namespace, Name: Name(i)}
	p.Spec.TargetRefs = []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{}}
	p.Spec.TargetRefs[0].Kind, p.Spec.TargetRefs[0].Name = "Service", gatewayv1.ObjectName(Name(i))
	p.Spec.Validation.Hostname = Subject
	p.Spec.Validation.CACertificateRefs = []gatewayv1.LocalObjectReference{{Kind: "ConfigMap", Name: authorities}}
	return p
}

// Unrelated is a Secret that nothing refers to: some kilobytes, as those are
// that charts and certificates leave in a cluster.
func Unrelated(i int) *corev1.Secret {
	return &corev1.Secret{
		Namespace: Namespace, Name: fmt.Sprintf("unrelated-%d", i), Labels: map[string]string{"owner": "another"},
		Data: map[string][]byte{"content": []byte(strings.Repeat("0123456789abcdef", 128))},
	}
}

// writers is how many objects are written at the same time.
const writers = 32

// Create creates what object returns for 0 to n-1; the objects of one number in
// their order.
func (r *Rig) Create(ctx context.Context, what string, n int, objects func(i int) []client.Object) error {
	began := time.Now()
	var next, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				for _, o := range objects(i) {
					if err := r.Client.Create(ctx, o); err != nil {
						return fmt.Errorf("%T %s: %w", o, o.GetName(), err)
					}
				}
				if d := done.Add(1); d%5000 == 0 && d < int64(n) {
					r.say("%d of %d %s", d, n, what)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	r.say("%d %s created in %.1f s", n, what, time.Since(began).Seconds())
	return err
}

// Versions are the resource versions of all objects of a list, by name.
func (r *Rig) Versions(ctx context.Context, list client.ObjectList) (map[string]string, error) {
	out := map[string]string{}
	if err := r.Client.List(ctx, list, client.InNamespace(Namespace)); err != nil {
		return nil, fmt.Errorf("list %T: %w", list, err)
	}
	return out, eachItem(list, func(o client.Object) { out[o.GetName()] = o.GetResourceVersion() })
}

func eachItem(list client.ObjectList, to func(client.Object)) error {
	if err := meta.EachListItem(list, func(o runtime.Object) error {
		to(o.(client.Object))
		return nil
	}); err != nil {
		return fmt.Errorf("list %T: %w", list, err)
	}
	return nil
}
