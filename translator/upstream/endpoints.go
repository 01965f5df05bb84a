package upstream

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// Endpoints returns the endpoints of a Service port from the Service's
// EndpointSlices: the ready ones, or, where none is ready, those that still
// serve while they terminate, as kube-proxy does (KEP-1669). A Service or port
// that does not exist has none. The order of the slices does not matter.
func Endpoints(svc *corev1.Service, a ir.Assignment, in []*discoveryv1.EndpointSlice) *ir.LoadAssignment {
	out := &ir.LoadAssignment{Assignment: a}
	if svc == nil {
		return out
	}
	protocol := corev1.ProtocolTCP
	if a.UDP {
		protocol = corev1.ProtocolUDP
	}
	traffic, ok := portName(svc, a.Service.Port, protocol)
	if !ok {
		return out
	}
	health, checked := portName(svc, a.HealthPort, corev1.ProtocolTCP)
	var terminating []ir.Endpoint
	for _, s := range in {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue // Envoy's EDS takes addresses only
		}
		port := slicePort(s, traffic, protocol)
		if port == 0 {
			continue
		}
		var healthPort uint32
		if checked {
			healthPort = slicePort(s, health, corev1.ProtocolTCP)
		}
		for i := range s.Endpoints {
			switch e := &s.Endpoints[i]; {
			case isReady(e):
				out.Endpoints = appendEndpoint(out.Endpoints, e, port, healthPort)
			case isLeaving(e):
				terminating = appendEndpoint(terminating, e, port, healthPort)
			}
		}
	}
	if len(out.Endpoints) == 0 {
		out.Endpoints = terminating
	}
	slices.SortFunc(out.Endpoints, compareEndpoints)
	out.Endpoints = slices.CompactFunc(out.Endpoints, func(a, b ir.Endpoint) bool {
		return a.Address == b.Address && a.Port == b.Port
	})
	return out
}

// portName returns the name of a Service port, which is the key into the
// ports of EndpointSlices; the name of a single port may be empty.
func portName(svc *corev1.Service, port int32, protocol corev1.Protocol) (string, bool) {
	if port == 0 {
		return "", false
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if p.Port == port && ProtocolOf(p) == protocol {
			return p.Name, true
		}
	}
	return "", false
}

// slicePort returns the target port that a slice has for a named Service port;
// 0 when the slice does not carry the port.
func slicePort(s *discoveryv1.EndpointSlice, name string, protocol corev1.Protocol) uint32 {
	for _, p := range s.Ports {
		if p.Port == nil || *p.Port < 1 || *p.Port > 65535 {
			continue
		}
		if own := p.Protocol; (own == nil && protocol != corev1.ProtocolTCP) || (own != nil && *own != protocol) {
			continue
		}
		if n := p.Name; (n == nil && name == "") || (n != nil && *n == name) {
			return uint32(*p.Port)
		}
	}
	return 0
}

func isReady(e *discoveryv1.Endpoint) bool {
	return e.Conditions.Ready == nil || *e.Conditions.Ready
}

// isLeaving tells endpoints that still answer while they terminate.
func isLeaving(e *discoveryv1.Endpoint) bool {
	c := e.Conditions
	return c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating
}

func appendEndpoint(out []ir.Endpoint, e *discoveryv1.Endpoint, port, health uint32) []ir.Endpoint {
	var zone string
	if e.Zone != nil {
		zone = *e.Zone
	}
	// Consumers treat the addresses of one endpoint as fungible and take the
	// first (discovery.k8s.io/v1 Endpoint.addresses).
	if len(e.Addresses) == 0 {
		return out
	}
	return append(out, ir.Endpoint{Address: e.Addresses[0], Port: port, HealthPort: health, Zone: zone})
}

func compareEndpoints(a, b ir.Endpoint) int {
	return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.HealthPort, b.HealthPort), cmp.Compare(a.Zone, b.Zone))
}
