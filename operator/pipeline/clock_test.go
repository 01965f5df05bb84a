package pipeline

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
)

// wrong is a clock that may be wrong. The bubble's is right, and is what timers
// and monotonic readings go by.
type wrong struct{ by atomic.Int64 }

func newWrong(by time.Duration) *wrong {
	c := &wrong{}
	c.set(by)
	return c
}

func (c *wrong) set(by time.Duration) { c.by.Store(int64(by)) }
func (c *wrong) now() time.Time       { return time.Now().Add(time.Duration(c.by.Load())) }

// sleep lets time pass, and what it causes happen.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// A machine that starts with its clock behind is told the time by NTP: a timer of
// the wrong clock would ring when the difference has passed once more.
func TestClockThatIsSetIsFollowed(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{"a year behind": -year, "a year ahead": year} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, err := pki.NewAuthorityAt("now", time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				var revisions atomic.Int32
				clock := newWrong(by)
				p, in := runAt(t, clock.now, func(*graph.Revision) { revisions.Add(1) })
				in <- source.Batch{Changed: append(validated(), secret("ca", map[string][]byte{"ca.crt": ca.PEM()})), Complete: true}
				sleep(10 * time.Minute)
				if got := statusOf(p, "p"); got != "invalid" || revisions.Load() != 1 {
					t.Fatalf("by the wrong clock: %s in %d revisions, want invalid in 1", got, revisions.Load())
				}
				clock.set(0)
				sleep(lookAtClock)
				at, _ := p.Translator().Clock.Get(p.Translator().Current().Reader(), translator.ClockKey)
				if off := time.Since(at.Round(0)); off < 0 || off > lookAtClock {
					t.Errorf("a minute after the clock was set it is judged at %s", at)
				}
				// Later than the Clock, by a reading that a step does not change, is a Secret
				// of a clock that was ahead only here: the bubble has no other clock.
				if got := statusOf(p, "p"); by < 0 && got != "valid" {
					t.Errorf("a minute after the clock was set: %s, want valid", got)
				}
				sleep(time.Hour)
				if revisions.Load() != 2 {
					t.Errorf("%d revisions, want one more than before", revisions.Load())
				}
			})
		})
	}
}

// Timers stand still while a machine sleeps: what became due meanwhile is seen.
func TestAppointmentIsKeptByTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := pki.NewAuthorityAt("brief", time.Now().Add(-time.Hour), time.Now().Add(8*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		clock := newWrong(0)
		p, in := runAt(t, clock.now, nil)
		in <- source.Batch{Changed: append(validated(), secret("ca", map[string][]byte{"ca.crt": ca.PEM()})), Complete: true}
		sleep(time.Hour)
		if got := statusOf(p, "p"); got != "valid" {
			t.Fatalf("before: %s, want valid", got)
		}
		clock.set(7*time.Hour + time.Second)
		sleep(lookAtClock)
		if got := statusOf(p, "p"); got != "invalid" {
			t.Errorf("a minute after the machine woke: %s, want invalid", got)
		}
	})
}

// To look at the clock is no change of anything.
func TestIdlePipelineCommitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := pki.NewAuthorityAt("long", time.Now().Add(-time.Hour), time.Now().Add(100*24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		// A clock that is slewed is wrong by less than a second a minute.
		var revisions atomic.Int32
		clock := newWrong(0)
		p, in := runAt(t, clock.now, func(*graph.Revision) { revisions.Add(1) })
		in <- source.Batch{Changed: append(validated(), secret("ca", map[string][]byte{"ca.crt": ca.PEM()})), Complete: true}
		for i := range 24 {
			sleep(time.Hour)
			clock.set(time.Duration(i) * 500 * time.Millisecond)
		}
		if got := p.Translator().Current().Number(); revisions.Load() != 1 || got != 1 {
			t.Errorf("%d revisions, the last is %d, after an idle day: want 1", revisions.Load(), got)
		}
	})
}

// A clock that is set before the first list is complete commits nothing either, and
// is followed as soon as it is.
func TestClockIsSetBeforeTheFirstList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revisions atomic.Int32
		clock := newWrong(-time.Hour)
		p, in := runAt(t, clock.now, func(*graph.Revision) { revisions.Add(1) })
		objects := validated()
		in <- source.Batch{Changed: objects[:1]}
		synctest.Wait()
		clock.set(0)
		sleep(5 * time.Minute)
		if revisions.Load() != 0 {
			t.Errorf("%d revisions before the list is complete, want none", revisions.Load())
		}
		in <- source.Batch{Changed: objects[1:], Complete: true}
		sleep(lookAtClock)
		at, _ := p.Translator().Clock.Get(p.Translator().Current().Reader(), translator.ClockKey)
		if off := time.Since(at.Round(0)); off > lookAtClock {
			t.Errorf("the list is judged at a time that is %s behind", off)
		}
	})
}
