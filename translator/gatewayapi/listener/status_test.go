package listener

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/reason"
)

func condition(list []metav1.Condition, kind string) string {
	for i := range list {
		if c := &list[i]; c.Type == kind {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

// A Gateway is accepted when something of it is served, and the listeners of a
// ListenerSet are; one of these is programmed when its Gateway is.
func TestStatusOfGatewayAndSet(t *testing.T) {
	const (
		bad  = "{name: x, port: 80, protocol: example.com/odd}"
		good = "{name: w, port: 81, protocol: HTTP}"
		all  = "allowedListeners: {namespaces: {from: Same}}"
	)
	cases := map[string]struct {
		reason, gateway, set string
		edit                 func(*Gateway)
		// conditions Accepted and Programmed of the Gateway and of the set.
		gwAccepted, gwProgrammed, accepted, programmed string
	}{
		"both serve": {
			"as asked", "{" + all + ", listeners: [" + good + "]}", "{name: y, port: 82, protocol: HTTP}", nil,
			"True Accepted", "True Programmed", "True Accepted", "True Programmed",
		},
		"the set alone": {
			"a part of the Gateway is served", "{" + all + ", listeners: [" + bad + "]}", good, nil,
			"True ListenersNotValid", "True Programmed", "True Accepted", "True Programmed",
		},
		"the Gateway has none": {
			"all of them are", "{" + all + "}", good, nil, "True Accepted", "True Programmed", "True Accepted", "True Programmed",
		},
		"neither": {
			"nothing is served", "{" + all + ", listeners: [" + bad + "]}", bad, nil,
			"False ListenersNotValid", "False Invalid", "False ListenersNotValid", "False ListenersNotValid",
		},
		"not allowed": {
			"the set's listeners do not count", "{listeners: [" + bad + "]}", good, nil,
			"False ListenersNotValid", "False Invalid", "False NotAllowed", "False NotAllowed",
		},
		"no address": {
			"nobody reaches the set either", "{" + all + ", addresses: [{value: 192.0.2.1}], listeners: [{name: v, port: 82, protocol: HTTP}]}", good, nil,
			"True Accepted", "False AddressNotUsable", "True Accepted", "False ParentNotProgrammed",
		},
		"two addresses": {
			"one of them is not bound", "{" + all + ", addresses: [{value: 127.0.0.2}, {value: 127.0.0.3}], listeners: [{name: v, port: 82, protocol: HTTP}]}", good, nil,
			"True Accepted", "False AddressNotUsable", "True Accepted", "False ParentNotProgrammed",
		},
		"an address twice": {
			"it is one", "{" + all + ", addresses: [{value: '::1'}, {value: '0::1'}, {}], listeners: [{name: v, port: 82, protocol: HTTP}]}", good, nil,
			"True Accepted", "True Programmed", "True Accepted", "True Programmed",
		},
		"not accepted": {
			"the Gateway says why", "{" + all + ", listeners: [{name: v, port: 82, protocol: HTTP}]}", good,
			func(g *Gateway) { g.Fault = &gatewayapi.Fault{Reason: reason.Pending} },
			"False Pending", "False Invalid", "False ParentNotAccepted", "False ParentNotProgrammed",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := set(t, "s", "{parentRef: {name: gw}, listeners: ["+tc.set+"]}")
			g := Merge(facts{}, Class{Ours: true}, gateway(t, tc.gateway), []*gatewayv1.ListenerSet{s})
			if tc.edit != nil {
				tc.edit(g)
			}
			refs := &References{Sections: make([]SectionReferences, len(g.Sections))}
			none := Troubles{Withheld: func(*Section) error { return nil }, Refused: func(*Section) string { return "" }}
			attached := func(*Section) int32 { return 0 }
			gw := Status(g, refs, attached, none).Conditions
			of := SetStatus(g, refs, gatewayapi.NameOf(s), attached, none).Conditions
			got := [...]string{condition(gw, "Accepted"), condition(gw, "Programmed"), condition(of, "Accepted"), condition(of, "Programmed")}
			if want := [...]string{tc.gwAccepted, tc.gwProgrammed, tc.accepted, tc.programmed}; got != want {
				t.Errorf("%s: %q, want %q", tc.reason, got, want)
			}
		})
	}
}

// A listener that lacks what its clients are judged by is not accepted, and its
// Gateway says so.
func TestGatewayOfUntrustedListeners(t *testing.T) {
	const all = "allowedListeners: {namespaces: {from: Same}}, listeners: [{name: x, port: 443, protocol: HTTPS}"
	cases := map[string]struct {
		reason, listeners, set string
		accepted, programmed   string
	}{
		"alone":            {"nothing is served", "", "{name: y, port: 443, protocol: HTTPS, hostname: a.test}", "False ListenersNotValid", "False Invalid"},
		"beside cleartext": {"that one is", ", {name: w, port: 80, protocol: HTTP}", "{name: y, port: 443, protocol: HTTPS, hostname: a.test}", "True ListenersNotValid", "True Programmed"},
		"beside a set":     {"the set's is", "", "{name: y, port: 80, protocol: HTTP}", "True ListenersNotValid", "True Programmed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := set(t, "s", "{parentRef: {name: gw}, listeners: ["+tc.set+"]}")
			g := Merge(facts{}, Class{Ours: true}, gateway(t, "{"+all+tc.listeners+"]}"), []*gatewayv1.ListenerSet{s})
			refs := &References{Sections: make([]SectionReferences, len(g.Sections))}
			for i := range g.Sections {
				if g.Sections[i].TLS() {
					refs.Sections[i] = SectionReferences{Untrusted: true, Closed: &gatewayapi.Fault{Reason: reason.NoValidCACertificate}}
				}
			}
			none := Troubles{Withheld: func(*Section) error { return nil }, Refused: func(*Section) string { return "" }}
			c := Status(g, refs, func(*Section) int32 { return 0 }, none).Conditions
			if got := [...]string{condition(c, "Accepted"), condition(c, "Programmed")}; got != [...]string{tc.accepted, tc.programmed} {
				t.Errorf("%s: %q, want %q and %q", tc.reason, got, tc.accepted, tc.programmed)
			}
		})
	}
}
