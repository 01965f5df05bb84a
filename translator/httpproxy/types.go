package httpproxy

import (
	"strconv"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Kind is the API kind of every object of this package.
const Kind = "HTTPProxy"

// Finding is one entry of an object's status.
type Finding struct {
	Severity Severity
	// Type is the class of the entry, such as "ServiceError".
	Type   reason.ErrorType
	Reason reason.Reason
	// Place is where in the object it is, such as `route "/api": service "web"`;
	// empty for what is about the object as a whole, or says so itself.
	Place string
	// Message names what is concerned, what was found and what to do.
	Message string
	// Description, when set, may stand in status.description: see Status.
	Description string
}

// Text is the message behind its place, as it stands in the status.
func (f *Finding) Text() string {
	if f.Place == "" {
		return f.Message
	}
	return f.Place + ": " + f.Message
}

// place is where something stands in an object: a route, or else the TCP proxy.
type place struct {
	// path is the route's path as it is written, "/" when it has none.
	path string
	// field tells the route apart from others with the same path.
	field string
}

// String returns the name that a user knows the place by.
func (p place) String() string {
	switch {
	case p.path == "":
		return "tcpproxy"
	case p.field == "":
		return "route " + strconv.Quote(p.path)
	}
	return "route " + strconv.Quote(p.path) + " (" + p.field + ")"
}

// service is the place of one service.
func (p place) service(name string) string { return p.String() + ": service " + strconv.Quote(name) }

// Severity tells errors from warnings.
type Severity uint8

const (
	// Error makes the object invalid.
	Error Severity = iota
	// Warning leaves it valid.
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// ResourceWithheld is the finding for an Envoy resource that could not be made
// or was refused.
func ResourceWithheld(err error) Finding {
	message := "not served"
	if err != nil {
		message = "not served: " + err.Error()
	}
	return Finding{Type: reason.SpecError, Reason: reason.ResourceWithheld, Message: message}
}

// RefusedByEnvoy is the finding for what Envoy itself has refused; the message
// is reason.FormatRefused's.
func RefusedByEnvoy(message string) Finding {
	return Finding{Type: reason.SpecError, Reason: reason.RefusedByEnvoy, Message: message}
}

// Document is one HTTPProxy translated on its own: what it says, independent of
// who includes it and of the fleet. It is immutable; reflect.DeepEqual tells
// whether two are the same.
type Document struct {
	Name ir.Name
	// Root says that the object has a virtual host.
	Root bool
	// FQDN is the lower-case host name of a root, "" when it is unusable.
	FQDN string
	// Class is the ingress class that the object names, or "".
	Class string
	// Findings are about the object alone, in the order of its fields.
	Findings []Finding

	// failure is why the whole virtual host fails closed.
	failure  string
	tls      *hostTLS
	routes   []route
	includes []include
	tcp      *tcpProxy
}

// hostTLS is virtualhost.tls.
type hostTLS struct {
	passthrough bool
	certificate *ir.CertificateRef
	// failure is why there is no certificate.
	failure string
	// min and max are empty where the object says nothing.
	min, max ir.TLSVersion
}

// route is a route before it is included: its conditions are its own and its
// upstreams have no client certificate.
type route struct {
	conditions conditions
	// action is the finished route but for Name, Match and the upstreams.
	action   ir.Route
	insecure bool // permitInsecure
	// rewrites are there for a closed route too: they say what it was to serve.
	rewrites []prefixReplacement
	where    place
}

// include is a delegation of paths to another object.
type include struct {
	target     ir.Name
	conditions conditions
	// failure is why the include cannot be followed.
	failure string
}

// tcpProxy is the tcpproxy block: backends, or another object to follow.
type tcpProxy struct {
	backends []ir.Backend
	include  *ir.Name
	failure  string
}

// prefixReplacement is one entry of pathRewritePolicy.replacePrefix; an empty
// prefix is the default.
type prefixReplacement struct{ prefix, replacement string }

// Documents gives the documents that a site is composed of.
type Documents interface {
	// Document returns the document of an object, false when there is none.
	Document(name ir.Name) (*Document, bool)
}

// HostKey is the key of a site: one host name of one fleet.
type HostKey struct {
	Fleet ir.Name
	// Listener is empty for an HTTPProxy, whose hosts may be on several.
	Listener string
	// Host is lower case, exact or "*.example.com".
	Host string
}

// AppendKey implements the key encoding of translator/graph.
func (k HostKey) AppendKey(b []byte) []byte {
	b = k.Fleet.AppendKey(b)
	b = append(b, 0)
	b = append(b, k.Listener...)
	b = append(b, 0)
	return append(b, k.Host...)
}

// Site is what one host of one fleet serves, and who took part in it. It is
// immutable; reflect.DeepEqual tells whether two are the same.
type Site struct {
	ir.Site
	// Visits has one entry for each object that takes part, sorted by name.
	Visits []Visit
}

// Visit is the part of one object in one site.
type Visit struct {
	Proxy ir.Name
	// Findings come about only where objects and fleet meet: includes, hosts
	// that two objects want, a fleet's client certificate.
	Findings []Finding
}

// Objects is what translating reads.
type Objects = upstream.Objects

// DefaultProfile is the TLS profile of a listener that sets none: TLS 1.2 to
// 1.3, with Envoy's default ciphers and curves.
func DefaultProfile() ir.TLSProfile { return ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13} }
