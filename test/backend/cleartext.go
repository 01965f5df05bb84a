package backend

import (
	"errors"
	"net"
	"sync/atomic"
)

var errNoName = errors.New("the client sent no server name")

// handshake is the first byte of a TLS handshake record (RFC 8446, 5.1).
const handshake = 22

// Cleartext counts the connections to a TLS backend whose first byte was not
// that of a TLS handshake.
func (b *Backend) Cleartext() int64 { return b.cleartext.Load() }

// Nameless counts the handshakes with a TLS backend that had no server name.
func (b *Backend) Nameless() int64 { return b.nameless.Load() }

// watched is a listener whose connections' first bytes are looked at.
type watched struct {
	net.Listener

	backend *Backend
}

// Accept implements net.Listener.
func (w *watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &first{Conn: c, backend: w.backend}, nil
}

// first looks at the first bytes of a connection.
type first struct {
	net.Conn

	backend *Backend
	seen    atomic.Bool
}

// Read implements net.Conn.
func (c *first) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.seen.Swap(true) && p[0] != handshake {
		c.backend.cleartext.Add(1)
	}
	return n, err
}
