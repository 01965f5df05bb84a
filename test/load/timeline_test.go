package load

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Version 0 is written at 1 s and seen at 2 s, version 1 at 3 s and 4 s,
// version 2 at 5 s and never.
func TestTimeline(t *testing.T) {
	cases := map[string]struct {
		reason string
		// sent and done are in s.
		sent, done     float64
		oldest, newest int
	}{
		"BeforeAll":    {"nothing is served before it is written", 0.2, 0.5, 0, -1},
		"First":        {"the first version may be served before it is seen", 1.2, 1.5, 0, 0},
		"Alone":        {"one version was all there was", 2.2, 2.5, 0, 0},
		"Across":       {"a new version may come while a request is open", 2.2, 3.5, 0, 1},
		"Written":      {"until the new one is seen, either may come", 3.2, 3.5, 0, 1},
		"SeenMeantime": {"what was seen after the request was sent does not bind it", 3.2, 4.5, 0, 1},
		"Seen":         {"once the new one is seen, the old one may not come", 4.2, 4.5, 1, 1},
		"NeverSeen":    {"a version that is not seen ends no other", 6.2, 6.5, 1, 2},
		"Long":         {"a long request may get what was written in its time", 0.2, 6.5, 0, 2},
	}
	synctest.Test(t, func(t *testing.T) {
		var line Timeline
		began := time.Now()
		var versions []int
		for _, seen := range []bool{true, true, false} {
			<-time.After(time.Second)
			next := line.Next()
			if v := line.Write(); v != next {
				t.Errorf("Next was %d, and Write returns %d", next, v)
			}
			versions = append(versions, next)
			<-time.After(time.Second)
			if seen {
				line.Saw(time.Now())
			}
		}
		if diff := cmp.Diff([]int{0, 1, 2}, versions); diff != "" {
			t.Errorf("versions: -want, +got:\n%s", diff)
		}
		at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
		for name, c := range cases {
			oldest, newest := line.Window(&Outcome{Sent: at(c.sent), Done: at(c.done)})
			if diff := cmp.Diff([]int{c.oldest, c.newest}, []int{oldest, newest}); diff != "" {
				t.Errorf("%s: %s: oldest and newest: -want, +got:\n%s", name, c.reason, diff)
			}
		}
	})
}

func TestEmptyTimeline(t *testing.T) {
	var line Timeline
	if oldest, newest := line.Window(&Outcome{Sent: time.Now(), Done: time.Now()}); oldest != 0 || newest != -1 {
		t.Errorf("no version may be shown: want 0 to -1, got %d to %d", oldest, newest)
	}
}
