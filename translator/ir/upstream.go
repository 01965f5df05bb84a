package ir

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Protocol is what Envoy speaks to a backend inside TLS or in cleartext.
type Protocol string

// Protocols of an upstream.
const (
	// HTTP1 is HTTP/1.1.
	HTTP1 Protocol = "http/1.1"
	// HTTP2 is HTTP/2, by ALPN "h2" over TLS and with prior knowledge without.
	HTTP2 Protocol = "h2"
	// TCP carries bytes: a TCP proxy's upstream.
	TCP Protocol = "tcp"
	// UDP carries datagrams.
	UDP Protocol = "udp"
)

// Upstream describes how to reach one Service port from a route. All of it is
// the identity of the Envoy cluster: two routes share a cluster if and only if
// their upstreams are equal, and a change of any field is another cluster.
type Upstream struct {
	Service ServicePort
	// ExternalName is the DNS name of a Service of type ExternalName; empty
	// when the endpoints come from EndpointSlices.
	ExternalName string
	// HealthPort is the Service port number that health checks go to; 0 is
	// the traffic port.
	HealthPort int32
	Protocol   Protocol
	// TLS is nil for cleartext.
	TLS *UpstreamTLS

	LoadBalancer LoadBalancer
	HealthCheck  *HealthCheck
	// ConnectTimeout of 0 is the default of 2 s.
	ConnectTimeout time.Duration
	// IdleTimeout closes an idle upstream connection. Nil is Envoy's default
	// of one hour; a pointer to 0 means never.
	IdleTimeout     *time.Duration
	SlowStart       *SlowStart
	CircuitBreakers CircuitBreakers
}

// Name returns the name of the upstream's cluster:
// namespace/service/port/digest, where digest is 128 bits of the SHA-256 of
// the canonical encoding of every field.
func (u *Upstream) Name() string {
	sum := sha256.Sum256(u.canonical())
	return u.Service.Namespace + "/" + u.Service.Name.Name + "/" +
		strconv.Itoa(int(u.Service.Port)) + "/" + hex.EncodeToString(sum[:16])
}

// AssignmentName is the name of the load assignment (EDS service_name) that
// holds the upstream's endpoints: see Assignment. Empty for an ExternalName.
func (u *Upstream) AssignmentName() string {
	if u.ExternalName != "" {
		return ""
	}
	return u.Assignment().Name()
}

// Assignment is the set of endpoints of an upstream that has no ExternalName.
func (u *Upstream) Assignment() Assignment {
	return Assignment{Service: u.Service, HealthPort: u.HealthPort, UDP: u.Protocol == UDP}
}

// Assignment identifies one set of endpoints.
type Assignment struct {
	Service    ServicePort
	HealthPort int32
	// UDP says that the Service port is one for UDP.
	UDP bool
}

// assignmentUDP stands in a name in the place of a health port.
const assignmentUDP = "udp"

// Name returns the EDS resource name: namespace/service/port, with the health
// port behind it where one is set, or "udp".
func (a Assignment) Name() string {
	n := a.Service.Namespace + "/" + a.Service.Name.Name + "/" + strconv.Itoa(int(a.Service.Port))
	switch {
	case a.UDP:
		n += "/" + assignmentUDP
	case a.HealthPort != 0:
		n += "/" + strconv.Itoa(int(a.HealthPort))
	}
	return n
}

// ParseAssignment is the inverse of Name; zero for a text that is no name.
func ParseAssignment(name string) Assignment {
	words := strings.Split(name, "/")
	if len(words) < 3 {
		return Assignment{}
	}
	out := Assignment{Service: ServicePort{Name: Name{Namespace: words[0], Name: words[1]}, Port: parsePort(words[2])}}
	if len(words) > 3 {
		out.UDP = words[3] == assignmentUDP
		out.HealthPort = parsePort(words[3])
	}
	return out
}

func parsePort(s string) int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0 // no port: nothing is found
	}
	return int32(n)
}

// UpstreamTLS is how Envoy speaks TLS to a backend.
type UpstreamTLS struct {
	// SNI is sent in the handshake; empty sends none.
	SNI string
	// Verify says what the backend's certificate must prove. Nil means that
	// the backend is NOT verified.
	Verify *Verify
	// ClientCertificate is presented when the backend asks; nil presents none.
	ClientCertificate *CertificateRef
	// ALPN is what Envoy offers, in order of preference; nil offers none.
	ALPN    []string
	Profile TLSProfile
}

// Verify is what a backend's certificate is checked against.
type Verify struct {
	// Trust are the bundles whose union is trusted, sorted by name; at least one.
	Trust []TrustRef
	// Names are accepted subject alternative names, in the order of the
	// object; any one suffices; at least one.
	Names []SubjectName
}

// NameKind is the type of a subject alternative name.
type NameKind string

// Kinds of subject alternative names (RFC 5280, 4.2.1.6).
const (
	DNSName NameKind = "DNS"
	IPName  NameKind = "IP"
	URIName NameKind = "URI"
)

// SubjectName is one accepted subject alternative name.
type SubjectName struct {
	Kind  NameKind
	Value string
}

// TrustKind is the kind of object that a trust bundle comes from.
type TrustKind string

// Kinds of trust bundle.
const (
	TrustSecret             TrustKind = "Secret"
	TrustConfigMap          TrustKind = "ConfigMap"
	TrustClusterTrustBundle TrustKind = "ClusterTrustBundle"
	TrustSystem             TrustKind = "System"
)

// TrustRef names a trust bundle.
type TrustRef struct {
	Kind TrustKind
	Name
}

// SystemTrust is the bundle of the certificates that the system trusts.
func SystemTrust() TrustRef { return TrustRef{Kind: TrustSystem, Name: Name{Name: "system"}} }

// NoHost ends the name of each SDS secret that is not a host's. Envoy asks for a
// host's by the server name that a client says, which may be any text but one
// with a zero byte: so no client can name these.
const NoHost = "\x00"

// SecretName is the name of the SDS secret that carries the bundle:
// trust/<namespace>/<kind>/<name>, and NoHost. It is stable over rotations.
func (r TrustRef) SecretName() string {
	return "trust/" + r.Namespace + "/" + string(r.Kind) + "/" + r.Name.Name + NoHost
}

// AppendKey implements the key encoding of translator/graph.
func (r TrustRef) AppendKey(b []byte) []byte {
	b = append(b, r.Kind...)
	b = append(b, 0)
	return r.Name.AppendKey(b)
}

// CertificateRef names a certificate with its private key: a Secret.
type CertificateRef struct{ Name }

// SecretName is the name of the SDS secret that carries the key pair:
// certificate/<namespace>/<name>, and NoHost. It is stable over rotations.
func (r CertificateRef) SecretName() string {
	return "certificate/" + r.Namespace + "/" + r.Name.Name + NoHost
}

// SecretRef is the reference that a name of SecretName stands for.
func SecretRef(name string) (ref CertificateRef, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(name, NoHost), "certificate/")
	ref.Namespace, ref.Name.Name, _ = strings.Cut(rest, "/")
	return ref, ok
}

// TLSVersion is a version of TLS.
type TLSVersion string

// TLS versions in order.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// TLSProfile are the parameters of TLS on one side. Versions are always set.
type TLSProfile struct {
	Min, Max TLSVersion
	// Ciphers for TLS 1.2, by their Envoy (BoringSSL) names, in order; a group
	// of equal preference is written "[A|B]". Nil is the default list.
	Ciphers []string
	// Curves in order; nil is Envoy's default.
	Curves []string
}

// LoadBalancerPolicy chooses an endpoint.
type LoadBalancerPolicy string

// Load balancer policies.
const (
	RoundRobin   LoadBalancerPolicy = "RoundRobin"
	Random       LoadBalancerPolicy = "Random"
	LeastRequest LoadBalancerPolicy = "LeastRequest"
	// RingHash needs hash policies on the route.
	RingHash LoadBalancerPolicy = "RingHash"
)

// LoadBalancer is the policy of an upstream.
type LoadBalancer struct {
	// Policy of "" is RoundRobin.
	Policy LoadBalancerPolicy
}

// HealthCheck is active health checking.
type HealthCheck struct {
	// HTTP is nil for a check that only connects (TCP).
	HTTP               *HTTPHealthCheck
	Interval, Timeout  time.Duration
	Unhealthy, Healthy uint32
}

// HTTPHealthCheck is a request whose answer tells the health.
type HTTPHealthCheck struct {
	Path, Host string
	// Expected ranges of status codes, [Start, End); nil is 200 alone.
	Expected []StatusRange
}

// StatusRange is a half-open range of HTTP status codes.
type StatusRange struct{ Start, End int64 }

// SlowStart raises the share of a new endpoint gradually.
type SlowStart struct {
	Window     time.Duration
	Aggression float64
	MinWeight  uint32 // per cent
}

// CircuitBreakers are Envoy's limits of one cluster; 0 is Envoy's default.
type CircuitBreakers struct {
	MaxConnections, MaxPendingRequests, MaxRequests, MaxRetries uint32
	PerHostMaxConnections                                       uint32
}
