package soak

import (
	"fmt"
	"strings"

	"github.com/signetproxy/signet/test/world"
)

// port is the Service port of every service.
const port = 443

// class is what a service's backends are, once and for all.
type class int

const (
	plain  class = iota // cleartext
	strict              // TLS, and every route to it validates: traps may be among its endpoints
	loose               // TLS, validated or not
	classes
)

// slot is one host of a fleet, as it shall be: the manifests follow from it.
type slot struct {
	present bool
	// wildcard hosts cover one label; fixed.
	wildcard bool
	// tls hosts may have a certificate, which is on or off; fixed.
	tls      bool
	https    bool
	insecure bool
	ownChain bool
	// to is the service of the route "/".
	to int
	// protocol is "" where the Service's annotation says it.
	protocol string
	validate bool
	subject  []string
	ca       string
	// include gives the prefix "/in" to a child of its own, which forwards to
	// child.
	include bool
	child   int
	header  int
	defect  defect
}

// defect is what is wrong with a host's manifests.
type defect string

const (
	none             defect = ""
	noService        defect = "service that does not exist"
	noPort           defect = "port that does not exist"
	noCA             defect = "CA that does not exist"
	garbageCA        defect = "CA that is garbage"
	cleartext        defect = "validation in cleartext"
	noDelegation     defect = "CA that is not delegated"
	wrongName        defect = "subject name that no backend has"
	twoClaimants     defect = "two objects for one host"
	brokenYAML       defect = "file that is not YAML"
	brokenSchema     defect = "object against its schema"
	wrongProtocol    defect = "protocol that does not exist"
	noCertificate    defect = "certificate that does not exist"
	brokenPair       defect = "certificate with another's key"
	noChild          defect = "include that does not exist"
	brokenTimeout    defect = "timeout that is none"
	plaintextService defect = "TLS to a cleartext backend"
	refusedRoute     defect = "route that Envoy refuses"
	refusedCluster   defect = "cluster that Envoy refuses"
)

var defects = []defect{
	noService, noPort, noCA, garbageCA, cleartext, noDelegation, wrongName, twoClaimants, brokenYAML,
	brokenSchema, wrongProtocol, noCertificate, brokenPair, noChild, brokenTimeout, plaintextService,
}

// refusedText makes the control plane spoil what holds it.
const refusedText = "refused.test"

func (s *slot) domain(fleet string, i int) string {
	if s.wildcard {
		return fmt.Sprintf("*.w%d.%s.test", i, fleet)
	}
	return fmt.Sprintf("h%d.%s.test", i, fleet)
}

func (s *slot) host(fleet string, i int) string {
	return strings.Replace(s.domain(fleet, i), "*", "x", 1)
}

// refused tells whether Envoy must refuse what is made of the file.
func (s *slot) refused() bool { return s.defect == refusedRoute || s.defect == refusedCluster }

// invalid tells whether the source must refuse the file.
func (s *slot) invalid() bool {
	return s.defect == brokenYAML || s.defect == brokenSchema || s.defect == wrongProtocol || s.defect == brokenTimeout
}

// render returns the file of host i.
func (s *slot) render(fleet string, i int) string {
	if s.defect == brokenYAML {
		return "kind: HTTPProxy\n  metadata: {\n"
	}
	name, domain := fmt.Sprint("p", i), s.domain(fleet, i)
	var tls string
	if s.https {
		secret := fmt.Sprint("t", i)
		switch s.defect {
		case noCertificate:
			secret = "missing"
		case brokenPair:
			secret = "broken-pair"
		default:
		}
		tls = "    tls: {secretName: " + secret
		if s.ownChain {
			tls += `, minimumProtocolVersion: "1.3"`
		}
		tls += "}\n"
	}
	spec := fmt.Sprintf("  virtualhost:\n    fqdn: %q\n%s", domain, tls)
	child := fmt.Sprint("c", i)
	if s.include {
		if s.defect == noChild {
			child = "missing"
		}
		spec += fmt.Sprintf("  includes:\n  - name: %s\n    conditions: [{prefix: /in}]\n", child)
	}
	root := head(fleet, name) + spec + "  routes:\n" + s.route(s.to)
	if s.defect == brokenSchema {
		root = head(fleet, name) + spec + "  routes: nothing\n"
	}
	documents := []string{root}
	if s.include {
		documents = append(documents, head(fleet, fmt.Sprint("c", i))+"  routes:\n"+s.route(s.child))
	}
	if s.defect == twoClaimants {
		documents = append(documents, head(fleet, fmt.Sprint("p", i, "x"))+
			fmt.Sprintf("  virtualhost:\n    fqdn: %q\n", domain)+"  routes:\n"+s.route(s.to))
	}
	return world.All(documents...)
}

func head(namespace, name string) string {
	return fmt.Sprintf("apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", name, namespace)
}

// route is one route to a service.
func (s *slot) route(to int) string {
	service, number, protocol, ca, subject := fmt.Sprint("s", to), port, s.protocol, s.ca, s.subject
	validate := s.validate && class(to%int(classes)) != plain
	if class(to%int(classes)) == plain && protocol != "h2c" {
		protocol = ""
	}
	switch s.defect {
	case noService:
		service = "missing"
	case noPort:
		number = 9999
	case noCA:
		ca = "missing"
	case garbageCA:
		ca = "garbage"
	case cleartext:
		protocol, validate = "h2c", true
	case noDelegation:
		ca = "private/ca"
	case refusedCluster:
		subject = []string{refusedText, subject[0]}
	case wrongName:
		subject = []string{"nobody.test"}
	case wrongProtocol:
		protocol = "sctp"
	case plaintextService:
		service, protocol, validate = "s0", "tls", true
	default:
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  - permitInsecure: %v\n", s.insecure)
	if s.defect == brokenTimeout {
		b.WriteString("    timeoutPolicy: {response: soon}\n")
	}
	version := fmt.Sprint(s.header)
	if s.defect == refusedRoute {
		version = refusedText
	}
	fmt.Fprintf(&b, "    responseHeadersPolicy: {set: [{name: X-Version, value: %q}]}\n", version)
	fmt.Fprintf(&b, "    services:\n    - name: %s\n      port: %d\n", service, number)
	if protocol != "" {
		fmt.Fprintf(&b, "      protocol: %s\n", protocol)
	}
	if validate {
		fmt.Fprintf(&b, "      validation:\n        caSecret: %s\n        subjectName: %s\n", ca, subject[0])
		if len(subject) > 1 {
			fmt.Fprintf(&b, "        subjectNames: [%s]\n", strings.Join(subject, ", "))
		}
	}
	return b.String()
}
