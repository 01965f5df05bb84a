package xds

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/signetproxy/signet/translator/envoy"
)

// record is an Observer.
type record struct {
	mu    sync.Mutex
	acks  []Ack
	nacks []Nack
}

func (r *record) OnAck(a Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acks = append(r.acks, a)
}

func (r *record) OnNack(n Nack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nacks = append(r.nacks, n)
}

func (r *record) seen() ([]Ack, []Nack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Ack(nil), r.acks...), append([]Nack(nil), r.nacks...)
}

func TestObserverHearsOfAcknowledgements(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	c := h.connect(t, edge).node("envoy-1")
	c.start(world()...)
	h.acknowledged(t, 1)
	h.publish(2, list(scope("http|a", "2")))
	c.want("scopes +http|a")
	c.ack()
	h.acknowledged(t, 2)
	h.publish(3, nil) // changed nothing here
	h.acknowledged(t, 3)
	c.silent() // the observer is called before the next request is read
	acks, _ := o.seen()
	want := []Ack{
		{Fleet: edge, Node: "envoy-1", Stream: 1, Revision: 1, First: true},
		{Fleet: edge, Node: "envoy-1", Stream: 1, Revision: 2},
		{Fleet: edge, Node: "envoy-1", Stream: 1, Revision: 3},
	}
	if diff := cmp.Diff(want, acks); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	h.Publish(Update{Revision: 9}) // of other fleets
	h.acknowledged(t, 9)
}

func TestRejectionOfOneResource(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	c := h.connect(t, edge).node("envoy-1")
	c.start(world()...)
	h.acknowledged(t, 1)

	bad := scope("http|a", "bad")
	h.publish(2, list(bad))
	c.want("scopes +http|a")
	c.nack("no such\x00 thing")
	c.silent()
	got := h.until(t, "it is noted", func(s StreamState) bool { return s.Nacks == 1 })
	want := []Rejected{{envoy.ScopeType, "http|a", bad.Version, 2, "no such thing"}}
	if diff := cmp.Diff(want, got.Rejected); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	_, nacks := o.seen()
	wantNacks := []Nack{{
		Fleet: edge, Node: "envoy-1", Type: envoy.ScopeType, Revision: 2, Resources: list(bad), LastGood: list(scope("http|a", "1")), Message: "no such thing",
	}}
	if diff := cmp.Diff(wantNacks, nacks); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	// Another host goes on, yet revision 3 is not acknowledged as a whole.
	h.publish(3, list(scope("http|b", "1")))
	c.want("scopes +http|b")
	c.ack()
	c.silent()
	h.acknowledged(t, 1)
	// The last good bytes again: that is a change like any other.
	h.publish(4, list(scope("http|a", "1")))
	c.want("scopes +http|a")
	c.ack()
	if got := h.acknowledged(t, 4); len(got.Rejected) != 0 {
		t.Errorf("still rejected: %+v", got.Rejected)
	}
}

func TestRejectedNeighboursAreSentOneByOne(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, append(world(), scope("http|old", "1")))
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	h.publish(2, list(scope("http|good", "1"), scope("http|bad", "1"), scope("http|late", "1")), scope("http|old", ""))
	c.want("scopes +http|bad +http|good +http|late -http|old")
	h.publish(3, list(scope("http|late", "2")))
	c.want("scopes +http|late")
	c.nack("something in it")
	c.want("scopes -http|old", "scopes +http|bad", "scopes +http|good") // late has a successor under way
	for _, r := range c.unanswered {
		if describe(r) == "scopes +http|bad" {
			c.send(&discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: &spb.Status{Code: 13, Message: "it is bad"},
			})
			continue
		}
		c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
	}
	c.unanswered = nil
	c.silent()
	got := h.until(t, "two NACKs", func(s StreamState) bool { return s.Nacks == 2 })
	if len(got.Rejected) != 1 || got.Rejected[0].Name != "http|bad" || got.Rejected[0].Message != "it is bad" {
		t.Errorf("rejected: %+v, want http|bad alone", got.Rejected)
	}
	_, nacks := o.seen()
	if len(nacks) != 2 || len(nacks[0].Resources) != 3 || len(nacks[1].Resources) != 1 || nacks[1].Resources[0].Name != "http|bad" {
		t.Errorf("the observer heard %+v", nacks)
	}
	h.publish(4, nil, scope("http|bad", ""))
	c.want("scopes -http|bad")
	c.ack()
	h.acknowledged(t, 4)
}

func TestRejectedClustersBringTheirEndpoints(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(cluster("b", "svc/a", "trust/a", "1"), cluster("c", "svc/a", "trust/a", "1")))
	c.want("clusters +b +c", "endpoints +svc/a")
	c.nack("one of them")
	c.want("clusters +b", "clusters +c", "endpoints +svc/a")
}

func TestARejectedSecretStaysRejectedUntilItsBytesChange(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(secret("trust/a", "bad")))
	c.want("secrets +trust/a")
	c.nack(`Failed: name: "trust/a" tls_certificate { private_key { inline_string: "-----BEGIN PRIVATE KEY-----MIIsecret`)
	got := h.until(t, "it is noted", func(s StreamState) bool { return s.Nacks == 1 })
	if m := got.Rejected[0].Message; strings.Contains(m, "MII") || !strings.HasPrefix(m, "Failed: ") {
		t.Errorf("the message shows the dump: %q", m)
	}
	c.subscribe(envoy.SecretType, "trust/a")
	c.want("secrets +trust/a")
	c.ack() // Envoy takes the same bad bytes the second time
	c.silent()
	if got := h.acknowledged(t, 1); len(got.Rejected) != 1 {
		t.Error("an ACK of the same bytes made them good")
	}
	h.publish(3, list(secret("trust/a", "good")))
	c.want("secrets +trust/a")
	c.ack()
	h.acknowledged(t, 3)
}

// A client's server name may be "*": to its Envoy that is all secrets, and it
// refuses each that comes until it is told that there is no such one. That says
// nothing of the secret.
func TestASecretThatIsRefusedForAnotherNameIsSentAgain(t *testing.T) {
	o := &record{}
	h := serve(t, Options{Observer: o})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(secret("trust/a", "2")))
	c.want("secrets +trust/a")
	c.subscribe(envoy.SecretType, "*")
	c.want("secrets -*")
	c.nack("Unexpected SDS secret (expecting *): trust/a")
	c.want("secrets +trust/a")
	c.ack()
	if got := h.acknowledged(t, 2); len(got.Rejected) != 0 {
		t.Errorf("rejected: %+v, want none", got.Rejected)
	}
	if _, nacks := o.seen(); len(nacks) != 0 {
		t.Errorf("the observer heard %+v, want nothing", nacks)
	}
	h.publish(3, list(secret("trust/a", "bad")))
	c.want("secrets +trust/a")
	c.nack("bad")
	h.until(t, "a verdict counts", func(s StreamState) bool { return len(s.Rejected) == 1 })
}

func TestARejectedScopeKeepsTheClusterThatItsPredecessorUses(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(scope("http|a", "bad")), cluster("a", "", "", ""))
	c.want("scopes +http|a")
	c.nack("bad")
	c.silent()
	h.until(t, "the cluster lingers", func(s StreamState) bool { return s.Lingering == 1 && s.Nacks == 1 })
	h.publish(3, list(scope("http|a", "good")))
	c.want("scopes +http|a")
	c.ack()
	c.want("clusters -a")
}

// A second refusal is none of the first's: Envoy's scope is older than both.
func TestAScopeRejectedTwiceKeepsTheClusterOfTheLastGoodOne(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(scope("http|a", "bad")), cluster("a", "", "", ""))
	c.want("scopes +http|a")
	c.nack("bad")
	h.publish(3, list(scope("http|a", "worse")))
	c.want("scopes +http|a")
	c.nack("worse")
	c.silent()
	got := h.until(t, "it is refused twice", func(s StreamState) bool { return s.Nacks == 2 })
	if got.Acknowledged != 1 || got.Lingering != 1 {
		t.Errorf("revision %d is acknowledged, %d linger; want 1 and 1", got.Acknowledged, got.Lingering)
	}
	if got := got.Rejected; len(got) != 1 || got[0].Version != scope("http|a", "worse").Version || got[0].Message != "worse" {
		t.Errorf("rejected: %+v, want the newest", got)
	}
	h.publish(4, list(scope("http|a", "good")))
	c.want("scopes +http|a")
	c.ack()
	c.want("clusters -a")
	c.ack()
	h.acknowledged(t, 4)
}

// What is sent again to be told apart belongs to the revision that brought it.
func TestAScopeRejectedAloneKeepsTheClusterOfTheLastGoodOne(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(scope("http|a", "bad"), scope("http|b", "1")), cluster("a", "", "", ""))
	c.want("scopes +http|a +http|b")
	h.publish(3, list(scope("http|c", "1")))
	c.want("scopes +http|c")
	c.nack("one of them")
	c.ack()
	c.want("scopes +http|a", "scopes +http|b")
	c.nack("this one")
	c.ack()
	got := h.until(t, "one is refused", func(s StreamState) bool { return s.Nacks == 2 && len(s.Rejected) == 1 })
	c.silent()
	if got.Acknowledged != 1 || got.Lingering != 1 {
		t.Errorf("revision %d is acknowledged, %d linger; want 1 and 1", got.Acknowledged, got.Lingering)
	}
}

// Envoy withholds the ACK of clusters while any of them warms.
func TestAWithheldAckHoldsNothingBack(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, list(cluster("stuck", "svc/stuck", "", "1")))
	c.want("clusters +stuck")
	h.publish(3, list(cluster("b", "svc/a", "", "1"), scope("http|b", "1")))
	c.want("clusters +b", "endpoints +svc/a", "scopes +http|b")
	c.ack(envoy.EndpointType, envoy.ScopeType)
	c.silent()
	got := h.until(t, "two are unanswered", func(s StreamState) bool { return s.Unacknowledged == 2 })
	if got.Acknowledged != 1 || got.WaitingSince.IsZero() {
		t.Errorf("revision %d is acknowledged, want 1; waiting since %v", got.Acknowledged, got.WaitingSince)
	}
	c.ack()
	if got := h.acknowledged(t, 3); got.Unacknowledged != 0 || !got.WaitingSince.IsZero() {
		t.Errorf("%d responses since %v are unanswered, want none", got.Unacknowledged, got.WaitingSince)
	}
}

// Envoy does not answer a response of a type that it does not subscribe to.
func TestUnaskedResponsesHoldNoRevisionBack(t *testing.T) {
	h := serve(t, Options{})
	plain := list(listener("http", "1"), scope("http|a", "1"))
	h.publish(1, plain)
	c := h.connect(t, edge)
	c.start(plain...)
	h.acknowledged(t, 1)
	for rev := uint64(2); rev < 5; rev++ {
		h.publish(rev, list(cluster("a", "svc/a", "trust/a", string(rune('0'+rev))), assignment("svc/a", "1"), secret("trust/a", "1")))
		c.want("clusters +a", "endpoints +svc/a", "secrets +trust/a")
		c.ack(envoy.ClusterType)
		h.acknowledged(t, rev)
		c.unanswered = nil
	}
	c.subscribe(envoy.EndpointType, "svc/a")
	c.want("endpoints +svc/a")
	c.subscribe(envoy.SecretType, "trust/a")
	c.want("secrets +trust/a")
	c.ack()
	h.until(t, "older ones are forgotten", func(s StreamState) bool { return s.Unacknowledged == 0 })
}
