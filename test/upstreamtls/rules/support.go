package rules

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/report"
)

// indent2 indents every line by two, to go below a list entry.
func indent2(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ") + "\n"
}

func textOf(r *report.Report) string {
	GinkgoHelper()
	var b strings.Builder
	Expect(r.WriteText(&b)).To(Succeed())
	return b.String()
}

func hostReported(r *report.Report, host string) bool {
	for i := range r.Hosts {
		if r.Hosts[i].Host == host {
			return true
		}
	}
	return false
}

// errorsOf joins the messages of all errors of an HTTPProxy.
func errorsOf(w Signet, namespace, name string) string {
	var out []string
	for _, c := range w.HTTPProxy(namespace, name).Conditions {
		for _, e := range c.Errors {
			out = append(out, e.Type+"/"+e.Reason+": "+e.Message)
		}
	}
	return strings.Join(out, "\n")
}

// becomes waits until an HTTPProxy has the current status.
func becomes(w Signet, namespace, name, status string) contourv1.HTTPProxyStatus {
	GinkgoHelper()
	var s contourv1.HTTPProxyStatus
	Eventually(func() string {
		s = w.HTTPProxy(namespace, name)
		return s.CurrentStatus
	}).Should(Equal(status), func() string { return errorsOf(w, namespace, name) })
	return s
}
