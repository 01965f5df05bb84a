package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	fleets "github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// patience is how long the status of a changed Gateway waits for the
// acknowledgement, which comes in milliseconds: so there is one write and not two.
const patience = time.Second

// progress is how far a generation of a Gateway has come.
type progress struct {
	generation int64
	// revision holds the generation, since then.
	revision uint64
	since    time.Time
	// programmed says that an Envoy has acknowledged it: that does not become
	// untrue when Envoys come and go. Again says that one before it was.
	programmed, again bool
}

// follow notes the revision that holds a new generation of a Gateway.
func (s *statuses) follow(rev *graph.Revision) {
	t := s.pipeline.Translator()
	for _, c := range graph.ChangesOf(rev, t.GatewayStatuses) {
		if !c.HasNew {
			continue
		}
		generation := generationOf(c.New.Conditions)
		s.mu.Lock()
		before := s.progress[c.Key]
		if before == nil || before.generation != generation {
			s.progress[c.Key] = &progress{
				generation: generation, revision: rev.Number(), since: time.Now(), again: before != nil && before.programmed,
			}
		}
		s.mu.Unlock()
	}
	for _, c := range graph.ChangesOf(rev, t.Gateways) {
		s.mu.Lock()
		switch {
		case !c.HasNew:
			delete(s.progress, c.Key)
		case c.HadOld && c.Old.UID != c.New.UID:
			// Another Gateway of the name, whose Envoys are to come.
			s.progress[c.Key] = &progress{generation: c.New.Generation, revision: rev.Number(), since: time.Now()}
			delete(s.gateways, c.Key) // the addresses were the other's
		}
		s.mu.Unlock()
	}
}

func generationOf(c []metav1.Condition) int64 {
	if len(c) == 0 {
		return 0
	}
	return c[0].ObservedGeneration
}

// OnAck implements xds.Observer: the Gateways that wait for it are looked at.
func (s *statuses) OnAck(a xds.Ack) {
	n, ok := certificate.GatewayOf(a.Fleet)
	if !ok {
		return
	}
	s.mu.Lock()
	p := s.progress[n]
	waits := p != nil && !p.programmed
	s.mu.Unlock()
	if waits {
		s.touch(status.Gateway, n)
	}
}

// OnNack implements xds.Observer.
func (*statuses) OnNack(xds.Nack) {}

// touchWaiting has the Gateways looked at that no Envoy has acknowledged.
func (s *statuses) touchWaiting() {
	s.mu.Lock()
	var waiting []ir.Name
	for n, p := range s.progress {
		if !p.programmed {
			waiting = append(waiting, n)
		}
	}
	s.mu.Unlock()
	for _, n := range waiting {
		s.touch(status.Gateway, n)
	}
}

// gateway is the status of a Gateway: the translation's, with what has become of
// its fleet. Nothing is written before its objects were looked at.
func (s *statuses) gateway(n ir.Name) (*gatewayv1.GatewayStatus, bool) {
	t := s.pipeline.Translator()
	r := t.Current().Reader()
	out, ok := t.GatewayStatuses.Get(r, n)
	g, there := t.Gateways.Get(r, n)
	if !ok || !there {
		return nil, false
	}
	s.mu.Lock()
	o := s.gateways[n]
	s.mu.Unlock()
	if o == nil {
		return nil, false
	}
	exposure, ok := t.Exposures.Get(r, n)
	if !ok || exposure.Fault != nil {
		return &out, true
	}
	out.Conditions = slices.Clone(out.Conditions)
	for _, a := range o.Addresses {
		kind := gatewayv1.AddressType(a.Type)
		out.Addresses = append(out.Addresses, gatewayv1.GatewayStatusAddress{Type: &kind, Value: a.Value})
	}
	c := meta.FindStatusCondition(out.Conditions, string(reason.ConditionProgrammed))
	if c == nil || c.Status != metav1.ConditionTrue {
		return &out, true
	}
	why, message := unprogrammed(o, fleets.AskedAddresses(g))
	if why == "" {
		acknowledged, soon := s.acknowledged(n)
		if soon {
			return nil, false
		}
		if !acknowledged {
			why, message = reason.Pending, "no Envoy of the Gateway has acknowledged the configuration yet"
		}
	}
	if why != "" {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(why), message
	}
	return &out, true
}

// unprogrammed is why the objects of a Gateway do not let it be reached as asked;
// "" when they do.
func unprogrammed(o *fleets.Outcome, asked []string) (reason.Reason, string) {
	if o.Err != nil {
		return reason.ProvisioningFailed, o.Err.Error()
	}
	var has []string
	for _, a := range o.Addresses {
		has = append(has, a.Value)
	}
	for _, a := range asked {
		if !slices.Contains(has, a) {
			return reason.AddressNotUsable, fmt.Sprintf("spec.addresses: the Service did not get %q; it has %s", a, orNone(has))
		}
	}
	if len(has) == 0 {
		return reason.AddressNotAssigned, "the Service of the Gateway has no address yet"
	}
	return "", ""
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "no address"
	}
	return strings.Join(list, ", ")
}

// acknowledged says whether an Envoy has acknowledged the generation of a Gateway,
// and soon, that it is worth a moment's wait.
func (s *statuses) acknowledged(n ir.Name) (is, soon bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress[n]
	if p == nil || p.programmed {
		return true, false
	}
	f, _ := s.xds.Fleet(certificate.GatewayFleet(n))
	for i := range f.Streams {
		p.programmed = p.programmed || f.Streams[i].Acknowledged >= p.revision
	}
	// An Envoy may be another replica's, which had time to see the generation.
	if !p.programmed && time.Since(p.since) >= 2*lookAtEnvoys {
		p.programmed = s.peers.count(certificate.GatewayFleet(n)).Acknowledged > 0
	}
	if !p.programmed {
		p.programmed = s.wasProgrammed(n, p.generation)
	}
	return p.programmed, !p.programmed && p.again && len(f.Streams) > 0 && time.Since(p.since) < patience
}

// wasProgrammed reads what another leader, or this one before it began anew, has
// said of the same generation.
func (s *statuses) wasProgrammed(n ir.Name, generation int64) bool {
	g := &gatewayv1.Gateway{}
	if err := s.options.Reader.Get(context.Background(), client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, g); err != nil {
		return false // it is looked at again
	}
	c := meta.FindStatusCondition(g.Status.Conditions, string(reason.ConditionProgrammed))
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == generation
}
