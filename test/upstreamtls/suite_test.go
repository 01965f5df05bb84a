package upstreamtls

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	. "github.com/onsi/ginkgo/v2"
	ginkgotypes "github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/upstreamtls/rules"
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

var _ = Describe("signet standalone", func() { rules.Specs(standalone{}) })

// standalone is a world of its own for each spec.
type standalone struct{}

// Serve implements rules.Place.
func (standalone) Serve(cfg backend.Config) *backend.Backend {
	GinkgoHelper()
	b, err := backend.Start(cfg)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(b.Close)
	return b
}

// Start implements rules.Place.
func (standalone) Start(files map[string]string) rules.Signet {
	GinkgoHelper()
	return running{world.Start(GinkgoT(), log(), files)}
}

type running struct{ *world.World }

// HTTPProxy implements rules.Signet.
func (r running) HTTPProxy(namespace, name string) contourv1.HTTPProxyStatus {
	for _, s := range r.Report().Statuses {
		if st, ok := s.Status.(contourv1.HTTPProxyStatus); ok && s.Namespace == namespace && s.Name == name {
			return st
		}
	}
	return contourv1.HTTPProxyStatus{}
}

// Fleet implements rules.Signet.
func (r running) Fleet() v1alpha1.EnvoyFleetStatus {
	for _, s := range r.Report().Statuses {
		if st, ok := s.Status.(v1alpha1.EnvoyFleetStatus); ok {
			return st
		}
	}
	return v1alpha1.EnvoyFleetStatus{}
}

// Problems implements rules.Signet.
func (r running) Problems() string {
	var all []string
	for _, p := range r.Report().Problems {
		all = append(all, p.Object+" "+p.Field+" "+p.Message)
	}
	return strings.Join(all, "\n")
}

// log writes to the output of the spec, shown when it fails.
func log() logr.Logger {
	c := zap.NewDevelopmentEncoderConfig()
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(c), zapcore.AddSync(io.Writer(GinkgoWriter)), zap.InfoLevel)
	return zapr.NewLogger(zap.New(core))
}
