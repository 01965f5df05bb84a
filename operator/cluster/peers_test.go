package cluster

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// With two replicas the status said that no Envoy was connected when all of them
// were connected to the one that does not lead.
func TestTheLeaderCountsTheEnvoysOfAllReplicas(t *testing.T) {
	const one, two, three = "127.0.0.1", "127.0.0.2", "127.0.0.3"
	refusals := []quarantine.Told{{Namespace: "shop", Fleet: "edge", Type: envoy.ClusterType, Name: "c", Version: "1", Message: "no", Serves: reason.MessageLastGood}}
	answers := map[string]tally{
		one: {"leader", map[string]envoyCount{"shop/edge": {5, 5}}, nil}, // itself, which is not asked for
		two: {"second", map[string]envoyCount{"shop/edge": {2, 1}}, refusals},
		// The same replica by another address, as with two address families.
		three: {"second", map[string]envoyCount{"shop/edge": {2, 1}}, refusals},
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		_ = json.NewEncoder(w).Encode(answers[host])
	}))
	server.Listener = l
	server.Start()
	defer server.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	slice := &discoveryv1.EndpointSlice{
		Namespace: "system", Name: "xds-1", Labels: map[string]string{discoveryv1.LabelServiceName: "xds"},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{one}}, {Addresses: []string{two}}, {Addresses: []string{three}}},
	}
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Namespace: "system", XDSAddress: "xds.system.svc:18000", MetricsAddress: ":" + port}
	held, tr := quarantine.New(quarantine.Options{}), translator.New()
	go func() { _ = held.Run(t.Context(), tr) }()
	go func() { _ = tr.Run(t.Context(), nil) }()
	p := newPeers(cfg, "leader", fake.NewClientBuilder().WithScheme(scheme).WithObjects(slice).Build(), xds.New(xds.Options{}), held)
	p.refresh(t.Context())
	if diff := cmp.Diff(envoyCount{2, 1}, p.count(ir.Name{Namespace: "shop", Name: "edge"})); diff != "" {
		t.Errorf("counted at others (-want, +got):\n%s", diff)
	}
	learned(t, tr, &translator.Refusal{Version: "1", Message: "no", Elsewhere: reason.MessageLastGood})
	server.Close()
	p.refresh(t.Context())
	learned(t, tr, nil)
	if diff := cmp.Diff(envoyCount{}, p.count(ir.Name{Namespace: "shop", Name: "edge"})); diff != "" {
		t.Errorf("counted at others that are gone (-want, +got):\n%s", diff)
	}
}

// learned waits until a translation knows of the refusal of a cluster at another
// replica, or of none.
func learned(t *testing.T, tr *translator.Translator, want *translator.Refusal) {
	t.Helper()
	key := translator.RefusalKey{Fleet: ir.Name{Namespace: "shop", Name: "edge"}, Type: envoy.ClusterType, Name: "c"}
	diff := ""
	for range 1000 {
		got, _ := tr.Quarantine.Get(tr.Current().Reader(), key)
		if diff = cmp.Diff(want, got); diff == "" {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Errorf("learned from others (-want, +got):\n%s", diff)
}

func TestReplicasThatCannotKnowOfEachOther(t *testing.T) {
	cases := map[string]struct {
		reason string
		cfg    Config
	}{
		"Address":   {"a fixed address is one server", Config{Namespace: "s", XDSAddress: "127.0.0.1:18000", MetricsAddress: ":1"}},
		"Metrics":   {"there is nobody to ask", Config{Namespace: "s", XDSAddress: "xds.s.svc:18000", MetricsAddress: "0"}},
		"Namespace": {"another namespace is not Signet's to read", Config{Namespace: "s", XDSAddress: "xds.t.svc:18000", MetricsAddress: ":1"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPeers(&test.cfg, "x", nil, xds.New(xds.Options{}), nil)
			if p != nil {
				t.Error(test.reason)
			}
			p.refresh(t.Context())
			p.forget()
			if n := p.count(ir.Name{}); n != (envoyCount{}) {
				t.Errorf("%s: counted %+v", test.reason, n)
			}
		})
	}
}
