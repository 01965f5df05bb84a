package httpproxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
)

// What is asked of a mirror's request headers is done to its copies: a secret
// that is to be removed must not reach it.
func TestHeadersOfAMirror(t *testing.T) {
	w := defaultWorld(t, `
name: root
spec:
  virtualhost: {fqdn: a.example.com}
  routes:
  - services:
    - {name: web, port: 80}
    - name: shadow
      port: 80
      mirror: true
      requestHeadersPolicy: {remove: [authorization], set: [{name: X-Copy, value: "1"}, {name: Host, value: copy.test}]}`)
	m := w.sites[0].VirtualHosts[0].Routes[0].Forward.Mirrors[0]
	want := ir.HeaderPolicy{Set: []ir.Header{{Name: "X-Copy", Value: "1"}}, Remove: []string{"Authorization"}}
	if diff := cmp.Diff(want, m.RequestHeaders); diff != "" || m.HostRewrite != "copy.test" {
		t.Errorf("host %q, headers -want, +got:\n%s", m.HostRewrite, diff)
	}
}
