package gatewayapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// OptionDomain is the prefix of the options that are Signet's.
const OptionDomain = "signetproxy.io/"

// Options of TLS, in BackendTLSPolicy.spec.options and in a listener's
// tls.options. Lists are separated by commas.
const (
	OptionMinVersion = OptionDomain + "minimum-protocol-version"
	OptionMaxVersion = OptionDomain + "maximum-protocol-version"
	OptionCiphers    = OptionDomain + "cipher-suites"
	OptionCurves     = OptionDomain + "ecdh-curves"
)

// TLSOptions reads the options of Signet; those of other domains are not its
// own. One that it does not know is a fault: it may be there for security.
func TLSOptions(options map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue) (ir.TLSProfile, *Fault) {
	var s upstream.FleetSettings
	for _, key := range slices.Sorted(maps.Keys(options)) {
		value := string(options[key])
		switch string(key) {
		case OptionMinVersion:
			s.Min = value
		case OptionMaxVersion:
			s.Max = value
		case OptionCiphers:
			s.Ciphers = list(value)
		case OptionCurves:
			s.Curves = list(value)
		default:
			if strings.HasPrefix(string(key), OptionDomain) {
				return ir.TLSProfile{}, &Fault{Reason: reason.UnsupportedValue, Message: fmt.Sprintf(
					"options: %q is unknown: the options are %s, %s, %s and %s",
					key, OptionMinVersion, OptionMaxVersion, OptionCiphers, OptionCurves)}
			}
		}
	}
	out, p := upstream.ProfileOptions(s)
	if p != nil {
		return out, &Fault{Reason: reason.UnsupportedValue, Message: "options: " + strings.TrimPrefix(p.Message, "upstreamTLS")}
	}
	return out, nil
}

func list(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
