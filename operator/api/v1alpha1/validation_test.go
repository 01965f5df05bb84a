package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/apiserver"
)

// A real API server takes or refuses each spec.
func TestEnvoyFleetIsValidated(t *testing.T) {
	c := start(t)
	cases := map[string]struct {
		reason string
		spec   string
		want   string // part of the refusal; empty is accepted
	}{
		"empty": {"every field has a default", `{}`, ""},
		"all of it": {"every field is known", `
workload:
  kind: Deployment
  autoscaling: {minReplicas: 3, maxReplicas: 10, targetCPUUtilization: 50}
  image: signet:1
  imagePullPolicy: IfNotPresent
  imagePullSecrets: [{name: registry}]
  resources: {limits: {cpu: 2, memory: 1Gi}}
  concurrency: 2
  nodeSelector: {pool: edge}
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
  tolerations: [{key: edge, operator: Exists}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]
  priorityClassName: high
  podLabels: {team: edge}
  podAnnotations: {note: x}
  disruptionBudget: {maxUnavailable: 25%}
  drainTime: 5m
service: {type: LoadBalancer, loadBalancerClass: example.com/lb, loadBalancerSourceRanges: [192.0.2.0/24], externalTrafficPolicy: Cluster, ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv4, IPv6]}
listeners: {http: {port: 8081, nodePort: 30080}, https: {port: 443}}
networkPolicy: {metricsFrom: [{namespaceSelector: {matchLabels: {a: b}}}]}
metrics: {scrapeAnnotations: false}
patches: {deployment: {spec: {minReadySeconds: 5}}, bootstrap: {stats_flush_on_admin: true}}
httpProxies: {ingressClassNames: [edge], rootNamespaces: [a]}
accessLog: {output: Stderr, format: JSON, json: {code: "%RESPONSE_CODE%"}, filter: Status, minimumStatus: 400}
upstreamTLS:
  clientCertificate: {issued: {dnsNames: [edge.example.com], uris: ["spiffe://example.com/edge"], lifetime: 24h, renewBefore: 8h, keyType: RSA-2048}}
  minimumProtocolVersion: "1.3"`, ""},
		"replicas of a DaemonSet":    {"the nodes decide", `workload: {kind: DaemonSet, replicas: 2}`, "replicas needs kind Deployment"},
		"autoscaled DaemonSet":       {"the nodes decide", `workload: {kind: DaemonSet, autoscaling: {maxReplicas: 2}}`, "autoscaling needs kind Deployment"},
		"two numbers":                {"they would fight", `workload: {replicas: 2, autoscaling: {maxReplicas: 3}}`, "either replicas or autoscaling"},
		"bounds the wrong way round": {"no number fits", `workload: {autoscaling: {minReplicas: 4, maxReplicas: 3}}`, "minReplicas must not be above"},
		"unknown kind":               {"there are two", `workload: {kind: StatefulSet}`, "Unsupported value"},
		"two budgets":                {"Kubernetes takes one", `workload: {disruptionBudget: {minAvailable: 1, maxUnavailable: 1}}`, "either minAvailable or maxUnavailable"},
		"no budget":                  {"nothing is asked for", `workload: {disruptionBudget: {}}`, "either minAvailable or maxUnavailable"},
		"drain for a day":            {"a pod that long is stuck", `workload: {drainTime: 24h}`, "drainTime must be from 1s to 1h"},
		"drain without unit":         {"a duration has one", `workload: {drainTime: "60"}`, "drainTime"},
		"class without balancer":     {"nobody would read it", `service: {type: NodePort, loadBalancerClass: a}`, "loadBalancerClass needs type LoadBalancer"},
		"ranges without balancer":    {"nobody would keep them", `service: {type: ClusterIP, loadBalancerSourceRanges: [192.0.2.0/24]}`, "loadBalancerSourceRanges needs type LoadBalancer"},
		"range that is none":         {"a balancer may ignore it and serve all", `service: {loadBalancerSourceRanges: [192.0.2.1]}`, "network in CIDR notation"},
		"policy without outside":     {"Kubernetes refuses it", `service: {type: ClusterIP, externalTrafficPolicy: Local}`, "externalTrafficPolicy needs type"},
		"node port without nodes":    {"Kubernetes refuses it", "service: {type: ClusterIP}\nlisteners: {http: {nodePort: 30000}}", "nodePort of a listener needs"},
		"no listener":                {"nothing would be served", `listeners: {http: {enabled: false}, https: {enabled: false}}`, "at least one of http and https"},
		"one port for both":          {"a Service cannot", `listeners: {http: {port: 443}}`, "different ports"},
		"one port of the pods":       {"80 is served on 8080", `listeners: {https: {port: 8080}}`, "plus 8000"},
		"port of metrics":            {"the pods have it already", `listeners: {https: {port: 19001}}`, "readiness and metrics"},
		"only HTTPS on 8080":         {"HTTP does not use it", `listeners: {http: {enabled: false}, https: {port: 8080}}`, ""},
		"no certificate":             {"nothing is said", `upstreamTLS: {clientCertificate: {}}`, "either secretRef or issued"},
		"two certificates":           {"one is presented", `upstreamTLS: {clientCertificate: {secretRef: {name: a}, issued: {}}}`, "either secretRef or issued"},
		"issued by default":          {"every field of it has a default", `upstreamTLS: {clientCertificate: {issued: {}}}`, ""},
		"renewed before issued":      {"it would never stand still", `upstreamTLS: {clientCertificate: {issued: {lifetime: 2h, renewBefore: 2h}}}`, "renewBefore must be shorter"},
		"renewed by the default":     {"the default of lifetime counts", `upstreamTLS: {clientCertificate: {issued: {renewBefore: 2160h}}}`, "renewBefore must be shorter"},
		"renewed at the last second": {"a rotation needs time", `upstreamTLS: {clientCertificate: {issued: {renewBefore: 1s}}}`, "at least 5m"},
		"for a minute":               {"clocks differ by more", `upstreamTLS: {clientCertificate: {issued: {lifetime: 1m}}}`, "lifetime must be from 1h"},
		"for ever":                   {"an authority ends", `upstreamTLS: {clientCertificate: {issued: {lifetime: 87600h}}}`, "lifetime must be from 1h"},
		"unknown key":                {"backends must take it", `upstreamTLS: {clientCertificate: {issued: {keyType: RSA-1024}}}`, "Unsupported value"},
		"name that is none":          {"no verifier would match it", `upstreamTLS: {clientCertificate: {issued: {dnsNames: ["a b"]}}}`, "dnsNames"},
		"URI that is none":           {"no verifier would match it", `upstreamTLS: {clientCertificate: {issued: {uris: [edge]}}}`, "uris"},
		"versions the wrong way":     {"none would be left", `upstreamTLS: {minimumProtocolVersion: "1.3", maximumProtocolVersion: "1.2"}`, "must not be above"},
		"no access log":              {"it may be off", `accessLog: {enabled: false}`, ""},
		"text in JSON":               {"it would not be written", `accessLog: {format: JSON, text: a}`, "text needs format Text"},
		"members in text":            {"they would not be written", `accessLog: {json: {a: b}}`, "json needs format JSON"},
		"status of all":              {"it would not count", `accessLog: {minimumStatus: 400}`, "filter Status needs minimumStatus"},
		"status without one":         {"which is not said", `accessLog: {filter: Status}`, "filter Status needs minimumStatus"},
		"status that is none":        {"no answer has it", `accessLog: {filter: Status, minimumStatus: 600}`, "minimumStatus"},
		"member without a name":      {"nobody could find it", `accessLog: {format: JSON, json: {"": a}}`, "a name has 1 to 128 characters"},
		"patch that is no object":    {"there is nothing to merge", `patches: {service: [1]}`, "must be of type object"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.Create(t.Context(), fleet(t, tc.spec), client.DryRunAll, client.FieldValidation("Strict"))
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused, but %s: %v", tc.reason, err)
			case tc.want != "" && err == nil:
				t.Errorf("accepted, but %s: want %q", tc.reason, tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("refused with %v, want %q", err, tc.want)
			}
		})
	}
}

func TestEnvoyFleetNames(t *testing.T) {
	c := start(t)
	for name, want := range map[string]bool{
		"edge": true, "a": true, strings.Repeat("a", 48): true,
		"1edge": false, "edge.example": false, strings.Repeat("a", 49): false,
	} {
		f := fleet(t, `{}`)
		f.SetName(name)
		if err := c.Create(t.Context(), f, client.DryRunAll); (err == nil) != want {
			t.Errorf("name %q: %v, want accepted %t", name, err, want)
		}
	}
}

// The class of a load balancer stands while there is one.
func TestEnvoyFleetTransitions(t *testing.T) {
	c := start(t)
	cases := map[string]struct {
		reason   string
		from, to string
		want     string
	}{
		"another class": {"Kubernetes forbids it", `service: {loadBalancerClass: a}`, `service: {loadBalancerClass: b}`, "cannot be changed"},
		"no class":      {"Kubernetes forbids it", `service: {loadBalancerClass: a}`, `{}`, "cannot be changed"},
		"no balancer":   {"the class goes with it", `service: {loadBalancerClass: a}`, `service: {type: NodePort}`, ""},
		"same class":    {"nothing changes", `service: {loadBalancerClass: a}`, `service: {loadBalancerClass: a, labels: {a: b}}`, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := fleet(t, tc.from)
			f.SetName(strings.ReplaceAll(name, " ", "-"))
			if err := c.Create(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			f.Object["spec"] = fleet(t, tc.to).Object["spec"]
			err := c.Update(t.Context(), f)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q: %s", err, tc.want, tc.reason)
			}
		})
	}
}

func TestEnvoyFleetDefaults(t *testing.T) {
	c := start(t)
	f := fleet(t, `upstreamTLS: {clientCertificate: {issued: {}}}
workload: {autoscaling: {maxReplicas: 4}}`)
	if err := c.Create(t.Context(), f, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	want := fleet(t, `
workload: {kind: Deployment, drainTime: 60s, autoscaling: {minReplicas: 2, maxReplicas: 4, targetCPUUtilization: 70}}
service: {type: LoadBalancer}
listeners: {http: {enabled: true, port: 80}, https: {enabled: true, port: 443}}
metrics: {scrapeAnnotations: true}
accessLog: {enabled: true, output: Stdout, format: Text, filter: All}
upstreamTLS: {clientCertificate: {issued: {lifetime: 2160h, keyType: ECDSA-P256}}}`)
	if diff := cmp.Diff(fmt.Sprint(want.Object["spec"]), fmt.Sprint(f.Object["spec"])); diff != "" {
		t.Errorf("defaults (-want, +got):\n%s", diff)
	}
	typed := &v1alpha1.EnvoyFleet{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(f.Object, typed); err != nil {
		t.Fatalf("what the API server gives does not fit the type: %v", err)
	}
}

func fleet(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{}}
	var s map[string]any
	if err := yaml.UnmarshalStrict([]byte(spec), &s); err != nil {
		t.Fatalf("spec of the case: %v", err)
	}
	u.SetAPIVersion(v1alpha1.GroupVersion.String())
	u.SetKind("EnvoyFleet")
	u.SetNamespace("default")
	u.SetName("edge")
	u.Object["spec"] = s
	return u
}

func start(t *testing.T) client.Client {
	t.Helper()
	s, err := apiserver.Start(apiserver.EnvoyFleets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(s.Config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
