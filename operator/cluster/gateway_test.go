package cluster_test

import (
	"context"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/apiserver"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
)

// of finds a condition, as "Status Reason".
func of(conditions []metav1.Condition, kind string) string {
	if x := meta.FindStatusCondition(conditions, kind); x != nil {
		return string(x.Status) + " " + x.Reason
	}
	return ""
}

var _ = Describe("a Gateway", Ordered, func() {
	const finalizer = gatewayv1.GatewayClassFinalizerGatewaysExist
	address := freeport.AddressFor(GinkgoT()) // of the one listener
	class := func(ctx context.Context) *gatewayv1.GatewayClass {
		o := &gatewayv1.GatewayClass{}
		if err := c.Get(ctx, client.ObjectKey{Name: "signet"}, o); err != nil {
			o.Name = ""
		}
		return o
	}
	gateway := func(ctx context.Context) *gatewayv1.Gateway { return get(ctx, "gw", &gatewayv1.Gateway{})() }
	programmed := func(ctx context.Context) func() string {
		return func() string { return of(gateway(ctx).Status.Conditions, "Programmed") }
	}

	AfterAll(endEnvoys)

	It("has a class that is accepted, when the CRDs appear", func(ctx context.Context) {
		for _, f := range apiserver.GatewayAPI() {
			Expect(server.InstallCRD(f)).To(Succeed())
		}
		k := &gatewayv1.GatewayClass{}
		k.Name, k.Spec.ControllerName = "signet", "signetproxy.io/gateway-controller"
		Expect(c.Create(ctx, k)).To(Succeed())
		Eventually(func() string { return of(class(ctx).Status.Conditions, "Accepted") }).Should(Equal("True Accepted"))
		Eventually(func() string { return of(class(ctx).Status.Conditions, "SupportedVersion") }).Should(Equal("True SupportedVersion"))
		Expect(class(ctx).Status.SupportedFeatures).NotTo(BeEmpty())
		Expect(class(ctx).Finalizers).To(BeEmpty())
	})

	It("gets a fleet of its own, with its names, labels and ports", func(ctx context.Context) {
		g := &gatewayv1.Gateway{Namespace: "default", Name: "gw"}
		g.Spec.GatewayClassName = "signet"
		g.Spec.Listeners = []gatewayv1.Listener{
			{Name: "http", Protocol: gatewayv1.HTTPProtocolType, Port: port(address)},
			{Name: "low", Protocol: gatewayv1.HTTPProtocolType, Port: 80},
		}
		g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{
			Labels: map[gatewayv1.LabelKey]gatewayv1.LabelValue{"team": "a"}, Annotations: map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{"note": "b"},
		}
		Expect(c.Create(ctx, g)).To(Succeed())
		Eventually(func() string { return get(ctx, "gw-signet", &appsv1.Deployment{})().Name }).Should(Equal("gw-signet"))
		for _, o := range []client.Object{
			get(ctx, "gw-signet", &appsv1.Deployment{})(), get(ctx, "gw-signet", &corev1.Service{})(), get(ctx, "gw-signet", &corev1.ServiceAccount{})(),
		} {
			Expect(o.GetLabels()).To(HaveKeyWithValue("gateway.networking.k8s.io/gateway-name", "gw"))
			Expect(o.GetLabels()).To(HaveKeyWithValue("team", "a"))
			Expect(o.GetAnnotations()).To(HaveKeyWithValue("note", "b"))
			Expect(o.GetOwnerReferences()[0].UID).To(Equal(gateway(ctx).UID))
		}
		ports := map[int32]int32{}
		for _, p := range get(ctx, "gw-signet", &corev1.Service{})().Spec.Ports {
			ports[p.Port] = p.TargetPort.IntVal
		}
		Expect(ports).To(Equal(map[int32]int32{80: 64592, port(address): port(address)}))
		Eventually(func() []string { return class(ctx).Finalizers }).Should(Equal([]string{finalizer}))
	})

	It("is programmed when it has an address and an Envoy has acknowledged it", func(ctx context.Context) {
		Eventually(programmed(ctx)).Should(Equal("False AddressNotAssigned"))
		s := get(ctx, "gw-signet", &corev1.Service{})()
		before := s.DeepCopy()
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.8"}}
		Expect(c.Status().Patch(ctx, s, client.MergeFrom(before))).To(Succeed())
		Eventually(programmed(ctx)).Should(Equal("False Pending"))
		Expect(gateway(ctx).Status.Addresses[0].Value).To(Equal("192.0.2.8"))
		start(ctx, certificate.GatewayFleet(ir.Name{Namespace: "default", Name: "gw"}), get(ctx, "gw-signet-identity", &corev1.Secret{})())
		Eventually(programmed(ctx)).Should(Equal("True Programmed"))
		Eventually(func() string { return ask(ctx, address, "any.test") }).Should(HavePrefix("404"))
	})

	It("serves routes, and leaves what others say of them", func(ctx context.Context) {
		r := &gatewayv1.HTTPRoute{Namespace: "default", Name: "r"}
		r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "gw"}}
		r.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{}}}}
		r.Spec.Rules[0].BackendRefs[0].Name, r.Spec.Rules[0].BackendRefs[0].Port = "missing", new(gatewayv1.PortNumber(80))
		Expect(c.Create(ctx, r)).To(Succeed())
		route := func() *gatewayv1.HTTPRoute { return get(ctx, "r", &gatewayv1.HTTPRoute{})() }
		verdict := func() string {
			for _, p := range route().Status.Parents {
				if p.ControllerName == "signetproxy.io/gateway-controller" {
					return of(p.Conditions, "Accepted") + ", " + of(p.Conditions, "ResolvedRefs")
				}
			}
			return ""
		}
		Eventually(verdict).Should(Equal("True Accepted, False BackendNotFound"))
		Eventually(func() string { return ask(ctx, address, "any.test") }).Should(HavePrefix("500"))
		Eventually(func() int32 { return gateway(ctx).Status.Listeners[0].AttachedRoutes }).Should(Equal(int32(1)))

		theirs := gatewayv1.RouteParentStatus{
			ParentRef: r.Spec.ParentRefs[0], ControllerName: "example.com/other",
			Conditions: []metav1.Condition{{Type: "Accepted", Status: "False", Reason: "Theirs", LastTransitionTime: metav1.Now().Rfc3339Copy()}},
		}
		change := func() error {
			o := route()
			o.Status.Parents = append([]gatewayv1.RouteParentStatus{theirs}, o.Status.Parents...)
			return c.Status().Update(ctx, o)
		}
		Eventually(change).Should(Succeed())
		service := &corev1.Service{Namespace: "default", Name: "missing"}
		service.Spec.Ports = []corev1.ServicePort{{Port: 80}}
		Expect(c.Create(ctx, service)).To(Succeed())
		Eventually(verdict).Should(Equal("True Accepted, True ResolvedRefs"))
		Expect(route().Status.Parents[0]).To(HaveField("ControllerName", theirs.ControllerName))
		Expect(route().Status.Parents[0].Conditions[0].Reason).To(Equal("Theirs"))

		By("leaving the Gateway")
		Eventually(func() error {
			o := route()
			o.Spec.ParentRefs[0].Name = "another"
			return c.Update(ctx, o)
		}).Should(Succeed())
		Eventually(verdict).Should(BeEmpty())
		Expect(route().Status.Parents).To(HaveLen(1))
	})

	It("has routes whose status comes back", routeStatusComesBack)

	It("says of a ListenerSet that it has left", listenerSetLeaves)

	It("serves no HTTPProxy", func(ctx context.Context) {
		Expect(ask(ctx, address, "hello.test")).To(HavePrefix("404"))
	})

	It("says which address it did not get", func(ctx context.Context) {
		change(ctx, gateway(ctx), func(g *gatewayv1.Gateway) {
			g.Spec.Addresses = []gatewayv1.GatewaySpecAddress{{Value: "192.0.2.99"}}
		})
		Eventually(programmed(ctx)).Should(Equal("False AddressNotUsable"))
		Eventually(func() string { return get(ctx, "gw-signet", &corev1.Service{})().Spec.LoadBalancerIP }).Should(Equal("192.0.2.99"))
		change(ctx, gateway(ctx), func(g *gatewayv1.Gateway) { g.Spec.Addresses = nil })
		Eventually(programmed(ctx)).Should(Equal("True Programmed"))
	})

	It("is shaped by an EnvoyFleet", func(ctx context.Context) {
		f := &v1alpha1.EnvoyFleet{Namespace: "default", Name: "shape"}
		f.Spec.HTTPProxies = &v1alpha1.HTTPProxySelection{IngressClassNames: []string{"none"}}
		f.Spec.Workload.Replicas = new(int32(3))
		f.Spec.UpstreamTLS = &v1alpha1.UpstreamTLS{ClientCertificate: &v1alpha1.ClientCertificate{
			Issued: &v1alpha1.IssuedCertificate{DNSNames: []string{"gw.example.com"}},
		}}
		accepted := func() string { return of(gateway(ctx).Status.Conditions, "Accepted") }
		change(ctx, gateway(ctx), func(g *gatewayv1.Gateway) {
			g.Spec.Infrastructure.ParametersRef = &gatewayv1.LocalParametersReference{
				Group: "operator.signetproxy.io", Kind: "EnvoyFleet", Name: "shape",
			}
		})
		Eventually(accepted).Should(Equal("False InvalidParameters"))
		Expect(c.Create(ctx, f)).To(Succeed())
		Eventually(accepted).Should(Equal("True Accepted"))
		Eventually(func() int32 { return *get(ctx, "gw-signet", &appsv1.Deployment{})().Spec.Replicas }).Should(Equal(int32(3)))
		Eventually(func() string { return get(ctx, "gw-signet-client", &corev1.Secret{})().Name }).ShouldNot(BeEmpty())
		change(ctx, get(ctx, "shape", &v1alpha1.EnvoyFleet{})(), func(f *v1alpha1.EnvoyFleet) { f.Spec.Workload.Replicas = new(int32(1)) })
		Eventually(func() int32 { return *get(ctx, "gw-signet", &appsv1.Deployment{})().Spec.Replicas }).Should(Equal(int32(1)))
	})

	// A leader that had no revision yet removed the fleets of all Gateways.
	DescribeTable("keeps its objects", func(ctx context.Context, reason string, seen bool) {
		before := get(ctx, "gw-signet", &appsv1.Deployment{})()
		Expect(before.Name).NotTo(BeEmpty())
		settled := false
		r := &controller.Gateways{
			Client: c, Now: time.Now, Log: GinkgoLogr,
			Exposure: func(ir.Name) (*listener.Exposure, bool) { return nil, seen },
			Settled:  func(ir.Name, *controller.Outcome) { settled = true },
		}
		_, err := r.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(gateway(ctx))})
		Expect(err).NotTo(HaveOccurred())
		Expect(settled).To(Equal(seen))
		after := get(ctx, "gw-signet", &appsv1.Deployment{})()
		Expect(after.Name).NotTo(BeEmpty(), reason)
		Expect(after.DeletionTimestamp).To(BeNil(), reason)
		Expect(after.UID).To(Equal(before.UID), reason)
	},
		Entry("while translation has not seen it", "nothing can be said of it", false),
		Entry("while translation says another class than the API server", "translation is behind, or has failed", true),
	)

	It("loses its objects when its class is another controller's, and the class what keeps it", func(ctx context.Context) {
		k := &gatewayv1.GatewayClass{}
		k.Name, k.Spec.ControllerName = "other", "example.com/other"
		Expect(c.Create(ctx, k)).To(Succeed())
		change(ctx, gateway(ctx), func(g *gatewayv1.Gateway) { g.Spec.GatewayClassName = "other" })
		Eventually(func() string { return get(ctx, "gw-signet", &appsv1.Deployment{})().Name }).Should(BeEmpty())
		Eventually(func() bool { return slices.Contains(class(ctx).Finalizers, finalizer) }).Should(BeFalse())
		Expect(strings.HasPrefix(get(ctx, "shape-envoy", &appsv1.Deployment{})().Name, "shape")).To(BeTrue(), "an EnvoyFleet's stay")
	})
})
