package httpproxy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Upstream TLS as an HTTPProxy asks for it. What a backend gets is decided, and
// tested, in translator/upstream.
func TestUpstreamTLS(t *testing.T) {
	runWorld(t, map[string]worldCase{
		"validation": {
			reason: "protocol by annotation and by field; the CA is the document's namespace's",
			manifests: `
name: team/root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {services: [{name: web, port: 443, validation: {caSecret: ca, subjectName: web.test, subjectNames: [web.test, x.test]}}]}
  - {conditions: [{prefix: /f}], services: [{name: web, port: 80, protocol: h2, validation: {caSecret: ca, subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /open}], services: [{name: web, port: 443}]}`,
			served: `
http a.example.com
  prefix /open => team/web:443*1 TLS
  prefix /f => team/web:80*1 TLS(team/ca web.test)
  prefix / => team/web:443*1 TLS(team/ca web.test)`,
			statuses: `team/root valid: Valid HTTPProxy`,
		},
		"S10 missing CA": {
			reason: "Contour's description; the siblings serve",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {services: [{name: tls-nginx, port: 443, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /ok}], services: [{name: web, port: 80}]}`,
			served: `
http a.example.com
  prefix /ok => default/web:80*1
  prefix / => 503`,
			statuses: `
default/root invalid: route "/": service "tls-nginx": upstreamValidation requested but secret not found or misconfigured
  ServiceError/TLSUpstreamValidation: route "/": service "tls-nginx": Service [tls-nginx:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found`,
		},
		"one of several backends": {
			reason: "a weighted route with a backend that cannot be verified is closed as a whole",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {services: [{name: web, port: 80, weight: 99}, {name: web, port: 443, weight: 1, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}`,
			served: `
http a.example.com
  prefix / => 503`,
		},
		"S6 and S8": {
			reason: "what is missing is named, and validation never becomes plaintext",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /ca}], services: [{name: web, port: 443, validation: {caSecret: "", subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /name}], services: [{name: web, port: 443, validation: {caSecret: ca, subjectName: "", subjectNames: [web.test]}}]}
  - {conditions: [{prefix: /differ}], services: [{name: web, port: 443, validation: {caSecret: ca, subjectName: web.test, subjectNames: [other.test]}}]}
  - {conditions: [{prefix: /plain}], services: [{name: web, port: 80, validation: {caSecret: ca, subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /proto}], services: [{name: web, port: 443, protocol: spdy}]}
  - {conditions: [{prefix: /port}], services: [{name: web, port: 0}]}`,
			served: `
http a.example.com
  prefix /differ => 503
  prefix /proto => 503
  prefix /plain => 503
  prefix /port => 503
  prefix /name => 503
  prefix /ca => 503`,
			statuses: `
default/root invalid: ` + generic + `
  ServiceError/TLSUpstreamValidation: route "/ca": service "web": Service [web:443] TLS upstream validation policy error: caSecret is required: name a Secret with a CA bundle in its key ca.crt
  ServiceError/TLSUpstreamValidation: route "/name": service "web": Service [web:443] TLS upstream validation policy error: missing subject alternative name: set subjectName to a name in the backend's certificate
  ServiceError/TLSUpstreamValidation: route "/differ": service "web": Service [web:443] TLS upstream validation policy error: first entry of SubjectNames (other.test) does not match SubjectName (web.test)
  ServiceError/TLSUpstreamValidation: route "/plain": service "web": Service [web:80] TLS upstream validation policy error: validation needs TLS: nothing asks for TLS to this port: set services[].protocol to "tls" or "h2", or annotate service "default/web" with projectcontour.io/upstream-protocol.tls: "80"
  ServiceError/UnsupportedProtocol: route "/proto": service "web": unsupported protocol: spdy
  ServiceError/ServicePortInvalid: route "/port": service "web": port must be in the range 1-65535`,
		},
		"every failing route is named": {
			reason: "also those that fail alike, and those with the same path",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /a}], services: [{name: web, port: 443, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /b}], services: [{name: web, port: 443, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /c}, {header: {name: x, present: true}}], services: [{name: web, port: 443, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}
  - {conditions: [{prefix: /c}, {header: {name: z, present: true}}], services: [{name: web, port: 443, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}`,
			served: `
http a.example.com
  prefix /c x present => 503
  prefix /c z present => 503
  prefix /b => 503
  prefix /a => 503`,
			statuses: `
default/root invalid: route "/a": service "web": upstreamValidation requested but secret not found or misconfigured
  ServiceError/TLSUpstreamValidation: route "/a": service "web": Service [web:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  ServiceError/TLSUpstreamValidation: route "/b": service "web": Service [web:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  ServiceError/TLSUpstreamValidation: route "/c" (spec.routes[2]): service "web": Service [web:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  ServiceError/TLSUpstreamValidation: route "/c" (spec.routes[3]): service "web": Service [web:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found`,
		},
		"S7 not delegated": {
			reason: "a CA of another namespace needs a delegation",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {services: [{name: web, port: 443, validation: {caSecret: certs/ca, subjectName: web.test, subjectNames: []}}]}`,
			served: `
http a.example.com
  prefix / => 503`,
			statuses: `
default/root invalid: ` + generic + `
  TLSError/CACertificateNotDelegated: route "/": service "web": service.UpstreamValidation.CACertificate Secret "certs/ca" is not configured for certificate delegation: a TLSCertificateDelegation in namespace "certs" must name it and the target namespace "default"`,
		},
	})
}

// Annotations that say nothing leave the port in cleartext: not in silence.
func TestMistakenAnnotations(t *testing.T) {
	s := service(ir.Name{Namespace: "default", Name: "web"})
	s.Annotations = map[string]string{
		"projectcontour.io/upstream-protocol.https": "443",
		"projectcontour.io/upstream-protocol.tls":   "0443",
		"projectcontour.io/max-requests":            "many",
	}
	w := translate(&fakeObjects{ServiceFn: serviceAlways(s)}, fleet(), []Selector{selector()}, proxies(t, `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {services: [{name: web, port: 443}, {name: web, port: 80}]}
  - {conditions: [{prefix: /a}], services: [{name: web, port: 443}]}`))
	want := `
default/root valid: Valid HTTPProxy
  warning ServiceError/AnnotationInvalid: annotation projectcontour.io/max-requests of service "default/web" is not a number of 0 to 4294967295: "many"
  warning ServiceError/AnnotationInvalid: annotation projectcontour.io/upstream-protocol.https of service "default/web" is unknown: the protocols are "tls", "h2" and "h2c"
  warning ServiceError/AnnotationInvalid: annotation projectcontour.io/upstream-protocol.tls of service "default/web" names no port of it: "0443"`
	if diff := cmp.Diff(trimLines(want), trimLines(w.report())); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// As in Contour an expired certificate is presented, but somebody is told.
func TestExpiredHostCertificate(t *testing.T) {
	o := &fakeObjects{ValidityFn: func(r ir.CertificateRef) *upstream.Problem {
		return &upstream.Problem{Reason: reason.Expired, Message: fmt.Sprintf("Secret %q is invalid: certificate expired", r.Name)}
	}}
	w := translate(o, fleet(), []Selector{selector()}, proxies(t, `
name: root
spec:
  virtualhost: {fqdn: a.example.com, tls: {secretName: cert}}
  routes: [{services: [{name: web, port: 80}]}]`))
	served := `
http a.example.com
  prefix / => https 301
https a.example.com
  prefix / => default/web:80*1
certificate default/cert on https 1.2-1.3 own=false`
	if diff := cmp.Diff(trimLines(served), trimLines(w.print())); diff != "" {
		t.Errorf("served: -want, +got:\n%s", diff)
	}
	statuses := `
default/root valid: Valid HTTPProxy
  warning TLSError/Expired: Spec.VirtualHost.TLS Secret "default/cert" is invalid: certificate expired: it is presented all the same and clients may refuse it`
	if diff := cmp.Diff(trimLines(statuses), trimLines(w.report())); diff != "" {
		t.Errorf("statuses: -want, +got:\n%s", diff)
	}
}
