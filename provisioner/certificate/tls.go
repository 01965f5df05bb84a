package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/signetproxy/signet/translator/ir"
)

// ServerTLS returns the TLS settings of the xDS server: TLS 1.3, a certificate
// of a trusted authority required, and that certificate must name one fleet.
// Each handshake uses the newest certificates, so a rotation needs no restart.
func (k *Keeper) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return k.server.Load(), nil
		},
	}
}

// PeerFleet returns the fleet of the far end of a connection that was accepted
// with [Keeper.ServerTLS].
func PeerFleet(c tls.ConnectionState) (ir.Name, error) {
	if len(c.VerifiedChains) == 0 || len(c.VerifiedChains[0]) == 0 {
		return ir.Name{}, fmt.Errorf("%w: the peer's certificate is not verified", ErrNotFleet)
	}
	return FleetOf(c.VerifiedChains[0][0])
}

func (s State) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range s.Trusted() {
		pool.AddCert(c)
	}
	return pool
}

func serverConfig(s State, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{s.Server.tls()},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    s.pool(),
		NextProtos:   []string{"h2"},
		Time:         now,
		// A resumed session would skip the check of the client's certificate.
		SessionTicketsDisabled: true,
		VerifyConnection: func(c tls.ConnectionState) error {
			_, err := PeerFleet(c)
			return err
		},
	}
}
