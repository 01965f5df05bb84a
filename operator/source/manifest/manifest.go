package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsjson "sigs.k8s.io/json"

	"github.com/signetproxy/signet/operator/api/crds"
	"github.com/signetproxy/signet/operator/source"
)

// DefaultNamespace is the namespace of an object that names none.
const DefaultNamespace = "default"

// Decoder reads manifests. It may be used by several goroutines at once.
type Decoder struct {
	kinds map[schema.GroupVersionKind]kind
	// served are the same kinds without their version.
	served map[schema.GroupKind]string
}

var shared = sync.OnceValues(func() (*Decoder, error) {
	custom, err := schemasOf(crds.Files)
	if err != nil {
		return nil, err
	}
	return newDecoder(append(servedKinds(custom), gatewayKinds(custom)...))
})

// NewDecoder returns a decoder of all kinds that are served. An error is a
// defect of the CRDs that the program was built with.
func NewDecoder() (*Decoder, error) { return shared() }

func newDecoder(kinds []kind) (*Decoder, error) {
	d := &Decoder{kinds: map[schema.GroupVersionKind]kind{}, served: map[schema.GroupKind]string{}}
	for _, k := range kinds {
		if k.decode == nil {
			return nil, fmt.Errorf("kind %s: there is no CRD of it", k.gvk)
		}
		d.kinds[k.gvk] = k
		d.served[k.gvk.GroupKind()] = k.gvk.Version
	}
	return d, nil
}

// File is what a text says.
type File struct {
	// Objects of kinds that are served, in the order of the text.
	Objects []Object
	// Problems of documents that are not objects of a served kind. File is
	// empty in them, as in those of Objects.
	Problems []source.Problem
	// Broken is set when the text does not say which objects it holds: a
	// document cannot be parsed or names no object. Objects is empty then.
	Broken bool
}

// Object is an object as one document states it.
type Object struct {
	Key source.Key
	// Line at which it begins, from 1.
	Line int
	// Digest of what the document says, without layout and comments.
	Digest [sha256.Size]byte
	// Value is the object, with namespace, uid, resourceVersion and, where its
	// kind has one, generation 1. It is nil when the object is refused.
	Value client.Object
	// Closed stands for a refused object until there was a good one, for kinds
	// whose lack would leave something unprotected; else nil. It asks for what
	// nobody can do.
	Closed client.Object
	// Problems are why it is refused.
	Problems []source.Problem

	// content and text are kept for kinds with rules about transitions alone:
	// the text is the whole file's.
	content map[string]any
	text    *document
}

// Parse reads a text.
func (d *Decoder) Parse(text []byte) File {
	var f File
	for _, doc := range split(text) {
		if err := d.document(&f, doc); err != nil {
			return File{Broken: true, Problems: doc.broken(err)}
		}
		doc.forget() // objects that are kept keep the document
	}
	return f
}

// document adds what a document says to the file.
func (d *Decoder) document(f *File, doc document) error {
	raw, err := doc.json()
	if err != nil {
		return err
	}
	var v any
	strict, err := sigsjson.UnmarshalStrict(raw, &v)
	if err != nil {
		return err //nolint:wrapcheck // broken says what it may
	}
	if len(strict) > 0 {
		return duplicates(strict)
	}
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		return d.object(f, doc, "", v, raw)
	default:
		return at("", errors.New("a document must be an object with apiVersion, kind and metadata.name"))
	}
}

// object adds an object, or those of a list, found at the given path of the
// document.
func (d *Decoder) object(f *File, doc document, path string, content map[string]any, raw []byte) error {
	gvk, err := kindOf(content)
	if err != nil {
		return at(path, err)
	}
	if items, ok := content["items"].([]any); ok && d.isList(gvk) {
		return d.items(f, doc, path, items)
	}
	k, ok := d.kinds[gvk]
	unserved := !ok
	if unserved {
		// Of another version than the one that is served: it may still protect something.
		other := gvk
		other.Version = d.served[gvk.GroupKind()]
		if k = d.kinds[other]; k.closed == nil {
			f.Problems = append(f.Problems, source.Problem{
				Line: doc.lineOf(path), Message: d.notServed(gvk), Severity: source.Warning, Object: gvk.Kind,
			})
			return nil
		}
	}
	key, err := keyOf(k, content)
	if err != nil {
		return at(path, err)
	}
	doc.path = path
	o := Object{Key: key, Line: doc.line, Digest: sha256.Sum256(raw), text: &doc}
	if path != "" {
		o.Line = doc.lineOf("")
	}
	var value client.Object
	var findings []finding
	if unserved {
		findings = []finding{{field: "apiVersion", message: d.notServed(gvk)}}
	} else {
		value, findings = k.decode(raw, content)
	}
	if len(findings) > 0 {
		o.Problems = o.problems(findings)
		o.Closed = k.closedForm(&o, content)
	} else {
		o.Value = value
		k.finish(o.Value, &o)
	}
	if k.transition {
		o.content = content
	} else {
		o.text = nil
	}
	f.Objects = append(f.Objects, o)
	return nil
}

func (d *Decoder) items(f *File, doc document, path string, items []any) error {
	for i, item := range items {
		here := strings.TrimPrefix(fmt.Sprintf("%s.items[%d]", path, i), ".")
		content, ok := item.(map[string]any)
		if !ok {
			return at(here, errors.New("an item must be an object with apiVersion, kind and metadata.name"))
		}
		raw, err := json.Marshal(content)
		if err != nil {
			return at(here, errors.New("an item cannot be written as JSON"))
		}
		if err := d.object(f, doc, here, content, raw); err != nil {
			return err
		}
	}
	return nil
}

// isList tells a list by its name: List itself, or the list of a served kind.
func (d *Decoder) isList(gvk schema.GroupVersionKind) bool {
	element, ok := strings.CutSuffix(gvk.Kind, "List")
	if !ok {
		return false
	}
	gvk.Kind = element
	_, served := d.kinds[gvk]
	return element == "" || served
}

func (d *Decoder) notServed(gvk schema.GroupVersionKind) string {
	if version, ok := d.served[gvk.GroupKind()]; ok {
		return fmt.Sprintf("%s of version %s is not served: write apiVersion: %s", gvk.Kind, gvk.GroupVersion(),
			schema.GroupVersion{Group: gvk.Group, Version: version})
	}
	return fmt.Sprintf("kind %s of %s is not served: the document has no effect", gvk.Kind, gvk.GroupVersion())
}

// Update returns the object that follows old: with the next generation if the
// spec differs. It returns problems and no object when the kind's rules forbid
// the transition. Both must have a Value.
func (d *Decoder) Update(old, next Object) (client.Object, []source.Problem) {
	k := d.kinds[next.Key.GroupVersionKind]
	if k.transition {
		if findings := k.custom.transitions(next.content, old.content); len(findings) > 0 {
			return nil, next.problems(findings)
		}
	}
	if k.spec == nil {
		return next.Value, nil
	}
	generation := old.Value.GetGeneration()
	if !sameSpec(k.spec(old.Value), k.spec(next.Value)) {
		generation++
	}
	if generation == next.Value.GetGeneration() {
		return next.Value, nil
	}
	value, _ := next.Value.DeepCopyObject().(client.Object)
	value.SetGeneration(generation)
	return value, nil
}

// finish sets in a value what an API server would set.
func (k kind) finish(v client.Object, o *Object) {
	v.GetObjectKind().SetGroupVersionKind(k.gvk)
	id := sha256.Sum256([]byte(strings.Join([]string{k.gvk.Group, k.gvk.Kind, o.Key.Namespace, o.Key.Name}, "/")))
	v.SetUID(types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])))
	v.SetResourceVersion(hex.EncodeToString(o.Digest[:8]))
	v.SetManagedFields(nil)
	v.SetGeneration(0)
	if k.spec != nil {
		v.SetGeneration(1)
	}
}

// closedForm is what stands for a refused object; nil for most kinds.
func (k kind) closedForm(o *Object, content map[string]any) client.Object {
	if k.closed == nil {
		return nil
	}
	v := k.closed(content)
	if v == nil {
		return nil
	}
	v.SetNamespace(o.Key.Namespace)
	v.SetName(o.Key.Name)
	k.finish(v, o)
	return v
}

// problems turns what was found in an object into problems with their lines.
func (o *Object) problems(findings []finding) []source.Problem {
	out := make([]source.Problem, len(findings))
	for i, f := range findings {
		out[i] = source.Problem{
			Line: o.text.lineOf(f.field), Object: o.Key.String(), Field: f.field, Message: f.message, Severity: source.Error,
		}
	}
	return out
}

func kindOf(content map[string]any) (schema.GroupVersionKind, error) {
	version, _ := content["apiVersion"].(string)
	name, _ := content["kind"].(string)
	if version == "" || name == "" {
		return schema.GroupVersionKind{}, errors.New("apiVersion and kind must be set: this is not a Kubernetes object")
	}
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return schema.GroupVersionKind{}, errors.New("apiVersion: must be a version, or a group and a version: group/version")
	}
	return gv.WithKind(name), nil
}

func keyOf(k kind, content map[string]any) (source.Key, error) {
	meta, _ := content["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	if name == "" {
		return source.Key{}, fmt.Errorf("%s: metadata.name: Required value: a string", k.gvk.Kind)
	}
	namespace, ok := meta["namespace"].(string)
	if !ok && meta["namespace"] != nil {
		return source.Key{}, fmt.Errorf("%s %s: metadata.namespace: must be a string", k.gvk.Kind, name)
	}
	if namespace == "" && !k.cluster {
		namespace = DefaultNamespace
	}
	if k.cluster {
		namespace = ""
	}
	return source.Key{GroupVersionKind: k.gvk, Namespace: namespace, Name: name}, nil
}
