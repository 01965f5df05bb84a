package accesslog_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/accesslog"
	"github.com/signetproxy/signet/translator/ir"
)

func TestJudge(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     accesslog.Settings
		want   *ir.AccessLog
	}{
		"Default": {
			"nothing is asked for: everything is logged as text",
			accesslog.Settings{}, &ir.AccessLog{Text: accesslog.DefaultText + "\n"},
		},
		"Disabled": {
			"a format that is not used does not matter",
			accesslog.Settings{Disabled: true, Text: "%NOPE%"}, nil,
		},
		"Text": {
			"a line ends with one line break",
			accesslog.Settings{Text: "%RESPONSE_CODE%\n", Stderr: true, Only: ir.LogErrors},
			&ir.AccessLog{Text: "%RESPONSE_CODE%\n", Stderr: true, Only: ir.LogErrors},
		},
		"JSON": {
			"the members are sorted, so that equal settings give equal bytes",
			accesslog.Settings{
				JSON: true, Fields: map[string]string{"b": "%DURATION%", "a": "x"}, Only: ir.LogStatus, MinimumStatus: 400,
			},
			&ir.AccessLog{
				Fields: []ir.LogField{{Name: "a", Format: "x"}, {Name: "b", Format: "%DURATION%"}}, Only: ir.LogStatus, MinimumStatus: 400,
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, faults := accesslog.Judge(tc.in)
			if diff := cmp.Diff(tc.want, got); diff != "" || faults != nil {
				t.Errorf("%s: %v (-want, +got):\n%s", tc.reason, faults, diff)
			}
		})
	}
}

// The default members tell why a backend was not reached, and as whom it was.
func TestDefaultFields(t *testing.T) {
	log, faults := accesslog.Judge(accesslog.Settings{JSON: true})
	if faults != nil {
		t.Fatal(faults)
	}
	have := map[string]bool{}
	for _, f := range log.Fields {
		have[f.Format] = true
	}
	for _, c := range []string{
		"UPSTREAM_HOST", "UPSTREAM_CLUSTER", "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "UPSTREAM_TRANSPORT_FAILURE_REASON",
		"UPSTREAM_TLS_VERSION", "UPSTREAM_SERVER_NAME", "UPSTREAM_PEER_SUBJECT",
	} {
		if !have["%"+c+"%"] {
			t.Errorf("no member shows %s", c)
		}
	}
	if diff := cmp.Diff(accesslog.DefaultFields(), accesslog.DefaultFields()); diff != "" {
		t.Error(diff)
	}
}

func TestFormats(t *testing.T) {
	cases := map[string]struct {
		reason string
		format string
		want   string // part of the fault; empty is taken
	}{
		"Plain text":           {"no command is needed", "a request", ""},
		"Doubled per cent":     {"it stands for one", "100%% %RESPONSE_CODE%", ""},
		"Cut header":           {"a header may be long", "%REQ(USER-AGENT?X-AGENT):80%", ""},
		"Pseudo header":        {"they are headers to Envoy", "%REQ(:AUTHORITY)%", ""},
		"Time format":          {"it holds per cent signs", "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%", ""},
		"Two lines":            {"a record may have some", "a\n\tb", ""},
		"Network of a client":  {"addresses are personal data", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(24)%", ""},
		"Path without query":   {"queries hold secrets", "%PATH(NQ)%", ""},
		"Unknown command":      {"Envoy would refuse the listener", "%STATUS%", `"%STATUS%" is unknown`},
		"File":                 {"it would write the private key of the pod", "%FILE_CONTENT(/etc/passwd)%", "is unknown or not supported"},
		"Expression":           {"Envoy alone can judge it", "%CEL(request.path)%", "is unknown or not supported"},
		"Lower case":           {"Envoy knows upper case alone", "%response_code%", `no command begins at "%response_code%"`},
		"Open command":         {"it never ends", "%RESPONSE_CODE", "no command begins"},
		"Lone per cent":        {"it begins a command", "100% sure", "no command begins"},
		"Open argument":        {"it never ends", "%REQ(X%", "no command begins"},
		"No header":            {"which one is not said", "%REQ%", "needs the name of a header"},
		"Empty header":         {"which one is not said", "%REQ()%", "needs the name of a header"},
		"Three headers":        {"Envoy takes two", "%REQ(A?B?C)%", "needs the name of a header"},
		"Header with a space":  {"no header has one", "%REQ(a b)%", "needs the name of a header"},
		"Argument too many":    {"the command takes none", "%RESPONSE_CODE(x)%", "takes no argument"},
		"Empty argument":       {"the command takes none", "%RESPONSE_CODE()%", "takes no argument"},
		"Cut number":           {"Envoy cuts some values alone", "%RESPONSE_CODE:3%", "cannot be cut"},
		"Cut to too much":      {"no value is that long", "%REQ(A):99999999999999999999%", "more than 65536"},
		"Line break in a time": {"Envoy refuses it", "%START_TIME(%n)%", "needs no argument or a time format"},
		"Mask of no address":   {"no address has so many bits", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(129)%", "number of bits"},
		"Unit that is none":    {"there are three", "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", "two moments and a unit"},
		"Control character":    {"it could fake what a terminal shows", "\x1b[2J", "control character at 0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for field, in := range map[string]accesslog.Settings{
				"accessLog.text: ":         {Text: tc.format},
				`accessLog.json["code"]: `: {JSON: true, Fields: map[string]string{"code": tc.format}},
			} {
				log, faults := accesslog.Judge(in)
				switch {
				case tc.want == "" && faults != nil:
					t.Errorf("refused, but %s: %q", tc.reason, faults)
				case tc.want != "" && (log != nil || len(faults) != 1):
					t.Errorf("taken, but %s: %v, %q", tc.reason, log, faults)
				case tc.want != "" && (!strings.HasPrefix(faults[0], field) || !strings.Contains(faults[0], tc.want)):
					t.Errorf("%q, want %s ... %s", faults[0], field, tc.want)
				}
			}
		})
	}
}

// All that is wrong is said at once.
func TestEveryFaultIsNamed(t *testing.T) {
	_, faults := accesslog.Judge(accesslog.Settings{JSON: true, Fields: map[string]string{"a": "%A%", "b": "%DURATION%", "c": "%C%"}})
	if len(faults) != 2 || !strings.Contains(faults[0], `"a"`) || !strings.Contains(faults[1], `"c"`) {
		t.Errorf("%q", faults)
	}
}
