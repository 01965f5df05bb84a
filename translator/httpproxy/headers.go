package httpproxy

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// headerScope says which headers a policy may touch.
type headerScope uint8

const (
	routeRequest headerScope = iota
	serviceRequest
	response
)

// variables are the values of the %CONTOUR_...% variables.
type variables struct{ namespace, service, port string }

func (v *variables) lookup(name string) (string, bool) {
	switch name {
	case "CONTOUR_NAMESPACE":
		return v.namespace, true
	case "CONTOUR_SERVICE_NAME":
		return v.service, v.service != ""
	case "CONTOUR_SERVICE_PORT":
		return v.port, v.service != ""
	}
	return "", false
}

// headers is a parsed headers policy.
type headers struct {
	policy ir.HeaderPolicy
	// host replaces :authority; hostFrom does by the value of a header.
	host, hostFrom string
}

// parseHeaders reads a headers policy. Set wins over remove.
func parseHeaders(p *contourv1.HeadersPolicy, scope headerScope, vars *variables) (headers, error) {
	var out headers
	if p == nil {
		return out, nil
	}
	for i := range p.Set {
		name, value := http.CanonicalHeaderKey(p.Set[i].Name), p.Set[i].Value
		if name == "Host" {
			if err := out.setHost(value, scope); err != nil {
				return headers{}, err
			}
			continue
		}
		if err := checkHeader(name, value); err != nil {
			return headers{}, fmt.Errorf("invalid set header %q: %w", clip(name), err)
		}
		if slices.ContainsFunc(out.policy.Set, func(h ir.Header) bool { return h.Name == name }) {
			return headers{}, fmt.Errorf("duplicate header addition: %q", name)
		}
		out.policy.Set = append(out.policy.Set, ir.Header{Name: name, Value: expand(value, vars)})
	}
	for _, written := range p.Remove {
		name := http.CanonicalHeaderKey(written)
		switch {
		case !isHeaderName(name):
			return headers{}, fmt.Errorf("invalid remove header %q: not a header name", clip(name))
		case name == "Host":
			// Envoy refuses the whole route configuration with it.
			return headers{}, errors.New(`invalid remove header "Host", which every request needs,`)
		case slices.Contains(out.policy.Remove, name):
			return headers{}, fmt.Errorf("duplicate header removal: %q", name)
		}
		out.policy.Remove = append(out.policy.Remove, name)
	}
	out.policy.Remove = slices.DeleteFunc(out.policy.Remove, func(name string) bool {
		return slices.ContainsFunc(out.policy.Set, func(h ir.Header) bool { return h.Name == name })
	})
	out.normalize()
	return out, nil
}

func (h *headers) normalize() {
	slices.SortFunc(h.policy.Set, func(a, b ir.Header) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(h.policy.Remove)
	if len(h.policy.Remove) == 0 {
		h.policy.Remove = nil
	}
}

var (
	hostFromHeader = regexp.MustCompile(`^%REQ\(([A-Za-z0-9-]+)\)%$`)
	// hostLiteral is a host name, or an IPv6 address, with an optional port.
	hostLiteral = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
)

func (h *headers) setHost(value string, scope headerScope) error {
	if h.host != "" || h.hostFrom != "" {
		return errors.New(`duplicate header addition: "Host"`)
	}
	from := hostFromHeader.FindStringSubmatch(value)
	switch {
	case scope == response:
		return errors.New(`rewriting "Host" header is not supported`)
	case from != nil && scope == serviceRequest:
		return errors.New(`rewriting "Host" header with a dynamic value is not supported on a service`)
	case from != nil:
		h.hostFrom = http.CanonicalHeaderKey(from[1])
	case !hostLiteral.MatchString(value) || len(value) > 260:
		return fmt.Errorf(`invalid set header "Host": %q is neither a host name nor %%REQ(Header-Name)%%`, clip(value))
	default:
		h.host = value
	}
	return nil
}

// maxHeader is Envoy's limit for a name and for a value, in bytes.
const maxHeader = 16384

func checkHeader(name, value string) error {
	switch {
	case !isHeaderName(name):
		return errors.New("not a header name")
	case len(value) > maxHeader:
		return fmt.Errorf("the value has %d bytes, more than %d", len(value), maxHeader)
	case strings.ContainsFunc(value, isControl):
		return errors.New("the value holds a control character")
	}
	return nil
}

// isHeaderName reports an RFC 9110 token that Envoy takes.
func isHeaderName(s string) bool {
	if s == "" || len(s) > maxHeader {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}

// requestOperator is what may stand between per cent signs to take the value
// of a request header, with an alternative and a length.
var requestOperator = regexp.MustCompile(`^REQ\(:?[\w-]+(\?:?[\w-]+)?\)(:\d{1,5})?$`)

// operators are Envoy's command operators that a header may use, those that
// Contour allows.
var operators = map[string]bool{
	"DOWNSTREAM_REMOTE_ADDRESS": true, "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": true,
	"DOWNSTREAM_LOCAL_ADDRESS": true, "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": true,
	"DOWNSTREAM_LOCAL_PORT": true, "DOWNSTREAM_LOCAL_URI_SAN": true, "DOWNSTREAM_PEER_URI_SAN": true,
	"DOWNSTREAM_LOCAL_SUBJECT": true, "DOWNSTREAM_PEER_SUBJECT": true, "DOWNSTREAM_PEER_ISSUER": true,
	"DOWNSTREAM_TLS_SESSION_ID": true, "DOWNSTREAM_TLS_CIPHER": true, "DOWNSTREAM_TLS_VERSION": true,
	"DOWNSTREAM_PEER_FINGERPRINT_256": true, "DOWNSTREAM_PEER_FINGERPRINT_1": true,
	"DOWNSTREAM_PEER_SERIAL": true, "DOWNSTREAM_PEER_CERT": true, "DOWNSTREAM_PEER_CERT_V_START": true,
	"DOWNSTREAM_PEER_CERT_V_END": true, "HOSTNAME": true, "PROTOCOL": true, "UPSTREAM_REMOTE_ADDRESS": true,
	"RESPONSE_FLAGS": true, "RESPONSE_CODE_DETAILS": true,
}

// expand turns a value as written into an Envoy format string: known
// variables are replaced, known operators pass, any other per cent sign is
// doubled.
func expand(value string, vars *variables) string {
	if !strings.Contains(value, "%") {
		return value
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(value, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "%")
		v, known := vars.lookup(name)
		switch {
		case closed && known:
			b.WriteString(v)
			value = after
		case closed && (operators[name] || requestOperator.MatchString(name)):
			b.WriteString("%" + name + "%")
			value = after
		default:
			b.WriteString("%%")
			value = rest
		}
	}
}
