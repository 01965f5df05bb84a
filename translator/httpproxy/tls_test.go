package httpproxy

import "testing"

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
  ServiceError/TLSUpstreamValidation: Service [tls-nginx:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found`,
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
  ServiceError/TLSUpstreamValidation: Service [web:443] TLS upstream validation policy error: caSecret is required: name a Secret with a CA bundle in its key ca.crt
  ServiceError/TLSUpstreamValidation: Service [web:443] TLS upstream validation policy error: missing subject alternative name: set subjectName to a name in the backend's certificate
  ServiceError/TLSUpstreamValidation: Service [web:443] TLS upstream validation policy error: first entry of SubjectNames (other.test) does not match SubjectName (web.test)
  ServiceError/TLSUpstreamValidation: Service [web:80] TLS upstream validation policy error: validation needs TLS: nothing asks for TLS to this port: set services[].protocol to "tls" or "h2", or annotate service "default/web" with projectcontour.io/upstream-protocol.tls: "80"
  ServiceError/UnsupportedProtocol: unsupported protocol: spdy
  ServiceError/ServicePortInvalid: service "web": port must be in the range 1-65535`,
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
  TLSError/CACertificateNotDelegated: service.UpstreamValidation.CACertificate Secret "certs/ca" is not configured for certificate delegation: a TLSCertificateDelegation in namespace "certs" must name it and the target namespace "default"`,
		},
	})
}
