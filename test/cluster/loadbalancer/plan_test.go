package loadbalancer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// service is a Service of a case: its type, and addresses as asked and given.
type service struct {
	name, kind, asked, has, class string
	age                           int // hours
}

func (s service) object() *corev1.Service {
	o := &corev1.Service{
		Namespace: "default", Name: s.name,
		CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-time.Duration(s.age) * time.Hour)),
		Spec:              corev1.ServiceSpec{Type: corev1.ServiceType(s.kind), LoadBalancerIP: s.asked},
	}
	if s.has != "" {
		o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: s.has}}
	}
	if s.class != "" {
		o.Spec.LoadBalancerClass = &s.class
	}
	return o
}

func TestPlan(t *testing.T) {
	const lb, none = "LoadBalancer", ""
	cases := map[string]struct {
		reason   string
		services []service
		want     map[string]string
	}{
		"First": {
			"the first address of the range is never given", []service{{name: "a", kind: lb}},
			map[string]string{"a": "192.0.2.1"},
		},
		"Oldest": {
			"the oldest comes first", []service{{name: "a", kind: lb, age: 1}, {name: "b", kind: lb, age: 2}},
			map[string]string{"a": "192.0.2.2", "b": "192.0.2.1"},
		},
		"Restart": {
			"what is given stays, even to a younger one",
			[]service{{name: "old", kind: lb, age: 9}, {name: "young", kind: lb, has: "192.0.2.1"}},
			map[string]string{"old": "192.0.2.2"},
		},
		"Asked": {
			"an address that is asked for goes before one that is not",
			[]service{{name: "a", kind: lb, age: 9}, {name: "b", kind: lb, asked: "192.0.2.1"}},
			map[string]string{"a": "192.0.2.2", "b": "192.0.2.1"},
		},
		"AskedAnother": {
			"an address is changed when another is asked for",
			[]service{{name: "a", kind: lb, asked: "192.0.2.3", has: "192.0.2.1"}}, map[string]string{"a": "192.0.2.3"},
		},
		"AskedTaken": {
			"an address that another has is not given, nor is another one",
			[]service{{name: "a", kind: lb, has: "192.0.2.1"}, {name: "b", kind: lb, asked: "192.0.2.1"}},
			map[string]string{},
		},
		"AskedOutside": {
			"an address outside the range is not given",
			[]service{{name: "a", kind: lb, asked: "203.0.113.1"}}, map[string]string{},
		},
		"TypeChanged": {
			"the address goes with the type, to who waits for one",
			[]service{{name: "a", kind: "ClusterIP", has: "192.0.2.1"}, {name: "b", kind: lb}},
			map[string]string{"a": none, "b": "192.0.2.1"},
		},
		"OthersClass": {
			"a class is another controller's, addresses included",
			[]service{{name: "a", kind: lb, class: "example.com/lb", has: "203.0.113.9"}}, map[string]string{},
		},
		"Outside": {
			"an address of another range is replaced",
			[]service{{name: "a", kind: lb, has: "203.0.113.9"}}, map[string]string{"a": "192.0.2.1"},
		},
		"Full": {
			"who comes late gets nothing",
			[]service{
				{name: "a", kind: lb, has: "192.0.2.1"}, {name: "b", kind: lb, has: "192.0.2.2"},
				{name: "c", kind: lb, has: "192.0.2.3"}, {name: "d", kind: lb},
			},
			map[string]string{},
		},
		"Twice": {
			"two that have the same address end with one each",
			[]service{{name: "a", kind: lb, has: "192.0.2.1", age: 1}, {name: "b", kind: lb, has: "192.0.2.1"}},
			map[string]string{"b": "192.0.2.2"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var objects []*corev1.Service
			for _, s := range c.services {
				objects = append(objects, s.object())
			}
			got := map[string]string{}
			for k, a := range plan(objects, netip.MustParsePrefix("192.0.2.0/30")) {
				got[k.Name] = ""
				if a.IsValid() {
					got[k.Name] = a.String()
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}
