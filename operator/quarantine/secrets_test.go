package quarantine

import (
	"testing"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// A cluster that Envoy refused for a bad secret, before it was sent the one that
// mends it, is tried once more, though the refusal is heard of after the mend.
func TestAClusterIsTriedAgainWhoseRefusalComesBehindItsSecret(t *testing.T) {
	bad := envoy.NewResource(envoy.ClusterType, "a/b/1/x", []byte("bad"))
	cases := map[string]struct {
		reason  string
		refused uint64 // the revision of what was refused; the secret is mended by 7
		fleet   ir.Name
		again   bool // whether it is let go
	}{
		"before the mend": {"the old bytes of the secret may be to blame", 6, fleet, true},
		"with the mend":   {"it was refused again behind the secret", 7, fleet, false},
		"another fleet":   {"its secrets are its own", 6, ir.Name{Namespace: "signet", Name: "other"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := New(Options{})
			secret := translator.RefusalKey{Fleet: fleet, Type: envoy.SecretType, Name: "trust/a/b/c"}
			key := translator.RefusalKey{Fleet: tc.fleet, Type: envoy.ClusterType, Name: bad.Name}
			q.book.put(secret, &translator.Refusal{Version: "1"})
			q.book.settle(7, func(k translator.RefusalKey) bool { return k != secret })

			all := func(translator.RefusalKey) bool { return true }
			serves := func(ir.Name, *envoy.Resource) bool { return true }
			refuse := func(revision uint64) {
				q.refused([]xds.Nack{{Fleet: tc.fleet, Type: bad.Type, Revision: revision, Resources: []*envoy.Resource{bad}, Message: "no"}}, all, serves)
				if q.book.rows[key] == nil {
					t.Fatal("it is not held back")
				}
			}
			refuse(tc.refused)
			changes := q.book.settle(8, all)
			if again := q.book.rows[key] == nil; again != tc.again || len(changes) > 0 != again {
				t.Errorf("%s: let go is %v", tc.reason, again)
			}
			q.book.settle(9, all)
			refuse(10)
			q.book.settle(11, all)
			if q.book.rows[key] == nil || len(q.book.doubted) > 0 {
				t.Error("it is let go again and again")
			}
		})
	}
}
