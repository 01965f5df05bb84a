package kubernetes_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/kubernetes"
	"github.com/signetproxy/signet/test/apiserver"
)

func TestKubernetes(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "operator/source/kubernetes")
}

var (
	server *apiserver.Server
	admin  client.Client
)

var _ = BeforeSuite(func() {
	var err error
	server, err = apiserver.Start(apiserver.EnvoyFleets, apiserver.TLSCertificateDelegations)
	Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(contourv1.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(gatewayv1.Install(scheme)).To(Succeed())
	admin, err = client.New(server.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

var _ = AfterSuite(func() {
	if server != nil {
		Expect(server.Stop()).To(Succeed())
	}
})

// world is a sink: what is true by the batches so far.
type world struct {
	mu       sync.Mutex
	objects  map[source.Key]client.Object
	problems []source.Problem
	complete bool
	batches  int
	// breach is the first broken promise.
	breach string
}

func (w *world) Apply(b source.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches++
	for _, k := range b.Deleted {
		delete(w.objects, k)
	}
	for _, o := range b.Changed {
		if slices.Contains(b.Deleted, source.KeyOf(o)) {
			w.breach = source.KeyOf(o).String() + " is in Changed and in Deleted"
		}
		w.objects[source.KeyOf(o)] = o
	}
	if b.Problems != nil {
		w.problems = b.Problems
	}
	for k, o := range w.objects {
		if k.Kind == "Gateway" && strings.HasPrefix(k.Name, policed) && !w.hasPolicy(k.Name) {
			w.breach = k.String() + " is delivered without the BackendTLSPolicy of its name, which went after it"
		}
		if w.opens(k) && w.objects[gatewayKey("BackendTLSPolicy", k.Namespace, k.Name)] == nil {
			w.breach = k.String() + " is delivered without the BackendTLSPolicy of its name, which was there before it"
		}
		if k.Kind == "HTTPRoute" && w.isLeft(o) {
			w.breach = k.String() + " is delivered without a BackendTLSPolicy of its Service, which was there all the time"
		}
		if k.Kind == "HTTPRoute" && strings.HasPrefix(k.Name, sliced) && w.objects[sliceKey(k.Namespace, k.Name)] == nil {
			w.breach = k.String() + " is delivered without the EndpointSlice of its name, which was there before it"
		}
	}
	if w.complete && !b.Complete {
		w.breach = "a batch after the first complete one is not complete"
	}
	w.complete = b.Complete
}

// policed begins the names of routes, of ReferenceGrants, and of Services that the
// route to-<name> sends to, that must not be seen without the policy of their name.
const policed = "policed-"

// hasPolicy says that there is a policy of a name.
func (w *world) hasPolicy(name string) bool {
	for k := range w.objects {
		if k.Kind == "BackendTLSPolicy" && k.Name == name {
			return true
		}
	}
	return false
}

// kept begins the names of Services that no route must be seen to send to without a
// policy about them.
const kept = "kept-"

// isLeft says that a route sends to such a Service, and there is no policy.
func (w *world) isLeft(route client.Object) bool {
	for _, s := range pipeline.Uses(route) {
		about := func(o client.Object) bool { return slices.Contains(pipeline.Targets(o), s) }
		if strings.HasPrefix(s.Name, kept) && !slices.ContainsFunc(slices.Collect(maps.Values(w.objects)), about) {
			return true
		}
	}
	return false
}

// sliced begins the names of routes that must not be seen without the slice of
// their name.
const sliced = "sliced-"

func sliceKey(namespace, name string) source.Key {
	return source.Key{GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), Namespace: namespace, Name: name}
}

// opens says that an object opens a way to a Service of which there is a policy.
func (w *world) opens(k source.Key) bool {
	if !strings.HasPrefix(k.Name, policed) {
		return false
	}
	return k.Kind == "HTTPRoute" || k.Kind == "ReferenceGrant" || k.Kind == "Service" && w.objects[gatewayKey("HTTPRoute", k.Namespace, "to-"+k.Name)] != nil
}

func gatewayKey(kind, namespace, name string) source.Key {
	return source.Key{GroupVersionKind: schema.GroupVersion(gatewayv1.GroupVersion).WithKind(kind), Namespace: namespace, Name: name}
}

// has lists the objects of a namespace, as "Kind name".
func (w *world) has(namespace string) func() []string {
	return func() []string {
		w.mu.Lock()
		defer w.mu.Unlock()
		out := []string{}
		for k := range maps.Keys(w.objects) {
			if k.Namespace == namespace {
				out = append(out, k.Kind+" "+k.Name)
			}
		}
		slices.Sort(out)
		return out
	}
}

func (w *world) secret(namespace, name string) func() string {
	return func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		for k, o := range w.objects {
			if s, ok := o.(*corev1.Secret); ok && k.Namespace == namespace && k.Name == name {
				return fmt.Sprintf("%s %s", s.Type, s.Data["ca.crt"])
			}
		}
		return ""
	}
}

func (w *world) isComplete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.complete
}

func (w *world) trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.problems {
		out = append(out, p.String())
	}
	return strings.Join(out, "\n")
}

// start runs a source until the spec ends.
func start(o kubernetes.Options) *world {
	GinkgoHelper()
	w := &world{objects: map[source.Key]client.Object{}}
	if o.Config == nil {
		o.Config = server.Config
	}
	o.References, o.ProbeInterval = pipeline.References, 200*time.Millisecond
	o.Uses, o.Targets, o.Backends, o.Lacks = pipeline.Uses, pipeline.Targets, pipeline.Backends, pipeline.Lacks
	o.Log = GinkgoLogr
	s, err := kubernetes.New(o)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, w) }()
	DeferCleanup(func() {
		cancel()
		Expect(<-done).To(Succeed())
		Expect(w.breach).To(BeEmpty())
	})
	return w
}

// namespace makes a namespace for one spec.
func namespace(ctx context.Context) string {
	GinkgoHelper()
	n := &corev1.Namespace{}
	n.GenerateName = "source-"
	Expect(admin.Create(ctx, n)).To(Succeed())
	return n.Name
}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func secret(namespace, name, ca string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(namespace, name), Data: map[string][]byte{"ca.crt": []byte(ca)}}
}

func service(namespace, name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(namespace, name), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}}}
}

func slice(namespace, name string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: meta(namespace, name), AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}},
	}
}

// fleet refers to a Secret, as an HTTPProxy does, and its CRD is there.
func fleet(namespace, name, secret string) *v1alpha1.EnvoyFleet {
	f := &v1alpha1.EnvoyFleet{ObjectMeta: meta(namespace, name)}
	if secret != "" {
		f.Spec.UpstreamTLS = &v1alpha1.UpstreamTLS{ClientCertificate: &v1alpha1.ClientCertificate{
			SecretRef: &v1alpha1.SecretReference{Name: secret},
		}}
	}
	return f
}

func proxy(namespace, name, ca string) *contourv1.HTTPProxy {
	p := &contourv1.HTTPProxy{ObjectMeta: meta(namespace, name)}
	p.Spec.Routes = []contourv1.Route{{Services: []contourv1.Service{{
		Name: "s", Port: 443, UpstreamValidation: &contourv1.UpstreamValidation{CACertificate: ca, SubjectName: "s.test"},
	}}}}
	return p
}

func create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(admin.Create(ctx, o)).To(Succeed())
	}
}
