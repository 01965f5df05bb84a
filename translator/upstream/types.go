package upstream

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Objects gives the objects that a decision reads. The graph records every
// call, so a decision must read nothing else.
type Objects interface {
	// Service returns a Service.
	Service(name ir.Name) (*corev1.Service, bool)
	// Trust returns why a trust bundle cannot be used; nil when it can.
	Trust(ref ir.TrustRef) *Problem
	// KeyPair returns why a certificate cannot be used; nil when it can.
	KeyPair(ref ir.CertificateRef) *Problem
	// Validity returns why peers may refuse a certificate that can be used, by
	// its dates; nil when they need not.
	Validity(ref ir.CertificateRef) *Problem
	// Delegated reports whether a TLSCertificateDelegation in the Secret's
	// namespace names the Secret and either the namespace to or "*".
	Delegated(secret ir.Name, to string) bool
}

// Problem is why something cannot be served as asked.
type Problem struct {
	Reason reason.Reason
	// Message names the object, the field, what was found and what to do.
	Message string

	// Type and Category are how an HTTPProxy's status files the problem: class
	// and reason of the detailed error. Decide and Finish always set them.
	Type     reason.ErrorType
	Category reason.Reason
	// Description is the short form for an HTTPProxy's description, behind
	// route and service. Empty: the Message serves.
	Description reason.Message
	// Until is when time alone may end the problem; zero for never.
	Until time.Time
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

// Request is what a route asks of one backend, in the words of neither API.
type Request struct {
	// Service is the Service port; its namespace is the route's, or what the
	// front end has allowed.
	Service ir.ServicePort
	// HealthPort is the Service port for health checks; 0 is the traffic port.
	HealthPort int32
	// Protocol is the route's own word (HTTPProxy services[].protocol): "tls",
	// "h2", "h2c"; nil when it says nothing.
	Protocol *string
	// Transport, when set, is what the front end has settled by its own API:
	// neither Protocol nor what the Service says is asked.
	Transport *Transport
	// Validation is nil when the route asks for none.
	Validation *Validation
	// TCP carries bytes rather than HTTP.
	TCP bool
	// UDP carries datagrams, to a UDP port of the Service.
	UDP bool
	// Hosts are the Host rewrites that set the SNI, the first that is not
	// empty wins: service, then route.
	Hosts []string

	LoadBalancer ir.LoadBalancer
	HealthCheck  *ir.HealthCheck
	SlowStart    *ir.SlowStart
}

// Validation is a request to verify the backend.
type Validation struct {
	// Trust are the bundles whose union is trusted. The front end has resolved
	// names; delegation is checked here.
	Trust []ir.TrustRef
	// From is the namespace that asks: a Secret of another namespace needs a
	// delegation for it.
	From string
	// Names are accepted subject names as written: DNS names, IP addresses and
	// URIs ("spiffe://...").
	Names []string
	// SNI, when not empty, is sent whatever Hosts says (BackendTLSPolicy
	// hostname).
	SNI string
	// Profile is what the validation asks of TLS; what it leaves empty comes
	// from the fleet.
	Profile ir.TLSProfile
}

// Transport is how a backend is spoken to.
type Transport struct {
	TLS   bool
	HTTP2 bool
}
