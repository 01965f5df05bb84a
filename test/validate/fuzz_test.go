package validate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signetproxy/signet/test/validate"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
)

// askEnvoyEach is after how many inputs Envoy is asked about one of which
// nothing is new.
const askEnvoyEach = 500

// FuzzManifests holds of any manifests: they are translated without a panic,
// into resources that pass Envoy's rules and statuses that can be written,
// without a private key anywhere but in a Secret's body. Where the resources
// show something new a real Envoy validates them, and from time to time else.
//
// ${name} in the input stands for a PEM file of the golden cases.
func FuzzManifests(f *testing.F) {
	cases := goldenCases(f)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		f.Add([]byte(cases[name]))
	}
	f.Add([]byte(sample))
	f.Add([]byte(keysEverywhere))
	pki, keys, path, seen := goldenPKI(f), newPrivateKeys(f), envoyPath(f), &features{known: map[string]bool{}}
	f.Fuzz(func(t *testing.T, manifests []byte) {
		tr := newTranslation(0)
		tr.commitText(t, []byte(pki.Replace(string(manifests))))
		for _, fail := range tr.revision.Failures() {
			if p := (*graph.PanicError)(nil); errors.As(fail.Err, &p) {
				t.Errorf("%v\n%s", p, p.Stack)
			}
		}
		resources := tr.resources()
		messages := checkResources(t, resources)
		if !t.Failed() && seen.ask(messages) {
			if err := validate.Run(t.Context(), path, validate.Part{Name: "it", Resources: resources}); err != nil {
				t.Error(err)
			}
		}
		report, err := json.Marshal(tr.report(t))
		if err != nil {
			t.Fatal(err)
		}
		if !keys.onlyInSecrets(manifests) {
			return
		}
		if keys.found(report) {
			t.Errorf("the report holds a private key: %s", report)
		}
		for _, r := range resources {
			if r.Type != envoy.SecretType && keys.found(r.Body) {
				t.Errorf("%s holds a private key", r)
			}
		}
	})
}

// checkResources holds that each resource can be decoded, is valid by Envoy's
// own rules, and has a name that no other has.
func checkResources(t *testing.T, resources []*envoy.Resource) []proto.Message {
	t.Helper()
	out := make([]proto.Message, len(resources))
	names := map[string]bool{}
	for i, r := range resources {
		if id := string(r.Type) + " " + r.Name; r.Name == "" || names[id] {
			t.Errorf("%s: the name is empty or not the only one", r)
		} else {
			names[id] = true
		}
		m, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		v, ok := m.(interface{ ValidateAll() error })
		if !ok {
			t.Fatalf("%s has no rules", r)
		}
		if err := v.ValidateAll(); err != nil {
			t.Errorf("%s: %v", r, err)
		}
		out[i] = m
	}
	return out
}

// features remembers what resources have shown: each field, each value of an
// enumeration, and for texts the odd characters in them.
type features struct {
	mu    sync.Mutex
	count int
	known map[string]bool
}

// ask tells whether Envoy should be asked about these messages.
func (f *features) ask(messages []proto.Message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.known)
	for _, m := range messages {
		// No visit changes anything, so nothing is packed anew.
		_ = validate.Walk(m, func(m proto.Message) {
			m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				f.add(fd, v)
				return true
			})
		})
	}
	f.count++
	return len(f.known) > before || f.count%askEnvoyEach == 0
}

func (f *features) add(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case fd.IsMap():
	case fd.IsList():
		for i := range v.List().Len() {
			f.addValue(fd, v.List().Get(i))
		}
		return
	default:
		f.addValue(fd, v)
		return
	}
	f.known[string(fd.FullName())] = true
}

func (f *features) addValue(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	id := string(fd.FullName())
	switch fd.Kind() {
	case protoreflect.EnumKind:
		id += fmt.Sprint(" ", v.Enum())
	case protoreflect.BoolKind:
		id += fmt.Sprint(" ", v.Bool())
	case protoreflect.StringKind:
		id += " " + oddities(v.String())
	default:
	}
	f.known[id] = true
}

// oddities are the kinds of characters in a text that are not plain.
func oddities(s string) string {
	kinds := map[rune]bool{}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z':
			kinds['A'] = true
		case c < ' ' || c == 0x7f:
			kinds['^'] = true
		case c > 0x7f:
			kinds['~'] = true
		default:
			kinds[c] = true
		}
	}
	return string(slices.Sorted(maps.Keys(kinds)))
}

// keysEverywhere has private keys where none belongs: beside certificates, and
// in Secrets that are refused.
const keysEverywhere = `
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: shop}
spec:
  virtualhost:
    fqdn: shop.test
    tls: {secretName: cert}
  routes:
  - services: [{name: web, port: 443, protocol: tls, validation: {caSecret: ca, subjectName: web.test}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 443}]}
---
apiVersion: v1
kind: Secret
metadata: {name: ca}
stringData:
  ca.crt: "${ca}${host-key}"
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: cert}
stringData:
  tls.crt: "${host-cert}${host-key}"
  tls.key: "${host-key}"
---
apiVersion: v1
kind: Secret
metadata: {name: refused}
data:
  tls.key: "${client-key}"
---
apiVersion: v1
kind: Secret
metadata: {name: refused-too}
stringData:
  tls.key: ["${client-key}"]
---
apiVersion: v1
kind: Secret
metadata: {name: misspelt}
stringdata:
  tls.key: "${client-key}"
`

// privateKeys are those of the golden cases.
type privateKeys struct {
	needles [][]byte
}

func newPrivateKeys(tb testing.TB) privateKeys {
	tb.Helper()
	var out privateKeys
	for name, pem := range read(tb, golden+"/pki", ".pem") {
		if !strings.HasSuffix(name, "-key") {
			continue
		}
		lines := strings.Split(strings.TrimSpace(pem), "\n")
		for _, line := range lines[1 : len(lines)-1] {
			if len(line) < 32 {
				continue
			}
			out.needles = append(out.needles, []byte(line))
			// In base64 a text has three forms, by where it begins.
			for shift := range 3 {
				out.needles = append(out.needles, []byte(base64.RawStdEncoding.EncodeToString([]byte(line[shift:shift+27]))))
			}
		}
	}
	if len(out.needles) < 8 {
		tb.Fatal("where are the private keys?")
	}
	return out
}

func (k privateKeys) found(in []byte) bool {
	return slices.ContainsFunc(k.needles, func(n []byte) bool { return bytes.Contains(in, n) })
}

var (
	keyPlaceholder = regexp.MustCompile(`\$\{[a-z]+-key\}`)
	secretLine     = regexp.MustCompile(`^\s+(stringData: \{)?(tls\.crt: "[^:]*", )?(tls\.crt|tls\.key|ca\.crt|ca\.key): *\[?"(\$\{[a-z-]+\})+"\]?\}?$`)
)

// onlyInSecrets tells whether every private key of the manifests stands where
// a Secret has it: whoever writes one into a route publishes it.
func (k privateKeys) onlyInSecrets(manifests []byte) bool {
	if k.found(manifests) {
		return false
	}
	for doc := range strings.SplitSeq(string(manifests), "\n---\n") {
		for line := range strings.SplitSeq(doc, "\n") {
			if keyPlaceholder.MatchString(line) && (!secretLine.MatchString(line) || !strings.Contains(doc, "\nkind: Secret\n")) {
				return false
			}
		}
	}
	return true
}

// TestPrivateKeys proves that the fuzz target's watch over keys can bite.
func TestPrivateKeys(t *testing.T) {
	keys, pki := newPrivateKeys(t), goldenPKI(t)
	if !keys.onlyInSecrets([]byte(keysEverywhere)) {
		t.Error("the seed with private keys in Secrets is not watched")
	}
	if keys.onlyInSecrets([]byte(strings.Replace(keysEverywhere, "shop.test", "${host-key}", 1))) {
		t.Error("a private key in a route counts as one in a Secret")
	}
	pem := pki.Replace("${host-key}")
	for name, text := range map[string]string{
		"in JSON": pem, "in base64": base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(pem, `\n`, "\n"))),
	} {
		if !keys.found([]byte(text)) {
			t.Errorf("a key is not found %s", name)
		}
	}
	if keys.found([]byte(pki.Replace("${host-cert}"))) {
		t.Error("a certificate counts as a key")
	}
}
