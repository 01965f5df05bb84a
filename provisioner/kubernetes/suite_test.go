package kubernetes_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/test/apiserver"
)

func TestApply(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "provisioner/kubernetes")
}

var (
	server  *apiserver.Server
	c       client.Client
	applier kubernetes.Applier
)

var _ = BeforeSuite(func() {
	var err error
	server, err = apiserver.Start()
	Expect(err).NotTo(HaveOccurred())
	c, err = client.New(server.Config, client.Options{Scheme: scheme.Scheme})
	Expect(err).NotTo(HaveOccurred())
	applier = kubernetes.Applier{Client: c}
})

var _ = AfterSuite(func() {
	if server != nil {
		Expect(server.Stop()).To(Succeed())
	}
})

// in makes a namespace that enforces the restricted Pod Security Standard, and
// a fleet there whose owner exists.
func in(ctx context.Context, spec *v1alpha1.EnvoyFleetSpec) *kubernetes.Fleet {
	GinkgoHelper()
	n := &corev1.Namespace{}
	n.GenerateName, n.Labels = "fleet-", map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	Expect(c.Create(ctx, n)).To(Succeed())
	owner := &corev1.ConfigMap{Namespace: n.Name, Name: "owner"}
	Expect(c.Create(ctx, owner)).To(Succeed())
	f := fleet(GinkgoTB(), spec)
	f.Identity.Namespace = n.Name
	f.Owner = metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID, Controller: new(true)}
	return f
}

func apply(ctx context.Context, f *kubernetes.Fleet) kubernetes.Result {
	GinkgoHelper()
	objects, err := kubernetes.Render(f)
	Expect(err).NotTo(HaveOccurred())
	r, err := applier.Apply(ctx, f, objects)
	Expect(err).NotTo(HaveOccurred())
	return r
}

func get[T client.Object](ctx context.Context, f *kubernetes.Fleet, o T) T {
	GinkgoHelper()
	Expect(c.Get(ctx, client.ObjectKey{Namespace: f.Identity.Namespace, Name: f.Name}, o)).To(Succeed())
	return o
}

func names(f *kubernetes.Fleet, kinds ...string) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, k+" "+f.Identity.Namespace+"/"+f.Name)
	}
	return out
}

var _ = Describe("every golden case", func() {
	files, err := filepath.Glob("testdata/*.spec.yaml")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		It(filepath.Base(file)+" is taken, once, and its pods fit the restricted standard", func(ctx context.Context) {
			text, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			spec := defaults()
			Expect(yaml.UnmarshalStrict(text, spec)).To(Succeed())
			spec.Service.IPFamilies, spec.Service.IPFamilyPolicy = nil, "" // this server has one family
			spec.Workload.PriorityClassName = ""
			f := in(ctx, spec)
			Expect(apply(ctx, f).Applied).NotTo(BeEmpty())
			again := apply(ctx, f)
			Expect(again.Applied).To(BeEmpty(), "the API server's defaults are no difference")
			Expect(again.Removed).To(BeEmpty())

			objects, err := kubernetes.Render(f)
			Expect(err).NotTo(HaveOccurred())
			for _, o := range objects {
				var template corev1.PodTemplateSpec
				switch w := o.(type) {
				case *appsv1.Deployment:
					template = w.Spec.Template
				case *appsv1.DaemonSet:
					template = w.Spec.Template
				default:
					continue
				}
				// A container that a patch adds is the user's concern.
				template.Spec.Containers = slices.DeleteFunc(template.Spec.Containers, func(c corev1.Container) bool { return c.Name != "envoy" })
				Expect(template.Spec.Containers).To(HaveLen(1))
				pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
				pod.Namespace, pod.Name = f.Identity.Namespace, "pod"
				Expect(c.Create(ctx, pod, client.DryRunAll)).To(Succeed())
			}
		})
	}
})

var _ = Describe("drift", func() {
	It("is put right, and what others have added stays", func(ctx context.Context) {
		f := in(ctx, defaults())
		apply(ctx, f)
		d := get(ctx, f, &appsv1.Deployment{})
		d.Spec.Template.Spec.Containers[0].Image = "other"
		d.Annotations["example.com/note"] = "kept"
		d.Labels["added"] = "kept"
		Expect(c.Update(ctx, d)).To(Succeed())
		Expect(apply(ctx, f).Applied).To(Equal(names(f, "Deployment")))
		d = get(ctx, f, &appsv1.Deployment{})
		Expect(d.Spec.Template.Spec.Containers[0].Image).To(Equal("signet-envoy:test"))
		Expect(d.Annotations).To(HaveKeyWithValue("example.com/note", "kept"))
		Expect(d.Labels).To(HaveKeyWithValue("added", "kept"))
	})

	It("of a deleted object is put right", func(ctx context.Context) {
		f := in(ctx, defaults())
		apply(ctx, f)
		Expect(c.Delete(ctx, get(ctx, f, &corev1.Service{}))).To(Succeed())
		Expect(apply(ctx, f).Applied).To(Equal(names(f, "Service")))
	})
})

var _ = Describe("what is no longer wanted", func() {
	It("goes: a field, an object", func(ctx context.Context) {
		spec := defaults()
		spec.Service.Annotations = map[string]string{"example.com/a": "1"}
		spec.NetworkPolicy = &v1alpha1.NetworkPolicy{}
		spec.Workload.Autoscaling = &v1alpha1.Autoscaling{MinReplicas: 1, MaxReplicas: 2, TargetCPUUtilization: 70}
		f := in(ctx, spec)
		apply(ctx, f)
		s := get(ctx, f, &corev1.Service{})
		s.Annotations["example.com/theirs"] = "kept"
		Expect(c.Update(ctx, s)).To(Succeed())

		f.Spec.Service.Annotations, f.Spec.NetworkPolicy, f.Spec.Workload.Autoscaling = nil, nil, nil
		r := apply(ctx, f)
		Expect(r.Removed).To(Equal(names(f, "NetworkPolicy", "HorizontalPodAutoscaler")))
		Expect(r.Applied).To(Equal(names(f, "Service", "Deployment")))
		s = get(ctx, f, &corev1.Service{})
		Expect(s.Annotations).NotTo(HaveKey("example.com/a"))
		Expect(s.Annotations).To(HaveKeyWithValue("example.com/theirs", "kept"))
	})

	It("serves on until what replaces it does", func(ctx context.Context) {
		f := in(ctx, defaults())
		apply(ctx, f)
		f.Spec.Workload.Kind = v1alpha1.DaemonSetWorkload
		r := apply(ctx, f)
		Expect(r.Waiting).To(BeTrue())
		Expect(r.Removed).To(BeEmpty())
		get(ctx, f, &appsv1.Deployment{})

		d := get(ctx, f, &appsv1.DaemonSet{})
		d.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: d.Generation, DesiredNumberScheduled: 1, CurrentNumberScheduled: 1,
			UpdatedNumberScheduled: 1, NumberAvailable: 1, NumberReady: 1,
		}
		Expect(c.Status().Update(ctx, d)).To(Succeed())
		r = apply(ctx, f)
		Expect(r.Waiting).To(BeFalse())
		Expect(r.Removed).To(Equal(names(f, "Deployment", "PodDisruptionBudget")))
		Expect(r.Workload).To(Equal(kubernetes.Progress{Desired: 1, Ready: 1, Complete: true}))
	})
})

var _ = Describe("another owner's object", func() {
	It("is left alone and named, and all else is made", func(ctx context.Context) {
		f := in(ctx, defaults())
		theirs := &corev1.Service{Namespace: f.Identity.Namespace, Name: f.Name}
		theirs.Spec.Ports = []corev1.ServicePort{{Port: 1}}
		Expect(c.Create(ctx, theirs)).To(Succeed())
		stray := &networkingv1.NetworkPolicy{
			Namespace: f.Identity.Namespace, Name: "stray",
			Labels: map[string]string{kubernetes.LabelManagedBy: kubernetes.Manager, kubernetes.LabelFleet: f.Identity.Name}}
		Expect(c.Create(ctx, stray)).To(Succeed())
		objects, err := kubernetes.Render(f)
		Expect(err).NotTo(HaveOccurred())
		_, err = applier.Apply(ctx, f, objects)
		Expect(err).To(MatchError(kubernetes.ErrForeign))
		Expect(err).To(MatchError(ContainSubstring("Service " + f.Identity.Namespace + "/" + f.Name)))
		Expect(get(ctx, f, &corev1.Service{}).Spec.Ports[0].Port).To(Equal(int32(1)))
		get(ctx, f, &appsv1.Deployment{})

		Expect(c.Delete(ctx, theirs)).To(Succeed())
		apply(ctx, f)
		Expect(c.Get(ctx, client.ObjectKeyFromObject(stray), stray)).To(Succeed(), "it has our labels and not our owner")
	})
})

var _ = Describe("a rotation", func() {
	It("writes the Secret alone", func(ctx context.Context) {
		f := in(ctx, defaults())
		apply(ctx, f)
		f.Certificate = fleet(GinkgoTB(), defaults()).Certificate
		Expect(apply(ctx, f).Applied).To(Equal([]string{"Secret " + f.Identity.Namespace + "/" + f.SecretName()}))
	})
})

var _ = Describe("an autoscaler that takes over", func() {
	It("finds the number of pods as it was, and decides it from then on", func(ctx context.Context) {
		spec := defaults()
		spec.Workload.Replicas = new(int32(7))
		f := in(ctx, spec)
		apply(ctx, f)
		f.Spec.Workload.Replicas = nil
		f.Spec.Workload.Autoscaling = &v1alpha1.Autoscaling{MinReplicas: 2, MaxReplicas: 9, TargetCPUUtilization: 70}
		apply(ctx, f)
		get(ctx, f, &autoscalingv2.HorizontalPodAutoscaler{})
		d := get(ctx, f, &appsv1.Deployment{})
		Expect(*d.Spec.Replicas).To(Equal(int32(7)))

		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 4}}
		Expect(c.SubResource("scale").Update(ctx, d, client.WithSubResourceBody(scale), client.FieldOwner("autoscaler"))).To(Succeed())
		Expect(apply(ctx, f).Applied).To(BeEmpty())
		f.Image = "signet-envoy:next"
		apply(ctx, f)
		Expect(*get(ctx, f, &appsv1.Deployment{}).Spec.Replicas).To(Equal(int32(4)))
	})
})
