package upstream

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/signetproxy/signet/translator/ir"
)

func TestEndpoints(t *testing.T) {
	yes, no := true, false
	port := func(name string, number int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Port: &number}
	}
	at := func(address string, change ...func(*discoveryv1.Endpoint)) discoveryv1.Endpoint {
		e := discoveryv1.Endpoint{Addresses: []string{address}}
		for _, f := range change {
			f(&e)
		}
		return e
	}
	unready := func(e *discoveryv1.Endpoint) { e.Conditions.Ready = &no }
	leaving := func(e *discoveryv1.Endpoint) {
		e.Conditions.Ready, e.Conditions.Serving, e.Conditions.Terminating = &no, &yes, &yes
	}
	gone := func(e *discoveryv1.Endpoint) {
		e.Conditions.Ready, e.Conditions.Serving, e.Conditions.Terminating = &no, &no, &yes
	}
	zone := "z"
	zoned := func(e *discoveryv1.Endpoint) { e.Zone = &zone }
	slice := func(ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: ports, Endpoints: endpoints}
	}
	https := []discoveryv1.EndpointPort{port("https", 8443)}
	names := slice(https, at("a.example"))
	names.AddressType = discoveryv1.AddressTypeFQDN
	udp := corev1.ProtocolUDP
	overUDP := []discoveryv1.EndpointPort{{Name: https[0].Name, Port: https[0].Port, Protocol: &udp}}
	cases := map[string]struct {
		reason       string
		service      *corev1.Service
		port, health int32
		slices       []*discoveryv1.EndpointSlice
		want         []ir.Endpoint
	}{
		"Ready": {
			reason: "sorted, without repetitions over slices", service: good(), port: 443,
			slices: []*discoveryv1.EndpointSlice{slice(https, at("10.0.0.2", zoned), at("10.0.0.1")), slice(https, at("10.0.0.1"))},
			want:   []ir.Endpoint{{Address: "10.0.0.1", Port: 8443}, {Address: "10.0.0.2", Port: 8443, Zone: "z"}},
		},
		"Unready": {
			reason: "neither unready nor terminating beside a ready one", service: good(), port: 443,
			slices: []*discoveryv1.EndpointSlice{slice(https, at("10.0.0.1", unready), at("10.0.0.2", leaving), at("10.0.0.3"))},
			want:   []ir.Endpoint{{Address: "10.0.0.3", Port: 8443}},
		},
		"AllTerminating": {
			reason: "better than none", service: good(), port: 443,
			slices: []*discoveryv1.EndpointSlice{slice(https, at("10.0.0.1", unready), at("10.0.0.2", leaving), at("10.0.0.3", gone))},
			want:   []ir.Endpoint{{Address: "10.0.0.2", Port: 8443}},
		},
		"HealthPort": {
			reason: "by the other port's name", service: good(), port: 443, health: 80,
			slices: []*discoveryv1.EndpointSlice{slice([]discoveryv1.EndpointPort{port("https", 8443), port("http", 8080)}, at("10.0.0.1"))},
			want:   []ir.Endpoint{{Address: "10.0.0.1", Port: 8443, HealthPort: 8080}},
		},
		"OtherPort": {reason: "a slice of another port", service: good(), port: 80, slices: []*discoveryv1.EndpointSlice{slice(https, at("10.0.0.1"))}},
		"UDP":       {reason: "a slice of another protocol", service: good(), port: 443, slices: []*discoveryv1.EndpointSlice{slice(overUDP, at("10.0.0.1"))}},
		"BadPort":   {reason: "not a port number", service: good(), port: 443, slices: []*discoveryv1.EndpointSlice{slice([]discoveryv1.EndpointPort{port("https", 0)}, at("10.0.0.1"))}},
		"FQDN":      {reason: "EDS takes addresses only", service: good(), port: 443, slices: []*discoveryv1.EndpointSlice{names}},
		"NoAddress": {reason: "an endpoint without one", service: good(), port: 443, slices: []*discoveryv1.EndpointSlice{slice(https, discoveryv1.Endpoint{})}},
		"NoService": {reason: "an empty set is an answer", port: 443, slices: []*discoveryv1.EndpointSlice{slice(https, at("10.0.0.1"))}},
		"NoPort":    {reason: "an empty set is an answer", service: good(), port: 1, slices: []*discoveryv1.EndpointSlice{slice(https, at("10.0.0.1"))}},
		"Unnamed": {
			reason: "the port of a slice without name", service: good(), port: 8443,
			slices: []*discoveryv1.EndpointSlice{slice([]discoveryv1.EndpointPort{{Port: https[0].Port}}, at("10.0.0.1"))},
			want:   []ir.Endpoint{{Address: "10.0.0.1", Port: 8443}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := ir.Assignment{Service: to(tc.port).Service, HealthPort: tc.health}
			for range 4 { // in any order of the slices
				got := Endpoints(tc.service, a, tc.slices)
				if diff := cmp.Diff(&ir.LoadAssignment{Assignment: a, Endpoints: tc.want}, got); diff != "" {
					t.Fatalf("%s: Endpoints() -want, +got:\n%s", tc.reason, diff)
				}
				rand.Shuffle(len(tc.slices), func(i, j int) { tc.slices[i], tc.slices[j] = tc.slices[j], tc.slices[i] })
			}
		})
	}
}
