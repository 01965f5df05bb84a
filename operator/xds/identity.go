package xds

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/signetproxy/signet/translator/ir"
)

// identity is who is at the far end of a stream, by its verified certificate.
type identity struct {
	fleet      ir.Name
	uri        string
	address    string
	connection *connection
}

// identify reads the one URI name of the verified client certificate, which was
// valid when the connection began and must still be.
func identify(ctx context.Context, parse func(*url.URL) (ir.Name, error)) (identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity{}, errNotVerified
	}
	info, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return identity{}, errNotVerified
	}
	conn := info.connection
	if !time.Now().Before(conn.expires) {
		conn.retire()
		return identity{}, fmt.Errorf("the client certificate has expired at %s", conn.expires.Format(time.RFC3339))
	}
	leaf := conn.chain[0]
	if len(leaf.URIs) != 1 {
		return identity{}, fmt.Errorf("the client certificate has %d URI names: it must have exactly one, that of its fleet", len(leaf.URIs))
	}
	fleet, err := parse(leaf.URIs[0])
	if err != nil {
		return identity{}, fmt.Errorf("the URI name of the client certificate: %w", err)
	}
	return identity{fleet: fleet, uri: leaf.URIs[0].String(), address: p.Addr.String(), connection: conn}, nil
}

// strict returns a configuration that accepts nothing below the rules of this
// server, whatever the given one and those that it makes per client say.
func strict(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.MaxVersion = 0
	c.ClientAuth = tls.RequireAndVerifyClientCert
	// A resumed session would outlive a change of the trusted authorities.
	c.SessionTicketsDisabled = true
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			return strict(chosen), nil
		}
	}
	return c
}
