package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/cluster/node"
	"github.com/signetproxy/signet/test/load"
)

// rate is requests per second: what a machine with two cores does beside a
// cluster and a test.
const rate = 100

// loss counts the answers that were not 200 while something is done.
func loss(where string, do func()) {
	GinkgoHelper()
	l := load.Start(load.Config{
		Rate: rate, HTTP: where + ":80", Timeout: 15 * time.Second,
		// Half of the requests are a client's first.
		Next: func(n int) load.Request { return load.Request{Host: host, Path: "/load", Fresh: n%2 == 0} },
	})
	began := time.Now()
	defer func() {
		r := l.Stop()
		AddReportEntry("traffic", fmt.Sprintf("%d requests in %.0f s, %d unexpected; p50 %s, p99 %s, longest %s", r.Requests,
			time.Since(began).Seconds(), r.Unexpected, r.Latency.At(0.5), r.Latency.At(0.99), r.Latency.Max()), ReportEntryVisibilityAlways)
		Expect(r.Failures).To(BeEmpty())
		Expect(r.Requests).To(BeNumerically(">", rate), "the load must have run")
	}()
	do()
}

// change patches an object, which others write at the same time.
func change[T client.Object](ctx context.Context, namespace, name string, o T, how func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
			return err
		}
		before, _ := o.DeepCopyObject().(T)
		how(o)
		return c.Patch(ctx, o, client.MergeFrom(before))
	}).Should(Succeed())
}

// rolled waits until a Deployment is complete, its old pods gone.
func rolled(ctx context.Context, namespace, name, selector string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		d := &appsv1.Deployment{}
		g.Expect(c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, d)).To(Succeed())
		g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
		g.Expect([]int32{d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.Replicas}).
			To(HaveEach(*d.Spec.Replicas), "%+v", d.Status)
		list := &corev1.PodList{}
		g.Expect(c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels(selectorOf(selector)))).To(Succeed())
		g.Expect(list.Items).To(HaveLen(int(*d.Spec.Replicas)), "pods that end take their time")
	}, "3m").Should(Succeed())
}

// roll has all Envoys of the shop's fleet replaced, and waits until they are.
func roll(ctx context.Context) {
	GinkgoHelper()
	now := time.Now().Format(time.RFC3339Nano)
	change(ctx, shop, fleet, &v1alpha1.EnvoyFleet{}, func(f *v1alpha1.EnvoyFleet) {
		f.Spec.Workload.PodAnnotations = map[string]string{"rolled": now}
	})
	Eventually(func() string {
		d := &appsv1.Deployment{}
		_ = c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "edge-envoy"}, d) // it is asked for again
		return d.Spec.Template.Annotations["rolled"]
	}).Should(Equal(now))
	rolled(ctx, shop, "edge-envoy", envoys)
	programmed(ctx, shop, fleet)
}

func selectorOf(s string) map[string]string {
	out := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		k, v, _ := strings.Cut(pair, "=")
		out[k] = v
	}
	return out
}

const (
	envoys    = "operator.signetproxy.io/fleet=edge"
	operators = "app.kubernetes.io/name=signet"
)

// leader is the name of the pod that leads.
func leader(ctx context.Context) string {
	l := &coordinationv1.Lease{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: system, Name: "signet-leader"}, l); err != nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	pod, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
	return pod
}

var _ = Describe("under traffic, no answer is unexpected", Ordered, ContinueOnFailure, func() {
	var where string

	BeforeAll(func(ctx context.Context) {
		where = shopServes(ctx)
	})

	scale := func(ctx context.Context, n int32) {
		GinkgoHelper()
		change(ctx, shop, fleet, &v1alpha1.EnvoyFleet{}, func(f *v1alpha1.EnvoyFleet) { f.Spec.Workload.Replicas = &n })
		Eventually(func() int32 {
			d := &appsv1.Deployment{}
			_ = c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "edge-envoy"}, d) // it is asked for again
			return ptr.Deref(d.Spec.Replicas, 0)
		}).Should(Equal(n))
		rolled(ctx, shop, "edge-envoy", envoys)
		programmed(ctx, shop, fleet)
	}

	It("when the fleet's Envoys are rolled", func(ctx context.Context) {
		loss(where, func() {
			roll(ctx)
		})
	})

	It("when the fleet is scaled from 1 to 4 to 2", func(ctx context.Context) {
		scale(ctx, 1)
		loss(where, func() {
			scale(ctx, 4)
			scale(ctx, 2)
		})
	})

	It("when the operator is upgraded, and with it the Envoys", func(ctx context.Context) {
		loss(where, func() {
			helm(ctx, secondTag)
			rolled(ctx, system, "signet", operators)
			Eventually(func() string {
				d := &appsv1.Deployment{}
				_ = c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "edge-envoy"}, d) // it is asked for again
				return d.Spec.Template.Spec.Containers[0].Image
			}).Should(HaveSuffix(secondTag))
			rolled(ctx, shop, "edge-envoy", envoys)
			programmed(ctx, shop, fleet)
		})
	})

	It("when the leader is killed, and changes are served on", func(ctx context.Context) {
		Eventually(func() string { return leader(ctx) }).ShouldNot(BeEmpty())
		loss(where, func() {
			old := leader(ctx)
			Expect(c.Delete(ctx, &corev1.Pod{Namespace: system, Name: old},
				client.GracePeriodSeconds(0))).To(Succeed())
			apply(ctx, direct("after-leader", "after-leader.example.com"))
			answered(ctx, where, "after-leader.example.com", "/", 200)
			Eventually(func() string { return leader(ctx) }).ShouldNot(BeElementOf("", old))
			rolled(ctx, system, "signet", operators)
		})
	})

	It("when the API server is away for 60 s, Envoy restarts included", func(ctx context.Context) {
		survivor := pods(ctx, shop, envoys)[0]
		loss(where, func() {
			Expect(bed.StopComponent(ctx, node.APIServer)).To(Succeed())
			back := time.NewTimer(60 * time.Second)
			<-back.C
			Expect(bed.StartComponent(ctx, node.APIServer)).To(Succeed())
			began := time.Now()
			Eventually(func() error {
				_, err := try(ctx, direct("after-outage", "after-outage.example.com"), "apply", "--server-side", "--filename=-")
				return err
			}).Should(Succeed())
			applied := time.Now()
			answered(ctx, where, "after-outage.example.com", "/", 200)
			AddReportEntry("the first change", fmt.Sprintf("taken %.1f s after the start, served %.1f s later",
				applied.Sub(began).Seconds(), time.Since(applied).Seconds()), ReportEntryVisibilityAlways)
			// Who judges nodes does so every 5 s.
			Consistently(func(g Gomega) {
				for _, p := range slices.Concat(pods(ctx, shop, envoys), pods(ctx, shop, "app=tls-nginx")) {
					g.Expect(ready(&p)).To(BeTrue(), "%s is not ready", p.Name)
				}
			}, "12s", "500ms").Should(Succeed())
		})
		programmed(ctx, shop, fleet)

		By("an Envoy that crashes meanwhile comes back with its configuration")
		Expect(bed.StopComponent(ctx, node.APIServer)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(bed.StartComponent(ctx, node.APIServer)).To(Succeed()) })
		answered(ctx, survivor.Status.PodIP+":8080", host, "/", 200)
		crash(&survivor)
		Eventually(func() error {
			_, err := ask(ctx, survivor.Status.PodIP+":8080", host, "/")
			return err
		}).Should(HaveOccurred())
		answered(ctx, survivor.Status.PodIP+":8080", host, "/", 200)
		Expect(bed.StartComponent(ctx, node.APIServer)).To(Succeed())
		Eventually(func() error { return c.Get(ctx, client.ObjectKeyFromObject(&survivor), &survivor) }).Should(Succeed())
		programmed(ctx, shop, fleet)
	})

	It("when the client certificate is rotated every 30 s for 5 minutes", func(ctx context.Context) {
		change(ctx, shop, fleet, &v1alpha1.EnvoyFleet{}, func(f *v1alpha1.EnvoyFleet) {
			i := f.Spec.UpstreamTLS.ClientCertificate.Issued
			i.Lifetime, i.RenewBefore = metav1.Duration{Duration: time.Hour}, &metav1.Duration{Duration: time.Hour - 30*time.Second}
		})
		// Kept connections show the certificate that they were made with, so each
		// that is asked is closed.
		issued, seen := map[string]bool{}, map[string]bool{}
		loss(where, func() {
			Eventually(func() int {
				s := &corev1.Secret{}
				if c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "edge-client"}, s) == nil {
					issued[string(s.Data[corev1.TLSCertKey])] = true
				}
				a, err := ask(ctx, where, host, "/who?close")
				if err == nil && a.Seen != nil {
					seen[string(a.Seen.ClientCertificate)] = true
				}
				return len(issued)
			}, "7m", "200ms").Should(BeNumerically(">=", 11), "ten rotations")
			Expect(len(seen)).To(BeNumerically(">=", 6), "backends must see most of them")
		})
		change(ctx, shop, fleet, &v1alpha1.EnvoyFleet{}, func(f *v1alpha1.EnvoyFleet) {
			i := f.Spec.UpstreamTLS.ClientCertificate.Issued
			i.Lifetime, i.RenewBefore = metav1.Duration{Duration: 2160 * time.Hour}, nil
		})
	})

	It("when the client certificate's Secret is deleted, or another is asked for", func(ctx context.Context) {
		presented := func() []byte {
			a, err := ask(ctx, where, host, "/who?close")
			if err != nil || a.Seen == nil {
				return nil
			}
			return a.Seen.ClientCertificate
		}
		before := presented()
		Expect(before).NotTo(BeEmpty())
		another := func(g Gomega) {
			now := presented()
			g.Expect(now).NotTo(BeEmpty())
			g.Expect(now).NotTo(Equal(before))
		}
		rename := func(name string) {
			change(ctx, shop, fleet, &v1alpha1.EnvoyFleet{}, func(f *v1alpha1.EnvoyFleet) {
				f.Spec.UpstreamTLS.ClientCertificate.Issued.SecretName = name
			})
		}
		loss(where, func() {
			for range 20 {
				// It may be gone for a moment: the one before is removed behind the name's return.
				Expect(client.IgnoreNotFound(c.Delete(ctx, &corev1.Secret{Namespace: shop, Name: "edge-client"}))).To(Succeed())
				Eventually(another).Should(Succeed())
				before = presented()
				rename("edge-presents")
				Eventually(another).Should(Succeed())
				before = presented()
				rename("")
				Eventually(another).Should(Succeed())
				before = presented()
			}
		})
		programmed(ctx, shop, fleet)
	})

	It("when the node is drained, as far as the disruption budget allows", func(ctx context.Context) {
		loss(where, func() {
			before := pods(ctx, shop, envoys)
			Expect(before).To(HaveLen(2))
			Expect(evict(ctx, &before[0])).To(Succeed())
			Eventually(func(g Gomega) {
				g.Expect(apierrors.IsTooManyRequests(evict(ctx, &before[1]))).To(BeTrue(), "the budget must hold the second back")
			}, "1s").Should(Succeed())
			// The controller makes another, and then the second may go.
			Eventually(func() error { return evict(ctx, &before[1]) }, "3m").Should(Succeed())
			rolled(ctx, shop, "edge-envoy", envoys)
		})
	})
})

// processes are those of a pod, as seen from the host, by name; all for "".
func processes(p *corev1.Pod, name string) []int {
	GinkgoHelper()
	var found []int
	all, err := filepath.Glob("/proc/[0-9]*/comm")
	Expect(err).NotTo(HaveOccurred())
	for _, file := range all {
		is, _ := os.ReadFile(file) // it may have ended
		group, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		if name != "" && strings.TrimSpace(string(is)) != name || !strings.Contains(string(group), string(p.UID)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		Expect(err).NotTo(HaveOccurred())
		found = append(found, pid)
	}
	Expect(found).NotTo(BeEmpty(), "a process of pod %s", p.Name)
	return found
}

// crash kills the Envoy of a pod.
func crash(p *corev1.Pod) {
	GinkgoHelper()
	all := processes(p, "envoy")
	Expect(all).To(HaveLen(1), "one Envoy is in the pod")
	Expect(syscall.Kill(all[0], syscall.SIGKILL)).To(Succeed())
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(x corev1.PodCondition) bool {
		return x.Type == corev1.PodReady && x.Status == corev1.ConditionTrue
	})
}

func evict(ctx context.Context, p *corev1.Pod) error {
	return c.SubResource("eviction").Create(ctx, p, &policyv1.Eviction{Namespace: p.Namespace, Name: p.Name})
}

// direct is an HTTPProxy that Envoy answers by itself.
func direct(name, host string) string {
	return fmt.Sprintf(`apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: %s, namespace: shop}
spec:
  virtualhost: {fqdn: %s}
  routes: [{directResponsePolicy: {statusCode: 200, body: hello}}]
`, name, host)
}
