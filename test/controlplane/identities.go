package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// The files of a folder of identities.
const (
	serverFile = "server.pem" // certificate and key
	trustFile  = "trust.pem"
)

// Identities hold the authority, the server's certificate and those of the
// fleets, for the processes on both sides. They change only when told to.
// provisioner/host takes them as its Identities.
type Identities struct {
	dir    string
	policy certificate.Policy

	mu      sync.Mutex
	state   certificate.State
	changed chan struct{}
}

// NewIdentities makes an authority and a server's certificate, and keeps what
// the server needs in a folder of mode 0700.
func NewIdentities(dir string) (*Identities, error) {
	i := &Identities{dir: dir, policy: certificate.DefaultPolicy(), changed: make(chan struct{})}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.apply(certificate.CreateAuthority, certificate.IssueServer); err != nil {
		return nil, err
	}
	return i, nil
}

// Watch implements host.Identities.
func (i *Identities) Watch(fleet ir.Name) (certificate.Identity, <-chan struct{}, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.state.Identities[fleet] == nil {
		if err := i.issue(fleet); err != nil {
			return certificate.Identity{}, nil, err
		}
	}
	return certificate.Identity{
		Fleet: fleet, ServerName: certificate.ServerName, TrustPEM: i.state.TrustPEM(), KeyPair: i.state.Identities[fleet],
	}, i.changed, nil
}

// ClientTLS returns what a client of the xDS server needs to be of a fleet.
func (i *Identities) ClientTLS(fleet ir.Name) (*tls.Config, error) {
	id, _, err := i.Watch(fleet)
	if err != nil {
		return nil, err
	}
	key, err := id.KeyPair.KeyPEM()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(id.KeyPair.CertificatePEM(), key)
	if err != nil {
		return nil, fmt.Errorf("identity of %s: %w", fleet, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(id.TrustPEM)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: id.ServerName, MinVersion: tls.VersionTLS13}, nil
}

// Rotate issues every certificate anew, by the signing authority.
func (i *Identities) Rotate() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for fleet := range i.state.Identities {
		if err := i.issue(fleet); err != nil {
			return err
		}
	}
	return i.apply(certificate.IssueServer)
}

// RotateAuthority takes the next step of the authority's rotation: a successor
// that is trusted, then one that signs, then the end of the old one's trust.
func (i *Identities) RotateAuthority() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.state.Successor != nil:
		if err := i.apply(certificate.SwitchAuthority, certificate.IssueServer); err != nil {
			return err
		}
		for fleet := range i.state.Identities {
			if err := i.issue(fleet); err != nil {
				return err
			}
		}
		return nil
	case len(i.state.Retired) > 0:
		next, err := certificate.Apply(i.state, certificate.Action{
			Kind: certificate.DropAuthority, ID: i.state.Retired[0].Fingerprint(),
		}, time.Now(), i.policy)
		if err != nil {
			return err
		}
		return i.publish(next)
	}
	return i.apply(certificate.CreateAuthority)
}

// The lock is held by all below.

func (i *Identities) issue(fleet ir.Name) error {
	next, err := certificate.Apply(i.state, certificate.Action{Kind: certificate.IssueIdentity, Fleet: fleet}, time.Now(), i.policy)
	if err != nil {
		return err
	}
	return i.publish(next)
}

func (i *Identities) apply(kinds ...certificate.Kind) error {
	next := i.state
	for _, kind := range kinds {
		var err error
		if next, err = certificate.Apply(next, certificate.Action{Kind: kind}, time.Now(), i.policy); err != nil {
			return err
		}
	}
	return i.publish(next)
}

// publish writes the files and wakes the watchers. Trust goes first.
func (i *Identities) publish(s certificate.State) error {
	if err := writeFile(i.dir, trustFile, s.TrustPEM()); err != nil {
		return err
	}
	key, err := s.Server.KeyPEM()
	if err != nil {
		return err
	}
	if err := writeFile(i.dir, serverFile, append(s.Server.CertificatePEM(), key...)); err != nil {
		return err
	}
	i.state = s
	close(i.changed)
	i.changed = make(chan struct{})
	return nil
}

func writeFile(dir, name string, content []byte) error {
	temp, err := os.CreateTemp(dir, ".new-") // mode 0600
	if err != nil {
		return fmt.Errorf("identity file: %w", err)
	}
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("identity file: %w", err)
	}
	return nil
}
