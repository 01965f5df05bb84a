package manifest

import (
	"math"
	"regexp"
	"slices"
	"unicode/utf8"

	"k8s.io/kube-openapi/pkg/validation/strfmt"
)

// verdict is what a check says of a value. Where several checks must hold, the
// least of their verdicts does.
type verdict int8

const (
	refused verdict = iota
	undecided
	valid
)

// check is a schema compiled once. It says of a value what the schema's
// validator, which is built anew for every value, would say: never that a value
// is valid which the validator refuses, or the other way round. What it does
// not know for certain is undecided.
type check struct {
	// unknown is set when the schema has something that is not known here.
	unknown bool
	types   typeSet
	null    verdict

	// format is that of a string.
	format               string
	minLength, maxLength *int64
	pattern              *regexp.Regexp

	int32            bool
	minimum, maximum *bound

	enum    bool
	texts   []string
	numbers []int64

	minItems, maxItems *int64
	items              *check

	minProperties, maxProperties *int64
	required                     []string
	properties                   map[string]*check
	additional                   *check
	// closed is set when there may be no other properties.
	closed bool

	allOf, anyOf, oneOf []*check
	not                 *check
}

// bound is a whole number: others are compared in several ways.
type bound struct {
	whole     int64
	exclusive bool
}

// typeSet holds the types that are allowed; it is empty when all are.
type typeSet uint8

const (
	objectType typeSet = 1 << iota
	arrayType
	stringType
	integerType
	numberType
	booleanType
)

var typeNames = map[string]typeSet{
	"object": objectType, "array": arrayType, "string": stringType,
	"integer": integerType, "number": numberType, "boolean": booleanType,
}

// accepts tells whether the validator would surely find nothing wrong.
func (c *check) accepts(value any) bool { return c.of(value) == valid }

func (c *check) of(value any) verdict {
	if c.unknown {
		return undecided
	}
	out := undecided
	switch v := value.(type) {
	case nil:
		return c.null // nothing else is looked at
	case string:
		out = c.ofString(v)
	case int64:
		out = c.ofInteger(v)
	case float64:
		out = c.ofFloat(v)
	case bool:
		out = c.ofType(booleanType)
	case []any:
		out = c.ofList(v)
	case map[string]any:
		out = c.ofObject(v)
	default:
	}
	if out == refused {
		return refused
	}
	return min(out, c.ofEnum(value), c.ofJunctors(value))
}

// ofType leaves to the validator a value of another type than its format's.
func (c *check) ofType(t typeSet) verdict {
	if c.format != "" && t != stringType {
		return undecided
	}
	return ifValid(c.types == 0 || c.types&t != 0)
}

func (c *check) ofString(v string) verdict {
	if c.ofType(stringType) == refused {
		return refused
	}
	if (c.minLength != nil || c.maxLength != nil) && within(utf8.RuneCountInString(v), c.minLength, c.maxLength) == refused {
		return refused
	}
	if c.pattern != nil && !c.pattern.MatchString(v) {
		return refused
	}
	return ifValid(c.format == "" || strfmt.Default.Validates(c.format, v))
}

func (c *check) ofInteger(v int64) verdict {
	if c.int32 && (v < math.MinInt32 || v > math.MaxInt32) {
		return refused
	}
	if b := c.minimum; b != nil && (v < b.whole || b.exclusive && v == b.whole) {
		return refused
	}
	if b := c.maximum; b != nil && (v > b.whole || b.exclusive && v == b.whole) {
		return refused
	}
	return c.ofType(integerType | numberType)
}

// ofFloat leaves to the validator the whole ones that may be integers.
func (c *check) ofFloat(v float64) verdict {
	if c.types&integerType != 0 {
		return undecided
	}
	if b := c.minimum; b != nil && (v < float64(b.whole) || b.exclusive && v <= float64(b.whole)) {
		return refused
	}
	if b := c.maximum; b != nil && (v > float64(b.whole) || b.exclusive && v >= float64(b.whole)) {
		return refused
	}
	return c.ofType(numberType)
}

func (c *check) ofList(v []any) verdict {
	out := min(c.ofType(arrayType), within(len(v), c.minItems, c.maxItems))
	if c.items == nil {
		return out
	}
	for _, item := range v {
		out = min(out, c.items.of(item))
	}
	return out
}

func (c *check) ofObject(v map[string]any) verdict {
	out := min(c.ofType(objectType), within(len(v), c.minProperties, c.maxProperties))
	for _, name := range c.required {
		if _, ok := v[name]; !ok {
			return refused
		}
	}
	for name, value := range v {
		property, named := c.properties[name]
		switch {
		case named:
			out = min(out, property.of(value))
		case c.closed:
			return refused
		case c.additional != nil:
			out = min(out, c.additional.of(value))
		default:
		}
	}
	return out
}

// ofEnum leaves to the validator what it would convert before it compares.
func (c *check) ofEnum(value any) verdict {
	if !c.enum {
		return valid
	}
	switch v := value.(type) {
	case string:
		return ifValid(slices.Contains(c.texts, v))
	case int64:
		if !slices.Contains(c.numbers, v) && len(c.texts) > 0 {
			return undecided
		}
		return ifValid(slices.Contains(c.numbers, v))
	default:
		return undecided
	}
}

func (c *check) ofJunctors(value any) verdict {
	out := valid
	for _, one := range c.allOf {
		out = min(out, one.of(value))
	}
	if len(c.anyOf) > 0 {
		best := refused
		for _, one := range c.anyOf {
			best = max(best, one.of(value))
		}
		out = min(out, best)
	}
	if len(c.oneOf) > 0 {
		var count [valid + 1]int
		for _, one := range c.oneOf {
			count[one.of(value)]++
		}
		if count[valid] < 2 && count[undecided] > 0 {
			return min(out, undecided)
		}
		out = min(out, ifValid(count[valid] == 1))
	}
	if c.not != nil {
		out = min(out, valid-c.not.of(value))
	}
	return out
}

func ifValid(ok bool) verdict {
	if ok {
		return valid
	}
	return refused
}

func within(n int, from, to *int64) verdict {
	return ifValid((from == nil || int64(n) >= *from) && (to == nil || int64(n) <= *to))
}
