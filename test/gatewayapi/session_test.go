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

// sticks asks several times within a session; every answer must come from one
// backend.
func sticks(t *testing.T, w *world.World, r world.Request, want string) {
	t.Helper()
	for range 10 {
		a, err := w.Do(r)
		if err != nil || a.Code != 200 || a.Seen == nil || a.Seen.Backend != want {
			t.Fatalf("%s: %+v, %v, want %s", r.Path, a, err, want)
		}
		if set := a.Header.Get("Set-Cookie") + a.Header.Get("X-Session"); set != "" {
			t.Fatalf("%s: a session that lasts is set anew: %s", r.Path, set)
		}
	}
}

// A session stays with its endpoint while that is there, and never leads to an
// endpoint that its route has not.
func TestSessionPersistence(t *testing.T) {
	one, two, other := serve(t, backend.Config{Name: "one"}), serve(t, backend.Config{Name: "two"}), serve(t, backend.Config{Name: "other"})
	byName := map[string]*backend.Backend{"one": one, "two": two}
	port := freeport.For(t)
	rule := func(path, session, service string) string {
		return fmt.Sprintf("{matches: [{path: {value: %s}}], sessionPersistence: %s, backendRefs: [{name: %s, port: 80}]}", path, session, service)
	}
	w := start(t, map[string]string{
		"gateway": world.All(class, gateway("gw", "", plainListener("http", port, ""))),
		"pair":    world.Service("default", "pair", 80, nil, one, two), "other": world.Service("default", "other", 80, nil, other),
		"routes": world.All(
			httpRoute("sessions", "{name: gw}", []string{"s.test"},
				rule("/cookie", "{cookie: {name: shop}}", "pair"),
				rule("/permanent", "{absoluteTimeout: 1h, cookie: {name: long, path: /permanent, lifetimeType: Permanent}}", "pair"),
				rule("/header", "{type: Header, header: {name: X-Session}}", "pair"),
				rule("/other", "{cookie: {name: shop}}", "other"), to("/none", "pair")),
			httpRoute("wild", "{name: gw}", []string{`"*.wild.test"`}, rule("/", "{cookie: {}}", "pair"))),
	})
	const host = "s.test"
	await(t, w, world.Request{Host: host, Path: "/none", Port: port}, 200)

	begin := func(host, path string) (session http.Header, at string) {
		t.Helper()
		a := await(t, w, world.Request{Host: host, Path: path, Port: port}, 200)
		session = http.Header{}
		if x := a.Header.Get("X-Session"); x != "" {
			session.Set("X-Session", x)
		}
		res := http.Response{Header: a.Header}
		for _, c := range res.Cookies() {
			session.Add("Cookie", c.Name+"="+c.Value)
			switch {
			case path == "/permanent" && (c.Name != "long" || c.MaxAge != int(time.Hour/time.Second) || c.Path != path || !c.HttpOnly):
				t.Errorf("the cookie is %s", c)
			case path == "/cookie" && (c.Name != "shop" || c.MaxAge != 0 || !c.Expires.IsZero() || c.Path != "/" || !c.HttpOnly):
				t.Errorf("the cookie is %s", c)
			}
		}
		if len(session) == 0 {
			t.Fatalf("%s%s: no session in %v", host, path, a.Header)
		}
		return session, a.Seen.Backend
	}
	spread := map[string]bool{}
	for range 10 {
		_, at := begin(host, "/cookie")
		spread[at] = true
	}
	if len(spread) != 2 {
		t.Errorf("new sessions begin at %v, want both", spread)
	}
	for _, x := range []struct{ host, path string }{{host, "/cookie"}, {host, "/permanent"}, {host, "/header"}, {"x.wild.test", "/"}} {
		session, at := begin(x.host, x.path)
		sticks(t, w, world.Request{Host: x.host, Path: x.path, Port: port, Header: session}, at)
	}
	session, at := begin(host, "/cookie")
	for range 4 {
		a, err := w.Do(world.Request{Host: host, Path: "/other", Port: port, Header: session})
		if err != nil || a.Code != 200 || a.Seen.Backend != "other" {
			t.Fatalf("a session of another Service: %+v, %v", a, err)
		}
	}
	for _, wrong := range []string{"shop=x", `shop="AAAA"`, "shop=MTI3LjAuMC4xOjE="} {
		if a, err := w.Do(world.Request{Host: host, Path: "/cookie", Port: port, Header: http.Header{"Cookie": {wrong}}}); err != nil || a.Code != 200 {
			t.Errorf("a made-up session %s: %+v, %v", wrong, a, err)
		}
	}

	// The endpoint goes: no request fails, and the session goes on elsewhere.
	left := "one"
	if at == left {
		left = "two"
	}
	w.Write("pair", world.Service("default", "pair", 80, nil, byName[left]))
	moved := false
	for deadline := time.Now().Add(world.Patience); !moved && time.Now().Before(deadline); {
		a, err := w.Do(world.Request{Host: host, Path: "/cookie", Port: port, Header: session})
		if err != nil || a.Code != 200 {
			t.Fatalf("while the endpoint went: %+v, %v", a, err)
		}
		moved = a.Seen.Backend == left
		if moved && a.Header.Get("Set-Cookie") == "" {
			t.Error("the session that moved is not set anew")
		}
	}
	if !moved {
		t.Fatalf("the session is still at %s, which is gone", at)
	}
	session, _ = begin(host, "/cookie")
	sticks(t, w, world.Request{Host: host, Path: "/cookie", Port: port, Header: session}, left)
}
