package gateways

import (
	"fmt"
	"time"

	"github.com/signetproxy/signet/test/load"
)

// Kind is one kind of change: a state that goes back and forth between an even
// and an odd form.
type Kind struct {
	// Name of the change; Back is that of the change to an even form, where it is
	// a kind of its own.
	Name, Back string

	// begin makes what the forms need; it may be nil.
	begin func(s *Stage) error
	// ready makes a version ready to be written.
	ready func(s *Stage, version int) (write, error)
	// asks are the load's requests; the first is asked for a change to show.
	asks func(s *Stage) []ask
}

// write makes a change and returns the time from which on it counts.
type write func() (time.Time, error)

// Kinds are all kinds of change.
func Kinds() []Kind {
	return []Kind{
		{Name: "rules of an HTTPRoute swapped", ready: rulesSwapped, asks: rulesAsked},
		{Name: "backend of a rule switched", ready: backendSwitched, asks: backendAsked},
		{Name: "BackendTLSPolicy added", Back: "BackendTLSPolicy removed", ready: policyToggled, asks: policyAsked},
		{Name: "hostname of a BackendTLSPolicy changed", ready: hostnameChanged, asks: hostnameAsked},
		{Name: "content of the CA's ConfigMap rotated", begin: oneBundle, ready: contentRotated, asks: bundlesAsked},
		{Name: "caCertificateRefs switched to another ConfigMap", ready: refSwitched, asks: refAsked},
		{Name: "caCertificateRefs of three Services switched", ready: refsSwitched, asks: bundlesAsked},
		{Name: "certificate of the listener rotated", ready: certificateRotated, asks: certificateAsked},
	}
}

// either returns the form of a version.
func either[T any](version int, even, odd T) T {
	if version%2 == 0 {
		return even
	}
	return odd
}

// by is what an answer of a backend shows, whose policy has its own name.
func by(backend string, version ...int) shown {
	out := shown{Backend: backend, SNI: name(backend)}
	for _, v := range version {
		out.Version = fmt.Sprintf("v%d", v)
	}
	return out
}

// always is an ask whose answer no change may touch.
func always(r load.Request, want shown) ask {
	return ask{request: r, want: func(int) shown { return want }}
}

// neighbour is the route that no change is about.
func neighbour() ask { return always(load.Request{Host: host(still)}, by(still)) }

func (s *Stage) file(name, content string) write {
	return func() (time.Time, error) { return s.manifests.Write(name, content) }
}

// rulesSwapped swaps two rules that are equal in precedence: whoever has both
// headers is the first's.
func rulesSwapped(s *Stage, v int) (write, error) {
	one, two := forward("", "x-first", first, v), forward("", "x-second", second, v)
	return s.file("gateway-rules", either(v, route("rules", one, two), route("rules", two, one))), nil
}

func rulesAsked(*Stage) []ask {
	with := func(headers ...string) load.Request {
		r := load.Request{Host: host("rules"), Header: map[string][]string{}}
		for _, h := range headers {
			r.Header.Set(h, "set")
		}
		return r
	}
	return []ask{
		{request: with("x-first", "x-second"), want: func(v int) shown { return by(either(v, first, second), v) }},
		{request: with("x-first"), want: func(v int) shown { return by(first, v) }},
		{request: with("x-second"), want: func(v int) shown { return by(second, v) }},
		neighbour(),
	}
}

// backendSwitched goes between two Services, each with a policy, a name and a
// CA of its own.
func backendSwitched(s *Stage, v int) (write, error) {
	return s.file("gateway-switch", route("switch", forward("", "", either(v, first, second), v))), nil
}

func backendAsked(*Stage) []ask {
	moving := ask{request: load.Request{Host: host("switch")}, want: func(v int) shown { return by(either(v, first, second), v) }}
	return []ask{moving, moving, moving, neighbour()}
}

// policyToggled adds and removes the policy of a backend that speaks TLS alone:
// without it nobody is served.
func policyToggled(s *Stage, v int) (write, error) {
	switch {
	case v == 0:
		return func() (time.Time, error) { return time.Now(), nil }, nil
	case v%2 == 0:
		return func() (time.Time, error) { return s.manifests.Remove("gateway-policy-bare") }, nil
	}
	return s.file("gateway-policy-bare", policy(bare, name(bare), "trust-x", bare)), nil
}

func policyAsked(*Stage) []ask {
	ruled := ask{request: load.Request{Host: host(bare)}, want: func(v int) shown { return either(v, shown{}, by(bare)) }}
	return []ask{ruled, ruled, ruled, neighbour()}
}

// hostnameChanged goes between two names of the backend's certificate.
func hostnameChanged(s *Stage, v int) (write, error) {
	return s.file("gateway-policy-named", policy(named, either(v, name(named), otherName), "trust-x", named)), nil
}

func hostnameAsked(*Stage) []ask {
	moving := ask{request: load.Request{Host: host(named)}, want: func(v int) shown {
		return either(v, by(named), shown{Backend: named, SNI: otherName})
	}}
	return []ask{moving, moving, moving, neighbour()}
}

// oneBundle has the three backends of the bundles trust one ConfigMap.
func oneBundle(s *Stage) error {
	_, err := s.manifests.Write("gateway-policy-bundles", policy("bundles", otherName, "trust-turning", common, onlyA, onlyB))
	return err
}

// contentRotated goes between two bundles that have one authority in common.
func contentRotated(s *Stage, v int) (write, error) {
	return s.file("gateway-turning", s.bundle("trust-turning", "x", either(v, "a", "b"))), nil
}

// refSwitched goes between two ConfigMaps, of which one verifies the backend.
func refSwitched(s *Stage, v int) (write, error) {
	return s.file("gateway-policy-named", policy(named, name(named), either(v, "trust-x", "trust-a"), named)), nil
}

func refAsked(*Stage) []ask {
	verified := ask{request: load.Request{Host: host(named)}, handshake: true, want: func(v int) shown { return either(v, by(named), shown{}) }}
	return []ask{verified, neighbour(), neighbour(), neighbour()}
}

// refsSwitched goes between two ConfigMaps, with the same bundles, and has three
// clusters made.
func refsSwitched(s *Stage, v int) (write, error) {
	return s.file("gateway-policy-bundles",
		policy("bundles", otherName, either(v, "trust-even", "trust-odd"), common, onlyA, onlyB)), nil
}

// bundlesAsked asks a backend that both bundles verify, and two that only one
// does: once the other bundle is seen, no new connection is verified by the one
// before. Each of these requests has a handshake of its own, so half of all go
// elsewhere.
func bundlesAsked(*Stage) []ask {
	request := func(path string) load.Request { return load.Request{Host: host("bundles"), Path: path} }
	served := func(backend string) shown { return shown{Backend: backend, SNI: otherName} }
	kept := always(request("/common"), served(common))
	return []ask{
		{request: request("/b"), handshake: true, want: func(v int) shown { return either(v, shown{}, served(onlyB)) }},
		{request: request("/a"), handshake: true, want: func(v int) shown { return either(v, served(onlyA), shown{}) }},
		kept, neighbour(), neighbour(), neighbour(),
	}
}

// certificateRotated gives the listener another certificate.
func certificateRotated(s *Stage, v int) (write, error) {
	doc, serial, err := s.certificate()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serials = append(s.serials[:v], serial)
	return s.file("gateway-certificate", doc), nil
}

// certificateAsked asks over kept connections, which keep the certificate that
// they began with, and some over new ones.
func certificateAsked(s *Stage) []ask {
	anew := ask{request: load.Request{Host: host(still), TLS: true, Fresh: true}, leaf: true, want: func(v int) shown {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := by(still)
		out.Leaf = s.serials[v]
		return out
	}}
	kept := always(load.Request{Host: host(still), TLS: true}, by(still))
	return []ask{anew, kept, kept, kept, kept, kept, kept, neighbour()}
}
