package report

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/operator/xds"
)

func TestProgrammedCondition(t *testing.T) {
	current := xds.StreamState{Acknowledged: 7}
	ahead := xds.StreamState{Acknowledged: 9}
	behind := xds.StreamState{Sent: 7, Acknowledged: 6}
	refuses := xds.StreamState{Acknowledged: 6, Rejected: []xds.Rejected{{Name: "x"}}}
	cases := map[string]struct {
		reason   string
		revision uint64
		streams  []xds.StreamState
		want     metav1.Condition
	}{
		"All": {
			"each has acknowledged the newest revision, or one that changed nothing of the fleet", 7,
			[]xds.StreamState{current, ahead},
			metav1.Condition{Status: "True", Reason: "Programmed", Message: "2/2 connected Envoys have acknowledged revision 7"},
		},
		"Behind": {
			"what was sent is not acknowledged", 7,
			[]xds.StreamState{current, behind},
			metav1.Condition{Status: "False", Reason: "Pending", Message: "1/2 connected Envoys have acknowledged revision 7"},
		},
		"Refused": {
			"it will not come by waiting", 7,
			[]xds.StreamState{current, behind, refuses},
			metav1.Condition{Status: "False", Reason: "Rejected", Message: "1/3 connected Envoys have acknowledged revision 7; 1 refuse a part of it"},
		},
		"None": {
			"nobody can say", 7, nil,
			metav1.Condition{Status: "Unknown", Reason: "NoEnvoys", Message: "no Envoy is connected"},
		},
		"NoRevision": {
			"an Envoy that waits for the first revision has acknowledged none", 0,
			[]xds.StreamState{{}},
			metav1.Condition{Status: "False", Reason: "Pending", Message: "0/1 connected Envoys have acknowledged revision 0"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.Type = "Programmed"
			got := programmedCondition(&xds.FleetState{Revision: c.revision, Streams: c.streams})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestProgrammedText(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := map[string]struct {
		given Programmed
		after time.Duration
		want  string
	}{
		"All":     {Programmed{17, 2, 2, since}, time.Hour, "programmed 2/2, revision 17"},
		"Some":    {Programmed{17, 1, 2, since}, 3200 * time.Millisecond, "programmed 1/2 since 3s, revision 17"},
		"Quick":   {Programmed{17, 0, 2, since}, 3217 * time.Microsecond, "programmed 0/2 since 3ms, revision 17"},
		"Nowhere": {Programmed{17, 0, 0, since}, time.Hour, "no Envoy is connected, revision 17"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.given.text(since.Add(c.after)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// The progress of a status survives JSON, beside a status of its own type.
func TestProgrammedInJSON(t *testing.T) {
	want := Status{
		APIVersion: "projectcontour.io/v1", Kind: proxyKind, Namespace: "a", Name: "b",
		Status:     contourv1.HTTPProxyStatus{CurrentStatus: "valid"},
		Programmed: &Programmed{Revision: 3, Acknowledged: 1, Envoys: 2, Since: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)},
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Status
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
}
