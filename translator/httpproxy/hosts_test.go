package httpproxy

import "testing"

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
  ServiceError/TLSUpstreamValidation: tcpproxy: service "web": Service [web:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
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
