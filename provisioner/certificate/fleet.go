package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	// TrustDomain is the SPIFFE trust domain of every fleet identity.
	TrustDomain = "signetproxy.io"
	// ServerName is the DNS name in the xDS server's certificate. It is never
	// resolved: Envoys compare it, wherever the server listens.
	ServerName = "xds.signet.internal"

	fleetPath = "/fleet/"

	// gatewayPrefix sets the fleets of Gateways apart: no object has a slash in
	// its name.
	gatewayPrefix = "gateway/"
)

// GatewayFleet is the name of the fleet of a Gateway. An EnvoyFleet has the
// fleet of its own name, and never that of a Gateway.
func GatewayFleet(gateway ir.Name) ir.Name {
	return ir.Name{Namespace: gateway.Namespace, Name: gatewayPrefix + gateway.Name}
}

// GatewayOf is the Gateway of a fleet; false for another fleet.
func GatewayOf(fleet ir.Name) (ir.Name, bool) {
	name, ok := strings.CutPrefix(fleet.Name, gatewayPrefix)
	return ir.Name{Namespace: fleet.Namespace, Name: name}, ok
}

// ErrNotFleet says that a URI or a certificate does not name a fleet.
var ErrNotFleet = errors.New("not a fleet identity")

// The forms that Kubernetes gives to namespaces (RFC 1123 label) and to object
// names (RFC 1123 subdomain).
var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

const maxSubdomain = 253

// FleetURI returns the identity of a fleet,
// "spiffe://signetproxy.io/fleet/<namespace>/<name>" for an EnvoyFleet's and
// "spiffe://signetproxy.io/fleet/<namespace>/gateway/<name>" for a Gateway's.
func FleetURI(fleet ir.Name) string {
	return "spiffe://" + TrustDomain + fleetPath + fleet.Namespace + "/" + fleet.Name
}

// ParseFleetURI is the inverse of [FleetURI]. It accepts exactly what FleetURI
// makes of a valid namespace and name: no other scheme, host, port, user,
// query, fragment, escape or spelling. Its errors are [ErrNotFleet].
func ParseFleetURI(u *url.URL) (ir.Name, error) {
	if u == nil {
		return ir.Name{}, fmt.Errorf("%w: no URI", ErrNotFleet)
	}
	rest, ok := strings.CutPrefix(u.Path, fleetPath)
	namespace, name, both := strings.Cut(rest, "/")
	fleet := ir.Name{Namespace: namespace, Name: name}
	if !ok || !both || u.String() != FleetURI(fleet) {
		return ir.Name{}, fmt.Errorf("%w: URI %q is not of the form %q", ErrNotFleet, u.Redacted(),
			FleetURI(ir.Name{Namespace: "<namespace>", Name: "<name>"}))
	}
	if err := checkFleet(fleet); err != nil {
		return ir.Name{}, err
	}
	return fleet, nil
}

func checkFleet(fleet ir.Name) error {
	if !label.MatchString(fleet.Namespace) {
		return fmt.Errorf("%w: namespace %q is not a DNS label", ErrNotFleet, fleet.Namespace)
	}
	name := strings.TrimPrefix(fleet.Name, gatewayPrefix)
	if len(name) > maxSubdomain || !subdomain.MatchString(name) {
		return fmt.Errorf("%w: name %q is not a DNS subdomain", ErrNotFleet, fleet.Name)
	}
	return nil
}

// FleetOf returns the fleet that a verified certificate names. A
// certificate with no URI name, or with more than one, names none. It does not
// verify: call it on the leaf of a verified chain.
func FleetOf(leaf *x509.Certificate) (ir.Name, error) {
	if len(leaf.URIs) != 1 {
		return ir.Name{}, fmt.Errorf("%w: certificate %q has %d URI names, want one",
			ErrNotFleet, leaf.Subject.String(), len(leaf.URIs))
	}
	return ParseFleetURI(leaf.URIs[0])
}
