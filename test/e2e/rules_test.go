package e2e

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/upstreamtls/rules"
	"github.com/signetproxy/signet/test/world"
)

var _ = Describe("the rules of upstream TLS, through the API server", Ordered, ContinueOnFailure, func() {
	BeforeAll(func(ctx context.Context) {
		apply(ctx, edge)
		programmed(ctx, shop, fleet)
	})
	rules.Specs(place{})
})

// place is the cluster: backends are outside of it, on the host's end of its
// link, and EndpointSlices lead to them.
type place struct{}

// Serve implements rules.Place.
func (place) Serve(cfg backend.Config) *backend.Backend {
	GinkgoHelper()
	cfg.Address = net.JoinHostPort(bed.Ranges().Host.Addr().String(), "0")
	b, err := backend.Start(cfg)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(b.Close)
	return b
}

// Start implements rules.Place.
func (place) Start(files map[string]string) rules.Signet {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &placed{ctx: ctx, files: map[string][]*unstructured.Unstructured{}, fleet: client.ObjectKey{Namespace: shop, Name: fleet}}
	DeferCleanup(func() {
		for name := range p.files {
			p.Remove(name)
		}
		cancel()
	})
	for name, content := range files {
		p.Write(name, content)
		for _, o := range p.files[name] {
			if o.GetKind() == "EnvoyFleet" {
				p.fleet = client.ObjectKeyFromObject(o)
			}
		}
	}
	Expect(p.Problems()).To(BeEmpty())
	p.where = programmed(ctx, p.fleet.Namespace, p.fleet.Name)
	return p
}

// placed is what a spec has in the cluster.
type placed struct {
	ctx   context.Context
	fleet client.ObjectKey
	where string

	files map[string][]*unstructured.Unstructured

	mu      sync.Mutex
	refused map[string]error
}

// Write implements rules.Signet.
func (p *placed) Write(name, content string) {
	GinkgoHelper()
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+content, "\n---\n") {
		u := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(document), &u.Object)).To(Succeed())
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
	var refused []error
	for _, o := range objects {
		err := c.Create(p.ctx, &corev1.Namespace{Name: o.GetNamespace()})
		Expect(client.IgnoreAlreadyExists(err)).To(Succeed())
		err = c.Apply(p.ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner("e2e"), client.ForceOwnership)
		if apierrors.IsInvalid(err) {
			refused = append(refused, err)
			continue
		}
		Expect(err).NotTo(HaveOccurred())
	}
	for _, o := range p.files[name] {
		if !slices.ContainsFunc(objects, func(n *unstructured.Unstructured) bool {
			return n.GetKind() == o.GetKind() && n.GetNamespace() == o.GetNamespace() && n.GetName() == o.GetName()
		}) {
			p.remove(o)
		}
	}
	p.files[name] = objects
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused == nil {
		p.refused = map[string]error{}
	}
	p.refused[name] = errors.Join(refused...)
}

// Remove implements rules.Signet.
func (p *placed) Remove(name string) {
	GinkgoHelper()
	for _, o := range p.files[name] {
		p.remove(o)
	}
	delete(p.files, name)
}

func (p *placed) remove(o client.Object) {
	GinkgoHelper()
	Expect(client.IgnoreNotFound(c.Delete(p.ctx, o))).To(Succeed())
}

// Get implements rules.Signet.
func (p *placed) Get(host, path string) (*world.Answer, error) {
	return ask(p.ctx, p.where, host, path)
}

// HTTPProxy implements rules.Signet.
func (p *placed) HTTPProxy(namespace, name string) contourv1.HTTPProxyStatus {
	o := &contourv1.HTTPProxy{}
	_ = c.Get(p.ctx, client.ObjectKey{Namespace: namespace, Name: name}, o) // it has no status then
	return o.Status
}

// Fleet implements rules.Signet.
func (p *placed) Fleet() v1alpha1.EnvoyFleetStatus {
	o := &v1alpha1.EnvoyFleet{}
	_ = c.Get(p.ctx, p.fleet, o) // it has no status then
	return o.Status
}

// Problems implements rules.Signet.
func (p *placed) Problems() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, err := range p.refused {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	return strings.Join(out, "\n")
}

// Report implements rules.Signet: a cluster has none.
func (*placed) Report() *report.Report { return nil }
