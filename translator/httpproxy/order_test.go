package httpproxy

import "testing"

// The second form of a replaced prefix never goes before a route that a person
// wrote.
func TestReplacedPrefixWithoutItsSlash(t *testing.T) {
	runWorld(t, map[string]worldCase{
		"explicit routes": {
			reason: "each of them names the path, with whatever conditions",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /api/}, {header: {name: Z, present: true}}], services: [{name: new, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}
  - {conditions: [{prefix: /api}, {header: {name: X, present: true}}], services: [{name: canary, port: 80}]}
  - {conditions: [{prefix: /api}], services: [{name: old, port: 80}]}
  - {conditions: [{prefix: /b/}], services: [{name: new, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}
  - {conditions: [{regex: "/b/?"}], services: [{name: old, port: 80}]}
  - {conditions: [{prefix: /c/}], services: [{name: new, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}
  - {conditions: [{prefix: /c}, {header: {name: X, present: true}}], services: [{name: canary, port: 80}]}
  - {conditions: [{prefix: /}], services: [{name: web, port: 80}]}`,
			served: `
http a.example.com
  regex /b/? => default/old:80*1
  prefix /api/ z present => default/new:80*1 rewrite /v2
  prefix /api x present => default/canary:80*1
  prefix /api => default/old:80*1
  exact /api z present => default/new:80*1 rewrite /v2
  prefix /c/ => default/new:80*1 rewrite /v2
  prefix /b/ => default/new:80*1 rewrite /v2
  prefix /c x present => default/canary:80*1
  exact /c => default/new:80*1 rewrite /v2
  exact /b => default/new:80*1 rewrite /v2
  prefix / => default/web:80*1`,
			statuses: `default/root valid: Valid HTTPProxy`,
		},
		"same match": {
			reason: "the route that serves the prefix serves its second form, not the one that is never reached",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /v1/}], services: [{name: first, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /x}]}}
  - {conditions: [{prefix: /v1/}], services: [{name: last, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /y}]}}
  - {conditions: [{prefix: /v2/}], services: [{name: first, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /x}]}}
  - {conditions: [{prefix: /v2/}], services: [{name: last, port: 80}]}`,
			served: `
http a.example.com
  prefix /v2/ => default/last:80*1
  prefix /v1/ => default/last:80*1 rewrite /y
  exact /v1 => default/last:80*1 rewrite /y`,
		},
		"taken": {
			reason: "another route has it, by its whole text or as a prefix",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - {conditions: [{prefix: /a/}], services: [{name: new, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /x}]}}
  - {conditions: [{exact: /a}], services: [{name: old, port: 80}]}
  - {conditions: [{prefix: /b/}], services: [{name: new, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /x}]}}
  - {conditions: [{prefix: /b}], services: [{name: old, port: 80}]}`,
			served: `
http a.example.com
  exact /a => default/old:80*1
  prefix /b/ => default/new:80*1 rewrite /x
  prefix /a/ => default/new:80*1 rewrite /x
  prefix /b => default/old:80*1`,
		},
	})
}

// A healthy route that replaces "/api/" serves "/api"; when it is closed or
// lost, no shorter route may get that path.
func TestClosedPrefixWithoutItsSlash(t *testing.T) {
	runWorld(t, map[string]worldCase{
		"closed routes": {
			reason: "whatever closes them, where the replacement is for them",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - conditions: [{prefix: /ca/}]
    services: [{name: pay, port: 443, validation: {caSecret: nope, subjectName: x.test, subjectNames: [x.test]}}]
    pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}
  - {conditions: [{prefix: /two/}], services: [{name: pay, port: 80}], directResponsePolicy: {statusCode: 200}, pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}
  - {conditions: [{prefix: /bad/}], services: [{name: pay, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: v2}]}}
  - {conditions: [{prefix: /other/}], services: [{name: missing, port: 80}], pathRewritePolicy: {replacePrefix: [{prefix: /x, replacement: /v2}]}}
  - {conditions: [{prefix: /self/}], directResponsePolicy: {statusCode: 1}, pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}
  - {conditions: [{prefix: /taken/}], services: [{name: missing, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}
  - {conditions: [{prefix: /taken}], services: [{name: web, port: 80}]}
  - {services: [{name: missing, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /v2}]}}`,
			served: `
http a.example.com
  prefix /taken/ => 503
  prefix /other/ => 503
  prefix /taken => default/web:80*1
  prefix /self/ => 503
  prefix /two/ => 503
  prefix /bad/ => 503
  exact /two => 503
  prefix /ca/ => 503
  exact /bad => 503
  exact /ca => 503
  prefix / => 503`,
		},
		"closed below an include": {
			reason: "their conditions contradict each other",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  includes: [{name: child, conditions: [{prefix: /a}, {header: {name: X, exact: "1"}}]}]
---
name: child
spec:
  routes:
  - {conditions: [{prefix: /b/}, {header: {name: X, exact: "2"}}], services: [{name: pay, port: 80}], pathRewritePolicy: {replacePrefix: [{prefix: /a/b/, replacement: /v2}]}}`,
			served: `
http a.example.com
  prefix /a/b/ x exact=1 x exact=2 => 503
  exact /a/b x exact=1 x exact=2 => 503`,
		},
		"lost includes": {
			reason: "nobody knows whether a route there replaced the prefix; a route for the path goes first",
			manifests: `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  includes:
  - {name: nope, conditions: [{prefix: /api/}]}
  - {name: nope, conditions: [{prefix: /b/}]}
  routes:
  - {conditions: [{exact: /b}], services: [{name: web, port: 80}]}
  - {services: [{name: web, port: 80}]}`,
			served: `
http a.example.com
  exact /b => default/web:80*1
  prefix /api/ => 502
  exact /api => 502
  prefix /b/ => 502
  prefix / => default/web:80*1`,
		},
	})
}
