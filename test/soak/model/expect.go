package model

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// form is what a host answers.
type form int

const (
	absent   form = iota // no such host: 404, and no handshake
	closed               // any answer without a backend
	redirect             // to HTTPS
	serve                // by a backend
)

// outcome is what one version of the world says of a request.
type outcome struct {
	form form
	// handshake says that the TLS handshake fails.
	handshake bool
	// certificate is the fingerprint of what the host presents over TLS.
	certificate string
	// The rest is of serve.
	ports []int
	http2 bool
	tls   bool
	// verify says that the backend must prove one of the names, the first of
	// which is the SNI, by an authority of the bundle.
	verify bool
	names  []string
	bundle key
	client key
}

// expect reads a request in one view.
func expect(v *view, fleet *Fleet, a *Answer) outcome {
	claimants := claim(v, fleet.Namespace, a.Host)
	if len(claimants) == 0 {
		if _, parent, ok := strings.Cut(a.Host, "."); ok {
			claimants = claim(v, fleet.Namespace, "*."+parent)
		}
	}
	switch len(claimants) {
	case 0:
		return outcome{form: absent, handshake: a.HTTPS}
	case 1:
	default:
		return outcome{form: closed, handshake: a.HTTPS}
	}
	root := claimants[0]
	tls := root.Spec.VirtualHost.TLS
	out := pick(v, fleet, root, a.Path, "")
	if !a.HTTPS {
		if tls != nil && !out.insecure {
			return outcome{form: redirect}
		}
		return out.outcome
	}
	if tls == nil {
		return outcome{form: absent, handshake: true}
	}
	secret := v.get(key{"Secret", fleet.Namespace, tls.SecretName})
	if secret == nil {
		return outcome{form: closed, handshake: true}
	}
	certificate, ok := secret.pair()
	if !ok {
		return outcome{form: closed, handshake: true}
	}
	out.outcome.certificate = certificate
	return out.outcome
}

func claim(v *view, namespace, host string) []*object {
	var out []*object
	for _, k := range v.w.hosts[[2]string{namespace, host}] {
		if o := v.get(k); o != nil && o.Spec.VirtualHost != nil && o.Spec.VirtualHost.Fqdn == host {
			out = append(out, o)
		}
	}
	return out
}

// routed is the outcome of a route.
type routed struct {
	outcome

	prefix   string
	insecure bool
}

// pick finds the route with the longest prefix, in an object and what it
// includes. An include answers for its prefix even where it is lost.
func pick(v *view, fleet *Fleet, o *object, path, below string) routed {
	if o.shut {
		return routed{form: closed, prefix: join(below, "/"), insecure: o.Spec.Routes[0].PermitInsecure}
	}
	best := routed{form: absent}
	better := func(prefix string) bool { return under(path, prefix) && len(prefix) > len(best.prefix) }
	for i := range o.Spec.Includes {
		in := &o.Spec.Includes[i]
		prefix := join(below, prefixOf(in.Conditions))
		if !better(prefix) {
			continue
		}
		namespace := in.Namespace
		if namespace == "" {
			namespace = o.Metadata.Namespace
		}
		child := v.get(key{"HTTPProxy", namespace, in.Name})
		if child == nil || child.Spec.VirtualHost != nil {
			best = routed{form: closed, prefix: prefix}
			continue
		}
		if r := pick(v, fleet, child, path, prefix); r.prefix != "" {
			best = r
		}
	}
	for i := range o.Spec.Routes {
		r := &o.Spec.Routes[i]
		if prefix := join(below, prefixOf(r.Conditions)); better(prefix) || under(path, prefix) && prefix == best.prefix {
			best = routed{outcome: forward(v, fleet, o.Metadata.Namespace, r), prefix: prefix, insecure: r.PermitInsecure}
		}
	}
	return best
}

func join(below, prefix string) string {
	if below == "" || below == "/" {
		return prefix
	}
	if prefix == "/" {
		return below
	}
	return below + prefix
}

// forward follows a route of one service.
func forward(v *view, fleet *Fleet, namespace string, r *route) outcome {
	shut := outcome{form: closed}
	if t := r.TimeoutPolicy; t != nil && t.Response != "" {
		if _, err := time.ParseDuration(t.Response); err != nil {
			return shut
		}
	}
	if len(r.Services) != 1 {
		return shut
	}
	s := &r.Services[0]
	o := v.get(key{"Service", namespace, s.Name})
	if o == nil {
		return shut
	}
	port := ""
	for _, p := range o.Spec.Ports {
		if p.Port == s.Port {
			port = p.Name
		}
	}
	if port == "" {
		return shut
	}
	out := outcome{form: serve}
	protocol := s.Protocol
	if protocol == "" {
		protocol = annotated(o, port, s.Port)
	}
	switch protocol {
	case "":
	case "h2c":
		out.http2 = true
	case "tls":
		out.tls = true
	case "h2":
		out.tls, out.http2 = true, true
	default:
		return shut
	}
	if s.Validation != nil && !out.validate(v, namespace, s) {
		return shut
	}
	if out.tls && fleet.ClientCertificate != "" {
		ns, name, _ := strings.Cut(fleet.ClientCertificate, "/")
		out.client = key{"Secret", ns, name}
		secret := v.get(out.client)
		if secret == nil {
			return shut
		}
		if _, ok := secret.pair(); !ok {
			return shut
		}
	}
	for _, k := range v.w.slices[[2]string{namespace, s.Name}] {
		slice := v.get(k)
		if slice == nil || len(slice.Endpoints) == 0 {
			continue
		}
		for _, p := range slice.Ports {
			if p.Name == port {
				out.ports = append(out.ports, p.Port)
			}
		}
	}
	return out
}

// annotated returns the protocol that a Service's annotations give a port.
func annotated(o *object, name string, number int) string {
	for _, protocol := range [...]string{"tls", "h2", "h2c"} {
		for p := range strings.SplitSeq(o.Metadata.Annotations["projectcontour.io/upstream-protocol."+protocol], ",") {
			if p = strings.TrimSpace(p); p != "" && (p == name || p == strconv.Itoa(number)) {
				return protocol
			}
		}
	}
	return ""
}

// validate reads what the backend must prove; false when that cannot be asked.
func (out *outcome) validate(v *view, namespace string, s *service) bool {
	x := s.Validation
	if !out.tls || x.CASecret == "" || x.SubjectName == "" {
		return false
	}
	from, name, other := strings.Cut(x.CASecret, "/")
	if !other {
		from, name = namespace, x.CASecret
	}
	if from != namespace && !slices.ContainsFunc(v.w.delegations[from], func(k key) bool {
		d := v.get(k)
		return d != nil && d.delegates(name, namespace)
	}) {
		return false
	}
	out.bundle = key{"Secret", from, name}
	secret := v.get(out.bundle)
	if secret == nil {
		return false
	}
	if _, ok := secret.bundle(); !ok {
		return false
	}
	out.verify, out.names = true, []string{x.SubjectName}
	for _, n := range x.SubjectNames {
		if n != x.SubjectName {
			out.names = append(out.names, n)
		}
	}
	return true
}
