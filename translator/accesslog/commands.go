package accesslog

import (
	"maps"
	"regexp"
)

// syntax is what Envoy wants of a command.
type syntax struct {
	// argument matches what may stand in parentheses; nil takes none.
	argument *regexp.Regexp
	// required says that there must be an argument.
	required bool
	// wants describes the argument, behind "needs".
	wants string
	// cut says that ":<length>" may follow.
	cut bool
	// example is an argument that is taken.
	example string
}

// headerName is the name of a header (RFC 9110, section 5.1) that Envoy's commands
// can name.
const headerName = "[!#$&'*+.^_`|~0-9A-Za-z-]+"

// points are the moments of a request or connection.
const points = "(DS_RX_BEG|DS_RX_END|US_CX_BEG|US_CX_END|US_HS_END|US_TX_BEG|US_TX_END|" +
	"US_RX_BEG|US_RX_BODY_BEG|US_RX_END|DS_TX_BEG|DS_TX_END|DS_CX_BEG|DS_CX_END)"

var (
	plain = &syntax{}
	// header is a header's name, and after a question mark the one that is taken
	// where the first is absent.
	header = &syntax{
		argument: regexp.MustCompile("^:?" + headerName + `(\?:?` + headerName + ")?$"), required: true, cut: true,
		wants: "the name of a header, as (USER-AGENT), or two with a question mark between", example: ":PATH?X-PATH",
	}
	// moment is a time in the form of strftime, with %f for fractions of a second.
	moment = &syntax{
		argument: regexp.MustCompile(`^([^%\n\t]|%[1-9]?f|%[aAbBcCdDeFgGhHIjmMprRsSTuUVwWxXyYzZ])+$`),
		wants:    "no argument or a time format, as (%Y-%m-%dT%H:%M:%S.%3fZ)", example: "%Y-%m-%dT%H:%M:%S.%3fZ",
	}
	// masked is an address, or its network of so many bits.
	masked = &syntax{
		argument: regexp.MustCompile(`^([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$`),
		wants:    "no argument or a number of bits, as (24)", example: "24",
	}
	spaces = &syntax{
		argument: regexp.MustCompile(`^ALLOW_WHITESPACES$`), wants: "no argument or (ALLOW_WHITESPACES)", example: "ALLOW_WHITESPACES",
	}
	between = &syntax{
		argument: regexp.MustCompile("^" + points + ":" + points + ":(ms|us|ns)$"), required: true,
		wants: "two moments and a unit, as (DS_RX_BEG:US_HS_END:ms)", example: "DS_RX_BEG:US_HS_END:ms",
	}
	grpc = &syntax{
		argument: regexp.MustCompile("^(CAMEL_STRING|SNAKE_STRING|NUMBER)$"),
		wants:    "no argument, (CAMEL_STRING), (SNAKE_STRING) or (NUMBER)", example: "NUMBER",
	}
	parameter = &syntax{
		argument: regexp.MustCompile(`^[A-Za-z0-9_.~-]+$`), required: true, cut: true,
		wants: "the name of a parameter, as (page)", example: "page",
	}
	path = &syntax{
		argument: regexp.MustCompile("^(WQ|NQ)?(:(ORIG|PATH|ORIG_OR_PATH))?$"), cut: true,
		wants: "no argument or parts of a path, as (NQ) for one without query", example: "NQ:ORIG_OR_PATH",
	}
	query = &syntax{
		argument: regexp.MustCompile("^(ORIG|DECODED)$"), cut: true,
		wants: "no argument, (ORIG) or (DECODED)", example: "DECODED",
	}
)

// commands are those of Envoy 1.40 that say something in the access log of a
// fleet (its documentation of substitution formatters). Left out on purpose:
// FILE_CONTENT, which writes any file of the pod, its private key too;
// ENVIRONMENT, for the like of it; CEL and COALESCE, whose arguments Envoy alone
// can judge; and what reads metadata and state that Signet never sets.
var commands = join(
	list(plain, "ACCESS_LOG_TYPE", "BYTES_RECEIVED", "BYTES_SENT", "CONNECTION_ID", "CONNECTION_TERMINATION_DETAILS",
		"DURATION", "FILTER_CHAIN_NAME", "GRPC_STATUS_NUMBER", "HOSTNAME", "LOCAL_REPLY_BODY", "PROTOCOL",
		"REQUESTED_SERVER_NAME", "REQUEST_DURATION", "REQUEST_HEADERS_BYTES", "REQUEST_TX_DURATION", "RESPONSE_CODE",
		"RESPONSE_DURATION", "RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "RESPONSE_HEADERS_BYTES", "RESPONSE_TRAILERS_BYTES",
		"RESPONSE_TX_DURATION", "ROUTE_NAME", "STREAM_ID", "UNIQUE_ID",
		"TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT"),
	list(plain, "DOWNSTREAM_DETECTED_CLOSE_TYPE", "DOWNSTREAM_DIRECT_LOCAL_ADDRESS", "DOWNSTREAM_DIRECT_LOCAL_PORT",
		"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_PORT", "DOWNSTREAM_HANDSHAKE_DURATION",
		"DOWNSTREAM_HEADER_BYTES_RECEIVED", "DOWNSTREAM_HEADER_BYTES_SENT", "DOWNSTREAM_LOCAL_ADDRESS",
		"DOWNSTREAM_LOCAL_CLOSE_REASON", "DOWNSTREAM_LOCAL_DNS_SAN", "DOWNSTREAM_LOCAL_IP_SAN", "DOWNSTREAM_LOCAL_PORT",
		"DOWNSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_LOCAL_URI_SAN", "DOWNSTREAM_PEER_CERT",
		"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", "DOWNSTREAM_PEER_CHAIN_SERIALS", "DOWNSTREAM_PEER_DNS_SAN",
		"DOWNSTREAM_PEER_EMAIL_SAN", "DOWNSTREAM_PEER_FINGERPRINT_1", "DOWNSTREAM_PEER_FINGERPRINT_256",
		"DOWNSTREAM_PEER_IP_SAN", "DOWNSTREAM_PEER_ISSUER", "DOWNSTREAM_PEER_SERIAL", "DOWNSTREAM_PEER_SUBJECT",
		"DOWNSTREAM_PEER_URI_SAN", "DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_PORT", "DOWNSTREAM_TLS_CIPHER",
		"DOWNSTREAM_TLS_GROUP", "DOWNSTREAM_TLS_SESSION_ID", "DOWNSTREAM_TLS_VERSION", "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
		"DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_WIRE_BYTES_SENT"),
	list(plain, "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW", "UPSTREAM_CONNECTION_ID", "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
		"UPSTREAM_CONNECTION_POOL_READY_DURATION", "UPSTREAM_DETECTED_CLOSE_TYPE", "UPSTREAM_HEADER_BYTES_RECEIVED",
		"UPSTREAM_HEADER_BYTES_SENT", "UPSTREAM_HOST", "UPSTREAM_HOSTS_ATTEMPTED", "UPSTREAM_HOST_NAME",
		"UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_LOCAL_CLOSE_REASON", "UPSTREAM_LOCAL_DNS_SAN", "UPSTREAM_LOCAL_IP_SAN",
		"UPSTREAM_LOCAL_PORT", "UPSTREAM_LOCAL_URI_SAN", "UPSTREAM_PEER_CERT", "UPSTREAM_PEER_DNS_SAN",
		"UPSTREAM_PEER_IP_SAN", "UPSTREAM_PEER_ISSUER", "UPSTREAM_PEER_SUBJECT", "UPSTREAM_PEER_URI_SAN",
		"UPSTREAM_PROTOCOL", "UPSTREAM_REMOTE_ADDRESS", "UPSTREAM_REMOTE_PORT", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
		"UPSTREAM_SERVER_NAME", "UPSTREAM_TLS_CIPHER", "UPSTREAM_TLS_GROUP", "UPSTREAM_TLS_SESSION_ID",
		"UPSTREAM_TLS_VERSION", "UPSTREAM_TRANSPORT_FAILURE_REASON", "UPSTREAM_WIRE_BYTES_RECEIVED",
		"UPSTREAM_WIRE_BYTES_SENT"),
	list(header, "REQ", "REQUEST_HEADER", "RESP", "RESPONSE_HEADER", "RESPONSE_TRAILER", "TRAILER"),
	list(moment, "EMIT_TIME", "EMIT_TIME_LOCAL", "START_TIME", "START_TIME_LOCAL",
		"DOWNSTREAM_PEER_CERT_V_END", "DOWNSTREAM_PEER_CERT_V_START", "UPSTREAM_PEER_CERT_V_END", "UPSTREAM_PEER_CERT_V_START"),
	list(masked, "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
		"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
		"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"),
	list(spaces, "RESPONSE_CODE_DETAILS"),
	list(between, "COMMON_DURATION"),
	list(grpc, "GRPC_STATUS"),
	list(parameter, "QUERY_PARAM"),
	list(path, "PATH"),
	list(query, "QUERY_PARAMS"),
)

// Commands returns a format string for each command that is known, by its name:
// with an argument and a length where it takes them.
func Commands() map[string]string {
	out := make(map[string]string, len(commands))
	for name, s := range commands {
		format := "%" + name
		if s.example != "" {
			format += "(" + s.example + ")"
		}
		if s.cut {
			format += ":20"
		}
		out[name] = format + "%"
	}
	return out
}

func list(s *syntax, names ...string) map[string]*syntax {
	out := make(map[string]*syntax, len(names))
	for _, n := range names {
		out[n] = s
	}
	return out
}

func join(lists ...map[string]*syntax) map[string]*syntax {
	out := map[string]*syntax{}
	for _, l := range lists {
		maps.Copy(out, l)
	}
	return out
}
