package cluster_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/cluster"
	"github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/provisioner/bootstrap"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/apiserver"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/translator/ir"
)

func TestCluster(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "operator/cluster")
}

const system = "signet-system"

var (
	server *apiserver.Server
	c      client.Client
	xds    string
	health string
	status string
)

var _ = BeforeSuite(func() {
	var err error
	// The operator works with its own CRD alone.
	server, err = apiserver.Start(apiserver.EnvoyFleets)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(server.Stop()).To(Succeed()) })
	ctrllog.SetLogger(GinkgoLogr)
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(contourv1.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(gatewayv1.Install(scheme)).To(Succeed())
	c, err = client.New(server.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	install(context.Background())
	// The operator has the rights of its account, and no others.
	config := rest.CopyConfig(server.Config)
	config.Impersonate.UserName = "system:serviceaccount:" + system + ":signet"

	xds, health, status = freeport.AddressFor(GinkgoT()), freeport.AddressFor(GinkgoT()), freeport.AddressFor(GinkgoT())
	o, err := cluster.New(cluster.Config{
		REST: config, Namespace: system, Image: "signet-envoy:test", LeaderElection: true,
		XDSBind: xds, XDSAddress: xds, HealthAddress: health, MetricsAddress: "0", StatusAddress: status, Log: GinkgoLogr,
	})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	DeferCleanup(func() {
		cancel()
		Expect(<-done).To(Succeed())
	})
})

// install applies the manifests that users apply.
func install(ctx context.Context) {
	GinkgoHelper()
	text, err := os.ReadFile("../../docs/kubernetes/install.yaml")
	Expect(err).NotTo(HaveOccurred())
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		u := &unstructured.Unstructured{}
		Expect(yaml.UnmarshalStrict([]byte(document), &u.Object)).To(Succeed())
		if len(u.Object) == 0 {
			continue // a comment
		}
		Expect(c.Create(ctx, u, client.FieldValidation("Strict"))).To(Succeed())
	}
}

func port(address string) int32 {
	a, err := net.ResolveTCPAddr("tcp", address)
	Expect(err).NotTo(HaveOccurred())
	return int32(a.Port)
}

func get[T client.Object](ctx context.Context, name string, o T) func() T {
	return func() T {
		if err := c.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, o); err != nil {
			o.SetName("")
		}
		return o
	}
}

// change patches an object, which others write at the same time.
func change[T client.Object](ctx context.Context, o T, how func(T)) {
	GinkgoHelper()
	before, ok := o.DeepCopyObject().(T)
	Expect(ok).To(BeTrue())
	how(o)
	Expect(c.Patch(ctx, o, client.MergeFrom(before))).To(Succeed())
}

// condition is a condition of an EnvoyFleet, as "Status Reason".
func condition(ctx context.Context, fleet, kind string) func() string {
	return func() string {
		f := get(ctx, fleet, &v1alpha1.EnvoyFleet{})()
		if x := meta.FindStatusCondition(f.Status.Conditions, kind); x != nil {
			return string(x.Status) + " " + x.Reason
		}
		return ""
	}
}

var _ = Describe("an EnvoyFleet", Ordered, func() {
	httpAddress, httpsAddress := "", ""

	AfterAll(endEnvoys)
	BeforeAll(func(ctx context.Context) {
		httpAddress, httpsAddress = freeport.AddressFor(GinkgoT()), freeport.AddressFor(GinkgoT())
		f := &v1alpha1.EnvoyFleet{Namespace: "default", Name: "edge"}
		f.Spec.Listeners.HTTP.Port, f.Spec.Listeners.HTTPS.Port = port(httpAddress), port(httpsAddress)
		f.Spec.UpstreamTLS = &v1alpha1.UpstreamTLS{ClientCertificate: &v1alpha1.ClientCertificate{
			Issued: &v1alpha1.IssuedCertificate{DNSNames: []string{"edge.example.com"}},
		}}
		Expect(c.Create(ctx, f)).To(Succeed())
	})

	It("has the operator ready without any other CRD", func(ctx context.Context) {
		Eventually(func() int {
			r, err := http.Get("http://" + health + "/readyz")
			if err != nil {
				return 0
			}
			defer r.Body.Close()
			return r.StatusCode
		}).Should(Equal(http.StatusOK))
	})

	It("gets its objects, and says so", func(ctx context.Context) {
		Eventually(condition(ctx, "edge", "Provisioned")).Should(Equal("True Provisioned"))
		Eventually(condition(ctx, "edge", "Accepted")).Should(Equal("True Accepted"))
		Expect(condition(ctx, "edge", "Programmed")()).To(Equal("False NoEnvoys"))
		Expect(get(ctx, "edge-envoy", &appsv1.Deployment{})().Name).NotTo(BeEmpty())
		Expect(get(ctx, "edge", &v1alpha1.EnvoyFleet{})().Status.Envoys.Desired).To(Equal(int32(2)))
	})

	It("gets a client certificate that what is published verifies", func(ctx context.Context) {
		s := get(ctx, "edge-client", &corev1.Secret{})()
		Expect(s.Type).To(Equal(corev1.SecretTypeTLS))
		published := &corev1.ConfigMap{}
		Expect(c.Get(ctx, client.ObjectKey{Namespace: system, Name: controller.ClientAuthorities}, published)).To(Succeed())
		Expect(published.Data["ca.crt"]).To(Equal(string(s.Data["ca.crt"])))
		roots := x509.NewCertPool()
		Expect(roots.AppendCertsFromPEM([]byte(published.Data["ca.crt"]))).To(BeTrue())
		block, _ := pem.Decode(s.Data["tls.crt"])
		leaf, err := x509.ParseCertificate(block.Bytes)
		Expect(err).NotTo(HaveOccurred())
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		Expect(err).NotTo(HaveOccurred())
		Expect(leaf.DNSNames).To(Equal([]string{"edge.example.com"}))
		Eventually(func() string {
			f := get(ctx, "edge", &v1alpha1.EnvoyFleet{})()
			if x := f.Status.ClientCertificate; x != nil && x.NotAfter != nil && x.RenewalTime != nil {
				return x.Secret
			}
			return ""
		}).Should(Equal("default/edge-client"))
	})

	// Fleets heard of it at their next look only, up to ten minutes later.
	It("gets another client certificate as soon as another authority signs", func(ctx context.Context) {
		before := get(ctx, "edge-client", &corev1.Secret{})().Data["tls.crt"]
		s := &corev1.Secret{}
		Expect(c.Get(ctx, client.ObjectKey{Namespace: system, Name: controller.ClientAuthoritySecret}, s)).To(Succeed())
		state, err := certificate.Decode(s.Data)
		Expect(err).NotTo(HaveOccurred())
		state, err = certificate.Apply(state, certificate.Action{Kind: certificate.CreateAuthority}, time.Now(), certificate.ClientPolicy())
		Expect(err).NotTo(HaveOccurred())
		state, err = certificate.Apply(state, certificate.Action{Kind: certificate.SwitchAuthority}, time.Now(), certificate.ClientPolicy())
		Expect(err).NotTo(HaveOccurred())
		s.Data, err = certificate.Encode(state)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Update(ctx, s)).To(Succeed())
		Eventually(func() []byte { return get(ctx, "edge-client", &corev1.Secret{})().Data["tls.crt"] }).
			ShouldNot(Or(BeEmpty(), Equal(before)))
	})

	It("has what drifts put right", func(ctx context.Context) {
		change(ctx, get(ctx, "edge-envoy", &appsv1.Deployment{})(), func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Image = "other"
		})
		Eventually(func() string {
			return get(ctx, "edge-envoy", &appsv1.Deployment{})().Spec.Template.Spec.Containers[0].Image
		}).Should(Equal("signet-envoy:test"))
		Expect(c.Delete(ctx, get(ctx, "edge-client", &corev1.Secret{})())).To(Succeed())
		Eventually(func() string { return get(ctx, "edge-client", &corev1.Secret{})().Name }).ShouldNot(BeEmpty())
	})

	// Its identity ran out behind the fault, and the Envoys were cut off.
	DescribeTable("has its identity kept", func(ctx context.Context, wrong func(*v1alpha1.EnvoyFleetSpec)) {
		foreign := &corev1.Secret{Namespace: "default", Name: "foreign"}
		Expect(client.IgnoreAlreadyExists(c.Create(ctx, foreign))).To(Succeed())
		fleet := get(ctx, "edge", &v1alpha1.EnvoyFleet{})()
		right := fleet.Spec.DeepCopy()
		change(ctx, fleet, func(f *v1alpha1.EnvoyFleet) { wrong(&f.Spec) })
		Eventually(condition(ctx, "edge", "Provisioned")).Should(HavePrefix("False "))
		Expect(c.Delete(ctx, get(ctx, "edge-envoy-identity", &corev1.Secret{})())).To(Succeed())
		Eventually(func() string { return get(ctx, "edge-envoy-identity", &corev1.Secret{})().Name }).ShouldNot(BeEmpty())
		Expect(condition(ctx, "edge", "Provisioned")()).To(HavePrefix("False "))
		Expect(get(ctx, "edge-client", &corev1.Secret{})().Name).NotTo(BeEmpty(), "nothing is removed meanwhile")
		change(ctx, get(ctx, "edge", &v1alpha1.EnvoyFleet{})(), func(f *v1alpha1.EnvoyFleet) { f.Spec = *right })
		Eventually(condition(ctx, "edge", "Provisioned")).Should(Equal("True Provisioned"))
	},
		Entry("while a patch cannot be applied", func(s *v1alpha1.EnvoyFleetSpec) {
			s.Patches = &v1alpha1.Patches{Deployment: &runtime.RawExtension{Raw: []byte(`{"spec": {"nope": 1}}`)}}
		}),
		Entry("while the client certificate's Secret is another's", func(s *v1alpha1.EnvoyFleetSpec) {
			s.UpstreamTLS.ClientCertificate.Issued.SecretName = "foreign"
		}),
	)

	It("serves an HTTPProxy through an Envoy that starts as its pods do", func(ctx context.Context) {
		start(ctx, ir.Name{Namespace: "default", Name: "edge"}, get(ctx, "edge-envoy-identity", &corev1.Secret{})())
		Eventually(condition(ctx, "edge", "Programmed")).Should(Equal("True Programmed"))

		Expect(server.InstallCRD(apiserver.HTTPProxies)).To(Succeed())
		p := &contourv1.HTTPProxy{Namespace: "default", Name: "hello"}
		p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "hello.test"}
		p.Spec.Routes = []contourv1.Route{{DirectResponsePolicy: &contourv1.HTTPDirectResponsePolicy{StatusCode: 200, Body: "hello"}}}
		Expect(c.Create(ctx, p)).To(Succeed())
		Eventually(func() string { return ask(ctx, httpAddress, "hello.test") }).Should(Equal("200 hello"))
		Eventually(func() string { return get(ctx, "hello", &contourv1.HTTPProxy{})().Status.CurrentStatus }).Should(Equal("valid"))

		By("saying so to signet status, and the same to signet translate")
		served, err := report.Ask(ctx, "the operator", func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", status)
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(served.Fleets).To(ContainElement(HaveField("Envoys", ContainElement(HaveField("Ready", true)))))
		read, err := cluster.Translate(ctx, server.Config, nil, GinkgoLogr)
		Expect(err).NotTo(HaveOccurred())
		Expect(read.Hosts).To(ContainElement(HaveField("Host", "hello.test")))
		Expect(cmp.Diff(served.Hosts, read.Hosts)).To(BeEmpty())
		Expect(read.Resources).NotTo(BeEmpty())

		By("having the load balancer's address in the statuses")
		s := get(ctx, "edge-envoy", &corev1.Service{})()
		before := s.DeepCopy()
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}
		Expect(c.Status().Patch(ctx, s, client.MergeFrom(before))).To(Succeed())
		Eventually(func() string {
			i := get(ctx, "hello", &contourv1.HTTPProxy{})().Status.LoadBalancer.Ingress
			return fmt.Sprint(len(i) == 1 && i[0].IP == "192.0.2.7")
		}).Should(Equal("true"))
		Eventually(func() []v1alpha1.Address { return get(ctx, "edge", &v1alpha1.EnvoyFleet{})().Status.Addresses }).
			Should(Equal([]v1alpha1.Address{{Type: v1alpha1.IPAddress, Value: "192.0.2.7"}}))

		By("going on while the API server is away for longer than a lease")
		Expect(server.Pause()).To(Succeed())
		Consistently(func() string { return ask(ctx, httpAddress, "hello.test") }, "12s", "100ms").Should(Equal("200 hello"))
		Consistently(func() error {
			connection, err := net.Dial("tcp", xds)
			if err != nil {
				return err
			}
			return connection.Close()
		}, "4s", "100ms").Should(Succeed(), "whoever loses the lease serves on")
		Expect(server.Resume()).To(Succeed())

		By("asking for other classes, and for the default again")
		change(ctx, get(ctx, "edge", &v1alpha1.EnvoyFleet{})(), func(f *v1alpha1.EnvoyFleet) {
			f.Spec.HTTPProxies = &v1alpha1.HTTPProxySelection{IngressClassNames: []string{"other"}}
		})
		Eventually(func() string { return ask(ctx, httpAddress, "hello.test") }).Should(HavePrefix("404"))
		change(ctx, get(ctx, "edge", &v1alpha1.EnvoyFleet{})(), func(f *v1alpha1.EnvoyFleet) { f.Spec.HTTPProxies = nil })
		Eventually(func() string { return ask(ctx, httpAddress, "hello.test") }).Should(Equal("200 hello"))
	})

	// A leader whose account lacked a right on one kind waited for that kind's cache
	// and looked at no fleet at all.
	It("is looked at by a leader without a right, who says what it may not do, and takes the right up when it is given", func(ctx context.Context) {
		role := &rbacv1.ClusterRole{}
		Expect(c.Get(ctx, client.ObjectKey{Name: "signet-system-signet"}, role)).To(Succeed())
		rules := role.DeepCopy().Rules
		restore := sync.OnceFunc(func() { change(context.Background(), role, func(r *rbacv1.ClusterRole) { r.Rules = rules }) })
		DeferCleanup(restore)
		change(ctx, role, func(r *rbacv1.ClusterRole) {
			r.Rules = slices.DeleteFunc(r.Rules, func(x rbacv1.PolicyRule) bool { return slices.Contains(x.Resources, "networkpolicies") })
		})
		// The rights are asked for when a term begins.
		lease := &coordinationv1.Lease{}
		Eventually(func() error {
			return c.Get(ctx, client.ObjectKey{Namespace: system, Name: "signet-leader"}, lease)
		}).Should(Succeed())
		change(ctx, lease, func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = new("another") })

		f := &v1alpha1.EnvoyFleet{Namespace: "default", Name: "guarded"}
		f.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{}
		f.Spec.HTTPProxies = &v1alpha1.HTTPProxySelection{IngressClassNames: []string{"guarded"}}
		Expect(c.Create(ctx, f)).To(Succeed())
		message := func() string {
			x := meta.FindStatusCondition(get(ctx, "guarded", &v1alpha1.EnvoyFleet{})().Status.Conditions, "Provisioned")
			if x == nil {
				return ""
			}
			return string(x.Status) + " " + x.Message
		}
		Eventually(message).Should(And(HavePrefix("False"), ContainSubstring(`cannot get resource "networkpolicies"`)))
		Expect(get(ctx, "guarded-envoy", &appsv1.Deployment{})().Name).NotTo(BeEmpty())

		restore()
		Eventually(message).Should(HavePrefix("True"))
		Expect(get(ctx, "guarded-envoy", &networkingv1.NetworkPolicy{})().Name).NotTo(BeEmpty())
	})

	It("has HTTPProxies whose status comes back", proxyStatusComesBack)
})

// running ends the Envoys of a container: they outlast the spec that started them.
var running []func()

func endEnvoys() {
	for _, end := range running {
		end()
	}
	running = nil
}

// start runs a real Envoy from what a pod is given: the mounted Secret and the
// files that `signet envoy bootstrap` writes.
func start(_ context.Context, fleet ir.Name, identity *corev1.Secret) {
	GinkgoHelper()
	envoy := os.Getenv("SIGNET_ENVOY")
	Expect(envoy).NotTo(BeEmpty(), "SIGNET_ENVOY names no Envoy: run the test by make unit")
	folder, err := os.MkdirTemp("", "signet-pod-")
	Expect(err).NotTo(HaveOccurred())
	mount := filepath.Join(folder, "identity")
	Expect(os.Mkdir(mount, 0o700)).To(Succeed())
	for k, v := range identity.Data {
		Expect(os.WriteFile(filepath.Join(mount, k), v, 0o600)).To(Succeed())
	}
	status := freeport.AddressFor(GinkgoT())
	files, err := bootstrap.Files(bootstrap.Config{
		Fleet: fleet, NodeID: "edge-0", XDSAddress: xds, ServerName: certificate.ServerName,
		CertificateFolder: folder, AdminSocket: filepath.Join(folder, "admin.sock"),
		StatusAddress: "127.0.0.1", StatusPort: uint32(port(status)),
	}, mount, nil)
	Expect(err).NotTo(HaveOccurred())
	for name, content := range files {
		Expect(os.WriteFile(filepath.Join(folder, name), content, 0o600)).To(Succeed())
	}
	cmd := exec.Command(envoy, "--config-path", filepath.Join(folder, bootstrap.BootstrapFile),
		"--disable-hot-restart", "--log-level", "warning", "--concurrency", "1")
	cmd.Stderr = GinkgoWriter
	Expect(cmd.Start()).To(Succeed())
	running = append(running, func() {
		Expect(cmd.Process.Kill()).To(Succeed())
		_ = cmd.Wait() // it was killed
		Expect(os.RemoveAll(folder)).To(Succeed())
	})
	Eventually(func() string { return ask(context.Background(), status, "any", "/ready") }).Should(HavePrefix("200"))
	Expect(ask(context.Background(), status, "any", "/stats/prometheus")).To(HavePrefix("200"))
	Expect(ask(context.Background(), status, "any", "/config_dump")).To(HavePrefix("404"))
}

// ask returns the status code and the body.
func ask(ctx context.Context, address, host string, path ...string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+append(path, "/")[0], http.NoBody)
	if err != nil {
		return err.Error()
	}
	request.Host = host
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", r.StatusCode, body)
}
