package xds

import (
	"net"
	"net/http"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// half is a control plane that dies between the message with a cluster and the
// one with its endpoints.
type half struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	cluster *envoy.Resource
}

func (h half) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for {
		req, err := s.Recv()
		if err != nil {
			return err
		}
		if req.GetTypeUrl() != string(envoy.ClusterType) || req.GetResponseNonce() != "" {
			continue
		}
		c := h.cluster
		if err := s.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: req.GetTypeUrl(), Nonce: "1", Resources: []*discoveryv3.Resource{
			{Name: c.Name, Version: c.Version, Resource: &anypb.Any{TypeUrl: string(c.Type), Value: c.Body}},
		}}); err != nil {
			return err
		}
	}
}

// A cluster that is new beside another of the same Service, whose endpoints Envoy
// holds: with the control plane died the message that would have brought them once
// more. The next one saw Envoy name both versions, sent nothing, and the cluster
// waited for its 15 s. A soak of 30 minutes found it.
func TestEnvoyReconnectsWhileAClusterWaitsForEndpoints(t *testing.T) {
	h := serve(t, Options{})
	s := newSite(t)
	b := s.backend("a")
	up, other := s.upstream("a", "ca"), s.upstream("a", "ca-b")
	fleet := join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca), s.trust("ca-b", s.ca), s.route("http", "shop.test", up)))
	h.publish(1, fleet)
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)
	h.stop()

	second := s.cluster(other, b)
	if second[0].Type != envoy.ClusterType || second[1].Name != s.cluster(up, b)[1].Name {
		t.Fatalf("the clusters do not share their endpoints: %v", second)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	dying := grpc.NewServer(grpc.Creds(credentials.NewTLS(h.keeper.ServerTLS())))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(dying, half{cluster: second[0]})
	go func() { _ = dying.Serve(l) }()
	p.until("^cluster_manager.warming_clusters$", "warming_clusters: 1")
	dying.Stop()

	next := &harness{Server: New(Options{Identity: certificate.ParseFleetURI}), keeper: h.keeper, addr: h.addr}
	next.publish(77, replace(join(fleet, second[:1]), s.route("http", "shop.test", other)))
	next.listen(t)
	next.acknowledged(t, 77)
	// Without them Envoy gives up waiting after 15 s, which this test does not time.
	if next.counters.byType[endpoints].responses.Load() == 0 {
		t.Error("the endpoints that Envoy names were not sent once more: the cluster waited until it gave up")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got := fetch(t.Context(), client, "http://"+p.address("http")+"/", "shop.test"); got != "200 a" {
		t.Errorf("through the new cluster: %q, want 200 a", got)
	}
}

// A cluster whose health check is never answered does not get warm: it is named
// alone, everything behind it is served, and Envoy answers when it goes.
func TestEnvoyDoesNotGetAClusterWarm(t *testing.T) {
	heard := &warmRecord{}
	h := serve(t, Options{Observer: heard, WarmingTimeout: 300 * time.Millisecond})
	s := newSite(t)
	b := s.backend("a")
	up, other, stuck := s.upstream("a", "ca"), s.upstream("other", "ca"), s.upstream("stuck", "ca")
	h.publish(1, join(s.listener("http"), s.cluster(up, b), list(s.trust("ca", s.ca), s.route("http", "shop.test", up))))
	p := h.envoy(t, edge)
	h.acknowledged(t, 1)

	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	bad := list(checked(t, s.ok(envoy.Cluster(stuck))), s.ok(envoy.LoadAssignment(&ir.LoadAssignment{
		Service: stuck.Service, Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: uint32(silent.Addr().(*net.TCPAddr).Port)}},
	})))
	h.publish(2, bad)
	h.publish(3, join(s.cluster(other, b), list(s.route("http", "other.test", other))))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	h.until(t, "it is named alone", func(s StreamState) bool {
		return len(s.Warming) == 1 && s.Warming[0].Name == bad[0].Name && s.Warming[0].Outside && s.Acknowledged < 3
	})
	for _, host := range []string{"shop.test", "other.test"} {
		if got := fetch(t.Context(), client, "http://"+p.address("http")+"/", host); got != "200 a" {
			t.Errorf("%s: %q, want 200 a", host, got)
		}
	}
	h.publish(4, nil, bad[0])
	if got := h.acknowledged(t, 4); len(got.Warming) != 0 {
		t.Errorf("still named: %+v", got.Warming)
	}
	want := []string{"begin " + bad[0].Name + "; outside", "end " + bad[0].Name + ": removed"}
	if diff := cmp.Diff(want, heard.all()); diff != "" {
		t.Errorf("what the observer heard (-want, +got):\n%s", diff)
	}
}

// checked adds a health check that is given an hour for its first answer.
func checked(t *testing.T, r *envoy.Resource) *envoy.Resource {
	t.Helper()
	var c clusterv3.Cluster
	if err := proto.Unmarshal(r.Body, &c); err != nil {
		t.Fatal(err)
	}
	c.HealthChecks = []*corev3.HealthCheck{{
		Timeout: durationpb.New(time.Hour), Interval: durationpb.New(time.Hour),
		UnhealthyThreshold: wrapperspb.UInt32(1), HealthyThreshold: wrapperspb.UInt32(1),
		HealthChecker: &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{Path: "/"}},
	}}
	return seal(envoy.ClusterType, r.Name, &c)
}
