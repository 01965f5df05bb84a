package gatewayapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/world"
)

// to is a rule that sends a path to a Service.
func to(path, service string) string {
	return fmt.Sprintf(`{matches: [{path: {type: PathPrefix, value: %s}}], backendRefs: [{name: %s, port: 80}]}`, path, service)
}

// Which route serves a request: hosts, isolation of listeners, precedence.
func TestMatching(t *testing.T) {
	one, two, three := serve(t, backend.Config{Name: "one"}), serve(t, backend.Config{Name: "two"}), serve(t, backend.Config{Name: "three"})
	port := freeport.For(t)
	w := start(t, map[string]string{
		"services": world.All(world.Service("default", "one", 80, nil, one), world.Service("default", "two", 80, nil, two),
			world.Service("default", "three", 80, nil, three)),
		"gateway": world.All(class, gateway("gw", "", plainListener("any", port, ""), plainListener("wild", port, "*.wild.test"),
			plainListener("empty", port, "empty.wild.test"))),
		"routes": world.All(
			httpRoute("exact", "{name: gw, sectionName: any}", []string{"a.test"}, to("/exact", "one")),
			httpRoute("anything", "{name: gw, sectionName: any}", nil, to("/", "three")),
			httpRoute("stars", "{name: gw, sectionName: any}", []string{`"*.test"`}, to("/stars", "two")),
			httpRoute("wild", "{name: gw, sectionName: wild}", []string{"x.wild.test", "other.test"}, to("/x", "one")),
			httpRoute("wilder", "{name: gw, sectionName: wild}", nil, to("/all", "two")),
			httpRoute("matches", "{name: gw, sectionName: any}", []string{"m.test"},
				to("/p", "three"),
				`{matches: [{path: {type: Exact, value: /p/exact}}], backendRefs: [{name: one, port: 80}]}`,
				`{matches: [{path: {type: PathPrefix, value: /p}, headers: [{name: X-Env, value: prod}]}], backendRefs: [{name: two, port: 80}]}`,
				`{matches: [{path: {type: PathPrefix, value: /p}, method: POST}], backendRefs: [{name: one, port: 80}]}`,
				`{matches: [{path: {type: PathPrefix, value: /q}, queryParams: [{name: a, value: b}]}], backendRefs: [{name: two, port: 80}]}`,
				`{matches: [{path: {type: RegularExpression, value: "/re/[0-9]+"}}], backendRefs: [{name: one, port: 80}]}`),
		),
	})
	await(t, w, world.Request{Host: "a.test", Path: "/exact", Port: port}, 200)
	prod := http.Header{"X-Env": {"prod"}}
	cases := map[string]struct {
		reason  string
		request world.Request
		code    int
		backend string
	}{
		"exact host":             {"its own route", world.Request{Host: "a.test", Path: "/exact"}, 200, "one"},
		"fall through":           {"a wildcard host on the same listener", world.Request{Host: "a.test", Path: "/stars"}, 200, "two"},
		"fall through to any":    {"the route without a hostname", world.Request{Host: "a.test", Path: "/x"}, 200, "three"},
		"wildcard":               {"any number of labels", world.Request{Host: "b.c.test", Path: "/stars"}, 200, "two"},
		"wildcard falls through": {"to the route without a hostname", world.Request{Host: "b.test", Path: "/"}, 200, "three"},
		"upper case":             {"hosts have no case", world.Request{Host: "A.TEST", Path: "/exact"}, 200, "one"},
		"port in the host":       {"is no part of it", world.Request{Host: fmt.Sprintf("a.test:%d", port), Path: "/exact"}, 200, "one"},
		"isolated":               {"a host of a wildcard listener", world.Request{Host: "x.wild.test", Path: "/x"}, 200, "one"},
		"isolated, wider route":  {"of the same listener", world.Request{Host: "x.wild.test", Path: "/all"}, 200, "two"},
		"isolated, no match":     {"not the routes of the wider listener", world.Request{Host: "x.wild.test", Path: "/nothing"}, 404, ""},
		"isolated, *.test":       {"not the wildcard route of the wider listener", world.Request{Host: "y.wild.test", Path: "/stars"}, 404, ""},
		"isolated, no route":     {"a listener without routes", world.Request{Host: "empty.wild.test", Path: "/all"}, 404, ""},
		"not intersecting":       {"other.test belongs to the listener without a hostname", world.Request{Host: "other.test", Path: "/x"}, 200, "three"},
		"prefix by segment":      {"/p does not match /pq", world.Request{Host: "m.test", Path: "/pq"}, 200, "three"}, // falls through to anything
		"exact path":             {"before a header", world.Request{Host: "m.test", Path: "/p/exact", Header: prod}, 200, "one"},
		"header":                 {"before the bare prefix", world.Request{Host: "m.test", Path: "/p/x", Header: prod}, 200, "two"},
		"method":                 {"before a header", world.Request{Host: "m.test", Path: "/p/x", Method: http.MethodPost, Header: prod}, 200, "one"},
		"query":                  {"of that value", world.Request{Host: "m.test", Path: "/q?a=b"}, 200, "two"},
		"regular expression":     {"of the whole path", world.Request{Host: "m.test", Path: "/re/42"}, 200, "one"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.request.Port = port
			a, err := w.Do(tc.request)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if a.Seen != nil {
				got = a.Seen.Backend
			}
			if a.Code != tc.code || got != tc.backend {
				t.Errorf("%s: got %d from %q, want %d from %q", tc.reason, a.Code, got, tc.code, tc.backend)
			}
		})
	}
}

// What happens to a request on its way.
func TestFilters(t *testing.T) {
	one, mirror := serve(t, backend.Config{Name: "one"}), serve(t, backend.Config{Name: "mirror"})
	slow := serve(t, backend.Config{Name: "slow", Delay: 5 * time.Second})
	port := freeport.For(t)
	rule := func(path, filters, rest string) string {
		return fmt.Sprintf(`{matches: [{path: {type: PathPrefix, value: %s}}], filters: [%s]%s}`, path, filters, rest)
	}
	const toOne = ", backendRefs: [{name: one, port: 80}]"
	w := start(t, map[string]string{
		"services": world.All(world.Service("default", "one", 80, nil, one), world.Service("default", "mirror", 80, nil, mirror),
			world.Service("default", "slow", 80, nil, slow)),
		"gateway": world.All(class, gateway("gw", "", plainListener("http", port, ""))),
		"routes": world.All(
			httpRoute("filters", "{name: gw}", []string{"f.test"},
				rule("/headers", `{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: "100%"}], add: [{name: x-add, value: b}], remove: [x-remove]}},`+
					`{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-answer, value: "1"}]}}`, toOne),
				rule("/rewrite", `{type: URLRewrite, urlRewrite: {hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /inner}}}`, toOne),
				rule("/full", `{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /whole}}}`, toOne),
				rule("/redirect", `{type: RequestRedirect, requestRedirect: {scheme: https, hostname: other.test, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}`, ""),
				rule("/secure", `{type: RequestRedirect, requestRedirect: {scheme: https}}`, ""),
				rule("/port", `{type: RequestRedirect, requestRedirect: {hostname: other.test}}`, ""),
				rule("/mirror", `{type: RequestMirror, requestMirror: {backendRef: {name: mirror, port: 80}}}`, toOne),
				rule("/cors", `{type: CORS, cors: {allowOrigins: ["https://app.test", "https://*.wide.test"], allowMethods: [GET, PUT], allowHeaders: [X-A], maxAge: 60}}`, toOne),
				rule("/any", `{type: CORS, cors: {allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], allowCredentials: true}}`, toOne)),
			httpRoute("timeouts", "{name: gw}", []string{"t.test"},
				`{matches: [{path: {value: /request}}], timeouts: {request: 300ms}, backendRefs: [{name: slow, port: 80}]}`,
				`{matches: [{path: {value: /backend}}], timeouts: {backendRequest: 300ms}, backendRefs: [{name: slow, port: 80}]}`,
				`{matches: [{path: {value: /again}}], timeouts: {backendRequest: 300ms}, retry: {codes: [504], attempts: 2}, backendRefs: [{name: slow, port: 80}]}`),
			httpRoute("weights", "{name: gw}", []string{"w.test"},
				`{matches: [{path: {value: /half}}], backendRefs: [{name: one, port: 80, weight: 1}, {name: nowhere, port: 80, weight: 1}]}`,
				`{matches: [{path: {value: /none}}], backendRefs: [{name: one, port: 80, weight: 0}]}`,
				`{matches: [{path: {value: /empty}}]}`,
				`{matches: [{path: {value: /own}}], backendRefs: [{name: one, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: backend}]}}]}],`+
					` filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: rule}]}}]}`),
		),
	})
	ask := func(host, path string, header http.Header, code int) *world.Answer {
		t.Helper()
		return await(t, w, world.Request{Host: host, Path: path, Header: header, Port: port}, code)
	}
	a := ask("f.test", "/headers", http.Header{"X-Remove": {"1"}, "X-Add": {"a"}}, 200)
	if h := a.Seen.Header; h.Get("X-Set") != "100%" || fmt.Sprint(h["X-Add"]) != "[a b]" && fmt.Sprint(h["X-Add"]) != "[a,b]" || h.Get("X-Remove") != "" || a.Header.Get("X-Answer") != "1" {
		t.Errorf("header modifiers: the backend saw %v, the client %v", h, a.Header)
	}
	if a := ask("f.test", "/rewrite/x?q=1", nil, 200); a.Seen.Host != "inner.test" || a.Seen.Path != "/inner/x?q=1" {
		t.Errorf("URL rewrite: the backend saw %s %s", a.Seen.Host, a.Seen.Path)
	}
	if a := ask("f.test", "/full/x?q=1", nil, 200); a.Seen.Path != "/whole?q=1" {
		t.Errorf("full path: the backend saw %s", a.Seen.Path)
	}
	if a := ask("f.test", "/redirect/x", nil, 301); a.Header.Get("Location") != "https://other.test/new/x" {
		t.Errorf("redirect to %s", a.Header.Get("Location"))
	}
	if a := ask("f.test", "/port", nil, 302); a.Header.Get("Location") != fmt.Sprintf("http://other.test:%d/port", port) {
		t.Errorf("a redirect keeps the listener's port: %s", a.Header.Get("Location"))
	}
	// The port that was asked for does not speak https.
	if a := ask(fmt.Sprintf("f.test:%d", port), "/secure", nil, 302); a.Header.Get("Location") != "https://f.test:443/secure" {
		t.Errorf("a redirect to another scheme goes to its port: %s", a.Header.Get("Location"))
	}
	ask("f.test", "/mirror", nil, 200)
	for deadline := time.Now().Add(world.Patience); len(mirror.Requests()) == 0 && time.Now().Before(deadline); {
		ask("f.test", "/mirror", nil, 200)
	}
	if copies := mirror.Requests(); len(copies) == 0 {
		t.Error("the mirror saw no request")
	} else if copies[0].Host != "f.test" {
		t.Errorf("the copy has the host %q", copies[0].Host)
	}
	preflight := func(origin string) *world.Answer {
		t.Helper()
		a, err := w.Do(world.Request{Host: "f.test", Path: "/cors", Method: http.MethodOptions, Port: port,
			Header: http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"PUT"}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for origin, allowed := range map[string]bool{"https://app.test": true, "https://a.b.wide.test": true, "https://foreign.test": false} {
		a := preflight(origin)
		if got := a.Header.Get("Access-Control-Allow-Origin"); (got == origin) != allowed || a.Seen != nil {
			t.Errorf("preflight of %s: %d, allowed %q, backend %v", origin, a.Code, got, a.Seen)
		}
	}
	// Beside credentials browsers take no asterisk: the answer names what was asked for.
	wildcard, err := w.Do(world.Request{Host: "f.test", Path: "/any", Method: http.MethodOptions, Port: port, Header: http.Header{
		"Origin": {"https://x.test"}, "Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {"x-one, x-two"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://x.test", "Access-Control-Allow-Credentials": "true",
		"Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Headers": "x-one, x-two",
	} {
		if got := wildcard.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	ask("t.test", "/request", nil, 504)
	ask("t.test", "/backend", nil, 504)
	ask("t.test", "/again", nil, 504)
	tries := 0
	for _, r := range slow.Requests() {
		if r.Path == "/again" {
			tries++
		}
	}
	if tries != 3 {
		t.Errorf("a request that ran out of its time was tried %d times, want 3", tries)
	}
	codes := map[int]int{}
	for range 100 {
		a, err := w.Do(world.Request{Host: "w.test", Path: "/half", Port: port})
		if err != nil {
			t.Fatal(err)
		}
		codes[a.Code]++
	}
	// The chance of fewer than 20 of 100 by halves is below one in 10^9.
	if codes[200] < 20 || codes[500] < 20 || codes[200]+codes[500] != 100 {
		t.Errorf("a backend that does not exist has half of the weight: %v", codes)
	}
	ask("w.test", "/none", nil, 500)
	ask("w.test", "/empty", nil, 500)
	if a := ask("w.test", "/own", nil, 200); a.Seen.Header.Get("X-Set") != "backend" {
		t.Errorf("the backend's filter is the more special one: %v", a.Seen.Header["X-Set"])
	}
}
