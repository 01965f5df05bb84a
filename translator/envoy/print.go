package envoy

import (
	"encoding/json"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// redacted stands in print for what is secret, as in Envoy's own dumps.
const redacted = "[redacted]"

// JSON returns the resource as Envoy's JSON for a person to read. Private keys
// are redacted; fields have their proto names.
func (r *Resource) JSON() (json.RawMessage, error) {
	m, err := r.Message()
	if err != nil {
		return nil, err
	}
	if s, ok := m.(*tlsv3.Secret); ok {
		if c := s.GetTlsCertificate(); c != nil {
			c.PrivateKey = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: redacted}}
			readable(c.GetCertificateChain())
		}
		readable(s.GetValidationContext().GetTrustedCa())
		readable(s.GetValidationContext().GetCrl())
	}
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("printing %s: %w", r, err)
	}
	return b, nil
}

// readable shows PEM as text rather than as base64 of itself.
func readable(d *corev3.DataSource) {
	if b, ok := d.GetSpecifier().(*corev3.DataSource_InlineBytes); ok {
		d.Specifier = &corev3.DataSource_InlineString{InlineString: string(b.InlineBytes)}
	}
}
