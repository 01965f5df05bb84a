package report

import "time"

// Report is one state of the world.
type Report struct {
	Revision uint64 `json:"revision"`
	// Time at which it was made; only of what is running.
	Time time.Time `json:"time,omitzero"`
	// Fleets that are served, with their Envoys.
	Fleets []Fleet `json:"fleets"`
	Hosts  []Host  `json:"hosts"`
	// Statuses of all objects that have one, sorted by kind, namespace, name.
	Statuses []Status `json:"statuses"`
	// Problems are documents that could not be read or were refused.
	Problems []Problem `json:"problems,omitempty"`
	// Withheld are units that could not be computed; a defect of Signet, or of
	// an input that nothing else caught. All else is served.
	Withheld []Withheld `json:"withheld,omitempty"`
	// Quarantine is what Envoy refuses and what is held back therefore.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	// Resources by Envoy type and name; only in translations.
	Resources map[string][]Resource `json:"resources,omitempty"`
}

// Fleet is a set of Envoys.
type Fleet struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Envoys    []Envoy `json:"envoys,omitempty"`
	// ClientCertificate is what is presented to backends.
	ClientCertificate *Certificate `json:"clientCertificate,omitempty"`
	// Problems are why TLS upstreams of the fleet fail closed.
	Problems []string `json:"problems,omitempty"`
}

// Envoy is one connected Envoy.
type Envoy struct {
	Node         string `json:"node"`
	Acknowledged uint64 `json:"acknowledged"`
	Ready        bool   `json:"ready"`
	// Rejected are resources that this Envoy refuses, with its words.
	Rejected []string `json:"rejected,omitempty"`
}

// Host is one host name of a fleet.
type Host struct {
	Fleet     string   `json:"fleet"`
	Host      string   `json:"host"`
	Listeners []string `json:"listeners"`
	// Object is the root, "HTTPProxy namespace/name".
	Object      string       `json:"object,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
	Routes      []Route      `json:"routes,omitempty"`
	TCP         *Route       `json:"tcp,omitempty"`
	UDP         *Route       `json:"udp,omitempty"`
}

// Route is one route of a host on one listener.
type Route struct {
	Listener string `json:"listener"`
	// Match is readable: "prefix /api, header X-Env exact prod".
	Match string `json:"match"`
	// Object is where the route is written.
	Object string `json:"object,omitempty"`
	// Action is "forward", "redirect" or "respond"; of TCP and UDP "forward" or
	// "refuse".
	Action string `json:"action"`
	// Detail of a redirect or response.
	Detail    string     `json:"detail,omitempty"`
	Upstreams []Upstream `json:"upstreams,omitempty"`
	// Failure is why the route fails closed.
	Failure string `json:"failure,omitempty"`
}

// Upstream is how a Service port is reached from a route.
type Upstream struct {
	Service string `json:"service"` // namespace/name
	Port    int32  `json:"port"`
	// Weight of the route's traffic; 0 with Mirror and Auth.
	Weight uint32 `json:"weight,omitempty"`
	Mirror bool   `json:"mirror,omitempty"`
	// Auth is asked whether a request may go on.
	Auth bool `json:"auth,omitempty"`
	// Protocol is "http/1.1", "h2" or "tcp".
	Protocol string       `json:"protocol"`
	Cluster  string       `json:"cluster"`
	TLS      *UpstreamTLS `json:"tls,omitempty"`
}

// UpstreamTLS is how TLS to a backend is done; absent for cleartext.
type UpstreamTLS struct {
	// Verified is false when any certificate is accepted.
	Verified bool   `json:"verified"`
	SNI      string `json:"sni,omitempty"`
	// Names are accepted subject names, "DNS example.com".
	Names             []string     `json:"names,omitempty"`
	Trust             []Trust      `json:"trust,omitempty"`
	ClientCertificate *Certificate `json:"clientCertificate,omitempty"`
	MinVersion        string       `json:"minVersion"`
	MaxVersion        string       `json:"maxVersion"`
}

// Trust is one bundle of certificate authorities.
type Trust struct {
	// Source is "Secret namespace/name".
	Source      string      `json:"source"`
	Authorities []Authority `json:"authorities,omitempty"`
}

// Authority is one trusted certificate.
type Authority struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"` // hex SHA-256
	NotAfter    time.Time `json:"notAfter"`
	Notes       []string  `json:"notes,omitempty"`
}

// Certificate is a certificate that Envoy presents.
type Certificate struct {
	Secret      string    `json:"secret"` // namespace/name
	Subject     string    `json:"subject,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"` // hex SHA-256
	NotAfter    time.Time `json:"notAfter,omitzero"`
}

// Status is the status of one object, as its API has it.
type Status struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	Status     any    `json:"status"`
	// Programmed is which Envoys serve it; only of what is running.
	Programmed *Programmed `json:"programmed,omitempty"`
}

// Problem is a document that could not be read or was refused.
type Problem struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Object   string `json:"object,omitempty"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message"`
	Severity string `json:"severity"`
}

// Quarantined is a resource, or a part of one, that Envoy refuses and that is
// held back for the whole fleet.
type Quarantined struct {
	Fleet string `json:"fleet"`
	// Type is the last part of the resource's type.
	Type string `json:"type"`
	Name string `json:"name"`
	// Part is the host or the route that is held back, empty for the whole.
	Part string `json:"part,omitempty"`
	// Version that is refused.
	Version string `json:"version"`
	// Message says what is refused, what is served instead, and Envoy's words.
	Message string `json:"message"`
	// Objects are "HTTPProxy namespace/name".
	Objects []string `json:"objects,omitempty"`
	// Suspect says that it is not known yet whether it is to blame.
	Suspect bool `json:"suspect,omitempty"`
}

// Withheld is one unit of the graph without a value.
type Withheld struct {
	Unit  string `json:"unit"`
	Key   string `json:"key"`
	Error string `json:"error"`
}

// Resource is one Envoy resource in Envoy's JSON; private keys are redacted.
type Resource struct {
	Fleet string `json:"fleet"`
	Name  string `json:"name"`
	// Config is the resource as Envoy gets it.
	Config any `json:"config"`
}
