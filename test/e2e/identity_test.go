package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// stranger is a fleet that serves nothing of the shop.
const stranger = `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: stranger, namespace: elsewhere}
spec:
  workload: {replicas: 1}
  httpProxies: {rootNamespaces: [elsewhere]}
`

// xds is the xDS server as pods reach it.
func xds(ctx context.Context) string {
	GinkgoHelper()
	s := &corev1.Service{}
	Expect(c.Get(ctx, client.ObjectKey{Namespace: system, Name: "signet-xds"}, s)).To(Succeed())
	return s.Spec.ClusterIP + ":18000"
}

// fromPod dials from the network of a process: of a container, as its pod does.
func fromPod(pid int) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		type result struct {
			conn net.Conn
			err  error
		}
		done := make(chan result, 1)
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				done <- result{nil, err}
				return
			}
			defer network.Close()
			if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
				done <- result{nil, fmt.Errorf("entering the pod's network: %w", err)}
				return
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			done <- result{conn, err}
		}()
		r := <-done
		return r.conn, r.err
	}
}

// received asks, from a pod that is no Envoy, for clusters, all of them, and for a
// secret by name, claiming to be an Envoy of the shop's fleet, and returns the
// names of what came.
func received(ctx context.Context, pair *tls.Certificate, secret string) ([]string, error) {
	GinkgoHelper()
	cfg := &tls.Config{ServerName: certificate.ServerName, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	if pair != nil {
		cfg.Certificates = []tls.Certificate{*pair}
	}
	pid := processes(&pods(ctx, shop, "app=tls-nginx")[0], "")[0]
	connection, err := grpc.NewClient("passthrough:///"+xds(ctx), grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithContextDialer(fromPod(pid)))
	Expect(err).NotTo(HaveOccurred())
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	self := &corev3.Node{Id: "edge-0", Cluster: shop + "/" + fleet}
	for _, r := range []*discovery.DeltaDiscoveryRequest{
		{Node: self, TypeUrl: string(envoy.ClusterType)},
		{TypeUrl: string(envoy.SecretType), ResourceNamesSubscribe: []string{secret}},
	} {
		if err := stream.Send(r); err != nil {
			break // why is what Recv says
		}
	}
	names := []string{}
	for answered := false; !answered; {
		r, err := stream.Recv()
		if err != nil {
			return names, err
		}
		for _, x := range r.GetResources() {
			names = append(names, x.GetName())
		}
		answered = r.GetTypeUrl() == string(envoy.SecretType)
	}
	return names, nil
}

// identity is the key pair of a fleet's pods.
func identity(ctx context.Context, namespace, name string) *tls.Certificate {
	GinkgoHelper()
	s := &corev1.Secret{}
	Expect(c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name + "-envoy-identity"}, s)).To(Succeed())
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	Expect(err).NotTo(HaveOccurred())
	return &pair
}

var _ = Describe("who may speak xDS", Ordered, ContinueOnFailure, func() {
	const secret = "certificate/" + shop + "/edge-client" + ir.NoHost

	BeforeAll(func(ctx context.Context) {
		shopServes(ctx)
		apply(ctx, namespace("elsewhere"), stranger)
		programmed(ctx, "elsewhere", "stranger")
	})

	It("is the fleet's own pods", func(ctx context.Context) {
		names, err := received(ctx, identity(ctx, shop, fleet), secret)
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Join(names, " ")).To(And(ContainSubstring(shop+"/tls-nginx"), ContainSubstring(secret)))
	})

	It("is nobody without a certificate", func(ctx context.Context) {
		names, err := received(ctx, nil, secret)
		Expect(err).To(HaveOccurred())
		Expect(names).To(BeEmpty())
	})

	It("is nobody with a certificate of another authority", func(ctx context.Context) {
		other, err := pki.NewAuthority("another")
		Expect(err).NotTo(HaveOccurred())
		leaf := identity(ctx, shop, fleet).Leaf
		pair, err := other.Issue(pki.Leaf{URIs: []string{leaf.URIs[0].String()}})
		Expect(err).NotTo(HaveOccurred())
		names, err := received(ctx, &pair.TLS, secret)
		Expect(err).To(HaveOccurred())
		Expect(names).To(BeEmpty())
	})

	It("is nobody with a client certificate that backends trust", func(ctx context.Context) {
		s := &corev1.Secret{}
		Expect(c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "edge-client"}, s)).To(Succeed())
		pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
		Expect(err).NotTo(HaveOccurred())
		names, err := received(ctx, &pair, secret)
		Expect(err).To(HaveOccurred())
		Expect(names).To(BeEmpty())
	})

	It("is another fleet for what is its own alone, whatever it says it is", func(ctx context.Context) {
		names, err := received(ctx, identity(ctx, "elsewhere", "stranger"), secret)
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Join(names, " ")).NotTo(ContainSubstring(shop))
	})
})

// rotate makes a successor of a stored authority and lets its time of waiting
// be over: the rest is the operator's.
func rotate(ctx context.Context, name string, policy certificate.Policy, wait time.Duration, published func()) {
	GinkgoHelper()
	store := func(change func(certificate.State) certificate.State) {
		GinkgoHelper()
		Eventually(func() error {
			s := &corev1.Secret{}
			if err := c.Get(ctx, client.ObjectKey{Namespace: system, Name: name}, s); err != nil {
				return err
			}
			state, err := certificate.Decode(s.Data)
			if err != nil {
				return err
			}
			if s.Data, err = certificate.Encode(change(state)); err != nil {
				return err
			}
			return c.Update(ctx, s)
		}).Should(Succeed())
	}
	store(func(s certificate.State) certificate.State {
		next, err := certificate.Apply(s, certificate.Action{Kind: certificate.CreateAuthority}, time.Now(), policy)
		Expect(err).NotTo(HaveOccurred())
		return next
	})
	published()
	store(func(s certificate.State) certificate.State {
		Expect(s.Successor).NotTo(BeNil(), "it must wait")
		s.SuccessorSince = s.SuccessorSince.Add(-wait)
		return s
	})
	Eventually(func() bool {
		s := &corev1.Secret{}
		_ = c.Get(ctx, client.ObjectKey{Namespace: system, Name: name}, s) // it is asked for again
		state, err := certificate.Decode(s.Data)
		return err == nil && state.Successor == nil && len(state.Retired) == 1
	}).Should(BeTrue(), "the successor must sign")
}

// rollBackends replaces the shop's backends, and with them all connections to
// them.
func rollBackends(ctx context.Context) {
	GinkgoHelper()
	change(ctx, shop, "tls-nginx", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Annotations = map[string]string{"rolled": time.Now().Format(time.RFC3339Nano)}
	})
	rolled(ctx, shop, "tls-nginx", "app=tls-nginx")
}

var _ = Describe("under traffic, no answer is unexpected when an authority is replaced", Ordered, ContinueOnFailure, func() {
	var where string

	BeforeAll(func(ctx context.Context) {
		where = shopServes(ctx)
	})

	It("that of client certificates", func(ctx context.Context) {
		old := answered(ctx, where, host, "/", 200).Seen.ClientCertificate
		loss(where, func() {
			rotate(ctx, "signet-client-authority", certificate.ClientPolicy(), 8*24*time.Hour, func() {
				Eventually(func() int { return strings.Count(clientAuthorities(ctx), "BEGIN") }).Should(Equal(2))
				takeOver(ctx, clientAuthorities(ctx))
				rollBackends(ctx) // they read it when they start
			})
			Eventually(func(g Gomega) {
				s := &corev1.Secret{}
				g.Expect(c.Get(ctx, client.ObjectKey{Namespace: shop, Name: "edge-client"}, s)).To(Succeed())
				pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(pair.Certificate[0]).NotTo(Equal(old))
			}).Should(Succeed())
			rollBackends(ctx) // kept connections show what they were made with
			Eventually(func(g Gomega) {
				a, err := ask(ctx, where, host, "/")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(a.Seen).NotTo(BeNil())
				g.Expect(a.Seen.ClientCertificate).NotTo(Equal(old))
				leaf, err := x509.ParseCertificate(a.Seen.ClientCertificate)
				g.Expect(err).NotTo(HaveOccurred())
				was, err := x509.ParseCertificate(old)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(leaf.AuthorityKeyId).NotTo(Equal(was.AuthorityKeyId))
			}).Should(Succeed())
		})
	})

	It("that of the Envoys' identities, and changes are served on", func(ctx context.Context) {
		before := identity(ctx, shop, fleet).Leaf
		loss(where, func() {
			rotate(ctx, "signet-authority", certificate.DefaultPolicy(), 2*time.Hour, func() {
				apply(ctx, direct("phase-one", "phase-one.example.com"))
				answered(ctx, where, "phase-one.example.com", "/", 200)
			})
			apply(ctx, direct("phase-two", "phase-two.example.com"))
			answered(ctx, where, "phase-two.example.com", "/", 200)
		})
		AddReportEntry("the identity", fmt.Sprintf("was issued by %q", before.Issuer.CommonName))
	})
})
