package estate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// Subject is the name in the certificates of the backends.
const Subject = "backend.example"

// Domain is the domain of all hosts.
const Domain = "traffic.test"

// SharedService is a Service, on the port 443, that every host of an estate
// with Options.Shared has a route to, below SharedPath.
const (
	SharedService = "shared"
	SharedPath    = "/shared"
)

// Options of an estate.
type Options struct {
	// Binary is the path of signet.
	Binary string
	Hosts  int
	// Shared gives each host a second route, to SharedService.
	Shared bool
	// Progress is told what happens; it must not be nil.
	Progress io.Writer
}

// Estate is a folder of hosts, its backends, and its signet.
type Estate struct {
	Site
	Options

	CA *pki.Authority
	// Backends "a" and "b" serve with a certificate for Subject; every host
	// begins with a.
	Backends [2]*backend.Backend
	Process

	// dir holds the folder and the log.
	dir string
}

// New makes the folder and the backends. Manifests may be added before Start.
// The estate must be closed even if there is an error.
func New(o Options) (*Estate, error) {
	dir, err := os.MkdirTemp("", "signet-traffic-")
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	e := &Estate{Options: o, dir: dir}
	e.Folder = filepath.Join(dir, "manifests")
	if err := os.Mkdir(e.Folder, 0o700); err != nil {
		return e, fmt.Errorf("folder: %w", err)
	}
	if e.HTTP, err = freeport.Address(); err != nil {
		return e, err
	}
	if e.HTTPS, err = freeport.Address(); err != nil {
		return e, err
	}
	err = e.prepare()
	return e, err
}

// Host is the name of host i.
func Host(i int) string { return fmt.Sprintf("h%d.%s", i, Domain) }

// IsTLS tells whether host i is an HTTPS host.
func IsTLS(i int) bool { return i%2 == 1 }

// ServiceName is the name of the Service of host i.
func ServiceName(i int) string { return fmt.Sprintf("s%d", i) }

// ProxyFile and SliceFile are the names of the manifests of host i.
func ProxyFile(i int) string { return fmt.Sprintf("proxy-%d", i) }

// SliceFile is the name of the manifest of host i's endpoints.
func SliceFile(i int) string { return fmt.Sprintf("slice-%d", i) }

func (e *Estate) prepare() error {
	var err error
	if e.CA, err = pki.NewAuthority("CA"); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	e.Roots = e.CA.Pool()
	pair, err := e.CA.Issue(pki.Leaf{DNS: []string{Subject}})
	if err != nil {
		return fmt.Errorf("backend certificate: %w", err)
	}
	for i, name := range []string{"a", "b"} {
		e.Backends[i], err = backend.Start(backend.Config{Name: name, Certificate: &pair.TLS, Keep: backend.None})
		if err != nil {
			return fmt.Errorf("backend: %w", err)
		}
	}
	if err := e.Put("ca", world.CA("default", "ca", e.CA.PEM())); err != nil {
		return err
	}
	if err := e.Put(SharedService, e.SharedManifest("tls", "v0")); err != nil {
		return err
	}
	return e.putHosts()
}

// SharedManifest is the manifest SharedService: the Service, with the protocol
// that it asks for, tls or h2, and a note of Contour's that changes nothing, but
// makes it be read.
func (e *Estate) SharedManifest(protocol, note string) string {
	return world.Service("default", SharedService, 443, map[string]string{
		"projectcontour.io/upstream-protocol." + protocol: "443", "projectcontour.io/traffic-test": note,
	}, e.Backends[0])
}

// bulk is how many Services and Secrets, which are not edited, are in one file.
const bulk = 500

func (e *Estate) putHosts() error {
	var docs []string
	for i := range e.Hosts {
		docs = append(docs, world.Service("default", ServiceName(i), 443, nil))
		if IsTLS(i) {
			doc, _, err := e.Certificate(fmt.Sprintf("h%d", i), Host(i))
			if err != nil {
				return err
			}
			docs = append(docs, doc)
		}
		if err := e.Put(SliceFile(i), world.Endpoints("default", ServiceName(i), e.Backends[0])); err != nil {
			return err
		}
		if err := e.Put(ProxyFile(i), e.Proxy(i, "v0")); err != nil {
			return err
		}
		if (i+1)%bulk == 0 || i+1 == e.Hosts {
			if err := e.Put(fmt.Sprintf("bulk-%d", i/bulk), world.All(docs...)); err != nil {
				return err
			}
			docs = nil
		}
	}
	return nil
}

// Put writes a manifest without a rename: for what is there before Start.
func (e *Estate) Put(name, content string) error {
	if err := os.WriteFile(e.path(name), []byte(content), 0o600); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// Certificate issues a serving certificate for a host and returns its Secret.
func (e *Estate) Certificate(secret, host string) (string, *pki.Pair, error) {
	p, err := e.CA.Issue(pki.Leaf{DNS: []string{host}})
	if err != nil {
		return "", nil, fmt.Errorf("certificate of %s: %w", host, err)
	}
	return KeyPair("default", secret, p), p, nil
}

// KeyPair is the Secret of a key pair.
func KeyPair(namespace, name string, p *pki.Pair) string {
	return world.Secret(namespace, name, "kubernetes.io/tls",
		map[string]string{"tls.crt": string(p.CertPEM), "tls.key": string(p.KeyPEM)})
}

// Proxy is the HTTPProxy of host i; its answers bear the version.
func (e *Estate) Proxy(i int, version string) string {
	routes := []string{world.Route("/", world.Validated(ServiceName(i), 443, "tls", "ca", Subject)) + Version(version)}
	if e.Shared {
		routes = append(routes, world.Route(SharedPath, world.Validated(SharedService, 443, "", "ca", Subject)))
	}
	return Proxy(fmt.Sprintf("p%d", i), Host(i), fmt.Sprintf("h%d", i), IsTLS(i), routes...)
}

// Version is the part of a route that puts X-Version into its answers.
func Version(version string) string {
	return "  responseHeadersPolicy: {set: [{name: X-Version, value: " + version + "}]}\n"
}

// Proxy is an HTTPProxy of the namespace default; with tls its certificate is
// in the Secret.
func Proxy(name, host, secret string, tls bool, routes ...string) string {
	doc := world.Proxy("default", name, host, world.Routes(routes...))
	if !tls {
		return doc
	}
	fqdn := fmt.Sprintf("    fqdn: %q\n", host)
	return strings.Replace(doc, fqdn, fqdn+"    tls: {secretName: "+secret+"}\n", 1)
}

// Close ends the process and the backends and removes the folder.
func (e *Estate) Close() {
	e.stop(e.Progress)
	if e.client != nil {
		e.Site.Close()
	}
	for _, b := range e.Backends {
		if b != nil {
			b.Close()
		}
	}
	_ = os.RemoveAll(e.dir) // a leftover is harmless
}

func (e *Estate) logFile() string { return filepath.Join(e.dir, "signet.log") }
