package ir

import (
	"iter"
	"time"
)

// Fleet is the settings of a set of Envoys that share one configuration and
// one identity.
type Fleet struct {
	Name      Name
	Listeners []Listener // sorted by Name
	Upstream  FleetUpstreamTLS
}

// FleetUpstreamTLS are a fleet's settings for TLS to backends.
type FleetUpstreamTLS struct {
	// ClientCertificate is presented to backends; nil presents none.
	ClientCertificate *CertificateRef
	// Failure says why no TLS upstream of this fleet can be served as asked
	// (a broken client certificate, a cipher suite that Envoy does not know);
	// empty when all is well.
	Failure string
	// FailureReason is the machine-readable reason of Failure (package reason).
	FailureReason string
	Profile       TLSProfile
	// RequireValidation refuses TLS upstreams that are not verified.
	RequireValidation bool
}

// Listener is one port of a fleet.
type Listener struct {
	// Name has no ':' and no '|': it is part of the scope key.
	Name    string
	Address string // IP address to bind
	Port    uint32
	// TLS terminates TLS (or passes it through, by host).
	TLS bool
	// UDP takes datagrams; TLS is then false, and Chains empty.
	UDP bool
	// Profile is for TLS listeners: the default chain's parameters.
	Profile TLSProfile
	// Chains, when not nil, are all that the listener has (a Gateway's port);
	// else a TLS listener has a default chain for every HTTPS host.
	Chains []Chain
	// CORS lets routes of the listener have CORS policies.
	CORS bool
	// AccessLog is the fleet's; nil logs nothing.
	AccessLog *AccessLog
}

// Chain is what a listener does with the connections for one server name: it
// serves HTTP where Scope is set, else closes. What forwards bytes is a TCPRoute.
type Chain struct {
	// ServerName is an exact name or a wildcard "*.example.com", sent by SNI, or
	// "*": any other, and none. A cleartext listener has "*" alone.
	ServerName string
	// Scope names the table of hosts that HTTP requests are looked up in, as
	// Listener does in VirtualHost.
	Scope string
	// TLS is nil where connections are closed.
	TLS *Termination
}

// Termination is how a listener speaks TLS to clients.
type Termination struct {
	// Certificates by SNI and kind of key; at least one.
	Certificates []CertificateRef
	Profile      TLSProfile
	// Client is nil when clients are not asked for a certificate.
	Client *ClientValidation
}

// ClientValidation is what a client's certificate is checked against.
type ClientValidation struct {
	// Trust are the bundles whose union is trusted, sorted by name; at least one.
	Trust []TrustRef
	// Optional serves clients without a certificate, and with any other, too.
	Optional bool
}

// HostCertificate says which certificate a TLS listener presents for a host.
type HostCertificate struct {
	Listener string
	// Host is an exact name or a wildcard "*.example.com".
	Host        string
	Certificate CertificateRef
	// Profile is the TLS profile of the chain that serves the host.
	Profile TLSProfile
	// OwnChain says that Profile differs from the listener's, so that the host
	// needs a filter chain of its own.
	OwnChain bool
}

// TCPRoute forwards the bytes of connections with one SNI, or of all of a
// listener; as Site.UDP it forwards datagrams.
type TCPRoute struct {
	Listener string
	Host     string // SNI: exact, wildcard, or "*" for any and none
	// Plain says that the listener does not look for TLS: Host is "*".
	Plain bool
	// Certificate terminates TLS; nil passes it through.
	Certificate *CertificateRef
	Profile     TLSProfile
	// Termination terminates TLS in the way of a Gateway's listener;
	// Certificate and Profile are then not set.
	Termination *Termination
	// Backends by weight; empty refuses the connection (fail closed).
	Backends []Backend
	// Refused is the weight of backends that cannot be reached as asked: their
	// share of the connections is closed, of datagrams dropped.
	Refused uint32
	// IdleTimeout of 0 is the default of 9001 s.
	IdleTimeout time.Duration
	Origin      ObjectRef
	Failure     string
}

// Certificates are those that the route presents to clients.
func (t *TCPRoute) Certificates() []CertificateRef {
	switch {
	case t.Termination != nil:
		return t.Termination.Certificates
	case t.Certificate != nil:
		return []CertificateRef{*t.Certificate}
	}
	return nil
}

// Site is what one root object serves under one host name of one fleet, or a
// Gateway under one host name of one of its listeners.
type Site struct {
	Fleet        Name
	Host         string
	VirtualHosts []VirtualHost     // one per listener, sorted by Listener
	Certificates []HostCertificate // at most one per listener
	TCP          *TCPRoute
	// UDP is what a UDP listener of a Gateway does with its datagrams.
	UDP *TCPRoute
}

// KeyPair is a parsed and checked certificate chain with its private key.
type KeyPair struct {
	Ref CertificateRef
	// Chain and Key are PEM, normalised: one block per certificate, leaf first.
	Chain, Key []byte
	// Fingerprint is the hex SHA-256 of the leaf's DER bytes.
	Fingerprint         string
	Subject             string
	DNSNames            []string
	NotBefore, NotAfter time.Time
}

// TrustBundle is a parsed and checked set of CA certificates.
type TrustBundle struct {
	Ref TrustRef
	// PEM is normalised: one CERTIFICATE block per CA, in the order of the
	// object, without duplicates.
	PEM []byte
	// CRL is PEM, or nil.
	CRL []byte
	CAs []CertificateAuthority
}

// CertificateAuthority is one certificate of a trust bundle, for status.
type CertificateAuthority struct {
	Subject             string
	Fingerprint         string // hex SHA-256 of the DER bytes
	NotBefore, NotAfter time.Time
	// Notes are weaknesses that do not disqualify: "not a CA", "RSA 1024".
	Notes []string
}

// Endpoint is one address of a Service port.
type Endpoint struct {
	Address string
	Port    uint32
	// HealthPort of 0 is Port.
	HealthPort uint32
	// Zone is the endpoint's topology zone, or "".
	Zone string
}

// LoadAssignment is the set of ready endpoints of one Service port.
type LoadAssignment struct {
	Assignment
	Endpoints []Endpoint // sorted, without duplicates
}

// Origin is the root object, zero for a site that serves nothing.
func (s *Site) Origin() ObjectRef {
	if len(s.VirtualHosts) > 0 {
		return s.VirtualHosts[0].Origin
	}
	if x := s.Stream(); x != nil {
		return x.Origin
	}
	return ObjectRef{}
}

// Stream is the site's TCP or UDP route, nil for none.
func (s *Site) Stream() *TCPRoute {
	if s.UDP != nil {
		return s.UDP
	}
	return s.TCP
}

// Upstreams yields every upstream that the site uses, with repetitions.
func (s *Site) Upstreams() iter.Seq[*Upstream] {
	return func(yield func(*Upstream) bool) {
		for i := range s.VirtualHosts {
			for j := range s.VirtualHosts[i].Routes {
				if !s.VirtualHosts[i].Routes[j].eachUpstream(yield) {
					return
				}
			}
		}
		x := s.Stream()
		if x == nil {
			return
		}
		for i := range x.Backends {
			if !yield(x.Backends[i].Upstream) {
				return
			}
		}
	}
}

func (f *Forward) eachUpstream(yield func(*Upstream) bool) bool {
	for i := range f.Backends {
		if !yield(f.Backends[i].Upstream) {
			return false
		}
	}
	for i := range f.Mirrors {
		if !yield(f.Mirrors[i].Upstream) {
			return false
		}
	}
	return true
}

// Upstreams yields every upstream of a route, mirrors last.
func (f *Forward) Upstreams() iter.Seq[*Upstream] {
	return func(yield func(*Upstream) bool) { f.eachUpstream(yield) }
}
