package kubernetes_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source/kubernetes"
	"github.com/signetproxy/signet/test/apiserver"
)

// gatewayAPI installs the CRDs for one spec.
func gatewayAPI(ctx context.Context, changes ...func(*apiextensionsv1.CustomResourceDefinition)) {
	GinkgoHelper()
	for _, f := range apiserver.GatewayAPI() {
		Expect(server.InstallCRD(f, changes...)).To(Succeed())
	}
	DeferCleanup(func(ctx context.Context) {
		for _, f := range apiserver.GatewayAPI() {
			Expect(client.IgnoreNotFound(server.RemoveCRD(ctx, f))).To(Succeed())
		}
	})
}

func gateway(namespace, name, secret string) *gatewayv1.Gateway {
	g := &gatewayv1.Gateway{ObjectMeta: meta(namespace, name)}
	g.Spec.GatewayClassName = "c"
	g.Spec.Listeners = []gatewayv1.Listener{{
		Name: "https", Port: 443, Protocol: gatewayv1.HTTPSProtocolType,
		TLS: &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: gatewayv1.ObjectName(secret)}}},
	}}
	return g
}

func policy(namespace, name, configMap string) *gatewayv1.BackendTLSPolicy {
	p := &gatewayv1.BackendTLSPolicy{ObjectMeta: meta(namespace, name)}
	p.Spec.TargetRefs = []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{}}
	p.Spec.TargetRefs[0].Kind, p.Spec.TargetRefs[0].Name = "Service", "s"
	p.Spec.Validation.Hostname = "s.test"
	p.Spec.Validation.CACertificateRefs = []gatewayv1.LocalObjectReference{{Kind: "ConfigMap", Name: gatewayv1.ObjectName(configMap)}}
	return p
}

// routeTo is a route to a Service.
func routeTo(namespace, name, service string) *gatewayv1.HTTPRoute {
	r := &gatewayv1.HTTPRoute{ObjectMeta: meta(namespace, name)}
	to := gatewayv1.HTTPBackendRef{}
	to.Name, to.Port = gatewayv1.ObjectName(service), new(gatewayv1.PortNumber(443))
	r.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{to}}}
	return r
}

func permit(namespace, name string) *gatewayv1.ReferenceGrant {
	g := &gatewayv1.ReferenceGrant{ObjectMeta: meta(namespace, name)}
	g.Spec.From = []gatewayv1.ReferenceGrantFrom{{Group: gatewayv1.GroupName, Kind: "HTTPRoute", Namespace: "other"}}
	g.Spec.To = []gatewayv1.ReferenceGrantTo{{Kind: "Service"}}
	return g
}

var _ = Describe("the Gateway API", func() {
	It("is watched when its CRDs appear, with what only it needs, and let go when they go", func(ctx context.Context) {
		n := namespace(ctx)
		create(ctx, secret(n, "cert", "one"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has("")()).To(BeEmpty(), "namespaces are of no use to HTTPProxies")

		gatewayAPI(ctx)
		class := &gatewayv1.GatewayClass{ObjectMeta: meta("", "c")}
		class.Spec.ControllerName = "example.com/c"
		set := &gatewayv1.ListenerSet{ObjectMeta: meta(n, "set")}
		set.Spec.ParentRef.Name = "g"
		set.Spec.Listeners = []gatewayv1.ListenerEntry{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}
		create(ctx, class, gateway(n, "g", "cert"), policy(n, "p", "missing"), permit(n, "r"), set,
			&gatewayv1.HTTPRoute{ObjectMeta: meta(n, "h")}, &gatewayv1.GRPCRoute{ObjectMeta: meta(n, "g")})
		Eventually(w.has(n)).Should(Equal([]string{
			"BackendTLSPolicy p", "GRPCRoute g", "Gateway g", "HTTPRoute h", "ListenerSet set", "ReferenceGrant r", "Secret cert",
		}))
		Eventually(w.has("")).Should(ContainElements("GatewayClass c", "Namespace "+n))

		for _, f := range apiserver.GatewayAPI() {
			Expect(server.RemoveCRD(ctx, f)).To(Succeed())
		}
		Eventually(w.has(n)).Should(BeEmpty())
	})

	It("is watched in an older version where the API server has no other, and in the newer one from when it has", func(ctx context.Context) {
		n := namespace(ctx)
		served := func(v1 bool) func(*apiextensionsv1.CustomResourceDefinition) {
			return func(crd *apiextensionsv1.CustomResourceDefinition) {
				for i := range crd.Spec.Versions {
					if v := &crd.Spec.Versions[i]; crd.Spec.Names.Kind == "ReferenceGrant" && v.Name == "v1" {
						v.Served = v1
					}
				}
			}
		}
		gatewayAPI(ctx)
		create(ctx, permit(n, "a"), permit(n, "b"))
		const file = "gateway.networking.k8s.io_referencegrants.yaml"
		Expect(server.InstallCRD(file, served(false))).To(Succeed())
		w := start(kubernetes.Options{})
		Eventually(w.has(n)).Should(Equal([]string{"ReferenceGrant a", "ReferenceGrant b"}))

		Expect(server.InstallCRD(file, served(true))).To(Succeed())
		Eventually(func() error { return client.IgnoreNotFound(admin.Delete(ctx, permit(n, "a"))) }).Should(Succeed())
		Eventually(w.has(n)).Should(Equal([]string{"ReferenceGrant b"}))
		Eventually(func() error { return admin.Create(ctx, permit(n, "c")) }).Should(Succeed())
		Eventually(w.has(n)).Should(Equal([]string{"ReferenceGrant b", "ReferenceGrant c"}))
	})

	// One object whose reference is a name that no object can have kept the first list
	// from being complete: after a restart nothing was served.
	It("is complete, and goes on, where references are names that no object has", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx)
		create(ctx, secret(n, "late", "two"), policy(n, "p", "50%"), gateway(n, "g", "a/b"), routeTo(n, "was", "s"))
		w := start(kubernetes.Options{})
		Eventually(w.isComplete).Should(BeTrue())
		create(ctx, routeTo(n, "dot", "."), routeTo(n, "dots", ".."), routeTo(n, "path", "../../secrets/late"))
		Eventually(w.has(n)).Should(ContainElements("HTTPRoute dot", "HTTPRoute dots", "HTTPRoute path"))
		Expect(admin.Delete(ctx, routeTo(n, "was", "s"))).To(Succeed())
		Eventually(w.has(n)).ShouldNot(ContainElement("HTTPRoute was"))
		create(ctx, fleet(n, "f", "late"))
		Eventually(w.secret(n, "late")).Should(Equal("Opaque two"))
	})

	// A route came before its policy, or before the ConfigMap that the policy
	// refers to was read, and a backend that speaks TLS got requests in cleartext.
	It("has no route, and no Service of one, before the policies that were there when it came", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx)
		write := func(writer, count int) error {
			for i := range count {
				name := fmt.Sprintf("%s%d-%d", policed, writer, i)
				p := policy(n, name, name)
				p.Spec.TargetRefs[0].Name = gatewayv1.ObjectName(name)
				ca := &corev1.ConfigMap{ObjectMeta: meta(n, name), Data: map[string]string{"ca.crt": "one"}}
				objects := []client.Object{ca, p, routeTo(n, name, name)}
				if i%2 == 1 {
					// The Service is what opens the way.
					objects = []client.Object{routeTo(n, "to-"+name, name), ca, p, service(n, name)}
				}
				for _, o := range objects {
					if err := admin.Create(ctx, o); err != nil {
						return err
					}
				}
			}
			return nil
		}
		const writers, each = 8, 10
		Expect(write(writers, each)).To(Succeed(), "what is there at the start is in the same order")
		w := start(kubernetes.Options{})
		var g errgroup.Group
		for k := range writers {
			g.Go(func() error { return write(k, each) })
		}
		Expect(g.Wait()).To(Succeed())
		Eventually(w.has(n)).Should(HaveLen((writers + 1) * (3*each + each/2)))

		By("delivering routes of Services without policies, edits, and what waits for a policy that goes")
		goes := policy(n, "goes", "missing")
		create(ctx, routeTo(n, "cleartext", "cleartext"), goes)
		Eventually(w.has(n)).Should(ContainElements("HTTPRoute cleartext", "BackendTLSPolicy goes"))
		Expect(admin.Delete(ctx, goes)).To(Succeed())
		r := routeTo(n, "again", "s")
		create(ctx, r)
		r.Spec.Hostnames = []gatewayv1.Hostname{"again.test"}
		Expect(admin.Update(ctx, r)).To(Succeed())
		Eventually(w.has(n)).Should(ContainElement("HTTPRoute again"))
	})

	// The route had come before, and the ReferenceGrant overtook the policy.
	It("has no way to a Service opened before the policies that were there", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx)
		w := start(kubernetes.Options{})
		const grants = 10
		for i := range grants {
			name := fmt.Sprint(policed, i)
			create(ctx, routeTo(n, "to-"+name, name))
		}
		Eventually(w.has(n)).Should(HaveLen(grants))
		for i := range grants {
			name := fmt.Sprint(policed, i)
			p := policy(n, name, name)
			p.Spec.TargetRefs[0].Name = gatewayv1.ObjectName(name)
			create(ctx, &corev1.ConfigMap{ObjectMeta: meta(n, name), Data: map[string]string{"ca.crt": "one"}}, p, permit(n, name))
		}
		Eventually(w.has(n)).Should(HaveLen(4 * grants))
	})

	// Routes were served and policies ignored: backends that speak TLS got cleartext.
	It("has policies of v1alpha3 where the API server has no other, and no route before them", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx, func(crd *apiextensionsv1.CustomResourceDefinition) {
			for i := range crd.Spec.Versions {
				if v := &crd.Spec.Versions[i]; crd.Spec.Names.Kind == "BackendTLSPolicy" {
					v.Served = v.Name == "v1alpha3"
				}
			}
		})
		name := policed + "older"
		p := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"targetRefs": []any{map[string]any{"group": "", "kind": "Service", "name": name}},
			"validation": map[string]any{
				"hostname": "s.test", "caCertificateRefs": []any{map[string]any{"group": "", "kind": "ConfigMap", "name": name}},
			},
		}}}
		p.SetGroupVersionKind(schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: "v1alpha3", Kind: "BackendTLSPolicy"})
		p.SetNamespace(n)
		p.SetName(name)
		w := start(kubernetes.Options{})
		Eventually(func() error {
			c, err := client.New(server.Config, client.Options{}) // which knows the version
			if err != nil {
				return err
			}
			return client.IgnoreAlreadyExists(c.Create(ctx, p.DeepCopy()))
		}).Should(Succeed())
		create(ctx, routeTo(n, name, name), &corev1.ConfigMap{ObjectMeta: meta(n, name), Data: map[string]string{"ca.crt": "one"}})
		Eventually(w.has(n)).Should(ConsistOf("BackendTLSPolicy "+name, "ConfigMap "+name, "HTTPRoute "+name))
		w.mu.Lock()
		defer w.mu.Unlock()
		got, ok := w.objects[gatewayKey("BackendTLSPolicy", n, name)].(*gatewayv1.BackendTLSPolicy)
		Expect(ok).To(BeTrue(), "of the type that is translated")
		Expect(got.Spec.Validation.Hostname).To(BeEquivalentTo("s.test"))
	})

	// A host that was new answered 503: its route came before its endpoints.
	It("has no route to a Service before the endpoints that were there when it came", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx)
		config := rest.CopyConfig(server.Config)
		config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return behind{inner: inner, watch: "/endpointslices"} })
		w := start(kubernetes.Options{Config: config})
		Eventually(w.isComplete).Should(BeTrue())
		const count = 20
		for i := range count {
			name := fmt.Sprintf("%s%d", sliced, i)
			s := slice(n, name)
			s.Labels = map[string]string{discoveryv1.LabelServiceName: name}
			create(ctx, s, routeTo(n, name, name))
		}
		Eventually(w.has(n)).Should(HaveLen(2 * count))

		By("delivering routes of Services that have none")
		create(ctx, routeTo(n, "nowhere", "nowhere"))
		Eventually(w.has(n)).Should(ContainElement("HTTPRoute nowhere"))
	})

	// The end of a policy overtook the policy that replaced it, whose CA was still read,
	// and the end of the route, which was written before it.
	It("has no route to a Service whose policy has gone before it, or is being replaced", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx)
		config := rest.CopyConfig(server.Config)
		config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
			return behind{inner: inner, watch: "/httproutes", configMaps: true}
		})
		w := start(kubernetes.Options{Config: config})
		Eventually(w.isComplete).Should(BeTrue())
		const few, many = 5, 20
		var old, next, routes []client.Object
		policyOf := func(name, service string) client.Object {
			create(ctx, &corev1.ConfigMap{ObjectMeta: meta(n, name), Data: map[string]string{"ca.crt": "one"}})
			p := policy(n, name, name)
			p.Spec.TargetRefs[0].Name = gatewayv1.ObjectName(service)
			create(ctx, p)
			return p
		}
		for i := range few {
			old = append(old, policyOf(fmt.Sprint("old-", i), fmt.Sprint(kept, i)))
			routes = append(routes, routeTo(n, fmt.Sprint(kept, i), fmt.Sprint(kept, i)))
		}
		shared := fmt.Sprint(kept, 0)
		for i := range many {
			routes = append(routes, routeTo(n, fmt.Sprint("many-", i), shared))
		}
		create(ctx, routes...)
		Eventually(w.has(n)).Should(HaveLen(2*few + few + many))

		By("replacing the policies")
		for i, p := range old {
			next = append(next, policyOf(fmt.Sprint("next-", i), fmt.Sprint(kept, i)))
			Expect(admin.Delete(ctx, p)).To(Succeed())
		}
		Eventually(w.has(n)).Should(And(HaveLen(2*few+few+many), Not(ContainElement(HavePrefix("BackendTLSPolicy old")))))

		By("deleting routes, and then their policies")
		for _, r := range routes {
			Expect(admin.Delete(ctx, r)).To(Succeed())
		}
		for _, p := range next {
			Expect(admin.Delete(ctx, p)).To(Succeed())
		}
		Eventually(w.has(n)).Should(BeEmpty())

		By("deleting the policy alone")
		p := policyOf("alone", "alone")
		create(ctx, routeTo(n, "alone", "alone"))
		Eventually(w.has(n)).Should(HaveLen(3))
		began := time.Now()
		Expect(admin.Delete(ctx, p)).To(Succeed())
		Eventually(w.has(n)).WithPolling(time.Millisecond).Should(Equal([]string{"HTTPRoute alone"}))
		GinkgoWriter.Printf("the end of a policy took %s\n", time.Since(began))
	})

	It("keeps nothing else from being served where it may not be read, and is read from when it may", func(ctx context.Context) {
		n := namespace(ctx)
		gatewayAPI(ctx)
		create(ctx, gateway(n, "g", "missing"))
		config, err := server.User("reader-" + n)
		Expect(err).NotTo(HaveOccurred())
		allow := func(name string, rules ...rbacv1.PolicyRule) {
			GinkgoHelper()
			role := &rbacv1.ClusterRole{ObjectMeta: meta("", name+n), Rules: rules}
			create(ctx, role, &rbacv1.ClusterRoleBinding{
				ObjectMeta: meta("", name+n), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name + n},
				Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "reader-" + n}},
			})
		}
		read := []string{"get", "list", "watch"}
		allow("base-", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services", "secrets", "configmaps"}, Verbs: read},
			rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
			rbacv1.PolicyRule{APIGroups: []string{"operator.signetproxy.io", "projectcontour.io"}, Resources: []string{"*"}, Verbs: read})
		create(ctx, service(n, "s"))
		w := start(kubernetes.Options{Config: config})
		Eventually(w.isComplete).Should(BeTrue())
		Expect(w.has(n)()).To(Equal([]string{"Service s"}))
		Eventually(w.trouble).Should(ContainSubstring("nothing of the Gateway API is served, because"))

		allow("gateways-", rbacv1.PolicyRule{APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"*"}, Verbs: read},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: read})
		Eventually(w.has(n)).Should(Equal([]string{"Gateway g", "Service s"}))
		Eventually(w.trouble).Should(HavePrefix(": warning: ClusterTrustBundle: it is taken for absent"), "the API server has it, and one can do without")
		allow("bundles-", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"clustertrustbundles"}, Verbs: read})
		Eventually(w.trouble).Should(BeEmpty())
	})
})

// behind is an API server of which one watch is behind the others, and ConfigMaps are
// slow to be read, if any.
type behind struct {
	inner      http.RoundTripper
	watch      string
	configMaps bool
}

func (b behind) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.configMaps && strings.Contains(r.URL.Path, "/configmaps/") {
		<-time.After(50 * time.Millisecond)
	}
	answer, err := b.inner.RoundTrip(r)
	if err == nil && r.URL.Query().Get("watch") == "true" && strings.HasSuffix(r.URL.Path, b.watch) {
		answer.Body = late{answer.Body}
	}
	return answer, err
}

type late struct{ io.ReadCloser }

func (l late) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	<-time.After(50 * time.Millisecond)
	return n, err
}
