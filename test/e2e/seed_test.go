package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/cluster"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// host is that of the example's HTTPProxy.
const host = "secure.example.com"

// edge is an EnvoyFleet with a client certificate that Signet issues.
const edge = `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: edge, namespace: shop}
spec:
  upstreamTLS:
    clientCertificate:
      issued: {dnsNames: [edge.shop.example]}
`

// backendPods is a Deployment of TLS backends that demand a client certificate,
// from the Secret tls-nginx and the ConfigMap client-authorities. They serve on
// while Envoys hear that a pod ends, as a backend should that is rolled.
const backendPods = `apiVersion: apps/v1
kind: Deployment
metadata: {name: tls-nginx, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: tls-nginx}}
  template:
    metadata: {labels: {app: tls-nginx}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: echo
        image: ` + cluster.EchoImage + `
        args: [--http=, "--https=:443", --certificate=/tls/tls.crt, --key=/tls/tls.key, --client-ca=/clients/ca.crt]
        ports: [{name: https, containerPort: 443}]
        readinessProbe: {tcpSocket: {port: https}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: tls, mountPath: /tls}, {name: clients, mountPath: /clients}]
      volumes:
      - {name: tls, secret: {secretName: tls-nginx}}
      - {name: clients, configMap: {name: client-authorities}}
`

// example is a manifest of examples/upstream-tls, in the shop.
func example(file string) string {
	GinkgoHelper()
	text, err := os.ReadFile("../../examples/upstream-tls/manifests/" + file)
	Expect(err).NotTo(HaveOccurred())
	return strings.Replace(string(text), "metadata:\n", "metadata:\n  namespace: "+shop+"\n", 1)
}

// clientAuthorities waits for what Signet publishes for backends' owners.
func clientAuthorities(ctx context.Context) string {
	GinkgoHelper()
	m := &corev1.ConfigMap{}
	Eventually(func() error {
		return c.Get(ctx, client.ObjectKey{Namespace: system, Name: "signet-client-authorities"}, m)
	}).Should(Succeed())
	return m.Data["ca.crt"]
}

// takeOver does what a backend's owner does with it.
func takeOver(ctx context.Context, authorities string) {
	GinkgoHelper()
	data, err := json.Marshal(map[string]string{"ca.crt": authorities})
	Expect(err).NotTo(HaveOccurred())
	apply(ctx, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: client-authorities, namespace: %s}\ndata: %s\n", shop, data))
}

// visitor is a client outside the cluster.
var visitor = &http.Client{
	Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// ask sends a request to a fleet.
func ask(ctx context.Context, where, host, path string) (*world.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+where+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Host = host
	got, err := visitor.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return nil, err
	}
	a := &world.Answer{Code: got.StatusCode, Header: got.Header, Body: string(body)}
	var seen backend.Request
	if json.Unmarshal(body, &seen) == nil && seen.Backend != "" {
		a.Seen = &seen
	}
	return a, nil
}

// answered waits for an answer with a code.
func answered(ctx context.Context, where, host, path string, code int) (last *world.Answer) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		a, err := ask(ctx, where, host, path)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(a.Code).To(Equal(code), a.Body)
		last = a
	}).Should(Succeed())
	return last
}

// serverSecrets are the authority of the backends' certificates, as the
// HTTPProxy names it, and a certificate for them.
func serverSecrets() string {
	GinkgoHelper()
	serverCA, err := pki.NewAuthority("shop's servers")
	Expect(err).NotTo(HaveOccurred())
	pair, err := serverCA.Issue(pki.Leaf{DNS: []string{"tls-nginx.example"}})
	Expect(err).NotTo(HaveOccurred())
	return world.All(world.CA(shop, "backend-ca", serverCA.PEM()),
		world.Secret(shop, "tls-nginx", "kubernetes.io/tls", map[string]string{"tls.crt": string(pair.CertPEM), "tls.key": string(pair.KeyPEM)}))
}

// shopServes brings the shop up, if an earlier spec has not, and returns its
// address.
func shopServes(ctx context.Context) string {
	GinkgoHelper()
	apply(ctx, edge)
	where := programmed(ctx, shop, fleet)
	takeOver(ctx, clientAuthorities(ctx))
	// A new authority would reach Envoys before the pods had its certificate.
	if err := c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "backend-ca"}, &corev1.Secret{}); err != nil {
		Expect(client.IgnoreNotFound(err)).To(Succeed())
		apply(ctx, serverSecrets())
	}
	apply(ctx, backendPods, example("service.yaml"), example("httpproxy.yaml"))
	answered(ctx, where, host, "/hello", 200)
	return where
}

var _ = Describe("the seed", Ordered, func() {
	var where string

	It("is served by a fleet that one manifest makes", func(ctx context.Context) {
		where = shopServes(ctx)
		seen := answered(ctx, where, host, "/hello", 200).Seen
		Expect(seen).NotTo(BeNil())
		Expect([]any{seen.TLS, seen.TLSVersion, seen.SNI, seen.ClientSubject, seen.Path}).
			To(Equal([]any{true, "TLS 1.3", "tls-nginx.example", "CN=edge.shop.example", "/hello"}))
	})

	It("says so in its statuses", func(ctx context.Context) {
		Eventually(func(g Gomega) {
			p := &contourv1.HTTPProxy{}
			g.Expect(c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "secure"}, p)).To(Succeed())
			g.Expect(p.Status.CurrentStatus).To(Equal("valid"))
			g.Expect(p.Status.LoadBalancer.Ingress).To(HaveLen(1))
			g.Expect(p.Status.LoadBalancer.Ingress[0].IP).To(Equal(where))
		}).Should(Succeed())
		// A column of type date shows a time to come as <invalid>.
		Expect(kubectl(ctx, "get", "envoyfleets", "--namespace", shop)).
			To(And(ContainSubstring(where), MatchRegexp(`\d{4}-\d\d-\d\dT`), Not(ContainSubstring("invalid"))))
		AddReportEntry("kubectl get", kubectl(ctx, "get", "envoyfleets,httpproxies", "--namespace", shop), ReportEntryVisibilityAlways)
		AddReportEntry("kubectl describe", kubectl(ctx, "describe", "envoyfleet", fleet, "--namespace", shop), ReportEntryVisibilityAlways)
	})

	It("counts what is verified, and what is not", func(ctx context.Context) {
		Expect(figure(ctx, `signet_upstreams{fleet="edge",namespace="shop",verification="verified"}`)).To(Equal("1"))
		loose := world.Proxy(shop, "loose", "loose.example.com", world.Routes(world.Route("/", world.Plain("tls-nginx", 443, ""))))
		apply(ctx, loose)
		answered(ctx, where, "loose.example.com", "/", 200)
		Eventually(func() string {
			return figure(ctx, `signet_upstreams{fleet="edge",namespace="shop",verification="unverified"}`)
		}).Should(Equal("1"))
		_, err := try(ctx, loose, "delete", "--filename=-")
		Expect(err).NotTo(HaveOccurred())
		answered(ctx, where, "loose.example.com", "/", 404)
	})
})

// figure is the value of a series, if all replicas of the operator agree on it.
func figure(ctx context.Context, series string) string {
	GinkgoHelper()
	values := map[string]bool{}
	for _, p := range pods(ctx, system, operators) {
		values[figureOf(ctx, &p, series)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(values)), " or ")
}

// figureOf is the value of a series of one replica.
func figureOf(ctx context.Context, p *corev1.Pod, series string) string {
	a, err := ask(ctx, p.Status.PodIP+":8080", "signet", "/metrics")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(a.Body) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "no such series"
}
