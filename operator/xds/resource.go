package xds

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

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

// row is a resource as the server keeps it: immutable, but for what Envoys have
// said of it, and shared by all streams.
type row struct {
	*envoy.Resource
	// frame is what stands before Body on the wire.
	frame []byte
	// uses reads which other resources a cluster needs; nil for other types.
	uses func() references

	// origin is the published row that this one is sent for; nil for that one
	// itself, whose are the fields below.
	origin *row
	seq    uint64 // of the snapshot that brought it
	line   *lineage
	// refused says that an Envoy refused this secret.
	refused atomic.Bool
}

// lineage is what the rows of one name have in common, one after another.
type lineage struct {
	// good is the newest row that some Envoy has acknowledged: while it is the
	// current one, nothing is kept for it.
	good atomic.Pointer[row]
	// held says that an Envoy came with bytes of the name that the fleet does not
	// hold, as after an upgrade that makes them anew.
	held atomic.Bool
}

// served says whether some Envoy has, or had, bytes of the name that it has taken.
func (l *lineage) served() bool { return l.good.Load() != nil || l.held.Load() }

func newRow(k kind, r *envoy.Resource) *row {
	n := &row{Resource: r, frame: frame(r)}
	if k == clusters {
		n.uses = sync.OnceValue(func() references { return referencesOf(r.Body) })
	}
	return n
}

// published returns the row as the fleet has it.
func (r *row) published() *row {
	if r.origin != nil {
		return r.origin
	}
	return r
}

// anew returns a scope's row with other bytes that mean the same. Envoy notes
// the digest of each scope of a response before it meets the one for which it
// refuses the response: those that were before it would be acknowledged when
// they come again, and not be used. The salt is by chance: no earlier stream of
// the Envoy may have sent the same.
func (r *row) anew() *row {
	out := newRow(scopes, envoy.FreshScope(r.Resource, rand.Uint64())) //nolint:gosec // nothing secret depends on it
	out.origin = r.published()
	return out
}

// anew returns new rows for scopes.
func anew(rows []*row) []*row {
	out := make([]*row, len(rows))
	for i, r := range rows {
		out[i] = r.anew()
	}
	return out
}

// succeed makes the row the next of a name; before is nil for a new name.
func (r *row) succeed(before *row, seq uint64) {
	r.seq, r.line = seq, &lineage{}
	if before != nil {
		r.line = before.line
	}
}

// accept notes that an Envoy has taken the row. Of a secret that was refused
// that says nothing: Envoy takes the same bad bytes when they come again.
func (r *row) accept() {
	r = r.published()
	if r.refused.Load() {
		return
	}
	for {
		best := r.line.good.Load()
		if best != nil && best.seq >= r.seq || r.line.good.CompareAndSwap(best, r) {
			return
		}
	}
}

// lastGood returns the resource that some Envoy acknowledged last, or nil.
func (r *row) lastGood() *envoy.Resource {
	if good := r.published().line.good.Load(); good != nil {
		return good.Resource
	}
	return nil
}

// references are the names of the resources that a cluster cannot warm without.
type references struct {
	assignment string
	secrets    []string
	// outside says that it also waits for what no resource brings: that a name
	// is resolved, or the first answer to a health check.
	outside bool
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
	out.outside = len(c.GetHealthChecks()) > 0 ||
		c.GetType() == clusterv3.Cluster_STRICT_DNS || c.GetType() == clusterv3.Cluster_LOGICAL_DNS
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
