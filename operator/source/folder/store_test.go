package folder

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
			f.take(c.before)
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
