package xds

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// certificate is the secret of an HTTPS host.
func (s *site) certificate(host string) *envoy.Resource {
	s.t.Helper()
	pair, err := s.ca.Issue(pki.Leaf{DNS: []string{host}})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.ok(envoy.CertificateSecret(host, &ir.KeyPair{Chain: pair.CertPEM, Key: pair.KeyPEM}))
}

// handshake returns the error of a handshake with any bytes as the server name.
func handshake(ctx context.Context, address, name string) error {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // it is closed below too
	defer stop()
	c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	// With TLS 1.3 the server's refusal comes behind the handshake.
	return c.CloseWrite()
}

// A client says any bytes as its server name: Envoy asks for them, and is served
// on.
func TestEnvoyAsksForANameThatIsNotUTF8(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	h.publish(1, join(s.listener("https"), list(s.certificate("shop.test"))))
	p := h.envoy(t, edge)
	before := h.acknowledged(t, 1)
	address := p.address("https")

	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error, 1)
	go func() { hung <- handshake(ctx, address, "\xff.shop.test") }()
	got := h.until(t, "the name is ignored", func(s StreamState) bool { return s.Ignored > 0 })
	cancel()
	if err := <-hung; err == nil {
		t.Error("a name of no host is handshaken")
	}
	if err := handshake(t.Context(), address, "shop.test"); err != nil {
		t.Errorf("another host: %v", err)
	}
	if got.Since != before.Since || h.counters.ended.request.Load() != 0 {
		t.Error("the stream was ended")
	}
}
