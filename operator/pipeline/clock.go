package pipeline

import (
	"context"
	"time"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
)

const (
	// lookAtClock bounds the time between two looks at the clock: a timer stands
	// still while the machine sleeps, and does not know that the clock was set.
	lookAtClock = time.Minute
	// soonest bounds how often an appointment is looked at that is almost due.
	soonest = time.Millisecond
	// stepped is a difference that only setting the clock makes, or sleep.
	stepped = time.Second
)

// scheduleClock tells the timekeeper when time alone will change a verdict. An
// appointment that is too early costs one look at the clock.
func (p *Pipeline) scheduleClock(rev *graph.Revision) {
	next, all := p.translator.NextChange(rev)
	if !all && (next.IsZero() || (!p.appointment.IsZero() && !next.Before(p.appointment))) {
		return
	}
	p.appointment = next
	select {
	case <-p.wake: // an appointment that was not seen yet
	default:
	}
	p.wake <- next
}

// keepTime moves the Clock input on when a certificate becomes valid or
// expires, or the clock was set, and at no other time: a look is no commit.
func (p *Pipeline) keepTime(ctx context.Context) error {
	timer := time.NewTimer(lookAtClock)
	defer timer.Stop()
	var at time.Time // the appointment; zero for none
	w := newWatch(p.options.Now)
	moved := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case at = <-p.wake:
		case <-timer.C:
		}
		now := p.options.Now()
		moved = w.wasSet() || moved
		// What is held back until the first list is complete has its own time.
		if due := !at.IsZero() && !now.Before(at); (due || moved) && p.IsComplete() {
			c := graph.NewChanges()
			p.translator.Clock.Put(c, translator.ClockKey, now)
			p.translator.Submit(c)
			at, moved = time.Time{}, false // the commit makes the next appointment
		}
		timer.Reset(pause(at, now))
	}
}

// pause is the time until the next look.
func pause(appointment, now time.Time) time.Duration {
	if appointment.IsZero() {
		return lookAtClock
	}
	return min(lookAtClock, max(soonest, appointment.Sub(now)))
}

// watch compares a clock with the time that has passed.
type watch struct {
	now    func() time.Time
	wall   time.Time // without a monotonic reading
	passed time.Time // with one
}

func newWatch(now func() time.Time) *watch {
	return &watch{now: now, wall: now().Round(0), passed: time.Now()}
}

// wasSet says whether the clock went otherwise than time since the last question.
func (w *watch) wasSet() bool {
	before := *w
	*w = *newWatch(w.now)
	difference := w.wall.Sub(before.wall) - w.passed.Sub(before.passed)
	return difference.Abs() > stepped
}
