package upstream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// The words for a protocol in services[].protocol and in the names of the
// upstream-protocol annotations.
const (
	wordTLS = "tls" // HTTP/1.1 over TLS
	wordH2  = "h2"  // HTTP/2 over TLS
	wordH2C = "h2c" // HTTP/2 in cleartext
)

const (
	annotationPrefix = "projectcontour.io/"
	protocolPrefix   = annotationPrefix + "upstream-protocol."
)

// protocolWords in the order of precedence among annotations that name the
// same port. The keys are spelled out so that a look-up costs no allocation.
var protocolWords = [...]struct{ word, annotation string }{
	{wordTLS, protocolPrefix + wordTLS},
	{wordH2C, protocolPrefix + wordH2C},
	{wordH2, protocolPrefix + wordH2},
}

// chooseProtocol asks the route, then the Service's annotations, then the
// port's appProtocol; the first that speaks wins.
func chooseProtocol(d *draft) *Problem {
	word := ""
	if t := d.request.Transport; t != nil {
		word = t.word()
	} else if p := d.request.Protocol; p != nil {
		if *p != wordTLS && *p != wordH2 && *p != wordH2C {
			return &Problem{Reason: reason.UnsupportedProtocol, Type: reason.ServiceError,
				Category: reason.UnsupportedProtocol, Message: reason.FormatProtocol.With(clip(*p))}
		}
		word, d.speaker = *p, speaker{field: true}
	} else if w, key := annotatedProtocol(d.service, d.port); w != "" {
		word, d.speaker = w, speaker{annotation: key}
	} else if a := d.port.AppProtocol; a != nil {
		word, d.speaker = appProtocol(*a), speaker{appProtocol: *a}
	}
	d.out.Protocol = ir.HTTP1
	if word == wordH2 || word == wordH2C {
		d.out.Protocol = ir.HTTP2
	}
	switch {
	case d.request.UDP:
		d.out.Protocol = ir.UDP
		return nil // there is no TLS over datagrams
	case d.request.TCP:
		d.out.Protocol = ir.TCP
	}
	if word == wordTLS || word == wordH2 {
		d.out.TLS = &ir.UpstreamTLS{}
	}
	return nil
}

func (t *Transport) word() string {
	switch {
	case t.TLS && t.HTTP2:
		return wordH2
	case t.TLS:
		return wordTLS
	case t.HTTP2:
		return wordH2C
	default:
		return ""
	}
}

// annotatedProtocol returns the protocol that the upstream-protocol
// annotations give to a port, with the annotation's key. The port's name goes
// before its number.
func annotatedProtocol(svc *corev1.Service, port *corev1.ServicePort) (word, key string) {
	if len(svc.Annotations) == 0 {
		return "", ""
	}
	if port.Name != "" {
		if word, key = annotatedWith(svc, port.Name); word != "" {
			return word, key
		}
	}
	return annotatedWith(svc, strconv.Itoa(int(port.Port)))
}

func annotatedWith(svc *corev1.Service, port string) (word, key string) {
	for _, p := range protocolWords {
		for element := range strings.SplitSeq(svc.Annotations[p.annotation], ",") {
			if strings.TrimSpace(element) == port {
				return p.word, p.annotation
			}
		}
	}
	return "", ""
}

// appProtocol reads the values that Kubernetes defines (KEP-3726) and the IANA
// names of HTTP. Others say nothing about HTTP: they mean HTTP/1.1.
func appProtocol(value string) string {
	switch value {
	case "kubernetes.io/h2c":
		return wordH2C
	case "https", "kubernetes.io/wss":
		return wordTLS
	default: // "http", "kubernetes.io/ws" among them
		return ""
	}
}

// speaker is who chose the protocol: at most one field is set.
type speaker struct {
	field       bool
	annotation  string
	appProtocol string
}

// whyCleartext says for a cleartext port who made it so, and how to get TLS.
func (d *draft) whyCleartext() string {
	set := fmt.Sprintf(`set services[].protocol to "tls" or "h2", or annotate service %q with %s: "%d"`,
		d.request.Service.Name, protocolWords[0].annotation, d.port.Port)
	switch s := d.speaker; {
	case s.field:
		return `services[].protocol "h2c" is cleartext: set it to "h2" or "tls"`
	case s.annotation != "":
		return fmt.Sprintf("annotation %s of service %q makes the port cleartext: %s",
			s.annotation, d.request.Service.Name, set)
	case s.appProtocol != "":
		return fmt.Sprintf("appProtocol %q of the port is cleartext: %s", clip(s.appProtocol), set)
	default:
		return "nothing asks for TLS to this port: " + set
	}
}

// limitConnections takes the circuit breakers from the Service's annotations.
// A value that is no number leaves the default, as in Contour; CheckService
// reports it.
func limitConnections(d *draft) *Problem {
	if len(d.service.Annotations) == 0 {
		return nil
	}
	for _, l := range limits {
		if v, ok := d.service.Annotations[l.annotation]; ok {
			if n, err := strconv.ParseUint(v, 10, 32); err == nil {
				*l.field(&d.out.CircuitBreakers) = uint32(n)
			}
		}
	}
	return nil
}

var limits = [...]struct {
	annotation string
	field      func(*ir.CircuitBreakers) *uint32
}{
	{annotationPrefix + "max-connections", func(c *ir.CircuitBreakers) *uint32 { return &c.MaxConnections }},
	{annotationPrefix + "max-pending-requests", func(c *ir.CircuitBreakers) *uint32 { return &c.MaxPendingRequests }},
	{annotationPrefix + "max-requests", func(c *ir.CircuitBreakers) *uint32 { return &c.MaxRequests }},
	{annotationPrefix + "max-retries", func(c *ir.CircuitBreakers) *uint32 { return &c.MaxRetries }},
	{annotationPrefix + "per-host-max-connections", func(c *ir.CircuitBreakers) *uint32 { return &c.PerHostMaxConnections }},
}

// CheckService returns what Decide passes over in a Service's annotations, in
// a stable order, for warnings: unknown protocols, ports that the Service does
// not have, limits that are no number. None of them stops a route.
func CheckService(svc *corev1.Service) []Problem {
	var out []Problem
	name := ir.Name{Namespace: svc.Namespace, Name: svc.Name}
	warn := func(key, why string) {
		out = append(out, Problem{Reason: reason.AnnotationInvalid, Type: reason.ServiceError,
			Category: reason.AnnotationInvalid,
			Message:  fmt.Sprintf("annotation %s of service %q %s", clip(key), name, why)})
	}
	for key, value := range svc.Annotations {
		switch {
		case !strings.HasPrefix(key, annotationPrefix):
		case isLimit(key):
			if _, err := strconv.ParseUint(value, 10, 32); err != nil {
				warn(key, fmt.Sprintf("is not a number of 0 to 4294967295: %q", clip(value)))
			}
		case isProtocolAnnotation(key):
			for element := range strings.SplitSeq(value, ",") {
				if port := strings.TrimSpace(element); port != "" && !hasPort(svc, port) {
					warn(key, fmt.Sprintf("names no port of it: %q", clip(port)))
				}
			}
		case strings.HasPrefix(key, protocolPrefix):
			warn(key, `is unknown: the protocols are "tls", "h2" and "h2c"`)
		}
	}
	slices.SortFunc(out, func(a, b Problem) int { return strings.Compare(a.Message, b.Message) })
	return out
}

func isLimit(key string) bool {
	for _, l := range limits {
		if l.annotation == key {
			return true
		}
	}
	return false
}

func isProtocolAnnotation(key string) bool {
	for _, p := range protocolWords {
		if p.annotation == key {
			return true
		}
	}
	return false
}

func hasPort(svc *corev1.Service, port string) bool {
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; p.Name == port || strconv.Itoa(int(p.Port)) == port {
			return true
		}
	}
	return false
}
