package gatewayapi

import (
	"cmp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// AnyHost is the host of a listener or route that names none.
const AnyHost = "*"

// Host is a hostname as it is compared: lower case, AnyHost for none.
func Host(h *gatewayv1.Hostname) string {
	if h == nil || *h == "" {
		return AnyHost
	}
	return strings.ToLower(string(*h))
}

// Covers reports whether every name that host stands for is one that pattern
// stands for. "*.example.com" stands for names with one or more labels in
// front of ".example.com", AnyHost for all.
func Covers(pattern, host string) bool {
	switch {
	case pattern == host, pattern == AnyHost:
		return true
	case !strings.HasPrefix(pattern, "*."):
		return false
	}
	return host != AnyHost && strings.HasSuffix(strings.TrimPrefix(host, "*"), pattern[1:]) && len(host) > len(pattern[1:])
}

// Intersect returns the names that two hosts have in common.
func Intersect(a, b string) (string, bool) {
	switch {
	case Covers(a, b):
		return b, true
	case Covers(b, a):
		return a, true
	default:
		return "", false
	}
}

// CompareHosts puts the more specific host first: exact names, then wildcards
// by length, then AnyHost; equal ones compare by name.
func CompareHosts(a, b string) int {
	wild := func(h string) int {
		if strings.HasPrefix(h, "*") {
			return 1
		}
		return 0
	}
	if d := cmp.Compare(wild(a), wild(b)); d != 0 {
		return d
	}
	if wild(a) == 1 {
		if d := cmp.Compare(len(b), len(a)); d != 0 {
			return d
		}
	}
	return cmp.Compare(a, b)
}

// Wider returns the next wider pattern of a host: "*.example.com" for
// "a.example.com", "*.com" for "*.example.com", AnyHost at last; "" for
// AnyHost.
func Wider(host string) string {
	if host == AnyHost {
		return ""
	}
	_, rest, ok := strings.Cut(strings.TrimPrefix(host, "*."), ".")
	if !ok {
		return AnyHost
	}
	return "*." + rest
}
