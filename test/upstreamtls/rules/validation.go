package rules

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// validation describes how a backend is verified.
func (r *rules) validation() {
	It("S5: the right CA and name answer 200; everything else 503, and no request reaches the backend", func() {
		hour := time.Hour
		day := 24 * hour
		now := time.Now()
		names := []string{name}
		backends := map[string]*backend.Backend{
			"right":       r.serveTLS(r.good),
			"wrong-ca":    r.serveTLS(issue(r.otherCA, pki.Leaf{DNS: names})),
			"wrong-name":  r.serveTLS(issue(r.ca, pki.Leaf{DNS: []string{"another.example"}})),
			"expired":     r.serveTLS(issue(r.ca, pki.Leaf{DNS: names, NotBefore: now.Add(-2 * day), NotAfter: now.Add(-hour)})),
			"not-yet":     r.serveTLS(issue(r.ca, pki.Leaf{DNS: names, NotBefore: now.Add(hour), NotAfter: now.Add(day)})),
			"self-signed": r.serveTLS(issue(r.ca, pki.Leaf{DNS: names, SelfSigned: true})),
			"plaintext":   r.Serve(backend.Config{Name: "plaintext"}),
		}
		files := map[string]string{"ca": world.CA("s5", "ca", r.ca.PEM())}
		var routes []string
		for service, b := range backends {
			files["service-"+service] = world.Service("s5", service, 443, nil, b)
			routes = append(routes, world.Route("/"+service, world.Validated(service, 443, "tls", "ca", name)))
		}
		files["proxy"] = world.Proxy("s5", "p", "s5.test", world.Routes(routes...))
		w := r.Start(files)
		Expect(answers(w, "s5.test", "/right", 200).Seen.TLS).To(BeTrue())
		for service, b := range backends {
			if service == "right" {
				continue
			}
			for range 5 {
				a, err := w.Get("s5.test", "/"+service)
				Expect(err).NotTo(HaveOccurred())
				Expect(a.Code).To(Equal(503), service)
			}
			Expect(b.Requests()).To(BeEmpty(), service)
			Expect(b.Connections()).NotTo(BeZero(), "Envoy must have tried %s", service)
		}
	})

	It("S6: without caSecret or subjectName the proxy is rejected, and the message names the field", func() {
		b := r.serveTLS(r.good)
		w := r.Start(map[string]string{"objects": world.All(world.Service("s6", "b", 443, nil, b), world.CA("s6", "ca", r.ca.PEM()))})
		// The schema of the CRD refuses what the API server would refuse.
		for field, validation := range map[string]string{
			"caSecret": "subjectName: backend.example", "subjectName": "caSecret: ca",
		} {
			w.Write("proxy", world.Proxy("s6", "p", "s6.test", world.Routes(world.Route("/",
				fmt.Sprintf("- name: b\n  port: 443\n  protocol: tls\n  validation: {%s}\n", validation)))))
			Eventually(w.Problems).Should(And(ContainSubstring("spec.routes[0].services[0].validation"), ContainSubstring(field)))
			answers(w, "s6.test", "/", 404)
		}
		Expect(b.Requests()).To(BeEmpty())
	})

	It("S7: a CA Secret of another namespace needs a delegation, and loses it at once", func() {
		b := r.serveTLS(r.good)
		w := r.Start(map[string]string{
			"objects": world.All(world.Service("s7", "b", 443, nil, b), world.CA("s7-secrets", "ca", r.ca.PEM())),
			"proxy":   world.Proxy("s7", "p", "s7.test", world.Routes(world.Route("/", world.Validated("b", 443, "tls", "s7-secrets/ca", name)))),
		})
		answers(w, "s7.test", "/", 503)
		becomes(w, "s7", "p", "invalid")
		Eventually(func() string { return errorsOf(w, "s7", "p") }).Should(ContainSubstring("is not configured for certificate delegation"))
		for _, to := range []string{"s7", "*"} {
			w.Write("delegation", delegation("s7-secrets", "ca", to))
			answers(w, "s7.test", "/", 200)
			becomes(w, "s7", "p", "valid")
			seen := len(b.Requests())
			w.Remove("delegation")
			answers(w, "s7.test", "/", 503)
			becomes(w, "s7", "p", "invalid")
			w.Write("delegation", delegation("s7-secrets", "ca", "another-namespace"))
			Consistently(func() int { a, _ := w.Get("s7.test", "/"); return a.Code }, 200*time.Millisecond).Should(Equal(503))
			Expect(len(b.Requests())).To(BeNumerically(">=", seen))
		}
	})

	It("S8: validation on a port without TLS is rejected, says what to set, and never goes out in plaintext", func() {
		plain := r.Serve(backend.Config{Name: "plain"})
		w := r.Start(map[string]string{
			"objects": world.All(world.Service("s8", "b", 80, nil, plain), world.CA("s8", "ca", r.ca.PEM())),
			"proxy":   world.Proxy("s8", "p", "s8.test", world.Routes(world.Route("/", world.Validated("b", 80, "", "ca", name)))),
		})
		answers(w, "s8.test", "/", 503)
		becomes(w, "s8", "p", "invalid")
		Eventually(func() string { return errorsOf(w, "s8", "p") }).
			Should(And(ContainSubstring("projectcontour.io/upstream-protocol.tls"), ContainSubstring("protocol")))
		Expect(plain.Connections()).To(BeZero())
	})

	It("S9: every certificate of ca.crt is trusted, and text between the blocks is allowed", func() {
		w := r.Start(map[string]string{
			"objects": world.All(
				world.Service("s9", "one", 443, nil, r.serveTLS(r.good)),
				world.Service("s9", "two", 443, nil, r.serveTLS(issue(r.otherCA, pki.Leaf{DNS: []string{name}}))),
				world.CA("s9", "ca", []byte("# the first\n"), r.ca.PEM(), []byte("\nand the second:\n\n"), r.otherCA.PEM(), []byte("end\n"))),
			"proxy": world.Proxy("s9", "p", "s9.test", world.Routes(
				world.Route("/one", world.Validated("one", 443, "tls", "ca", name)),
				world.Route("/two", world.Validated("two", 443, "tls", "ca", name)))),
		})
		answers(w, "s9.test", "/one", 200)
		answers(w, "s9.test", "/two", 200)
		becomes(w, "s9", "p", "valid")
	})

	It("S10: a CA Secret that cannot be used makes the proxy invalid, and the detail says why", func() {
		b := r.serveTLS(r.good)
		w := r.Start(map[string]string{
			"objects": world.Service("s10", "tls-nginx", 443, nil, b),
			"proxy":   world.Proxy("s10", "p", "s10.test", world.Routes(world.Route("/", world.Validated("tls-nginx", 443, "tls", "ca", name)))),
		})
		badDER := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
		cases := map[string]struct{ secret, detail string }{
			"missing":     {"", "Secret not found"},
			"wrong type":  {world.Secret("s10", "ca", "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": "{}", "ca.crt": string(r.ca.PEM())}), "secret type is not"},
			"key missing": {world.Secret("s10", "ca", "Opaque", map[string]string{"ca.cert": string(r.ca.PEM())}), `"ca.crt"`},
			"not PEM":     {world.CA("s10", "ca", []byte("not a certificate")), "failed to locate certificate"},
			"bad DER":     {world.CA("s10", "ca", []byte(badDER)), "x509"},
			"empty":       {world.CA("s10", "ca"), `"ca.crt"`},
		}
		for reason, c := range cases {
			By(reason)
			if c.secret != "" {
				w.Write("ca", c.secret)
			}
			Eventually(func(g Gomega) {
				s := w.HTTPProxy("s10", "p")
				g.Expect(s.CurrentStatus).To(Equal("invalid"))
				g.Expect(s.Description).To(Equal(`route "/": service "tls-nginx": upstreamValidation requested but secret not found or misconfigured`))
				g.Expect(errorsOf(w, "s10", "p")).To(ContainSubstring(c.detail))
			}).Should(Succeed(), reason)
			answers(w, "s10.test", "/", 503)
			if c.secret != "" {
				w.Remove("ca")
			}
		}
		Expect(b.Requests()).To(BeEmpty())
	})

	It("S11: a Secret that breaks or goes fails its route closed at once; siblings and other hosts lose no request", func() {
		b := r.serveTLS(r.good)
		secret := world.CA("s11", "ca", r.ca.PEM())
		w := r.Start(map[string]string{
			"objects": world.All(world.Service("s11", "b", 443, nil, b), world.CA("s11", "other", r.ca.PEM())),
			"ca":      secret,
			"proxies": world.All(
				world.Proxy("s11", "p", "s11.test", world.Routes(
					world.Route("/hurt", world.Validated("b", 443, "tls", "ca", name)),
					world.Route("/sibling", world.Validated("b", 443, "tls", "other", name)))),
				world.Proxy("s11", "q", "neighbour.test", world.Routes(world.Route("/", world.Plain("b", 443, "tls"))))),
		})
		answers(w, "s11.test", "/hurt", 200)
		asked, unharmed := askAll(w, [][2]string{{"s11.test", "/sibling"}, {"neighbour.test", "/"}})
		for range 10 {
			before := asked.Load()
			w.Remove("ca")
			answers(w, "s11.test", "/hurt", 503)
			w.Write("ca", world.CA("s11", "ca", []byte("broken")))
			becomes(w, "s11", "p", "invalid")
			answers(w, "s11.test", "/hurt", 503)
			w.Write("ca", secret)
			answers(w, "s11.test", "/hurt", 200)
			Eventually(asked.Load).Should(BeNumerically(">=", before+4), "both must be asked all the while")
		}
		Expect(unharmed()).To(BeEmpty())
	})

	It("S14: routes that differ in CA or names never share a cluster, whatever the order of creation", func() {
		b := r.serveTLS(r.good)
		routes := map[string]string{
			"good":       world.Validated("b", 443, "tls", "ca", name),
			"other-ca":   world.Validated("b", 443, "tls", "wrong", name),
			"other-ns":   world.Validated("b", 443, "tls", "s14-other/ca", name),
			"other-name": world.Validated("b", 443, "tls", "ca", "another.example"),
			"more-names": world.Validated("b", 443, "tls", "ca", "another.example", "another.example", "third.example"),
			"unverified": world.Plain("b", 443, "tls"),
		}
		want := map[string]int{"good": 200, "other-ca": 503, "other-ns": 503, "other-name": 503, "more-names": 503, "unverified": 200}
		w := r.Start(map[string]string{"objects": world.All(
			world.Service("s14", "b", 443, nil, b), world.CA("s14", "ca", r.ca.PEM()), world.CA("s14", "wrong", r.otherCA.PEM()),
			world.CA("s14-other", "ca", r.otherCA.PEM()), delegation("s14-other", "ca", "s14"))})
		orders := [][]string{
			{"good", "other-ca", "other-ns", "other-name", "more-names", "unverified"},
			{"unverified", "more-names", "other-name", "other-ns", "other-ca", "good"},
		}
		for i, order := range orders {
			for _, r := range order {
				w.Write("proxy-"+r, world.Proxy("s14", r, r+".test", world.Routes(world.Route("/", routes[r]))))
				answers(w, r+".test", "/", want[r])
			}
			clusters := map[string]string{}
			for _, r := range order {
				answers(w, r+".test", "/", want[r])
				report := w.Report()
				if report == nil {
					continue // the answers tell them apart
				}
				c := upstreamOf(report, r+".test").Cluster
				Expect(clusters).NotTo(HaveKey(c), "%s shares a cluster with %s", r, clusters[c])
				clusters[c] = r
			}
			if i == 0 {
				for _, r := range order {
					w.Remove("proxy-" + r)
					answers(w, r+".test", "/", 404)
				}
			}
		}
	})

	It("S16: any one of subjectNames suffices, and IP and URI names work", func() {
		spiffe := "spiffe://example.org/ns/a/sa/b"
		w := r.Start(map[string]string{
			"objects": world.All(world.CA("s16", "ca", r.ca.PEM()),
				world.Service("s16", "dns", 443, nil, r.serveTLS(r.good)),
				world.Service("s16", "ip", 443, nil, r.serveTLS(issue(r.ca, pki.Leaf{IPs: []net.IP{loopback}}))),
				world.Service("s16", "uri", 443, nil, r.serveTLS(issue(r.ca, pki.Leaf{URIs: []string{spiffe}})))),
			"proxy": world.Proxy("s16", "p", "s16.test", world.Routes(
				world.Route("/any", world.Validated("dns", 443, "tls", "ca", "x.example", "x.example", name)),
				world.Route("/none", world.Validated("dns", 443, "tls", "ca", "x.example", "x.example", "y.example")),
				world.Route("/ip", world.Validated("ip", 443, "tls", "ca", "127.0.0.1")),
				world.Route("/not-ip", world.Validated("ip", 443, "tls", "ca", "127.0.0.2")),
				world.Route("/uri", world.Validated("uri", 443, "tls", "ca", spiffe)),
				world.Route("/not-uri", world.Validated("uri", 443, "tls", "ca", spiffe+"x")))),
		})
		for path, code := range map[string]int{"/any": 200, "/none": 503, "/ip": 200, "/not-ip": 503, "/uri": 200, "/not-uri": 503} {
			By(path)
			answers(w, "s16.test", path, code)
		}
	})
}

func delegation(namespace, secret, to string) string {
	return fmt.Sprintf(`apiVersion: projectcontour.io/v1
kind: TLSCertificateDelegation
metadata: {name: delegation, namespace: %s}
spec: {delegations: [{secretName: %s, targetNamespaces: [%q]}]}
`, namespace, secret, to)
}

// askAll asks the targets in a loop, and counts that, until the returned function is
// called, which tells the answers that were not 200.
func askAll(w Signet, targets [][2]string) (*atomic.Int64, func() []string) {
	stop, done := make(chan struct{}), make(chan struct{})
	asked := &atomic.Int64{}
	var failed []string
	go func() {
		defer GinkgoRecover()
		defer close(done)
		for {
			for _, t := range targets {
				a, err := w.Get(t[0], t[1])
				asked.Add(1)
				switch {
				case err != nil:
					failed = append(failed, err.Error())
				case a.Code != 200:
					failed = append(failed, fmt.Sprintf("%s%s: %d %s", t[0], t[1], a.Code, a.Body))
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	return asked, func() []string {
		close(stop)
		<-done
		return failed
	}
}
