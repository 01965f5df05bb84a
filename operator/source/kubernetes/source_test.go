package kubernetes_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source/kubernetes"
	"github.com/signetproxy/signet/test/apiserver"
)

var _ = Describe("the first list", func() {
	It("is complete with the contents that objects refer to, and no others", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, secret(n, "used", "one"), secret(n, "unused", "two"), service(n, "s"), slice(n, "s-1"), fleet(n, "f", "used"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(n)()).To(Equal([]string{"EndpointSlice s-1", "EnvoyFleet f", "Secret used", "Service s"}))
		Expect(w.secret(n, "used")()).To(Equal("Opaque one"))
	})

	It("is complete when nothing is there to be found", func(ctx context.Context) {
		n := namespace(ctx)
		w := start(kubernetes.Options{Namespaces: []string{n}})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.batches).To(Equal(1))
	})

	It("comes when the API server does", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, service(n, "s"))
		Expect(server.Pause()).To(Succeed())
		w := start(kubernetes.Options{})
		Consistently(w.isComplete, "500ms").Should(BeFalse())
		Expect(server.Resume()).To(Succeed())
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(n)()).To(ContainElement("Service s"))
	})
})

var _ = Describe("contents", func() {
	It("come with the object that refers to them, and go with it", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, secret(n, "a", "one"), secret(n, "b", "two"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(n)()).To(BeEmpty())

		f := fleet(n, "f", "a")
		create(ctx, f)
		Eventually(w.has(n)).Should(Equal([]string{"EnvoyFleet f", "Secret a"}))

		f.Spec.UpstreamTLS.ClientCertificate.SecretRef.Name = "b"
		Expect(admin.Update(ctx, f)).To(Succeed())
		Eventually(w.has(n)).Should(Equal([]string{"EnvoyFleet f", "Secret b"}))

		g := fleet(n, "g", "b")
		create(ctx, g)
		Eventually(w.has(n)).Should(ContainElement("EnvoyFleet g"))
		Expect(admin.Delete(ctx, f)).To(Succeed())
		Eventually(w.has(n)).Should(Equal([]string{"EnvoyFleet g", "Secret b"}))
		Expect(admin.Delete(ctx, g)).To(Succeed())
		Eventually(w.has(n)).Should(BeEmpty())
	})

	It("follow changes, deletion and return", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, fleet(n, "f", "a"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(n)()).To(Equal([]string{"EnvoyFleet f"}), "an object is not held back by what does not exist")

		s := secret(n, "a", "one")
		create(ctx, s)
		Eventually(w.secret(n, "a")).Should(Equal("Opaque one"))
		for i := range 20 {
			s.Data["ca.crt"] = fmt.Appendf(nil, "%d", i)
			Expect(admin.Update(ctx, s)).To(Succeed())
		}
		Eventually(w.secret(n, "a")).Should(Equal("Opaque 19"))
		Expect(admin.Delete(ctx, s)).To(Succeed())
		Eventually(w.secret(n, "a")).Should(BeEmpty())
		create(ctx, secret(n, "a", "again"))
		Eventually(w.secret(n, "a")).Should(Equal("Opaque again"))
	})

	It("are read from the API server's memory when it has told of their change", func(ctx context.Context) {
		n := namespace(ctx)
		s := secret(n, "a", "one")
		create(ctx, s, fleet(n, "f", "a"))
		reads := &secretReads{}
		config := rest.CopyConfig(server.Config)
		config.Wrap(func(inner http.RoundTripper) http.RoundTripper { reads.inner = inner; return reads })
		w := start(kubernetes.Options{Config: config})
		Eventually(w.secret(n, "a")).Should(Equal("Opaque one"))
		Expect(reads.last()).To(BeEmpty(), "nothing has told of it yet")

		s.Data["ca.crt"] = []byte("two")
		Expect(admin.Update(ctx, s)).To(Succeed())
		Eventually(w.secret(n, "a")).Should(Equal("Opaque two"))
		Expect(reads.last()).To(Equal(s.ResourceVersion))

		By("asking without a version when there is none such, as after its storage was restored")
		reads.future.Store(true)
		s.Data["ca.crt"] = []byte("three")
		Expect(admin.Update(ctx, s)).To(Succeed())
		Eventually(w.secret(n, "a")).WithTimeout(20 * time.Second).Should(Equal("Opaque three"))
		Expect(reads.last()).To(BeEmpty())
		Expect(w.trouble()).To(BeEmpty())
	})

	It("of a type that cannot be used are not kept", func(ctx context.Context) {
		n := namespace(ctx)
		s := secret(n, "a", "one")
		s.Type = "example.com/other"
		create(ctx, s, fleet(n, "f", "a"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.secret(n, "a")()).To(Equal("example.com/other "), "the type is known, so that it can be named")
	})
})

var _ = Describe("a kind with a CRD", func() {
	It("is watched when the CRD appears and let go when it goes", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, secret(n, "ca", "one"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		for range 2 {
			Expect(server.InstallCRD(apiserver.HTTPProxies)).To(Succeed())
			create(ctx, proxy(n, "p", "ca"), proxy(n, "q", "ca"))
			Eventually(w.has(n)).Should(Equal([]string{"HTTPProxy p", "HTTPProxy q", "Secret ca"}))
			Expect(server.RemoveCRD(ctx, apiserver.HTTPProxies)).To(Succeed())
			Eventually(w.has(n)).Should(BeEmpty())
		}
	})
})

var _ = Describe("an API server that goes away", func() {
	It("takes nothing with it, and what changed is seen soon after it is back", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, secret(n, "a", "one"), fleet(n, "f", "a"), service(n, "s"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(server.Pause()).To(Succeed())
		Consistently(w.has(n), "1s").Should(Equal([]string{"EnvoyFleet f", "Secret a", "Service s"}))
		Expect(server.Resume()).To(Succeed())
		back := time.Now()
		create(ctx, service(n, "t"))
		Eventually(w.has(n)).Should(Equal([]string{"EnvoyFleet f", "Secret a", "Service s", "Service t"}))
		GinkgoWriter.Printf("seen %s after the API server was back\n", time.Since(back))
		Expect(admin.Delete(ctx, fleet(n, "f", ""))).To(Succeed())
		Eventually(w.has(n)).Should(Equal([]string{"Service s", "Service t"}))
	})
})

var _ = Describe("restricted to namespaces", func() {
	It("needs a Role there and sees nothing else", func(ctx context.Context) {
		mine, other := namespace(ctx), namespace(ctx)
		create(ctx, secret(mine, "a", "one"), fleet(mine, "f", "a"), service(mine, "s"), service(other, "s"))
		config, err := server.User("reader-of-" + mine)
		Expect(err).NotTo(HaveOccurred())
		grant(ctx, mine, "reader-of-"+mine)
		w := start(kubernetes.Options{Config: config, Namespaces: []string{mine}})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(mine)()).To(Equal([]string{"EnvoyFleet f", "Secret a", "Service s"}))
		Expect(w.has(other)()).To(BeEmpty())
	})

	It("names a Secret that it may not read, and serves all else", func(ctx context.Context) {
		mine, other := namespace(ctx), namespace(ctx)
		f := fleet(mine, "f", "a")
		f.Spec.UpstreamTLS.ClientCertificate.SecretRef.Namespace = other
		create(ctx, secret(other, "a", "one"), f, service(mine, "s"))
		user := "reader-of-" + mine
		config, err := server.User(user)
		Expect(err).NotTo(HaveOccurred())
		grant(ctx, mine, user)
		w := start(kubernetes.Options{Config: config, Namespaces: []string{mine}})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(mine)()).To(Equal([]string{"EnvoyFleet f", "Service s"}))
		Expect(w.trouble()).To(ContainSubstring("Secret " + other + "/a: cannot be read"))

		grant(ctx, other, user)
		Eventually(w.secret(other, "a")).Should(Equal("Opaque one"), "no event tells of a right that is given")
		Expect(w.trouble()).To(BeEmpty())
	})
})

// grant lets a user read what the source reads in a namespace.
func grant(ctx context.Context, namespace, user string) {
	GinkgoHelper()
	read := []string{"get", "list", "watch"}
	create(ctx,
		client.Object(&rbacv1.Role{ObjectMeta: meta(namespace, "reader"), Rules: []rbacv1.PolicyRule{
			{Verbs: read, APIGroups: []string{""}, Resources: []string{"services", "secrets", "configmaps"}},
			{Verbs: read, APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}},
			{Verbs: read, APIGroups: []string{"operator.signetproxy.io"}, Resources: []string{"envoyfleets"}},
			{Verbs: read, APIGroups: []string{"projectcontour.io"}, Resources: []string{"httpproxies", "tlscertificatedelegations"}},
		}}),
		&rbacv1.RoleBinding{
			ObjectMeta: meta(namespace, "reader"),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})
}

// secretReads notes the version that the last read of a Secret asked for.
type secretReads struct {
	inner http.RoundTripper
	// future makes it one that never comes.
	future atomic.Bool

	mu      sync.Mutex
	version string
}

func (s *secretReads) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.URL.Path, "/secrets/") || r.Method != http.MethodGet {
		return s.inner.RoundTrip(r)
	}
	q := r.URL.Query()
	s.mu.Lock()
	s.version = q.Get("resourceVersion")
	s.mu.Unlock()
	if s.future.Load() && q.Has("resourceVersion") {
		q.Set("resourceVersion", "999999999999")
		r = r.Clone(r.Context())
		r.URL.RawQuery = q.Encode()
	}
	return s.inner.RoundTrip(r)
}

func (s *secretReads) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}
