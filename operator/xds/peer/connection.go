package peer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// The life of a connection. It ends between its soft and its hard end, at the
// first moment at which Envoy owes no answer: so no NACK is lost on the way.
const (
	// ageSpread is the part of the maximum age by which a connection may end
	// early, by chance, so that not all Envoys come back at once.
	ageSpread = 0.2
	// ageGrace is between the soft end by age and the hard one.
	ageGrace = 10 * time.Second
	// expirySpread and expiryGrace are parts of what a certificate has left
	// when its connection begins; its renewal is long done by then.
	expirySpread, expiryGrace = 0.1, 0.05
	// closeAfter bounds the wait for the last frame of a connection that ends.
	closeAfter = time.Second
)

// Connection is a TLS connection that can be ended from within: a stream alone
// would come back on the same connection, with the same certificate.
type Connection struct {
	net.Conn
	Life

	retired atomic.Bool
	chain   []*x509.Certificate // verified; leaf first
}

// Life is when a connection ends.
type Life struct {
	// Expires is when the first certificate of the client's chain does.
	Expires time.Time
	// Soft is when the connection is to end as soon as the client owes no
	// answer, Hard when it ends anyhow.
	Soft, Hard time.Time
	// ByAge says that both are for its age, and not for the certificate.
	ByAge bool
}

// lifeOf a connection that begins now with a verified chain.
func lifeOf(chain []*x509.Certificate, now time.Time, maxAge time.Duration) Life {
	c := Life{Expires: chain[0].NotAfter}
	for _, cert := range chain[1:] {
		if cert.NotAfter.Before(c.Expires) {
			c.Expires = cert.NotAfter
		}
	}
	part := func(d time.Duration, share float64) time.Duration { return time.Duration(share * float64(d)) }
	chance := rand.Float64() //nolint:gosec // spreads load; nothing secret depends on it
	left := c.Expires.Sub(now)
	c.Soft, c.Hard = c.Expires.Add(-part(left, expiryGrace+chance*expirySpread)), c.Expires
	if aged := now.Add(part(maxAge, 1-chance*ageSpread)); aged.Before(c.Soft) {
		c.Soft, c.Hard, c.ByAge = aged, aged.Add(ageGrace), true
		if c.Expires.Before(c.Hard) {
			c.Hard = c.Expires
		}
	}
	return c
}

// Retire closes the connection behind the next frame, which is the end of the
// stream.
func (c *Connection) Retire() {
	if c.retired.Swap(true) {
		return
	}
	time.AfterFunc(closeAfter, c.end)
}

// Limit ends a connection whose stream cannot end by itself, since its Envoy
// reads nothing.
func (c *Connection) Limit() *time.Timer {
	last := c.Hard.Add(closeAfter)
	if c.Expires.Before(last) {
		last = c.Expires
	}
	return time.AfterFunc(time.Until(last), c.end)
}

// Retired says whether the connection is at its end: no stream may begin on it.
func (c *Connection) Retired() bool { return c.retired.Load() }

// Write implements net.Conn.
func (c *Connection) Write(b []byte) (int, error) {
	last := c.retired.Load()
	n, err := c.Conn.Write(b)
	if last {
		c.end()
	}
	return n, err //nolint:wrapcheck // gRPC looks into it
}

// end closes the connection; it may be closed already.
func (c *Connection) end() { _ = c.Close() }

// Trusted returns an error when the client's certificate leads to none of the
// authorities.
func (c *Connection) Trusted(roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, cert := range c.chain[1:] {
		between.AddCert(cert)
	}
	_, err := c.chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("the client certificate: %w", err)
	}
	return nil
}

// Credentials return the transport of a server: TLS as conf says, but never
// below TLS 1.3 with a verified client certificate. A connection lives for
// maxAge at most, and never longer than that certificate. [Identify] reads what
// it makes.
func Credentials(conf *tls.Config, maxAge time.Duration) credentials.TransportCredentials {
	return handshaker{credentials.NewTLS(strict(conf)), maxAge}
}

// handshaker is TLS that keeps hold of its connections.
type handshaker struct {
	credentials.TransportCredentials
	maxAge time.Duration
}

// peerInfo is what a handler knows of its connection.
type peerInfo struct {
	credentials.TLSInfo
	connection *Connection
}

var errNotVerified = errors.New("the connection has no verified client certificate")

// ServerHandshake implements credentials.TransportCredentials.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // gRPC looks into it
	}
	secure, ok := info.(credentials.TLSInfo)
	if !ok || len(secure.State.VerifiedChains) == 0 || len(secure.State.VerifiedChains[0]) == 0 {
		return nil, nil, errors.Join(errNotVerified, conn.Close())
	}
	chain := secure.State.VerifiedChains[0]
	c := &Connection{Conn: conn, Life: lifeOf(chain, time.Now(), h.maxAge), chain: chain}
	return c, peerInfo{TLSInfo: secure, connection: c}, nil
}

// Clone implements credentials.TransportCredentials.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone(), h.maxAge}
}
