package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/image"
	"github.com/signetproxy/signet/test/cluster"
)

const (
	className = "signet"

	repository = "../.."
	echoModule = "sigs.k8s.io/gateway-api-conformance-images/echo-basic"
	echoImage  = "registry.k8s.io/gateway-api/conformance/echo-basic:"

	// rollout bounds the wait for Signet's own pods.
	rollout = "120s"
)

// class shapes the Gateways for a machine that is shared by many of them: one
// Envoy each, which asks for little. Nothing of it is seen by the tests.
const class = `
apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: conformance, namespace: signet-system}
spec:
  httpProxies: {ingressClassNames: [none]}
  workload:
    replicas: 1
    concurrency: 1
    drainTime: 1s
    resources: {requests: {cpu: 1m, memory: 32Mi}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ` + className + `}
spec:
  controllerName: signetproxy.io/gateway-controller
  parametersRef: {group: operator.signetproxy.io, kind: EnvoyFleet, name: conformance, namespace: signet-system}
`

// provision brings the CRDs, Signet as users install it, and the images of the
// tests into a cluster.
func provision(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	began := time.Now()
	ctx, scratch := t.Context(), t.TempDir()
	for _, version := range []string{"v0.1.0", "v0.2.0"} {
		load(t, c, scratch, "echo-"+version, echo(t, scratch, echoImage+version))
	}
	envoy := os.Getenv("SIGNET_ENVOY")
	version := "conformance-" + digest(t, envoy)
	spec, err := image.Signet(ctx, image.SignetOptions{Module: repository, Scratch: scratch, Version: version, Envoy: envoy})
	if err != nil {
		t.Fatal(err)
	}
	spec.Compress = false
	// A tag that says what is inside: another binary is another rollout.
	spec.Name = image.SignetName + ":conformance-" + digest(t, filepath.Join(scratch, "signet-"))
	load(t, c, scratch, "signet", spec)

	apply(t, c, crds(t))
	// A kind that was just made is not served for a moment.
	kubectl(ctx, t, c, "", "wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout", rollout)
	install, err := os.ReadFile(filepath.Join(repository, "docs/kubernetes/install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(regexp.QuoteMeta(image.SignetName)+`:[^\s"]+`).ReplaceAllString(string(install), spec.Name)
	if named == string(install) {
		t.Fatal("docs/kubernetes/install.yaml: no image of Signet's in it")
	}
	apply(t, c, named+"\n---\n"+class)
	kubectl(ctx, t, c, "", "rollout", "status", "--namespace", "signet-system", "deployment/signet", "--timeout", rollout)
	t.Logf("Signet is installed after %.0f s", time.Since(began).Seconds())
}

// echo is the image of the tests' backends, built from its module.
func echo(t *testing.T, scratch, name string) image.Spec {
	t.Helper()
	binary := filepath.Join(scratch, "echo-basic")
	if _, err := os.Stat(binary); err != nil {
		b := image.GoBuild{Module: ".", Packages: []string{echoModule}}
		if err := b.Build(t.Context(), binary); err != nil {
			t.Fatal(err)
		}
	}
	return image.Spec{
		Name: name, Entrypoint: []string{"/echo-basic"}, User: image.NonRoot,
		Files: append(image.People(), image.File{Path: "/echo-basic", Source: binary, Mode: 0o755}),
	}
}

func load(t *testing.T, c *cluster.Cluster, scratch, name string, spec image.Spec) {
	t.Helper()
	file := filepath.Join(scratch, name+".tar")
	if _, err := image.WriteFile(file, spec); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), file); err != nil {
		t.Fatal(err)
	}
}

// digest names the content of a file.
func digest(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// crds are those of the standard channel, and Signet's own.
func crds(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "config/crd/standard/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("CRDs of the Gateway API: %d, %v", len(files), err)
	}
	var all []string
	for _, f := range append(files, filepath.Join(repository, "operator/api/crds/operator.signetproxy.io_envoyfleets.yaml")) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "\n---\n")
}

// apply applies manifests from the server's side: CRDs are too large for the
// annotation of the client's.
func apply(t *testing.T, c *cluster.Cluster, manifests string) {
	t.Helper()
	kubectl(t.Context(), t, c, manifests, "apply", "--server-side", "--force-conflicts", "--filename", "-")
}

func kubectl(ctx context.Context, t *testing.T, c *cluster.Cluster, input string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, c.Kubectl(), append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// usable is an address that the load balancer has and has not given out: it gives
// the lowest first.
func usable(c *cluster.Cluster) gatewayv1.GatewaySpecAddress {
	pool := c.Ranges().LoadBalancers
	addr := pool.Addr()
	for range 250 {
		addr = addr.Next()
	}
	return address(addr.String())
}

// unusable is an address of nobody's (RFC 5737).
func unusable() gatewayv1.GatewaySpecAddress { return address("192.0.2.1") }

func address(value string) gatewayv1.GatewaySpecAddress {
	kind := gatewayv1.IPAddressType
	return gatewayv1.GatewaySpecAddress{Type: &kind, Value: value}
}
