package gatewayapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/world"
)

// breakage is what the API lets through and nobody can honour.
type breakage struct {
	reason string
	// files that break it; an empty one is removed.
	files map[string]string
	// code is the answer: 500 where it is known beforehand that no connection can
	// be as asked, 503 where the backend's certificate does not verify.
	code int
	// accepted and resolved are what the policy's conditions say.
	accepted, resolved string
}

const (
	fine        = "True/Accepted"
	refsFine    = "True/ResolvedRefs"
	noCA        = "False/NoValidCACertificate"
	badRef      = "False/InvalidCACertificateRef"
	badKind     = "False/InvalidKind"
	invalid     = "False/Invalid"
	noTarget    = "False/TargetNotFound"
	conflicted  = "False/Conflicted"
	unreachable = http.StatusInternalServerError
	unverified  = http.StatusServiceUnavailable
)

func (v *victim) breakages() map[string]breakage {
	policy := func(validation string) map[string]string {
		return map[string]string{"victim-policy": tlsPolicy("tls", "victim", validation)}
	}
	edited := func(old, next string) map[string]string {
		return map[string]string{"victim-policy": strings.Replace(v.good()["victim-policy"], old, next, 1)}
	}
	ca := func(doc string) map[string]string { return map[string]string{"victim-ca": doc} }
	const names = `{hostname: victim.internal, caCertificateRefs: `
	foreign := configMap("foreign", "ca.crt", string(v.foreign.PEM()))
	garbage := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	return map[string]breakage{
		"no ConfigMap":     {"it is gone", ca(""), unreachable, noCA, badRef},
		"another key":      {"there is no ca.crt", ca(configMap("ca", "tls.crt", string(v.ca.PEM()))), unreachable, noCA, badRef},
		"no data":          {"there is nothing in it", ca("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\n"), unreachable, noCA, badRef},
		"empty":            {"ca.crt is empty", ca("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata: {ca.crt: \"\"}\n"), unreachable, noCA, badRef},
		"not PEM":          {"ca.crt is garbage", ca(configMap("ca", "ca.crt", "garbage")), unreachable, noCA, badRef},
		"no certificate":   {"the PEM holds none", ca(configMap("ca", "ca.crt", garbage)), unreachable, noCA, badRef},
		"one block broken": {"what it would have vouched for is not known", ca(configMap("ca", "ca.crt", string(v.ca.PEM())+garbage)), unreachable, noCA, badRef},
		"expired":          {"nothing that it signed is valid", ca(configMap("ca", "ca.crt", string(v.expired.PEM()))), unreachable, noCA, badRef},
		"CRL is garbage":   {"it cannot be said what is revoked", ca(configMap("ca", "ca.crt", string(v.ca.PEM())) + "  crl.pem: garbage\n"), unreachable, noCA, badRef},
		"other namespace":  {"a policy's references are local", ca(strings.Replace(v.good()["victim-ca"], "{name: ca}", "{name: ca, namespace: other}", 1)), unreachable, noCA, badRef},
		"no Secret":        {"the kind is served, the object is not there", policy(names + `[{group: "", kind: Secret, name: ca}]}`), unreachable, noCA, badRef},
		"no bundle":        {"the same of a ClusterTrustBundle", policy(names + `[{group: certificates.k8s.io, kind: ClusterTrustBundle, name: "signet.test:gone"}]}`), unreachable, noCA, badRef},
		"unknown kind":     {"of a group that nobody knows", policy(names + `[{group: invalid.io, kind: InvalidKind, name: ca}]}`), unreachable, noCA, badKind},
		"unknown group":    {"a ConfigMap is of the core group", policy(names + `[{group: apps, kind: ConfigMap, name: ca}]}`), unreachable, noCA, badKind},
		"a Service as CA":  {"it holds no certificates", policy(names + `[{group: "", kind: Service, name: victim}]}`), unreachable, noCA, badKind},
		"two bad refs":     {"the first is named", policy(names + `[{group: "", kind: ConfigMap, name: gone}, {group: invalid.io, kind: InvalidKind, name: ca}]}`), unreachable, noCA, badRef},
		"well known":       {"a word of somebody else's", policy(`{hostname: victim.internal, wellKnownCACertificates: example.com/all}`), unreachable, invalid, refsFine},
		"address":          {"the schema lets it through", policy(strings.Replace(victimValidation, "victim.internal", "10.0.0.1", 1)), unreachable, invalid, refsFine},
		"unknown option":   {"it may be meant for security", edited("spec:\n", "spec:\n  options: {signetproxy.io/pinning: x}\n"), unreachable, invalid, refsFine},
		"option's value":   {"there is no such version here", edited("spec:\n", "spec:\n  options: {signetproxy.io/minimum-protocol-version: \"1.1\"}\n"), unreachable, invalid, refsFine},
		"cipher":           {"BoringSSL has none of the name", edited("spec:\n", "spec:\n  options: {signetproxy.io/cipher-suites: RC4}\n"), unreachable, invalid, refsFine},
		"section":          {"it names no port: which is meant is not known", edited("name: victim}", "name: victim, sectionName: htps}"), unreachable, noTarget, refsFine},
		"other CA":         {"the certificate is by another", map[string]string{"foreign": foreign, "victim-policy": policy(names + `[{group: "", kind: ConfigMap, name: foreign}]}`)["victim-policy"]}, unverified, fine, refsFine},
		"one of two refs":  {"only the one that is gone would have vouched", map[string]string{"foreign": foreign, "victim-policy": policy(names + `[{group: "", kind: ConfigMap, name: gone}, {group: "", kind: ConfigMap, name: foreign}]}`)["victim-policy"]}, unverified, fine, badRef},
		"other content":    {"the certificate is by another", ca(configMap("ca", "ca.crt", string(v.foreign.PEM()))), unverified, fine, refsFine},
		"system":           {"it does not know the CA", policy(`{hostname: victim.internal, wellKnownCACertificates: System}`), unverified, fine, refsFine},
		"hostname":         {"the certificate has another", policy(strings.Replace(victimValidation, "victim.internal", "other.internal", 1)), unverified, fine, refsFine},
		"SAN":              {"the hostname does not count beside it", policy(strings.TrimSuffix(victimValidation, "}") + `, subjectAltNames: [{type: Hostname, hostname: other.internal}]}`), unverified, fine, refsFine},
		"URI":              {"the certificate has none", policy(strings.TrimSuffix(victimValidation, "}") + `, subjectAltNames: [{type: URI, uri: "spiffe://victim.internal/x"}]}`), unverified, fine, refsFine},
		"conflict":         {"the first by name rules, and has no CA", map[string]string{"another": tlsPolicy("a-first", "victim", names+`[{group: "", kind: ConfigMap, name: gone}]}`)}, unreachable, conflicted, refsFine},
		"conflict, other":  {"the first by name rules, and trusts another", map[string]string{"foreign": foreign, "another": tlsPolicy("a-first", "victim", names+`[{group: "", kind: ConfigMap, name: foreign}]}`)}, unverified, conflicted, refsFine},
		"section's policy": {"it goes before that of the whole Service", map[string]string{"another": strings.Replace(tlsPolicy("z-last", "victim", names+`[{group: "", kind: ConfigMap, name: gone}]}`), "name: victim}", "name: victim, sectionName: web}", 1)}, unreachable, fine, refsFine},
	}
}

// A policy that breaks closes its backends, and nothing else: no connection is
// made in plaintext, no request goes to a backend that is not verified, before,
// while and after it breaks; the status says why, and mended it serves again.
func TestPolicyBreaks(t *testing.T) {
	v := startVictim(t)
	for name, tc := range v.breakages() {
		t.Run(name, func(t *testing.T) {
			v.verified(t)
			l := v.underLoad()
			v.put(tc.files)
			v.closed(t, tc.code)
			wantStatus(t, v.World, "BackendTLSPolicy", "tls", fmt.Sprintf("gw: Accepted=%s ResolvedRefs=%s", tc.accepted, tc.resolved))
			refs := "True/ResolvedRefs"
			if tc.code == unreachable {
				refs = "False/InvalidBackendTLSPolicy"
			}
			wantStatus(t, v.World, "HTTPRoute", "victim", "gw: Accepted=True/Accepted ResolvedRefs="+refs)
			v.mend(tc.files)
			v.verified(t)
			wantStatus(t, v.World, "BackendTLSPolicy", "tls", "gw: Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs")
			v.expected(t, l)
			v.clean(t)
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
	if v.wrong.Connections() == 0 {
		t.Error("the backend that does not verify was never tried")
	}
}

// expected ends a load, of which every answer must be the expected one.
func (v *victim) expected(t *testing.T, l *load.Load) {
	t.Helper()
	r := l.Stop()
	if r.Requests == 0 {
		t.Error("no load")
	}
	for _, f := range r.Failures {
		t.Error(f)
	}
}

// What the API refuses is refused in a folder too: the last good policy is in
// force, and where there is none the Service is closed until it is mended.
func TestPolicyRefused(t *testing.T) {
	v := startVictim(t)
	good := v.good()["victim-policy"]
	const names = `{hostname: victim.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]`
	cases := map[string]struct{ reason, old, next string }{
		"neither":            {"no CA and not the system's", `, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]`, ""},
		"no refs":            {"an empty list is none", `[{group: "", kind: ConfigMap, name: ca}]`, "[]"},
		"both":               {"one of the two", names, names + ", wellKnownCACertificates: System"},
		"well known":         {"not a word of this form", `caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]`, `wellKnownCACertificates: "All!"`},
		"no hostname":        {"it is required", "hostname: victim.internal, ", ""},
		"empty hostname":     {"it is required", "hostname: victim.internal", `hostname: ""`},
		"hostname":           {"not a DNS name", "hostname: victim.internal", "hostname: victim_internal"},
		"wildcard hostname":  {"it is SNI, too", "hostname: victim.internal", `hostname: "*.internal"`},
		"upper case":         {"not in the API's form", "hostname: victim.internal", "hostname: Victim.internal"},
		"SAN type":           {"of no known type", names, names + ", subjectAltNames: [{type: Email, hostname: victim.internal}]"},
		"SAN of another":     {"a URI beside the type Hostname", names, names + `, subjectAltNames: [{type: Hostname, uri: "spiffe://a/b"}]`},
		"SAN without a name": {"the type alone", names, names + ", subjectAltNames: [{type: Hostname}]"},
		"namespace of a ref": {"references are local", "name: ca}", "name: ca, namespace: other}"},
		"unknown field":      {"it may be meant for security", names, names + ", pin: x"},
		"group of a target":  {"it is required", `{group: "", kind: Service`, "{kind: Service"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v.verified(t)
			l := v.underLoad()
			bad := strings.Replace(good, tc.old, tc.next, 1)
			if bad == good {
				t.Fatal("nothing is broken")
			}
			fresh := "fresh-" + strings.ReplaceAll(strings.ToLower(name), " ", "-")
			of := func(policy string) string {
				policy = strings.Replace(policy, "name: tls}", "name: "+fresh+"}", 1)
				return world.All(v.service(fresh), httpRoute(fresh, "{name: gw}", []string{fresh + ".test"}, "{backendRefs: ["+ref(fresh)+"], retry: {attempts: 3}}"),
					strings.Replace(policy, "name: victim", "name: "+fresh, 1))
			}
			v.Write("victim-policy", bad)
			v.Write("fresh", of(bad))
			v.problem(t, "BackendTLSPolicy default/tls", tc.reason)
			v.problem(t, "BackendTLSPolicy default/"+fresh, tc.reason)
			v.until(t, fresh+".test", load.Code(http.StatusInternalServerError))
			v.verified(t)
			for range 10 {
				if o := v.ask(fresh + ".test"); refusal(o) != nil {
					t.Errorf("%s: without a good policy: %v", tc.reason, refusal(o))
				}
			}
			v.Write("fresh", of(good))
			v.until(t, fresh+".test", func(o *load.Outcome) error { return served(o, "right", victimSNI) })
			v.Write("victim-policy", good)
			v.expected(t, l)
			v.clean(t)
		})
	}
}

// problem waits until the report names one of an object.
func (v *victim) problem(t *testing.T, object, reason string) {
	t.Helper()
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); {
		for _, p := range v.Report().Problems {
			if p.Object == object && p.Severity == "error" {
				return
			}
		}
	}
	t.Fatalf("%s: %s is not refused", reason, object)
}

// The port that a section names is renamed in the Service: the policy must not
// lose its hold of it.
func TestSectionOfAPortThatIsRenamed(t *testing.T) {
	v := startVictim(t)
	sectioned := strings.Replace(v.good()["victim-policy"], "name: victim}", "name: victim, sectionName: web}", 1)
	v.Write("victim-policy", sectioned)
	wantStatus(t, v.World, "BackendTLSPolicy", "tls", "gw: Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs")
	v.verified(t)
	l := v.underLoad()
	v.Write("victim-service", strings.ReplaceAll(v.service("victim"), "name: web", "name: https"))
	v.closed(t, unreachable)
	wantStatus(t, v.World, "BackendTLSPolicy", "tls", "gw: Accepted=False/TargetNotFound ResolvedRefs=True/ResolvedRefs")
	v.Write("victim-policy", strings.Replace(sectioned, "sectionName: web", "sectionName: https", 1))
	v.verified(t)
	v.expected(t, l)
	v.clean(t)
}
