package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// streamRoute returns a TLSRoute, TCPRoute or UDPRoute; refs are YAML flow
// values.
func streamRoute(kind, name, parent string, hosts []string, refs ...string) string {
	out := fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: %s
metadata: {name: %s}
spec:
  parentRefs: [%s]
`, kind, name, parent)
	if len(hosts) > 0 {
		out += fmt.Sprintf("  hostnames: [%s]\n", strings.Join(hosts, ", "))
	}
	return out + fmt.Sprintf("  rules:\n  - backendRefs: [%s]\n", strings.Join(refs, ", "))
}

func passListener(name string, port int, hostname string) string {
	if hostname != "" {
		hostname = fmt.Sprintf(", hostname: %q", hostname)
	}
	return fmt.Sprintf("{name: %s, port: %d, protocol: TLS%s, tls: {mode: Passthrough}}", name, port, hostname)
}

func endListener(name string, port int, hostname, secret string) string {
	return strings.Replace(tlsListener(name, port, hostname, secret), "HTTPS", "TLS", 1)
}

func streamListener(name string, port int, protocol string) string {
	return fmt.Sprintf("{name: %s, port: %d, protocol: %s}", name, port, protocol)
}

func ref(service string) string { return fmt.Sprintf("{name: %s, port: 443}", service) }

// refused wants a connection to be closed before anything is served on it, as a
// client sees it: end of file or reset, and no TLS alert.
func refused(t *testing.T, w *world.World, r world.Request) {
	t.Helper()
	r.Header = http.Header{"Connection": {"close"}} // each time anew
	var last error
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); {
		if _, last = w.Do(r); closed(last) {
			return
		}
	}
	t.Errorf("%s (SNI %q): want a closed connection, last was %v", r.Host, r.SNI, last)
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		// What Go's client says when it sees that while it sends.
		errors.Is(err, net.ErrClosed) ||
		// And when that was before it had sent anything.
		(err != nil && strings.Contains(err.Error(), "server closed idle connection"))
}

// Which backend gets a connection, by SNI, whether TLS is passed through or
// ends at the listener; and that one that cannot be reached as asked gets none.
func TestTLSRoutes(t *testing.T) {
	ca, foreign := authority(t, "CA"), authority(t, "foreign")
	pair := issue(t, ca, pki.Leaf{DNS: []string{"*.through.test", "*.end.test", "web.internal"}})
	one := serve(t, backend.Config{Name: "one", Certificate: &pair.TLS})
	two := serve(t, backend.Config{Name: "two", Certificate: &pair.TLS})
	plain := serve(t, backend.Config{Name: "plain"})
	// Nobody may speak to this one.
	never := serve(t, backend.Config{Name: "never"})
	port := freeport.For(t)
	w := start(t, map[string]string{
		"gateway": world.All(class, keySecret("cert", pair), configMap("ca", "ca.crt", string(ca.PEM())), configMap("foreign", "ca.crt", string(foreign.PEM())),
			gateway("gw", "", passListener("any", port, ""), passListener("through", port, "*.through.test"),
				endListener("end", port, "*.end.test", "cert"), endListener("broken", port, "broken.end.test", "nowhere"),
				tlsListener("https", port, "https.end.test", "cert"))),
		"services": world.All(world.Service("default", "one", 443, nil, one), world.Service("default", "two", 443, nil, two),
			world.Service("default", "plain", 443, nil, plain), world.Service("default", "sealed", 443, nil, one),
			world.Service("default", "mismatch", 443, nil, one), world.Service("default", "foreign", 443, nil, one),
			world.Service("default", "missing", 443, nil, never),
			tlsPolicy("sealed", "sealed", `{hostname: web.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`),
			tlsPolicy("mismatch", "mismatch", `{hostname: wrong.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`),
			tlsPolicy("foreign", "foreign", `{hostname: web.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: foreign}]}`),
			tlsPolicy("missing", "missing", `{hostname: web.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: nowhere}]}`),
			tlsPolicy("one", "one", `{hostname: wrong.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`)),
		"routes": world.All(
			streamRoute("TLSRoute", "exact", "{name: gw, sectionName: through}", []string{"a.through.test"}, ref("one")),
			streamRoute("TLSRoute", "wild", "{name: gw, sectionName: through}", []string{`"*.through.test"`}, ref("two")),
			streamRoute("TLSRoute", "gone", "{name: gw, sectionName: through}", []string{"gone.through.test"}, ref("nowhere")),
			streamRoute("TLSRoute", "plain", "{name: gw, sectionName: end}", []string{"plain.end.test"}, ref("plain")),
			streamRoute("TLSRoute", "sealed", "{name: gw, sectionName: end}", []string{"sealed.end.test"}, ref("sealed")),
			streamRoute("TLSRoute", "mismatch", "{name: gw, sectionName: end}", []string{"mismatch.end.test"}, ref("mismatch")),
			streamRoute("TLSRoute", "foreign", "{name: gw, sectionName: end}", []string{"foreign.end.test"}, ref("foreign")),
			streamRoute("TLSRoute", "missing", "{name: gw, sectionName: end}", []string{"missing.end.test"}, ref("missing")),
			streamRoute("TLSRoute", "rest", "{name: gw, sectionName: any}", []string{`"*.test"`, "other.org"}, ref("two")),
			httpRoute("https", "{name: gw, sectionName: https}", nil, "{backendRefs: [{name: plain, port: 443}]}")),
	})
	ask := func(host string) world.Request {
		return world.Request{Host: host, SNI: host, Roots: ca.Pool(), Port: port, HTTP1: true}
	}
	await(t, w, ask("a.through.test"), 200)
	served := map[string]struct {
		reason, host, backend string
		tls                   bool
		sni                   string
	}{
		"exact":       {"the route's own hostname; its policy does not count", "a.through.test", "one", true, "a.through.test"},
		"wildcard":    {"all other names", "b.through.test", "two", true, "b.through.test"},
		"terminated":  {"TLS ends at the listener", "plain.end.test", "plain", false, ""},
		"encrypted":   {"the policy asks for TLS with its own name", "sealed.end.test", "one", true, "web.internal"},
		"beside them": {"an HTTPS listener on the port", "https.end.test", "plain", false, ""},
	}
	for name, tc := range served {
		t.Run(name, func(t *testing.T) {
			a := await(t, w, ask(tc.host), 200)
			if a.Seen == nil || a.Seen.Backend != tc.backend || a.Seen.TLS != tc.tls || a.Seen.SNI != tc.sni || a.Seen.Host != tc.host {
				t.Errorf("%s: the backend saw %+v", tc.reason, a.Seen)
			}
		})
	}
	shut := map[string]struct{ reason, host string }{
		"no backend":             {"the wildcard's route does not take it", "gone.through.test"},
		"no route":               {"nor does the wider listener", "unknown.end.test"},
		"no certificate":         {"nor does the wider listener", "broken.end.test"},
		"policy without a CA":    {"never plaintext", "missing.end.test"},
		"not one of the route's": {"hostnames", "unknown.org"},
	}
	for name, tc := range shut {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			refused(t, w, ask(tc.host))
		})
	}
	for _, host := range []string{"mismatch.end.test", "foreign.end.test"} {
		if a, err := w.Do(ask(host)); err == nil {
			t.Errorf("%s was served by a backend that does not verify: %+v", host, a)
		}
	}
	if a, err := w.Do(world.Request{Host: "a.through.test", Port: port}); err == nil {
		t.Errorf("plaintext on a TLS port was served: %+v", a)
	}
	if n := never.Connections(); n != 0 {
		t.Errorf("a backend that must not be reached got %d connections", n)
	}
}

// A TCP port leads to one route's backends by weight, over TLS where a policy
// asks for it, and is closed where that cannot be.
func TestTCPRoutes(t *testing.T) {
	ca := authority(t, "CA")
	pair := issue(t, ca, pki.Leaf{DNS: []string{"web.internal"}})
	secure := serve(t, backend.Config{Name: "secure", Certificate: &pair.TLS})
	first, second := serve(t, backend.Config{Name: "first"}), serve(t, backend.Config{Name: "second"})
	never := serve(t, backend.Config{Name: "never"})
	plain, sealed, shut, partly, idle := freeport.For(t), freeport.For(t), freeport.For(t), freeport.For(t), freeport.For(t)
	w := start(t, map[string]string{
		"gateway": world.All(class, configMap("ca", "ca.crt", string(ca.PEM())),
			gateway("gw", "", streamListener("plain", plain, "TCP"), streamListener("sealed", sealed, "TCP"), streamListener("shut", shut, "TCP"),
				streamListener("partly", partly, "TCP"), streamListener("idle", idle, "TCP"))),
		"services": world.All(world.Service("default", "first", 443, nil, first), world.Service("default", "second", 443, nil, second),
			world.Service("default", "secure", 443, nil, secure), world.Service("default", "never", 443, nil, never),
			tlsPolicy("secure", "secure", `{hostname: web.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}`),
			tlsPolicy("never", "never", `{hostname: web.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: nowhere}]}`)),
		"sealed": streamRoute("TCPRoute", "sealed", "{name: gw, sectionName: sealed}", nil, ref("secure")),
		"routes": world.All(
			streamRoute("TCPRoute", "a-plain", fmt.Sprintf("{name: gw, port: %d}", plain), nil,
				"{name: first, port: 443, weight: 7}", "{name: second, port: 443, weight: 3}", "{name: never, port: 443, weight: 0}"),
			streamRoute("TCPRoute", "b-plain", "{name: gw, sectionName: plain}", nil, ref("never")),
			streamRoute("TCPRoute", "shut", "{name: gw, sectionName: shut}", nil, ref("never")),
			streamRoute("TCPRoute", "partly", "{name: gw, sectionName: partly}", nil, ref("first"), ref("never"))),
	})
	await(t, w, world.Request{Host: "x.test", Port: plain}, 200)
	if a := await(t, w, world.Request{Host: "x.test", Port: sealed}, 200); !a.Seen.TLS || a.Seen.SNI != "web.internal" {
		t.Errorf("the backend saw %+v", a.Seen)
	}
	refused(t, w, world.Request{Host: "x.test", Port: shut})
	refused(t, w, world.Request{Host: "x.test", Port: idle})
	const tries = 400
	counts, failed := map[string]int{}, 0
	for range tries {
		a, err := w.Do(world.Request{Host: "x.test", Port: plain, Header: http.Header{"Connection": {"close"}}})
		if err != nil {
			t.Fatal(err)
		}
		counts[a.Seen.Backend]++
		if _, err := w.Do(world.Request{Host: "x.test", Port: partly, Header: http.Header{"Connection": {"close"}}}); err != nil {
			failed++
		}
	}
	near(t, "first", counts["first"], tries, 0.7)
	near(t, "second", counts["second"], tries, 0.3)
	near(t, "refused", failed, tries, 0.5)

	// The policy breaks: whoever is connected stays so, nobody else gets in.
	held := dialHTTP(t, sealed)
	held.get(t)
	w.Remove("sealed")
	refused(t, w, world.Request{Host: "x.test", Port: sealed})
	held.get(t)
	if n := never.Connections(); n != 0 {
		t.Errorf("a backend that must not be reached got %d connections", n)
	}
}

// near holds that a share is the one that is asked for, by five deviations.
func near(t *testing.T, what string, got, of int, share float64) {
	t.Helper()
	want, slack := share*float64(of), 5*math.Sqrt(share*(1-share)*float64(of))
	if math.Abs(float64(got)-want) > slack {
		t.Errorf("%s: %d of %d, want %.0f±%.0f", what, got, of, want, slack)
	}
}

// kept is one connection that stays open.
type kept struct {
	client      *http.Client
	port, dials int
}

func dialHTTP(t *testing.T, port int) *kept {
	t.Helper()
	k := &kept{port: port}
	var d net.Dialer
	transport := &http.Transport{}
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		k.dials++
		return d.DialContext(ctx, network, addr)
	}
	k.client = &http.Client{Transport: transport, Timeout: world.Patience}
	t.Cleanup(k.client.CloseIdleConnections)
	return k
}

// get asks over the one connection.
func (k *kept) get(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", k.port), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := k.client.Do(req)
	if err != nil {
		t.Fatalf("over an open connection: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if k.dials != 1 {
		t.Errorf("%d connections, want one that stays open", k.dials)
	}
}

// echo is a UDP server that answers with its name.
func echo(t *testing.T, name string) *net.UDPAddr {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(name), from)
		}
	}()
	addr, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		t.Fatal("no UDP address")
	}
	return addr
}

func udpService(name string, at *net.UDPAddr) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  ports:
  - {name: udp, port: 443, protocol: UDP}
  - {name: tcp, port: 443}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{name: udp, port: %[2]d, protocol: UDP}, {name: tcp, port: 1}]
`, name, at.Port)
}

// say sends a datagram from a port of its own, and returns the answer; "" when
// none comes.
func say(t *testing.T, port int, patience time.Duration) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return ""
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// Datagrams go to one route's backends by weight, and a share that cannot be
// reached is dropped.
func TestUDPRoutes(t *testing.T) {
	weights, partly, shut := freeport.For(t), freeport.For(t), freeport.For(t)
	w := start(t, map[string]string{
		"gateway": world.All(class, gateway("gw", "", streamListener("weights", weights, "UDP"), streamListener("partly", partly, "UDP"),
			streamListener("shut", shut, "UDP"))),
		"services": world.All(udpService("one", echo(t, "one")), udpService("two", echo(t, "two")), udpService("three", echo(t, "three"))),
		"routes": world.All(
			streamRoute("UDPRoute", "a-weights", "{name: gw, sectionName: weights}", nil,
				"{name: one, port: 443, weight: 70}", "{name: two, port: 443, weight: 30}", "{name: three, port: 443, weight: 0}"),
			streamRoute("UDPRoute", "b-weights", "{name: gw, sectionName: weights}", nil, ref("three")),
			streamRoute("UDPRoute", "partly", "{name: gw, sectionName: partly}", nil, ref("one"), ref("nowhere")),
			streamRoute("UDPRoute", "shut", "{name: gw, sectionName: shut}", nil, ref("nowhere"))),
	})
	for deadline := time.Now().Add(world.Patience); say(t, weights, time.Second) == ""; {
		if time.Now().After(deadline) {
			t.Fatal("no answer")
		}
	}
	const tries = 500
	counts := map[string]int{}
	for range tries {
		counts[say(t, weights, 5*time.Second)]++
	}
	near(t, "one", counts["one"], tries, 0.7)
	near(t, "two", counts["two"], tries, 0.3)
	if counts["one"]+counts["two"] != tries {
		t.Errorf("answers: %v", counts)
	}
	const few = 60
	dropped := 0
	for range few {
		if say(t, partly, 150*time.Millisecond) == "" {
			dropped++
		}
	}
	near(t, "dropped", dropped, few, 0.5)
	if got := say(t, shut, 300*time.Millisecond); got != "" {
		t.Errorf("a route to nowhere was answered by %s", got)
	}
	// A change of the route is in force for new clients.
	w.Write("routes", streamRoute("UDPRoute", "a-weights", "{name: gw, sectionName: weights}", nil, ref("three")))
	for deadline := time.Now().Add(world.Patience); say(t, weights, time.Second) != "three"; {
		if time.Now().After(deadline) {
			t.Fatal("the change is not in force")
		}
	}
}
