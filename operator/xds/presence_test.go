package xds

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// diary is an Observer that wants to know who is there.
type diary chan string

func (d diary) OnAck(a Ack)      { d <- fmt.Sprintf("%d acks %d", a.Stream, a.Revision) }
func (d diary) OnNack(n Nack)    { d <- n.Message }
func (d diary) OnJoin(s Stream)  { d <- fmt.Sprintf("%d joins %s", s.ID, s.Fleet) }
func (d diary) OnLeave(s Stream) { d <- fmt.Sprintf("%d leaves %s", s.ID, s.Fleet) }

// Who waits for an acknowledgement must learn that its Envoy is gone; among
// several observers only those that ask are told.
func TestPresenceEnclosesAcknowledgements(t *testing.T) {
	d := make(diary, 16)
	h := serve(t, Options{Observer: Observers{&record{}, d}})
	h.publish(1, world())
	for range 2 {
		c := h.connect(t, edge)
		c.start(world()...)
		h.acknowledged(t, 1)
		c.close()
		h.untilAll(t, "it is gone", func(s State) bool { return len(s.Fleets[0].Streams) == 0 })
	}
	var got []string
	want := []string{
		"1 joins prod/edge", "1 acks 1", "1 leaves prod/edge",
		"2 joins prod/edge", "2 acks 1", "2 leaves prod/edge",
	}
	for range want {
		select {
		case line := <-d:
			got = append(got, line)
		case <-time.After(deadline):
			t.Fatalf("nothing more is told after %q", got)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
}
