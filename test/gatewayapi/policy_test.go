package gatewayapi

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// What a BackendTLSPolicy asks for is done, or the request is answered with an
// error: no backend ever sees plaintext, or a request that it should not.
func TestBackendTLSPolicy(t *testing.T) {
	ca, other, clients := authority(t, "CA"), authority(t, "other"), authority(t, "clients")
	pair := issue(t, ca, pki.Leaf{DNS: []string{"abc.test", "other.test"}, URIs: []string{"spiffe://abc.test/id"}})
	client := issue(t, clients, pki.Leaf{CommonName: "gateway", DNS: []string{"gateway"}})
	secure := serve(t, backend.Config{Name: "secure", Certificate: &pair.TLS})
	mutual := serve(t, backend.Config{Name: "mutual", Certificate: &pair.TLS, ClientCAs: clients.Pool()})
	// Whoever speaks plaintext to this one is found out.
	plain := serve(t, backend.Config{Name: "plain"})
	port, mport := freeport.For(t), freeport.For(t)

	services := map[string]string{
		"dns":      `{hostname: abc.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`,
		"mismatch": `{hostname: wrong.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`,
		"otherca":  `{hostname: abc.test, caCertificateRefs: [{group: "", kind: Secret, name: other}]}`,
		"joined":   `{hostname: abc.test, caCertificateRefs: [{group: "", kind: Secret, name: other}, {group: "", kind: ConfigMap, name: ca}]}`,
		"sanuri":   `{hostname: sni.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}], subjectAltNames: [{type: URI, uri: "spiffe://abc.test/id"}]}`,
		"sandns":   `{hostname: sni.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}], subjectAltNames: [{type: Hostname, hostname: other.test}]}`,
		"sanbad":   `{hostname: abc.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}], subjectAltNames: [{type: Hostname, hostname: wrong.test}]}`,
		"missing":  `{hostname: abc.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: nowhere}]}`,
		"blank":    `{hostname: abc.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: blank}]}`,
		"kind":     `{hostname: abc.test, caCertificateRefs: [{group: invalid.io, kind: InvalidKind, name: ca}]}`,
		"system":   `{hostname: abc.test, wellKnownCACertificates: System}`,
		"bundle":   `{hostname: abc.test, caCertificateRefs: [{group: certificates.k8s.io, kind: ClusterTrustBundle, name: "signet.test:bundle"}]}`,
	}
	files := map[string]string{
		"gateway": world.All(class, gateway("gw", "", plainListener("http", port, "")),
			gateway("mutual", "  tls: {backend: {clientCertificateRef: {name: client}}}\n", plainListener("http", mport, ""))),
		"trust": world.All(configMap("ca", "ca.crt", string(ca.PEM())), world.CA("default", "other", other.PEM()),
			configMap("blank", "other.crt", "x"), keySecret("client", client),
			fmt.Sprintf("apiVersion: certificates.k8s.io/v1beta1\nkind: ClusterTrustBundle\nmetadata: {name: \"signet.test:bundle\"}\nspec:\n  signerName: signet.test/s\n  trustBundle: |\n    %s\n",
				strings.ReplaceAll(strings.TrimSpace(string(ca.PEM())), "\n", "\n    "))),
		"mutual": world.All(world.Service("default", "mutual", 443, nil, mutual),
			tlsPolicy("mutual", "mutual", services["dns"]),
			httpRoute("mutual", "{name: mutual}", []string{"mutual.test"}, "{backendRefs: [{name: mutual, port: 443}]}")),
		"toplain": world.All(world.Service("default", "toplain", 443, nil, plain),
			tlsPolicy("toplain", "toplain", services["missing"]),
			httpRoute("toplain", "{name: gw}", []string{"toplain.test"}, "{backendRefs: [{name: toplain, port: 443}]}")),
	}
	for name, validation := range services {
		files[name] = world.All(world.Service("default", name, 443, nil, secure), tlsPolicy(name, name, validation),
			httpRoute(name, "{name: gw}", []string{name + ".route.test"}, fmt.Sprintf("{backendRefs: [{name: %s, port: 443}]}", name)))
	}
	w := start(t, files)
	cases := map[string]struct {
		reason string
		code   int
		sni    string
	}{
		"dns":      {"the hostname is SNI and accepted name", 200, "abc.test"},
		"joined":   {"one of two CAs has signed", 200, "abc.test"},
		"sanuri":   {"the hostname is SNI alone", 200, "sni.test"},
		"sandns":   {"the hostname is SNI alone", 200, "sni.test"},
		"bundle":   {"a ClusterTrustBundle", 200, "abc.test"},
		"mismatch": {"the certificate has another name", 503, ""},
		"sanbad":   {"the hostname does not count beside alternative names", 503, ""},
		"otherca":  {"another CA", 503, ""},
		"system":   {"the system does not know the CA", 503, ""},
		"missing":  {"there is no ConfigMap", 500, ""},
		"blank":    {"the ConfigMap has no ca.crt", 500, ""},
		"kind":     {"nothing that holds a CA", 500, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := await(t, w, world.Request{Host: name + ".route.test", Port: port}, tc.code)
			if tc.sni != "" && (a.Seen == nil || a.Seen.SNI != tc.sni || !a.Seen.TLS || a.Seen.Host != name+".route.test") {
				t.Errorf("%s: the backend saw %+v", tc.reason, a.Seen)
			}
		})
	}

	a := await(t, w, world.Request{Host: "mutual.test", Port: mport}, 200)
	if !bytes.Equal(a.Seen.ClientCertificate, client.Leaf().Raw) {
		t.Error("the backend did not see the Gateway's client certificate")
	}
	await(t, w, world.Request{Host: "toplain.test", Port: port}, 500)
	if n := plain.Connections(); n != 0 {
		t.Errorf("a backend in plaintext got %d connections", n)
	}

	// A policy that is mended serves, and one that breaks fails closed.
	w.Write("blank-ca", configMap("nowhere", "ca.crt", string(ca.PEM())))
	await(t, w, world.Request{Host: "missing.route.test", Port: port}, 200)
	w.Remove("blank-ca")
	await(t, w, world.Request{Host: "missing.route.test", Port: port}, 500)

	wantConditions(t, w, "missing", "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidCACertificateRef")
	wantConditions(t, w, "kind", "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidKind")
	wantConditions(t, w, "dns", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs")
}

// wantConditions waits for the conditions of a policy's one ancestor.
func wantConditions(t *testing.T, w *world.World, name, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(world.Patience); got != want && time.Now().Before(deadline); {
		for _, s := range w.Report().Statuses {
			if s.Kind != "BackendTLSPolicy" || s.Name != name {
				continue
			}
			status, ok := s.Status.(gatewayv1.PolicyStatus)
			if !ok || len(status.Ancestors) != 1 {
				raw, _ := json.Marshal(s.Status)
				got = string(raw)
				continue
			}
			var words []string
			for _, c := range status.Ancestors[0].Conditions {
				words = append(words, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
			}
			got = strings.Join(words, " ")
		}
	}
	if got != want {
		t.Errorf("policy %s: %s, want %s", name, got, want)
	}
}

// Listeners with TLS: certificates by section, 421 for hosts of another
// section, and certificates of clients.
func TestHTTPSListeners(t *testing.T) {
	ca, clientCA, foreign := authority(t, "CA"), authority(t, "clients"), authority(t, "foreign")
	pair := issue(t, ca, pki.Leaf{DNS: []string{"*.org", "*.wildcard.org", "example.org"}})
	good, bad := issue(t, clientCA, pki.Leaf{CommonName: "good", DNS: []string{"good"}}), issue(t, foreign, pki.Leaf{CommonName: "bad", DNS: []string{"bad"}})
	one := serve(t, backend.Config{Name: "one"})
	port, strict, lax, blind := freeport.For(t), freeport.For(t), freeport.For(t), freeport.For(t)
	frontend := fmt.Sprintf(`  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}}
      perPort:
      - {port: %d, tls: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}}}
      - {port: %d, tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: nowhere}]}}}
`, lax, blind)
	w := start(t, map[string]string{
		"services": world.Service("default", "one", 80, nil, one),
		"gateway": world.All(class, keySecret("cert", pair), configMap("clients", "ca.crt", string(clientCA.PEM())),
			gateway("gw", "", tlsListener("any", port, "", "cert"), tlsListener("second", port, "second-example.org", "cert"),
				tlsListener("wild", port, "*.wildcard.org", "cert"), tlsListener("fourth", port, "fourth-example.wildcard.org", "cert"),
				tlsListener("broken", port, "broken.org", "nowhere")),
			gateway("clients", frontend, tlsListener("strict", strict, "", "cert"), tlsListener("lax", lax, "", "cert"), tlsListener("blind", blind, "", "cert"))),
		"routes": world.All(
			httpRoute("any", "{name: gw, sectionName: any}", []string{"example.org"}, to("/", "one")),
			httpRoute("second", "{name: gw, sectionName: second}", nil, to("/", "one")),
			httpRoute("wild", "{name: gw, sectionName: wild}", nil, to("/", "one")),
			httpRoute("fourth", "{name: gw, sectionName: fourth}", nil, to("/", "one")),
			httpRoute("clients", "{name: clients}", nil, to("/", "one"))),
	})
	await(t, w, world.Request{Host: "example.org", SNI: "example.org", Roots: ca.Pool(), Port: port}, 200)
	cases := map[string]struct {
		reason    string
		sni, host string
		code      int
	}{
		"own host":           {"the route of the section", "example.org", "example.org", 200},
		"unknown host":       {"of the same section", "example.org", "unknown.org", 404},
		"any to second":      {"a more specific section has it", "example.org", "second-example.org", 421},
		"any to wild":        {"a more specific section has it", "example.org", "third-example.wildcard.org", 421},
		"second":             {"its own", "second-example.org", "second-example.org", 200},
		"second to unknown":  {"the section without a hostname has it", "second-example.org", "unknown.org", 421},
		"second to first":    {"the section without a hostname has it", "second-example.org", "example.org", 421},
		"wild":               {"its own", "third-example.wildcard.org", "third-example.wildcard.org", 200},
		"wild to a sibling":  {"of the same section", "third-example.wildcard.org", "fifth-example.wildcard.org", 200},
		"wild to fourth":     {"a more specific section has it", "third-example.wildcard.org", "fourth-example.wildcard.org", 421},
		"fourth":             {"its own", "fourth-example.wildcard.org", "fourth-example.wildcard.org", 200},
		"fourth to wild":     {"another section has it", "fourth-example.wildcard.org", "third-example.wildcard.org", 421},
		"fourth, upper case": {"hosts have no case", "fourth-example.wildcard.org", "FOURTH-example.wildcard.org", 200},
		"broken by another":  {"its section has no certificate", "example.org", "broken.org", 421},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a, err := w.Do(world.Request{Host: tc.host, SNI: tc.sni, Roots: ca.Pool(), Port: port})
			if err != nil || a.Code != tc.code {
				t.Errorf("%s: %+v, %v, want %d", tc.reason, a, err, tc.code)
			}
		})
	}
	if a, err := w.Do(world.Request{Host: "broken.org", SNI: "broken.org", Roots: ca.Pool(), Port: port}); err == nil {
		t.Errorf("a section without a certificate served %d", a.Code)
	}
	handshakes := map[string]struct {
		reason string
		port   int
		client *tls.Certificate
		ok     bool
	}{
		"strict, good": {"signed by the CA", strict, &good.TLS, true},
		"strict, bad":  {"signed by another", strict, &bad.TLS, false},
		"strict, none": {"a certificate is required", strict, nil, false},
		"lax, good":    {"is served", lax, &good.TLS, true},
		"lax, bad":     {"is served all the same", lax, &bad.TLS, true},
		"lax, none":    {"is served all the same", lax, nil, true},
		"blind, good":  {"nobody can be judged without a CA", blind, &good.TLS, false},
	}
	await(t, w, world.Request{Host: "a.org", SNI: "a.org", Roots: ca.Pool(), Port: strict, Certificate: &good.TLS}, 200)
	for name, tc := range handshakes {
		t.Run(name, func(t *testing.T) {
			a, err := w.Do(world.Request{Host: "a.org", SNI: "a.org", Roots: ca.Pool(), Port: tc.port, Certificate: tc.client})
			if ok := err == nil && a.Code == 200; ok != tc.ok {
				t.Errorf("%s: %+v, %v", tc.reason, a, err)
			}
		})
	}
}
