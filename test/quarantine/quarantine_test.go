package quarantine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

const (
	backendName = "backend.example"
	// goodOnes is how many good resources there are of each type: clusters, load
	// assignments, trust secrets and scopes, wildcard hosts, filter chains.
	goodOnes = 1000
)

// estate is what all cases share.
type estate struct {
	*world.World
	t              *testing.T
	root           string
	ca, poisonCA   *pki.Authority
	backend, plain *backend.Backend
	host, poison   *pki.Pair // of an HTTPS host
}

func do[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newEstate(t *testing.T, files func(e *estate) map[string]string) *estate {
	t.Helper()
	e := &estate{t: t, ca: do[*pki.Authority](t)(pki.NewAuthority("CA")), poisonCA: do[*pki.Authority](t)(pki.NewAuthority(mark))}
	issue := do[*pki.Pair](t)
	pair := issue(e.ca.Issue(pki.Leaf{DNS: []string{backendName, "tcp.test", "tcp-new.test"}}))
	e.host = issue(e.ca.Issue(pki.Leaf{DNS: []string{"secure.test", "secure-new.test"}}))
	e.poison = issue(e.ca.Issue(pki.Leaf{DNS: []string{"secure.test", "secure-new.test"}}))
	e.backend = do[*backend.Backend](t)(backend.Start(backend.Config{Name: "tls", Certificate: &pair.TLS}))
	e.plain = do[*backend.Backend](t)(backend.Start(backend.Config{Name: "plain"}))
	t.Cleanup(e.backend.Close)
	t.Cleanup(e.plain.Close)
	e.root = do[string](t)(os.MkdirTemp("", "q-"))
	t.Cleanup(func() { _ = os.RemoveAll(e.root) })
	e.World = world.Start(t, logr.Discard(), files(e), func(c *standalone.Config) {
		c.RuntimeRoot = e.root
		c.Tamper = tamper(e.poisonCA.PEM(), e.poison.CertPEM)
	})
	return e
}

// eventually waits until check finds nothing wrong.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * world.Patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// answers asks a host over plain HTTP and wants a code, and a version of the
// route where it is not empty.
func (e *estate) answers(host, path string, code int, version string) error {
	a, err := e.Get(host, path)
	if err != nil {
		return err
	}
	if got := a.Header.Get("X-Version"); a.Code != code || got != version {
		return fmt.Errorf("%s%s: %d %q %s, want %d %q", host, path, a.Code, got, a.Body, code, version)
	}
	return nil
}

// handshake opens a TLS connection with a host of its name.
func (e *estate) handshake(host string) error {
	ctx, cancel := context.WithTimeout(e.t.Context(), 5*time.Second)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{ServerName: host, RootCAs: e.ca.Pool(), MinVersion: tls.VersionTLS12}}
	c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", e.HTTPSPort))
	if err != nil {
		return fmt.Errorf("handshake for %q: %w", host, err)
	}
	return c.Close()
}

// status finds the status of an HTTPProxy.
func status(r *report.Report, name string) *contourv1.HTTPProxyStatus {
	for i := range r.Statuses {
		if s, ok := r.Statuses[i].Status.(contourv1.HTTPProxyStatus); ok && r.Statuses[i].Name == name {
			return &s
		}
	}
	return nil
}

// blames wants the status of an HTTPProxy to carry Envoy's words; no words want
// it valid.
func (e *estate) blames(name, words string) error {
	s := status(e.Report(), name)
	switch {
	case s == nil:
		return fmt.Errorf("HTTPProxy %s has no status: %+v", name, e.Report().Problems)
	case words == "" && s.CurrentStatus != "valid", words != "" && s.CurrentStatus != "invalid":
		return fmt.Errorf("HTTPProxy %s is %s: %s", name, s.CurrentStatus, text(s))
	case words != "" && (!strings.Contains(text(s), "RefusedByEnvoy") || !strings.Contains(text(s), words)):
		return fmt.Errorf("HTTPProxy %s: %q has not %q", name, text(s), words)
	}
	return nil
}

func text(s *contourv1.HTTPProxyStatus) string {
	var out []string
	for i := range s.Conditions {
		for _, x := range s.Conditions[i].Errors {
			out = append(out, x.Reason+": "+x.Message)
		}
	}
	return strings.Join(out, "\n")
}

// envoyProcess finds the Envoy of this world by its private folder.
func (e *estate) envoyProcess() (int, error) {
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, fmt.Errorf("processes: %w", err)
	}
	for _, f := range found {
		line, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(line), "\x00")
		if bytes.Contains(line, []byte(e.root)) && strings.HasPrefix(filepath.Base(args[0]), "envoy") && !slices.Contains(args, "supervise") {
			return strconv.Atoi(filepath.Base(filepath.Dir(f)))
		}
	}
	return 0, errors.New("no Envoy runs")
}

// replaceEnvoy kills Envoy and waits until a new one is ready.
func (e *estate) replaceEnvoy() {
	e.t.Helper()
	old := do[int](e.t)(e.envoyProcess())
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		e.t.Fatal(err)
	}
	eventually(e.t, "a new Envoy is ready", func() error {
		pid, err := e.envoyProcess()
		if err != nil || pid == old {
			return fmt.Errorf("Envoy %d: %w", pid, err)
		}
		for _, f := range e.Report().Fleets {
			for _, x := range f.Envoys {
				if x.Ready && len(x.Rejected) == 0 {
					return nil
				}
			}
		}
		return errors.New("it is not ready")
	})
}

// kase is one way to be refused.
type kase struct {
	reason string
	// object is the HTTPProxy to blame.
	object string
	// manifest says a version: one that holds the mark is bad.
	manifest func(e *estate, object string, bad bool, version string) string
	// serves wants the traffic of a version, "" of none.
	serves func(e *estate, object, version string) error
	// words are Envoy's.
	words string
	// renamed says that a change makes another resource: there is no last good.
	renamed bool
}

func versioned(bad bool, version string) string {
	if bad {
		return mark + version
	}
	return version
}

func setHeader(version string) string {
	return "  responseHeadersPolicy:\n    set:\n    - name: X-Version\n      value: \"" + version + "\"\n"
}

func secretOf(ca *pki.Authority, name string) string { return world.CA("default", name, ca.PEM()) }

// plainServes is for versions that show in a header.
func plainServes(host func(object string) string, path string) func(*estate, string, string) error {
	return func(e *estate, object, version string) error {
		if version == "" {
			return e.answers(host(object), path, 503, "")
		}
		return e.answers(host(object), path, 200, version)
	}
}

// anyVersion is for what does not show which version serves.
func anyVersion(host string) func(*estate, string, string) error {
	return func(e *estate, object, version string) error {
		code := 200
		if version == "" {
			code = 503
		}
		return e.answers(object+host, "/", code, "")
	}
}

var cases = map[string]kase{
	"SRDS, one route of a host": {
		reason: "the other route of the host is served", object: "route", words: "missing )",
		manifest: func(_ *estate, object string, bad bool, version string) string {
			return world.Proxy("default", object, object+".test", world.Routes(
				world.Route("/good", world.Plain("plain", 80, ""))+setHeader(version),
				world.Route("/bad", world.Plain("plain", 80, ""))+setHeader(versioned(bad, version))))
		},
		serves: plainServes(func(object string) string { return object + ".test" }, "/bad"),
	},
	"SRDS, a wildcard host": {
		reason: "the other wildcard hosts share its resource", object: "wild", words: "missing )",
		manifest: func(_ *estate, object string, bad bool, version string) string {
			return world.Proxy("default", object, "*."+object+".test", world.Routes(
				world.Route("/", world.Plain("plain", 80, ""))+setHeader(versioned(bad, version))))
		},
		serves: plainServes(func(object string) string { return "x." + object + ".test" }, "/"),
	},
	"LDS, the filter chain of a host": {
		reason: "the other chains share its listener", object: "tcp", words: "signet.test.Unknown",
		manifest: func(e *estate, object string, bad bool, _ string) string {
			service, other := "tls-"+object, markChain+"-"+object
			out := world.All(world.Service("default", service, 443, nil, e.backend), world.Service("default", other, 443, nil, e.backend))
			if bad {
				return world.All(out, tcpProxy(object, object+".test", service, other))
			}
			return world.All(out, tcpProxy(object, object+".test", service))
		},
		serves: func(e *estate, object, version string) error {
			err := e.handshake(object + ".test")
			if version == "" && err == nil {
				return errors.New("the connection is served")
			}
			if version == "" {
				return nil
			}
			return err
		},
	},
	"CDS": {
		reason: "a cluster is new with each change of its identity", object: "cluster", words: "cluster provided LB specified", renamed: true,
		manifest: func(e *estate, object string, bad bool, _ string) string {
			name := backendName
			if bad {
				name = mark + ".example"
			}
			return world.All(world.Service("default", object, 443, nil, e.backend), secretOf(e.ca, object),
				world.Proxy("default", object, object+".test", world.Routes(world.Route("/", world.Validated(object, 443, "tls", object, name)))))
		},
		serves: anyVersion(".test"),
	},
	"EDS": {
		reason: "the endpoints before it stay", object: "endpoints", words: "malformed IP address",
		manifest: func(e *estate, object string, bad bool, _ string) string {
			slice := world.Service("default", object, 80, nil, e.plain)
			if bad {
				slice = strings.ReplaceAll(slice, `"127.0.0.1"`, `"`+markAddress+`"`)
			}
			return world.All(slice, world.Proxy("default", object, object+".test", world.Routes(world.Route("/", world.Plain(object, 80, "")))))
		},
		serves: anyVersion(".test"),
	},
	"SDS, a trust bundle": {
		reason: "the bundle before it stays", object: "trust", words: "trusted CA",
		manifest: func(e *estate, object string, bad bool, _ string) string {
			ca := e.ca
			if bad {
				ca = e.poisonCA
			}
			return world.All(world.Service("default", object, 443, nil, e.backend), secretOf(ca, object),
				world.Proxy("default", object, object+".test", world.Routes(world.Route("/", world.Validated(object, 443, "tls", object, backendName)))))
		},
		serves: anyVersion(".test"),
	},
	"SDS, the certificate of a host": {
		reason: "the certificate before it stays", object: "secure", words: "certificate",
		manifest: func(e *estate, object string, bad bool, _ string) string {
			p := e.host
			if bad {
				p = e.poison
			}
			return world.All(world.Secret("default", object, "kubernetes.io/tls", map[string]string{"tls.crt": string(p.CertPEM), "tls.key": string(p.KeyPEM)}),
				"apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata: {name: "+object+", namespace: default}\nspec:\n  virtualhost:\n    fqdn: "+
					object+".test\n    tls: {secretName: "+object+"}\n  routes:\n  - services: [{name: plain, port: 80}]\n")
		},
		serves: func(e *estate, object, version string) error {
			err := e.handshake(object + ".test")
			if version == "" && err == nil {
				return errors.New("the handshake succeeds")
			}
			if version == "" {
				return nil
			}
			return err
		},
	},
}

func tcpProxy(name, host string, services ...string) string {
	out := "apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata: {name: " + name + ", namespace: default}\nspec:\n  virtualhost:\n    fqdn: " +
		host + "\n    tls: {passthrough: true}\n  tcpproxy:\n    services:\n"
	for _, s := range services {
		out += "    - {name: " + s + ", port: 443, weight: 1}\n"
	}
	return out
}

// crowd are the good ones.
func crowd(e *estate) map[string]string {
	var exact, wild, tcp strings.Builder
	for i := range goodOnes {
		name := fmt.Sprint("g", i)
		exact.WriteString(world.All(world.Service("default", name, 443, nil, e.backend), secretOf(e.ca, name),
			world.Proxy("default", name, name+".test", world.Routes(world.Route("/", world.Validated(name, 443, "tls", name, backendName))))) + "---\n")
		wild.WriteString(world.Proxy("default", "w"+name, "*."+name+".wild", world.Routes(world.Route("/", world.Plain("plain", 80, "")))) + "---\n")
		tcp.WriteString(tcpProxy("t"+name, "t"+name+".test", "g0") + "---\n")
	}
	return map[string]string{
		"plain":       world.Service("default", "plain", 80, nil, e.plain),
		"crowd-exact": exact.String(), "crowd-wild": wild.String(), "crowd-tcp": tcp.String(),
		"later": later("1"),
	}
}

// later is a good one of each composite that is changed later.
func later(version string) string {
	return world.All(
		world.Proxy("default", "later", "later.test", world.Routes(world.Route("/", world.Plain("plain", 80, ""))+setHeader(version))),
		world.Proxy("default", "later-wild", "*.later.test", world.Routes(world.Route("/", world.Plain("plain", 80, ""))+setHeader(version))))
}

// others wants the good ones to be served, and a change of them to arrive.
func (e *estate) others(t *testing.T, version string) {
	t.Helper()
	e.Write("later", later(version))
	eventually(t, "a good one that is changed arrives", func() error {
		return errors.Join(e.answers("later.test", "/", 200, version), e.answers("x.later.test", "/", 200, version))
	})
	for i := 0; i < goodOnes; i += goodOnes / 5 {
		if err := errors.Join(e.answers(fmt.Sprintf("g%d.test", i), "/", 200, ""), e.answers(fmt.Sprintf("x.g%d.wild", i), "/", 200, "")); err != nil {
			t.Errorf("a good one: %v", err)
		}
	}
}

// TestRefused goes through the life of every case, with the others beside it:
// good, bad (and one that was never good), a new Envoy, mended.
func TestRefused(t *testing.T) {
	e := newEstate(t, func(e *estate) map[string]string {
		files := crowd(e)
		for _, c := range cases {
			files[c.object] = c.manifest(e, c.object, false, "1")
		}
		return files
	})
	for name, c := range cases {
		eventually(t, name+": served at first", func() error { return errors.Join(c.serves(e, c.object, "1"), e.blames(c.object, "")) })
	}
	before := func(c *kase) string {
		if c.renamed {
			return ""
		}
		return "1"
	}
	step := 1
	for name, c := range cases {
		t.Run(name+", refused", func(t *testing.T) {
			fresh := c.object + "-new"
			e.Write(c.object, c.manifest(e, c.object, true, "2"))
			e.Write(fresh, c.manifest(e, fresh, true, "2"))
			eventually(t, "the status says why", func() error {
				return errors.Join(c.serves(e, fresh, ""), e.blames(c.object, c.words), e.blames(fresh, c.words))
			})
			if err := c.serves(e, c.object, before(&c)); err != nil {
				t.Errorf("%s: the last good version: %v", c.reason, err)
			}
			step++
			e.others(t, fmt.Sprint(step))
		})
	}
	t.Run("a new Envoy", func(t *testing.T) {
		e.replaceEnvoy()
		for name, c := range cases {
			eventually(t, name+": held back for the new Envoy too", func() error {
				return errors.Join(c.serves(e, c.object, before(&c)), c.serves(e, c.object+"-new", ""), e.blames(c.object, c.words))
			})
		}
		e.others(t, "after")
	})
	for name, c := range cases {
		t.Run(name+", mended", func(t *testing.T) {
			for _, object := range []string{c.object, c.object + "-new"} {
				e.Write(object, c.manifest(e, object, false, "3"))
				eventually(t, "mended bytes are served", func() error { return errors.Join(c.serves(e, object, "3"), e.blames(object, "")) })
			}
		})
	}
	eventually(t, "nothing is held back at the end", func() error {
		if q := e.Report().Quarantine; len(q) > 0 {
			return fmt.Errorf("%+v", q)
		}
		return nil
	})
}

// A host that moved to another Service with the change that Envoy refuses: its
// last good routes lead to a cluster that is gone. Seed 31 of a soak found that a
// new Envoy then refused them and was never ready.
func TestLastGoodRoutesOfAClusterThatIsGone(t *testing.T) {
	moved := func(e *estate, service, version string) string {
		return world.All(world.Service("default", service, 443, nil, e.backend), secretOf(e.ca, "moved"),
			world.Proxy("default", "moved", "moved.test", world.Routes(
				world.Route("/", world.Validated(service, 443, "tls", "moved", backendName))+setHeader(version))))
	}
	e := newEstate(t, func(e *estate) map[string]string {
		return map[string]string{"moved": moved(e, "before", "1"), "plain": world.Service("default", "plain", 80, nil, e.plain), "later": later("1")}
	})
	eventually(t, "served at first", func() error { return errors.Join(e.answers("moved.test", "/", 200, "1"), e.blames("moved", "")) })
	e.Write("moved", moved(e, "after", versioned(true, "2")))
	closed := func() error {
		return errors.Join(e.answers("moved.test", "/", 503, ""), e.blames("moved", "missing )"))
	}
	eventually(t, "fails closed", closed)
	e.replaceEnvoy()
	eventually(t, "fails closed in a new Envoy", closed)
	e.Write("later", later("2"))
	eventually(t, "all else is served", func() error { return e.answers("later.test", "/", 200, "2") })
	e.Write("moved", moved(e, "after", "3"))
	eventually(t, "mended", func() error { return errors.Join(e.answers("moved.test", "/", 200, "3"), e.blames("moved", "")) })
}

// The last good form of a route takes no requests that it never had: a narrower
// route that went with the change would leave them to it. A soak found that
// requests for a verified backend came to a cleartext one.
func TestLastGoodRouteTakesNoMore(t *testing.T) {
	host := func(root string, routes ...string) string {
		return world.Proxy("default", "host", "host.test", world.Routes(append(routes, root)...))
	}
	verified := world.Route("/in", world.Validated("tls", 443, "tls", "ca", backendName))
	root := func(service, version string) string { return world.Route("/", service) + setHeader(version) }
	e := newEstate(t, func(e *estate) map[string]string {
		return map[string]string{
			"services": world.All(world.Service("default", "plain", 80, nil, e.plain), world.Service("default", "tls", 443, nil, e.backend), secretOf(e.ca, "ca")),
			"host":     host(root(world.Plain("plain", 80, ""), "1"), verified),
			"later":    later("1"), // keeps the cleartext cluster
		}
	})
	eventually(t, "served at first", func() error {
		return errors.Join(e.answers("host.test", "/", 200, "1"), e.answers("host.test", "/in", 200, ""))
	})
	refused := root(world.Validated("tls", 443, "tls", "ca", backendName), mark)
	e.Write("host", host(refused, verified))
	eventually(t, "the last good version is served", func() error {
		return errors.Join(e.answers("host.test", "/", 200, "1"), e.answers("host.test", "/in", 200, ""), e.blames("host", "missing )"))
	})
	e.Write("host", host(refused))
	eventually(t, "what the narrower route took is closed", func() error { return e.answers("host.test", "/in", 503, "") })
	e.Write("host", host(root(world.Validated("tls", 443, "tls", "ca", backendName), "3")))
	eventually(t, "mended", func() error { return errors.Join(e.answers("host.test", "/in", 200, "3"), e.blames("host", "")) })
}

// A cluster waits for a health check that nobody answers: its route is closed
// and its object says so, and all else is delivered.
func TestClusterThatDoesNotGetWarm(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	const check = "  healthCheckPolicy: {path: /healthz, timeoutSeconds: 300, intervalSeconds: 300, unhealthyThresholdCount: 1, healthyThresholdCount: 1}\n"
	stuck := func(e *estate, extra string) string {
		service := world.Service("default", "stuck", 80, nil, e.plain)
		if extra != "" {
			_, port, _ := net.SplitHostPort(silent.Addr().String())
			service = strings.ReplaceAll(service, "port: "+strconv.Itoa(e.plain.Port()), "port: "+port)
		}
		return world.All(service, world.Proxy("default", "stuck", "stuck.test", world.Routes(
			world.Route("/", world.Plain("stuck", 80, ""))+extra)))
	}
	e := newEstate(t, func(e *estate) map[string]string {
		return map[string]string{"plain": world.Service("default", "plain", 80, nil, e.plain), "later": later("1"), "stuck": stuck(e, "")}
	})
	eventually(t, "served at first", func() error { return e.answers("stuck.test", "/", 200, "") })
	e.Write("stuck", stuck(e, check))
	eventually(t, "the object says what the cluster waits for", func() error {
		s := status(e.Report(), "stuck")
		if s == nil || !strings.Contains(text(s), "first answer to a health check") {
			return fmt.Errorf("status %+v", s)
		}
		return e.answers("stuck.test", "/", 503, "")
	})
	e.Write("later", later("2"))
	eventually(t, "all else is served", func() error { return e.answers("later.test", "/", 200, "2") })
	e.Write("stuck", stuck(e, ""))
	eventually(t, "mended", func() error { return errors.Join(e.answers("stuck.test", "/", 200, ""), e.blames("stuck", "")) })
}
