package envoy

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/signetproxy/signet/translator/ir"
)

// LoadAssignment is the EDS resource of a Service port. Endpoints are grouped
// by zone, in the order in which the zones appear. Without endpoints it is
// empty, and requests get 503.
func LoadAssignment(a *ir.LoadAssignment) (*Resource, error) {
	name := a.Name()
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	zones := map[string]*endpointv3.LocalityLbEndpoints{}
	for i := range a.Endpoints {
		e := &a.Endpoints[i]
		if _, err := netip.ParseAddr(e.Address); err != nil {
			return nil, refuse(name, "endpoint %q: the address is not an IP address", e.Address)
		}
		if e.Port == 0 {
			return nil, refuse(name, "endpoint %q: the port is 0", e.Address)
		}
		z := zones[e.Zone]
		if z == nil {
			z = &endpointv3.LocalityLbEndpoints{}
			if e.Zone != "" {
				z.Locality = &corev3.Locality{Zone: e.Zone}
			}
			zones[e.Zone] = z
			out.Endpoints = append(out.Endpoints, z)
		}
		z.LbEndpoints = append(z.LbEndpoints, lbEndpoint(e.Address, e.Port, e.HealthPort))
	}
	return seal(EndpointType, name, out)
}

func lbEndpoint(addr string, port, healthPort uint32) *endpointv3.LbEndpoint {
	e := &endpointv3.Endpoint{Address: socketAddress(addr, port)}
	if healthPort != 0 && healthPort != port {
		e.HealthCheckConfig = &endpointv3.Endpoint_HealthCheckConfig{PortValue: healthPort}
	}
	return &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: e}}
}

func socketAddress(addr string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       addr,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
