package ir

import "time"

// Session keeps the requests of a client at one endpoint of the one backend, as
// long as it is there. Exactly one of Cookie and Header is set.
type Session struct {
	Cookie *SessionCookie
	// Header is the name of the header field that carries the session, in
	// answers and in the requests that belong to it.
	Header string
}

// SessionCookie is the cookie that carries a session.
type SessionCookie struct {
	Name, Path string
	// Lifetime, in whole seconds, is that of the cookie and of the session; 0 is
	// until the client forgets it.
	Lifetime time.Duration
}
