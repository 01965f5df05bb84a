package httpproxy

import "testing"

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
  warning RouteError/DuplicateMatchConditions: route "/a" (spec.routes[0]): never reached: a route of HTTPProxy default/root has the same conditions on host a.example.com`,
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
  RouteError/HeaderMatchConditionsNotValid: route "/a" (spec.routes[0]): invalid regular expression specified for 'regex' condition of "x": error parsing regexp: missing closing ): ` + "`(`" + `
  RouteError/QueryParameterMatchConditionsNotValid: route "/b": must specify at least one query parameter condition
  RouteError/PathMatchConditionsNotValid: route "nope": route: prefix conditions must start with /, nope was supplied`,
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
  - {conditions: [{prefix: /badredirect}], requestRedirectPolicy: {path: /x, prefix: /y}}
  - {conditions: [{regex: /r.*}], requestRedirectPolicy: {prefix: /y}}`,
			served: `
http a.example.com
  regex /r.* => 503
  prefix /badredirect => 503
  prefix /redirect => 301 b.example.com /x
  prefix /direct => 404
  prefix /none => 503
  prefix /two => 503`,
			statuses: `
default/root invalid: ` + generic + `
  RouteError/RouteActionCountNotValid: route "/none": must set exactly one of route.services or route.requestRedirectPolicy or route.directResponsePolicy
  RouteError/RouteActionCountNotValid: route "/two": must set exactly one of route.services or route.requestRedirectPolicy or route.directResponsePolicy
  RouteError/RequestRedirectPolicy: route "/badredirect": route.requestRedirectPolicy is invalid: cannot specify both redirect path and redirect prefix
  RouteError/RequestRedirectPolicy: route "/r.*": route.requestRedirectPolicy is invalid: a regex condition has no prefix to replace: set path
  warning SpecError/IgnoredField: route "/direct": ignoring field "spec.routes[3].timeoutPolicy"; the route answers by itself`,
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
  ServiceError/ServiceUnresolvedReference: route "/w": service "missing": Spec.Routes unresolved service reference: service "default/missing" not found
  ServiceError/ServiceUnresolvedReference: route "/zero": service "missing": Spec.Routes unresolved service reference: service "default/missing" not found
  ServiceError/ServiceUnresolvedReference: route "/gone": service "missing": Spec.Routes unresolved service reference: service "default/missing" not found
  ServiceError/ServiceUnresolvedReference: route "/gone": service "a": Spec.Routes unresolved service reference: port "81" on service "default/a" not matched
  ServiceError/WeightNotValid: route "/neg": service "a": weight -1: weights must not be negative, nor add up to more than 4294967295`,
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
  ServiceError/OnlyOneMirror: route "/share": service "false": only one service per route may be nominated as mirror
  ServiceError/TLSUpstreamValidation: route "/ca": service "m": Service [m:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  RouteError/RouteActionCountNotValid: route "/alone": the route has no service but its mirror`,
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
  prefix /dup => 503
  prefix /amb => 503
  prefix /b/ => default/a:80*1 rewrite /d
  prefix /n => default/a:80*1
  exact /b => default/a:80*1 rewrite /d
  prefix /a => default/a:80*1 rewrite /x
  prefix / => default/a:80*1 rewrite /d/`,
			statuses: `
default/root invalid: ` + generic + `
  PrefixReplaceError/MustHavePrefix: route "/e": cannot specify prefix replacements without a prefix condition
  PrefixReplaceError/DuplicateReplacement: route "/dup": duplicate replacement prefix '/p'
  PrefixReplaceError/AmbiguousReplacement: route "/amb": ambiguous prefix replacement`,
		},
	})
}
