package xds

import (
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

// connection is a TLS connection that can be ended from within: a stream alone
// would come back on the same connection, with the same certificate.
type connection struct {
	net.Conn
	retired atomic.Bool

	chain   []*x509.Certificate // verified; leaf first
	expires time.Time           // when the first of the chain does
	soft    time.Time
	hard    time.Time
	byAge   bool // what soft and hard are for
}

// begin sets the life of the connection of a verified chain.
func (c *connection) begin(chain []*x509.Certificate, now time.Time, maxAge time.Duration) {
	c.chain, c.expires = chain, chain[0].NotAfter
	for _, cert := range chain[1:] {
		if cert.NotAfter.Before(c.expires) {
			c.expires = cert.NotAfter
		}
	}
	part := func(d time.Duration, share float64) time.Duration { return time.Duration(share * float64(d)) }
	chance := rand.Float64() //nolint:gosec // spreads load; nothing secret depends on it
	left := c.expires.Sub(now)
	c.soft, c.hard = c.expires.Add(-part(left, expiryGrace+chance*expirySpread)), c.expires
	if aged := now.Add(part(maxAge, 1-chance*ageSpread)); aged.Before(c.soft) {
		c.soft, c.hard, c.byAge = aged, aged.Add(ageGrace), true
		if c.expires.Before(c.hard) {
			c.hard = c.expires
		}
	}
}

// retire closes the connection behind the next frame, which is the end of the
// stream.
func (c *connection) retire() {
	if c.retired.Swap(true) {
		return
	}
	time.AfterFunc(closeAfter, c.end)
}

// limit ends a connection whose stream cannot end by itself, since its Envoy
// reads nothing.
func (c *connection) limit() *time.Timer {
	last := c.hard.Add(closeAfter)
	if c.expires.Before(last) {
		last = c.expires
	}
	return time.AfterFunc(time.Until(last), c.end)
}

// Write implements net.Conn.
func (c *connection) Write(b []byte) (int, error) {
	last := c.retired.Load()
	n, err := c.Conn.Write(b)
	if last {
		c.end()
	}
	return n, err //nolint:wrapcheck // gRPC looks into it
}

// end closes the connection; it may be closed already.
func (c *connection) end() { _ = c.Close() }

// trusted says whether the client's certificate leads to one of the
// authorities.
func (c *connection) trusted(roots *x509.CertPool) error {
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

// handshaker is TLS that keeps hold of its connections.
type handshaker struct {
	credentials.TransportCredentials
	maxAge time.Duration
}

// peerInfo is what a handler knows of its connection.
type peerInfo struct {
	credentials.TLSInfo
	connection *connection
}

var errNotVerified = errors.New("the connection has no verified client certificate")

// ServerHandshake implements credentials.TransportCredentials.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // gRPC looks into it
	}
	tls, ok := info.(credentials.TLSInfo)
	if !ok || len(tls.State.VerifiedChains) == 0 || len(tls.State.VerifiedChains[0]) == 0 {
		return nil, nil, errors.Join(errNotVerified, conn.Close())
	}
	c := &connection{Conn: conn}
	c.begin(tls.State.VerifiedChains[0], time.Now(), h.maxAge)
	return c, peerInfo{TLSInfo: tls, connection: c}, nil
}

// Clone implements credentials.TransportCredentials.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone(), h.maxAge}
}
