// Package hosts proves which request reaches which host: exact and wildcard
// names, ports, case, SNI, and what answers when nothing fits. Each case is
// answered as users of Contour expect.
package hosts

import (
	"crypto/x509"
	"fmt"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// proxy is an HTTPProxy that answers with its own name.
func proxy(name, fqdn, tls, extra string) string {
	if tls != "" {
		tls = "\n    tls: {secretName: " + tls + "}"
	}
	return fmt.Sprintf(`apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: %s}
spec:
  virtualhost:
    fqdn: %q%s
  routes:
  - conditions: [{prefix: /only}]
    %s
    directResponsePolicy: {statusCode: 200, body: %q}
`, name, fqdn, tls, extra, name)
}

func TestMain(m *testing.M) { world.Main(m) }

func TestHosts(t *testing.T) {
	ca, err := pki.NewAuthority("CA")
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(name string, dns ...string) string {
		p, err := ca.Issue(pki.Leaf{DNS: dns})
		if err != nil {
			t.Fatal(err)
		}
		return world.Secret("default", name, "kubernetes.io/tls", map[string]string{"tls.crt": string(p.CertPEM), "tls.key": string(p.KeyPEM)})
	}
	b, err := backend.Start(backend.Config{Name: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := world.Start(t, testr.New(t), map[string]string{
		"service": world.Service("default", "b", 80, nil, b),
		"proxies": world.All(
			proxy("exact", "exact.test", "", ""),
			proxy("wild", "*.wild.test", "", ""),
			proxy("nested", "*.sub.wild.test", "", ""),
			proxy("inside", "inside.wild.test", "", ""),
			proxy("secure", "secure.test", "secure", ""),
			proxy("insecure", "insecure.test", "secure", "permitInsecure: true"),
			proxy("wildsecure", "*.tls.test", "wildsecure", ""),
			proxy("insidesecure", "inside.tls.test", "wildsecure", ""),
			world.Proxy("default", "echo", "echo.test", world.Routes(world.Route("/", world.Plain("b", 80, "")))),
			certificate("secure", "secure.test", "insecure.test"),
			certificate("wildsecure", "*.tls.test")),
	})

	cases := map[string]struct {
		reason  string
		request world.Request
		code    int
		body    string
		refused bool // the handshake fails
	}{
		"exact host":             {"the plain case", world.Request{Host: "exact.test"}, 200, "exact", false},
		"host with a port":       {"the port is no part of the name", world.Request{Host: "exact.test:8080"}, 200, "exact", false},
		"upper case":             {"names have no case", world.Request{Host: "EXACT.Test"}, 200, "exact", false},
		"upper case with a port": {"both at once", world.Request{Host: "EXACT.TEST:80"}, 200, "exact", false},
		"unknown host":           {"no object claims it", world.Request{Host: "unknown.test"}, 404, "", false},
		"IPv6 literal":           {"an authority that is full of colons", world.Request{Host: "[::1]:8080"}, 404, "", false},
		"IPv4 literal":           {"as a health checker asks", world.Request{Host: "127.0.0.1"}, 404, "", false},
		"path that is not there": {"a known host without a route", world.Request{Host: "exact.test", Path: "/other"}, 404, "", false},
		"wildcard":               {"one label", world.Request{Host: "a.wild.test"}, 200, "wild", false},
		"wildcard, upper case":   {"names have no case", world.Request{Host: "A.WILD.test"}, 200, "wild", false},
		"wildcard with a port":   {"the port is no part of the name", world.Request{Host: "a.wild.test:1234"}, 200, "wild", false},
		"wildcard, two labels":   {"a wildcard is one label", world.Request{Host: "a.b.wild.test"}, 404, "", false},
		"wildcard, no label":     {"a wildcard is one label", world.Request{Host: "wild.test"}, 404, "", false},
		"nested wildcard":        {"the longer wildcard wins", world.Request{Host: "a.sub.wild.test"}, 200, "nested", false},
		"exact beside wildcard":  {"the exact host wins", world.Request{Host: "inside.wild.test"}, 200, "inside", false},
		"exact beside wildcard, other path": {
			"an exact host never falls through to its wildcard sibling",
			world.Request{Host: "inside.wild.test", Path: "/other"}, 404, "", false},
		"wildcard, other path": {"a wildcard host without a route", world.Request{Host: "a.wild.test", Path: "/other"}, 404, "", false},

		"TLS host over HTTP":                {"permitInsecure is not set", world.Request{Host: "secure.test"}, 301, "", false},
		"TLS host over HTTP, permitted":     {"permitInsecure is set", world.Request{Host: "insecure.test"}, 200, "insecure", false},
		"TLS host":                          {"the plain case over HTTP/2", world.Request{Host: "secure.test", SNI: "secure.test"}, 200, "secure", false},
		"TLS host, HTTP/1.1":                {"the plain case", world.Request{Host: "secure.test", SNI: "secure.test", HTTP1: true}, 200, "secure", false},
		"TLS host with a port":              {"the port is no part of the name", world.Request{Host: "secure.test:8443", SNI: "secure.test"}, 200, "secure", false},
		"TLS host, upper case":              {"names have no case", world.Request{Host: "SECURE.test", SNI: "secure.test"}, 200, "secure", false},
		"TLS host, other path":              {"a known host without a route", world.Request{Host: "secure.test", Path: "/other", SNI: "secure.test"}, 404, "", false},
		"TLS wildcard":                      {"a certificate by SNI, from the wildcard", world.Request{Host: "a.tls.test", SNI: "a.tls.test"}, 200, "wildsecure", false},
		"TLS wildcard, upper case":          {"names have no case", world.Request{Host: "A.TLS.test", SNI: "a.tls.test"}, 200, "wildsecure", false},
		"TLS wildcard beside exact":         {"the exact host wins", world.Request{Host: "inside.tls.test", SNI: "inside.tls.test"}, 200, "insidesecure", false},
		"TLS wildcard, two labels":          {"no certificate covers it", world.Request{Host: "a.b.tls.test", SNI: "a.b.tls.test"}, 0, "", true},
		"unknown SNI":                       {"no host has a certificate for it", world.Request{Host: "unknown.test", SNI: "unknown.test"}, 0, "", true},
		"plain host as SNI":                 {"a host without tls has no certificate", world.Request{Host: "exact.test", SNI: "exact.test"}, 0, "", true},
		"SNI and host differ":               {"misdirected: the client reused a connection", world.Request{Host: "insecure.test", SNI: "secure.test"}, 421, "", false},
		"SNI and host differ, HTTP/1.1":     {"misdirected", world.Request{Host: "insecure.test", SNI: "secure.test", HTTP1: true}, 421, "", false},
		"SNI and host differ, wildcard":     {"covered by the same certificate, yet another connection is due", world.Request{Host: "b.tls.test", SNI: "a.tls.test"}, 421, "", false},
		"SNI and host differ, unknown host": {"misdirected before unknown", world.Request{Host: "unknown.test", SNI: "secure.test"}, 421, "", false},
		"SNI and host differ, plain host":   {"misdirected", world.Request{Host: "exact.test", SNI: "secure.test"}, 421, "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.request.Roots = ca.Pool()
			if c.request.Path == "" {
				c.request.Path = "/only"
			}
			a, err := w.Do(c.request)
			if c.refused {
				if err == nil {
					t.Fatalf("%s: got %d, want a handshake that fails", c.reason, a.Code)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if a.Code != c.code || (c.body != "" && a.Body != c.body) {
				t.Errorf("%s: got %d %q, want %d %q", c.reason, a.Code, a.Body, c.code, c.body)
			}
		})
	}

	t.Run("the scope header is ours alone", func(t *testing.T) {
		a, err := w.Do(world.Request{Host: "echo.test", Header: map[string][]string{"X-Signet-Scope": {"http|exact.test"}}})
		if err != nil || a.Seen == nil {
			t.Fatalf("got %v, %v, want an answer of the backend", a, err)
		}
		if v := a.Seen.Header.Get("X-Signet-Scope"); v != "" {
			t.Errorf("the backend saw X-Signet-Scope %q, want none", v)
		}
	})

	t.Run("no SNI at all", func(t *testing.T) {
		if err := w.Handshake("", x509.NewCertPool()); err == nil {
			t.Error("a handshake without SNI succeeded, want a failure")
		}
	})

	t.Run("a host that is gone answers 404 at once and again when it is back", func(t *testing.T) {
		for range 3 {
			w.Write("coming", proxy("coming", "coming.test", "", ""))
			w.Await(t, "coming.test", "/only", 200)
			w.Remove("coming")
			w.Await(t, "coming.test", "/only", 404)
		}
	})
}
