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
