package kubernetes_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator/ir"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fleet is a fleet named edge; its spec has the API server's defaults.
func fleet(t testing.TB, spec *v1alpha1.EnvoyFleetSpec) *kubernetes.Fleet {
	t.Helper()
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	name := ir.Name{Namespace: "default", Name: "edge"}
	identity, _, err := keeper.Watch(name)
	if err != nil {
		t.Fatal(err)
	}
	return &kubernetes.Fleet{
		Identity: name, Name: "edge-envoy",
		Owner: metav1.OwnerReference{
			APIVersion: "operator.signetproxy.io/v1alpha1", Kind: "EnvoyFleet", Name: "edge", UID: "fleet", Controller: new(true),
		},
		Spec: *spec, Image: "signet-envoy:test", XDSAddress: "signet-xds.signet.svc:18000", Certificate: identity,
	}
}

func defaults() *v1alpha1.EnvoyFleetSpec {
	return &v1alpha1.EnvoyFleetSpec{Listeners: v1alpha1.Listeners{
		HTTP: v1alpha1.HTTPListener{Port: 80}, HTTPS: v1alpha1.HTTPSListener{Port: 443},
	}}
}

// Each case of testdata is a spec; its golden file holds the objects.
func TestRender(t *testing.T) {
	files, err := filepath.Glob("testdata/*.spec.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("cases: %d, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".spec.yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("# ")) {
				t.Error("the case does not begin with its reason")
			}
			spec := defaults()
			if err := yaml.UnmarshalStrict(text, spec); err != nil {
				t.Fatal(err)
			}
			objects, err := kubernetes.Render(fleet(t, spec))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", name+".golden.yaml"), show(t, objects))
		})
	}
}

func show(t *testing.T, objects []client.Object) string {
	t.Helper()
	var out strings.Builder
	for _, o := range objects {
		if s, ok := o.(*corev1.Secret); ok {
			for k := range s.Data {
				s.Data[k] = []byte("...")
			}
		}
		b, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n" + string(b))
	}
	return out.String()
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want, +got):\n%s", file, diff)
	}
}

// A template that followed from a Secret would restart every Envoy at each
// rotation.
func TestARotationLeavesTheTemplateAlone(t *testing.T) {
	one, err := kubernetes.Render(fleet(t, defaults()))
	if err != nil {
		t.Fatal(err)
	}
	two, err := kubernetes.Render(fleet(t, defaults()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range one {
		equal := cmp.Equal(one[i], two[i])
		if _, secret := one[i].(*corev1.Secret); equal == secret {
			t.Errorf("%T equal with another certificate: %t", one[i], equal)
		}
	}
}

func TestPatchesThatCannotBeApplied(t *testing.T) {
	cases := map[string]struct {
		reason  string
		patches string
		want    string
	}{
		"wrong type": {"the field and the kind are named", `deployment: {spec: {replicas: many}}`, "patches.deployment"},
		"unknown":    {"a misspelt field would do nothing", `service: {spec: {tpye: NodePort}}`, `unknown field "tpye"`},
		"directive":  {"strategic merge has its own errors", `deployment: {spec: {template: {spec: {containers: [{$patch: what, name: envoy}]}}}}`, "patches.deployment"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec := defaults()
			spec.Patches = &v1alpha1.Patches{}
			if err := yaml.UnmarshalStrict([]byte(c.patches), spec.Patches); err != nil {
				t.Fatal(err)
			}
			_, err := kubernetes.Render(fleet(t, spec))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q: %s", err, c.want, c.reason)
			}
		})
	}
}
