package httpproxy

import "testing"

const generic = "At least one error present, see Errors for details"

// Conditions and their order.
func TestRoutes(t *testing.T) {
	runWorld(t, map[string]worldCase{
		"precedence": {
			reason: "exact, regex, prefix; longer first; more headers, then more query conditions",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: A.example.com}
  routes:
  - {services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /a}], services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /a}, {queryParameter: {name: q, present: true}}], services: [{name: q, port: 80}]}
  - {conditions: [{prefix: /a}, {header: {name: X, notcontains: z}}, {header: {name: W, exact: "1"}}], services: [{name: two, port: 80}]}
  - {conditions: [{prefix: /a}, {header: {name: X, present: true}}], services: [{name: one, port: 80}]}
  - {conditions: [{regex: "/r+"}], services: [{name: re, port: 80}]}
  - {conditions: [{header: {name: Z, notpresent: true}}, {exact: /e}], services: [{name: ex, port: 80}]}
  - {conditions: [{prefix: /abc}], services: [{name: web, port: 80}]}`,
			served: `
http a.example.com
  exact /e z not present => default/ex:80*1
  regex /r+ => default/re:80*1
  prefix /abc => default/web:80*1
  prefix /a w exact=1 x not contains=z => default/two:80*1
  prefix /a x present => default/one:80*1
  prefix /a ?q present => default/q:80*1
  prefix /a => default/web:80*1
  prefix / => default/web:80*1`,
			statuses: `default/root valid: Valid HTTPProxy`,
		},
		"same match": {
			reason: "the last of two routes with the same conditions serves, and the other one's owner is told",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /a}], services: [{name: first, port: 80}]}
  - {conditions: [{prefix: /a}], services: [{name: last, port: 80}]}`,
			served: `
http a.example.com
  prefix /a => default/last:80*1`,
			statuses: `
default/root valid: Valid HTTPProxy
  warning RouteError/DuplicateMatchConditions: route "/a" is never reached: a route of HTTPProxy default/root has the same conditions on host a.example.com`,
		},
		"same match, the last one broken": {
			reason: "a route that serves must not take over what the broken one was to serve",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /a}], services: [{name: first, port: 80}]}
  - {conditions: [{prefix: /a}], services: [{name: last, port: 443, validation: {caSecret: nope, subjectName: x.test, subjectNames: [x.test]}}]}`,
			served: `
http a.example.com
  prefix /a => 503`,
		},
		"condition that cannot be read": {
			reason: "the route keeps what could be read, behind good routes of the same precedence",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /a}, {header: {name: X, regex: "("}}], services: [{name: bad, port: 80}]}
  - {conditions: [{prefix: /a}], services: [{name: good, port: 80}]}
  - {conditions: [{prefix: /b}, {queryParameter: {name: q}}], services: [{name: bad, port: 80}]}
  - {conditions: [{prefix: nope}], services: [{name: bad, port: 80}]}`,
			served: `
http a.example.com
  prefix /b => 503
  prefix /a => default/good:80*1
  prefix / => 503`,
			statuses: `
default/root invalid: ` + generic + `
  RouteError/HeaderMatchConditionsNotValid: invalid regular expression specified for 'regex' condition of "x": error parsing regexp: missing closing ): ` + "`(`" + `
  RouteError/QueryParameterMatchConditionsNotValid: must specify at least one query parameter condition
  RouteError/PathMatchConditionsNotValid: route: prefix conditions must start with /, nope was supplied`,
		},
		"actions": {
			reason: "exactly one of services, redirect and direct response",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /none}]}
  - {conditions: [{prefix: /two}], services: [{name: web, port: 80}], directResponsePolicy: {statusCode: 200}}
  - {conditions: [{prefix: /redirect}], requestRedirectPolicy: {hostname: b.example.com, statusCode: 301, path: /x}}
  - {conditions: [{prefix: /direct}], directResponsePolicy: {statusCode: 404, body: gone}, timeoutPolicy: {response: 1s}}
  - {conditions: [{prefix: /badredirect}], requestRedirectPolicy: {path: /x, prefix: /y}}`,
			served: `
http a.example.com
  prefix /badredirect => 503
  prefix /redirect => 301 b.example.com /x
  prefix /direct => 404
  prefix /none => 503
  prefix /two => 503`,
			statuses: `
default/root invalid: ` + generic + `
  RouteError/RouteActionCountNotValid: must set exactly one of route.services or route.requestRedirectPolicy or route.directResponsePolicy
  RouteError/RequestRedirectPolicy: route.requestRedirectPolicy is invalid: cannot specify both redirect path and redirect prefix
  warning SpecError/IgnoredField: ignoring field "spec.routes[3].timeoutPolicy"; the route answers by itself`,
		},
		"weights": {
			reason: "no weights split evenly; a service that does not exist is passed over; weight 0 gets nothing; none left answers 503",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /even}], services: [{name: a, port: 80}, {name: b, port: 80}]}
  - {conditions: [{prefix: /w}], services: [{name: a, port: 80, weight: 9}, {name: b, port: 80}, {name: missing, port: 80, weight: 5}]}
  - {conditions: [{prefix: /zero}], services: [{name: b, port: 80}, {name: missing, port: 80, weight: 5}]}
  - {conditions: [{prefix: /gone}], services: [{name: missing, port: 80}, {name: a, port: 81}]}
  - {conditions: [{prefix: /neg}], services: [{name: a, port: 80, weight: -1}]}`,
			served: `
http a.example.com
  prefix /zero => 503
  prefix /gone => 503
  prefix /even => default/a:80*1, default/b:80*1
  prefix /neg => 503
  prefix /w => default/a:80*9, default/b:80*0`,
			statuses: `
default/root invalid: ` + generic + `
  ServiceError/ServiceUnresolvedReference: Spec.Routes unresolved service reference: service "default/missing" not found
  ServiceError/ServiceUnresolvedReference: Spec.Routes unresolved service reference: port "81" on service "default/a" not matched
  ServiceError/WeightNotValid: service "a": weight -1: weights must not be negative, nor add up to more than 4294967295`,
		},
		"mirrors": {
			reason: "a mirror that cannot be honoured is left out and the route serves",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /all}], services: [{name: a, port: 80}, {name: m, port: 80, mirror: true}]}
  - {conditions: [{prefix: /share}], services: [{name: a, port: 80}, {name: m, port: 80, mirror: true, weight: 30}, {name: n, port: 80, mirror: true}]}
  - {conditions: [{prefix: /ca}], services: [{name: a, port: 80}, {name: m, port: 443, mirror: true, validation: {caSecret: nope, subjectName: m, subjectNames: [m]}}]}
  - {conditions: [{prefix: /alone}], services: [{name: m, port: 80, mirror: true}]}`,
			served: `
http a.example.com
  prefix /share => default/a:80*1 mirror default/m 30/100
  prefix /alone => 503
  prefix /all => default/a:80*1 mirror default/m 100/100
  prefix /ca => default/a:80*1`,
			statuses: `
default/root invalid: ` + generic + `
  ServiceError/OnlyOneMirror: only one service per route may be nominated as mirror
  ServiceError/TLSUpstreamValidation: Service [m:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  RouteError/RouteActionCountNotValid: the route has no service but its mirror`,
		},
		"prefix replacement": {
			reason: "the entry that names the prefix, else the default one; paths join with one slash",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /a}], services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /d}, {prefix: /a, replacement: /x}]}}
  - {conditions: [{prefix: /b/}], services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /d}]}}
  - {conditions: [{prefix: /n}], services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{prefix: /other, replacement: /d}]}}
  - {services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{prefix: /, replacement: /d}]}}
  - {conditions: [{exact: /e}], services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /d}]}}
  - {conditions: [{prefix: /dup}], services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{prefix: /p, replacement: /d}, {prefix: /p, replacement: /d}]}}
  - {conditions: [{prefix: /amb}], services: [{name: a, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /d}, {replacement: /d}]}}`,
			served: `
http a.example.com
  exact /e => 503
  exact /b => default/a:80*1 rewrite /d
  prefix /dup => 503
  prefix /amb => 503
  prefix /b/ => default/a:80*1 rewrite /d
  prefix /n => default/a:80*1
  prefix /a => default/a:80*1 rewrite /x
  prefix / => default/a:80*1 rewrite /d/`,
			statuses: `
default/root invalid: ` + generic + `
  PrefixReplaceError/MustHavePrefix: cannot specify prefix replacements without a prefix condition
  PrefixReplaceError/DuplicateReplacement: duplicate replacement prefix '/p'
  PrefixReplaceError/AmbiguousReplacement: ambiguous prefix replacement`,
		},
	})
}

// Upstream TLS as an HTTPProxy asks for it. What a backend gets is decided, and
// tested, in translator/upstream.
func TestUpstreamTLS(t *testing.T) {
	const generic = "At least one error present, see Errors for details"
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

func TestIncludes(t *testing.T) {
	runWorld(t, map[string]worldCase{
		"conditions are joined": {
			reason: "prefixes concatenate, headers and query conditions add up, exact and regex stay at the leaf",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  includes:
  - {name: child, namespace: team, conditions: [{prefix: /team/}, {header: {name: X, exact: "1"}}]}
  routes:
  - {services: [{name: web, port: 80}]}
---
name: team/child
spec:
  includes:
  - {name: leaf, conditions: [{prefix: /leaf}, {queryParameter: {name: q, exact: "2"}}]}
  routes:
  - {services: [{name: web, port: 80}]}
  - {conditions: [{exact: /e}], services: [{name: web, port: 80}]}
  - {conditions: [{regex: "/r|/s"}], services: [{name: web, port: 80}]}
---
name: team/leaf
spec:
  routes:
  - {conditions: [{prefix: /x}], services: [{name: leaf, port: 80}]}`,
			served: `
http a.example.com
  exact /team/e x exact=1 => team/web:80*1
  regex /team(?:/r|/s) x exact=1 => team/web:80*1
  prefix /team/leaf/x x exact=1 ?q exact=2 => team/leaf:80*1
  prefix /team/ x exact=1 => team/web:80*1
  prefix / => default/web:80*1`,
			statuses: `
default/root valid: Valid HTTPProxy
team/child valid: Valid HTTPProxy
team/leaf valid: Valid HTTPProxy`,
		},
		"lost includes": {
			reason: "a missing one answers 502 on its conditions, 503 without any; the shorter route does not take over",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  includes:
  - {name: nope, conditions: [{prefix: /nope}]}
  - {name: other, conditions: [{prefix: /other}]}
  - {name: classy, conditions: [{prefix: /classy}]}
  - {name: child, conditions: [{regex: /re}]}
  - {name: child, conditions: [{prefix: /twice}]}
  - {name: child, conditions: [{prefix: /twice}]}
  - {name: nope}
  routes:
  - {conditions: [{prefix: /}, {header: {name: X, present: true}}], services: [{name: web, port: 80}]}
---
name: other
spec:
  virtualhost: {fqdn: b.example.com}
  routes: [{services: [{name: web, port: 80}]}]
---
name: classy
spec:
  ingressClassName: elsewhere
  routes: [{services: [{name: web, port: 80}]}]
---
name: child
spec:
  routes: [{conditions: [{prefix: /c}], services: [{name: web, port: 80}]}]`,
			served: `
http a.example.com
  prefix /twice/c => default/web:80*1
  prefix /classy => 502
  prefix /twice => 503
  prefix /other => 502
  prefix /nope => 502
  prefix / x present => default/web:80*1
  prefix / => 503
http b.example.com
  prefix / => default/web:80*1`,
			statuses: `
default/child valid: Valid HTTPProxy
default/classy :
default/other valid: Valid HTTPProxy
default/root invalid: ` + generic + `
  IncludeError/PathMatchConditionsNotValid: include: regex conditions are not allowed in includes block
  IncludeError/DuplicateMatchConditions: duplicate conditions defined on an include
  IncludeError/IncludeNotFound: include default/nope not found
  IncludeError/RootIncludesRoot: root httpproxy cannot include another root httpproxy (default/other)
  IncludeError/IncludeNotFound: include default/classy not found: it is there, but names the ingress class "elsewhere"`,
		},
		"cycle": {
			reason: "the include that closes the circle answers 503; the object that it leads back to says so",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  includes: [{name: a, conditions: [{prefix: /a}]}]
---
name: a
spec:
  includes: [{name: b, conditions: [{prefix: /b}]}]
  routes: [{services: [{name: web, port: 80}]}]
---
name: b
spec:
  includes: [{name: a, conditions: [{prefix: /a}]}]
---
name: orphan
spec:
  routes: [{services: [{name: missing, port: 80}]}]`,
			served: `
http a.example.com
  prefix /a/b/a => 503
  prefix /a => default/web:80*1`,
			statuses: `
default/a invalid: ` + generic + `
  IncludeError/IncludeCreatesCycle: include creates an include cycle: default/root -> default/a -> default/b -> default/a
default/b valid: Valid HTTPProxy
default/orphan orphaned: this HTTPProxy is not part of a delegation chain from a root HTTPProxy
  Orphaned/Orphaned: this HTTPProxy is not part of a delegation chain from a root HTTPProxy
default/root valid: Valid HTTPProxy`,
		},
		"broken child": {
			reason: "its route answers 503, not the parent's shorter one",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  includes: [{name: child, conditions: [{prefix: /pay}, {header: {name: X, exact: "1"}}]}]
  routes: [{services: [{name: web, port: 80}]}]
---
name: child
spec:
  routes:
  - {services: [{name: pay, port: 443, validation: {caSecret: nope, subjectName: pay.test, subjectNames: []}}]}
  - {conditions: [{prefix: /h}, {header: {name: x, exact: "2"}}], services: [{name: pay, port: 80}]}`,
			served: `
http a.example.com
  prefix /pay/h x exact=1 x exact=2 => 503
  prefix /pay x exact=1 => 503
  prefix / => default/web:80*1`,
			statuses: `
default/child invalid: ` + generic + `
  ServiceError/TLSUpstreamValidation: Service [pay:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  RouteError/HeaderMatchConditionsNotValid: cannot specify duplicate header 'exact match' conditions in the same route (header "x")
default/root valid: Valid HTTPProxy`,
		},
	})
}

func TestHosts(t *testing.T) {
	runWorld(t, map[string]worldCase{
		"TLS": {
			reason: "routes on the TLS listener; 301 on the plain one but for permitInsecure",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: "*.example.com", tls: {secretName: cert, minimumProtocolVersion: "1.3"}}
  routes:
  - {services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /open}], permitInsecure: true, services: [{name: web, port: 80}]}`,
			served: `
http *.example.com
  prefix /open => default/web:80*1
  prefix / => https 301
https *.example.com
  prefix /open => default/web:80*1
  prefix / => default/web:80*1
certificate default/cert on https 1.3-1.3 own=true`,
			statuses: `default/root valid: Valid HTTPProxy`,
		},
		"broken certificate": {
			reason: "no certificate, and no route for a handshake with a wildcard's; the plain side stays",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com, tls: {secretName: nope}}
  routes: [{services: [{name: web, port: 80}]}]
---
name: foreign
spec:
  virtualhost: {fqdn: b.example.com, tls: {secretName: certs/cert}}
  routes: [{services: [{name: web, port: 80}]}]`,
			served: `
http a.example.com
  prefix / => https 301
https a.example.com
  prefix / => 503
http b.example.com
  prefix / => https 301
https b.example.com
  prefix / => 503`,
			statuses: `
default/foreign invalid: ` + generic + `
  TLSError/DelegationNotPermitted: Spec.VirtualHost.TLS Secret "certs/cert" certificate delegation not permitted
default/root invalid: ` + generic + `
  TLSError/SecretNotValid: Spec.VirtualHost.TLS Secret "default/nope" is invalid: Secret not found`,
		},
		"bad TLS block": {
			reason: "the host answers 503",
			manifests: `
name: none
spec:
  virtualhost: {fqdn: none.example.com, tls: {}}
  routes: [{services: [{name: web, port: 80}]}]
---
name: both
spec:
  virtualhost: {fqdn: both.example.com, tls: {secretName: cert, passthrough: true}}
  tcpproxy: {services: [{name: web, port: 443}]}
---
name: versions
spec:
  virtualhost: {fqdn: versions.example.com, tls: {secretName: cert, minimumProtocolVersion: "1.3", maximumProtocolVersion: "1.2"}}
  routes: [{services: [{name: web, port: 80}]}]`,
			served: `
http none.example.com
  prefix / => 503
https none.example.com
  prefix / => 503
http both.example.com
  prefix / => 503
tcp both.example.com certificate=<nil> =>
http versions.example.com
  prefix / => 503
https versions.example.com
  prefix / => 503`,
			statuses: `
default/both invalid: ` + generic + `
  TLSError/TLSConfigNotValid: Spec.VirtualHost.TLS: both Passthrough and SecretName were specified
default/none invalid: ` + generic + `
  TLSError/TLSConfigNotValid: Spec.VirtualHost.TLS: neither Passthrough nor SecretName were specified
default/versions invalid: ` + generic + `
  TLSError/TLSConfigNotValid: Spec.Virtualhost.TLS the minimum protocol version is greater than the maximum protocol version`,
		},
		"duplicate host": {
			reason: "neither serves, and no wildcard takes the host over",
			manifests: `
name: a/root
spec:
  virtualhost: {fqdn: a.example.com}
  routes: [{services: [{name: web, port: 80}]}]
---
name: c/root
spec:
  virtualhost: {fqdn: A.example.com, tls: {secretName: cert}}
  routes: [{services: [{name: web, port: 80}]}]
---
name: b/wild
spec:
  virtualhost: {fqdn: "*.example.com"}
  routes: [{services: [{name: web, port: 80}]}]`,
			served: `
http a.example.com
  prefix / => 503
https a.example.com
  prefix / => 503
http *.example.com
  prefix / => b/web:80*1`,
			statuses: `
a/root invalid: ` + generic + `
  VirtualHostError/DuplicateVhost: fqdn "a.example.com" is used in multiple HTTPProxies: a/root, c/root
b/wild valid: Valid HTTPProxy
c/root invalid: ` + generic + `
  VirtualHostError/DuplicateVhost: fqdn "a.example.com" is used in multiple HTTPProxies: a/root, c/root`,
		},
		"no host": {
			reason: "a name that is no name is not served",
			manifests: `
name: blank
spec:
  virtualhost: {fqdn: " "}
  routes: [{services: [{name: web, port: 80}]}]
---
name: odd
spec:
  virtualhost: {fqdn: "a|b:1"}
  routes: [{services: [{name: web, port: 80}]}]
---
name: empty
spec:
  virtualhost: {fqdn: empty.example.com}`,
			served: `
http empty.example.com
  prefix / => 503`,
			statuses: `
default/blank invalid: ` + generic + `
  VirtualHostError/FQDNNotSpecified: Spec.VirtualHost.Fqdn must be specified
default/empty invalid: ` + generic + `
  SpecError/NothingDefined: HTTPProxy.Spec must have at least one Route, Include, or a TCPProxy
default/odd invalid: ` + generic + `
  VirtualHostError/FQDNNotValid: Spec.VirtualHost: fqdn "a|b:1" is not a DNS name or a wildcard such as *.example.com`,
		},
		"TCP": {
			reason: "passthrough, terminated, by include; the plain side redirects",
			manifests: `
name: pass
spec:
  virtualhost: {fqdn: pass.example.com, tls: {passthrough: true}}
  tcpproxy: {services: [{name: web, port: 80}, {name: two, port: 80}]}
---
name: term
spec:
  virtualhost: {fqdn: term.example.com, tls: {secretName: cert}}
  routes: [{services: [{name: web, port: 80}]}]
  tcpproxy: {services: [{name: web, port: 443, weight: 3, validation: {caSecret: ca, subjectName: web.test, subjectNames: []}}]}
---
name: over
spec:
  virtualhost: {fqdn: over.example.com, tls: {passthrough: true}}
  tcpproxy: {include: {name: leaf, namespace: team}}
---
name: team/leaf
spec:
  tcpproxy: {loadBalancerPolicy: {strategy: Cookie}, services: [{name: leaf, port: 80}]}`,
			served: `
http pass.example.com
tcp pass.example.com certificate=<nil> => default/web:80*1, default/two:80*1
http term.example.com
  prefix / => https 301
tcp term.example.com certificate=default/cert => default/web:443*3 TLS(default/ca web.test)
http over.example.com
tcp over.example.com certificate=<nil> => team/leaf:80*1`,
			statuses: `
default/over valid: Valid HTTPProxy
default/pass valid: Valid HTTPProxy
default/term valid: Valid HTTPProxy
team/leaf valid: Valid HTTPProxy
  warning TCPProxyError/IgnoredField: ignoring field "Spec.TCPProxy.LoadBalancerPolicy"; Cookie load balancer policy is not supported for TCPProxies`,
		},
		"bad TCP": {
			reason: "what is wrong refuses the connections",
			manifests: `
name: plain
spec:
  virtualhost: {fqdn: plain.example.com}
  tcpproxy: {services: [{name: web, port: 80}]}
---
name: both
spec:
  virtualhost: {fqdn: both.example.com, tls: {passthrough: true}}
  tcpproxy: {include: {name: x}, services: [{name: web, port: 80}]}
---
name: neither
spec:
  virtualhost: {fqdn: neither.example.com, tls: {passthrough: true}}
  tcpproxy: {}
---
name: lost
spec:
  virtualhost: {fqdn: lost.example.com, tls: {passthrough: true}}
  tcpproxy: {includes: {name: nope}}
---
name: circle
spec:
  virtualhost: {fqdn: circle.example.com, tls: {passthrough: true}}
  tcpproxy: {include: {name: one}}
---
name: one
spec:
  tcpproxy: {include: {name: one}}
---
name: ca
spec:
  virtualhost: {fqdn: ca.example.com, tls: {passthrough: true}}
  tcpproxy: {services: [{name: web, port: 80}, {name: web, port: 443, validation: {caSecret: nope, subjectName: web.test, subjectNames: []}}]}`,
			served: `
http plain.example.com
http both.example.com
tcp both.example.com certificate=<nil> =>
http neither.example.com
tcp neither.example.com certificate=<nil> =>
http lost.example.com
tcp lost.example.com certificate=<nil> =>
http circle.example.com
tcp circle.example.com certificate=<nil> =>
http ca.example.com
tcp ca.example.com certificate=<nil> =>`,
			statuses: `
default/both invalid: ` + generic + `
  TCPProxyError/NoServicesAndInclude: cannot specify services and include in the same httpproxy
default/ca invalid: tcpproxy: service "web": upstreamValidation requested but secret not found or misconfigured
  ServiceError/TLSUpstreamValidation: Service [web:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
default/circle valid: Valid HTTPProxy
default/lost invalid: ` + generic + `
  TCPProxyIncludeError/IncludeNotFound: include default/nope not found
default/neither invalid: ` + generic + `
  TCPProxyError/NothingDefined: either services or inclusion must be specified
default/one invalid: ` + generic + `
  TCPProxyIncludeError/IncludeCreatesCycle: include creates a cycle: default/circle -> default/one -> default/one
default/plain invalid: ` + generic + `
  TCPProxyError/TLSMustBeConfigured: Spec.TCPProxy requires that either Spec.TLS.Passthrough or Spec.TLS.SecretName be set`,
		},
		"unsupported on the host": {
			reason: "what protects closes the host, what does not is a warning",
			manifests: `
name: auth
spec:
  virtualhost:
    fqdn: auth.example.com
    tls: {secretName: cert}
    authorization: {extensionRef: {name: auth}}
  routes: [{permitInsecure: true, services: [{name: web, port: 80}]}]
---
name: cors
spec:
  virtualhost:
    fqdn: cors.example.com
    corsPolicy: {allowOrigin: ["*"], allowMethods: [GET]}
  routes: [{services: [{name: web, port: 80}]}]`,
			served: `
http auth.example.com
  prefix / => 503
https auth.example.com
  prefix / => 503
certificate default/cert on https 1.2-1.3 own=false
http cors.example.com
  prefix / => default/web:80*1`,
			statuses: `
default/auth invalid: ` + generic + `
  AuthError/FieldNotSupported: field "spec.virtualhost.authorization" is not supported: requests are answered with 503 rather than served without authorization
default/cors valid: Valid HTTPProxy
  warning SpecError/IgnoredField: ignoring field "spec.virtualhost.corsPolicy"; it is not supported`,
		},
	})
}
