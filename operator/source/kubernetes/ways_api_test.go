package kubernetes_test

import (
	"context"
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source/kubernetes"
)

// What closes the way was deleted before the policy, whose watch was ahead: a route
// that was still let through led in cleartext to a backend that speaks TLS.
var _ = DescribeTable("a way to a Service that is closed before its policy is deleted is never seen without it",
	func(ctx context.Context, watch string, way func(routes, services, name string) (closed, other client.Object)) {
		routes, services := namespace(ctx), namespace(ctx)
		gatewayAPI(ctx)
		config := rest.CopyConfig(server.Config)
		config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return behind{inner: inner, watch: watch} })
		w := start(kubernetes.Options{Config: config})
		Eventually(w.isComplete).Should(BeTrue())
		const count = 10
		for i := range count {
			r := routeTo(routes, fmt.Sprint("to-", i), fmt.Sprint(policed, i))
			r.Spec.Rules[0].BackendRefs[0].Namespace = new(gatewayv1.Namespace(services))
			r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "open"}, {Name: gatewayv1.ObjectName(fmt.Sprint(policed, i))}}
			create(ctx, r)
		}
		Eventually(w.has(routes)).Should(HaveLen(count))
		var policies, ways []client.Object
		for i := range count {
			name := fmt.Sprint(policed, i)
			p := policy(services, name, name)
			p.Spec.TargetRefs[0].Name = gatewayv1.ObjectName(name)
			closed, other := way(routes, services, name)
			create(ctx, &corev1.ConfigMap{ObjectMeta: meta(services, name), Data: map[string]string{"ca.crt": "one"}}, p, closed)
			if i == 0 {
				create(ctx, other)
			}
			policies, ways = append(policies, p), append(ways, closed)
		}
		Eventually(func() int { return len(w.has(services)()) + len(w.has(routes)()) }).Should(Equal(4*count + 1))
		for i, p := range policies {
			Expect(admin.Delete(ctx, ways[i])).To(Succeed())
			Expect(admin.Delete(ctx, p)).To(Succeed())
		}
		Eventually(w.has(services)).ShouldNot(ContainElement(HavePrefix("BackendTLSPolicy")))
		Expect(w.has(routes)()).To(ContainElement("HTTPRoute to-0"))
	},
	Entry("ReferenceGrant", "/referencegrants", func(routes, services, name string) (closed, other client.Object) {
		return grantTo(routes, services, name), gateway(routes, "open", "missing")
	}),
	Entry("Gateway", "/gateways", func(routes, services, name string) (closed, other client.Object) {
		return gateway(routes, name, "missing"), grantTo(routes, services, "open")
	}),
)

func grantTo(routes, services, name string) *gatewayv1.ReferenceGrant {
	g := permit(services, name)
	g.Spec.From[0].Namespace = gatewayv1.Namespace(routes)
	return g
}
