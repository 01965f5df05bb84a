package envoy

import (
	"fmt"
	"regexp"
	"strings"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/signetproxy/signet/translator/ir"
)

// headerName is a field name (RFC 9110, section 5.1).
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// formatCommand is one command of Envoy's format strings: name, argument and
// maximum length.
var formatCommand = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\(([^()%]*)\))?(?::[0-9]{1,5})?%`)

// formatCommands are the commands that header values may hold. True stands for
// one that needs the name of a header as its argument.
var formatCommands = map[string]bool{
	"CONNECTION_ID":                                 false,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":              false,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": false,
	"DOWNSTREAM_LOCAL_ADDRESS":                      false,
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         false,
	"DOWNSTREAM_LOCAL_PORT":                         false,
	"DOWNSTREAM_LOCAL_SUBJECT":                      false,
	"DOWNSTREAM_LOCAL_URI_SAN":                      false,
	"DOWNSTREAM_PEER_CERT":                          false,
	"DOWNSTREAM_PEER_CERT_V_END":                    false,
	"DOWNSTREAM_PEER_CERT_V_START":                  false,
	"DOWNSTREAM_PEER_FINGERPRINT_1":                 false,
	"DOWNSTREAM_PEER_FINGERPRINT_256":               false,
	"DOWNSTREAM_PEER_ISSUER":                        false,
	"DOWNSTREAM_PEER_SERIAL":                        false,
	"DOWNSTREAM_PEER_SUBJECT":                       false,
	"DOWNSTREAM_PEER_URI_SAN":                       false,
	"DOWNSTREAM_REMOTE_ADDRESS":                     false,
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        false,
	"DOWNSTREAM_REMOTE_PORT":                        false,
	"DOWNSTREAM_TLS_CIPHER":                         false,
	"DOWNSTREAM_TLS_SESSION_ID":                     false,
	"DOWNSTREAM_TLS_VERSION":                        false,
	"HOSTNAME":                                      false,
	"PROTOCOL":                                      false,
	"REQ":                                           true,
	"REQUESTED_SERVER_NAME":                         false,
	"RESP":                                          true,
	"RESPONSE_CODE":                                 false,
	"RESPONSE_CODE_DETAILS":                         false,
	"RESPONSE_FLAGS":                                false,
	"ROUTE_NAME":                                    false,
	"UPSTREAM_REMOTE_ADDRESS":                       false,
}

// mutations are a header policy in Envoy's terms.
type mutations struct {
	add    []*corev3.HeaderValueOption
	remove []string
}

func headerPolicy(field string, p *ir.HeaderPolicy) (mutations, error) {
	var out mutations
	for i := range p.Set {
		if err := out.append(&p.Set[i], corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD); err != nil {
			return out, in(field+".set", err)
		}
	}
	for i := range p.Add {
		if err := out.append(&p.Add[i], corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD); err != nil {
			return out, in(field+".add", err)
		}
	}
	for _, name := range p.Remove {
		if err := checkHeaderName(name); err != nil {
			return out, in(field+".remove", err)
		}
		out.remove = append(out.remove, name)
	}
	return out, nil
}

// mutationsOf is a header policy for a mirror's copies.
func mutationsOf(field string, p *ir.HeaderPolicy) ([]*mutationv3.HeaderMutation, error) {
	m, err := headerPolicy(field, p)
	if err != nil {
		return nil, err
	}
	var out []*mutationv3.HeaderMutation
	for _, name := range m.remove {
		out = append(out, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Remove{Remove: name}})
	}
	for _, h := range m.add {
		out = append(out, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: h}})
	}
	return out, nil
}

func (m *mutations) append(h *ir.Header, action corev3.HeaderValueOption_HeaderAppendAction) error {
	if err := checkHeaderName(h.Name); err != nil {
		return err
	}
	if err := checkFormat(h.Value); err != nil {
		return in(fmt.Sprintf("header %q", h.Name), err)
	}
	m.add = append(m.add, &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: h.Name, Value: h.Value},
		AppendAction: action,
		// A header set to nothing is set; one whose format yields nothing is not.
		KeepEmptyValue: h.Value == "",
	})
	return nil
}

// checkHeaderName also refuses the names that Envoy lets nobody change: one of
// them makes it refuse the whole route configuration.
func checkHeaderName(name string) error {
	if !headerName.MatchString(name) {
		return refuse("header", "%q is no header name", name)
	}
	if strings.EqualFold(name, "host") {
		return refuse("header", "%q can only be rewritten, not set, added or removed here", name)
	}
	return nil
}

// checkFormat checks a format string of Envoy: every per cent sign is doubled
// or part of a known command.
func checkFormat(v string) error {
	if strings.ContainsAny(v, "\x00\r\n") {
		return refuse("value", "it holds a line break or a NUL")
	}
	for {
		i := strings.IndexByte(v, '%')
		if i < 0 {
			return nil
		}
		v = v[i:]
		if strings.HasPrefix(v, "%%") {
			v = v[2:]
			continue
		}
		m := formatCommand.FindStringSubmatch(v)
		if m == nil {
			return refuse("value", "a per cent sign at %q is neither doubled nor part of a command", v)
		}
		wantsName, known := formatCommands[m[1]]
		switch {
		case !known:
			return refuse("value", "the command %q is unknown or not allowed in headers", m[0])
		case wantsName && !headerChoice(m[2]):
			return refuse("value", "the command %q needs the name of a header, or two with a question mark between", m[0])
		case !wantsName && strings.HasPrefix(m[0], "%"+m[1]+"("):
			return refuse("value", "the command %q takes no argument", m[0])
		}
		v = v[len(m[0]):]
	}
}

// headerChoice reports the argument of a command that takes a header's value:
// its name, and after a question mark the one to take where it is absent.
func headerChoice(arg string) bool {
	first, second, both := strings.Cut(arg, "?")
	named := func(s string) bool { return headerName.MatchString(strings.TrimPrefix(s, ":")) }
	return named(first) && (!both || named(second))
}

func unchanged(p *ir.HeaderPolicy) bool {
	return len(p.Set) == 0 && len(p.Add) == 0 && len(p.Remove) == 0
}
