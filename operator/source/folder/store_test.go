package folder

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/manifest"
)

// Endpoints must not wait for a translation that was read with them by chance,
// and an object that moves between files must not be gone in between.
func TestEndpointsGoFirst(t *testing.T) {
	states := func(path string, keys ...source.Key) reading {
		r := reading{path: path, gone: len(keys) == 0}
		for _, k := range keys {
			r.file.Objects = append(r.file.Objects, manifest.Object{Key: k})
		}
		return r
	}
	slice := func(name string) source.Key { return source.Key{Kind: "EndpointSlice", Name: name} }
	proxy := source.Key{Kind: "HTTPProxy", Name: "p"}
	cases := map[string]struct {
		reason    string
		before    []reading
		readings  []reading
		endpoints []string
	}{
		"a file of endpoints": {"it goes first", nil, []reading{states("p", proxy), states("s", slice("a"))}, []string{"s"}},
		"a file of both":      {"a file is one step", nil, []reading{states("p", proxy, slice("a"))}, nil},
		"both before":         {"what it no longer states goes with it", []reading{states("s", proxy, slice("a"))}, []reading{states("s", slice("a"))}, nil},
		"endpoints removed":   {"that is a change of endpoints", []reading{states("s", slice("a"))}, []reading{states("s"), states("p", proxy)}, []string{"s"}},
		"endpoints that move": {
			"to a file of the rest: they would be gone in between",
			[]reading{states("s", slice("a"))}, []reading{states("s"), states("p", proxy, slice("a"))}, nil,
		},
		"endpoints that move among themselves": {
			"both files go first, in one step",
			[]reading{states("s", slice("a"))}, []reading{states("s"), states("t", slice("a")), states("p", proxy)}, []string{"s", "t"},
		},
		"an unknown file is gone": {"it stated nothing", nil, []reading{states("s"), states("p", proxy)}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &folder{store: newStore(nil)}
			f.take(c.before, time.Time{})
			endpoints, rest := f.store.part(c.readings)
			var got []string
			for i := range endpoints {
				got = append(got, endpoints[i].path)
			}
			if diff := cmp.Diff(c.endpoints, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", c.reason, diff)
			}
			if len(endpoints)+len(rest) != len(c.readings) {
				t.Errorf("%d and %d of %d", len(endpoints), len(rest), len(c.readings))
			}
		})
	}
}

// A policy that the schema refuses must not leave its Service in plaintext: it
// closes it until there is a good one, and the last good one goes before that.
func TestRefusedPolicy(t *testing.T) {
	const (
		head   = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: tls}\nspec:\n"
		target = "  targetRefs: [{group: '', kind: Service, name: web, sectionName: https}]\n"
		good   = head + target + "  validation: {hostname: web.test, wellKnownCACertificates: System}\n"
	)
	closed := map[string]struct{ reason, text, section string }{
		"hostname":      {"not a DNS name", head + target + "  validation: {hostname: web_test, wellKnownCACertificates: System}\n", "https"},
		"no hostname":   {"it is required", head + target + "  validation: {wellKnownCACertificates: System}\n", "https"},
		"no CA":         {"one is required", head + target + "  validation: {hostname: web.test}\n", "https"},
		"both":          {"one of the two", head + target + "  validation: {hostname: web.test, wellKnownCACertificates: System, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}\n", "https"},
		"unknown field": {"it may be meant for security", head + target + "  validation: {hostname: web.test, wellKnownCACertificates: System, pin: x}\n", "https"},
		"version":       {"another than the one that is served", strings.Replace(good, "/v1\n", "/v1alpha3\n", 1), "https"},
		"no group":      {"the target is known all the same", head + "  targetRefs: [{kind: Service, name: web}]\n  validation: {hostname: web.test, wellKnownCACertificates: System}\n", ""},
	}
	d, err := manifest.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range closed {
		t.Run(name, func(t *testing.T) {
			f := &folder{store: newStore(d)}
			say := func(text string) source.Batch {
				f.take([]reading{{path: "p", file: d.Parse([]byte(text))}}, time.Time{})
				return f.store.commit()
			}
			b := say(c.text)
			if len(b.Changed) != 1 || len(b.Problems) == 0 {
				t.Fatalf("%s: delivered %v, problems %v", c.reason, b.Changed, b.Problems)
			}
			p, ok := b.Changed[0].(*gatewayv1.BackendTLSPolicy)
			if !ok || p.Namespace != "default" || p.Name != "tls" || len(p.Spec.TargetRefs) != 1 || p.Spec.TargetRefs[0].Name != "web" ||
				p.Spec.Validation.Hostname != "" || p.Spec.Validation.WellKnownCACertificates != nil {
				t.Fatalf("%s: %+v", c.reason, b.Changed[0])
			}
			if s := p.Spec.TargetRefs[0].SectionName; (s == nil) != (c.section == "") || (s != nil && string(*s) != c.section) {
				t.Errorf("%s: section %v", c.reason, s)
			}
			if b = say(good); len(b.Changed) != 1 || len(b.Deleted) != 0 {
				t.Errorf("mended: %+v", b)
			}
			if b = say(c.text); len(b.Changed) != 0 || len(b.Deleted) != 0 {
				t.Errorf("the last good one serves on: %+v", b)
			}
			if b = say(""); len(b.Deleted) != 1 {
				t.Errorf("gone: %+v", b)
			}
			say(c.text)
			if b = say(head + "  validation: {}\n"); len(b.Deleted) != 1 {
				t.Errorf("nothing is known of its targets any more: %+v", b)
			}
			say(c.text)
			if b = say(""); len(b.Deleted) != 1 {
				t.Errorf("the closed form is gone: %+v", b)
			}
		})
	}
}
