package httpproxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// The status of an HTTPProxy showed the address of a fleet that serves roots of
// other namespaces alone.
func TestServing(t *testing.T) {
	all, elsewhere, other := ir.Name{Name: "all"}, ir.Name{Name: "elsewhere"}, ir.Name{Name: "other"}
	selectors := []Selector{
		{Fleet: elsewhere, RootNamespaces: []string{"elsewhere"}},
		{Fleet: other, IngressClassNames: []string{"other"}},
		{Fleet: all},
	}
	for name, c := range map[string]struct {
		namespace, class string
		root             bool
		want             []ir.Name
	}{
		"a root where every fleet may have some":          {"elsewhere", "", true, []ir.Name{elsewhere, all}},
		"a root where one fleet has none":                 {"shop", "", true, []ir.Name{all}},
		"an included object, which roots of all may name": {"shop", "", false, []ir.Name{elsewhere, all}},
		"a class of one fleet":                            {"shop", "other", true, []ir.Name{other}},
		"a class of no fleet":                             {"shop", "none", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := &contourv1.HTTPProxy{Namespace: c.namespace, Name: "p"}
			p.Spec.IngressClassName = c.class
			if c.root {
				p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "a.test"}
			}
			if diff := cmp.Diff(c.want, Serving(p, selectors)); diff != "" {
				t.Errorf("fleets (-want +got):\n%s", diff)
			}
		})
	}
}
