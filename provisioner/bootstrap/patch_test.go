package bootstrap_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/signetproxy/signet/provisioner/bootstrap"
)

func TestPatch(t *testing.T) {
	rendered, err := bootstrap.Bootstrap(config())
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		patch  string
		want   string // in the result, or in the error behind "!"
	}{
		"adds":        {"a field of Envoy's that Signet does not set", `{"stats_sinks": [], "flags_path": "/flags"}`, `"flags_path": "/flags"`},
		"replaces":    {"a field of Envoy's that Signet sets", `{"stats_config": null}`, `"node"`},
		"metadata":    {"the node may carry more", `{"node": {"locality": {"zone": "a"}}}`, `"zone": "a"`},
		"no object":   {"there is nothing to merge", `[1]`, "!no bootstrap"},
		"no field":    {"Envoy would refuse to start", `{"flag_path": "/flags"}`, "!no bootstrap"},
		"identity":    {"status names Envoys by it", `{"node": {"id": "other"}}`, "!node.id"},
		"fleet":       {"people find an Envoy by it", `{"node": {"cluster": "other"}}`, "!node.cluster"},
		"xDS":         {"Envoy would listen to another", `{"dynamic_resources": {"ads_config": {"api_type": "GRPC"}}}`, "!dynamic_resources"},
		"TLS":         {"anyone could be the control plane", `{"static_resources": {"clusters": []}}`, "!static_resources"},
		"admin":       {"keys would be readable", `{"admin": {"profile_path": "/run/signet/x"}}`, "!admin"},
		"out of rule": {"Envoy's own validation counts", `{"watchdog": {"megamiss_timeout": "-1s", "multikill_threshold": {"value": 200}}}`, "!bootstrap config"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := bootstrap.Patch(rendered, []byte(c.patch))
			want, refused := strings.CutPrefix(c.want, "!")
			switch {
			case refused && (!errors.Is(err, bootstrap.ErrConfig) || !strings.Contains(err.Error(), want)):
				t.Errorf("%v, want %q: %s", err, want, c.reason)
			case !refused && err != nil:
				t.Errorf("%v: %s", err, c.reason)
			case !refused && !strings.Contains(string(got), want):
				t.Errorf("%s, want %q in it: %s", got, want, c.reason)
			}
		})
	}
}
