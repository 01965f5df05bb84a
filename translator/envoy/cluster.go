package envoy

import (
	"cmp"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

const (
	defaultConnectTimeout = 2 * time.Second

	defaultHealthInterval  = 10 * time.Second
	defaultHealthTimeout   = 2 * time.Second
	defaultUnhealthyChecks = 3
	defaultHealthyChecks   = 2

	httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// The protocol options of an upstream that sets no idle time-out.
var (
	http1Options = constant(httpOptions(ir.HTTP1, nil))
	http2Options = constant(httpOptions(ir.HTTP2, nil))

	// With a panic threshold above 0 Envoy would send requests to endpoints
	// that it knows to be unhealthy.
	noPanic = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}}
)

// Cluster is the CDS resource of an upstream, named by the upstream's whole
// identity.
func Cluster(u *ir.Upstream) (*Resource, error) {
	name := u.Name()
	c := &clusterv3.Cluster{
		Name:           name,
		AltStatName:    u.Service.Namespace + "_" + u.Service.Name.Name + "_" + strconv.Itoa(int(u.Service.Port)),
		CommonLbConfig: noPanic,
		// An endpoint that Kubernetes has removed is gone, healthy or not.
		IgnoreHealthOnHostRemoval: true,
		CircuitBreakers:           circuitBreakers(&u.CircuitBreakers),
	}
	discovery(c, u)
	var err error
	if c.ConnectTimeout, err = durationOr("connectTimeout", u.ConnectTimeout, defaultConnectTimeout); err != nil {
		return nil, in(name, err)
	}
	if err := balance(c, u); err != nil {
		return nil, in(name, err)
	}
	if err := protocol(c, u); err != nil {
		return nil, in(name, err)
	}
	if u.HealthCheck != nil {
		check, err := healthCheck(u)
		if err != nil {
			return nil, in(name, in("health check", err))
		}
		c.HealthChecks = []*corev3.HealthCheck{check}
	}
	if u.TLS != nil {
		socket, err := upstreamSocket(u.TLS)
		if err != nil {
			return nil, in(name, err)
		}
		c.TransportSocket = socket
	}
	return seal(ClusterType, name, c)
}

func discovery(c *clusterv3.Cluster, u *ir.Upstream) {
	if u.ExternalName == "" {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads, ServiceName: u.AssignmentName()}
		return
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.GetName(),
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{
			lbEndpoint(u.ExternalName, uint32(u.Service.Port), uint32(u.HealthPort)), //nolint:gosec // ports are positive
		}}},
	}
}

func balance(c *clusterv3.Cluster, u *ir.Upstream) error {
	slow, err := slowStart(u.SlowStart)
	if err != nil {
		return in("slow start", err)
	}
	switch p := cmp.Or(u.LoadBalancer.Policy, ir.RoundRobin); p {
	case ir.RoundRobin:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if slow != nil {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: slow}}
		}
		return nil
	case ir.LeastRequest:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if slow != nil {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{
				LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: slow},
			}
		}
		return nil
	case ir.Random:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case ir.RingHash:
		c.LbPolicy = clusterv3.Cluster_RING_HASH
	default:
		return refuse("load balancer", "policy %q is unknown; use RoundRobin, LeastRequest, Random or RingHash", p)
	}
	if slow != nil {
		return refuse("slow start", "the policy %q has none; use RoundRobin or LeastRequest", u.LoadBalancer.Policy)
	}
	return nil
}

func slowStart(s *ir.SlowStart) (*clusterv3.Cluster_SlowStartConfig, error) {
	if s == nil {
		return nil, nil
	}
	window, err := duration("window", &s.Window)
	if err != nil {
		return nil, err
	}
	out := &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow:  window,
		MinWeightPercent: &typev3.Percent{Value: float64(s.MinWeight)},
	}
	if s.Aggression != 0 {
		// Envoy asks for a runtime key although nothing ever sets it.
		out.Aggression = &corev3.RuntimeDouble{DefaultValue: s.Aggression, RuntimeKey: "signet.slow_start_aggression"}
	}
	return out, nil
}

func circuitBreakers(b *ir.CircuitBreakers) *clusterv3.CircuitBreakers {
	if *b == (ir.CircuitBreakers{}) {
		return nil
	}
	out := &clusterv3.CircuitBreakers{}
	perHost := b.PerHostMaxConnections
	if all := (ir.CircuitBreakers{PerHostMaxConnections: perHost}); *b != all {
		out.Thresholds = []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     nonZero(b.MaxConnections),
			MaxPendingRequests: nonZero(b.MaxPendingRequests),
			MaxRequests:        nonZero(b.MaxRequests),
			MaxRetries:         nonZero(b.MaxRetries),
		}}
	}
	if perHost != 0 {
		out.PerHostThresholds = []*clusterv3.CircuitBreakers_Thresholds{{MaxConnections: nonZero(perHost)}}
	}
	return out
}

func nonZero(v uint32) *wrapperspb.UInt32Value {
	if v == 0 {
		return nil
	}
	return wrapperspb.UInt32(v)
}

func protocol(c *clusterv3.Cluster, u *ir.Upstream) error {
	var options *anypb.Any
	switch {
	case u.Protocol == ir.UDP && u.TLS != nil:
		return refuse("protocol", "there is no TLS over %q", u.Protocol)
	case u.Protocol == ir.TCP, u.Protocol == ir.UDP:
		return nil
	case u.Protocol != ir.HTTP1 && u.Protocol != ir.HTTP2:
		return refuse("protocol", "%q is unknown; use %q, %q, %q or %q", u.Protocol, ir.HTTP1, ir.HTTP2, ir.TCP, ir.UDP)
	case u.IdleTimeout != nil:
		idle, err := duration("idleTimeout", u.IdleTimeout)
		if err != nil {
			return in("protocol options", err)
		}
		if options, err = pack(httpOptions(u.Protocol, idle)); err != nil {
			return in("protocol options", err)
		}
	case u.Protocol == ir.HTTP2:
		options = http2Options
	default:
		options = http1Options
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: options}
	return nil
}

func httpOptions(p ir.Protocol, idle *durationpb.Duration) *httpv3.HttpProtocolOptions {
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if p == ir.HTTP2 {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
		}
	} else {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		}
	}
	out := &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
	}
	if idle != nil {
		out.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{IdleTimeout: idle}
	}
	return out
}

// healthCheck goes through the cluster's own transport socket: with TLS it
// verifies the backend as a request does.
func healthCheck(u *ir.Upstream) (*corev3.HealthCheck, error) {
	h := u.HealthCheck
	interval, err := durationOr("interval", h.Interval, defaultHealthInterval)
	if err != nil {
		return nil, err
	}
	timeout, err := durationOr("timeout", h.Timeout, defaultHealthTimeout)
	if err != nil {
		return nil, err
	}
	out := &corev3.HealthCheck{
		Interval:           interval,
		Timeout:            timeout,
		UnhealthyThreshold: wrapperspb.UInt32(cmp.Or(h.Unhealthy, defaultUnhealthyChecks)),
		HealthyThreshold:   wrapperspb.UInt32(cmp.Or(h.Healthy, defaultHealthyChecks)),
	}
	if h.HTTP == nil {
		out.HealthChecker = &corev3.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &corev3.HealthCheck_TcpHealthCheck{}}
		return out, nil
	}
	check := &corev3.HealthCheck_HttpHealthCheck{Path: h.HTTP.Path, Host: h.HTTP.Host}
	if u.Protocol == ir.HTTP2 {
		check.CodecClientType = typev3.CodecClientType_HTTP2
	}
	for _, r := range h.HTTP.Expected {
		if r.Start < 100 || r.End > 600 || r.Start >= r.End {
			return nil, refuse("expected statuses", "[%d, %d) is no range within [100, 600)", r.Start, r.End)
		}
		check.ExpectedStatuses = append(check.ExpectedStatuses, &typev3.Int64Range{Start: r.Start, End: r.End})
	}
	out.HealthChecker = &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: check}
	return out, nil
}
