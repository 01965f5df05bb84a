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
