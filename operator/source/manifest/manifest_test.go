package manifest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

func decoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const proxyHead = "apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata: {name: p}\n"

func TestParseProblems(t *testing.T) {
	cases := map[string]struct {
		reason, text string
		broken       bool
		want         []string
	}{
		"wrong value in a CRD": {
			reason: "the API server's words, at the field's line",
			text:   proxyHead + "spec:\n  routes:\n  - services:\n    - name: s\n      port: 0\n",
			want: []string{`:8: HTTPProxy default/p: spec.routes[0].services[0].port: Invalid value: 0: ` +
				`spec.routes[0].services[0].port in body should be greater than or equal to 1`},
		},
		"missing field in a CRD": {
			reason: "what validation needs is required",
			text:   proxyHead + "spec:\n  routes:\n  - services:\n    - {name: s, port: 1, validation: {subjectName: x}}\n",
			want:   []string{`:7: HTTPProxy default/p: spec.routes[0].services[0].validation.caSecret: Required value`},
		},
		"CEL rule": {
			reason: "rules of the CRD hold",
			text: proxyHead + "spec:\n  routes:\n  - services:\n    - name: s\n      port: 1\n      validation:\n" +
				"        {caSecret: c, subjectName: a, subjectNames: [b]}\n",
			want: []string{`:9: HTTPProxy default/p: spec.routes[0].services[0].validation: Invalid value: ` +
				`subjectNames[0] must equal subjectName if set`},
		},
		"enum": {
			reason: "an enum lists what is allowed",
			text:   proxyHead + "spec:\n  routes:\n  - services:\n    - {name: s, port: 1, protocol: tcp}\n",
			want: []string{`:7: HTTPProxy default/p: spec.routes[0].services[0].protocol: Unsupported value: "tcp": ` +
				`supported values: "h2", "h2c", "tls"`},
		},
		"unknown field in a CRD": {
			reason: "a misspelt field is never ignored",
			text:   proxyHead + "spec: {}\nspecc: {}\n",
			want:   []string{`:5: HTTPProxy default/p: specc: strict decoding error: unknown field "specc"`},
		},
		"unknown field": {
			reason: "built-in kinds alike",
			text:   "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - port: 1\n    prot: x\n",
			want:   []string{`:7: Service default/s: spec.ports[0].prot: strict decoding error: unknown field "spec.ports[0].prot"`},
		},
		"wrong type": {
			reason: "the field is named, the value is not shown",
			text:   "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: 12345}\n",
			want:   []string{`:4: Secret default/s: stringData: Invalid value: cannot use a number as string`},
		},
		"bad base64": {
			reason: "the key is named, the value is not shown",
			text:   "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  key: '%%%'\n",
			want:   []string{`:5: Secret default/s: data[key]: Invalid value: illegal base64 data at input byte 0`},
		},
		"TLS Secret without key": {
			reason: "as the API server demands",
			text:   "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: s}\nstringData: {tls.crt: x}\n",
			want:   []string{`:1: Secret default/s: data[tls.key]: Required value`},
		},
		"Service ports": {
			reason: "several ports need names, and numbers in range",
			text:   "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - {port: 70000, targetPort: 1}\n  - {port: 2, name: b}\n",
			want: []string{
				`:6: Service default/s: spec.ports[0].name: Required value`,
				`:6: Service default/s: spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive`,
			},
		},
		"EndpointSlice addresses": {
			reason: "addresses are of the slice's type",
			text: "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\n" +
				"endpoints:\n- addresses: ['::1']\n- addresses: [127.0.0.1]\n",
			want: []string{`:6: EndpointSlice default/s: endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4 address`},
		},
		"name": {
			reason: "names are DNS names",
			text:   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}\n",
			want: []string{`:3: ConfigMap default/A_b: metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must ` +
				`consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character ` +
				`(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
		},
		"versions of TLS": {
			reason: "our own CRD's rule",
			text: "apiVersion: operator.signetproxy.io/v1alpha1\nkind: EnvoyFleet\nmetadata: {name: f}\nspec:\n  upstreamTLS:\n" +
				"    {minimumProtocolVersion: '1.3', maximumProtocolVersion: '1.2'}\n",
			want: []string{`:5: EnvoyFleet default/f: spec.upstreamTLS: Invalid value: ` +
				`minimumProtocolVersion must not be above maximumProtocolVersion`},
		},
		"kind that is not served": {
			reason: "a warning, never silence",
			text:   "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: r}\n",
			want: []string{`:1: warning: Ingress: kind Ingress of networking.k8s.io/v1 is not served: ` +
				`the document has no effect`},
		},
		"version that is not served": {
			reason: "the version to write is named",
			text:   "apiVersion: projectcontour.io/v1beta1\nkind: HTTPProxy\nmetadata: {name: r}\n",
			want: []string{`:1: warning: HTTPProxy: HTTPProxy of version projectcontour.io/v1beta1 is not served: ` +
				`write apiVersion: projectcontour.io/v1`},
		},
		"item of a list": {
			reason: "the line is the item's field",
			text: "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: s}\n" +
				"  spec:\n    ports:\n    - port: -1\n",
			want: []string{`:9: Service default/s: spec.ports[0].port: Invalid value: -1: must be between 1 and 65535, inclusive`},
		},
		"no kind":      {reason: "what it is cannot be said", text: "---\n# x\nfoo: bar\n", broken: true, want: []string{`:3: apiVersion and kind must be set: this is not a Kubernetes object`}},
		"no name":      {reason: "which it is cannot be said", text: proxyHead[:51] + "metadata: {}\n", broken: true, want: []string{`:1: HTTPProxy: metadata.name: Required value: a string`}},
		"no object":    {reason: "a list is not one", text: "- a\n", broken: true, want: []string{`:1: a document must be an object with apiVersion, kind and metadata.name`}},
		"twice":        {reason: "a key stands once", text: "a: 1\nb: 2\na: 3\n", broken: true, want: []string{`:3: a key stands twice in its mapping`}},
		"JSON, twice":  {reason: "in JSON too", text: "\n{\"a\": 1,\n\t\"a\": 2}\n", broken: true, want: []string{`:2: a key stands twice in its mapping`}},
		"syntax, late": {reason: "the file's line", text: "a: 1\n---\n---\nb: 2\nc: [\n", broken: true, want: []string{`:1: apiVersion and kind must be set: this is not a Kubernetes object`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := decoder(t).Parse([]byte(tc.text))
			var got []string
			for _, p := range f.Problems {
				got = append(got, p.String())
			}
			for _, o := range f.Objects {
				if (o.Value == nil) != (len(o.Problems) > 0) {
					t.Errorf("%s has a value or problems, not both", o.Key)
				}
				for _, p := range o.Problems {
					got = append(got, p.String())
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || f.Broken != tc.broken {
				t.Errorf("%s: broken %t; problems (-want, +got):\n%s", tc.reason, f.Broken, diff)
			}
		})
	}
}

func TestParseObjects(t *testing.T) {
	text := "%YAML 1.1\n---\n" + proxyHead + "spec: {}\nstatus: {currentStatus: valid}\n...\n" +
		"--- # a Secret\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ndata: {a: eA==, b: eA==}\nstringData: {b: 'y', c: z}\n" +
		"---\n{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"s\"}, \"spec\": {\"ports\": [{\"port\": 80}]}}\n" +
		"---\napiVersion: projectcontour.io/v1\nkind: HTTPProxyList\nitems:\n- " +
		strings.ReplaceAll(proxyHead, "\n", "\n  ") + "spec: {}\n"
	f := decoder(t).Parse([]byte(text))
	if len(f.Objects) != 4 || len(f.Problems) > 0 {
		t.Fatalf("got %+v", f)
	}
	p, _ := f.Objects[0].Value.(*contourv1.HTTPProxy)
	if p.Generation != 1 || p.Namespace != DefaultNamespace || p.UID == "" || p.ResourceVersion == "" || p.Status.CurrentStatus == "valid" {
		t.Errorf("an HTTPProxy has a generation, a namespace, and no status that a file claims: %+v", p)
	}
	s, _ := f.Objects[1].Value.(*corev1.Secret)
	want := map[string][]byte{"a": []byte("x"), "b": []byte("y"), "c": []byte("z")}
	if diff := cmp.Diff(want, s.Data); diff != "" || s.Type != corev1.SecretTypeOpaque || s.StringData != nil {
		t.Errorf("stringData wins over data (-want, +got):\n%s", diff)
	}
	svc, _ := f.Objects[2].Value.(*corev1.Service)
	if port := svc.Spec.Ports[0]; port.Protocol != corev1.ProtocolTCP || port.TargetPort.IntValue() != 80 {
		t.Errorf("a Service's defaults are set: %+v", port)
	}
	lines := []int{3, 10, 16, 22}
	for i, o := range f.Objects {
		if o.Line != lines[i] {
			t.Errorf("%s: line %d, want %d", o.Key, o.Line, lines[i])
		}
	}
	if f.Objects[0].Key != f.Objects[3].Key || f.Objects[3].Value.GetUID() != p.UID {
		t.Error("one name has one uid")
	}
}

// TestUpdate holds that the generation counts changes of the spec alone.
func TestUpdate(t *testing.T) {
	parse := func(tail string) Object {
		return decoder(t).Parse([]byte("apiVersion: operator.signetproxy.io/v1alpha1\nkind: EnvoyFleet\nmetadata:\n  name: f\n" + tail)).Objects[0]
	}
	first := parse("spec: {upstreamTLS: {}}\n")
	second, problems := decoder(t).Update(first, parse("spec: {upstreamTLS: {requireValidation: true}}\n"))
	if len(problems) > 0 || second.GetGeneration() != 2 {
		t.Fatalf("a changed spec: generation %d, %v", second.GetGeneration(), problems)
	}
	next := first
	next.Value = second
	third, _ := decoder(t).Update(next, parse("  labels: {a: b}\nspec: {upstreamTLS: {requireValidation: true}}\n"))
	if third.GetGeneration() != 2 || third.GetLabels()["a"] != "b" {
		t.Errorf("a changed label: generation %d", third.GetGeneration())
	}
	if first.Value.GetGeneration() != 1 {
		t.Error("what was delivered was changed")
	}
}

// fleetCRD is an EnvoyFleet's with another spec, which follows.
const fleetCRD = `
spec:
  group: operator.signetproxy.io
  scope: Namespaced
  names: {kind: EnvoyFleet}
  versions:
  - name: v1alpha1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
`

const transitionCRD = fleetCRD + `
            properties: {httpProxies: {type: object}}
            x-kubernetes-validations:
            - {rule: "!has(oldSelf.httpProxies) || has(self.httpProxies)", message: httpProxies cannot be taken away}
`

func TestTransitionRules(t *testing.T) {
	schemas := map[schema.GroupVersionKind]*customSchema{}
	if err := addSchemas(schemas, []byte(transitionCRD)); err != nil {
		t.Fatal(err)
	}
	d, err := newDecoder([]kind{customKind(schemas, v1alpha1.GroupVersion.WithKind("EnvoyFleet"),
		func(o *v1alpha1.EnvoyFleet) any { return &o.Spec })})
	if err != nil {
		t.Fatal(err)
	}
	parse := func(spec string) Object {
		return d.Parse([]byte("apiVersion: operator.signetproxy.io/v1alpha1\nkind: EnvoyFleet\nmetadata: {name: f}\nspec: " + spec)).Objects[0]
	}
	if _, problems := d.Update(parse("{}"), parse("{httpProxies: {}}")); len(problems) > 0 {
		t.Errorf("what is allowed: %v", problems)
	}
	_, problems := d.Update(parse("{httpProxies: {}}"), parse("{}"))
	want := ":4: EnvoyFleet default/f: spec: Invalid value: httpProxies cannot be taken away"
	if len(problems) != 1 || problems[0].String() != want {
		t.Errorf("got %v, want %s", problems, want)
	}
}

func TestNulls(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ reason, spec string }{
		"field":         {reason: "a null is no value", spec: "{virtualhost: {fqdn: a.example, tls: null}}"},
		"within a list": {reason: "at every depth", spec: "{virtualhost: {fqdn: a.example}, routes: [{services: null, conditions: []}]}"},
		"of everything": {reason: "even if nothing is left", spec: "{virtualhost: null, routes: null}"},
		"none":          {reason: "a list keeps its items", spec: "{virtualhost: {fqdn: a.example}, routes: [{services: []}]}"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := decoder(t).Parse([]byte(proxyHead + "spec: " + tc.spec + "\n")).Objects[0]
			if o.Value == nil {
				t.Errorf("%s: %v", tc.reason, o.Problems)
			}
		})
	}
}

const embeddingCRD = fleetCRD + `
            additionalProperties: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
`

func TestEmbeddedObjects(t *testing.T) {
	t.Parallel()
	schemas := map[schema.GroupVersionKind]*customSchema{}
	if err := addSchemas(schemas, []byte(embeddingCRD)); err != nil {
		t.Fatal(err)
	}
	s := schemas[v1alpha1.GroupVersion.WithKind("EnvoyFleet")]
	cases := map[string]struct {
		reason   string
		embedded map[string]any
		want     []finding
	}{
		"valid": {reason: "it is an object", embedded: map[string]any{"apiVersion": "v1", "kind": "Secret"}},
		"no kind": {
			reason: "an object within an object has a kind", embedded: map[string]any{"apiVersion": "v1"},
			want: []finding{{"spec[a].kind", "Required value"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.admit(map[string]any{"spec": map[string]any{"a": tc.embedded}})
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(finding{})); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(proxyHead + "spec:\n  routes:\n  - services:\n    - {name: s, port: 1, protocol: tls, validation: {caSecret: c, subjectName: a}}\n")
	f.Add("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: b}}]\n---\n- x\n")
	f.Add("{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"s\"}, \"spec\": {\"ports\": [{\"port\": 80}]}}")
	f.Add("a: &a [*a]\n...\n%YAML 1.1\n---\n\xef\xbb\xbf")
	f.Fuzz(func(t *testing.T, text string) {
		d := decoder(t)
		file := d.Parse([]byte(text))
		if file.Broken && (len(file.Objects) > 0 || len(file.Problems) == 0) {
			t.Fatalf("a broken file gives problems and no objects: %+v", file)
		}
		for _, p := range file.Problems {
			if p.Message == "" {
				t.Fatalf("a problem says something: %+v", p)
			}
		}
		for _, o := range file.Objects {
			if (o.Value == nil) == (len(o.Problems) == 0) {
				t.Fatalf("an object is accepted or refused: %+v", o)
			}
			if o.Value == nil {
				continue
			}
			accepted(t, d, o)
		}
	})
}

// accepted holds that what was accepted is valid: written as JSON and read
// again it is accepted, and the same.
func accepted(t *testing.T, d *Decoder, o Object) {
	t.Helper()
	if got := o.Value.GetNamespace() + "/" + o.Value.GetName(); got != o.Key.Namespace+"/"+o.Key.Name {
		t.Fatalf("%s is called %s", o.Key, got)
	}
	again := d.Parse(stated(t, o.Value))
	if len(again.Objects) != 1 || again.Objects[0].Value == nil {
		t.Fatalf("%s was accepted, and refused when read again: %+v", o.Key, again)
	}
}

// stated returns an object as a manifest, without its status.
func stated(t *testing.T, o client.Object) []byte {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	delete(content, "status")
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
