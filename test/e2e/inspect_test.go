package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/signetproxy/signet/operator/report"
)

// signet runs the program that is in the image, on the host, for this cluster.
func signet(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig", bed.Kubeconfig())...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// streams is how many of the shop's Envoys are connected to each operator.
func streams(ctx context.Context) []int {
	GinkgoHelper()
	var out []int
	for _, p := range pods(ctx, system, operators) {
		n, _ := strconv.Atoi(figureOf(ctx, &p, `signet_xds_streams{fleet="edge",namespace="shop",ready="true"}`)) // no series is none
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// powerless is a kubeconfig of an account that has no rights.
func powerless(ctx context.Context) (file string) {
	GinkgoHelper()
	apply(ctx, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody, namespace: "+shop+"}\n")
	token, err := try(ctx, "", "create", "token", "nobody", "--namespace", shop)
	Expect(err).NotTo(HaveOccurred())
	config, err := clientcmd.LoadFromFile(bed.Kubeconfig())
	Expect(err).NotTo(HaveOccurred())
	for _, user := range config.AuthInfos {
		*user = clientcmdapi.AuthInfo{Token: strings.TrimSpace(token)}
	}
	file = filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(*config, file)).To(Succeed())
	return file
}

var _ = Describe("signet, from the host", Ordered, ContinueOnFailure, func() {
	BeforeAll(func(ctx context.Context) {
		shopServes(ctx)
		rolled(ctx, system, "signet", operators)
	})

	It("shows by status the Envoys of all replicas", func(ctx context.Context) {
		// Which replica an Envoy takes is chance.
		split := func() bool {
			Eventually(func() []int { return streams(ctx) }).Should(Or(Equal([]int{0, 2}), Equal([]int{1, 1})))
			return slices.Equal(streams(ctx), []int{1, 1})
		}
		for tries := 0; !split(); tries++ {
			Expect(tries).To(BeNumerically("<", 12), "chance is not that blind")
			Expect(c.Delete(ctx, &pods(ctx, shop, envoys)[0])).To(Succeed())
			rolled(ctx, shop, "edge-envoy", envoys)
		}

		stdout, stderr, err := signet(ctx, "status", "-o", "json")
		Expect(err).NotTo(HaveOccurred(), stderr)
		r := &report.Report{}
		Expect(json.Unmarshal([]byte(stdout), r)).To(Succeed())
		at := slices.IndexFunc(r.Fleets, func(f report.Fleet) bool { return f.Namespace == shop && f.Name == fleet })
		Expect(at).To(BeNumerically(">=", 0), stdout)
		var nodes, want []string
		for _, e := range r.Fleets[at].Envoys {
			Expect(e.Ready).To(BeTrue(), e.Node)
			Expect(e.Rejected).To(BeEmpty())
			nodes = append(nodes, e.Node)
		}
		for _, p := range pods(ctx, shop, envoys) {
			want = append(want, p.Name)
		}
		Expect(nodes).To(ConsistOf(want))

		stdout, stderr, err = signet(ctx, "status")
		Expect(err).NotTo(HaveOccurred(), stderr)
		for _, name := range want {
			Expect(stdout).To(ContainSubstring("envoy " + name + ": ready"))
		}
		AddReportEntry("signet status", stdout, ReportEntryVisibilityAlways)
	})

	It("translates what is in the cluster", func(ctx context.Context) {
		stdout, stderr, err := signet(ctx, "translate", "-o", "text")
		Expect(err).NotTo(HaveOccurred(), stderr+stdout)
		Expect(stdout).To(And(ContainSubstring(host), ContainSubstring("tls-nginx.example"), ContainSubstring("fleet "+shop+"/"+fleet)))
		stdout, stderr, err = signet(ctx, "translate")
		Expect(err).NotTo(HaveOccurred(), stderr)
		Expect(stdout).NotTo(ContainSubstring("PRIVATE KEY"))
	})

	It("says which right an account lacks", func(ctx context.Context) {
		out, err := exec.CommandContext(ctx, program, "status", "--kubeconfig", powerless(ctx)).CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(And(ContainSubstring("pods is forbidden"), ContainSubstring("shop:nobody")))
	})
})
