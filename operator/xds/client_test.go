package xds

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is for an event on a machine that has much else to do.
const deadline = time.Minute

var edge = ir.Name{Namespace: "prod", Name: "edge"}

// harness is a server on loopback with real identities.
type harness struct {
	*Server
	keeper *certificate.Keeper
	addr   string
	stop   func()
}

func serve(t testing.TB, o Options) *harness {
	t.Helper()
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Identity == nil {
		o.Identity = certificate.ParseFleetURI
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{Server: New(o), keeper: keeper, addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := h.Serve(ctx, l, keeper.ServerTLS()); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	h.stop = func() {
		cancel()
		select {
		case <-served:
		case <-time.After(deadline):
			t.Error("Serve does not return")
		}
	}
	t.Cleanup(h.stop)
	return h
}

// identity returns the TLS settings of an Envoy of the fleet.
func (h *harness) identity(t testing.TB, fleet ir.Name) *tls.Config {
	t.Helper()
	id, _, err := h.keeper.Watch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	key, err := id.KeyPair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(id.KeyPair.CertificatePEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(id.TrustPEM)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: id.ServerName, MinVersion: tls.VersionTLS13}
}

// client is a scripted Envoy.
type client struct {
	t      testing.TB
	conn   *grpc.ClientConn
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	cancel context.CancelFunc
	probes int
	// unanswered are responses that were read and not yet acknowledged.
	unanswered []*discoveryv3.DeltaDiscoveryResponse
}

func (h *harness) connect(t testing.TB, fleet ir.Name) *client {
	t.Helper()
	return h.connectTLS(t, h.identity(t, fleet))
}

func (h *harness) connectTLS(t testing.TB, conf *tls.Config) *client {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+h.addr, grpc.WithTransportCredentials(credentials.NewTLS(conf)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)),
		// A fixed window: who does not read is blocked after 64 KiB.
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	c := &client{t: t, conn: conn, cancel: cancel}
	t.Cleanup(c.close)
	if c.stream, err = discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) close() {
	c.cancel()
	_ = c.conn.Close() // it may be closed already
}

func (c *client) send(req *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	if err := c.stream.Send(req); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// node names the client in its first request.
func (c *client) node(id string) *client {
	c.send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: id, Cluster: "anything"}, TypeUrl: string(envoy.EndpointType), ResourceNamesSubscribe: nil,
	})
	return c
}

func (c *client) subscribe(t envoy.Type, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(t), ResourceNamesSubscribe: names})
}

func (c *client) unsubscribe(t envoy.Type, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(t), ResourceNamesUnsubscribe: names})
}

// resume subscribes as a reconnecting Envoy does.
func (c *client) resume(had map[envoy.Type][]*envoy.Resource) {
	c.t.Helper()
	c.resumeTypes(had, types[:]...)
}

func (c *client) resumeTypes(had map[envoy.Type][]*envoy.Resource, of ...envoy.Type) {
	c.t.Helper()
	for _, t := range of {
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(t), InitialResourceVersions: map[string]string{}}
		for _, r := range had[t] {
			req.InitialResourceVersions[r.Name] = r.Version
			if t == envoy.EndpointType || t == envoy.SecretType {
				req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, r.Name)
			}
		}
		c.send(req)
	}
}

func (c *client) recv() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	return r
}

// next reads n responses, and writes each as "clusters +a +b -c".
func (c *client) next(n int) []string {
	c.t.Helper()
	var out []string
	for range n {
		r := c.recv()
		c.unanswered = append(c.unanswered, r)
		out = append(out, describe(r))
	}
	return out
}

func (c *client) want(want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(want, c.next(len(want))); diff != "" {
		c.t.Fatalf("responses (-want, +got):\n%s", diff)
	}
}

func describe(r *discoveryv3.DeltaDiscoveryResponse) string {
	k, _ := kindOf(envoy.Type(r.GetTypeUrl()))
	parts := []string{k.String()}
	for _, res := range r.GetResources() {
		parts = append(parts, "+"+res.GetName())
	}
	for _, name := range r.GetRemovedResources() {
		parts = append(parts, "-"+name)
	}
	return strings.Join(parts, " ")
}

// ack acknowledges what was read of the given types, or of all.
func (c *client) ack(of ...envoy.Type) {
	c.t.Helper()
	var rest []*discoveryv3.DeltaDiscoveryResponse
	for _, r := range c.unanswered {
		if len(of) > 0 && !slices.Contains(of, envoy.Type(r.GetTypeUrl())) {
			rest = append(rest, r)
			continue
		}
		c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
	}
	c.unanswered = rest
}

// nack refuses the oldest response that was read and not answered.
func (c *client) nack(message string) {
	c.t.Helper()
	r := c.unanswered[0]
	c.unanswered = c.unanswered[1:]
	c.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: &spb.Status{Code: 13, Message: message},
	})
}

// silent says that nothing was sent: the answer to a question is next.
func (c *client) silent() {
	c.t.Helper()
	c.probes++
	name := fmt.Sprintf("probe/%d", c.probes)
	c.subscribe(envoy.SecretType, name)
	c.want("secrets -" + name)
	c.ack(envoy.SecretType)
	c.unsubscribe(envoy.SecretType, name)
}

// start subscribes to everything that the resources hold, and acknowledges it.
func (c *client) start(rs ...*envoy.Resource) {
	c.t.Helper()
	names := map[envoy.Type][]string{}
	for _, r := range rs {
		names[r.Type] = append(names[r.Type], r.Name)
	}
	for _, t := range types {
		n := 1
		switch {
		case t == envoy.ClusterType || t == envoy.ListenerType || t == envoy.ScopeType:
			c.subscribe(t)
		case len(names[t]) == 0:
			continue
		default:
			c.subscribe(t, names[t]...)
			if t == envoy.SecretType {
				n = len(names[t])
			}
		}
		c.next(n)
	}
	c.ack()
}

// until waits for a stream's state.
func (h *harness) until(t testing.TB, what string, ok func(StreamState) bool) StreamState {
	t.Helper()
	var found StreamState
	h.untilAll(t, what, func(s State) bool {
		for _, f := range s.Fleets {
			if i := slices.IndexFunc(f.Streams, ok); i >= 0 {
				found = f.Streams[i]
				return true
			}
		}
		return false
	})
	return found
}

func (h *harness) untilAll(t testing.TB, what string, ok func(State) bool) {
	t.Helper()
	end := time.After(deadline)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		now := h.State()
		if ok(now) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not so in %+v", what, now)
		}
	}
}

func (h *harness) acknowledged(t testing.TB, revision uint64) StreamState {
	t.Helper()
	return h.until(t, fmt.Sprintf("revision %d acknowledged", revision), func(s StreamState) bool { return s.Acknowledged == revision })
}

// publish is one revision of the fleet edge.
func (h *harness) publish(revision uint64, changed []*envoy.Resource, removed ...*envoy.Resource) {
	u := FleetUpdate{Fleet: edge, Changed: changed}
	for _, r := range removed {
		u.Removed = append(u.Removed, ResourceKey{r.Type, r.Name})
	}
	h.Publish(Update{Revision: revision, Fleets: []FleetUpdate{u}})
}

func list(rs ...*envoy.Resource) []*envoy.Resource { return rs }

func seal(t envoy.Type, name string, m proto.Message) *envoy.Resource {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(body)
	return &envoy.Resource{Type: t, Name: name, Version: hex.EncodeToString(sum[:16]), Body: body}
}

// cluster uses the endpoints of its service and, with a trust name, TLS.
func cluster(name, service, trust, edition string) *envoy.Resource {
	c := &clusterv3.Cluster{
		Name: name, AltStatName: edition,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{ServiceName: service},
	}
	if trust != "" {
		socket, err := anypb.New(&tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         &tlsv3.CertificateValidationContext{},
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: trust},
				},
			},
		}})
		if err != nil {
			panic(err)
		}
		c.TransportSocket = &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: socket}}
	}
	return seal(envoy.ClusterType, name, c)
}

func assignment(name, edition string) *envoy.Resource {
	return seal(envoy.EndpointType, name, &endpointv3.ClusterLoadAssignment{
		ClusterName: name, NamedEndpoints: map[string]*endpointv3.Endpoint{edition: {}},
	})
}

func secret(name, edition string) *envoy.Resource {
	return seal(envoy.SecretType, name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_GenericSecret{
		GenericSecret: &tlsv3.GenericSecret{Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: edition}}},
	}})
}

func listener(name, edition string) *envoy.Resource {
	return seal(envoy.ListenerType, name, &listenerv3.Listener{Name: name, StatPrefix: edition})
}

func scope(name, edition string) *envoy.Resource {
	return seal(envoy.ScopeType, name, &routev3.ScopedRouteConfiguration{Name: name, RouteConfigurationName: edition})
}
