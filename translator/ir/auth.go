package ir

// ExternalAuth asks a server whether a request may go on. One that it does not
// let through gets the server's own answer; where there is none, or one of 5xx,
// the request is answered 503.
type ExternalAuth struct {
	Upstream *Upstream
	// HTTP is nil for a server that speaks gRPC, by Envoy's protocol
	// (envoy.service.auth.v3.Authorization).
	HTTP *HTTPAuth
	// RequestHeaders are the names of those of the client's header fields that
	// the server gets, in lower case. Without any a gRPC server gets all, an HTTP
	// server Host, Authorization and what makes a request.
	RequestHeaders []string
	// MaxBody is how many bytes of body the server may get; a request with more
	// is answered 413. 0 sends no body.
	MaxBody uint32
}

// HTTPAuth is an authorization server that speaks HTTP: 200 lets a request
// through.
type HTTPAuth struct {
	// PathPrefix stands before the path of each request; "" leaves it. It begins
	// with a slash and does not end with one.
	PathPrefix string
	// Copied are the names of those of the answer's header fields that the
	// request goes on with, in lower case. Without any it goes on with all but
	// those that are about the answer itself.
	Copied []string
}

// MessageFields are the header fields, in lower case, that belong to the message
// that they stand in (RFC 9110, 7.2, 7.6.1 and 8.6): none of them is copied
// from one message to another.
func MessageFields() []string {
	return []string{
		"connection", "content-length", "host", "keep-alive", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade",
	}
}
