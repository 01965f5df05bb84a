package certificate

import (
	"testing"
	"time"
)

// What was issued as asked for is not due at once: each issue would only be the
// cause of the next, without end.
func TestClientIsNotDueAsIssued(t *testing.T) {
	a := clientAuthority(t, clientStart)
	uri := func(text string) func(*ClientRequest) {
		return func(r *ClientRequest) { r.CommonName, r.URIs = text, []string{text} }
	}
	cases := map[string]struct {
		reason string
		change func(*ClientRequest)
	}{
		"letters":       {"a certificate holds ASCII alone: they are escaped", uri("spiffe://example.org/ns/straße")},
		"braces":        {"they are escaped", uri("spiffe://example.org/ns/{a}")},
		"bar":           {"it is escaped", uri("spiffe://example.org/a|b")},
		"quote":         {"it is escaped", uri(`spiffe://example.org/a"b`)},
		"caret":         {"it is escaped", uri("spiffe://example.org/a^b")},
		"fragment":      {"an empty fragment is dropped", uri("spiffe://example.org/a#")},
		"in a fragment": {"it is escaped there too", uri("spiffe://example.org/a#ß")},
		"in a query":    {"a query is taken as it is", uri("spiffe://example.org/a?b={c}")},
		"empty query":   {"it stays", uri("spiffe://example.org/a?")},
		"escaped":       {"what is escaped stays so, in the case that was written", uri("spiffe://example.org/a%2fb%C3%9F")},
		"upper case":    {"only the scheme has one case", uri("SPIFFE://Example.org/A")},
		"no path":       {"nothing is added", uri("spiffe://example.org")},
		"port":          {"it stays", uri("https://example.org:8443//a/../b")},
		"DNS names": {"they are taken as they are", func(r *ClientRequest) {
			r.DNSNames = []string{"A.example.com", "*.b.example.com", "xn--strae-oqa.example.com", "c."}
		}},
		"common name": {"it may hold any letters", func(r *ClientRequest) { r.CommonName = "Straße {*} #1," }},
		"no names":    {"none is asked for", func(r *ClientRequest) { r.CommonName, r.DNSNames, r.URIs = "", nil, nil }},
		"no list":     {"an empty list is none", func(r *ClientRequest) { r.DNSNames, r.URIs = []string{}, []string{} }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := clientRequest()
			c.change(&r)
			pair, err := a.Client(r, clientStart, ClientPolicy())
			if err != nil {
				t.Fatal(err)
			}
			if due := ClientDue(pair, r, a, clientStart, ClientPolicy()); due != "" {
				t.Errorf("due: %q, want nothing: %s", due, c.reason)
			}
		})
	}
}

// Certificates count in seconds, and are issued at any moment.
func TestClientOfAnyLifeIsNotDueAsIssued(t *testing.T) {
	a := clientAuthority(t, clientStart)
	r := clientRequest()
	for _, r.Lifetime = range []time.Duration{time.Hour, time.Hour + 500*time.Millisecond, time.Hour + time.Nanosecond} {
		for _, now := range []time.Time{clientStart, clientStart.Add(600 * time.Millisecond), clientStart.Add(time.Second - 1)} {
			pair, err := a.Client(r, now, ClientPolicy())
			if err != nil {
				t.Fatal(err)
			}
			if due := ClientDue(pair, r, a, now, ClientPolicy()); due != "" {
				t.Errorf("a life of %s, issued at %s: due: %q", r.Lifetime, now, due)
			}
		}
	}
}
