package xds

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
)

// cost is what one change cost all streams that were told of it.
type cost struct{ Responses, Bytes, Acks uint64 }

func (h *harness) costs() (c cost) {
	for k := range h.counters.byType {
		n := &h.counters.byType[k]
		c.Responses += n.responses.Load()
		c.Bytes += n.bytes.Load()
		c.Acks += n.acks.Load()
	}
	return c
}

// costOfAChange lets Envoys on connections of their own learn of one changed
// host, while one more is stuck, and returns what each of the others cost.
func costOfAChange(t *testing.T, envoys, hosts int) cost {
	t.Helper()
	h := serve(t, Options{})
	var fleet []*envoy.Resource
	for i := range hosts {
		fleet = append(fleet, scope(fmt.Sprintf("http|host%04d", i), "1"))
	}
	h.publish(1, fleet)
	stuck := h.connect(t, edge).node("stuck")
	stuck.subscribe(envoy.ListenerType)
	stuck.subscribe(envoy.ScopeType)
	stuck.next(2)
	conf := h.identity(t, edge)
	all := make([]*client, envoys)
	for i := range all {
		all[i] = h.connectTLS(t, conf).node(fmt.Sprint("envoy-", i))
		all[i].subscribe(envoy.ScopeType)
	}
	for _, c := range all {
		c.next(1)
		c.ack()
	}
	// The stuck one alone asks for listeners, and does not read. gRPC takes one
	// response whatever its size.
	h.publish(2, list(listener("big", strings.Repeat("x", 1<<20))))
	h.until(t, "it is sent", func(s StreamState) bool { return s.Node == "stuck" && s.Sent == 2 })
	h.publish(3, list(listener("big", strings.Repeat("y", 1<<20))))
	h.until(t, "one is stuck", func(s StreamState) bool { return s.Node == "stuck" && !s.BlockedSince.IsZero() })
	h.untilAll(t, "all is acknowledged", func(State) bool { return h.costs().Acks == uint64(envoys) })

	before := h.costs()
	h.publish(4, list(scope("http|host0007", "2")))
	for _, c := range all {
		c.want("scopes +http|host0007")
		c.ack()
	}
	h.untilAll(t, "all have acknowledged", func(State) bool { return h.costs().Acks == before.Acks+uint64(envoys) })
	after := h.costs()
	behind := 0
	for _, s := range h.State().Fleets[0].Streams {
		if s.Node == "stuck" && (s.BlockedSince.IsZero() || s.Sent == 4) {
			t.Errorf("the stuck Envoy is not: %+v", s)
		}
		if s.Sent < 4 {
			behind++
		}
	}
	if behind != 1 {
		t.Errorf("%d streams were not sent the change, want the stuck one alone", behind)
	}
	n := uint64(envoys)
	each := cost{(after.Responses - before.Responses) / n, (after.Bytes - before.Bytes) / n, (after.Acks - before.Acks) / n}
	if each.Responses*n != after.Responses-before.Responses || each.Bytes*n != after.Bytes-before.Bytes {
		t.Errorf("the streams do not cost the same: %+v before, %+v after, %d streams", before, after, n)
	}
	return each
}

// One change is one response to each of 199 Envoys, of the size of the change:
// whatever the number of Envoys and of hosts is, and though one is stuck.
func TestOneChangeCosts199EnvoysWhatItCostsOne(t *testing.T) {
	few, many := costOfAChange(t, 9, 20), costOfAChange(t, 199, 500)
	if diff := cmp.Diff(few, many); diff != "" {
		t.Errorf("what a change costs a stream: 9 Envoys and 20 hosts -, 199 and 500 +\n%s", diff)
	}
	if few.Responses != 1 || few.Acks != 1 || few.Bytes > 512 {
		t.Errorf("a change of one host costs %+v, want one response of at most 512 bytes", few)
	}
}
