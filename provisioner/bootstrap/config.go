package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/signetproxy/signet/translator/ir"
)

// Config is what differs from one Envoy to another.
type Config struct {
	// Fleet becomes the node's cluster. It is for people: the control plane
	// believes the client certificate alone.
	Fleet ir.Name
	// NodeID names this Envoy among those of its fleet.
	NodeID string
	// XDSAddress is "host:port" of the control plane; a host that is not an IP
	// address is resolved by DNS.
	XDSAddress string
	// ServerName is the one DNS name to accept in the server's certificate.
	ServerName string
	// CertificateFolder is the absolute path of the folder that holds
	// [IdentityFile] and [TrustFile]. It is watched for renames.
	CertificateFolder string
	// AdminSocket is the path of the admin interface's unix socket, made with
	// mode 0600; empty for no admin interface.
	AdminSocket string
	// StatusAddress and StatusPort are the IP address and TCP port that answer
	// [StatusPaths]; port 0 is none. They need AdminSocket.
	StatusAddress string
	StatusPort    uint32
	// MaxHeapBytes is where Envoy refuses requests to save memory; 0 is never.
	MaxHeapBytes uint64
	// MaxConnections bounds downstream connections; 0 is
	// [DefaultMaxConnections].
	MaxConnections uint64
}

const (
	// IdentityFile is the SDS file of the client certificate.
	IdentityFile = "identity.json"
	// TrustFile is the SDS file of the server's authorities.
	TrustFile = "trust.json"

	// ServerCluster is the name of the control plane's cluster.
	ServerCluster = "xds"

	// DefaultMaxConnections is the bound on downstream connections where none
	// is given: Envoy itself has no bound and would run out of descriptors.
	DefaultMaxConnections = 50_000

	// maxSocketPath is the shortest limit of a unix socket's path among the
	// systems Envoy runs on, without the closing NUL.
	maxSocketPath = 103
)

// ErrConfig says that a [Config] cannot be rendered.
var ErrConfig = errors.New("bootstrap config")

func (c Config) check() (host string, port uint32, err error) {
	for _, f := range []struct{ name, value string }{
		{"Fleet.Namespace", c.Fleet.Namespace},
		{"Fleet.Name", c.Fleet.Name},
		{"NodeID", c.NodeID},
		{"ServerName", c.ServerName},
	} {
		if f.value == "" {
			return "", 0, fmt.Errorf("%w: %s is empty: set it", ErrConfig, f.name)
		}
	}
	if !filepath.IsAbs(c.CertificateFolder) {
		return "", 0, fmt.Errorf("%w: CertificateFolder is %q: give an absolute path", ErrConfig, c.CertificateFolder)
	}
	if c.AdminSocket != "" && (!filepath.IsAbs(c.AdminSocket) || len(c.AdminSocket) > maxSocketPath) {
		return "", 0, fmt.Errorf("%w: AdminSocket is %q: give an absolute path of at most %d bytes",
			ErrConfig, c.AdminSocket, maxSocketPath)
	}
	if err := c.checkStatus(); err != nil {
		return "", 0, err
	}
	host, text, err := net.SplitHostPort(c.XDSAddress)
	if err != nil {
		return "", 0, fmt.Errorf("%w: XDSAddress: %w", ErrConfig, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("%w: XDSAddress is %q: give host:port with a port from 1 to 65535",
			ErrConfig, c.XDSAddress)
	}
	return host, uint32(n), nil
}

func (c Config) checkStatus() error {
	switch {
	case c.StatusPort == 0:
		return nil
	case c.AdminSocket == "":
		return fmt.Errorf("%w: StatusPort is %d and AdminSocket is empty: give the socket that answers", ErrConfig, c.StatusPort)
	case c.StatusPort > 65535 || net.ParseIP(c.StatusAddress) == nil:
		return fmt.Errorf("%w: StatusAddress and StatusPort are %q and %d: give an IP address and a port from 1 to 65535",
			ErrConfig, c.StatusAddress, c.StatusPort)
	}
	return nil
}
