package kubernetes_test

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator/ir"
)

// gateway is the fleet of a Gateway.
func gateway(t *testing.T) *kubernetes.Fleet {
	t.Helper()
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	name := certificate.GatewayFleet(ir.Name{Namespace: "default", Name: "edge"})
	identity, _, err := keeper.Watch(name)
	if err != nil {
		t.Fatal(err)
	}
	return &kubernetes.Fleet{
		Identity: name, Name: kubernetes.GatewayObjects("edge", "signet"),
		Owner: metav1.OwnerReference{
			APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway", Name: "edge", UID: "gateway", Controller: new(true),
		},
		Gateway: &kubernetes.Gateway{
			Name: "edge", Class: "signet", Address: "192.0.2.7",
			Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/note": "b"},
			Ports: []kubernetes.Port{
				{Port: 80, Bound: 64592, Protocol: corev1.ProtocolTCP, AppProtocol: "http"},
				{Port: 53, Bound: 64565, Protocol: corev1.ProtocolUDP},
			},
		},
		Spec: v1alpha1.EnvoyFleetSpec{NetworkPolicy: &v1alpha1.NetworkPolicy{}}, Image: "signet-envoy:test", XDSAddress: "signet-xds.signet.svc:18000", Certificate: identity,
	}
}

// The objects of a Gateway bear its name, labels and annotations, and its ports are
// those of the listeners; without an EnvoyFleet they have its defaults.
func TestRenderGateway(t *testing.T) {
	objects, err := kubernetes.Render(gateway(t))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join("testdata", "gateway.golden.yaml"), show(t, objects))
}

// Another port is no other pod.
func TestAListenerRestartsNoPod(t *testing.T) {
	text := func(ports ...kubernetes.Port) string {
		f := gateway(t)
		f.Gateway.Ports = ports
		objects, err := kubernetes.Render(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.GetObjectKind().GroupVersionKind().Kind == "Deployment" {
				return show(t, objects[len(objects)-2:])
			}
		}
		t.Fatal("no Deployment")
		return ""
	}
	one := text(kubernetes.Port{Port: 80, Bound: 64592, Protocol: corev1.ProtocolTCP})
	two := text(kubernetes.Port{Port: 8081, Bound: 8081, Protocol: corev1.ProtocolTCP})
	if one != two || !strings.Contains(one, "kind: Deployment") {
		t.Errorf("the Deployment depends on the ports: %s\n%s", one, two)
	}
}

func TestGatewayObjects(t *testing.T) {
	long := strings.Repeat("a", 253)
	cases := map[string]struct {
		reason, gateway, class, want string
		digest                       bool
	}{
		"short":  {"GEP-1762", "edge", "signet", "edge-signet", false},
		"dots":   {"a Service's name has none; the digest keeps it apart from edge-example", "edge.example", "signet", "edge-example-signet-", true},
		"digit":  {"a Service's name begins with a letter", "1st", "signet", "gateway-1st-signet-", true},
		"long":   {"63 characters at most", long, "signet", strings.Repeat("a", 52) + "-", true},
		"longer": {"the digest is of the whole names", long[1:] + "b", "signet", strings.Repeat("a", 52) + "-", true},
	}
	seen := map[string]string{}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := kubernetes.GatewayObjects(tc.gateway, tc.class)
			digest, ok := strings.CutPrefix(got, tc.want)
			if !ok || (digest != "") != tc.digest || len(got) > 63 || seen[got] != "" {
				t.Errorf("%s: %q (as that of %q), want %q", tc.reason, got, seen[got], tc.want)
			}
			seen[got] = name
		})
	}
}
