package estate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/signetproxy/signet/test/load"
)

// Site is a running Signet: its folder and where it answers.
type Site struct {
	Folder      string
	HTTP, HTTPS string
	// Roots sign the certificates of HTTPS hosts.
	Roots *x509.CertPool

	client *load.Client
}

// Open makes the site ready to be asked; Close ends that.
func (s *Site) Open() {
	s.client = load.NewClient(load.Config{HTTP: s.HTTP, HTTPS: s.HTTPS, Roots: s.Roots})
}

// Close closes the connections of Ask.
func (s *Site) Close() { s.client.Close() }

// Write replaces a manifest by a rename, as an editor does, and returns the
// time just before it.
func (s *Site) Write(name, content string) (time.Time, error) {
	temp := filepath.Join(s.Folder, "."+name+".tmp")
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		return time.Time{}, fmt.Errorf("manifest: %w", err)
	}
	at := time.Now()
	if err := os.Rename(temp, s.path(name)); err != nil {
		return time.Time{}, fmt.Errorf("manifest: %w", err)
	}
	return at, nil
}

// Remove deletes a manifest and returns the time just before it.
func (s *Site) Remove(name string) (time.Time, error) {
	at := time.Now()
	if err := os.Remove(s.path(name)); err != nil {
		return time.Time{}, fmt.Errorf("manifest: %w", err)
	}
	return at, nil
}

func (s *Site) path(name string) string { return filepath.Join(s.Folder, name+".yaml") }

// Ask sends one request over a kept connection.
func (s *Site) Ask(r load.Request) *load.Outcome { return s.client.Do(r) }

// Load is a load's configuration for the site, without requests.
func (s *Site) Load(rate float64) load.Config {
	return load.Config{Rate: rate, HTTP: s.HTTP, HTTPS: s.HTTPS, Roots: s.Roots}
}

// Handshake makes a TLS handshake for a host and returns the leaf it was shown.
func (s *Site) Handshake(host string) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", s.HTTPS, &tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, fmt.Errorf("handshake for %s: %w", host, err)
	}
	leaf := c.ConnectionState().PeerCertificates[0]
	if err := c.Close(); err != nil {
		return nil, fmt.Errorf("handshake for %s: %w", host, err)
	}
	return leaf, nil
}

// Until asks in a loop until an answer is new, and returns when it had come.
// fresh says whether an answer is; its error is that of an answer that is
// neither the old nor the new one.
func Until(ask func() (fresh bool, err error)) (time.Time, error) {
	for began := time.Now(); time.Since(began) < patience; {
		fresh, err := ask()
		if err != nil {
			return time.Time{}, err
		}
		if fresh {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("not in traffic after %s", patience)
}

// patience is how long a change may take before it counts as lost.
const patience = 20 * time.Second

// Served returns an ask for Until: the request's answer has the wanted code,
// and until then any other. It is for hosts that are being set up.
func (s *Site) Served(host string, tls bool) func() (bool, error) {
	return func() (bool, error) {
		o := s.Ask(load.Request{Host: host, TLS: tls, Fresh: tls})
		return o.Err == nil && o.Code == http.StatusOK, nil
	}
}
