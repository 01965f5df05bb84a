package reference

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// ErrCRD says that a CustomResourceDefinition cannot be described.
var ErrCRD = errors.New("CustomResourceDefinition")

// Options say what goes around the fields.
type Options struct {
	// Head is Markdown for the beginning, with the title.
	Head string
	// Foreign names the fields, by path as "spec.workload.affinity", whose types
	// are Kubernetes': they get no section. The value is the type's name.
	Foreign map[string]string
}

// Markdown describes the one version of a CRD, given as YAML.
func Markdown(crd []byte, o Options) ([]byte, error) {
	var in apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(crd, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCRD, err)
	}
	if len(in.Spec.Versions) != 1 || in.Spec.Versions[0].Schema == nil || in.Spec.Versions[0].Schema.OpenAPIV3Schema == nil {
		return nil, fmt.Errorf("%w %s: there must be one version, with a schema", ErrCRD, in.Name)
	}
	v := &in.Spec.Versions[0]
	w := &writer{options: o, seen: map[string]bool{}}
	w.out.WriteString(o.Head)
	fmt.Fprintf(&w.out, "\n`apiVersion: %s/%s`, `kind: %s`", in.Spec.Group, v.Name, in.Spec.Names.Kind)
	if short := in.Spec.Names.ShortNames; len(short) > 0 {
		fmt.Fprintf(&w.out, ", for kubectl `%s` too", strings.Join(short, "`, `"))
	}
	w.out.WriteString("\n")
	root := v.Schema.OpenAPIV3Schema
	if text := paragraphs(root.Description); text != "" {
		fmt.Fprintf(&w.out, "\n%s\n", text)
	}
	w.rules(root)
	for _, part := range []string{"spec", "status"} {
		if s, ok := root.Properties[part]; ok {
			w.section(part, &s)
		}
	}
	for path := range o.Foreign {
		if !w.seen[path] {
			return nil, fmt.Errorf("%w %s: there is no field %s, which is said to be Kubernetes'", ErrCRD, in.Name, path)
		}
	}
	return w.out.Bytes(), nil
}

type writer struct {
	out     bytes.Buffer
	options Options
	// seen are the foreign fields that there are.
	seen map[string]bool
}

// section describes an object and, behind it, the objects in it.
func (w *writer) section(path string, s *apiextensionsv1.JSONSchemaProps) {
	level := min(strings.Count(path, ".")+2, 6)
	fmt.Fprintf(&w.out, "\n%s %s\n", strings.Repeat("#", level), path)
	if text := paragraphs(s.Description); text != "" {
		fmt.Fprintf(&w.out, "\n%s\n", text)
	}
	w.rules(s)
	w.out.WriteString("\n| Field | Type | Default | Limits | |\n|---|---|---|---|---|\n")
	names := slices.Sorted(maps.Keys(s.Properties))
	for _, name := range names {
		p := s.Properties[name]
		w.row(path+"."+name, name, &p, slices.Contains(s.Required, name))
	}
	for _, name := range names {
		p := s.Properties[name]
		if at, inner := w.object(path+"."+name, &p); inner != nil {
			w.section(at, inner)
		}
	}
}

// object is the object that a field is or is a list of, and its path; nil if it
// has no fields of ours.
func (w *writer) object(path string, p *apiextensionsv1.JSONSchemaProps) (string, *apiextensionsv1.JSONSchemaProps) {
	if _, foreign := w.options.Foreign[path]; foreign {
		w.seen[path] = true
		return path, nil
	}
	if p.Type == "array" && p.Items != nil && p.Items.Schema != nil {
		return w.object(path+"[]", p.Items.Schema)
	}
	if len(p.Properties) == 0 {
		return path, nil
	}
	return path, p
}

func (w *writer) row(path, name string, p *apiextensionsv1.JSONSchemaProps, required bool) {
	limits := limitsOf(p)
	if required {
		limits = append([]string{"required"}, limits...)
	}
	byDefault := ""
	if p.Default != nil && string(p.Default.Raw) != "{}" { // the defaults in it tell more
		byDefault = code(strings.Trim(string(p.Default.Raw), `"`))
	}
	fmt.Fprintf(&w.out, "| `%s` | %s | %s | %s | %s |\n",
		name, w.typeOf(path, p), byDefault, cell(strings.Join(limits, "; ")), cell(line(p.Description)))
}

// typeOf names the type of a field; an object leads to its section.
func (w *writer) typeOf(path string, p *apiextensionsv1.JSONSchemaProps) string {
	if t, foreign := w.options.Foreign[path]; foreign {
		return "Kubernetes' " + t
	}
	switch {
	case p.XIntOrString:
		return "integer or string"
	case p.Type == "array" && p.Items != nil && p.Items.Schema != nil:
		return "list of " + w.typeOf(path+"[]", p.Items.Schema)
	case p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil:
		return "map of " + w.typeOf(path+".*", p.AdditionalProperties.Schema)
	case len(p.Properties) > 0:
		return "[object](#" + anchor(path) + ")"
	case p.Format != "":
		return p.Type + ", " + p.Format
	}
	return p.Type
}

// rules lists the rules in CEL of an object.
func (w *writer) rules(s *apiextensionsv1.JSONSchemaProps) {
	if len(s.XValidations) == 0 {
		return
	}
	w.out.WriteString("\nRules:\n\n")
	for i := range s.XValidations {
		r := &s.XValidations[i]
		fmt.Fprintf(&w.out, "- %s: `%s`\n", line(r.Message), r.Rule)
	}
}

// anchor is how GitHub calls a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return -1
	}, heading)
}
