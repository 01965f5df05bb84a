package manifest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	apiextensionsvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/validation/validate"
	sigsjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// sample is a custom object of the repository's manifests as it is validated.
type sample struct {
	schema  *customSchema
	content map[string]any
}

// gatewaySample has what no other manifest has: the junctors of addresses.
const gatewaySample = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: c
  addresses: [{type: IPAddress, value: 192.0.2.1}, {value: '2001:db8::1'}, {type: Hostname, value: a.example}]
  listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 443, protocol: HTTPS, hostname: '*.example.com'}]
status: {addresses: [{type: IPAddress, value: 192.0.2.1}]}
`

// samples are those of short texts first.
var samples = sync.OnceValues(func() ([]sample, error) {
	texts := []string{gatewaySample, fmt.Sprintf(proxyText, 1, 1)}
	for _, dir := range []string{"../../../test/golden/testdata/cases", "../../../examples"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".yaml" {
				return err
			}
			text, err := os.ReadFile(path)
			texts = append(texts, string(text))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(texts, func(a, b string) int { return len(a) - len(b) })
	d, err := NewDecoder()
	if err != nil {
		return nil, err
	}
	var out []sample
	for _, text := range texts {
		for _, doc := range split([]byte(text)) {
			out = append(out, samplesOf(d, doc)...)
		}
	}
	return out, nil
})

func samplesOf(d *Decoder, doc document) []sample {
	raw, err := doc.json()
	if err != nil {
		return nil
	}
	var content map[string]any
	if strict, err := sigsjson.UnmarshalStrict(raw, &content); err != nil || len(strict) > 0 {
		return nil
	}
	gvk, err := kindOf(content)
	if err != nil || d.kinds[gvk].custom == nil {
		return nil
	}
	s := d.kinds[gvk].custom
	s.prune(content)
	defaulting.Default(content, s.structural)
	return []sample{{s, content}}
}

// disagreement says how a verdict differs from that of the schema's validator.
func disagreement(c *check, v apiextensionsvalidation.SchemaValidator, value any) string {
	verdict := c.of(value)
	if verdict == undecided {
		return ""
	}
	errs := apiextensionsvalidation.ValidateCustomResource(nil, value, v)
	if (verdict == valid) == (len(errs) == 0) {
		return ""
	}
	text, _ := json.Marshal(value)
	return fmt.Sprintf("valid: %t; the validator says %v; of %s", verdict == valid, errs, text)
}

// replacements are what may stand in the place of any value.
func replacements() []any {
	return []any{
		nil, "", "a", "A", "*", "/", "a b", "ä", "a\n", "\x00", "a.example", "A.example/x", "192.0.2.1", "2001:db8::1", "1h", "5m1s", "%",
		"2026-11-01T12:00:00Z", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("ä", 253), strings.Repeat("a", 254),
		strings.Repeat("/a", 600), strings.Repeat("a", 5000), "IPAddress", "IPAddress2", "HTTPS", "2", "99999",
		int64(math.MinInt64), int64(math.MinInt32) - 1, int64(-1), int64(0), int64(1), int64(2), int64(65), int64(99), int64(301),
		int64(65535), int64(65536), int64(math.MaxInt32), int64(math.MaxInt32) + 1, int64(math.MaxInt64),
		-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 65.0, 301.5, 1e300, true, false,
		[]any{}, []any{nil}, []any{"a"}, []any{"a", "a"}, []any{map[string]any{}}, []any{int64(1), "b", 0.5},
		map[string]any{}, map[string]any{"a": nil}, map[string]any{"a": "b"}, map[string]any{"a": int64(1), "b": map[string]any{}},
	}
}

// variants change a value a little.
func variants(value any) []any {
	switch v := value.(type) {
	case string:
		return []any{v + "!", v + "\n", " " + v, v + v, strings.ToUpper(v), strings.ToLower(v), v[:len(v)/2], v + ".", "-" + v}
	case int64:
		return []any{v + 1, v - 1, -v, v * 1000, float64(v), float64(v) + 0.5}
	case []any:
		if len(v) > 64 {
			return nil // it was made long already
		}
		out := []any{append(slices.Clone(v), v...), slices.Repeat(v, 20), slices.Repeat(v, 300)}
		for i := range v {
			out = append(out, slices.Delete(slices.Clone(v), i, i+1), append(slices.Clone(v), v[i]))
		}
		return out
	case map[string]any:
		more := maps.Clone(v)
		for i := range 70 {
			more[fmt.Sprintf("more-%d", i)] = "x"
		}
		out := []any{more}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			less := maps.Clone(v)
			delete(less, name)
			out = append(out, less, map[string]any{name: v[name]})
		}
		return out
	default:
		return nil
	}
}

// mutants yields a value with one change each. A place, which leaves out the
// indexes of lists, is changed once; metadata is not, of which a schema says
// nothing.
func mutants(place string, value any, seen map[string]bool, yield func(any)) {
	if strings.HasPrefix(place, ".metadata.") {
		return
	}
	if !seen[place] {
		seen[place] = true
		for _, other := range append(replacements(), variants(value)...) {
			yield(other)
		}
	}
	switch v := value.(type) {
	case []any:
		for i := range v {
			mutants(place+"[]", v[i], seen, func(item any) {
				other := slices.Clone(v)
				other[i] = item
				yield(other)
			})
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			mutants(place+"."+name, v[name], seen, func(field any) {
				other := maps.Clone(v)
				other[name] = field
				yield(other)
			})
		}
	default:
	}
}

// TestVerdictsAgreeWithTheSchemas holds that nothing is accepted which a
// schema's validator refuses.
func TestVerdictsAgreeWithTheSchemas(t *testing.T) {
	t.Parallel()
	all, err := samples()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[*customSchema]map[string]bool{}
	count := [valid + 1]int{}
	for _, s := range all {
		if seen[s.schema] == nil {
			seen[s.schema] = map[string]bool{}
		}
		mutants("", s.content, seen[s.schema], func(mutant any) {
			verdict := s.schema.check.of(mutant)
			count[verdict]++
			if verdict == refused && count[refused]%16 > 0 {
				return // the library decides; TestVerdicts has them all
			}
			if d := disagreement(s.schema.check, s.schema.validator, mutant); d != "" {
				t.Error(d)
			}
		})
	}
	t.Logf("%d objects, %d kinds; of the changed: %d valid, %d refused, %d undecided",
		len(all), len(seen), count[valid], count[refused], count[undecided])
	if len(seen) < 8 || count[valid] < 1000 || count[refused] < 1000 {
		t.Error("the repository's manifests say too little")
	}
}

// TestValidObjectsAreDecided holds that what is valid is accepted at once.
func TestValidObjectsAreDecided(t *testing.T) {
	t.Parallel()
	all, err := samples()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		errs := apiextensionsvalidation.ValidateCustomResource(nil, s.content, s.schema.validator)
		if got := s.schema.check.accepts(s.content); got != (len(errs) == 0) {
			t.Errorf("accepted: %t; the validator says %v; of %v", got, errs, s.content)
		}
	}
}

// unusedValidator must not be asked.
type unusedValidator struct {
	apiextensionsvalidation.SchemaValidator

	t *testing.T
}

func (v unusedValidator) Validate(any, ...apiextensionsvalidation.ValidationOption) *validate.Result {
	v.t.Error("the validator was asked")
	return nil
}

func TestAdmitSparesTheValidator(t *testing.T) {
	t.Parallel()
	gateway := "apiVersion: gateway.networking.k8s.io/v1\n"
	cases := map[string]struct{ reason, text string }{
		"HTTPProxy": {reason: "the commonest kind", text: fmt.Sprintf(proxyText, 1, 1)},
		"TLSCertificateDelegation": {reason: "lists of strings", text: "apiVersion: projectcontour.io/v1\nkind: TLSCertificateDelegation\n" +
			"metadata: {name: d}\nspec: {delegations: [{secretName: s, targetNamespaces: ['*']}]}\n"},
		"EnvoyFleet": {reason: "integers or strings", text: "apiVersion: operator.signetproxy.io/v1alpha1\nkind: EnvoyFleet\nmetadata: {name: f}\n" +
			"spec: {upstreamTLS: {requireValidation: true, minimumProtocolVersion: '1.2'}}\n"},
		"Gateway": {reason: "junctors and formats of addresses", text: gatewaySample},
		"HTTPRoute": {reason: "patterns, enums of numbers, defaults", text: gateway + "kind: HTTPRoute\nmetadata: {name: r}\nspec:\n" +
			"  parentRefs: [{name: g, sectionName: a}]\n  hostnames: [web.example.com]\n  rules:\n" +
			"  - matches: [{path: {type: Exact, value: /a}, headers: [{name: x, value: one}]}]\n" +
			"    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]\n" +
			"  - backendRefs: [{name: web, port: 443, weight: 9}]\n    timeouts: {request: 10s}\n"},
		"GRPCRoute": {reason: "as HTTPRoute", text: gateway + "kind: GRPCRoute\nmetadata: {name: r}\nspec:\n" +
			"  parentRefs: [{name: g}]\n  rules: [{matches: [{method: {service: a.B, method: C}}], backendRefs: [{name: web, port: 443}]}]\n"},
		"BackendTLSPolicy": {reason: "names and hostnames", text: gateway + "kind: BackendTLSPolicy\nmetadata: {name: p}\nspec:\n" +
			"  targetRefs: [{group: '', kind: Service, name: web, sectionName: https}]\n" +
			"  validation: {hostname: web.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs := split([]byte(tc.text))
			raw, err := docs[0].json()
			if err != nil {
				t.Fatal(err)
			}
			var content map[string]any
			if _, err := sigsjson.UnmarshalStrict(raw, &content); err != nil {
				t.Fatal(err)
			}
			gvk, err := kindOf(content)
			if err != nil {
				t.Fatal(err)
			}
			s := *decoder(t).kinds[gvk].custom
			s.validator = unusedValidator{t: t}
			if found := s.admit(content); len(found) > 0 {
				t.Errorf("%s: %v", tc.reason, found)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	everything := []string{"<nil>", "[]interface {}", "bool", "float64", "int64", "map[string]interface {}", "string"}
	cases := map[string]struct {
		reason, schema string
		// left are the types of values that are left to the validator.
		left []string
	}{
		"nothing":            {reason: "everything is valid", schema: "{}"},
		"string":             {reason: "one type", schema: "{type: string}"},
		"number":             {reason: "integers are numbers", schema: "{type: number}"},
		"boolean":            {reason: "one type", schema: "{type: boolean}"},
		"object":             {reason: "one type", schema: "{type: object}"},
		"array":              {reason: "one type", schema: "{type: array, items: {type: string}}"},
		"integer":            {reason: "whole floats may be integers", schema: "{type: integer}", left: []string{"float64"}},
		"nullable":           {reason: "null has its own rule", schema: "{type: object, nullable: true}"},
		"nullable enum":      {reason: "an enum never has null", schema: "{type: string, nullable: true, enum: [a]}"},
		"type of nothing":    {reason: "no type that is known", schema: "{type: nothing}", left: everything},
		"integer or string":  {reason: "two types", schema: "{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}", left: []string{"float64"}},
		"lengths":            {reason: "characters are counted, not bytes", schema: "{type: string, minLength: 1, maxLength: 253}"},
		"pattern":            {reason: "anywhere, unless it is anchored", schema: "{type: string, pattern: '[a-z]$'}"},
		"broken pattern":     {reason: "the validator says what is wrong", schema: "{type: string, pattern: '(?=a)'}", left: everything},
		"pattern alone":      {reason: "a pattern means nothing to other types", schema: "{pattern: '^a'}"},
		"int32":              {reason: "a format is a range", schema: "{type: integer, format: int32}", left: []string{"float64"}},
		"int64":              {reason: "a format is a range", schema: "{type: integer, format: int64}", left: []string{"float64"}},
		"double":             {reason: "no range", schema: "{type: number, format: double}"},
		"float":              {reason: "a range that is not known", schema: "{type: number, format: float}", left: everything},
		"unsupported format": {reason: "it is ignored", schema: "{type: string, format: nothing}"},
		"date-time":          {reason: "formats are asked of the library", schema: "{type: string, format: date-time}", left: typesBut("string", "<nil>")},
		"uuid":               {reason: "formats are asked of the library", schema: "{type: string, format: uuid}", left: typesBut("string", "<nil>")},
		"format alone":       {reason: "one of any type", schema: "{format: ipv4}", left: typesBut("string", "<nil>")},
		"bounds":             {reason: "bounds are allowed", schema: "{type: number, minimum: 1, maximum: 65535}"},
		"exclusive bounds":   {reason: "bounds are not allowed", schema: "{type: number, minimum: 1, exclusiveMinimum: true, maximum: 2, exclusiveMaximum: true}"},
		"bounds alone":       {reason: "bounds mean nothing to other types", schema: "{minimum: 1, maximum: 2}"},
		"broken bound":       {reason: "integers are compared with less of it", schema: "{type: number, minimum: 1.5}", left: everything},
		"huge bound":         {reason: "integers are compared with another one", schema: "{type: number, maximum: 1e19}", left: everything},
		"bound of no int32":  {reason: "the validator refuses everything", schema: "{type: integer, format: int32, maximum: 3000000000}", left: everything},
		"multipleOf":         {reason: "not known", schema: "{type: integer, multipleOf: 2}", left: everything},
		"enum":               {reason: "as they are", schema: "{type: string, enum: [a, A, '2']}"},
		"enum of numbers":    {reason: "as they are", schema: "{type: integer, enum: [1, 301]}", left: []string{"float64"}},
		"enum alone": {
			reason: "the validator converts before it compares", schema: "{enum: [a, 1]}",
			left: []string{"[]interface {}", "bool", "float64", "int64", "map[string]interface {}"},
		},
		"enum of booleans": {reason: "not known", schema: "{enum: [true]}", left: everything},
		"items":            {reason: "how many", schema: "{type: array, minItems: 1, maxItems: 1}"},
		"uniqueItems":      {reason: "not known", schema: "{type: array, uniqueItems: true}", left: everything},
		"required":         {reason: "null is there", schema: "{type: object, required: [a], properties: {a: {}}}"},
		"required alone":   {reason: "not of other types", schema: "{required: [a]}"},
		"property":         {reason: "each has its schema", schema: "{type: object, properties: {a: {type: string}, b: {type: object}}}"},
		"properties":       {reason: "how many", schema: "{type: object, minProperties: 1, maxProperties: 1}"},
		"no others":        {reason: "additionalProperties: false", schema: "{type: object, properties: {a: {}}, additionalProperties: false}"},
		"all others":       {reason: "additionalProperties: true", schema: "{type: object, properties: {a: {type: string}}, additionalProperties: true}"},
		"others":           {reason: "each has the schema", schema: "{type: object, additionalProperties: {type: string}}"},
		"others and named": {reason: "named ones have their own", schema: "{type: object, properties: {a: {}}, additionalProperties: {type: object}}"},
		"unknown fields":   {reason: "they are kept", schema: "{type: object, x-kubernetes-preserve-unknown-fields: true}"},
		"allOf":            {reason: "every one", schema: "{allOf: [{minLength: 2}, {maximum: 1}, {maxItems: 1}]}"},
		"anyOf":            {reason: "one is enough", schema: "{anyOf: [{minLength: 2}, {pattern: A}]}"},
		"oneOf":            {reason: "two are too many", schema: "{oneOf: [{minLength: 2}, {pattern: 'A'}, {maxLength: 0}]}"},
		"not":              {reason: "refused is valid", schema: "{not: {enum: [a, A]}}", left: typesBut("string", "<nil>")},
		"not, undecided":   {reason: "undecided stays it", schema: "{not: {multipleOf: 2}}", left: typesBut("<nil>")},
		"anyOf, undecided": {reason: "what is valid decides", schema: "{anyOf: [{multipleOf: 2}, {maximum: 65}]}", left: []string{"float64", "int64"}},
		"oneOf, undecided": {reason: "two that are valid decide", schema: "{oneOf: [{multipleOf: 2}, {maximum: 65}, {minimum: 0}]}", left: []string{"float64", "int64"}},
		"allOf, undecided": {reason: "what is refused decides", schema: "{allOf: [{multipleOf: 2}, {type: string}]}", left: []string{"string"}},
		"deep and undecided": {reason: "it is left alone where it is", schema: "{type: array, items: {type: integer, multipleOf: 2}}",
			left: []string{"[]interface {}"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, v := compiled(t, tc.schema)
			left := map[string]bool{}
			for _, value := range replacements() {
				if c.of(value) == undecided {
					left[fmt.Sprintf("%T", value)] = true
				}
				if d := disagreement(c, v, value); d != "" {
					t.Errorf("%s: %s", tc.reason, d)
				}
			}
			if diff := cmp.Diff(tc.left, slices.Sorted(maps.Keys(left))); diff != "" {
				t.Errorf("%s: left to the validator (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// typesBut are all types but some, in order.
func typesBut(some ...string) []string {
	all := []string{"<nil>", "[]interface {}", "bool", "float64", "int64", "map[string]interface {}", "string"}
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(some, name) })
}

func compiled(t *testing.T, text string) (*check, apiextensionsvalidation.SchemaValidator) {
	t.Helper()
	var in apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(text), &in); err != nil {
		t.Fatal(err)
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&in, &props, nil); err != nil {
		t.Fatal(err)
	}
	v, openapi, err := apiextensionsvalidation.NewSchemaValidator(&props)
	if err != nil {
		t.Fatal(err)
	}
	return newCheck(openapi), v
}

// FuzzAcceptAgreesWithTheSchema changes an object of the repository's manifests
// in up to a few places.
func FuzzAcceptAgreesWithTheSchema(f *testing.F) {
	all, err := samples()
	if err != nil {
		f.Fatal(err)
	}
	for i := range all {
		f.Add(uint16(i), "a", []byte{2, 0, 0, 0, byte(i), 4})
	}
	f.Fuzz(func(t *testing.T, which uint16, text string, edits []byte) {
		s := all[int(which)%len(all)]
		content := any(runtime.DeepCopyJSON(s.content))
		e := &editor{edits: edits, text: strings.ToValidUTF8(text, "")}
		for range 4 {
			content = e.edit(content)
		}
		if d := disagreement(s.schema.check, s.schema.validator, content); d != "" {
			t.Error(d)
		}
	})
}

// editor changes values as bytes say; without bytes it changes nothing.
type editor struct {
	edits []byte
	text  string
}

func (e *editor) next(n int) int {
	if len(e.edits) == 0 || n == 0 {
		return 0
	}
	b := int(e.edits[0])
	e.edits = e.edits[1:]
	return b % n
}

func (e *editor) edit(value any) any {
	if len(e.edits) == 0 {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		if e.next(8) > 0 && len(v) > 0 {
			name := slices.Sorted(maps.Keys(v))[e.next(len(v))]
			v[name] = e.edit(v[name])
			return v
		}
		if e.next(2) > 0 {
			v[e.text] = e.other(nil)
			return v
		}
	case []any:
		if e.next(8) > 0 && len(v) > 0 {
			i := e.next(len(v))
			v[i] = e.edit(v[i])
			return v
		}
	default:
	}
	return e.other(value)
}

func (e *editor) other(value any) any {
	some := append(replacements(), variants(value)...)
	if n := e.next(2 * len(some)); n < len(some) {
		return runtime.DeepCopyJSONValue(some[n])
	}
	return e.text
}
