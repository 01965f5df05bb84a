package rules

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func keySecret(namespace, secret string, p *pki.Pair) string {
	return world.Secret(namespace, secret, "kubernetes.io/tls",
		map[string]string{"tls.crt": string(p.CertPEM), "tls.key": string(p.KeyPEM)})
}

// client describes the client certificate of a fleet.
func (r *rules) client() {
	It("S12: it is presented when the backend asks, follows its Secret, and fails TLS upstreams alone when it is broken", func() {
		first := issue(r.clientCA, pki.Leaf{CommonName: "first", DNS: []string{"first"}})
		second := issue(r.clientCA, pki.Leaf{CommonName: "second", DNS: []string{"second"}})
		mutual := r.Serve(backend.Config{Name: "mutual", Certificate: &r.good.TLS, ClientCAs: pool(r.clientCA)})
		plain := r.Serve(backend.Config{Name: "plain"})
		w := r.Start(map[string]string{
			"objects": world.All(world.CA("s12", "ca", r.ca.PEM()),
				world.Service("s12", "mutual", 443, nil, mutual), world.Service("s12", "plain", 80, nil, plain)),
			"client": keySecret("s12-fleet", "client", first),
			"fleet": `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: edge, namespace: s12-fleet}
spec: {upstreamTLS: {clientCertificate: {secretRef: {namespace: s12-fleet, name: client}}}}
`,
			"proxy": world.Proxy("s12", "p", "s12.test", world.Routes(
				world.Route("/mutual", world.Validated("mutual", 443, "tls", "ca", name)),
				world.Route("/plain", world.Plain("plain", 80, "")))),
		})
		Expect(answers(w, "s12.test", "/mutual", 200).Seen.ClientCertificate).To(Equal(first.Leaf().Raw))

		By("a changed Secret is presented on new connections")
		w.Write("client", keySecret("s12-fleet", "client", second))
		Eventually(func(g Gomega) {
			mutual.CloseConnections()
			a, err := w.Get("s12.test", "/mutual")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(a.Code).To(Equal(200))
			g.Expect(a.Seen.ClientCertificate).To(Equal(second.Leaf().Raw))
		}).Should(Succeed())

		mismatch := world.Secret("s12-fleet", "client", "kubernetes.io/tls",
			map[string]string{"tls.crt": string(first.CertPEM), "tls.key": string(second.KeyPEM)})
		for reason, secret := range map[string]string{"a key that does not match": mismatch, "missing": ""} {
			By(reason)
			if secret == "" {
				w.Remove("client")
			} else {
				w.Write("client", secret)
			}
			answers(w, "s12.test", "/mutual", 503)
			answers(w, "s12.test", "/plain", 200)
			Eventually(func() string { return fleetStatus(w) }).Should(ContainSubstring("s12-fleet/client"))
			w.Write("client", keySecret("s12-fleet", "client", first))
			answers(w, "s12.test", "/mutual", 200)
		}
		Eventually(func() string { return fleetStatus(w) }).ShouldNot(ContainSubstring("False"))
	})
}

// fleetStatus returns the conditions of the one EnvoyFleet.
func fleetStatus(w Signet) string {
	var out strings.Builder
	for _, c := range w.Fleet().Conditions {
		fmt.Fprintf(&out, "%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	if out.Len() == 0 {
		return "no status"
	}
	return out.String()
}
