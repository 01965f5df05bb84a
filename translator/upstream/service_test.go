package upstream_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/signetproxy/signet/translator/upstream"
)

func TestSameService(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Service)
		want   bool
	}{
		"nothing":                                 {func(*corev1.Service) {}, true},
		"a note of somebody else":                 {func(s *corev1.Service) { s.Annotations["example.com/checked"] = "now" }, true},
		"what the API server counts":              {func(s *corev1.Service) { s.ResourceVersion, s.Generation = "2", 2 }, true},
		"a label: Services are named, not sought": {func(s *corev1.Service) { s.Labels = map[string]string{"a": "b"} }, true},
		"a node port":                             {func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 30000 }, true},
		"a target port: slices have the number":   {func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(1) }, true},
		"a load balancer's address": {func(s *corev1.Service) {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
		}, true},
		"TCP in full, which is the default": {func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolTCP }, true},
		"the protocol of its ports": {func(s *corev1.Service) {
			s.Annotations["projectcontour.io/upstream-protocol.h2"] = "web"
		}, false},
		"the same no more":       {func(s *corev1.Service) { delete(s.Annotations, "projectcontour.io/upstream-protocol.tls") }, false},
		"a limit":                {func(s *corev1.Service) { s.Annotations["projectcontour.io/max-requests"] = "5" }, false},
		"a port's number":        {func(s *corev1.Service) { s.Spec.Ports[0].Port = 444 }, false},
		"a port's name":          {func(s *corev1.Service) { s.Spec.Ports[0].Name = "other" }, false},
		"a port's transport":     {func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolUDP }, false},
		"a port's appProtocol":   {func(s *corev1.Service) { s.Spec.Ports[0].AppProtocol = new("https") }, false},
		"another port":           {func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 80}) }, false},
		"what it is":             {func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }, false},
		"the name it stands for": {func(s *corev1.Service) { s.Spec.ExternalName = "backend.example" }, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := &corev1.Service{}
			before.Annotations = map[string]string{"projectcontour.io/upstream-protocol.tls": "web"}
			before.Spec.Ports = []corev1.ServicePort{{Name: "web", Port: 443}}
			after := before.DeepCopy()
			test.change(after)
			if got := upstream.SameService(before, after); got != test.want {
				t.Errorf("SameService = %t, want %t", got, test.want)
			}
			if got := upstream.SameService(after, before); got != test.want {
				t.Errorf("the other way round: SameService = %t, want %t", got, test.want)
			}
		})
	}
}
