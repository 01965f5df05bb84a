package accesslog

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

// lines are what Envoy has written so far.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.all.String(), "\n"), "\n")
}

// await returns the first line with all parts: Envoy writes a line once a
// request is over, and its file with a delay.
func (l *lines) await(t *testing.T, parts ...string) string {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); <-tick.C {
		if line := l.find(parts...); line != "" {
			return line
		}
	}
	t.Fatalf("no line with %q within %s in:\n%s", parts, world.Patience, strings.Join(l.list(), "\n"))
	return ""
}

func (l *lines) find(parts ...string) string {
next:
	for _, line := range l.list() {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue next
			}
		}
		return line
	}
	return ""
}

func fleet(accessLog string) string {
	return "apiVersion: operator.signetproxy.io/v1alpha1\nkind: EnvoyFleet\nmetadata: {name: edge}\nspec:\n  accessLog: " + accessLog + "\n"
}

// bed is a host whose backend is verified, one whose backend shows a certificate
// of another authority, and a TCP port.
type bed struct {
	*world.World
	out  *lines
	tcp  int
	good *backend.Backend
}

func start(t *testing.T, accessLog string) *bed {
	t.Helper()
	serve := func(authority string) (*pki.Authority, *backend.Backend) {
		ca, err := pki.NewAuthority(authority)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Issue(pki.Leaf{CommonName: "web", DNS: []string{"web.test"}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := backend.Start(backend.Config{Name: "web", Certificate: &pair.TLS})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return ca, b
	}
	ours, good := serve("ours")
	_, bad := serve("theirs")
	b := &bed{out: &lines{}, tcp: freeport.For(t), good: good}
	files := map[string]string{
		"good":  world.Service("default", "good", 443, nil, good),
		"bad":   world.Service("default", "bad", 443, nil, bad),
		"ca":    world.CA("default", "ca", ours.PEM()),
		"hosts": world.All(proxy("good"), proxy("bad")),
		"tcp":   gateway(b.tcp),
	}
	if accessLog != "" {
		files["fleet"] = fleet(accessLog)
	}
	b.World = world.Start(t, logr.Discard(), files, func(c *standalone.Config) { c.Stdout = io.Writer(b.out) })
	b.Await(t, "good.test", "/", 200)
	b.Await(t, "bad.test", "/", 503)
	return b
}

func proxy(name string) string {
	return world.Proxy("default", name, name+".test", world.Routes(world.Route("/", world.Validated(name, 443, "tls", "ca", "web.test"))))
}

func gateway(port int) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: signet}
spec: {controllerName: signetproxy.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: tcp, namespace: default}
spec:
  gatewayClassName: signet
  listeners: [{name: tcp, port: %d, protocol: TCP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: tcp, namespace: default}
spec:
  parentRefs: [{name: tcp}]
  rules: [{backendRefs: [{name: good, port: 443}]}]
`, port)
}

// accepted is the Accepted condition of the EnvoyFleet.
func (b *bed) accepted(t *testing.T, is metav1.ConditionStatus, message string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var last string
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); <-tick.C {
		for _, s := range b.Report().Statuses {
			st, ok := s.Status.(v1alpha1.EnvoyFleetStatus)
			if !ok {
				continue
			}
			for _, c := range st.Conditions {
				if last = fmt.Sprint(st.Conditions); c.Type == "Accepted" && c.Status == is && strings.Contains(c.Message, message) {
					return
				}
			}
		}
	}
	t.Fatalf("the EnvoyFleet is not Accepted=%s with %q: %s", is, message, last)
}

// The reason why a handshake with a backend failed is in the access log, and
// nowhere else, without anything that was asked for.
func TestFailedHandshakeIsLogged(t *testing.T) {
	b := start(t, "")
	line := b.out.await(t, "bad.test", " 503 UF ", "CERTIFICATE_VERIFY_FAILED", "default_bad_443")
	if !strings.HasPrefix(line, "[") || !strings.Contains(line, `"GET / HTTP/1.1"`) {
		t.Errorf("the line does not begin as Envoy's own do: %s", line)
	}
	b.out.await(t, "good.test", " 200 - ", "via_upstream")
}

// JSON has numbers, and says how a backend was spoken to.
func TestJSON(t *testing.T) {
	b := start(t, "{format: JSON}")
	for _, want := range []struct {
		host   string
		fields map[string]any
	}{
		{"good.test", map[string]any{
			"response_code": 200.0, "upstream_tls_version": "TLSv1.3", "upstream_server_name": "web.test",
			"upstream_peer_dns_names": "web.test", "upstream_transport_failure_reason": nil, "upstream_cluster": "default_good_443",
		}},
		{"bad.test", map[string]any{"response_code": 503.0, "response_flags": "UF", "upstream_tls_version": nil}},
	} {
		line := b.out.await(t, `"`+want.host+`"`)
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for name, value := range want.fields {
			if got[name] != value {
				t.Errorf("%s: %s is %v, want %v", want.host, name, got[name], value)
			}
		}
	}
	b.out.await(t, `"bad.test"`, "CERTIFICATE_VERIFY_FAILED")
}

// With a filter what went well is not there, over HTTP and TCP alike.
func TestErrors(t *testing.T) {
	b := start(t, `{filter: Errors, text: "%REQ(:AUTHORITY)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER%"}`)
	if _, err := b.Get("unknown.test", "/"); err != nil {
		t.Fatal(err)
	}
	b.connect(t)
	b.good.Close()
	b.connect(t)
	b.out.await(t, "bad.test 503 UF")
	b.out.await(t, "- 0 UF", "default_good_443")
	for _, line := range b.out.list() {
		if strings.Contains(line, "good.test 200") || strings.Contains(line, " 404 ") || strings.Contains(line, "- 0 - ") {
			t.Errorf("it is no error: %s", line)
		}
	}
}

// connect opens a TCP connection and waits until the far end closes it.
func (b *bed) connect(t *testing.T) {
	t.Helper()
	c, err := (&net.Dialer{Timeout: world.Patience}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", b.tcp))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	// It is no TLS: the backend closes.
	if _, err := c.Write([]byte("hello\n\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(world.Patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, c)
}

// A wrong format is refused where it is written, and the log goes on as it was;
// a right one takes its place. No Envoy is asked.
func TestWrongFormatChangesNothing(t *testing.T) {
	b := start(t, `{text: "first %REQ(:AUTHORITY)% %PATH%"}`)
	b.out.await(t, "first good.test /")
	b.Write("fleet", fleet(`{text: "second %REQ(:AUTHORITY)% %STATUS%"}`))
	b.accepted(t, metav1.ConditionFalse, `accessLog.text: the command "%STATUS%" is unknown`)
	b.Await(t, "good.test", "/still", 200)
	b.out.await(t, "first good.test /still")
	b.Write("fleet", fleet(`{text: "third %REQ(:AUTHORITY)%"}`))
	b.accepted(t, metav1.ConditionTrue, "")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(world.Patience); b.out.find("third good.test") == ""; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("the new format is not used: %q", b.out.list())
		}
		b.Await(t, "good.test", "/", 200)
	}
	if line := b.out.find("second"); line != "" {
		t.Errorf("what was refused is written: %s", line)
	}
	for _, f := range b.Report().Fleets {
		for _, e := range f.Envoys {
			if len(e.Rejected) > 0 {
				t.Errorf("an Envoy has refused %q", e.Rejected)
			}
		}
	}
}

// A log that is off is off.
func TestDisabled(t *testing.T) {
	b := start(t, `{enabled: false}`)
	b.Write("fleet", fleet(`{text: "%REQ(:AUTHORITY)%"}`))
	b.accepted(t, metav1.ConditionTrue, "")
	b.Await(t, "good.test", "/", 200)
	for deadline := time.Now().Add(world.Patience); b.out.find("good.test") == ""; {
		if time.Now().After(deadline) {
			t.Fatal("the log is not written once it is on")
		}
		b.Await(t, "good.test", "/", 200)
	}
	if line := b.out.find("bad.test"); line != "" {
		t.Errorf("it was asked for while the log was off: %s", line)
	}
}

// A change ends no open connection at once: one of a TCP route goes on, and
// requests are answered without a gap.
func TestChangeKeepsConnections(t *testing.T) {
	b := start(t, `{text: "first %REQ(:AUTHORITY)%"}`)
	d := tls.Dialer{Config: &tls.Config{ServerName: "web.test", InsecureSkipVerify: true}}
	c, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", b.tcp))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(2 * world.Patience)); err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(c)
	ask := func() {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("the backend answers %d, %v", res.StatusCode, err)
		}
		_ = res.Body.Close()
	}
	ask()
	b.Write("fleet", fleet(`{text: "second %REQ(:AUTHORITY)%"}`))
	for deadline := time.Now().Add(world.Patience); b.out.find("second good.test") == ""; {
		if time.Now().After(deadline) {
			t.Fatal("the new format is not used")
		}
		if a, err := b.Get("good.test", "/"); err != nil || a.Code != http.StatusOK {
			t.Fatalf("a request failed: %+v, %v", a, err)
		}
	}
	ask()
}
