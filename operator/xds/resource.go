package xds

import (
	"slices"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/envoy"
)

// kind is a type of resource; the order is that of delivery.
type kind uint8

const (
	clusters kind = iota
	endpoints
	secrets
	listeners
	scopes
	kindCount
)

var types = [kindCount]envoy.Type{
	clusters:  envoy.ClusterType,
	endpoints: envoy.EndpointType,
	secrets:   envoy.SecretType,
	listeners: envoy.ListenerType,
	scopes:    envoy.ScopeType,
}

func kindOf(t envoy.Type) (kind, bool) {
	i := slices.Index(types[:], t)
	return kind(max(i, 0)), i >= 0 //nolint:gosec // at most kindCount
}

func (k kind) String() string {
	return [kindCount]string{"clusters", "endpoints", "secrets", "listeners", "scopes"}[k]
}

// wildcard says whether Envoy subscribes to all resources of the type at once.
func (k kind) wildcard() bool { return k == clusters || k == listeners || k == scopes }

// row is a resource as the server keeps it: immutable, shared by all streams.
type row struct {
	*envoy.Resource
	// frame is what stands before Body on the wire.
	frame []byte
	// uses reads which other resources a cluster needs; nil for other types.
	uses func() references
}

func newRow(k kind, r *envoy.Resource) *row {
	n := &row{Resource: r, frame: frame(r)}
	if k == clusters {
		n.uses = sync.OnceValue(func() references { return referencesOf(r.Body) })
	}
	return n
}

// references are the names of the resources that a cluster cannot warm without.
type references struct {
	assignment string
	secrets    []string
}

// referencesOf reads a marshalled cluster. What cannot be read has none: Envoy
// then asks by itself, a round trip later.
func referencesOf(body []byte) references {
	var c clusterv3.Cluster
	if err := proto.Unmarshal(body, &c); err != nil {
		return references{}
	}
	var out references
	if c.GetType() == clusterv3.Cluster_EDS {
		out.assignment = c.GetEdsClusterConfig().GetServiceName()
		if out.assignment == "" {
			out.assignment = c.GetName()
		}
	}
	out.secrets = appendSecrets(out.secrets, c.GetTransportSocket())
	for _, m := range c.GetTransportSocketMatches() {
		out.secrets = appendSecrets(out.secrets, m.GetTransportSocket())
	}
	return out
}

func appendSecrets(out []string, socket *corev3.TransportSocket) []string {
	var t tlsv3.UpstreamTlsContext
	if cfg := socket.GetTypedConfig(); !cfg.MessageIs(&t) || cfg.UnmarshalTo(&t) != nil {
		return out
	}
	common := t.GetCommonTlsContext()
	for _, name := range []string{
		common.GetValidationContextSdsSecretConfig().GetName(),
		common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig().GetName(),
	} {
		if name != "" {
			out = append(out, name)
		}
	}
	for _, c := range common.GetTlsCertificateSdsSecretConfigs() {
		out = append(out, c.GetName())
	}
	return out
}
