package translator

import (
	"encoding/binary"
	"strings"

	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// hostKey identifies a site: one host name of one fleet.
type hostKey = httpproxy.HostKey

// resourceKey identifies an Envoy resource of one type in one fleet.
type resourceKey struct {
	Fleet ir.Name
	Name  string
}

// ClusterKey names a cluster of a fleet.
type ClusterKey = resourceKey

// AppendKey implements graph.Key.
func (k resourceKey) AppendKey(b []byte) []byte {
	b = k.Fleet.AppendKey(b)
	b = append(b, 0)
	return append(b, k.Name...)
}

// listenerKey identifies a listener of a fleet.
type listenerKey struct {
	Fleet ir.Name
	Name  string
}

// AppendKey implements graph.Key.
func (k listenerKey) AppendKey(b []byte) []byte { return resourceKey(k).AppendKey(b) }

// scopeKey identifies a host on one listener of a fleet.
type scopeKey struct {
	Fleet    ir.Name
	Listener string
	Host     string
}

// AppendKey implements graph.Key.
func (k scopeKey) AppendKey(b []byte) []byte {
	b = resourceKey{Fleet: k.Fleet, Name: k.Listener}.AppendKey(b)
	b = append(b, 0)
	return append(b, k.Host...)
}

func (k scopeKey) site() hostKey {
	if ofGateway(k.Listener) {
		return hostKey(k)
	}
	return hostKey{Fleet: k.Fleet, Host: k.Host}
}

// ofGateway tells the listeners and scopes of Gateways, which are named after
// them, from those of an EnvoyFleet, whose names hold no slash.
func ofGateway(listener string) bool { return strings.Contains(listener, "/") }

// assignmentKey identifies the endpoints of a Service port in one fleet.
type assignmentKey struct {
	Fleet      ir.Name
	Assignment ir.Assignment
}

// AppendKey implements graph.Key.
func (k assignmentKey) AppendKey(b []byte) []byte {
	b = k.Fleet.AppendKey(b)
	b = append(b, 0)
	b = k.Assignment.Service.AppendKey(b)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(k.Assignment.Service.Port)) //nolint:gosec // ports are positive
	b = binary.BigEndian.AppendUint32(b, uint32(k.Assignment.HealthPort))   //nolint:gosec // ports are positive
	if k.Assignment.UDP {
		b = append(b, 'u')
	}
	return b
}

// certificateKey identifies a key pair that a fleet's Envoys hold.
type certificateKey struct {
	Fleet ir.Name
	Ref   ir.CertificateRef
}

// AppendKey implements graph.Key.
func (k certificateKey) AppendKey(b []byte) []byte {
	b = k.Fleet.AppendKey(b)
	b = append(b, 0)
	return k.Ref.AppendKey(b)
}

// delegationKey is a Secret and a namespace (or "*") that it is delegated to.
type delegationKey struct {
	Secret ir.Name
	To     string
}

// AppendKey implements graph.Key.
func (k delegationKey) AppendKey(b []byte) []byte {
	b = k.Secret.AppendKey(b)
	b = append(b, 0)
	return append(b, k.To...)
}
