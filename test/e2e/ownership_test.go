package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/crds"
	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

const full = `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: whole, namespace: drift}
spec:
  httpProxies: {rootNamespaces: [drift]}
  workload: {autoscaling: {minReplicas: 1, maxReplicas: 2}}
  networkPolicy: {}
  upstreamTLS: {clientCertificate: {issued: {}}}
`

// owned are the objects of the fleet "whole", each with an edit that a hand
// could make and a look at whether it stands.
func owned() map[string]struct {
	object client.Object
	edit   func(client.Object)
	edited func(client.Object) bool
} {
	type row = struct {
		object client.Object
		edit   func(client.Object)
		edited func(client.Object) bool
	}
	named := func(o client.Object, name string) client.Object {
		o.SetNamespace("drift")
		o.SetName(name)
		return o
	}
	const label = "app.kubernetes.io/managed-by"
	relabel := func(o client.Object) {
		o.SetLabels(map[string]string{"operator.signetproxy.io/fleet": "x", label: "signet"})
	}
	relabelled := func(o client.Object) bool { return o.GetLabels()["operator.signetproxy.io/fleet"] == "x" }
	spoil := func(o client.Object) { o.(*corev1.Secret).Data["tls.crt"] = []byte("spoilt") }
	spoilt := func(o client.Object) bool { return string(o.(*corev1.Secret).Data["tls.crt"]) == "spoilt" }
	return map[string]row{
		"Deployment": {
			named(&appsv1.Deployment{}, "whole-envoy"),
			func(o client.Object) { o.(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Image = "other" },
			func(o client.Object) bool {
				return o.(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Image == "other"
			},
		},
		"Service": {
			named(&corev1.Service{}, "whole-envoy"),
			func(o client.Object) { o.(*corev1.Service).Spec.Ports[0].TargetPort = intstr.FromInt32(1) },
			func(o client.Object) bool { return o.(*corev1.Service).Spec.Ports[0].TargetPort == intstr.FromInt32(1) },
		},
		"ServiceAccount":          {named(&corev1.ServiceAccount{}, "whole-envoy"), relabel, relabelled},
		"Secret of the identity":  {named(&corev1.Secret{}, "whole-envoy-identity"), spoil, spoilt},
		"Secret of the client":    {named(&corev1.Secret{}, "whole-client"), spoil, spoilt},
		"NetworkPolicy":           {named(&networkingv1.NetworkPolicy{}, "whole-envoy"), relabel, relabelled},
		"PodDisruptionBudget":     {named(&policyv1.PodDisruptionBudget{}, "whole-envoy"), relabel, relabelled},
		"HorizontalPodAutoscaler": {named(&autoscalingv2.HorizontalPodAutoscaler{}, "whole-envoy"), relabel, relabelled},
	}
}

var _ = Describe("the objects of a fleet", Ordered, ContinueOnFailure, func() {
	BeforeAll(func(ctx context.Context) {
		apply(ctx, namespace("drift"), full)
		Eventually(func() string { return condition(ctx, "drift", "whole", "Provisioned") }).Should(HavePrefix("True"))
		Eventually(func() string { return condition(ctx, "drift", "whole", "Programmed") }).Should(HavePrefix("True"))
	})

	for name, row := range owned() {
		It("are repaired: "+name, func(ctx context.Context) {
			key := client.ObjectKeyFromObject(row.object)
			Expect(c.Get(ctx, key, row.object)).To(Succeed())
			old := row.object.GetUID()
			Expect(c.Delete(ctx, row.object)).To(Succeed())
			Eventually(func(g Gomega) {
				g.Expect(c.Get(ctx, key, row.object)).To(Succeed())
				g.Expect(row.object.GetUID()).NotTo(Equal(old))
			}).Should(Succeed(), "it was deleted")
			Eventually(func() error {
				if err := c.Get(ctx, key, row.object); err != nil {
					return err
				}
				row.edit(row.object)
				return c.Update(ctx, row.object)
			}).Should(Succeed())
			Eventually(func(g Gomega) {
				g.Expect(c.Get(ctx, key, row.object)).To(Succeed())
				g.Expect(row.edited(row.object)).To(BeFalse())
			}).Should(Succeed(), "it was edited")
		})
	}

	It("go with the fleet, all of them", func(ctx context.Context) {
		Expect(c.Delete(ctx, &v1alpha1.EnvoyFleet{Namespace: "drift", Name: "whole"})).To(Succeed())
		Eventually(func() string {
			// What a namespace has of itself is no trace.
			return kubectl(ctx, "get", "deployments,replicasets,pods,services,endpointslices,secrets,networkpolicies,poddisruptionbudgets,"+
				"horizontalpodautoscalers,serviceaccounts", "--namespace", "drift", "--output=name", "--field-selector=metadata.name!=default")
		}, "2m").Should(Or(BeEmpty(), HavePrefix("No resources found")))
	})
})

var _ = Describe("the CRD of EnvoyFleet", Ordered, Serial, func() {
	It("can be deleted and made again, without harm to anything else", func(ctx context.Context) {
		shopServes(ctx)
		By("waiting until the garbage collector knows the kind, which it looks for every 30 s")
		apply(ctx, "{apiVersion: operator.signetproxy.io/v1alpha1, kind: EnvoyFleet, metadata: {name: canary, namespace: "+shop+"}, spec: {}}")
		account := client.ObjectKey{Namespace: shop, Name: "canary-envoy"}
		Eventually(func() error { return c.Get(ctx, account, &corev1.ServiceAccount{}) }).Should(Succeed())
		kubectl(ctx, "delete", "envoyfleet", "canary", "--namespace="+shop)
		Eventually(func() bool {
			return apierrors.IsNotFound(c.Get(ctx, account, &corev1.ServiceAccount{}))
		}, "2m").Should(BeTrue())
		before := kubectl(ctx, "get", "httpproxies", "--all-namespaces", "--output=name")
		Expect(kubectl(ctx, "delete", "crd", "envoyfleets.operator.signetproxy.io", "--timeout=1m")).To(ContainSubstring("deleted"))
		Expect(kubectl(ctx, "get", "httpproxies", "--all-namespaces", "--output=name")).To(Equal(before))
		Eventually(func() []corev1.Pod { return pods(ctx, shop, envoys) }, "2m").Should(BeEmpty())
		text, err := crds.Files.ReadFile("operator.signetproxy.io_envoyfleets.yaml")
		Expect(err).NotTo(HaveOccurred())
		apply(ctx, string(text))
		// It is an error while the CRD has no condition yet.
		Eventually(func() string {
			return kubectl(ctx, "wait", "--for=condition=Established", "crd/envoyfleets.operator.signetproxy.io")
		}).Should(ContainSubstring("met"))
		began := time.Now()
		where := shopServes(ctx)
		AddReportEntry("after the CRD was made again", fmt.Sprintf("served at %s after %.1f s", where, time.Since(began).Seconds()),
			ReportEntryVisibilityAlways)
		for _, p := range pods(ctx, system, operators) {
			Expect(p.Status.ContainerStatuses[0].RestartCount).To(BeZero(), "%s was restarted", p.Name)
		}
	})
})
