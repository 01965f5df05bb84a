package quarantine

import (
	"fmt"
	"testing"
	"testing/synctest"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

// stage is a quarantine that steps when the test says so, beside a translator
// that runs, in a bubble. Its fleet serves one host with some routes.
type stage struct {
	t  *testing.T
	q  *Quarantine
	tr *translator.Translator
	// changed is the last revision that changed the fleet.
	changed uint64
}

var staged = ir.Name{Namespace: "a", Name: "web"}

func newStage(t *testing.T, o Options, says ...string) *stage {
	t.Helper()
	s := &stage{t: t, q: New(o), tr: translator.New()}
	go func() { _ = s.tr.Run(t.Context(), s.publish) }()
	s.serve(fleet, 8080)
	s.set(says...)
	return s
}

func (s *stage) publish(rev *graph.Revision) {
	u := &xds.Update{Revision: rev.Number()}
	for _, c := range s.tr.Changed(rev) {
		u.Fleets = append(u.Fleets, xds.FleetUpdate{Fleet: c.Fleet})
		if c.Fleet == fleet {
			s.changed = rev.Number()
		}
	}
	s.q.Committed(u)
}

// serve makes a fleet, or moves it to another port.
func (s *stage) serve(name ir.Name, port uint32) {
	s.commit(func(c *graph.Changes) {
		s.tr.Fleets.Put(c, name, &translator.FleetSpec{
			Name: name, Selector: httpproxy.Selector{Fleet: fleet},
			Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: port}},
		})
	})
}

// set makes each route of the host say something.
func (s *stage) set(says ...string) {
	p := &contourv1.HTTPProxy{}
	p.Namespace, p.Name = staged.Namespace, staged.Name
	p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "web.test"}
	for i, body := range says {
		p.Generation++
		p.Spec.Routes = append(p.Spec.Routes, contourv1.Route{
			Conditions:           []contourv1.MatchCondition{{Prefix: fmt.Sprint("/", i)}},
			DirectResponsePolicy: &contourv1.HTTPDirectResponsePolicy{StatusCode: 200, Body: body},
		})
	}
	s.commit(func(c *graph.Changes) { s.tr.Proxies.Put(c, staged, p) })
}

func (s *stage) commit(put func(*graph.Changes)) {
	c := graph.NewChanges()
	put(c)
	s.tr.Submit(c)
	synctest.Wait()
}

// step lets the quarantine look as often as it was woken.
func (s *stage) step() {
	for synctest.Wait(); len(s.q.wake) > 0; synctest.Wait() {
		<-s.q.wake
		s.q.step(s.tr)
	}
}

// scope is what is served of the host.
func (s *stage) scope() *envoy.Resource {
	s.t.Helper()
	for of, x := range s.tr.Resources(s.tr.Current()) {
		if of == fleet && x.Type == envoy.ScopeType && x.Name != envoy.FallbackScopeID("http") {
			return x
		}
	}
	s.t.Fatal("the host is not served")
	return nil
}

// probe is what is asked about the host; nil for nothing.
func (s *stage) probe() *envoy.Resource {
	s.t.Helper()
	x := s.scope()
	probe, _ := s.tr.Probes.Get(s.tr.Current().Reader(), translator.RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name})
	return probe
}

// refuse says that an Envoy refuses what is served of the host.
func (s *stage) refuse(lastGood *envoy.Resource) {
	s.t.Helper()
	x := s.scope()
	s.q.OnNack(xds.Nack{
		Fleet: fleet, Type: x.Type, Resources: []*envoy.Resource{x}, LastGood: []*envoy.Resource{lastGood}, Message: "no",
	})
}

// take says that an Envoy has acknowledged all that changed the fleet.
func (s *stage) take() { s.q.OnAck(xds.Ack{Fleet: fleet, Revision: s.changed}) }
