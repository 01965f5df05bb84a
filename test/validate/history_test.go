package validate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/manifest"
	"github.com/signetproxy/signet/test/validate"
	"github.com/signetproxy/signet/translator/envoy"
)

const (
	histories = 200
	steps     = 8
)

// TestEnvoyTakesHistories has Envoy validate what random histories end in. A
// history begins with the objects of some golden cases; objects come, change
// and go, and take on fields of others and odd values.
func TestEnvoyTakesHistories(t *testing.T) {
	decoder, err := manifest.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	pool := newPool(t)
	var (
		parts         []validate.Part
		put, accepted int
	)
	for i := range histories {
		h := &history{
			pool: pool, rand: rand.New(rand.NewPCG(uint64(i), 3)), decoder: decoder,
			translation: newTranslation(i), objects: map[source.Key]map[string]any{},
		}
		h.run(t)
		put, accepted = put+h.put, accepted+h.accepted
		parts = append(parts, validate.Part{Name: fmt.Sprintf("history-%d", i), Resources: h.translation.resources()})
		if i == 0 {
			continue
		}
		for _, f := range h.translation.revision.Failures() {
			t.Logf("history %d: %s %s: %v", i, f.Table, f.Key, f.Err)
		}
	}
	t.Logf("%d objects written, %d accepted", put, accepted)
	if accepted*2 < put {
		t.Errorf("%d of %d objects were accepted: the histories show little", accepted, put)
	}
	err = enough(t, parts, map[envoy.Type]int{
		envoy.ClusterType: 200, envoy.EndpointType: 150, envoy.SecretType: 120, envoy.ListenerType: 400, envoy.ScopeType: 1500,
	})
	if refusal := (*validate.RefusedError)(nil); errors.As(err, &refusal) {
		t.Errorf("%v\nThe seed of the history is its number.", refusal)
	} else if err != nil {
		t.Error(err)
	}
}

// pool is what golden cases are made of.
type pool struct {
	cases [][]map[string]any
	// common are the objects that most proxies need.
	common []map[string]any
	// values by the path of their field, as HTTPProxy.spec.routes[].services[].
	values map[string][]any
	// fields that objects have been seen to have, by path.
	fields map[string][]string
}

func newPool(t *testing.T) *pool {
	t.Helper()
	p := &pool{values: map[string][]any{}, fields: map[string][]string{}}
	pki, cases := goldenPKI(t), goldenCases(t)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		docs := documents(pki.Replace(cases[name]))
		for _, doc := range docs {
			ownHost(doc, len(p.cases))
			p.collect(fmt.Sprint(doc["kind"]), doc)
		}
		if len(docs) > 0 {
			p.cases = append(p.cases, docs)
		}
	}
	p.common = documents(pki.Replace(common))
	return p
}

const common = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{name: http, port: 80}, {name: https, port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: https, port: 8443}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], zone: a}]
---
apiVersion: v1
kind: Secret
metadata: {name: ca, namespace: default}
stringData: {ca.crt: "${ca}"}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: cert, namespace: default}
stringData: {tls.crt: "${host-cert}", tls.key: "${host-key}"}
`

// documents leaves out what cannot be parsed: some cases are about that.
func documents(manifests string) []map[string]any {
	var out []map[string]any
	for text := range strings.SplitSeq(manifests, "\n---\n") {
		var doc map[string]any
		if yaml.Unmarshal([]byte(text), &doc) == nil && doc["kind"] != nil {
			out = append(out, doc)
		}
	}
	return out
}

// ownHost gives a root a name and a host that no other case has: nearly all
// cases have the same.
func ownHost(doc map[string]any, number int) {
	spec, _ := doc["spec"].(map[string]any)
	host, _ := spec["virtualhost"].(map[string]any)
	fqdn, _ := host["fqdn"].(string)
	meta, _ := doc["metadata"].(map[string]any)
	if fqdn == "" || meta == nil {
		return
	}
	meta["name"] = fmt.Sprintf("%v-%d", meta["name"], number)
	if rest, wildcard := strings.CutPrefix(fqdn, "*."); wildcard {
		host["fqdn"] = fmt.Sprintf("*.h%d.%s", number, rest)
	} else {
		host["fqdn"] = fmt.Sprintf("h%d.%s", number, fqdn)
	}
}

func (p *pool) collect(path string, v any) {
	p.values[path] = append(p.values[path], v)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if !slices.Contains(p.fields[path], k) {
				p.fields[path] = append(p.fields[path], k)
			}
			p.collect(path+"."+k, v[k])
		}
	case []any:
		for _, item := range v {
			p.collect(path+"[]", item)
		}
	}
}

// history changes the objects of one translation at random.
type history struct {
	*pool

	rand        *rand.Rand
	decoder     *manifest.Decoder
	translation *translation
	objects     map[source.Key]map[string]any

	put, accepted int
}

func pick[T any](h *history, of []T) T { return of[h.rand.IntN(len(of))] }

func (h *history) maybe(percent float64) bool { return h.rand.Float64()*100 < percent }

func (h *history) run(t *testing.T) {
	t.Helper()
	var b change
	for range 8 {
		for _, doc := range pick(h, h.cases) {
			h.write(t, &b, doc)
		}
	}
	for _, doc := range h.common {
		h.write(t, &b, doc)
	}
	h.translation.commit(b.batch())
	for range steps {
		var b change
		for range 1 + h.rand.IntN(3) {
			h.step(t, &b)
		}
		h.translation.commit(b.batch())
	}
}

// step writes a new object, changes one or deletes one.
func (h *history) step(t *testing.T, b *change) {
	t.Helper()
	keys := slices.SortedFunc(maps.Keys(h.objects), func(a, b source.Key) int { return strings.Compare(a.String(), b.String()) })
	switch {
	case len(keys) == 0 || h.maybe(30):
		h.write(t, b, h.mutant(pick(h, pick(h, h.cases))))
	case h.maybe(20):
		k := pick(h, keys)
		delete(h.objects, k)
		b.remove(k)
	default:
		h.write(t, b, h.mutant(h.objects[pick(h, keys)]))
	}
}

func (h *history) write(t *testing.T, b *change, doc map[string]any) {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	h.put++
	for _, o := range h.decoder.Parse(text).Objects {
		if o.Value == nil {
			continue
		}
		h.accepted++
		h.objects[o.Key] = doc
		b.put(o)
	}
}

// change is a batch in the making: the last word on an object counts.
type change struct {
	last map[source.Key]*manifest.Object
}

func (c *change) put(o manifest.Object) { c.set(o.Key, &o) }

func (c *change) remove(k source.Key) { c.set(k, nil) }

func (c *change) set(k source.Key, o *manifest.Object) {
	if c.last == nil {
		c.last = map[source.Key]*manifest.Object{}
	}
	c.last[k] = o
}

func (c *change) batch() source.Batch {
	var b source.Batch
	for k, o := range c.last {
		if o == nil {
			b.Deleted = append(b.Deleted, k)
		} else {
			b.Changed = append(b.Changed, o.Value)
		}
	}
	return b
}

// mutant returns a changed copy.
func (h *history) mutant(doc map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(doc)
	kind := fmt.Sprint(doc["kind"])
	for _, part := range []string{"metadata", "spec"} {
		if v, ok := out[part]; ok {
			out[part] = h.change(kind+"."+part, v)
		}
	}
	return out
}

// oddTexts and oddNumbers are what Envoy may take for something else.
var (
	oddTexts = []string{
		"", "/", "%", "%%", "%REQ(X)%", "%REQ(", "%DOWNSTREAM_REMOTE_ADDRESS%", "(", "a|b", "[", "\\", "*", "*.", "*.test", "a b", "a\r\nb",
		"é", "\x00", "~", "!", "http|x", ":authority", "Host", "X-A", "x", "0s", "infinity", "-1s", "1h", "9999999h", "1ns", "10.0.0.1", "::1",
		"spiffe://x/y", "h2", "tls", "h2c", "Cookie", "RequestHash", "Random", "WeightedLeastRequest", "1.3", "5xx", "default/ca", "a/../b", "//", "/%2f",
		strings.Repeat("a", 300),
	}
	oddNumbers = []int64{0, 1, 80, 443, 65535, 65536, -1, 100, 200, 301, 599, 600, 1 << 31, 1<<32 - 1, 1 << 40}
)

func (h *history) change(path string, v any) any {
	if h.maybe(1) {
		return copied(pick(h, h.values[path]))
	}
	switch v := v.(type) {
	case map[string]any:
		return h.changeFields(path, v)
	case []any:
		var out []any
		for _, item := range v {
			if !h.maybe(1) {
				out = append(out, h.change(path+"[]", item))
			}
		}
		if more := h.values[path+"[]"]; len(more) > 0 && h.maybe(4) {
			out = append(out, copied(pick(h, more)))
		}
		return out
	case string:
		if h.maybe(1) {
			return pick(h, oddTexts)
		}
	case float64, int64:
		if h.maybe(1) {
			return pick(h, oddNumbers)
		}
	}
	return v
}

func (h *history) changeFields(path string, v map[string]any) map[string]any {
	out := map[string]any{}
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if !h.maybe(0.5) {
			out[k] = h.change(path+"."+k, v[k])
		}
	}
	if names := h.fields[path]; len(names) > 0 && h.maybe(8) {
		k := pick(h, names)
		if values := h.values[path+"."+k]; out[k] == nil {
			out[k] = copied(pick(h, values))
		}
	}
	return out
}

func copied(v any) any { return runtime.DeepCopyJSONValue(v) }
