package httpproxy

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/translator/reason"
)

// The base of a field's case: a spec in which the field has a meaning.
const (
	baseRoute = `
virtualhost: {fqdn: a.example.com, tls: {secretName: cert}}
routes: [{conditions: [{prefix: /a}], services: [{name: web, port: 80}]}]`
	baseHeader = `
virtualhost: {fqdn: a.example.com}
includes: [{name: child, conditions: [{header: {name: x%s}}]}]
routes: [{conditions: [{header: {name: x%[1]s}}], services: [{name: web, port: 80}]}]`
	baseQuery = `
virtualhost: {fqdn: a.example.com}
includes: [{name: child, conditions: [{queryParameter: {name: x%s}}]}]
routes: [{conditions: [{queryParameter: {name: x%[1]s}}], services: [{name: web, port: 80}]}]`
	baseOpen = `
virtualhost: {fqdn: a.example.com}
includes: [{name: child, conditions: [{}]}]
routes: [{conditions: [{}], services: [{name: web, port: 80}]}]`
	baseRedirect = `
virtualhost: {fqdn: a.example.com}
routes: [{requestRedirectPolicy: {}}]`
	baseDirect = `
virtualhost: {fqdn: a.example.com}
routes: [{directResponsePolicy: {statusCode: 200}}]`
	baseHash = `
virtualhost: {fqdn: a.example.com}
routes: [{services: [{name: web, port: 80}], loadBalancerPolicy: {strategy: RequestHash, requestHashPolicies: [{%s}]}}]`
	baseHealth = `
virtualhost: {fqdn: a.example.com}
routes: [{services: [{name: web, port: 80}], healthCheckPolicy: {path: /h}}]`
	baseSlow = `
virtualhost: {fqdn: a.example.com, tls: {passthrough: true}}
routes: [{services: [{name: web, port: 80, slowStartPolicy: {window: 3s}}]}]
tcpproxy: {services: [{name: web, port: 80, slowStartPolicy: {window: 3s}}]}`
	baseTrust = `
virtualhost: {fqdn: a.example.com, tls: {passthrough: true}}
routes: [{services: [{name: web, port: 443, validation: {%s}}]}]
tcpproxy: {services: [{name: web, port: 443, validation: {%[1]s}}]}`
	baseTCP = `
virtualhost: {fqdn: a.example.com, tls: {passthrough: true}}
tcpproxy: {services: [{name: web, port: 80}]}`
	baseTCPInclude = `
virtualhost: {fqdn: a.example.com, tls: {passthrough: true}}
tcpproxy: {%s: {name: child}}`
	baseHeaders = `
virtualhost: {fqdn: a.example.com}
routes:
- services: [{name: web, port: 80, requestHeadersPolicy: {set: [{name: X-A, value: a}]}, responseHeadersPolicy: {set: [{name: X-A, value: a}]}}]
  requestHeadersPolicy: {set: [{name: X-A, value: a}]}
  responseHeadersPolicy: {set: [{name: X-A, value: a}]}`
	baseRewrite = `
virtualhost: {fqdn: a.example.com}
routes: [{services: [{name: web, port: 80}], pathRewritePolicy: {replacePrefix: [{replacement: /x}]}}]`
)

// fieldCase says how a field that is translated is set; the first pattern that
// matches the path counts.
type fieldCase struct {
	path  string // regular expression over the whole path
	base  string
	value string // YAML; "" is a value that fits the type
	// errs says why setting the field is an error.
	errs string
}

var fieldCases = []fieldCase{
	{path: `virtualhost\.fqdn`, value: `b.example.com`},
	{path: `virtualhost\.tls\.secretName`, base: strings.Replace(baseRoute, "tls: {secretName: cert}", "tls: {}", 1), value: `cert`},
	{path: `virtualhost\.tls\.passthrough`, base: strings.Replace(baseTCP, "passthrough: true", "", 1)},
	{path: `virtualhost\.tls\.m\w+ProtocolVersion`, value: `"1.3"`},

	{path: `includes\.conditions\.(exact|regex)`, base: baseOpen, value: `/b`, errs: "not in includes"},
	{path: `.*conditions\.(prefix|exact|regex)`, base: baseOpen, value: `/b`},
	{path: `.*header\.name`, base: strings.ReplaceAll(fmt.Sprintf(baseHeader, ", exact: a"), "name: x,", ""), value: `x`},
	{path: `.*header\.treatMissingAsEmpty`, base: fmt.Sprintf(baseHeader, ", notexact: a")},
	{path: `.*header\.ignoreCase`, base: fmt.Sprintf(baseHeader, ", exact: a")},
	{path: `.*conditions\.header\..*`, base: fmt.Sprintf(baseHeader, "")},
	{path: `.*queryParameter\.name`, base: strings.ReplaceAll(fmt.Sprintf(baseQuery, ", exact: a"), "name: x,", ""), value: `x`},
	{path: `.*queryParameter\.ignoreCase`, base: fmt.Sprintf(baseQuery, ", exact: a")},
	{path: `.*queryParameter\..*`, base: fmt.Sprintf(baseQuery, "")},

	{path: `routes\.requestRedirectPolicy\.scheme`, base: baseRedirect, value: `https`},
	{path: `routes\.requestRedirectPolicy\.statusCode`, base: baseRedirect, value: `301`},
	{path: `routes\.requestRedirectPolicy\.(path|prefix)`, base: baseRedirect, value: `/x`},
	{path: `routes\.requestRedirectPolicy\..*`, base: baseRedirect},
	{path: `routes\.directResponsePolicy\.statusCode`, base: baseDirect, value: `404`},
	{path: `routes\.directResponsePolicy\..*`, base: baseDirect},
	{path: `routes\.timeoutPolicy\..*`, value: `7s`},
	{path: `routes\.retryPolicy\.perTryTimeout`, value: `7s`},
	{path: `routes\.retryPolicy\.retryOn`, value: `[reset]`},
	{path: `routes\.retryPolicy\.retriableStatusCodes`, value: `[503]`},
	{path: `routes\.healthCheckPolicy\.path`, value: `/h`},
	{path: `routes\.healthCheckPolicy\.expectedStatuses\.start`, base: strings.Replace(baseHealth, "path: /h", "path: /h, expectedStatuses: [{end: 300}]", 1), value: `200`},
	{path: `routes\.healthCheckPolicy\.expectedStatuses\.end`, base: strings.Replace(baseHealth, "path: /h", "path: /h, expectedStatuses: [{start: 200}]", 1), value: `300`},
	{path: `routes\.healthCheckPolicy\..*`, base: baseHealth},
	{path: `routes\.loadBalancerPolicy\.strategy`, value: `Random`},
	{path: `routes\.loadBalancerPolicy\.requestHashPolicies\.terminal`, base: fmt.Sprintf(baseHash, "hashSourceIP: true")},
	{path: `routes\.loadBalancerPolicy\..*`, base: fmt.Sprintf(baseHash, "")},
	{path: `routes\.pathRewritePolicy\.replacePrefix\.prefix`, base: baseRewrite, value: `/a`},
	{path: `routes\.pathRewritePolicy\.replacePrefix\.replacement`, base: baseRewrite, value: `/b`},
	{path: `routes\..*HeadersPolicy\..*`, base: baseHeaders},

	{path: `.*services\.name`, base: strings.Replace(baseSlow, "name: web", "name: other", 2)},
	{path: `.*services\.port`, base: strings.ReplaceAll(baseSlow, "port: 80, slow", "port: 0, slow"), value: `80`},
	{path: `routes\.services\.healthPort`, base: baseHealth, value: `8080`},
	{path: `tcpproxy\.services\.healthPort`, base: strings.Replace(baseTCP, "tcpproxy: {", "tcpproxy: {healthCheckPolicy: {}, ", 1), value: `8080`},
	{path: `.*services\.protocol`, base: baseSlow, value: `tls`},
	{path: `.*services\.weight`, base: baseSlow},
	{path: `.*services\.validation\.caSecret`, base: fmt.Sprintf(baseTrust, "subjectName: web.test"), value: `ca`},
	{path: `.*services\.validation\.subjectName`, base: fmt.Sprintf(baseTrust, "caSecret: ca"), value: `web.test`},
	{path: `.*services\.validation\.subjectNames`, base: fmt.Sprintf(baseTrust, "caSecret: ca, subjectName: web.test"), value: `[web.test, x.test]`},
	{path: `.*services\.slowStartPolicy\.window`, base: baseSlow, value: `4s`},
	{path: `.*services\.slowStartPolicy\.aggression`, base: baseSlow, value: `"2.5"`},
	{path: `.*services\.slowStartPolicy\..*`, base: baseSlow},
	{path: `routes\.services\.mirror`, base: strings.Replace(baseRoute, "services: [", "services: [{name: m, port: 80}, ", 1)},
	{path: `tcpproxy\.services\.mirror`, base: baseTCP, errs: "a copy of a byte stream has no use"},

	{path: `tcpproxy\.include\..*`, base: fmt.Sprintf(baseTCPInclude, "include")},
	{path: `tcpproxy\.includes\..*`, base: fmt.Sprintf(baseTCPInclude, "includes")},
	{path: `tcpproxy\.loadBalancerPolicy\.strategy`, base: baseTCP, value: `Random`},
	{path: `tcpproxy\..*`, base: baseTCP},
}

// withoutMeaning are the fields that may be set without anything to say.
var withoutMeaning = map[string]string{
	"virtualhost.rateLimitPolicy.global.disabled": "switches off a limit that there is not",
	"routes.rateLimitPolicy.global.disabled":      "switches off a limit that there is not",
}

// Every field of the API is translated or in the tables of unsupported.go: a
// new version of the API with a new field fails here.
func TestEveryFieldIsAccountedFor(t *testing.T) {
	leaves := fieldPaths(reflect.TypeFor[contourv1.HTTPProxySpec](), nil)
	if len(leaves) < 150 {
		t.Fatalf("only %d fields found: the walk is broken", len(leaves))
	}
	for _, leaf := range leaves {
		path := leaf.String()
		t.Run(path, func(t *testing.T) {
			if _, ok := withoutMeaning[path]; ok {
				return
			}
			if field, ok := unsupportedField(path); ok {
				testUnsupported(t, leaf, field)
				return
			}
			testTranslated(t, leaf)
		})
	}
}

// testUnsupported holds that setting the field is answered by a finding with
// its path.
func testUnsupported(t *testing.T, leaf fieldPath, field string) {
	base, value := baseRoute, ""
	if strings.HasPrefix(field, "tcpproxy.") {
		base = baseTCP
	}
	after := outcome(t, set(t, base, leaf, value))
	field = regexp.QuoteMeta(field)
	field = `"spec\.` + strings.ReplaceAll(strings.Replace(field, "routes", `routes\[0\]`, 1), "services", `services\[0\]`) + `"`
	for _, f := range after.document.Findings {
		if f.Reason != reason.FieldNotSupported && f.Reason != reason.IgnoredField {
			continue
		}
		if regexp.MustCompile(field).MatchString(f.Message) {
			return
		}
	}
	t.Errorf("no finding names %s: %+v", field, after.document.Findings)
}

// testTranslated holds that setting the field changes the outcome.
func testTranslated(t *testing.T, leaf fieldPath) {
	path := leaf.String()
	c := fieldCase{base: baseRoute}
	for _, candidate := range fieldCases {
		if regexp.MustCompile("^" + candidate.path + "$").MatchString(path) {
			c = candidate
			break
		}
	}
	if c.base == "" {
		c.base = baseRoute
	}
	before := outcome(t, spec(t, c.base))
	after := outcome(t, set(t, c.base, leaf, c.value))
	if reflect.DeepEqual(before, after) {
		t.Errorf("setting %s has no effect and nothing says so", path)
	}
	for _, f := range after.document.Findings {
		if f.Severity == Error && c.errs == "" && !slices.Contains(before.document.Findings, f) {
			t.Errorf("setting %s is an error: %s", path, f.Message)
		}
	}
}

type result struct {
	document *Document
	claim    *Claim
}

func outcome(t *testing.T, s map[string]any) result {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{"name": "root", "spec": s})
	if err != nil {
		t.Fatal(err)
	}
	p := proxies(t, string(text))[0]
	return result{
		Translate(&fakeObjects{}, p),
		Claims(p, []Selector{selector(), {Fleet: fleet().Name, IngressClassNames: []string{"x"}, RootNamespaces: []string{"x"}}}),
	}
}

func spec(t *testing.T, manifest string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(manifest), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// set puts a value at the first element of every list on the path.
func set(t *testing.T, manifest string, leaf fieldPath, value string) map[string]any {
	t.Helper()
	root := spec(t, manifest)
	at := root
	for _, step := range leaf[:len(leaf)-1] {
		if step.list {
			list, _ := at[step.name].([]any)
			if len(list) == 0 {
				list = []any{map[string]any{}}
				at[step.name] = list
			}
			at = list[0].(map[string]any) // a list of objects by its type
			continue
		}
		next, _ := at[step.name].(map[string]any)
		if next == nil {
			next = map[string]any{}
			at[step.name] = next
		}
		at = next
	}
	last := leaf[len(leaf)-1]
	at[last.name] = last.sample
	if value != "" {
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		at[last.name] = v
	}
	return root
}

// unsupportedField returns the entry of the tables that covers a path.
func unsupportedField(path string) (string, bool) {
	covers := func(field string) bool { return path == field || strings.HasPrefix(path, field+".") }
	for _, u := range unsupportedHost {
		if f := "virtualhost." + u.path; covers(f) {
			return f, true
		}
	}
	for _, u := range unsupportedRoute {
		if f := "routes." + u.path; covers(f) {
			return f, true
		}
	}
	for _, u := range unsupportedService {
		if f := "routes.services." + u.path; covers(f) {
			return f, true
		}
	}
	for _, u := range unsupportedTCP {
		if f := "tcpproxy.services." + u.path; covers(f) {
			return f, true
		}
	}
	return "", false
}

type fieldStep struct {
	name   string
	list   bool
	sample any
}

type fieldPath []fieldStep

func (p fieldPath) String() string {
	names := make([]string, len(p))
	for i := range p {
		names[i] = p[i].name
	}
	return strings.Join(names, ".")
}

// fieldPaths lists the paths to all fields that hold no further fields.
func fieldPaths(t reflect.Type, above fieldPath) []fieldPath {
	var out []fieldPath
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			panic("field without a name: " + t.String() + "." + f.Name)
		}
		typ, step := f.Type, fieldStep{name: name}
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			step.list = step.list || typ.Kind() == reflect.Slice
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Struct && typ.NumField() > 0 {
			out = append(out, fieldPaths(typ, append(slices.Clip(above), step))...)
			continue
		}
		step.sample = sample(typ)
		if step.list {
			step.sample = []any{step.sample}
		}
		out = append(out, append(slices.Clip(above), step))
	}
	return out
}

func sample(t reflect.Type) any {
	switch t.Kind() {
	case reflect.String:
		return "x"
	case reflect.Bool:
		return true
	case reflect.Map:
		return map[string]any{"k": "v"}
	case reflect.Struct:
		return map[string]any{}
	default:
		return 7
	}
}
