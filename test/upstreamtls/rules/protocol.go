package rules

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// upstreamOf returns how the first route of a host reaches its first backend.
func upstreamOf(r *report.Report, host string) report.Upstream {
	GinkgoHelper()
	for i := range r.Hosts {
		if r.Hosts[i].Host != host {
			continue
		}
		for _, route := range r.Hosts[i].Routes {
			if len(route.Upstreams) > 0 {
				return route.Upstreams[0]
			}
		}
	}
	Fail("no upstream is reported for host " + host)
	return report.Upstream{}
}

const annotation = "projectcontour.io/upstream-protocol."

// protocol describes how the protocol of an upstream is chosen.
func (r *rules) protocol() {
	It("S1: the Service's tls annotation gives TLS to that port, by number and by name, and to no other", func() {
		tls, plain := r.serveTLS(r.good), r.Serve(backend.Config{Name: "plain"})
		twoPorts := func(name, value string) string {
			return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: s1, annotations: {projectcontour.io/upstream-protocol.tls: %[2]q}}
spec: {ports: [{name: secure, port: 443}, {name: web, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: s1, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
endpoints: [{addresses: [%[5]q]}]
ports: [{name: secure, port: %[3]d}, {name: web, port: %[4]d}]
`, name, value, tls.Port(), plain.Port(), tls.Address().IP)
		}
		w := r.Start(map[string]string{
			"number": twoPorts("number", "443"),
			"name":   twoPorts("name", "other, secure"),
			"proxies": world.All(
				world.Proxy("s1", "number", "number.test", world.Routes(world.Route("/tls", world.Plain("number", 443, "")), world.Route("/plain", world.Plain("number", 80, "")))),
				world.Proxy("s1", "name", "name.test", world.Routes(world.Route("/tls", world.Plain("name", 443, "")), world.Route("/plain", world.Plain("name", 80, "")))),
			),
		})
		for _, host := range []string{"number.test", "name.test"} {
			Expect(answers(w, host, "/tls", 200).Seen.TLS).To(BeTrue(), "port 443 of %s", host)
			Expect(answers(w, host, "/plain", 200).Seen.TLS).To(BeFalse(), "port 80 of %s", host)
		}
	})

	It("S2: services[].protocol tls gives TLS without an annotation", func() {
		w := r.Start(map[string]string{
			"service": world.Service("s2", "b", 443, nil, r.serveTLS(r.good)),
			"proxy":   world.Proxy("s2", "p", "s2.test", world.Routes(world.Route("/", world.Plain("b", 443, "tls")))),
		})
		Expect(answers(w, "s2.test", "/", 200).Seen.TLS).To(BeTrue())
	})

	It("S3: the field wins over the annotation, both ways", func() {
		w := r.Start(map[string]string{
			"services": world.All(
				world.Service("s3", "plain", 80, map[string]string{annotation + "tls": "80"}, r.Serve(backend.Config{Name: "plain"})),
				world.Service("s3", "secure", 443, map[string]string{annotation + "h2c": "443"}, r.serveTLS(r.good))),
			"proxy": world.Proxy("s3", "p", "s3.test", world.Routes(
				world.Route("/plain", world.Plain("plain", 80, "h2c")), world.Route("/secure", world.Plain("secure", 443, "tls")))),
		})
		plain := answers(w, "s3.test", "/plain", 200).Seen
		Expect(plain.TLS).To(BeFalse())
		Expect(plain.Proto).To(Equal("HTTP/2.0"))
		secure := answers(w, "s3.test", "/secure", 200).Seen
		Expect(secure.TLS).To(BeTrue())
		Expect(secure.Proto).To(Equal("HTTP/1.1"))
	})

	It("S4: without validation a self-signed backend answers, and status says NOT verified", func() {
		selfSigned := issue(r.otherCA, pki.Leaf{DNS: []string{"whatever"}, SelfSigned: true})
		w := r.Start(map[string]string{
			"service": world.Service("s4", "b", 443, nil, r.serveTLS(selfSigned)),
			"proxy":   world.Proxy("s4", "p", "s4.test", world.Routes(world.Route("/", world.Plain("b", 443, "tls")))),
		})
		answers(w, "s4.test", "/", 200)
		if w.Report() == nil {
			return // who runs the rules there counts the metric of unverified upstreams
		}
		u := upstreamOf(w.Report(), "s4.test")
		Expect(u.TLS).NotTo(BeNil())
		Expect(u.TLS.Verified).To(BeFalse())
		Expect(textOf(w.Report())).To(ContainSubstring("NOT verified"))
	})

	It("S13: the SNI is the Host rewrite (service, then route), the ExternalName, else the first subject name", func() {
		b := r.Serve(backend.Config{Name: "tls", Certificate: &issue(r.ca, pki.Leaf{DNS: []string{
			name, "by-service.example", "by-route.example", "localhost.localdomain"}}).TLS})
		validated := world.Validated("b", 443, "tls", "ca", name)
		withHost := func(policy, host string) string {
			return fmt.Sprintf("%s:\n  set:\n  - name: Host\n    value: %s\n", policy, host)
		}
		service := validated + indent2(withHost("requestHeadersPolicy", "by-service.example"))
		w := r.Start(map[string]string{
			"objects": world.All(world.Service("s13", "b", 443, nil, b), world.CA("s13", "ca", r.ca.PEM())),
			"proxy": world.Proxy("s13", "p", "s13.test", world.Routes(
				world.Route("/first", validated),
				world.Route("/service", service),
				world.Route("/route", validated)+indent2(withHost("requestHeadersPolicy", "by-route.example")),
				world.Route("/both", service)+indent2(withHost("requestHeadersPolicy", "by-route.example")),
			)),
		})
		want := map[string]string{"/first": name, "/service": "by-service.example", "/route": "by-route.example", "/both": "by-service.example"}
		for path, sni := range want {
			Expect(answers(w, "s13.test", path, 200).Seen.SNI).To(Equal(sni), path)
		}
		if w.Report() == nil {
			return // a name outside is resolved by nobody there
		}
		w.Write("external", fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: out, namespace: s13}
spec: {type: ExternalName, externalName: backend.example.test, ports: [{name: web, port: %d}]}
`, b.Port()))
		w.Write("external-proxy", world.Proxy("s13", "external", "external.test", world.Routes(
			world.Route("/", world.Validated("out", b.Port(), "tls", "ca", name)))))
		Eventually(func(g Gomega) {
			g.Expect(hostReported(w.Report(), "external.test")).To(BeTrue())
		}).Should(Succeed())
		Expect(upstreamOf(w.Report(), "external.test").TLS.SNI).To(Equal("backend.example.test"))
	})

	It("S15: h2 is HTTP/2 over TLS by ALPN, tls is HTTP/1.1 over TLS, both with validation", func() {
		both := r.serveTLS(r.good)
		only2 := r.Serve(backend.Config{Name: "only-h2", Certificate: &r.good.TLS, Protocols: []string{"h2"}})
		w := r.Start(map[string]string{
			"objects": world.All(world.Service("s15", "both", 443, nil, both), world.Service("s15", "only2", 443, nil, only2),
				world.CA("s15", "ca", r.ca.PEM()), world.CA("s15", "wrong", r.otherCA.PEM())),
			"proxy": world.Proxy("s15", "p", "s15.test", world.Routes(
				world.Route("/h2", world.Validated("both", 443, "h2", "ca", name)),
				world.Route("/only2", world.Validated("only2", 443, "h2", "ca", name)),
				world.Route("/h1", world.Validated("both", 443, "tls", "ca", name)),
				world.Route("/wrong-h2", world.Validated("both", 443, "h2", "wrong", name)),
			)),
		})
		for _, path := range []string{"/h2", "/only2"} {
			seen := answers(w, "s15.test", path, 200).Seen
			Expect([]string{seen.Proto, seen.ALPN}).To(Equal([]string{"HTTP/2.0", "h2"}), "%s: %+v", path, seen)
		}
		seen := answers(w, "s15.test", "/h1", 200).Seen
		Expect(seen.Proto).To(Equal("HTTP/1.1"))
		Expect(seen.ALPN).To(BeElementOf("http/1.1", ""))
		answers(w, "s15.test", "/wrong-h2", 503)
	})
}
