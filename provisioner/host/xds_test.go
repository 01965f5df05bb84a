package host

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"sync"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/provisioner/certificate"
)

const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
)

// xds is the least control plane: it answers the first request for each type.
type xds struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	resources map[string][]*discoveryv3.Resource
	address   string
	// peers gets the fingerprint of each stream's client certificate.
	peers chan string

	mu          sync.Mutex
	connections []net.Conn
}

// connections remembers what it accepted.
type connections struct {
	net.Listener
	x *xds
}

func (l connections) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.x.mu.Lock()
		l.x.connections = append(l.x.connections, c)
		l.x.mu.Unlock()
	}
	return c, err
}

func serveXDS(t *testing.T, keeper *certificate.Keeper, resources map[string][]*discoveryv3.Resource) *xds {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &xds{
		resources: resources, address: listener.Addr().String(),
		peers: make(chan string, 1000),
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(keeper.ServerTLS())))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, x)
	served := make(chan error, 1)
	go func() { served <- server.Serve(connections{listener, x}) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("xDS server: %v", err)
		}
	})
	return x
}

// disconnect closes every connection: a new stream on an old one would come
// with the old certificate.
func (x *xds) disconnect() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.connections {
		_ = c.Close()
	}
	x.connections = nil
}

func (x *xds) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	if p, ok := peer.FromContext(s.Context()); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			sum := sha256.Sum256(info.State.PeerCertificates[0].Raw)
			x.peers <- hex.EncodeToString(sum[:])
		}
	}
	for {
		request, err := s.Recv()
		if err != nil {
			return err
		}
		if request.GetResponseNonce() != "" {
			continue
		}
		if err := s.Send(&discoveryv3.DeltaDiscoveryResponse{
			TypeUrl: request.GetTypeUrl(), Nonce: "1", Resources: x.resources[request.GetTypeUrl()],
		}); err != nil {
			return err
		}
	}
}

func resource(t *testing.T, name string, m proto.Message, document string) *discoveryv3.Resource {
	t.Helper()
	if err := protojson.Unmarshal([]byte(document), m); err != nil {
		t.Fatal(err)
	}
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &discoveryv3.Resource{Name: name, Version: "1", Resource: packed}
}

// proxyTo is a listener at a port of 127.0.0.1 in front of one backend.
func proxyTo(t *testing.T, port, backend string) map[string][]*discoveryv3.Resource {
	t.Helper()
	return map[string][]*discoveryv3.Resource{
		clusterType: {resource(t, "backend", &clusterv3.Cluster{}, `{
			"name": "backend", "type": "STATIC", "connect_timeout": "1s",
			"load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
				{"socket_address": {"address": "127.0.0.1", "port_value": `+backend+`}}}}]}]}}`)},
		listenerType: {resource(t, "http", &listenerv3.Listener{}, `{
			"name": "http", "address": {"socket_address": {"address": "127.0.0.1", "port_value": `+port+`}},
			"filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
				"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix": "web",
				"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
					"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}]},
				"http_filters": [{"name": "envoy.filters.http.router", "typed_config":
					{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}`)},
	}
}
