package status

import (
	"maps"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

// ours are the types of the conditions that Signet writes of the Gateway API's
// kinds: one that is not wanted any more goes. All others are somebody else's.
var ours = []string{
	string(reason.ConditionAccepted), string(reason.ConditionProgrammed), string(reason.ConditionResolvedRefs),
	string(reason.ConditionConflicted), string(reason.ConditionOverlappingTLSConfig), string(reason.ConditionPartiallyInvalid),
	string(reason.ConditionSupportedVersion), string(reason.ConditionInsecureFrontendValidationMode),
}

// Fields of the statuses that are merged; of others the wanted value counts.
const (
	fieldConditions = "conditions"
	fieldListeners  = "listeners"
	fieldParents    = "parents"
	fieldAncestors  = "ancestors"
	fieldAddresses  = "addresses"
	fieldSets       = "attachedListenerSets"
	fieldController = "controllerName"
	fieldTime       = "lastTransitionTime"
	fieldType       = "type"
	fieldName       = "name"

	// mostAncestors is the limit of PolicyStatus.ancestors.
	mostAncestors = 16
)

// mayGo are the fields that are removed when they are not wanted any more.
var mayGo = []string{fieldListeners, fieldAddresses, fieldSets}

// changes are the fields of a status that differ from what is wanted, as a JSON
// merge patch (RFC 7396) has them. Entries and conditions of others stay as they
// are, and in their places.
func changes(have, want map[string]any, now metav1.Time) map[string]any {
	out := map[string]any{}
	for field, value := range want {
		next := value
		switch field {
		case fieldConditions:
			next = conditions(list(have[field]), list(value), now)
		case fieldListeners:
			next = listeners(list(have[field]), list(value), now)
		case fieldParents:
			next = entries(list(have[field]), list(value), "parentRef", now)
		case fieldAncestors:
			next = entries(list(have[field]), list(value), "ancestorRef", now)
			if l := list(next); len(l) > mostAncestors {
				next = l[:mostAncestors]
			}
		}
		if !same(have[field], next) {
			out[field] = next
		}
	}
	for _, field := range mayGo {
		if _, wanted := want[field]; !wanted && !same(have[field], nil) {
			out[field] = nil
		}
	}
	return out
}

// same compares values; an empty list is like none.
func same(a, b any) bool {
	x, xList := a.([]any)
	y, yList := b.([]any)
	if (a == nil || xList) && (b == nil || yList) {
		return slices.EqualFunc(x, y, same)
	}
	m, xMap := a.(map[string]any)
	n, yMap := b.(map[string]any)
	if !xMap || !yMap {
		return reflect.DeepEqual(a, b)
	}
	for k := range m {
		if !same(m[k], n[k]) {
			return false
		}
	}
	for k := range n {
		if _, ok := m[k]; !ok && !same(nil, n[k]) {
			return false
		}
	}
	return true
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func field(entry any, name string) any {
	m, _ := entry.(map[string]any)
	return m[name]
}

// find returns the entry of a list with a value in a field; nil for none.
func find(entries []any, name string, value any) map[string]any {
	for _, e := range entries {
		if m, ok := e.(map[string]any); ok && reflect.DeepEqual(m[name], value) {
			return m
		}
	}
	return nil
}

// with is an entry with one field set anew.
func with(entry any, name string, value any) map[string]any {
	m, _ := entry.(map[string]any)
	out := make(map[string]any, len(m)+1)
	maps.Copy(out, m)
	out[name] = value
	return out
}

// conditions puts what is wanted into its places. The time of a condition is that
// of the last change of its status.
func conditions(have, want []any, now metav1.Time) []any {
	out := make([]any, 0, len(have)+len(want))
	for _, old := range have {
		name, _ := field(old, fieldType).(string)
		next := find(want, fieldType, name)
		switch {
		case next == nil && slices.Contains(ours, name):
		case next == nil:
			out = append(out, old)
		case field(old, "status") == next["status"]:
			out = append(out, with(next, fieldTime, field(old, fieldTime)))
		default:
			out = append(out, with(next, fieldTime, stamp(now)))
		}
	}
	for _, next := range want {
		if find(have, fieldType, field(next, fieldType)) == nil {
			out = append(out, with(next, fieldTime, stamp(now)))
		}
	}
	return out
}

func stamp(now metav1.Time) string { return now.UTC().Format(time.RFC3339) }

// listeners are those that are wanted, with the conditions of others.
func listeners(have, want []any, now metav1.Time) []any {
	out := make([]any, 0, len(want))
	for _, next := range want {
		old := find(have, fieldName, field(next, fieldName))
		out = append(out, with(next, fieldConditions, conditions(list(old[fieldConditions]), list(field(next, fieldConditions)), now)))
	}
	return out
}

// entries are what is wanted of ours, in the places that they have, among the
// entries of other controllers.
func entries(have, want []any, ref string, now metav1.Time) []any {
	out := make([]any, 0, len(have)+len(want))
	seen := map[int]bool{}
	merged := func(old any, i int) {
		seen[i] = true
		next := conditions(list(field(old, fieldConditions)), list(field(want[i], fieldConditions)), now)
		out = append(out, with(want[i], fieldConditions, next))
	}
	for _, old := range have {
		if field(old, fieldController) != string(gatewayapi.ControllerName) {
			out = append(out, old)
			continue
		}
		i := slices.IndexFunc(want, func(w any) bool { return reflect.DeepEqual(field(w, ref), field(old, ref)) })
		if i >= 0 && !seen[i] {
			merged(old, i)
		}
	}
	for i := range want {
		if !seen[i] {
			merged(nil, i)
		}
	}
	return out
}
