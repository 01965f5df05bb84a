package rules

import (
	"crypto/x509"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// Place is where Signet runs.
type Place interface {
	// Start makes the objects of the files, and returns when they can be asked
	// for; what it made ends with the spec. Without an EnvoyFleet among them
	// there is one all the same.
	Start(files map[string]string) Signet
	// Serve starts a backend that Envoy reaches; it ends with the spec.
	Serve(cfg backend.Config) *backend.Backend
}

// Signet is a running Signet.
type Signet interface {
	// Write makes or replaces the objects of a file. What a schema refuses is
	// among the Problems.
	Write(name, content string)
	// Remove deletes the objects of a file.
	Remove(name string)
	// Get sends a request to Envoy.
	Get(host, path string) (*world.Answer, error)
	// HTTPProxy and Fleet are statuses; of the fleet there is only one.
	HTTPProxy(namespace, name string) contourv1.HTTPProxyStatus
	Fleet() v1alpha1.EnvoyFleetStatus
	// Problems say what was refused, by object and field.
	Problems() string
	// Report is nil where there is none.
	Report() *report.Report
}

// rules are the specs, with the certificates that they share.
type rules struct {
	Place

	ca, otherCA, clientCA *pki.Authority
	good                  *pki.Pair // names "backend.example", signed by ca
}

const name = "backend.example"

// Specs adds the specs to the suite. It is called while the suite's tree is
// built.
func Specs(place Place) {
	r := &rules{Place: place, ca: authority("CA"), otherCA: authority("other CA"), clientCA: authority("client CA")}
	r.good = issue(r.ca, pki.Leaf{DNS: []string{name}})
	Context("the protocol of an upstream", r.protocol)
	Context("validation of a backend", r.validation)
	Context("the fleet's client certificate", r.client)
}

// A suite whose certificates cannot be made has no specs.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func authority(cn string) *pki.Authority { return must(pki.NewAuthority(cn)) }

func issue(a *pki.Authority, l pki.Leaf) *pki.Pair { return must(a.Issue(l)) }

// serveTLS starts a TLS backend with the given pair.
func (r *rules) serveTLS(p *pki.Pair) *backend.Backend {
	GinkgoHelper()
	return r.Serve(backend.Config{Name: "tls", Certificate: &p.TLS})
}

func pool(a *pki.Authority) *x509.CertPool { return a.Pool() }

// answers waits until a request to host and path gets the status code.
func answers(w Signet, host, path string, code int) *world.Answer {
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
