package validate_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/signetproxy/signet/test/validate"
	"github.com/signetproxy/signet/translator/accesslog"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// logging is what serves HTTP, TCP and UDP with an access log.
func logging(t *testing.T, number int, name string, log *ir.AccessLog) validate.Part {
	t.Helper()
	must := func(r *envoy.Resource, err error) *envoy.Resource {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	up := &ir.Upstream{Service: ir.ServicePort{Name: ir.Name{Namespace: "default", Name: "web"}, Port: 80}, Protocol: ir.HTTP1}
	stream := &ir.TCPRoute{Listener: "a/gw/tcp/1", Host: "*", Plain: true, Backends: []ir.Backend{{Upstream: up, Weight: 1}}}
	at := func(l ir.Listener, port int) *ir.Listener {
		l.Address, l.Port, l.AccessLog = "127.0.0.1", uint32(20000+3*number+port), log
		return &l
	}
	return validate.Part{Name: name, Resources: []*envoy.Resource{
		must(envoy.Cluster(up)),
		must(envoy.Listener(at(ir.Listener{Name: "http"}, 0), nil)),
		must(envoy.ComposeListener(at(ir.Listener{Name: "a/gw/tcp/1", Chains: []ir.Chain{}}, 1), []*envoy.Resource{must(envoy.StreamPart(stream, log))})),
		must(envoy.ComposeListener(at(ir.Listener{Name: "a/gw/udp/1", UDP: true, Chains: []ir.Chain{}}, 2), []*envoy.Resource{must(envoy.DatagramPart(stream, log))})),
	}}
}

// Every command that is taken from an EnvoyFleet is one of Envoy's, as text and
// in JSON, for what is served over HTTP, TCP and UDP.
func TestEnvoyTakesEveryCommandOfAccessLogs(t *testing.T) {
	commands := accesslog.Commands()
	if len(commands) < 100 {
		t.Fatalf("%d commands: where are the others?", len(commands))
	}
	var parts []validate.Part
	add := func(name string, s accesslog.Settings) {
		log, faults := accesslog.Judge(s)
		if faults != nil {
			t.Fatalf("%s: %q", name, faults)
		}
		parts = append(parts, logging(t, len(parts), name, log))
	}
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		add(name, accesslog.Settings{Text: commands[name]})
	}
	add("all in JSON", accesslog.Settings{JSON: true, Fields: commands})
	add("default text", accesslog.Settings{})
	add("default JSON, errors", accesslog.Settings{JSON: true, Stderr: true, Only: ir.LogErrors})
	add("statuses", accesslog.Settings{Only: ir.LogStatus, MinimumStatus: 404})
	add("every part of a time", accesslog.Settings{
		Text: "%START_TIME(%a%A%b%B%c%C%d%D%e%F%g%G%h%H%I%j%m%M%p%r%R%s%S%T%u%U%V%w%W%x%X%y%Y%z%Z%f%1f%9f)%",
	})
	if err := validate.Run(t.Context(), envoyPath(t), parts...); err != nil {
		t.Error(err)
	}
}

// What is refused on an EnvoyFleet for its syntax would be refused by Envoy.
func TestEnvoyRefusesWhatAccessLogsMustNotHold(t *testing.T) {
	for i, format := range []string{
		"%STATUS%", "%response_code%", "%RESPONSE_CODE", "100% sure", "%REQ(X%", "%REQ%", "%REQ(A?B?C)%",
		"%RESPONSE_CODE(x)%", "%RESPONSE_CODE:3%", "%START_TIME(%n)%", "%REQ(A):99999999999999999999%",
		"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", "%GRPC_STATUS(x)%", "%PATH(x)%", "%QUERY_PARAMS(x)%", "%QUERY_PARAM%",
	} {
		t.Run(format, func(t *testing.T) {
			if _, faults := accesslog.Judge(accesslog.Settings{Text: format}); len(faults) == 0 {
				t.Error("it is taken from an EnvoyFleet")
			}
			err := validate.Run(t.Context(), envoyPath(t), logging(t, i, fmt.Sprint("format ", i), &ir.AccessLog{Text: format + "\n"}))
			if refused := (*validate.RefusedError)(nil); !errors.As(err, &refused) {
				t.Errorf("Envoy says %v", err)
			}
		})
	}
}
