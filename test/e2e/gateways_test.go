package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// gatewayCRDs are those of the release that Signet is built with.
func gatewayCRDs(ctx context.Context) string {
	GinkgoHelper()
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	Expect(err).NotTo(HaveOccurred())
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "standard", "*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(files).NotTo(BeEmpty())
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		Expect(err).NotTo(HaveOccurred())
		all = append(all, string(text))
	}
	return strings.Join(all, "\n---\n")
}

// gatewayClass shapes Gateways of one Envoy, with a client certificate of each's
// own, and says how the shop's backends are verified.
const gatewayClass = `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: gateways, namespace: shop}
spec:
  httpProxies: {ingressClassNames: [none]}
  workload: {replicas: 1}
  upstreamTLS:
    clientCertificate:
      issued: {dnsNames: [gateways.shop.example]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: signet}
spec:
  controllerName: signetproxy.io/gateway-controller
  parametersRef: {group: operator.signetproxy.io, kind: EnvoyFleet, name: gateways, namespace: shop}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls-nginx, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: tls-nginx}]
  validation:
    hostname: tls-nginx.example
    caCertificateRefs: [{group: "", kind: Secret, name: backend-ca}]
`

func gateway(name string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %[1]s, namespace: shop}
spec:
  gatewayClassName: signet
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: shop}
spec:
  parentRefs: [{name: %[1]s}]
  hostnames: [%[1]s.example.com]
  rules: [{backendRefs: [{name: tls-nginx, port: 443}]}]
`, name)
}

// gatewayAddress is where clients reach a Gateway; "" for nowhere yet.
func gatewayAddress(ctx context.Context, name string) string {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersion(gatewayv1.GroupVersion).WithKind("Gateway"))
	if c.Get(ctx, client.ObjectKey{Namespace: shop, Name: name}, u) != nil {
		return ""
	}
	all, _, err := unstructured.NestedSlice(u.Object, "status", "addresses")
	if err != nil || len(all) == 0 {
		return ""
	}
	first, _ := all[0].(map[string]any)
	value, _ := first["value"].(string)
	return value
}

var _ = Describe("Gateways", Ordered, func() {
	BeforeAll(func(ctx context.Context) {
		shopServes(ctx)
		apply(ctx, gatewayCRDs(ctx))
		DeferCleanup(func(ctx context.Context) {
			kubectl(ctx, "delete", "--namespace", shop, "gateways,httproutes,backendtlspolicies", "--all")
			kubectl(ctx, "delete", "gatewayclass", "signet")
			kubectl(ctx, "delete", "--namespace", shop, "envoyfleet", "gateways")
		})
		Eventually(func(ctx context.Context) error {
			_, err := try(ctx, gatewayClass, "apply", "--server-side", "--filename=-")
			return err
		}).WithContext(ctx).Should(Succeed())
		programmed(ctx, shop, "gateways")
	})

	It("serve a verified backend seconds after they were created", func(ctx context.Context) {
		var took []time.Duration
		for i := range 7 {
			name := fmt.Sprintf("g%d", i)
			apply(ctx, gateway(name))
			began := time.Now()
			Eventually(func() error {
				where := gatewayAddress(ctx, name)
				if where == "" {
					return errNoAddress
				}
				patience, stop := context.WithTimeout(ctx, time.Second)
				defer stop()
				a, err := ask(patience, where, name+".example.com", "/")
				if err != nil {
					return err
				}
				Expect(a.Code).To(BeElementOf(200, 404, 503), a.Body)
				if a.Code != 200 {
					return fmt.Errorf("it answers %d: %w", a.Code, errNotYet)
				}
				Expect(a.Seen.TLS).To(BeTrue())
				Expect(a.Seen.ClientCertificate).NotTo(BeEmpty())
				return nil
			}, "60s", "20ms").Should(Succeed())
			took = append(took, time.Since(began).Round(time.Millisecond))
		}
		slices.Sort(took)
		AddReportEntry("Gateway created to its first 200", fmt.Sprintf("median %s of %s", took[len(took)/2], took),
			ReportEntryVisibilityAlways)
	})
})
