package manifest

import (
	"math"
	"reflect"
	"regexp"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
)

// compiler keeps the patterns: a schema repeats a few of them often.
type compiler map[string]*regexp.Regexp

func newCheck(s *spec.Schema) *check { return compiler{}.check(s) }

func (p compiler) check(s *spec.Schema) *check {
	c := &check{
		null:      ifValid((len(s.Type) == 0 || s.Nullable) && len(s.Enum) == 0),
		minLength: s.MinLength, maxLength: s.MaxLength,
		minItems: s.MinItems, maxItems: s.MaxItems,
		minProperties: s.MinProperties, maxProperties: s.MaxProperties,
		required: s.Required,
		allOf:    p.checks(s.AllOf), anyOf: p.checks(s.AnyOf), oneOf: p.checks(s.OneOf),
	}
	known := c.addTypes(s) && c.addBounds(s) && c.addEnum(s.Enum) && p.addPattern(c, s.Pattern)
	c.unknown = !known || !onlyKnown(s.SchemaProps)
	if s.Not != nil {
		c.not = p.check(s.Not)
	}
	if s.Items != nil && s.Items.Schema != nil {
		c.items = p.check(s.Items.Schema)
	}
	if a := s.AdditionalProperties; a != nil {
		c.closed = !a.Allows
		if a.Schema != nil {
			c.additional = p.check(a.Schema)
		}
	}
	if len(s.Properties) > 0 {
		c.properties = make(map[string]*check, len(s.Properties))
	}
	for name, property := range s.Properties {
		c.properties[name] = p.check(&property)
	}
	return c
}

func (p compiler) checks(schemas []spec.Schema) []*check {
	var out []*check
	for i := range schemas {
		out = append(out, p.check(&schemas[i]))
	}
	return out
}

// onlyKnown tells whether a schema has nothing but what a check knows and what
// is said to people. A field that the library adds is not known.
func onlyKnown(s spec.SchemaProps) bool {
	if s.Items != nil && len(s.Items.Schemas) > 0 {
		return false
	}
	s.Description, s.Title, s.Default = "", "", nil
	s.Type, s.Nullable, s.Format, s.Enum = nil, false, "", nil
	s.Minimum, s.ExclusiveMinimum, s.Maximum, s.ExclusiveMaximum = nil, false, nil, false
	s.MinLength, s.MaxLength, s.Pattern = nil, nil, ""
	s.MinItems, s.MaxItems, s.Items = nil, nil, nil
	s.MinProperties, s.MaxProperties, s.Required = nil, nil, nil
	s.Properties, s.AdditionalProperties = nil, nil
	s.AllOf, s.AnyOf, s.OneOf, s.Not = nil, nil, nil, nil
	return reflect.ValueOf(s).IsZero()
}

// addTypes adds types and format. A format means something to one type alone.
func (c *check) addTypes(s *spec.Schema) bool {
	for _, name := range s.Type {
		if typeNames[name] == 0 {
			return false
		}
		c.types |= typeNames[name]
	}
	switch {
	case s.Format == "":
		return true
	case len(s.Type) == 0 || len(s.Type) == 1 && c.types == stringType:
		c.format = s.Format
		return strfmt.Default.ContainsName(s.Format)
	case len(s.Type) == 1 && c.types == integerType:
		c.int32 = s.Format == "int32"
		return c.int32 || s.Format == "int64"
	default:
		return len(s.Type) == 1 && c.types == numberType && s.Format == "double"
	}
}

func (c *check) addBounds(s *spec.Schema) bool {
	var lower, upper bool
	c.minimum, lower = c.bound(s.Minimum, s.ExclusiveMinimum)
	c.maximum, upper = c.bound(s.Maximum, s.ExclusiveMaximum)
	return lower && upper
}

// bound does not know what the validator refuses every value for.
func (c *check) bound(limit *float64, exclusive bool) (*bound, bool) {
	const exact = 1 << 53
	if limit == nil {
		return nil, true
	}
	v := *limit
	if v != math.Trunc(v) || math.Abs(v) > exact || c.int32 && (v < math.MinInt32 || v > math.MaxInt32) {
		return nil, false
	}
	return &bound{int64(v), exclusive}, true
}

func (c *check) addEnum(values []any) bool {
	c.enum = len(values) > 0
	for _, value := range values {
		switch v := value.(type) {
		case string:
			c.texts = append(c.texts, v)
		case int64:
			c.numbers = append(c.numbers, v)
		default:
			return false
		}
	}
	return true
}

func (p compiler) addPattern(c *check, pattern string) bool {
	if pattern == "" {
		return true
	}
	if p[pattern] == nil {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return false
		}
		p[pattern] = compiled
	}
	c.pattern = p[pattern]
	return true
}
