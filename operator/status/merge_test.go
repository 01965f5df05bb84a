package status

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// What is written is the difference alone, and what is another's stays as it is.
func TestChanges(t *testing.T) {
	cases := map[string]struct{ reason, have, want, changes string }{
		"nothing": {
			reason:  "times are not asked for, and an empty list is like none",
			have:    `{conditions: [{type: Accepted, status: "True", reason: Accepted, lastTransitionTime: "2026-01-01T00:00:00Z"}]}`,
			want:    `{conditions: [{type: Accepted, status: "True", reason: Accepted, lastTransitionTime: null}], addresses: []}`,
			changes: `{}`,
		},
		"status of a condition": {
			reason: "its time is that of the change; the others' stays, and so do foreign conditions, in their places",
			have: `{conditions: [
    {type: Theirs, status: "True", extra: kept, lastTransitionTime: "2026-01-01T00:00:00Z"},
    {type: Accepted, status: "True", reason: A, lastTransitionTime: "2026-01-01T00:00:00Z"},
    {type: Programmed, status: Unknown, reason: P, lastTransitionTime: "2026-01-01T00:00:00Z"}]}`,
			want: `{conditions: [{type: Accepted, status: "True", reason: A}, {type: Programmed, status: "True", reason: P}]}`,
			changes: `{conditions: [
    {type: Theirs, status: "True", extra: kept, lastTransitionTime: "2026-01-01T00:00:00Z"},
    {type: Accepted, status: "True", reason: A, lastTransitionTime: "2026-01-01T00:00:00Z"},
    {type: Programmed, status: "True", reason: P, lastTransitionTime: "2026-02-02T00:00:00Z"}]}`,
		},
		"condition of ours that holds no more": {
			reason: "it goes",
			have: `{conditions: [{type: InsecureFrontendValidationMode, status: "True", reason: C, lastTransitionTime: "2026-01-01T00:00:00Z"},
    {type: Accepted, status: "True", reason: A, lastTransitionTime: "2026-01-01T00:00:00Z"}]}`,
			want:    `{conditions: [{type: Accepted, status: "True", reason: A}]}`,
			changes: `{conditions: [{type: Accepted, status: "True", reason: A, lastTransitionTime: "2026-01-01T00:00:00Z"}]}`,
		},
		"listeners": {
			reason: "a listener keeps the conditions of others, and goes when it is no more",
			have: `{listeners: [{name: gone, attachedRoutes: 1, conditions: []},
    {name: http, attachedRoutes: 1, conditions: [{type: Theirs, status: "True"}]}]}`,
			want:    `{listeners: [{name: http, attachedRoutes: 2, supportedKinds: [], conditions: []}, {name: new, attachedRoutes: 0, conditions: []}]}`,
			changes: `{listeners: [{name: http, attachedRoutes: 2, supportedKinds: [], conditions: [{type: Theirs, status: "True"}]}, {name: new, attachedRoutes: 0, conditions: []}]}`,
		},
		"addresses": {
			reason:  "those that are not had any more go",
			have:    `{addresses: [{type: IPAddress, value: 192.0.2.1}], attachedListenerSets: 1, theirs: 1}`,
			want:    `{}`,
			changes: `{addresses: null, attachedListenerSets: null}`,
		},
		"parents": {
			reason: "entries of other controllers stay word for word; ours are changed, dropped and added",
			have: `{parents: [
    {parentRef: {name: a}, controllerName: example.com/other, conditions: [{type: Accepted, status: "False", odd: 1}]},
    {parentRef: {name: a}, controllerName: signetproxy.io/gateway-controller, conditions: [{type: Theirs, status: "True"}]},
    {parentRef: {name: b}, controllerName: signetproxy.io/gateway-controller, conditions: []}]}`,
			want: `{parents: [
    {parentRef: {name: c}, controllerName: signetproxy.io/gateway-controller, conditions: []},
    {parentRef: {name: a}, controllerName: signetproxy.io/gateway-controller, conditions: [{type: Accepted, status: "True"}]}]}`,
			changes: `{parents: [
    {parentRef: {name: a}, controllerName: example.com/other, conditions: [{type: Accepted, status: "False", odd: 1}]},
    {parentRef: {name: a}, controllerName: signetproxy.io/gateway-controller, conditions: [{type: Theirs, status: "True"},
	    {type: Accepted, status: "True", lastTransitionTime: "2026-02-02T00:00:00Z"}]},
    {parentRef: {name: c}, controllerName: signetproxy.io/gateway-controller, conditions: []}]}`,
		},
		"a route that has left": {
			reason: "its entries of ours go, the others stay",
			have: `{parents: [{parentRef: {name: a}, controllerName: signetproxy.io/gateway-controller, conditions: []},
    {parentRef: {name: a}, controllerName: example.com/other, conditions: []}]}`,
			want:    `{parents: null}`,
			changes: `{parents: [{parentRef: {name: a}, controllerName: example.com/other, conditions: []}]}`,
		},
		"never ours": {
			reason:  "nothing is written about what is none of ours",
			have:    `{parents: [{parentRef: {name: a}, controllerName: example.com/other, conditions: []}]}`,
			want:    `{parents: null}`,
			changes: `{}`,
		},
	}
	now := metav1.NewTime(time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC))
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			have := decode(t, tc.have)
			before := encode(t, have)
			got := changes(have, decode(t, tc.want), now)
			if diff := cmp.Diff(encode(t, decode(t, tc.changes)), encode(t, got)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
			if after := encode(t, have); after != before {
				t.Errorf("what was read was changed: %s, was %s", after, before)
			}
		})
	}
}

// A full list of ancestors keeps those of others: the API has no room for ours.
func TestNoAncestorOfOthersIsDropped(t *testing.T) {
	have := map[string]any{}
	var theirs []any
	for range mostAncestors {
		theirs = append(theirs, map[string]any{"controllerName": "example.com/other"})
	}
	have[fieldAncestors] = theirs
	want := map[string]any{fieldAncestors: []any{map[string]any{"controllerName": "signetproxy.io/gateway-controller"}}}
	if got := changes(have, want, metav1.Now()); len(got) != 0 {
		t.Errorf("changes: %v, want none", got)
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
