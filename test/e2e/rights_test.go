package e2e

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const guarded = `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: guarded, namespace: rights}
spec:
  workload: {replicas: 1}
  httpProxies: {rootNamespaces: [rights]}
  networkPolicy: {}
`

var _ = Describe("the operator's rights", Ordered, ContinueOnFailure, func() {
	var where string

	BeforeAll(func(ctx context.Context) {
		where = shopServes(ctx)
		apply(ctx, namespace("rights"))
	})

	It("may be fewer: what is denied is named, and stops nothing else", func(ctx context.Context) {
		role := &rbacv1.ClusterRole{}
		change(ctx, "", system+"-signet", role, func(r *rbacv1.ClusterRole) {
			for i := range r.Rules {
				if r.Rules[i].Resources[0] == "networkpolicies" {
					r.Rules = append(r.Rules[:i], r.Rules[i+1:]...)
					return
				}
			}
		})
		// Helm leaves what a hand has edited to that hand.
		DeferCleanup(func(ctx context.Context) { helm(ctx, firstTag, "--force-conflicts") })
		// A new leader meets the denial when it starts.
		Expect(c.Delete(ctx, &corev1.Pod{Namespace: system, Name: leader(ctx)},
			client.GracePeriodSeconds(0))).To(Succeed())
		apply(ctx, guarded)
		Eventually(func() string { return condition(ctx, "rights", "guarded", "Provisioned") }).
			Should(And(HavePrefix("False"), ContainSubstring("networkpolicies"), ContainSubstring(`cannot`)))
		Eventually(func() string { return condition(ctx, "rights", "guarded", "Programmed") }).Should(HavePrefix("True"))
		apply(ctx, direct("denied", "denied.example.com"))
		answered(ctx, where, "denied.example.com", "/", 200)
	})

	It("may be those of some namespaces", func(ctx context.Context) {
		helm(ctx, firstTag, "--set", "namespaces={"+shop+"}")
		DeferCleanup(func(ctx context.Context) { helm(ctx, firstTag) })
		rolled(ctx, system, "signet", operators)
		Expect(kubectl(ctx, "get", "clusterrole", system+"-signet")).To(ContainSubstring("not found"))
		apply(ctx, direct("restricted", "restricted.example.com"))
		answered(ctx, where, "restricted.example.com", "/", 200)
		roll(ctx)
		answered(ctx, where, host, "/", 200)
	})
})
