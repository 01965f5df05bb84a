package ir

import (
	"iter"
	"time"
)

// VirtualHost is one host name on one listener with all its routes.
type VirtualHost struct {
	// Listener is the name of the fleet's listener.
	Listener string
	// Host is lower case: an exact name, a wildcard "*.example.com", or "*".
	Host string
	// OneLabel limits a wildcard to exactly one label (HTTPProxy); else it
	// matches one or more (Gateway API).
	OneLabel bool
	// TLS says that the host is reached over TLS by SNI: its scope key then
	// holds SNI and host, and a host that differs from the SNI is misdirected.
	TLS bool
	// FallThrough lets requests that no route matches go on to the wildcard
	// hosts of the listener (Gateway API); else they get 404.
	FallThrough bool
	// Routes in order of precedence: the first that matches serves.
	Routes []Route
	// Origin is the object that owns the host.
	Origin ObjectRef
}

// Route is a match and exactly one of Forward, Redirect and Response.
type Route struct {
	// Name is stable and derives from the identity of the object and the
	// match, never from a list index; it is never empty.
	Name  string
	Match Match

	Forward  *Forward
	Redirect *Redirect
	Response *DirectResponse

	RequestHeaders  HeaderPolicy
	ResponseHeaders HeaderPolicy
	// CORS is nil for a route that leaves cross-origin requests alone.
	CORS *CORS
	// Auth is nil for a route that asks nobody whether a request may go on.
	Auth *ExternalAuth

	// Origin is the object that the route is written in.
	Origin ObjectRef
	// Failure is why the route answers with its fail-closed form; empty for a
	// route that serves as asked.
	Failure string
}

// Upstreams yields every upstream of a route: backends, mirrors, the server
// that is asked whether a request may go on.
func (r *Route) Upstreams() iter.Seq[*Upstream] {
	return func(yield func(*Upstream) bool) { r.eachUpstream(yield) }
}

func (r *Route) eachUpstream(yield func(*Upstream) bool) bool {
	if r.Forward != nil && !r.Forward.eachUpstream(yield) {
		return false
	}
	return r.Auth == nil || yield(r.Auth.Upstream)
}

// Required yields the upstreams that the route cannot do without: all but the
// mirrors.
func (r *Route) Required() iter.Seq[*Upstream] {
	return func(yield func(*Upstream) bool) {
		if r.Forward != nil {
			for i := range r.Forward.Backends {
				if !yield(r.Forward.Backends[i].Upstream) {
					return
				}
			}
		}
		if r.Auth != nil {
			yield(r.Auth.Upstream)
		}
	}
}

// PathKind is the kind of a path match.
type PathKind string

// Kinds of path match.
const (
	// PathPrefix matches a string prefix: "/foo" matches "/foobar".
	PathPrefix PathKind = "prefix"
	// PathSegments matches whole segments: "/foo" matches "/foo" and "/foo/x".
	PathSegments PathKind = "segments"
	PathExact    PathKind = "exact"
	// PathRegex is an RE2 expression over the whole path.
	PathRegex PathKind = "regex"
)

// Match is what a request must look like. All parts must hold.
type Match struct {
	PathKind PathKind
	Path     string
	// Method of "" is any.
	Method string
	// Headers and Query are sorted by the front end.
	Headers []ValueMatch
	Query   []ValueMatch
}

// ValueKind is the kind of a header or query parameter match.
type ValueKind string

// Kinds of value match.
const (
	ValuePresent  ValueKind = "present"
	ValueExact    ValueKind = "exact"
	ValuePrefix   ValueKind = "prefix"
	ValueSuffix   ValueKind = "suffix"
	ValueContains ValueKind = "contains"
	ValueRegex    ValueKind = "regex"
)

// ValueMatch matches one header or query parameter.
type ValueMatch struct {
	Name       string
	Kind       ValueKind
	Value      string
	IgnoreCase bool
	// Invert turns the match around. A missing header fails an inverted match
	// unless MissingMatches is set.
	Invert         bool
	MissingMatches bool
}

// StreamIdle is how long a request may be silent where its route says nothing of
// it.
const StreamIdle = 5 * time.Minute

// Forward sends the request to upstreams.
type Forward struct {
	// Backends share the traffic by weight; at least one.
	Backends []Backend
	// Refused is the weight of backends that cannot be reached as asked: their
	// share is answered with RefusedStatus, 500 or 503.
	Refused       uint32
	RefusedStatus uint32
	Mirrors       []Mirror

	// Timeout of the whole response; nil is Envoy's default of 15 s, a pointer
	// to 0 switches it off.
	Timeout *time.Duration
	// IdleTimeout of the stream; nil is StreamIdle, 0 switches it off.
	IdleTimeout *time.Duration
	Retry       *Retry
	Rewrite     *PathRewrite
	// HostRewrite replaces :authority by a literal; HostFromHeader by the
	// value of a header. At most one is set. A backend's own literal wins.
	HostRewrite    string
	HostFromHeader string
	Websockets     bool
	Hash           []HashPolicy
	// Session is nil where each request may go to another endpoint.
	Session *Session
}

// Backend is one weighted upstream.
type Backend struct {
	Upstream *Upstream
	// Weight is relative to the sum of the route's weights.
	Weight          uint32
	HostRewrite     string
	RequestHeaders  HeaderPolicy
	ResponseHeaders HeaderPolicy
}

// Mirror is an upstream that gets a copy of a share of the requests; its
// answers are thrown away.
type Mirror struct {
	Upstream *Upstream
	// Numerator over Denominator is the share that is mirrored.
	Numerator, Denominator uint32
	// KeepHost leaves the host of the copies as it is (Gateway API); else
	// "-shadow" is appended unless HostRewrite is set (HTTPProxy).
	KeepHost bool
	// HostRewrite and RequestHeaders change the copies alone.
	HostRewrite    string
	RequestHeaders HeaderPolicy
}

// Retry repeats failed requests.
type Retry struct {
	// On are Envoy's retry_on conditions, in the order of the object.
	On            []string
	Count         uint32
	PerTryTimeout time.Duration // 0: the route's timeout
	StatusCodes   []uint32
	// Backoff before the first retry; 0 is Envoy's default of 25 ms.
	Backoff time.Duration
}

// CORS answers cross-origin requests (WHATWG Fetch, 3.2).
type CORS struct {
	// Origins that are allowed: exact, or with one asterisk for any text.
	Origins     []string
	Credentials bool
	// Methods and Headers for preflights; "*" is any.
	Methods, Headers, Expose []string
	MaxAge                   time.Duration
}

// PathRewrite changes the path before the request is forwarded. Exactly one of
// the fields is used: Prefix when HasPrefix, else Full, else Regex.
type PathRewrite struct {
	// HasPrefix replaces the matched prefix by Prefix (which may be empty).
	HasPrefix bool
	Prefix    string
	// Full replaces the whole path.
	Full string
	// Regex and Substitution are RE2 pattern and replacement.
	Regex, Substitution string
}

// HashPolicy is one part of the hash of consistent load balancing. Exactly one
// of Header, Query, SourceIP and Cookie is set.
type HashPolicy struct {
	Header, Query string
	SourceIP      bool
	Cookie        string
	// CookieTTL of 0 makes a session cookie. Path is the cookie's path.
	CookieTTL  time.Duration
	CookiePath string
	Terminal   bool
}

// Redirect answers with a redirection.
type Redirect struct {
	Scheme, Host string
	Port         uint32 // 0 keeps
	StatusCode   uint32 // 301, 302, 303, 307 or 308
	// Path replaces the whole path; HasPrefix replaces the matched prefix.
	Path      string
	HasPrefix bool
	Prefix    string
	// HTTPS is the plain redirect to https of a TLS host.
	HTTPS bool
}

// DirectResponse answers from Envoy itself.
type DirectResponse struct {
	StatusCode uint32
	Body       string
}

// HeaderPolicy changes headers. Set replaces, Add appends; a name is in at
// most one of the lists. Names are canonical ("X-Foo"). Values are Envoy
// format strings: a literal per cent sign is doubled.
type HeaderPolicy struct {
	Set, Add []Header
	Remove   []string
}

// Header is one header field.
type Header struct{ Name, Value string }
