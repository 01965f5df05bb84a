package accesslog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
)

// Settings are an EnvoyFleet's, as written. The zero value is the default: all
// requests and connections, as DefaultText, to standard output.
type Settings struct {
	// Disabled logs nothing; all else counts for nothing then.
	Disabled bool
	// Stderr writes to standard error.
	Stderr bool
	// JSON writes Fields, else Text is written.
	JSON bool
	// Text is a format string of Envoy; empty is DefaultText.
	Text string
	// Fields are format strings by the names of members; none is DefaultFields.
	Fields map[string]string
	// Only chooses what is logged; MinimumStatus is for ir.LogStatus, from 100 to
	// 599.
	Only          ir.LogFilter
	MinimumStatus int32
}

// DefaultText is what Envoy writes by itself, so that tools which read that read
// this, followed by what tells why a backend was not reached: the cluster, the
// response code's details, and why the handshake failed, which nothing else tells.
const DefaultText = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ` +
	`%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ` +
	`%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ` +
	`"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" ` +
	`"%UPSTREAM_CLUSTER%" %RESPONSE_CODE_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%"`

// DefaultFields returns the default members of a JSON object.
func DefaultFields() map[string]string { return maps.Clone(defaultFields) }

var defaultFields = map[string]string{
	"start_time":                        "%START_TIME%",
	"method":                            "%REQ(:METHOD)%",
	"path":                              "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	"protocol":                          "%PROTOCOL%",
	"authority":                         "%REQ(:AUTHORITY)%",
	"request_id":                        "%REQ(X-REQUEST-ID)%",
	"user_agent":                        "%REQ(USER-AGENT)%",
	"x_forwarded_for":                   "%REQ(X-FORWARDED-FOR)%",
	"response_code":                     "%RESPONSE_CODE%",
	"response_code_details":             "%RESPONSE_CODE_DETAILS%",
	"response_flags":                    "%RESPONSE_FLAGS%",
	"connection_termination_details":    "%CONNECTION_TERMINATION_DETAILS%",
	"bytes_received":                    "%BYTES_RECEIVED%",
	"bytes_sent":                        "%BYTES_SENT%",
	"duration_ms":                       "%DURATION%",
	"route":                             "%ROUTE_NAME%",
	"downstream_remote_address":         "%DOWNSTREAM_REMOTE_ADDRESS%",
	"downstream_local_address":          "%DOWNSTREAM_LOCAL_ADDRESS%",
	"downstream_server_name":            "%REQUESTED_SERVER_NAME%",
	"downstream_tls_version":            "%DOWNSTREAM_TLS_VERSION%",
	"upstream_host":                     "%UPSTREAM_HOST%",
	"upstream_cluster":                  "%UPSTREAM_CLUSTER%",
	"upstream_service_time_ms":          "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
	"upstream_attempts":                 "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	"upstream_server_name":              "%UPSTREAM_SERVER_NAME%",
	"upstream_tls_version":              "%UPSTREAM_TLS_VERSION%",
	"upstream_tls_cipher":               "%UPSTREAM_TLS_CIPHER%",
	"upstream_peer_subject":             "%UPSTREAM_PEER_SUBJECT%",
	"upstream_peer_dns_names":           "%UPSTREAM_PEER_DNS_SAN%",
	"upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}

// Judge returns what is logged, nil for nothing, and in words what Envoy would
// not take: each names a field of an EnvoyFleet, what was found and what to do.
// With one of these there is nothing to log by.
func Judge(s Settings) (log *ir.AccessLog, faults []string) {
	if s.Disabled {
		return nil, nil
	}
	out := &ir.AccessLog{Stderr: s.Stderr, Only: s.Only}
	if s.Only == ir.LogStatus {
		out.MinimumStatus = uint32(max(s.MinimumStatus, 0))
	}
	if s.JSON {
		out.Fields, faults = fields(s.Fields)
	} else {
		out.Text, faults = text(s.Text)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return out, nil
}

func text(format string) (string, []string) {
	if format == "" {
		format = DefaultText
	}
	if fault := check(format); fault != "" {
		return "", []string{"accessLog.text: " + fault}
	}
	return strings.TrimSuffix(format, "\n") + "\n", nil
}

func fields(formats map[string]string) (out []ir.LogField, faults []string) {
	if len(formats) == 0 {
		formats = defaultFields
	}
	for _, name := range slices.Sorted(maps.Keys(formats)) {
		if fault := check(formats[name]); fault != "" {
			faults = append(faults, fmt.Sprintf("accessLog.json[%q]: %s", name, fault))
			continue
		}
		out = append(out, ir.LogField{Name: name, Format: formats[name]})
	}
	return out, faults
}
