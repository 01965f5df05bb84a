package gatewayapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

const class = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: signet}
spec: {controllerName: signetproxy.io/gateway-controller}
`

// gateway returns a Gateway with listeners, and with more of its spec.
func gateway(name, more string, listeners ...string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s}
spec:
  gatewayClassName: signet
  listeners:
  - %s
%s`, name, strings.Join(listeners, "\n  - "), more)
}

func plainListener(name string, port int, hostname string) string {
	if hostname != "" {
		hostname = fmt.Sprintf(", hostname: %q", hostname)
	}
	return fmt.Sprintf("{name: %s, port: %d, protocol: HTTP%s}", name, port, hostname)
}

func tlsListener(name string, port int, hostname, secret string) string {
	if hostname != "" {
		hostname = fmt.Sprintf(", hostname: %q", hostname)
	}
	return fmt.Sprintf("{name: %s, port: %d, protocol: HTTPS%s, tls: {certificateRefs: [{name: %s}]}}", name, port, hostname, secret)
}

// httpRoute returns an HTTPRoute; rules are YAML flow values.
func httpRoute(name, parent string, hosts []string, rules ...string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s}
spec:
  parentRefs: [%s]
  hostnames: [%s]
  rules:
  - %s
`, name, parent, strings.Join(hosts, ", "), strings.Join(rules, "\n  - "))
}

// tlsPolicy returns a BackendTLSPolicy.
func tlsPolicy(name, service, validation string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: %s}
spec:
  targetRefs: [{group: "", kind: Service, name: %s}]
  validation: %s
`, name, service, validation)
}

func configMap(name, key, text string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata:\n  %s: |\n    %s\n",
		name, key, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    "))
}

func keySecret(name string, p *pki.Pair) string {
	return world.Secret("default", name, "kubernetes.io/tls", map[string]string{"tls.crt": string(p.CertPEM), "tls.key": string(p.KeyPEM)})
}

func authority(t *testing.T, cn string) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority(cn)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *pki.Authority, l pki.Leaf) *pki.Pair {
	t.Helper()
	p, err := a.Issue(l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func serve(t *testing.T, cfg backend.Config) *backend.Backend {
	t.Helper()
	b, err := backend.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func start(t *testing.T, files map[string]string) *world.World {
	t.Helper()
	return world.Start(t, testr.New(t), files)
}

// await asks until the answer is as wanted.
func await(t *testing.T, w *world.World, r world.Request, code int) *world.Answer {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(world.Patience); time.Now().Before(deadline); {
		a, err := w.Do(r)
		if err == nil && a.Code == code {
			return a
		}
		if last = fmt.Sprint(err); err == nil {
			last = fmt.Sprint(a.Code, " ", a.Body)
		}
	}
	t.Fatalf("%s%s: want %d, last was %s", r.Host, r.Path, code, last)
	return nil
}
