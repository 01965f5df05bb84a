package gatewayapi

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

const trusted = `{hostname: asked.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`

// authFilter is an ExternalAuth filter; more are further fields of it.
func authFilter(protocol, service, more string) string {
	return fmt.Sprintf("{type: ExternalAuth, externalAuth: {protocol: %s, backendRef: {name: %s, port: 443}, %s}}", protocol, service, more)
}

// guarded is a rule for a path whose requests a server must let through.
func guarded(path, filter string) string {
	return fmt.Sprintf("{matches: [{path: {value: %s}}], filters: [%s], backendRefs: [{name: web, port: 80}]}", path, filter)
}

// What an authorization server is asked, over TLS by its policy, and what
// becomes of its answer. Whatever is wrong with it, nobody is let through.
func TestExternalAuth(t *testing.T) {
	ca, foreign := authority(t, "CA"), authority(t, "foreign")
	pair := issue(t, ca, pki.Leaf{DNS: []string{"asked.test"}})
	grpcServer, httpServer, web := askedGRPC(t, &pair.TLS), askedHTTP(t, &pair.TLS), serve(t, backend.Config{Name: "web"})
	// Whoever is asked in plaintext is found out.
	plain := serve(t, backend.Config{Name: "plain"})
	port := freeport.For(t)
	nobody := freeport.For(t)
	files := map[string]string{
		"gateway": world.All(class, gateway("gw", "", plainListener("http", port, ""))),
		"trust":   world.All(configMap("ca", "ca.crt", string(ca.PEM())), configMap("foreign", "ca.crt", string(foreign.PEM()))),
		"services": world.All(world.Service("default", "web", 80, nil, web), serviceAt("grpc", grpcServer.port), serviceAt("http", httpServer.port),
			serviceAt("down", nobody), serviceAt("plain", plain.Port()), serviceAt("unsigned", httpServer.port), serviceAt("misnamed", grpcServer.port),
			serviceAt("cleartext", httpServer.port)),
		"policies": world.All(tlsPolicy("grpc", "grpc", trusted), tlsPolicy("http", "http", trusted), tlsPolicy("down", "down", trusted),
			tlsPolicy("plain", "plain", `{hostname: asked.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: nowhere}]}`),
			tlsPolicy("unsigned", "unsigned", `{hostname: asked.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: foreign}]}`),
			tlsPolicy("misnamed", "misnamed", `{hostname: other.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`)),
		"routes": world.All(
			httpRoute("exact", "{name: gw}", []string{"a.test"}, to("/open", "web"),
				guarded("/grpc", authFilter("GRPC", "grpc", "grpc: {}")),
				guarded("/few", authFilter("GRPC", "grpc", "grpc: {allowedHeaders: [Authorization, X-A]}")),
				guarded("/http", authFilter("HTTP", "http", "http: {path: /check, allowedHeaders: [X-A]}")),
				guarded("/copy", authFilter("HTTP", "http", "http: {allowedResponseHeaders: [X-User]}")),
				guarded("/body", authFilter("HTTP", "http", "http: {}, forwardBody: {maxSize: 10}")),
				guarded("/say", authFilter("GRPC", "grpc", "grpc: {}, forwardBody: {maxSize: 10}")),
				guarded("/down", authFilter("GRPC", "down", "grpc: {}")), guarded("/gone", authFilter("HTTP", "down", "http: {}")),
				guarded("/unsigned", authFilter("HTTP", "unsigned", "http: {}")), guarded("/misnamed", authFilter("GRPC", "misnamed", "grpc: {}")),
				guarded("/cleartext", authFilter("HTTP", "cleartext", "http: {}")),
				guarded("/missing", authFilter("HTTP", "nowhere", "http: {}")),
				guarded("/plain", authFilter("HTTP", "plain", "http: {}")), guarded("/plaingrpc", authFilter("GRPC", "plain", "grpc: {}")),
				"{matches: [{path: {value: /redirect}}], filters: ["+authFilter("HTTP", "http", "http: {}")+", {type: RequestRedirect, requestRedirect: {hostname: b.test}}]}"),
			httpRoute("wild", "{name: gw}", []string{`"*.wild.test"`}, guarded("/", authFilter("GRPC", "grpc", "grpc: {}"))),
			httpRoute("any", "{name: gw}", nil, guarded("/any", authFilter("HTTP", "http", "http: {}")))),
	}
	w := start(t, files)
	await(t, w, world.Request{Host: "a.test", Path: "/open", Port: port}, 200)
	const good, bad = "good", "bad"
	cases := map[string]struct {
		reason, host, path, who, body string
		code                          int
		user                          string // as the backend sees it
	}{
		"grpc, good":      {"the server's header goes on", "a.test", "/grpc", good, "", 200, "alice"},
		"grpc, bad":       {"the server's own answer", "a.test", "/grpc", bad, "", 402, ""},
		"grpc, few":       {"what it decides by is sent", "a.test", "/few", good, "", 200, "alice"},
		"http, good":      {"the server's header goes on", "a.test", "/http", good, "", 200, "bob"},
		"http, bad":       {"the server's own answer", "a.test", "/http", bad, "", 401, ""},
		"http, 204":       {"200 alone lets through", "a.test", "/http", "no content", "", 204, ""},
		"http, 500":       {"a server that is ill", "a.test", "/http", "ill", "", 503, ""},
		"copied":          {"one header by name", "a.test", "/copy", good, "", 200, "bob"},
		"body":            {"as long as it may be", "a.test", "/body", good, "0123456789", 200, "bob"},
		"body, too long":  {"it is not cut off", "a.test", "/body", good, "01234567890", 413, ""},
		"grpc body":       {"as long as it may be", "a.test", "/say", good, "0123456789", 200, "alice"},
		"grpc, too long":  {"it is not cut off", "a.test", "/say", good, "01234567890", 413, ""},
		"wildcard host":   {"the route is found late", "x.wild.test", "/", good, "", 200, "alice"},
		"wildcard, bad":   {"the route is found late", "x.wild.test", "/", bad, "", 402, ""},
		"upper case, bad": {"the host is found late", "A.TEST", "/grpc", bad, "", 402, ""},
		"any host, bad":   {"the route is found late", "a.test", "/any", bad, "", 401, ""},
		"redirect, good":  {"the redirect", "a.test", "/redirect", good, "", 302, ""},
		"redirect, bad":   {"not even that", "a.test", "/redirect", bad, "", 401, ""},
		"down":            {"nobody answers", "a.test", "/down", good, "", 503, ""},
		"gone":            {"nobody answers", "a.test", "/gone", good, "", 503, ""},
		"another CA":      {"the server is not verified", "a.test", "/unsigned", good, "", 503, ""},
		"another name":    {"the server is not verified", "a.test", "/misnamed", good, "", 503, ""},
		"TLS unasked for": {"plaintext to a server of TLS", "a.test", "/cleartext", good, "", 503, ""},
		"missing":         {"no such Service", "a.test", "/missing", good, "", 500, ""},
		"broken policy":   {"never plaintext", "a.test", "/plain", good, "", 500, ""},
		"broken, grpc":    {"never plaintext", "a.test", "/plaingrpc", good, "", 500, ""},
		"open":            {"nobody is asked", "a.test", "/open", bad, "", 200, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, asked := len(web.Requests()), grpcServer.count()+httpServer.count()
			method := http.MethodGet
			if tc.body != "" {
				method = http.MethodPost
			}
			a, err := w.Do(world.Request{
				Host: tc.host, Path: tc.path, Port: port, Method: method, Body: tc.body,
				Header: http.Header{"Authorization": {tc.who}, "X-A": {"1"}, "X-B": {"2"}, "Cookie": {"c=1"}, "Content-Type": {"text/x-client"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if tc.path == "/cleartext" && a.Code == http.StatusBadRequest {
				a.Code = http.StatusServiceUnavailable // a server of TLS may say so before it closes
			}
			if a.Code != tc.code {
				t.Errorf("%s: %d %s, want %d", tc.reason, a.Code, a.Body, tc.code)
			}
			if reached := len(web.Requests()) - before; (reached == 1) != (tc.code == 200) {
				t.Errorf("%s: the backend saw %d requests", tc.reason, reached)
			}
			if tc.code == 413 && grpcServer.count()+httpServer.count() != asked {
				t.Errorf("%s: the server was asked all the same", tc.reason)
			}
			if a.Seen == nil {
				return
			}
			if got := a.Seen.Header.Get("X-User"); got != tc.user {
				t.Errorf("%s: user %q, want %q", tc.reason, got, tc.user)
			}
			if h := a.Seen.Header; h.Get("Content-Type") != "text/x-client" || h.Get("X-Signet-Scope") != "" || a.Seen.Host != tc.host {
				t.Errorf("%s: the backend saw %+v of %s", tc.reason, h, a.Seen.Host)
			}
		})
	}
	if n := plain.Connections(); n != 0 {
		t.Errorf("a server in plaintext got %d connections", n)
	}

	get := func(path string) *world.Answer {
		t.Helper()
		a, err := w.Do(world.Request{Host: "a.test", Path: path, Port: port, Header: http.Header{"Authorization": {good}, "X-A": {"1"}, "X-B": {"2"}, "Cookie": {"c=1"}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := get("/copy"); a.Seen == nil || a.Seen.Header.Get("X-Other") != "" {
		t.Errorf("a header that is not named was copied: %+v", a.Seen)
	}
	a := get("/http")
	if a.Seen == nil || a.Seen.Header.Get("X-Other") != "1" || httpServer.last().path != "/check/http" {
		t.Fatalf("%+v, asked for %q", a.Seen, httpServer.last().path)
	}
	for _, own := range []string{"Content-Language", "Te", "X-Envoy-Retry-On", "X-Envoy-Upstream-Service-Time"} {
		if v := a.Seen.Header.Get(own); v != "" {
			t.Errorf("%s: %s of the answer was copied", own, v)
		}
	}
	if h := httpServer.last().header; h.Get("X-A") != "1" || h.Get("X-B") != "" || h.Get("Cookie") != "" || h.Get("X-Signet-Scope") != "" {
		t.Errorf("the server was sent %v", h)
	}
	get("/grpc")
	if h := map[string][]string(grpcServer.last().header); h["x-a"] == nil || h["x-b"] == nil || h["cookie"] == nil || h["x-signet-scope"] != nil {
		t.Errorf("the server was sent %v, want all of the client's", h)
	}
	get("/few")
	if h := map[string][]string(grpcServer.last().header); h["x-a"] == nil || h["x-b"] != nil || h["cookie"] != nil {
		t.Errorf("the server was sent %v, want two", h)
	}

	// A route that gains and loses its guard, and a trust that breaks and mends.
	w.Write("later", httpRoute("later", "{name: gw}", []string{"later.test"}, to("/", "web")))
	await(t, w, world.Request{Host: "later.test", Port: port}, 200)
	w.Write("later", httpRoute("later", "{name: gw}", []string{"later.test"}, guarded("/", authFilter("HTTP", "http", "http: {}"))))
	await(t, w, world.Request{Host: "later.test", Port: port}, 401)
	w.Write("trust", configMap("foreign", "ca.crt", string(foreign.PEM())))
	await(t, w, world.Request{Host: "later.test", Port: port, Header: http.Header{"Authorization": {good}}}, 500)
	w.Write("trust", files["trust"])
	await(t, w, world.Request{Host: "later.test", Port: port, Header: http.Header{"Authorization": {good}}}, 200)
	w.Remove("later")
	await(t, w, world.Request{Host: "later.test", Port: port}, 404)
}
