package soak

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/soak/model"
	"github.com/signetproxy/signet/test/world"
)

// operation is one kind of change.
type operation struct {
	name   string
	weight int
	do     func(*soak, context.Context, *fleet) error
}

// operations are all kinds. Each draws from the soak's source of chance alone,
// and from what the soak has itself done: never from how it went.
var operations = []operation{
	{"host moved to another service", 10, (*soak).moveHost},
	{"host changed", 8, (*soak).changeHost},
	{"host added or removed", 6, (*soak).toggleHost},
	{"TLS of a host on or off", 4, (*soak).toggleTLS},
	{"host broken", 12, (*soak).breakHost},
	{"host that Envoy refuses", 5, (*soak).refuseHost},
	{"something mended", 30, (*soak).mend},
	{"endpoints changed", 10, (*soak).changeEndpoints},
	{"service removed", 2, (*soak).removeService},
	{"annotation of a service changed", 3, (*soak).changeService},
	{"authority of the backends rotated, one step", 5, (*soak).rotateSigner},
	{"certificates of the backends rotated", 2, (*soak).rotateBackends},
	{"trust withdrawn", 2, (*soak).withdrawTrust},
	{"delegation withdrawn", 2, (*soak).withdrawDelegation},
	{"certificate of a host rotated", 4, (*soak).rotateHost},
	{"client certificate rotated", 3, (*soak).rotateClient},
	{"identities of xDS rotated", 2, (*soak).rotateIdentities},
	{"authority of xDS rotated, one step", 2, (*soak).rotateAuthority},
	{"control plane killed", 3, (*soak).killControlPlane},
	{"Envoy killed", 2, (*soak).killEnvoy},
	{"Envoy added or ended", 2, (*soak).scaleEnvoys},
	{"many at once", 3, (*soak).burst},
}

// pick draws an operation. A run begins with each kind once, in any order.
func (s *soak) pick() *operation {
	if len(s.first) > 0 {
		op := &operations[s.first[0]]
		s.first = s.first[1:]
		return op
	}
	total := 0
	for i := range operations {
		total += operations[i].weight
	}
	n := s.chance.IntN(total)
	for i := range operations {
		if n -= operations[i].weight; n < 0 {
			return &operations[i]
		}
	}
	return &operations[0]
}

// writeHost writes the file of a host as its slot says.
func (s *soak) writeHost(f *fleet, i int) error {
	h, file := &f.slots[i], fmt.Sprintf("%s-host-%d.yaml", f.name, i)
	if !h.present {
		return s.remove(file)
	}
	s.written[file] = true
	s.files = append(s.files, file)
	return s.estate.write(model.Change{Why: s.doing, File: file, Content: h.render(f.name, i), Invalid: h.invalid(), Refused: h.refused()})
}

// aim gives a slot a service, and a protocol and validation that fit it.
func (s *soak) aim(h *slot) {
	h.to, h.child = s.chance.IntN(services), s.chance.IntN(services)
	h.protocol = []string{"tls", "h2", "h2c", ""}[s.chance.IntN(4)]
	to, child := class(h.to%int(classes)), class(h.child%int(classes))
	if to != plain || child != plain {
		h.protocol = []string{"tls", "h2"}[s.chance.IntN(2)]
	}
	h.validate = to == strict || child == strict || s.chance.IntN(3) > 0
	h.subject = [][]string{{subject}, {subject, "other.test"}}[s.chance.IntN(2)]
	h.ca = []string{"ca", "trust/ca"}[s.chance.IntN(2)]
}

func (s *soak) moveHost(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	h := &f.slots[i]
	s.aim(h)
	h.present, h.defect = true, none
	return s.writeHost(f, i)
}

func (s *soak) changeHost(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	h := &f.slots[i]
	h.header++
	switch s.chance.IntN(4) {
	case 0:
		h.include = !h.include
	case 1:
		h.insecure = !h.insecure
	case 2:
		h.ownChain = !h.ownChain
	}
	if !h.present {
		return nil
	}
	return s.writeHost(f, i)
}

func (s *soak) toggleHost(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	f.slots[i].present = !f.slots[i].present
	return s.writeHost(f, i)
}

func (s *soak) toggleTLS(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	h := &f.slots[i]
	if !h.tls || !h.present {
		return nil
	}
	h.https = !h.https
	return s.writeHost(f, i)
}

func (s *soak) breakHost(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	h := &f.slots[i]
	h.defect = defects[s.chance.IntN(len(defects))]
	if h.defect == noChild {
		h.include = true
	}
	if (h.defect == noCertificate || h.defect == brokenPair) && h.tls {
		h.https = true
	}
	h.present = true
	return s.writeHost(f, i)
}

func (s *soak) refuseHost(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	h := &f.slots[i]
	s.aim(h)
	h.defect = []defect{refusedRoute, refusedCluster}[s.chance.IntN(2)]
	if h.defect == refusedCluster {
		h.to, h.validate, h.protocol = 1, true, "tls"
	}
	h.present = true
	h.header++
	return s.writeHost(f, i)
}

// mend repairs the first thing that is wrong with a fleet.
func (s *soak) mend(_ context.Context, f *fleet) error {
	if f.withdrawn {
		f.withdrawn = false
		return s.writeTrust()
	}
	if s.undelegated {
		s.undelegated = false
		return s.writeDelegation()
	}
	for j := range services {
		if f.missing[j] {
			f.missing[j] = false
			return s.writeService(f, j)
		}
		if f.poor[j] {
			f.poor[j], f.endpoints[j] = false, good(j)
			return s.writeEndpoints(f, j)
		}
	}
	for i := range f.slots {
		if h := &f.slots[i]; !h.present || h.defect != none {
			h.present, h.defect = true, none
			return s.writeHost(f, i)
		}
	}
	return nil
}

// good are the backends of a service that serve.
func good(j int) []string {
	if class(j%int(classes)) == plain {
		return cleartextBackends
	}
	return tlsBackends
}

func (s *soak) writeEndpoints(f *fleet, j int) error {
	list := make([]*backend.Backend, len(f.endpoints[j]))
	for i, name := range f.endpoints[j] {
		list[i] = s.estate.backends[name]
	}
	content := world.Endpoints(f.name, fmt.Sprint("s", j), list...)
	return s.write(fmt.Sprintf("%s-endpoints-%d.yaml", f.name, j), content)
}

func (s *soak) changeEndpoints(_ context.Context, f *fleet) error {
	j := s.chance.IntN(services)
	list := slices.Clone(good(j))
	s.chance.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	list = list[:1+s.chance.IntN(len(list))]
	f.poor[j] = false
	switch s.chance.IntN(8) {
	case 0:
		list, f.poor[j] = nil, true
	case 1:
		f.poor[j] = true
		switch class(j % int(classes)) {
		case strict:
			list = append(list, traps[s.chance.IntN(len(traps))])
		case loose:
			list = append(list, traps[0])
		default:
		}
	}
	f.endpoints[j] = list
	return s.writeEndpoints(f, j)
}

func (s *soak) writeService(f *fleet, j int) error {
	file := fmt.Sprintf("%s-service-%d.yaml", f.name, j)
	if f.missing[j] {
		return s.remove(file)
	}
	var annotations map[string]string
	if a := f.annotation[j]; a != "" {
		annotations = map[string]string{"projectcontour.io/upstream-protocol." + a: "web"}
	}
	return s.write(file, world.Service(f.name, fmt.Sprint("s", j), port, annotations))
}

func (s *soak) removeService(_ context.Context, f *fleet) error {
	j := s.chance.IntN(services)
	f.missing[j] = true
	return s.writeService(f, j)
}

func (s *soak) changeService(_ context.Context, f *fleet) error {
	j := s.chance.IntN(services)
	if class(j%int(classes)) == plain {
		f.annotation[j] = []string{"", "h2c"}[s.chance.IntN(2)]
	} else {
		f.annotation[j] = []string{"", "tls", "h2"}[s.chance.IntN(3)]
	}
	if f.missing[j] {
		return nil
	}
	return s.writeService(f, j)
}

// writeTrust writes the bundles of all fleets and the shared one.
func (s *soak) writeTrust() error {
	pem := func(withdrawn bool) [][]byte {
		if withdrawn {
			return [][]byte{s.estate.hosts.PEM()}
		}
		var out [][]byte
		for _, a := range s.estate.signers[s.oldest:] {
			out = append(out, a.PEM())
		}
		return out
	}
	for _, f := range s.fleets {
		if err := s.write(f.name+"-ca.yaml", world.CA(f.name, "ca", pem(f.withdrawn)...)); err != nil {
			return err
		}
	}
	return s.write("trust-ca.yaml", world.CA("trust", "ca", pem(false)...))
}

// rotateSigner takes the next step of replacing the authority of the backends:
// trust both, present the new one's, trust it alone. Each waits for the one
// before to be in force.
func (s *soak) rotateSigner(ctx context.Context, _ *fleet) error {
	switch s.phase {
	case 0:
		if err := s.estate.newSigner(); err != nil {
			return err
		}
		// The new one does not sign yet.
		s.phase = 1
		return s.writeTrust()
	case 1:
		if err := s.mustSettle(ctx); err != nil {
			return err
		}
		s.phase = 2
		return s.estate.present()
	default:
		s.phase, s.oldest = 0, len(s.estate.signers)-1
		return s.writeTrust()
	}
}

func (s *soak) rotateBackends(_ context.Context, _ *fleet) error {
	if s.phase == 1 {
		return nil // the newest authority may not be trusted yet
	}
	return s.estate.present()
}

func (s *soak) withdrawTrust(_ context.Context, f *fleet) error {
	f.withdrawn = true
	return s.writeTrust()
}

func (s *soak) withdrawDelegation(_ context.Context, _ *fleet) error {
	s.undelegated = true
	return s.writeDelegation()
}

func (s *soak) writeDelegation() error {
	to := "[" + strings.Join(fleets, ", ") + "]"
	if s.undelegated {
		to = "[elsewhere]"
	}
	return s.write("trust-delegation.yaml", `apiVersion: projectcontour.io/v1
kind: TLSCertificateDelegation
metadata: {name: d, namespace: trust}
spec:
  delegations:
  - secretName: ca
    targetNamespaces: `+to+"\n")
}

func (s *soak) rotateHost(_ context.Context, f *fleet) error {
	i := s.chance.IntN(hosts)
	if !f.slots[i].tls {
		return nil
	}
	return s.writeCertificate(f, i)
}

func (s *soak) writeCertificate(f *fleet, i int) error {
	content, err := s.estate.tlsSecret(f.name, fmt.Sprint("t", i), s.estate.hosts, pki.Leaf{DNS: []string{f.slots[i].domain(f.name, i)}})
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("%s-certificate-%d.yaml", f.name, i), content)
}

func (s *soak) rotateClient(_ context.Context, f *fleet) error {
	content, err := s.estate.tlsSecret(f.name, "client", s.estate.clients, pki.Leaf{CommonName: "fleet " + f.name})
	if err != nil {
		return err
	}
	return s.write(f.name+"-client.yaml", content)
}

func (s *soak) rotateIdentities(context.Context, *fleet) error { return s.identities.Rotate() }

func (s *soak) rotateAuthority(ctx context.Context, _ *fleet) error {
	// Every Envoy must know the newest trust before another authority signs.
	if err := s.mustSettle(ctx); err != nil {
		return err
	}
	return s.identities.RotateAuthority()
}

// burst makes several changes without waiting for any.
func (s *soak) burst(ctx context.Context, f *fleet) error {
	many := []func(*soak, context.Context, *fleet) error{
		(*soak).moveHost, (*soak).changeHost, (*soak).changeEndpoints, (*soak).mend, (*soak).rotateHost, (*soak).changeService,
	}
	for range 4 + s.chance.IntN(5) {
		if err := many[s.chance.IntN(len(many))](s, ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) write(file, content string) error {
	s.written[file] = true
	s.files = append(s.files, file)
	return s.estate.write(model.Change{Why: s.doing, File: file, Content: content})
}

// remove removes a file that is there.
func (s *soak) remove(file string) error {
	if !s.written[file] {
		return nil
	}
	delete(s.written, file)
	s.files = append(s.files, "no "+file)
	return s.estate.remove(s.doing, file)
}

// writeFixed writes what never changes, and is never good.
func (s *soak) writeFixed() error {
	for _, f := range s.fleets {
		broken, err := s.estate.tlsSecret(f.name, "broken-pair", s.estate.hosts, pki.Leaf{DNS: []string{"*.test"}})
		if err != nil {
			return err
		}
		other, err := s.estate.hosts.Issue(pki.Leaf{DNS: []string{"*.test"}})
		if err != nil {
			return err
		}
		_, certificate, _ := strings.Cut(broken, "tls.crt: ")
		certificate, _, _ = strings.Cut(certificate, "\n")
		mixed := world.Secret(f.name, "broken-pair", "kubernetes.io/tls", map[string]string{"tls.crt": "", "tls.key": string(other.KeyPEM)})
		mixed = strings.Replace(mixed, "tls.crt: ", "tls.crt: "+certificate, 1)
		if err := s.write(f.name+"-broken-pair.yaml", mixed); err != nil {
			return err
		}
		if err := s.write(f.name+"-garbage.yaml", world.CA(f.name, "garbage", []byte("no certificate"))); err != nil {
			return err
		}
	}
	return s.write("private-ca.yaml", world.CA("private", "ca", s.estate.signer().PEM()))
}
