package cluster_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/controller"
)

// Whoever trusts an authority would refuse what another signs: one that is made
// anew comes without the overlap of a rotation.
var _ = Describe("an authority whose Secret is lost", Ordered, func() {
	stored := func(ctx context.Context, name string) *corev1.Secret {
		s := &corev1.Secret{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: system, Name: name}, s); !apierrors.IsNotFound(err) {
			Expect(err).NotTo(HaveOccurred())
		}
		return s
	}
	touch := func(ctx context.Context) {
		GinkgoHelper()
		change(ctx, get(ctx, "kept", &v1alpha1.EnvoyFleet{})(), func(f *v1alpha1.EnvoyFleet) {
			f.Spec.UpstreamTLS.ClientCertificate.Issued.DNSNames = []string{time.Now().Format("x150405000.example.com")}
		})
	}
	BeforeAll(func(ctx context.Context) {
		f := &v1alpha1.EnvoyFleet{Namespace: "default", Name: "kept"}
		f.Spec.HTTPProxies = &v1alpha1.HTTPProxySelection{IngressClassNames: []string{"kept"}}
		f.Spec.UpstreamTLS = &v1alpha1.UpstreamTLS{ClientCertificate: &v1alpha1.ClientCertificate{
			Issued: &v1alpha1.IssuedCertificate{DNSNames: []string{"kept.example.com"}},
		}}
		Expect(c.Create(ctx, f)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(c.Delete(ctx, f)).To(Succeed()) })
		Eventually(func() string { return get(ctx, "kept-client", &corev1.Secret{})().Name }).ShouldNot(BeEmpty())
	})
	lost := func(what, name string, lose func(context.Context, *corev1.Secret) error) {
		It("is the same again: "+name+" "+what, func(ctx context.Context) {
			before := stored(ctx, name)
			Expect(before.Data).To(HaveKey("signing.key"))
			Expect(lose(ctx, before.DeepCopy())).To(Succeed())
			touch(ctx) // a fleet asks for what it signs
			Eventually(func() map[string][]byte { return stored(ctx, name).Data }).Should(HaveKey("signing.key"))
			Expect(stored(ctx, name).Data["signing.key"]).To(Equal(before.Data["signing.key"]), "it is another authority")
			Expect(stored(ctx, name).Data["signing.crt"]).To(Equal(before.Data["signing.crt"]), "it is another authority")
		})
	}
	remove := func(ctx context.Context, s *corev1.Secret) error { return c.Delete(ctx, s) }
	empty := func(ctx context.Context, s *corev1.Secret) error {
		s.Data = nil
		return c.Update(ctx, s)
	}
	lost("is deleted", controller.ClientAuthoritySecret, remove)
	lost("is emptied", controller.ClientAuthoritySecret, empty)
	lost("is deleted", controller.AuthoritySecret, remove)
})
