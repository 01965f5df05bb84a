package upstream

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// Decide answers what a route asks of one Service port. The result holds all
// but the fleet's part, which Finish adds. Until it is shared the caller may
// set the fields that no rule looks at: ConnectTimeout and IdleTimeout.
//
// The first rule that objects gives the Problem; the route then must not be
// served by this backend in any other way.
func Decide(o Objects, r Request) (*ir.Upstream, *Problem) {
	d := draft{objects: o, request: &r, out: &ir.Upstream{
		Service:      r.Service,
		LoadBalancer: r.LoadBalancer,
		HealthCheck:  r.HealthCheck,
		SlowStart:    r.SlowStart,
	}}
	for _, rule := range rules {
		if p := rule(&d); p != nil {
			return nil, p
		}
	}
	return d.out, nil
}

// rules in order: what later ones need is settled by earlier ones, and of
// several faults the one that a user must mend first is reported.
var rules = [...]rule{
	findService,       // nothing can be said of a Service that is not there
	findPort,          // EndpointSlices and annotations go by the port
	findHealthPort,    // a check of a port that does not exist never succeeds
	refuseOwnHost,     // an ExternalName must not reach Envoy's own host
	chooseProtocol,    // the route's word, else the Service's
	limitConnections,  // the Service's word alone
	requireTLS,        // a validation on a cleartext port is never dropped
	requireDelegation, // before the CA is looked at: its content is not ours to tell
	requireTrust,      // a CA that can be used, or none at all
	acceptNames,       // without a name any certificate of the CA would do
	chooseSNI,         // after the names: the first one is the last resort
	chooseALPN,        // says HTTP/2 or HTTP/1.1 in the handshake
}

// rule settles one thing about the draft or says why it cannot.
type rule func(*draft) *Problem

// draft is an upstream in the making with what the rules share.
type draft struct {
	objects Objects
	request *Request
	service *corev1.Service
	port    *corev1.ServicePort
	// speaker is who chose the protocol.
	speaker speaker
	out     *ir.Upstream
}
