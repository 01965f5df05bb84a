package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/signetproxy/signet/image"
	"github.com/signetproxy/signet/operator/api/crds"
	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/cluster"
)

// Names of what the suite installs.
const (
	system = "signet-system"
	shop   = "shop"
	fleet  = "edge"

	firstTag, secondTag = "e2e-1", "e2e-2"
)

var (
	bed *cluster.Cluster
	c   client.Client
	// program is signet, of the image, on the host.
	program string
)

func TestE2E(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a cluster needs root")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(90 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	suite, reporter := GinkgoConfiguration()
	reporter.Succinct, reporter.Verbose = false, true
	RunSpecs(t, "Signet in Kubernetes", suite, reporter)
}

var _ = BeforeSuite(func(ctx context.Context) {
	ctrllog.SetLogger(GinkgoLogr)
	if name := os.Getenv("SIGNET_E2E_CLUSTER"); name != "" {
		var err error
		bed, err = cluster.Open(name)
		Expect(err).NotTo(HaveOccurred())
	} else {
		bed = cluster.Start(GinkgoT(), cluster.Options{Progress: func(line string) { GinkgoWriter.Println("cluster: " + line) }})
	}
	config, err := bed.Config()
	Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, contourv1.AddToScheme, v1alpha1.AddToScheme} {
		Expect(add(scheme)).To(Succeed())
	}
	c, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	loadImages(ctx)
	install(ctx)
})

var _ = JustAfterEach(func(ctx context.Context) {
	if CurrentSpecReport().Failed() {
		AddReportEntry("the operator's log", logs(ctx))
		AddReportEntry("the cluster", kubectl(ctx, "get", "envoyfleets,httpproxies,pods,services,events", "--all-namespaces", "--output=wide"))
	}
})

// loadImages builds Signet's image and loads it under two tags, for upgrades.
func loadImages(ctx context.Context) {
	GinkgoHelper()
	scratch := GinkgoT().TempDir()
	spec, err := image.Signet(ctx, image.SignetOptions{
		Module: "../..", Scratch: scratch, Version: firstTag, Envoy: os.Getenv("SIGNET_ENVOY"),
	})
	Expect(err).NotTo(HaveOccurred(), "run it by make e2e")
	program = filepath.Join(scratch, "signet-"+spec.Architecture)
	spec.Compress = false
	for _, tag := range []string{firstTag, secondTag} {
		spec.Name = image.SignetName + ":" + tag
		file := filepath.Join(scratch, "signet.tar")
		_, err := image.WriteFile(file, spec)
		Expect(err).NotTo(HaveOccurred())
		Expect(bed.LoadImage(ctx, file)).To(Succeed())
	}
}

// install does what docs/install.md says.
func install(ctx context.Context) {
	GinkgoHelper()
	apply(ctx, namespace(system), namespace(shop))
	for _, file := range []string{"projectcontour.io_httpproxies.yaml", "projectcontour.io_tlscertificatedelegations.yaml"} {
		text, err := crds.Files.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		apply(ctx, string(text))
	}
	helm(ctx, firstTag)
}

// namespace is one that lets in only pods of the restricted standard.
func namespace(name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}
`, name)
}

// helm installs or upgrades the release, and waits until it is ready.
func helm(ctx context.Context, tag string, more ...string) {
	GinkgoHelper()
	args := append([]string{
		"upgrade", "--install", "signet", "../../charts/signet", "--namespace", system,
		"--set", "image.tag=" + tag, "--wait", "--timeout", "3m", "--kubeconfig", bed.Kubeconfig(),
	}, more...)
	out, err := exec.CommandContext(ctx, bed.Helm(), args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}

// try runs kubectl.
func try(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, bed.Kubectl(), append([]string{"--kubeconfig", bed.Kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// kubectl runs kubectl and returns what it says, errors included.
func kubectl(ctx context.Context, args ...string) string {
	out, err := try(ctx, "", args...)
	if err != nil {
		return err.Error()
	}
	return out
}

// apply applies manifests by kubectl, as users do.
func apply(ctx context.Context, manifests ...string) {
	GinkgoHelper()
	_, err := try(ctx, strings.Join(manifests, "\n---\n"), "apply", "--server-side", "--force-conflicts", "--filename=-")
	Expect(err).NotTo(HaveOccurred())
}

func logs(ctx context.Context) string {
	return kubectl(ctx, "logs", "--namespace", system, "--selector", "app.kubernetes.io/name=signet", "--tail", "200", "--prefix")
}

var (
	errNoAddress = errors.New("it has no address")
	errNotYet    = errors.New("not yet")
)

// address is where clients reach a fleet.
func address(ctx context.Context, namespace, name string) (string, error) {
	f := &v1alpha1.EnvoyFleet{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, f); err != nil {
		return "", err
	}
	if len(f.Status.Addresses) == 0 {
		return "", fmt.Errorf("EnvoyFleet %s/%s: %w", namespace, name, errNoAddress)
	}
	return f.Status.Addresses[0].Value, nil
}

// condition is a condition of an EnvoyFleet, as "Status Reason: message".
func condition(ctx context.Context, namespace, name, kind string) string {
	f := &v1alpha1.EnvoyFleet{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, f); err != nil {
		return err.Error()
	}
	if x := meta.FindStatusCondition(f.Status.Conditions, kind); x != nil {
		return string(x.Status) + " " + x.Reason + ": " + x.Message
	}
	return ""
}

// programmed waits until a fleet serves, with all of its Envoys, and returns its
// address.
func programmed(ctx context.Context, namespace, name string) (where string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		f := &v1alpha1.EnvoyFleet{}
		g.Expect(c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, f)).To(Succeed())
		g.Expect(condition(ctx, namespace, name, "Programmed")).To(HavePrefix("True"))
		n := f.Status.Envoys
		g.Expect(n).NotTo(BeNil())
		g.Expect([]int32{n.Ready, n.Acknowledged}).To(Equal([]int32{n.Desired, n.Desired}), "%+v", n)
		a, err := address(ctx, namespace, name)
		g.Expect(err).NotTo(HaveOccurred())
		where = a
	}).Should(Succeed())
	return where
}

// pods of a selector that are not ending.
func pods(ctx context.Context, namespace, selector string) []corev1.Pod {
	GinkgoHelper()
	list := &corev1.PodList{}
	s, err := labels.Parse(selector)
	Expect(err).NotTo(HaveOccurred())
	Expect(c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: s})).To(Succeed())
	var out []corev1.Pod
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp.IsZero() {
			out = append(out, list.Items[i])
		}
	}
	return out
}
