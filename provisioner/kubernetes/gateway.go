package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Labels of the objects of a Gateway (GEP-1762); the first one selects the pods.
const (
	LabelGateway      = "gateway.networking.k8s.io/gateway-name"
	LabelGatewayClass = "gateway.networking.k8s.io/gateway-class-name"
)

// GatewayOffset is added to the ports of a Gateway below 1024, which pods need
// no right to bind then: 80 is 64592. Listeners seldom have such ports, and
// Linux gives none of them to outgoing connections.
const GatewayOffset = 64512

// Gateway is what the objects of a Gateway's fleet have from the Gateway.
type Gateway struct {
	Name, Class string
	// Ports of the Service, by number.
	Ports []Port
	// Labels and Annotations go to all objects and to the pods.
	Labels, Annotations map[string]string
	// Address is asked of the load balancer; "" takes any.
	Address string
}

// Port is one port of a Gateway.
type Port struct {
	Port int32
	// Bound is the port on which the pods serve it.
	Bound    int32
	Protocol corev1.Protocol
	// AppProtocol of the Service's port; "" is none.
	AppProtocol string
}

func (g *Gateway) listeners() []listener {
	out := make([]listener, len(g.Ports))
	for i, p := range g.Ports {
		name := fmt.Sprintf("%s-%d", strings.ToLower(string(p.Protocol)), p.Port)
		out[i] = listener{name: name, port: p.Port, bound: p.Bound, protocol: p.Protocol, appProtocol: p.AppProtocol}
	}
	return out
}

const (
	longestLabel = 63
	digestLength = 10
)

// GatewayObjects is the name of all objects of a Gateway but the Secrets, which
// begin with it: "<gateway>-<class>" (GEP-1762). What is no name of a Service
// (RFC 1035 label) is made one, with a digest of the names in full.
func GatewayObjects(gateway, class string) string {
	whole := gateway + "-" + class
	name := strings.ReplaceAll(whole, ".", "-")
	if name[0] < 'a' || name[0] > 'z' {
		name = "gateway-" + name
	}
	if name == whole && len(name) <= longestLabel {
		return name
	}
	return shortened(name, gateway+"/"+class)
}

// labelValue is a name as a label has it: cut, with a digest, where it is long.
func labelValue(name string) string {
	if len(name) <= longestLabel {
		return name
	}
	return shortened(name, name)
}

func shortened(name, whole string) string {
	sum := sha256.Sum256([]byte(whole))
	name = name[:min(len(name), longestLabel-digestLength-1)]
	return strings.TrimRight(name, "-.") + "-" + hex.EncodeToString(sum[:])[:digestLength]
}
