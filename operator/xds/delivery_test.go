package xds

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// world is a fleet with one TLS upstream and one host.
func world() []*envoy.Resource {
	return list(
		cluster("a", "svc/a", "trust/a", "1"), assignment("svc/a", "1"), secret("trust/a", "1"),
		listener("http", "1"), scope("http|a", "1"),
	)
}

func TestNothingBeforeTheFirstRevision(t *testing.T) {
	h := serve(t, Options{})
	c := h.connect(t, edge).node("early")
	c.subscribe(envoy.ClusterType)
	c.subscribe(envoy.SecretType, "trust/a", "trust/none")
	h.until(t, "the stream waits", func(s StreamState) bool { return s.Node == "early" && s.Names == 2 })
	if got := h.until(t, "it is there", func(StreamState) bool { return true }); got.Responses != 0 {
		t.Errorf("%d responses before the first revision", got.Responses)
	}
	h.publish(7, world())
	c.want("clusters +a", "secrets +trust/a", "secrets -trust/none")
}

func TestAnEmptyFleetAnswersItsWildcards(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, nil)
	c := h.connect(t, edge)
	c.subscribe(envoy.ClusterType)
	c.want("clusters")
	c.subscribe(envoy.ListenerType, "*")
	c.want("listeners")
	c.ack()
	if got := h.acknowledged(t, 1); got.Ready != 1 {
		t.Errorf("ready at revision %d, want 1", got.Ready)
	}
	c.silent()
}

// Each case starts from world, acknowledged, and applies one revision.
func TestDeliveryOfARevision(t *testing.T) {
	cases := map[string]struct {
		reason  string
		changed []*envoy.Resource
		removed []*envoy.Resource
		want    []string
	}{
		"nothing": {
			reason: "a revision without a change sends nothing",
		},
		"same version": {
			reason:  "a resource of the same version is no change",
			changed: world(),
		},
		"everything new": {
			reason: "make before break: what a message needs follows it, unasked; no RTT for a new cluster",
			changed: list(scope("http|b", "1"), listener("https", "1"), secret("trust/b", "1"),
				assignment("svc/b", "1"), cluster("b", "svc/b", "trust/b", "1")),
			want: []string{"clusters +b", "endpoints +svc/b", "secrets +trust/b", "listeners +https", "scopes +http|b"},
		},
		"cluster updated": {
			reason:  "Envoy does not ask again for the endpoints of an updated cluster; its secret it has",
			changed: list(cluster("a", "svc/a", "trust/a", "2")),
			want:    []string{"clusters +a", "endpoints +svc/a"},
		},
		"another cluster on a known service": {
			reason:  "the name is subscribed already, so that no request comes for the second cluster",
			changed: list(cluster("a2", "svc/a", "trust/a", "1")),
			want:    []string{"clusters +a2", "endpoints +svc/a"},
		},
		"cluster on an existing secret that the stream does not have": {
			reason:  "the fleet has the secret, this Envoy has not: it is sent unasked",
			changed: list(cluster("b", "svc/b", "trust/other", "1")),
			want:    []string{"clusters +b", "endpoints +svc/b", "secrets +trust/other"},
		},
		"endpoints": {
			reason:  "one load assignment is one message",
			changed: list(assignment("svc/a", "2")),
			want:    []string{"endpoints +svc/a"},
		},
		"unsubscribed endpoints": {
			reason:  "what nobody subscribes to is not sent",
			changed: list(assignment("svc/unused", "1")),
		},
		"rotation": {
			reason:  "a rotation touches the secret alone",
			changed: list(secret("trust/a", "2")),
			want:    []string{"secrets +trust/a"},
		},
		"scope": {
			reason:  "an edit of a host is one message",
			changed: list(scope("http|a", "2")),
			want:    []string{"scopes +http|a"},
		},
		"scope moved": {
			reason:  "scopes come and go in one message",
			changed: list(scope("http|b", "1")), removed: list(scope("http|a", "")),
			want: []string{"scopes +http|b -http|a"},
		},
		"removed and changed": {
			reason:  "what a revision removes and adds is there",
			changed: list(scope("http|a", "2")), removed: list(scope("http|a", "")),
			want: []string{"scopes +http|a"},
		},
		"removed unknown": {
			reason:  "what was not there cannot go",
			removed: list(scope("http|none", ""), cluster("none", "", "", "")),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Options{})
			h.publish(1, append(world(), secret("trust/other", "1"), assignment("svc/b", "1")))
			c := h.connect(t, edge)
			c.start(world()...)
			h.acknowledged(t, 1)
			h.publish(2, tc.changed, tc.removed...)
			c.want(tc.want...)
			c.ack()
			h.acknowledged(t, 2)
			c.silent()
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

func TestRemovalWaitsForItsUsers(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)

	// A host moves to another cluster; the old one is gone in the same revision.
	moved := list(cluster("b", "svc/b", "trust/a", "1"), assignment("svc/b", "1"), scope("http|a", "2"))
	h.publish(2, moved, cluster("a", "", "", ""), assignment("svc/a", ""))
	c.want("clusters +b", "endpoints +svc/b", "scopes +http|a")
	c.ack(envoy.ClusterType, envoy.EndpointType)
	c.silent()
	if got := h.until(t, "two names linger", func(s StreamState) bool { return s.Lingering == 2 }); got.Acknowledged != 1 {
		t.Errorf("revision %d is acknowledged before its scope is", got.Acknowledged)
	}
	c.ack(envoy.ScopeType)
	c.want("clusters -a")
	h.acknowledged(t, 1) // the removal is on its way, with revision 2
	c.silent()           // what the cluster used waits for that
	c.ack()
	c.want("endpoints -svc/a")
	c.ack()
	h.acknowledged(t, 2)
}

func TestEnvoyUnsubscribesBeforeTheRemoval(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.publish(2, nil, cluster("a", "", "", ""), assignment("svc/a", ""), secret("trust/a", ""))
	c.want("clusters -a") // no scope or listener of this revision is under way
	c.unsubscribe(envoy.EndpointType, "svc/a")
	c.unsubscribe(envoy.SecretType, "trust/a")
	c.ack()
	c.silent()
	h.until(t, "nothing lingers", func(s StreamState) bool { return s.Lingering == 0 })
}

func TestReturnCancelsARemoval(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	h.publish(2, list(scope("http|a", "2")), cluster("a", "", "", ""))
	c.want("scopes +http|a")
	h.publish(3, list(cluster("a", "svc/a", "trust/a", "1")))
	c.want("clusters +a", "endpoints +svc/a")
	c.ack()
	h.acknowledged(t, 3)
	c.silent()
	h.until(t, "nothing lingers", func(s StreamState) bool { return s.Lingering == 0 })
}

func TestSeveralResponsesOfATypeAreOutstanding(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.start(world()...)
	h.acknowledged(t, 1)
	for rev := range uint64(5) {
		h.publish(rev+2, list(scope("http|a", fmt.Sprint(rev+2))))
		c.want("scopes +http|a")
	}
	first := c.unanswered[:1]
	rest := c.unanswered[1:]
	c.unanswered = rest
	c.ack()
	c.silent()
	h.acknowledged(t, 1)
	c.unanswered = first
	c.ack()
	h.acknowledged(t, 6)
}

func TestSubscriptionsAreAnsweredAtOnce(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.subscribe(envoy.EndpointType, "svc/a", "svc/none")
	c.want("endpoints +svc/a -svc/none")
	c.subscribe(envoy.SecretType, "trust/none")
	c.want("secrets -trust/none")
	h.publish(2, list(secret("trust/none", "1"), assignment("svc/none", "1")))
	c.want("endpoints +svc/none", "secrets +trust/none")
	c.subscribe(envoy.SecretType, "trust/none")
	c.want("secrets +trust/none") // asked again, answered again
	c.unsubscribe(envoy.SecretType, "trust/none", "trust/unknown")
	c.silent()
	h.publish(3, list(secret("trust/none", "2")))
	c.silent()
	c.subscribe(envoy.EndpointType, "*")
	c.want("endpoints -*") // Envoy names its endpoints; a wildcard is a name like any other
}

func TestWildcardsByEitherForm(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	c.subscribe(envoy.ScopeType, "*")
	c.want("scopes +http|a")
	c.unsubscribe(envoy.ScopeType, "*")
	c.silent()
	h.publish(2, list(scope("http|b", "1")))
	c.silent()
	c.subscribe(envoy.ScopeType, "*")
	c.want("scopes +http|a +http|b") // Envoy has forgotten them
	c.subscribe(envoy.ClusterType, "a", "none")
	c.want("clusters +a -none") // names in the place of a wildcard
	h.publish(3, list(cluster("b", "svc/b", "", "1")))
	c.silent()
}

func TestSecretFallback(t *testing.T) {
	cases := map[string]struct {
		reason string
		name   string
		want   []string
	}{
		"host":       {"one label is replaced", "a.example.com", []string{"*.example.com"}},
		"deep host":  {"an HTTPProxy's wildcard covers one label", "a.b.example.com", []string{"*.b.example.com"}},
		"wildcard":   {"a wildcard is asked for as itself", "*.example.com", nil},
		"one label":  {"there is no parent", "localhost", nil},
		"object":     {"names with a slash are objects, not hosts", "trust/a.b/secret/c.d", nil},
		"no label":   {"that is no host name", ".example.com", nil},
		"no parent":  {"nor is that", "example.", nil},
		"no SNI":     {"the name that stands for none", envoy.NoServerName, nil},
		"empty name": {"no name", "", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, secretFallback(tc.name)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSecretsOfWildcardHosts(t *testing.T) {
	h := serve(t, Options{})
	wild := secret("*.example.com", "1")
	h.publish(1, list(wild))
	c := h.connect(t, edge)
	c.subscribe(envoy.SecretType, "a.example.com", "b.example.com", "a.b.example.com")
	c.want("secrets +a.example.com", "secrets +b.example.com", "secrets -a.b.example.com")
	for _, r := range c.unanswered[:2] {
		got, err := (&envoy.Resource{Type: envoy.SecretType, Body: r.GetResources()[0].GetResource().GetValue()}).Message()
		if err != nil {
			t.Fatal(err)
		}
		if name := got.(interface{ GetName() string }).GetName(); name != r.GetResources()[0].GetName() {
			t.Errorf("the secret sent as %q names itself %q", r.GetResources()[0].GetName(), name)
		}
	}
	h.publish(2, list(secret("*.example.com", "2")))
	c.want("secrets +a.example.com", "secrets +b.example.com")
	h.publish(3, list(secret("b.example.com", "own")))
	c.want("secrets +b.example.com")
	h.publish(4, list(secret("*.example.com", "3")))
	c.want("secrets +a.example.com") // b has its own now
	h.publish(5, nil, secret("b.example.com", ""))
	c.want("secrets +b.example.com") // the wildcard's again
	h.publish(6, nil, wild)
	c.want("secrets -a.example.com -b.example.com")
	h.publish(7, list(secret("*.b.example.com", "1"), secret("*.example.com", "4")))
	c.want("secrets +a.b.example.com", "secrets +a.example.com", "secrets +b.example.com")
	c.unsubscribe(envoy.SecretType, "a.example.com", "a.b.example.com")
	c.silent()
	h.publish(8, list(secret("*.b.example.com", "2"), secret("*.example.com", "5")))
	c.want("secrets +b.example.com")
	c.silent()
}

func TestFirstListener(t *testing.T) {
	plain, other := listener("https", "1"), listener("https", "2")
	decorated := &envoy.Resource{Type: plain.Type, Name: "ignored", Version: "ignored", Body: listener("https", "with names").Body}
	h := serve(t, Options{FirstListener: func(_ ir.Name, r *envoy.Resource) *envoy.Resource {
		if r.Name == "https" {
			return decorated
		}
		return nil
	}})
	h.publish(1, list(plain, listener("http", "1")))
	c := h.connect(t, edge)
	c.subscribe(envoy.ListenerType)
	got := c.recv()
	for _, r := range got.GetResources() {
		want := listener("http", "1")
		if r.GetName() == "https" {
			want = &envoy.Resource{Name: "https", Version: plain.Version, Body: decorated.Body}
		}
		if r.GetVersion() != want.Version || !bytes.Equal(r.GetResource().GetValue(), want.Body) {
			t.Errorf("listener %s is not what was to be sent first", r.GetName())
		}
	}
	h.publish(2, list(other))
	if r := c.recv().GetResources()[0]; r.GetVersion() != other.Version || !bytes.Equal(r.GetResource().GetValue(), other.Body) {
		t.Errorf("an updated listener is sent as it is, got %v", r)
	}
	again := h.connect(t, edge)
	again.resume(map[envoy.Type][]*envoy.Resource{envoy.ListenerType: {other, listener("http", "1")}})
	again.want("clusters", "scopes") // it had none; listeners are as they were
	again.silent()
}
