package pipeline

import (
	"context"
	"time"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
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
// expires, and at no other time.
func (p *Pipeline) keepTime(ctx context.Context) error {
	timer := time.NewTimer(0)
	if !timer.Stop() {
		<-timer.C
	}
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case at := <-p.wake:
			timer.Stop()
			if !at.IsZero() {
				timer.Reset(max(0, at.Sub(p.options.Now())))
			}
		case <-timer.C:
			c := graph.NewChanges()
			p.translator.Clock.Put(c, translator.ClockKey, p.options.Now())
			p.translator.Submit(c)
		}
	}
}
