package xds

import (
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/signetproxy/signet/translator/envoy"
)

// TestWhatIsUnderWayIsNotSentAgain subscribes to the endpoints and the secret
// that were pushed behind their new cluster, as Envoy does while it handles that.
func TestWhatIsUnderWayIsNotSentAgain(t *testing.T) {
	names := map[envoy.Type]string{envoy.EndpointType: "svc/b", envoy.SecretType: "trust/b"}
	ask := func(c *client) {
		for _, typ := range []envoy.Type{envoy.EndpointType, envoy.SecretType} {
			c.subscribe(typ, names[typ])
		}
	}
	again := []string{"endpoints +svc/b", "secrets +trust/b"}
	cases := map[string]struct {
		reason string
		then   func(*harness, *client)
		want   []string
	}{
		"asked first": {
			reason: "Envoy had asked when it took the response, and uses it",
			then:   func(_ *harness, c *client) { ask(c); c.ack() },
		},
		"asked first, and twice": {
			reason: "only what was sent unasked is spared: who asks again has a cause",
			then:   func(_ *harness, c *client) { ask(c); ask(c) },
			want:   again,
		},
		"acknowledged first": {
			reason: "Envoy took the response before it asked, and threw it away",
			then:   func(_ *harness, c *client) { c.ack(); ask(c) },
			want:   again,
		},
		"asked and acknowledged in one request": {
			reason: "nothing says which came first",
			then: func(_ *harness, c *client) {
				for _, r := range c.unanswered {
					req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
					if name, ok := names[envoy.Type(r.GetTypeUrl())]; ok {
						req.ResourceNamesSubscribe = []string{name}
					}
					c.send(req)
				}
				c.unanswered = nil
			},
			want: again,
		},
		"changed meanwhile": {
			reason: "what is under way is another version",
			then: func(h *harness, c *client) {
				h.publish(3, list(assignment("svc/b", "2"), secret("trust/b", "2"), scope("http|a", "3")))
				c.want("scopes +http|a") // the revision is there; the names are not asked for yet
				ask(c)
			},
			want: again,
		},
		"only one of two": {
			reason: "the other name was never sent",
			then:   func(_ *harness, c *client) { c.subscribe(envoy.EndpointType, "svc/b", "svc/other") },
			want:   []string{"endpoints +svc/other"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Options{})
			h.publish(1, append(world(), assignment("svc/other", "1")))
			c := h.connect(t, edge)
			c.start(world()...)
			h.acknowledged(t, 1)
			h.publish(2, list(cluster("b", "svc/b", "trust/b", "1"), assignment("svc/b", "1"), secret("trust/b", "1")))
			c.want("clusters +b", "endpoints +svc/b", "secrets +trust/b")
			tc.then(h, c)
			if tc.want != nil {
				c.want(tc.want...)
			}
			c.ack()
			c.silent()
		})
	}
}
