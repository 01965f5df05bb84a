package gateways

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// Stage is the Gateway with its backends.
type Stage struct {
	// site is where the Gateway answers.
	site      estate.Site
	manifests Manifests
	// address of the backends, without a port.
	address  string
	backends map[string]*backend.Backend
	// front signs the listener's certificates; each backend's is by the authority
	// of its name in ca.
	front *pki.Authority
	ca    map[string]*pki.Authority

	mu sync.Mutex
	// serials are those of the listener's certificates, by version.
	serials []string
}

// Names of the backends, which are those of their Services too.
const (
	still  = "still"
	first  = "first"
	second = "second"
	bare   = "bare"
	named  = "named"
	common = "common"
	onlyA  = "only-a"
	onlyB  = "only-b"
)

// signers are the backends with the authority that signs for each.
var signers = map[string]string{
	still: "x", first: "a", second: "b", bare: "x", named: "x", common: "x", onlyA: "a", onlyB: "b",
}

// name is the DNS name in the certificate of a backend; the backend named has
// the other one too.
func name(of string) string { return of + ".internal" }

const otherName = "other.internal"

// host of the routes of a kind of change.
func host(of string) string { return of + ".gateway.test" }

// Manifests is where Signet reads them from, each under a name.
type Manifests interface {
	// Write replaces a manifest, or makes it. It returns the time from which on
	// the change counts.
	Write(name, content string) (time.Time, error)
	// Remove removes a manifest that was written, and returns the same.
	Remove(name string) (time.Time, error)
}

// New starts the backends of a Gateway that is served by the Signet of a folder,
// on free ports of loopback. It must be closed even if there is an error.
func New(folder string) (*Stage, error) {
	return NewAt("127.0.0.1", &estate.Site{Folder: folder})
}

// NewAt does so for any manifests; the backends listen on free ports of the IP
// address.
func NewAt(address string, manifests Manifests) (*Stage, error) {
	s := &Stage{backends: map[string]*backend.Backend{}, ca: map[string]*pki.Authority{}, address: address, manifests: manifests}
	var err error
	if s.front, err = pki.NewAuthority("front"); err != nil {
		return s, fmt.Errorf("authority: %w", err)
	}
	s.site.Roots = s.front.Pool()
	for _, cn := range []string{"x", "a", "b"} {
		if s.ca[cn], err = pki.NewAuthority("CA " + cn); err != nil {
			return s, fmt.Errorf("authority: %w", err)
		}
	}
	for service, signer := range signers {
		if err := s.serve(service, signer); err != nil {
			return s, err
		}
	}
	s.site.HTTP, err = freeport.Address()
	if err == nil {
		s.site.HTTPS, err = freeport.Address()
	}
	if err == nil {
		s.site.Open()
	}
	return s, err
}

func (s *Stage) serve(service, signer string) error {
	pair, err := s.ca[signer].Issue(pki.Leaf{DNS: []string{name(service), otherName}})
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	// A bundle counts for handshakes: what it rules has one for each request.
	rotates := service == common || service == onlyA || service == onlyB
	s.backends[service], err = backend.Start(backend.Config{
		Name: service, Address: net.JoinHostPort(s.address, "0"), Certificate: &pair.TLS,
		Protocols: []string{"http/1.1"}, CloseEach: rotates, Keep: backend.None,
	})
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	return nil
}

// Close ends the backends.
func (s *Stage) Close() {
	for _, b := range s.backends {
		if b != nil {
			b.Close()
		}
	}
	if s.site.HTTPS != "" {
		s.site.Close()
	}
}

// HTTP is the address of the Gateway's listener for HTTP.
func (s *Stage) HTTP() string { return s.site.HTTP }

// Names of the Gateway, in the namespace default, and of its class.
const (
	GatewayName = "gateways"
	ClassName   = "signet"
)

// Files are the manifests that all kinds of change need, by file.
func (s *Stage) Files() (map[string]string, error) {
	front, _, err := s.certificate()
	if err != nil {
		return nil, err
	}
	plain, secure, err := ports(s.site.HTTP, s.site.HTTPS)
	if err != nil {
		return nil, err
	}
	services := make([]string, 0, len(s.backends))
	for service, b := range s.backends {
		services = append(services, world.Service("default", service, 443, nil, b))
	}
	files := map[string]string{
		"gateway": world.All(`apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: `+ClassName+`}
spec: {controllerName: signetproxy.io/gateway-controller}
`, fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: `+GatewayName+`, namespace: default}
spec:
  gatewayClassName: `+ClassName+`
  listeners:
  - {name: http, port: %s, protocol: HTTP}
  - {name: https, port: %s, protocol: HTTPS, tls: {certificateRefs: [{name: gateway-certificate}]}}
`, plain, secure)),
		"gateway-certificate": front,
		"gateway-services":    world.All(services...),
		"gateway-trust": world.All(
			s.bundle("trust-x", "x"), s.bundle("trust-a", "a"), s.bundle("trust-b", "b"),
			s.bundle("trust-even", "x", "a"), s.bundle("trust-odd", "x", "b")),
		"gateway-turning": s.bundle("trust-turning", "x", "a"),
		"gateway-policies": world.All(policy(still, name(still), "trust-x", still), policy(first, name(first), "trust-a", first),
			policy(second, name(second), "trust-b", second)),
		// Changed later: but for bare, no backend is ever without a policy.
		"gateway-policy-named":   policy(named, name(named), "trust-x", named),
		"gateway-policy-bundles": policy("bundles", otherName, "trust-even", common, onlyA, onlyB),
		"gateway-still":          route(still, forward("", "", still)),
		"gateway-bare":           route(bare, forward("", "", bare)),
		"gateway-named":          route(named, forward("", "", named)),
		"gateway-bundles":        route("bundles", forward("/common", "", common), forward("/a", "", onlyA), forward("/b", "", onlyB)),
	}
	return files, nil
}

func ports(addresses ...string) (plain, secure string, err error) {
	_, plain, errPlain := net.SplitHostPort(addresses[0])
	_, secure, errSecure := net.SplitHostPort(addresses[1])
	return plain, secure, errors.Join(errPlain, errSecure)
}

// certificate is a new certificate of the listener, as its Secret, and its
// serial number.
func (s *Stage) certificate() (doc, serial string, err error) {
	p, err := s.front.Issue(pki.Leaf{DNS: []string{host(still)}})
	if err != nil {
		return "", "", fmt.Errorf("certificate of the listener: %w", err)
	}
	return estate.KeyPair("default", "gateway-certificate", p), p.Leaf().SerialNumber.String(), nil
}

// bundle is a ConfigMap with the certificates of authorities.
func (s *Stage) bundle(name string, authorities ...string) string {
	var all strings.Builder
	for _, cn := range authorities {
		all.Write(s.ca[cn].PEM())
	}
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\ndata:\n  ca.crt: |\n    %s\n",
		name, strings.ReplaceAll(strings.TrimSpace(all.String()), "\n", "\n    "))
}

// policy is a BackendTLSPolicy for Services, which trusts a ConfigMap.
func policy(object, hostname, trust string, services ...string) string {
	targets := make([]string, len(services))
	for i, service := range services {
		targets[i] = fmt.Sprintf(`{group: "", kind: Service, name: %s}`, service)
	}
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: %s, namespace: default}
spec:
  targetRefs: [%s]
  validation: {hostname: %s, caCertificateRefs: [{group: "", kind: ConfigMap, name: %s}]}
`, object, strings.Join(targets, ", "), hostname, trust)
}

// route is an HTTPRoute for the host of that name, on both listeners.
func route(object string, rules ...string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: default}
spec:
  parentRefs: [{name: `+GatewayName+`}]
  hostnames: [%s]
  rules:
  - %s
`, object, host(object), strings.Join(rules, "\n  - "))
}

// forward is a rule for a path and a header, either empty for any; a version,
// if there is one, is put into its answers.
func forward(path, header, service string, version ...int) string {
	match := fmt.Sprintf("path: {value: %q}", "/"+strings.TrimPrefix(path, "/"))
	if header != "" {
		match += fmt.Sprintf(", headers: [{name: %s, value: set}]", header)
	}
	filters := ""
	for _, v := range version {
		filters = fmt.Sprintf("filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Version, value: v%d}]}}], ", v)
	}
	return fmt.Sprintf("{matches: [{%s}], %sbackendRefs: [{name: %s, port: 443}]}", match, filters, service)
}
