package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// annotationApplied holds a digest of what was applied last, so that a field
// that is no longer wanted is noticed, which the object alone does not show.
const annotationApplied = "operator.signetproxy.io/applied"

// configuration is what is sent for an object: the fields that are set, and no
// others.
func configuration(o client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", describe(o), err)
	}
	delete(content, "status")
	prune(content)
	u := &unstructured.Unstructured{Object: content}
	digest, err := digestOf(content)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", describe(o), err)
	}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationApplied] = digest
	u.SetAnnotations(annotations)
	return u, nil
}

// digestOf leaves the contents of a Secret out: the comparison of fields sees
// them, and a digest of a key belongs nowhere.
func digestOf(content map[string]any) (string, error) {
	shown := content
	if content["kind"] == "Secret" {
		shown = map[string]any{}
		for k, v := range content {
			if k != "data" {
				shown[k] = v
			}
		}
	}
	b, err := json.Marshal(shown)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// prune removes nulls and what is empty: to send a field is to own it.
func prune(content map[string]any) {
	for k, v := range content {
		switch v := v.(type) {
		case nil:
			delete(content, k)
		case map[string]any:
			// emptyDir: {} and podSelector: {} mean something.
			if len(v) == 0 && k != "emptyDir" && k != "podSelector" && k != "namespaceSelector" {
				delete(content, k)
				continue
			}
			prune(v)
		case []any:
			for _, x := range v {
				if m, ok := x.(map[string]any); ok {
					prune(m)
				}
			}
		}
	}
}

// holds reports whether have has all that want says. It may have more: what the
// API server filled in, and what others have set.
func holds(want, have any) bool {
	switch want := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range want {
			if x, ok := h[k]; !ok || !holds(v, x) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		return ok && listHolds(want, h)
	}
	return reflect.DeepEqual(want, have)
}

// listHolds compares lists of named things by name, and others in order.
func listHolds(want, have []any) bool {
	names, named := byName(have)
	if _, ok := byName(want); !ok || !named || len(want) == 0 {
		if len(want) != len(have) {
			return false
		}
		for i := range want {
			if !holds(want[i], have[i]) {
				return false
			}
		}
		return true
	}
	for _, w := range want {
		m, _ := w.(map[string]any)
		x, ok := names[m["name"]]
		if !ok || !holds(w, x) {
			return false
		}
	}
	return true
}

func byName(list []any) (map[any]any, bool) {
	out := map[any]any{}
	for _, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			return nil, false
		}
		name, ok := m["name"].(string)
		if !ok {
			return nil, false
		}
		out[name] = x
	}
	return out, true
}

func describe(o client.Object) string {
	return fmt.Sprintf("%s %s/%s", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName())
}
