package chart

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write docs/kubernetes/install.yaml anew")

const (
	folder   = "../../charts/signet"
	manifest = "../../docs/kubernetes/install.yaml"
	digest   = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// helm runs Helm and returns what it prints.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := os.Getenv("SIGNET_HELM")
	if program == "" {
		t.Fatal("SIGNET_HELM names no Helm: run the test by make unit")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	return string(out) + stderr.String(), err
}

// render is `helm template` with values, in a namespace other than its own name.
func render(t *testing.T, namespace string, set ...string) string {
	t.Helper()
	args := []string{"template", "signet", folder, "--namespace", namespace}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	out, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm template %v: %v\n%s", set, err, out)
	}
	return out
}

// objects parses what was rendered.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &u.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
	return out
}

// find returns the object of a kind; its name is in the failure.
func find[T any](t *testing.T, all []*unstructured.Unstructured, kind, namespace string) *T {
	t.Helper()
	for _, u := range all {
		if u.GetKind() != kind || u.GetNamespace() != namespace {
			continue
		}
		out := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, out, true); err != nil {
			t.Fatalf("%s %s: %v", kind, u.GetName(), err)
		}
		return out
	}
	return nil
}

func kinds(all []*unstructured.Unstructured) (out []string) {
	for _, u := range all {
		out = append(out, u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName())
	}
	slices.Sort(out)
	return out
}

func TestLint(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", folder); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestObjects(t *testing.T) {
	base := []string{
		"CustomResourceDefinition /envoyfleets.operator.signetproxy.io", "Deployment system/signet",
		"Role system/signet", "RoleBinding system/signet", "Service system/signet-metrics", "Service system/signet-xds",
		"ServiceAccount system/signet",
	}
	cluster := []string{"ClusterRole /system-signet", "ClusterRoleBinding /system-signet"}
	guarded := []string{"NetworkPolicy system/signet", "PodDisruptionBudget system/signet"}
	cases := map[string]struct {
		reason string
		set    []string
		want   []string
	}{
		"Default": {"what most need", nil, slices.Concat(base, cluster, guarded)},
		"Restricted": {
			"an account without rights on the cluster may install it", []string{"namespaces={a,b}", "crds.install=false"},
			slices.Concat(base[1:], guarded, []string{
				"Role a/system-signet-served", "RoleBinding a/system-signet-served",
				"Role b/system-signet-served", "RoleBinding b/system-signet-served",
			}),
		},
		"One": {
			"a budget for one replica would forbid every drain", []string{"replicas=1"},
			slices.Concat(base, cluster, guarded[:1]),
		},
		"Bare": {
			"who grants rights in another way", []string{"rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=x", "networkPolicy.enabled=false"},
			slices.Concat([]string{base[0], base[1]}, base[4:6], guarded[1:]),
		},
		"Monitored": {
			"all of monitoring",
			[]string{"metrics.serviceMonitor.enabled=true", "metrics.prometheusRule.enabled=true", "metrics.dashboard.enabled=true"},
			slices.Concat(base, cluster, guarded, []string{
				"ServiceMonitor system/signet", "PrometheusRule system/signet", "ConfigMap system/signet-dashboard",
			}),
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, kinds(objects(t, render(t, "system", test.set...)))); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", test.reason, diff)
			}
		})
	}
}

// The rights in namespaces are one list, whichever kind of role has them. A
// ClusterRole has those outside of namespaces too.
func TestRightsAreOneList(t *testing.T) {
	whole := find[rbacv1.ClusterRole](t, objects(t, render(t, "system")), "ClusterRole", "")
	some := objects(t, render(t, "system", "namespaces={a,b}"))
	text, err := os.ReadFile(filepath.Join(folder, "files", "rules-cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var outside []rbacv1.PolicyRule
	if err := yaml.UnmarshalStrict(text, &outside); err != nil {
		t.Fatal(err)
	}
	n := len(whole.Rules) - len(outside)
	if diff := cmp.Diff(outside, whole.Rules[n:]); diff != "" {
		t.Errorf("ClusterRole, -files/rules-cluster.yaml, +end of its rules:\n%s", diff)
	}
	for _, namespace := range []string{"a", "b"} {
		if diff := cmp.Diff(whole.Rules[:n], find[rbacv1.Role](t, some, "Role", namespace).Rules); diff != "" {
			t.Errorf("Role in %s, -ClusterRole, +Role:\n%s", namespace, diff)
		}
	}
	if all := find[rbacv1.ClusterRole](t, some, "ClusterRole", ""); all != nil {
		t.Error("with namespaces there is a ClusterRole")
	}
	for _, rule := range whole.Rules {
		for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			if slices.Contains(list, "*") {
				t.Errorf("a rule asks for everything: %+v", rule)
			}
		}
	}
}

func TestPodIsRestricted(t *testing.T) {
	d := find[appsv1.Deployment](t, objects(t, render(t, "system", "podLabels.x=y")), "Deployment", "system")
	spec := d.Spec.Template.Spec
	if s := spec.SecurityContext; s == nil || !*s.RunAsNonRoot || s.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("pod: %+v", s)
	}
	for _, c := range spec.Containers {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Contains(s.Capabilities.Drop, "ALL") {
			t.Errorf("container %s: %+v", c.Name, s)
		}
	}
	policy := find[networkingv1.NetworkPolicy](t, objects(t, render(t, "system")), "NetworkPolicy", "system")
	if from := policy.Spec.Ingress[0].From; len(from) != 1 || from[0].PodSelector == nil || len(from[0].PodSelector.MatchLabels) == 0 {
		t.Errorf("who may reach xDS: %+v", from)
	}
}

// Who may reach xDS is every pod that Signet makes, whatever it is made for.
func TestPodsOfFleetsReachXDS(t *testing.T) {
	policy := find[networkingv1.NetworkPolicy](t, objects(t, render(t, "system")), "NetworkPolicy", "system")
	selector, err := metav1.LabelSelectorAsSelector(policy.Spec.Ingress[0].From[0].PodSelector)
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range []string{"default", "daemonset", "gateway"} {
		text, err := os.ReadFile("../../provisioner/kubernetes/testdata/" + golden + ".golden.yaml")
		if err != nil {
			t.Fatal(err)
		}
		workloads := 0
		for _, o := range objects(t, string(text)) {
			if kind := o.GetKind(); kind != "Deployment" && kind != "DaemonSet" {
				continue
			}
			workloads++
			pod, _, err := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
			if err != nil || !selector.Matches(labels.Set(pod)) {
				t.Errorf("%s: pods with the labels %v are kept from xDS by %s (%v)", golden, pod, selector, err)
			}
		}
		if workloads != 1 {
			t.Errorf("%s: %d workloads, want one", golden, workloads)
		}
	}
	if selector.Matches(labels.Set{"app.kubernetes.io/managed-by": "Helm"}) {
		t.Errorf("any pod may reach xDS: %s", selector)
	}
}

func TestImages(t *testing.T) {
	cases := map[string]struct {
		reason      string
		set         []string
		image, pods string
	}{
		"Default": {"the chart's own release", nil, "signetproxy.io/signet:0.1.0", "signetproxy.io/signet:0.1.0"},
		"Digest": {
			"a digest is not to be overruled by a tag", []string{"image.tag=v1", "image.digest=" + digest},
			"signetproxy.io/signet@" + digest, "signetproxy.io/signet@" + digest,
		},
		"Fleets": {
			"fleets may have another", []string{"image.tag=v1", "envoyImage=example.com/envoy@" + digest},
			"signetproxy.io/signet:v1", "example.com/envoy@" + digest,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := find[appsv1.Deployment](t, objects(t, render(t, "system", test.set...)), "Deployment", "system").Spec.Template.Spec.Containers[0]
			if c.Image != test.image || !slices.Contains(c.Args, "--envoy-image="+test.pods) {
				t.Errorf("%s: image %s, arguments %q", test.reason, c.Image, c.Args)
			}
		})
	}
}

// The schema knows what values.yaml has, and refuses what it has not.
func TestSchemaRefuses(t *testing.T) {
	cases := map[string]struct{ reason, set, want string }{
		"Typo":      {"a value that is not read is a mistake", "replica=3", "replica"},
		"Nested":    {"in a block too", "image.tags=v1", "tags"},
		"Digest":    {"a digest that is none would be pulled as a name", "image.digest=latest", "digest"},
		"Policy":    {"Kubernetes knows three", "image.pullPolicy=Sometimes", "pullPolicy"},
		"Namespace": {"it is no pattern", "namespaces={a*}", "namespaces"},
		"Account":   {"nobody would be meant", "serviceAccount.create=false", "serviceAccount.name"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := helm(t, "template", "signet", folder, "--set", test.set)
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("%s: %s gives %v and\n%s", test.reason, test.set, err, out)
			}
		})
	}
}

// docs/kubernetes/install.yaml is what the chart renders by default; the suite
// of operator/cluster runs the operator with its rights.
func TestInstallManifestIsTheCharts(t *testing.T) {
	const head = `# Signet without Helm: what charts/signet renders by default, into the namespace
# signet-system. Written by go test ./test/chart -update.
apiVersion: v1
kind: Namespace
metadata:
  name: signet-system
  labels: {pod-security.kubernetes.io/enforce: restricted}
`
	want := head + render(t, "signet-system", "crds.install=false")
	if *update {
		if err := os.WriteFile(manifest, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is out of date, -want, +got:\n%s", manifest, diff)
	}
}

// The chart's CRD is the generated one, which an upgrade brings, and which
// stays when the release goes.
func TestCRD(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const file = "operator.signetproxy.io_envoyfleets.yaml"
	source := read("../../operator/api/crds/" + file)
	if diff := cmp.Diff(source, read(filepath.Join(folder, "files", file))); diff != "" {
		t.Errorf("the chart's CRD is out of date: run make generate; -want, +got:\n%s", diff)
	}
	var rendered *unstructured.Unstructured
	for _, u := range objects(t, render(t, "system")) {
		if u.GetKind() == "CustomResourceDefinition" {
			rendered = u
		}
	}
	if rendered == nil || rendered.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
		t.Fatal("the CRD would go with the release, and all EnvoyFleets with it")
	}
	annotations := rendered.GetAnnotations()
	delete(annotations, "helm.sh/resource-policy")
	rendered.SetAnnotations(annotations)
	if diff := cmp.Diff(objects(t, source)[0].Object, rendered.Object); diff != "" {
		t.Errorf("rendering changes the CRD, -want, +got:\n%s", diff)
	}
}

// Every metric that an alert or the dashboard names is documented.
func TestMetricsExist(t *testing.T) {
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(signet_[a-z_]+)`").FindAllStringSubmatch(string(docs), -1) {
		known[m[1]] = true
	}
	for _, file := range []string{"alerts.yaml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join(folder, "files", file))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bsignet_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, n := range names {
			if !known[strings.TrimSuffix(n, "_bucket")] {
				t.Errorf("%s names %s, which docs/metrics.md does not have", file, n)
			}
		}
	}
	dashboard, err := os.ReadFile(filepath.Join(folder, "files", "dashboard.json"))
	if err != nil || !json.Valid(dashboard) {
		t.Errorf("the dashboard is not JSON: %v", err)
	}
}
