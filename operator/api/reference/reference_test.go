package reference_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/crds"
	"github.com/signetproxy/signet/operator/api/reference"
)

const small = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things, shortNames: [th]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        description: |-
          Thing is one
          thing.

          It has a second paragraph.
        x-kubernetes-validations:
        - {rule: "self.metadata.name.size() <= 48", message: a name is short}
        properties:
          apiVersion: {type: string}
          metadata: {type: object}
          spec:
            type: object
            description: Spec is what is asked for.
            required: [size]
            x-kubernetes-validations:
            - {rule: "self.size > 1 || has(self.kind)", message: a small thing needs a kind}
            properties:
              size: {type: integer, format: int32, minimum: 1, maximum: 9, default: 3, description: "Size in metres,\nat least 1."}
              kind: {type: string, default: A, enum: [A, B], pattern: "^(A|B)$"}
              names: {type: array, x-kubernetes-list-type: set, maxItems: 2, items: {type: string, minLength: 1, maxLength: 5}}
              labels: {type: object, additionalProperties: {type: string}, minProperties: 1}
              share: {x-kubernetes-int-or-string: true}
              patch: {type: object, x-kubernetes-preserve-unknown-fields: true}
              port: {type: integer, x-kubernetes-validations: [{rule: "self != 7", message: 7 is taken}]}
              theirs: {type: object, default: {}, properties: {deep: {type: string}}}
              parts:
                type: array
                description: Parts of it.
                items:
                  type: object
                  description: Part is one.
                  properties:
                    since: {type: string, format: date-time}
`

const smallReference = `# Things

` + "`apiVersion: example.com/v1`, `kind: Thing`, for kubectl `th` too" + `

Thing is one thing.

It has a second paragraph.

Rules:

- a name is short: ` + "`self.metadata.name.size() <= 48`" + `

## spec

Spec is what is asked for.

Rules:

- a small thing needs a kind: ` + "`self.size > 1 || has(self.kind)`" + `

| Field | Type | Default | Limits | |
|---|---|---|---|---|
` + "| `kind` | string | `A` | one of `A`, `B`; matches `^(A\\|B)$` |  |" + `
` + "| `labels` | map of string |  | at least 1 members |  |" + `
` + "| `names` | list of string |  | at most 2 entries; no entry twice; each 1 to 5 characters |  |" + `
` + "| `parts` | list of [object](#specparts) |  |  | Parts of it. |" + `
` + "| `patch` | object |  | any fields |  |" + `
` + "| `port` | integer |  | 7 is taken |  |" + `
` + "| `share` | integer or string |  |  |  |" + `
` + "| `size` | integer, int32 | `3` | required; 1 to 9 | Size in metres, at least 1. |" + `
` + "| `theirs` | Kubernetes' Theirs |  |  |  |" + `

### spec.parts[]

Part is one.

| Field | Type | Default | Limits | |
|---|---|---|---|---|
` + "| `since` | string, date-time |  |  |  |" + `
`

func TestMarkdown(t *testing.T) {
	got, err := reference.Markdown([]byte(small), reference.Options{
		Head: "# Things\n", Foreign: map[string]string{"spec.theirs": "Theirs"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(smallReference, string(got)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// What cannot be described is an error and not a gap in the text.
func TestMarkdownRefuses(t *testing.T) {
	cases := map[string]struct {
		reason  string
		crd     string
		options reference.Options
	}{
		"No YAML":        {"nothing can be read", "{", reference.Options{}},
		"No version":     {"there is nothing to describe", "metadata: {name: a}", reference.Options{}},
		"Another object": {"it has unknown fields", "kind: Service\nspec: {ports: []}", reference.Options{}},
		"Stale name":     {"a field was renamed", small, reference.Options{Foreign: map[string]string{"spec.gone": "Gone"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if out, err := reference.Markdown([]byte(tc.crd), tc.options); !errors.Is(err, reference.ErrCRD) {
				t.Errorf("%s: %v\n%s", tc.reason, err, out)
			}
		})
	}
}

// Every field of an EnvoyFleet has its row, with a description, and every link
// leads to a heading.
func TestEnvoyFleetIsComplete(t *testing.T) {
	crd, err := crds.Files.ReadFile("operator.signetproxy.io_envoyfleets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := reference.Markdown(crd, reference.EnvoyFleet())
	if err != nil {
		t.Fatal(err)
	}
	var in apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(crd, &in); err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for s := range strings.SplitSeq("\n"+string(text), "\n#") {
		head, body, _ := strings.Cut(strings.TrimLeft(s, "#"), "\n")
		sections[strings.TrimSpace(head)] = body
	}
	fields := 0
	var walk func(path string, p *apiextensionsv1.JSONSchemaProps)
	walk = func(path string, p *apiextensionsv1.JSONSchemaProps) {
		if _, foreign := reference.EnvoyFleet().Foreign[path]; foreign {
			return
		}
		for name, f := range p.Properties {
			fields++
			if !strings.Contains(sections[path], "\n| `"+name+"` | ") {
				t.Errorf("%s.%s has no row", path, name)
			}
			walk(path+"."+name, &f)
		}
		if p.Items != nil {
			walk(path+"[]", p.Items.Schema)
		}
	}
	root := in.Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, part := range []string{"spec", "status"} {
		p := root.Properties[part]
		walk(part, &p)
	}
	if fields < 90 {
		t.Errorf("%d fields: where are the others?", fields)
	}
	for link := range strings.SplitSeq(string(text), "](#") {
		if anchor, _, ok := strings.Cut(link, ")"); ok && !strings.HasPrefix(link, "# ") {
			found := false
			for head := range sections {
				found = found || strings.NewReplacer(".", "", "[", "", "]", "").Replace(strings.ToLower(head)) == anchor
			}
			if !found {
				t.Errorf("the link to #%s leads nowhere", anchor)
			}
		}
	}
}
