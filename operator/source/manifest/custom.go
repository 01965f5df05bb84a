package manifest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apiextensionsvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/yaml"
)

// customSchema is what a CRD says of one version of its kind.
type customSchema struct {
	namespaced bool
	status     bool
	// transition is set when a CEL rule compares old and new.
	transition bool
	// embeds is set when there may be an object within an object.
	embeds     bool
	structural *structuralschema.Structural
	validator  apiextensionsvalidation.SchemaValidator
	check      *check
	rules      *cel.Validator
}

// schemasOf reads all CRDs of a file system's root.
func schemasOf(files fs.FS) (map[schema.GroupVersionKind]*customSchema, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("CRDs: %w", err)
	}
	out := map[schema.GroupVersionKind]*customSchema{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("CRD %s: %w", name, err)
		}
		if err := addSchemas(out, text); err != nil {
			return nil, fmt.Errorf("CRD %s: %w", name, err)
		}
	}
	return out, nil
}

func addSchemas(to map[schema.GroupVersionKind]*customSchema, text []byte) error {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		s, err := newSchema(v)
		if err != nil {
			return fmt.Errorf("version %s: %w", v.Name, err)
		}
		s.namespaced = crd.Spec.Scope == apiextensionsv1.NamespaceScoped
		to[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = s
	}
	return nil
}

func newSchema(v *apiextensionsv1.CustomResourceDefinitionVersion) (*customSchema, error) {
	var props apiextensions.JSONSchemaProps
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil)
	if err != nil {
		return nil, fmt.Errorf("convert the schema: %w", err)
	}
	s := &customSchema{status: v.Subresources != nil && v.Subresources.Status != nil}
	if s.structural, err = structuralschema.NewStructural(&props); err != nil {
		return nil, fmt.Errorf("the schema is not structural: %w", err)
	}
	var openapi *spec.Schema
	if s.validator, openapi, err = apiextensionsvalidation.NewSchemaValidator(&props); err != nil {
		return nil, fmt.Errorf("make a validator: %w", err)
	}
	s.check = newCheck(openapi)
	s.rules = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	visitor := structuralschema.Visitor{Structural: func(part *structuralschema.Structural) bool {
		s.transition = s.transition || comparesOld(part.XValidations)
		s.embeds = s.embeds || part.XEmbeddedResource
		return false
	}}
	visitor.Visit(s.structural)
	return s, nil
}

// comparesOld tells whether there is a rule that reads oldSelf.
func comparesOld(rules apiextensionsv1.ValidationRules) bool {
	return slices.ContainsFunc(rules, func(rule apiextensionsv1.ValidationRule) bool {
		return strings.Contains(rule.Rule, "oldSelf")
	})
}

// admit prunes, defaults and validates content in place, in the API server's
// order, and returns what it would refuse.
func (s *customSchema) admit(content map[string]any) []finding {
	out := s.prune(content)
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(content, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return append(out, finding{field: "metadata", message: err.Error()})
	}
	for _, path := range unknown {
		out = append(out, unknownField(path))
	}
	if found {
		if err := objectmeta.SetObjectMeta(content, meta); err != nil {
			return append(out, finding{field: "metadata", message: err.Error()})
		}
	}
	if s.status {
		delete(content, "status")
	}
	defaulting.Default(content, s.structural)
	return append(out, fieldFindings(s.validate(content))...)
}

// prune removes fields that the schema does not have.
func (s *customSchema) prune(content map[string]any) []finding {
	var out []finding
	options := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(content, s.structural, true, options) {
		out = append(out, unknownField(path))
	}
	if holdsNull(content) {
		defaulting.PruneNonNullableNullsWithoutDefaults(content, s.structural)
	}
	return out
}

// holdsNull spares the search for what most objects do not have: it follows
// the schema, whose parts it copies.
func holdsNull(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(v, holdsNull)
	case map[string]any:
		for _, field := range v {
			if holdsNull(field) {
				return true
			}
		}
	default:
	}
	return false
}

func (s *customSchema) validate(content map[string]any) field.ErrorList {
	var errs field.ErrorList
	if !s.check.accepts(content) {
		errs = apiextensionsvalidation.ValidateCustomResource(nil, content, s.validator)
	}
	if s.embeds {
		errs = append(errs, objectmeta.Validate(context.Background(), nil, content, s.structural, false)...)
	}
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, content)...)
	if s.rules == nil || blocks(errs) {
		return errs
	}
	broken, _ := s.rules.Validate(context.Background(), nil, s.structural, content, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

// blocks tells whether CEL rules cannot be evaluated safely: they may rely on
// what the schema promises.
func blocks(errs field.ErrorList) bool {
	for _, e := range errs {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		default:
		}
	}
	return false
}

// transitions evaluates the rules that compare an object with its old version.
func (s *customSchema) transitions(content, old map[string]any) []finding {
	errs, _ := s.rules.Validate(context.Background(), nil, s.structural, content, old, celconfig.RuntimeCELCostBudget)
	return fieldFindings(errs)
}
