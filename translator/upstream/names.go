package upstream

import (
	"cmp"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	maxDNSName  = 253 // RFC 1123 and 1035
	maxDNSLabel = 63
	maxURI      = 2048 // SPIFFE-ID 2.3
)

// subjectName reads an accepted name as written: an IP address, a URI, or else
// a DNS name. DNS names become lower case without a final dot, addresses take
// their shortest form, schemes become lower case (RFC 5280, 7.4), as
// certificates are compared. The fault, when there is
// one, completes "subjectNames[0] "x" ...".
func subjectName(written string) (name ir.SubjectName, fault string) {
	if written == "" {
		return name, "is empty"
	}
	if addr, err := netip.ParseAddr(written); err == nil {
		if addr.Zone() != "" {
			return name, "has a zone: no certificate holds one"
		}
		return ir.SubjectName{Kind: ir.IPName, Value: addr.Unmap().String()}, ""
	}
	if strings.Contains(written, "://") || strings.HasPrefix(written, "urn:") {
		uri := lowerScheme(written)
		if fault := uriFault(uri); fault != "" {
			return name, fault
		}
		return ir.SubjectName{Kind: ir.URIName, Value: uri}, ""
	}
	dns := strings.ToLower(strings.TrimSuffix(written, "."))
	if fault := dnsNameFault(strings.TrimPrefix(dns, "*.")); fault != "" {
		return name, fault
	}
	if _, err := netip.ParseAddr(dns); err == nil {
		return name, "is an IP address with a final dot: write it without"
	}
	return ir.SubjectName{Kind: ir.DNSName, Value: dns}, ""
}

// NameFault says why a name cannot be one that a certificate must bear; "" when
// it can. It completes "<field> <value> ...".
func NameFault(written string) string {
	_, fault := subjectName(written)
	return fault
}

// dnsNameFault says why a lower-case name is no DNS host name; "" when it is
// one. An underscore is let through: names of internal services hold them.
func dnsNameFault(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxDNSName:
		return "is longer than 253 bytes"
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "has an empty label: it is not a DNS name"
		case len(label) > maxDNSLabel:
			return "has a label longer than 63 bytes"
		case label[0] == '-' || label[len(label)-1] == '-':
			return "has a label that begins or ends with a hyphen"
		}
		for i := range len(label) {
			if fault := dnsByteFault(label[i]); fault != "" {
				return fault
			}
		}
	}
	return ""
}

func dnsByteFault(c byte) string {
	switch {
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		return ""
	case c >= 0x80:
		return "is not ASCII: write international names in their xn-- form"
	case c == ':':
		return "holds a colon: a name has no port, and a URI needs a scheme and \"://\""
	case c == '*':
		return "holds a wildcard elsewhere than in the first label"
	default:
		return "is neither a DNS name, an IP address nor a URI"
	}
}

func lowerScheme(uri string) string {
	scheme, rest, _ := strings.Cut(uri, ":")
	return strings.Map(lowerASCII, scheme) + ":" + rest
}

func lowerASCII(c rune) rune {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// uriFault says why a URI can be no subject alternative name (RFC 5280,
// 4.2.1.6; SPIFFE-ID 2). Envoy compares it byte by byte.
func uriFault(written string) string {
	if len(written) > maxURI {
		return "is longer than 2048 bytes"
	}
	for i := range len(written) {
		if c := written[i]; c <= ' ' || c >= 0x7f {
			return "holds a byte that a URI must escape"
		}
	}
	u, err := url.Parse(written)
	switch {
	case err != nil:
		return "is not a URI"
	case u.Scheme == "":
		return "has no scheme"
	case u.String() != written:
		return "is not the normal form of its URI, which is " + strconv.Quote(clip(u.String()))
	case u.Scheme == "urn":
		return ""
	case u.Hostname() == "":
		return "has no host"
	case hostFault(u.Hostname()) != "":
		return "has a host that " + hostFault(u.Hostname())
	case u.Scheme == "spiffe":
		return spiffeFault(u)
	default:
		return ""
	}
}

// hostFault judges the host of a URI: a DNS name or an IP address.
func hostFault(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return dnsNameFault(strings.ToLower(host))
}

func spiffeFault(u *url.URL) string {
	switch {
	case u.User != nil || u.Port() != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "is no SPIFFE ID: it has nothing but a trust domain and a path"
	case u.Host != strings.ToLower(u.Host):
		return "is no SPIFFE ID: the trust domain is lower case"
	case strings.HasSuffix(u.Path, "/"):
		return "is no SPIFFE ID: the path does not end with a slash"
	default:
		return ""
	}
}

// sniName returns a host name as it is sent in the handshake.
func sniName(host string) (string, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return "", false
	}
	return host, dnsNameFault(host) == ""
}

// withoutPort cuts ":8443" off a Host header.
func withoutPort(host string) string {
	if name, _, ok := strings.CutLast(host, ":"); ok {
		return name
	}
	return host
}

// clip keeps what others wrote from flooding a message.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func compareTrust(a, b ir.TrustRef) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name.Name, b.Name.Name))
}
