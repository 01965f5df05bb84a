// Package upstreamtls proves the rules of upstream TLS, S1 to S16, with a real
// Envoy and real TLS: manifests go into a folder, requests through Envoy, and
// what the backends saw is what counts.
package upstreamtls

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	. "github.com/onsi/ginkgo/v2"
	ginkgotypes "github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

func TestMain(m *testing.M) { world.Main(m) }

func TestUpstreamTLS(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(10 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	RunSpecs(t, "Upstream TLS")
}

// The rules are listed by name, with or without Ginkgo's own verbosity.
var _ = ReportAfterSuite("the rules by name", func(r Report) {
	for _, s := range r.SpecReports {
		if s.LeafNodeText != "" && s.LeafNodeType.Is(ginkgotypes.NodeTypeIt) {
			fmt.Printf("%-7s %s\n", s.State, s.LeafNodeText) //nolint:forbidigo // the list is what the reader looks for
		}
	}
})

// The certificates of the suite.
var (
	ca, otherCA, thirdCA, clientCA *pki.Authority
	good                           *pki.Pair // names "backend.example", signed by ca
)

const name = "backend.example"

var _ = BeforeSuite(func() {
	ca, otherCA = authority("CA"), authority("other CA")
	thirdCA, clientCA = authority("third CA"), authority("client CA")
	good = issue(ca, pki.Leaf{DNS: []string{name}})
})

func authority(cn string) *pki.Authority {
	GinkgoHelper()
	a, err := pki.NewAuthority(cn)
	Expect(err).NotTo(HaveOccurred())
	return a
}

func issue(a *pki.Authority, l pki.Leaf) *pki.Pair {
	GinkgoHelper()
	p, err := a.Issue(l)
	Expect(err).NotTo(HaveOccurred())
	return p
}

// serve starts a backend that ends with the spec.
func serve(cfg backend.Config) *backend.Backend {
	GinkgoHelper()
	b, err := backend.Start(cfg)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(b.Close)
	return b
}

// serveTLS starts a TLS backend with the given pair.
func serveTLS(p *pki.Pair) *backend.Backend {
	GinkgoHelper()
	return serve(backend.Config{Name: "tls", Certificate: &p.TLS})
}

func pool(a *pki.Authority) *x509.CertPool { return a.Pool() }

// start runs a world of its own for a spec.
func start(files map[string]string) *world.World {
	GinkgoHelper()
	return world.Start(GinkgoT(), log(), files)
}

// log writes to the output of the spec, shown when it fails.
func log() logr.Logger {
	c := zap.NewDevelopmentEncoderConfig()
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(c), zapcore.AddSync(io.Writer(GinkgoWriter)), zap.InfoLevel)
	return zapr.NewLogger(zap.New(core))
}

// answers waits until a request to host and path gets the status code.
func answers(w *world.World, host, path string, code int) *world.Answer {
	GinkgoHelper()
	var last *world.Answer
	Eventually(func(g Gomega) {
		a, err := w.Get(host, path)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(a.Code).To(Equal(code), a.Body)
		last = a
	}).Should(Succeed())
	return last
}

var loopback = net.ParseIP("127.0.0.1")
