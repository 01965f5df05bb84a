package xds

import (
	"errors"
	"fmt"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
)

// crowd is more resources than responses may be owed an answer, and a name for
// one of them.
func crowd(n int) (rs []*envoy.Resource, one string) {
	for i := range n {
		rs = append(rs, scope(fmt.Sprintf("http|%05d", i), "1"))
	}
	return rs, rs[n/3].Name
}

// judge answers scopes until all are judged: it refuses every response with a
// bad one. It returns the names that were taken, those that were refused alone,
// and the number of responses.
func (c *client) judge(total int, bad func(name string) bool) (taken, alone map[string]bool, responses int) {
	c.t.Helper()
	taken, alone = map[string]bool{}, map[string]bool{}
	for len(taken)+len(alone) < total {
		r := c.recv()
		responses++
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
		for _, res := range r.GetResources() {
			if bad(res.GetName()) {
				req.ErrorDetail = &spb.Status{Code: 13, Message: "one of them"}
			}
		}
		for _, res := range r.GetResources() {
			switch {
			case req.GetErrorDetail() == nil:
				taken[res.GetName()] = true
			case len(r.GetResources()) == 1:
				alone[res.GetName()] = true
			}
		}
		c.send(req)
	}
	return taken, alone, responses
}

// A fleet's first answer may hold more hosts than responses may be owed an
// answer: one bad host is told apart all the same.
func TestOneBadResourceOfVeryMany(t *testing.T) {
	h := serve(t, Options{})
	const total = 9000
	rs, one := crowd(total)
	h.publish(1, rs)
	c := h.connect(t, edge)
	c.subscribe(envoy.ScopeType)
	taken, alone, responses := c.judge(total, func(name string) bool { return name == one })
	if len(taken) != total-1 || len(alone) != 1 || !alone[one] {
		t.Errorf("%d are taken, %d are refused alone; want all but %s", len(taken), len(alone), one)
	}
	if responses > 50 {
		t.Errorf("it took %d responses, want a search by halves", responses)
	}
	got := h.until(t, "one is refused", func(s StreamState) bool { return len(s.Rejected) == 1 && s.Unacknowledged == 0 })
	if got.Rejected[0].Name != one {
		t.Errorf("%s is refused, want %s", got.Rejected[0].Name, one)
	}
}

// However many are bad, the search stays within what may be owed an answer.
func TestOnlyBadResources(t *testing.T) {
	h := serve(t, Options{MaxUnacknowledged: 10})
	const total = 200
	rs, _ := crowd(total)
	h.publish(1, rs)
	c := h.connect(t, edge)
	c.subscribe(envoy.ScopeType)
	if _, alone, _ := c.judge(total, func(string) bool { return true }); len(alone) != total {
		t.Errorf("%d are refused alone, want all", len(alone))
	}
	c.silent()
	h.until(t, "all are refused", func(s StreamState) bool { return len(s.Rejected) == total && s.Unacknowledged == 0 })
}

// What a later revision has replaced is not sent again, nor what is waiting to be.
func TestTheSearchForABadResourceFollowsTheFleet(t *testing.T) {
	h := serve(t, Options{MaxUnacknowledged: 1})
	rs, _ := crowd(4)
	h.publish(1, rs)
	c := h.connect(t, edge)
	c.subscribe(envoy.ScopeType)
	c.want("scopes +http|00000 +http|00001 +http|00002 +http|00003")
	c.nack("one of them")
	c.want("scopes +http|00000 +http|00001") // the others wait: one is owed an answer
	h.publish(2, list(scope("http|00002", "2")), rs[3])
	c.silent()
	c.ack()
	c.want("scopes +http|00002 -http|00003")
	c.ack()
	c.silent()
	h.until(t, "nothing is refused", func(s StreamState) bool { return len(s.Rejected) == 0 && s.Unacknowledged == 0 })
}

// A client may refuse one response after another and leave some without an answer:
// what waits to be sent again stays bounded by what its fleet has.
func TestAClientThatRefusesWithoutEnd(t *testing.T) {
	const most = 4
	s := New(Options{MaxUnacknowledged: most})
	s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: list(cluster("a", "", "", ""), cluster("b", "", "", ""))}}})
	w := &fakeWire{ctx: t.Context()}
	st := newStream(s, peer.Identity{Fleet: edge}, w)
	if err := errors.Join(s.join(st), st.turn(nil, nil)); err != nil {
		t.Fatal(err)
	}
	defer s.leave(st)
	refuse := &spb.Status{Message: "never"}
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ClusterType), ResourceNamesSubscribe: []string{"a", "b"}}
	for n := range 1000 {
		if err := st.turn(req, nil); err != nil {
			if got := gather(t, s)["signet_xds_ended_streams_total"]; status.Code(err) != codes.ResourceExhausted || got != 1 {
				t.Errorf("it is ended with %v, and %v are counted", err, got)
			}
			return
		}
		if len(st.suspected) > 2*most+2+requestBuffer {
			t.Fatalf("%d parts of responses wait after %d refusals", len(st.suspected), n)
		}
		last := w.sent[len(w.sent)-1]
		if n > most { // the first are never answered
			req.ResponseNonce, req.ErrorDetail = last.GetNonce(), refuse
		}
	}
	t.Error("it goes on and on")
}
