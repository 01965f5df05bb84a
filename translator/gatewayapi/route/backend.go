package route

import (
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/policy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

const kindService = "Service"

// Values of a port's appProtocol that Kubernetes defines (KEP-3726).
const (
	appH2C = "kubernetes.io/h2c"
	appWS  = "kubernetes.io/ws"  //nolint:gosec // G101: a protocol
	appWSS = "kubernetes.io/wss" //nolint:gosec // G101: a protocol
)

// speech is what a route speaks to its backends.
type speech struct {
	kind string // of the route
	// http2 is spoken whatever the port says (GRPCRoute).
	http2 bool
	// tcp forwards bytes, udp datagrams.
	tcp, udp bool
}

// failure is the status code for what cannot be reached as asked.
func (s speech) failure() uint32 {
	if s.kind == gatewayapi.KindGRPCRoute {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// reader is a document in the making.
type reader struct {
	objects Objects
	doc     *Document
	speech  speech
	// incompatible counts the rules whose filters cannot stand together.
	incompatible int
}

// backend decides how a backend is reached; a fault says why it cannot be.
func (r *reader) backend(ref *gatewayv1.BackendObjectReference) (*ir.Upstream, *gatewayapi.Fault) {
	return r.reach(ref, !r.speech.udp)
}

// reach is backend, of which policies are left out where they do not rule: what
// is passed on is then encrypted already, or datagrams.
func (r *reader) reach(ref *gatewayv1.BackendObjectReference, ruled bool) (*ir.Upstream, *gatewayapi.Fault) {
	return r.speak(ref, ruled, r.speech.http2)
}

// speak is reach; http2 is spoken whatever the port says.
func (r *reader) speak(ref *gatewayv1.BackendObjectReference, ruled, http2 bool) (*ir.Upstream, *gatewayapi.Fault) {
	service, f := r.service(ref)
	if f != nil {
		return nil, f
	}
	port, f := r.findPort(service, ruled)
	if f != nil {
		return nil, f
	}
	request := upstream.Request{
		Service: service, Transport: &upstream.Transport{HTTP2: http2}, TCP: r.speech.tcp, UDP: r.speech.udp,
		LoadBalancer: ir.LoadBalancer{Policy: ir.RoundRobin},
	}
	app, stream := gatewayapi.Or(port.AppProtocol, ""), r.speech.tcp || r.speech.udp
	request.Transport.HTTP2 = request.Transport.HTTP2 || (app == appH2C && !stream)
	var p *policy.Policy
	if ruled {
		p = r.objects.Policy(service.Name, port)
	}
	switch {
	case http2 && forWebsockets(app):
		return nil, &gatewayapi.Fault{Reason: reason.UnsupportedProtocol, Message: fmt.Sprintf(
			"appProtocol %q of Service %q is HTTP/1.1, and calls need HTTP/2", app, service.Name)}
	case p != nil && p.Fault != nil:
		// Whoever asked for TLS does not get plaintext.
		return nil, &gatewayapi.Fault{Reason: reason.InvalidBackendTLSPolicy, Message: fmt.Sprintf(
			"Service %q: BackendTLSPolicy %q cannot be honoured: %s", service.Name, p.Name, p.Fault.Message)}
	case p != nil:
		request.Transport.TLS, request.Validation = true, p.Validation
	case app == appWSS && !stream:
		return nil, &gatewayapi.Fault{Reason: reason.UnsupportedProtocol, Message: fmt.Sprintf(
			"appProtocol %q of Service %q needs a BackendTLSPolicy", app, service.Name)}
	}
	u, problem := upstream.Decide(r.objects, request)
	if problem != nil {
		return nil, &gatewayapi.Fault{Reason: problem.Reason, Message: problem.Message}
	}
	return u, nil
}

func forWebsockets(app string) bool { return app == appWS || app == appWSS }

// findPort finds what a reference leads to, and notes it.
func (r *reader) findPort(service ir.ServicePort, ruled bool) (*corev1.ServicePort, *gatewayapi.Fault) {
	svc, ok := r.objects.Service(service.Name)
	if !ok || svc == nil {
		r.uses(ruled, policy.Target{Service: service.Name})
		return nil, &gatewayapi.Fault{Reason: reason.BackendNotFound, Message: reason.FormatServiceNotFound.With(service.Name)}
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil, &gatewayapi.Fault{Reason: reason.ExternalNameNotAllowed,
			Message: fmt.Sprintf("Service %q is of type ExternalName, which routes of the Gateway API do not reach", service.Name)}
	}
	port := r.port(svc, service.Port)
	if port == nil {
		r.uses(ruled, policy.Target{Service: service.Name})
		return nil, &gatewayapi.Fault{Reason: reason.BackendNotFound, Message: reason.FormatPortNotFound.With(service.Port, service.Name)}
	}
	r.uses(ruled, policy.Target{Service: service.Name, Section: port.Name})
	return port, nil
}

// service follows a reference to a Service port. Whether it may be followed is
// judged before whether it exists.
func (r *reader) service(ref *gatewayv1.BackendObjectReference) (ir.ServicePort, *gatewayapi.Fault) {
	group, kind := string(gatewayapi.Or(ref.Group, "")), string(gatewayapi.Or(ref.Kind, kindService))
	own := r.doc.Ref.Namespace
	name := ir.Name{Namespace: string(gatewayapi.Or(ref.Namespace, gatewayv1.Namespace(own))), Name: string(ref.Name)}
	switch {
	case (group != "" && group != "core") || kind != kindService:
		return ir.ServicePort{}, &gatewayapi.Fault{Reason: reason.InvalidKind,
			Message: fmt.Sprintf("kind %q of group %q is not supported: name a Service", kind, group)}
	case name.Namespace != own && !r.objects.Granted(gatewayapi.Grant{
		FromKind: r.speech.kind, From: own, Kind: kindService, Namespace: name.Namespace, Name: name.Name,
	}):
		return ir.ServicePort{}, &gatewayapi.Fault{Reason: reason.RefNotPermitted, Message: fmt.Sprintf(
			"Service %q may not be referred to: a ReferenceGrant in namespace %q must name it, and %s of namespace %q",
			name, name.Namespace, r.speech.kind, own)}
	case ref.Port == nil:
		return ir.ServicePort{}, &gatewayapi.Fault{Reason: reason.BackendNotFound,
			Message: fmt.Sprintf("Service %q: port is required", name)}
	}
	return ir.ServicePort{Name: name, Port: *ref.Port}, nil
}

// port finds a port by number, among those of the route's transport.
func (r *reader) port(svc *corev1.Service, number int32) *corev1.ServicePort {
	want := corev1.ProtocolTCP
	if r.speech.udp {
		want = corev1.ProtocolUDP
	}
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; p.Port == number && upstream.ProtocolOf(p) == want {
			return p
		}
	}
	return nil
}

// uses notes a target whose policies count, or cannot, as with UDP.
func (r *reader) uses(ruled bool, t policy.Target) {
	if (ruled || r.speech.udp) && !slices.Contains(r.doc.Services, t) {
		r.doc.Services = append(r.doc.Services, t)
	}
}

// failRef keeps the first fault of a reference.
func (r *reader) failRef(where string, f *gatewayapi.Fault) {
	if r.doc.RefsFault == nil {
		r.doc.RefsFault = &gatewayapi.Fault{Reason: f.Reason, Message: where + ": " + f.Message}
	}
}
