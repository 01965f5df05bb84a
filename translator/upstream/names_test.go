package upstream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

func TestSubjectName(t *testing.T) {
	dns := func(v string) ir.SubjectName { return ir.SubjectName{Kind: ir.DNSName, Value: v} }
	ip := func(v string) ir.SubjectName { return ir.SubjectName{Kind: ir.IPName, Value: v} }
	uri := func(v string) ir.SubjectName { return ir.SubjectName{Kind: ir.URIName, Value: v} }
	long := strings.Repeat("a", 63)
	cases := map[string]struct {
		reason string
		in     string
		want   ir.SubjectName
		fault  string
	}{
		"DNS":           {reason: "a host name", in: "a.example", want: dns("a.example")},
		"Case":          {reason: "names compare without case: one spelling is one cluster", in: "A.Example", want: dns("a.example")},
		"FinalDot":      {reason: "no certificate has it", in: "a.example.", want: dns("a.example")},
		"Single":        {reason: "internal names have one label", in: "backend", want: dns("backend")},
		"Underscore":    {reason: "internal names hold them", in: "my_svc.ns", want: dns("my_svc.ns")},
		"Wildcard":      {reason: "a certificate's very wildcard", in: "*.example", want: dns("*.example")},
		"Longest":       {reason: "63 bytes in a label", in: long + ".a", want: dns(long + ".a")},
		"IPv4":          {reason: "an address", in: "10.0.0.1", want: ip("10.0.0.1")},
		"IPv6":          {reason: "in its shortest form", in: "2001:DB8:0::1", want: ip("2001:db8::1")},
		"Mapped":        {reason: "certificates hold four bytes", in: "::ffff:10.0.0.1", want: ip("10.0.0.1")},
		"SPIFFE":        {reason: "an identity", in: "spiffe://td.example/ns/a/sa/b", want: uri("spiffe://td.example/ns/a/sa/b")},
		"TrustDomain":   {reason: "an identity without path", in: "spiffe://td", want: uri("spiffe://td")},
		"URI":           {reason: "any scheme", in: "https://a.example:1/x?y", want: uri("https://a.example:1/x?y")},
		"URIAddress":    {reason: "a host that is an address", in: "https://[::1]/", want: uri("https://[::1]/")},
		"URIScheme":     {reason: "no certificate has a scheme in capitals: it would match nothing", in: "A://0", want: uri("a://0")},
		"SPIFFEScheme":  {reason: "the same for an identity", in: "SPIFFE://td/x", want: uri("spiffe://td/x")},
		"URN":           {reason: "a scheme without host", in: "urn:uuid:1", want: uri("urn:uuid:1")},
		"Empty":         {reason: "no name", fault: "is empty"},
		"OnlyWildcard":  {reason: "anything at all", in: "*", fault: "holds a wildcard elsewhere than in the first label"},
		"InnerWildcard": {reason: "Envoy would compare it literally", in: "a.*.example", fault: "holds a wildcard elsewhere than in the first label"},
		"WildcardRoot":  {reason: "nothing behind it", in: "*.", fault: "holds a wildcard elsewhere than in the first label"},
		"EmptyLabel":    {reason: "a slip", in: "a..b", fault: "has an empty label: it is not a DNS name"},
		"LongLabel":     {reason: "64 bytes", in: long + "a", fault: "has a label longer than 63 bytes"},
		"LongName":      {reason: "over 253 bytes", in: strings.Repeat(long+".", 4) + "a", fault: "is longer than 253 bytes"},
		"Hyphen":        {reason: "RFC 1123", in: "-a.example", fault: "has a label that begins or ends with a hyphen"},
		"HyphenLast":    {reason: "RFC 1123", in: "a-.example", fault: "has a label that begins or ends with a hyphen"},
		"Port":          {reason: "a common slip", in: "a.example:443", fault: `holds a colon: a name has no port, and a URI needs a scheme and "://"`},
		"IDN":           {reason: "the wire form is ASCII", in: "bücher.example", fault: "is not ASCII: write international names in their xn-- form"},
		"Space":         {reason: "neither", in: "a b", fault: "is neither a DNS name, an IP address nor a URI"},
		"Zone":          {reason: "local to a host", in: "fe80::1%eth0", fault: "has a zone: no certificate holds one"},
		"URISpace":      {reason: "must be escaped", in: "https://a/ b", fault: "holds a byte that a URI must escape"},
		"URINoHost":     {reason: "matches nothing sensible", in: "spiffe:///x", fault: "has no host"},
		"URINoScheme":   {reason: "matches nothing", in: "://a", fault: "is not a URI"},
		"URIBadHost":    {reason: "X.509 refuses it", in: "spiffe://a..b/x", fault: "has a host that has an empty label: it is not a DNS name"},
		"AddressDot":    {reason: "no certificate has an address as a DNS name", in: "10.0.0.1.", fault: "is an IP address with a final dot: write it without"},
		"URINormal":     {reason: "Envoy compares bytes, and certificates have the normal form", in: "a://0#", fault: `is not the normal form of its URI, which is "a://0"`},
		"URILong":       {reason: "bounded", in: "https://a/" + strings.Repeat("x", 2048), fault: "is longer than 2048 bytes"},
		"SPIFFEPort":    {reason: "SPIFFE-ID 2.1", in: "spiffe://td:1/x", fault: "is no SPIFFE ID: it has nothing but a trust domain and a path"},
		"SPIFFECase":    {reason: "SPIFFE-ID 2.1", in: "spiffe://TD/x", fault: "is no SPIFFE ID: the trust domain is lower case"},
		"SPIFFESlash":   {reason: "SPIFFE-ID 2.2", in: "spiffe://td/", fault: "is no SPIFFE ID: the path does not end with a slash"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, fault := subjectName(tc.in)
			if diff := cmp.Diff(tc.fault, fault); diff != "" {
				t.Errorf("%s: fault -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: name -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestClip(t *testing.T) {
	long := strings.Repeat("é", 60) // 120 bytes, the cut falls into none
	if got := clip("a" + long); got != "a"+strings.Repeat("é", 49)+"..." {
		t.Errorf("clip() = %q: half a rune must go", got)
	}
	if got := clip("short"); got != "short" {
		t.Errorf("clip() = %q", got)
	}
}
