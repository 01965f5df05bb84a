package envoy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// TestGolden shows whole resources to the reader of a change.
func TestGolden(t *testing.T) {
	secured := upstreamOf(func(u *ir.Upstream) {
		u.TLS.SNI, u.TLS.ClientCertificate = "b.test", client("envoy")
		u.TLS.Verify.Trust = append(u.TLS.Verify.Trust, trust("other"))
		u.TLS.Profile.Ciphers = []string{"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]"}
		u.HealthCheck = &ir.HealthCheck{HTTP: &ir.HTTPHealthCheck{Path: "/healthz", Host: "health"}}
		u.CircuitBreakers = ir.CircuitBreakers{MaxConnections: 10, PerHostMaxConnections: 5}
		u.IdleTimeout = new(time.Minute)
	})
	external := &ir.Upstream{Service: service("ext"), ExternalName: "ext.test", HealthPort: 81, Protocol: ir.HTTP2, HealthCheck: &ir.HealthCheck{}}
	vh := &ir.VirtualHost{Listener: "https", Host: "h.test", TLS: true, Routes: []ir.Route{
		{
			Name:  "split",
			Match: ir.Match{PathKind: ir.PathPrefix, Path: "/", Headers: []ir.ValueMatch{{Name: "X-A", Kind: ir.ValueContains, Value: "a"}}},
			Forward: &ir.Forward{
				Backends: []ir.Backend{{Upstream: secured, Weight: 9, HostRewrite: "b.test"}, {Upstream: external, Weight: 1, HostRewrite: "ext.test"}},
				Mirrors:  []ir.Mirror{{Upstream: external, Numerator: 1, Denominator: 100}},
				Retry:    &ir.Retry{On: []string{"5xx", "reset"}, Count: 2, PerTryTimeout: time.Second},
				Timeout:  new(30 * time.Second), Websockets: true,
			},
			RequestHeaders: ir.HeaderPolicy{Set: []ir.Header{{Name: "X-B", Value: "b"}}, Remove: []string{"X-C"}},
		},
		{Name: "broken", Match: segments("/broken"), Response: &ir.DirectResponse{StatusCode: 503}, Failure: "no CA"},
	}}
	wild := &ir.VirtualHost{Listener: "https", Host: "*.h.test", OneLabel: true, TLS: true, Routes: []ir.Route{
		redirectTo(prefix("/"), ir.Redirect{HTTPS: true, StatusCode: 301}),
	}}
	wild.Routes[0].Name = "redirect"
	ok := must(t)
	logged := loopback("https", true)
	logged.AccessLog = &ir.AccessLog{
		Stderr: true, Fields: []ir.LogField{{Name: "code", Format: "%RESPONSE_CODE%"}, {Name: "host", Format: "%UPSTREAM_HOST%"}}, Only: ir.LogErrors,
	}
	for name, r := range map[string]*envoy.Resource{
		"cluster-verified": ok(envoy.Cluster(secured)),
		"cluster-external": ok(envoy.Cluster(external)),
		"assignment":       ok(assignment("10.0.0.1", 8443)),
		"scope":            ok(envoy.Scope(vh)),
		"scope-fallback":   ok(envoy.FallbackScope("https", true, []*ir.VirtualHost{wild})),
		"listener-plain": ok(envoy.Listener(&ir.Listener{
			Name: "http", Address: "::", Port: 8080,
			AccessLog: &ir.AccessLog{Text: "%RESPONSE_CODE%\n", Only: ir.LogStatus, MinimumStatus: 400},
		}, nil)),
		"listener-tls": ok(envoy.Listener(logged, []envoy.Chain{
			*envoy.TCPChain(&ir.TCPRoute{Host: "tcp.test", Backends: []ir.Backend{{Upstream: external}}}),
		})),
	} {
		t.Run(name, func(t *testing.T) {
			got := readable(t, r)
			path := filepath.Join("testdata", "golden", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; write it with -update", err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want, +got:\n%s", diff)
			}
		})
	}
}

// readable is JSON with one layout: that of protojson varies on purpose.
func readable(t *testing.T, r *envoy.Resource) []byte {
	t.Helper()
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}
