package httpproxy

import "testing"

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
  IncludeError/PathMatchConditionsNotValid: include "default/child" (spec.includes[3]): include: regex conditions are not allowed in includes block
  IncludeError/DuplicateMatchConditions: include "default/child" (spec.includes[5]): duplicate conditions defined on an include: include "default/child" (spec.includes[4]) has the same
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
  ServiceError/TLSUpstreamValidation: route "/": service "pay": Service [pay:443] TLS upstream validation policy error: invalid CA Secret "default/nope": Secret not found
  RouteError/HeaderMatchConditionsNotValid: route "/h": cannot specify duplicate header 'exact match' conditions in the same route (header "x")
default/root valid: Valid HTTPProxy`,
		},
	})
}
