package bootstrap

import (
	"fmt"
	"math"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// Regex programs up to this size are accepted. Envoy's own limit of 100
	// refuses patterns that users write; each pattern is compiled by the
	// translator first, which bounds its size.
	maxRegexProgram  = math.MaxInt32
	warnRegexProgram = 1000

	// How soon Envoy comes back to a control plane that went away. Its own
	// default backs off to 30 s.
	reconnectBase = 200 * time.Millisecond
	reconnectMax  = 3 * time.Second

	overloadRefresh = 250 * time.Millisecond
	// Shares of the maximum heap at which Envoy gives memory back, and at which
	// it refuses requests.
	shrinkHeapAt = 0.95
	refuseAt     = 0.98
)

// Bootstrap renders an Envoy bootstrap as JSON. Equal configs give equal bytes.
// An error is [ErrConfig] and names the field.
func Bootstrap(c Config) ([]byte, error) {
	host, port, err := c.check()
	if err != nil {
		return nil, err
	}
	server, err := serverCluster(c, host, port)
	if err != nil {
		return nil, err
	}
	overload, err := overloadManager(c)
	if err != nil {
		return nil, err
	}
	runtime, err := runtimeLayers()
	if err != nil {
		return nil, err
	}
	static := &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{server}}
	if c.StatusPort != 0 {
		listener, err := statusListener(c)
		if err != nil {
			return nil, err
		}
		static.Listeners = []*listenerv3.Listener{listener}
		static.Clusters = append(static.Clusters, statusCluster(c))
	}
	return render(&bootstrapv3.Bootstrap{
		Node:             &corev3.Node{Id: c.NodeID, Cluster: c.Fleet.String()},
		DynamicResources: dynamicResources(),
		StaticResources:  static,
		Admin:            admin(c.AdminSocket),
		LayeredRuntime:   runtime,
		OverloadManager:  overload,
		StatsConfig:      statsConfig(),
		// Statistics are gathered when someone asks, so that they cost the main
		// thread nothing between a change and its traffic.
		StatsFlush: &bootstrapv3.Bootstrap_StatsFlushOnAdmin{StatsFlushOnAdmin: true},
		// A cluster or listener without traffic has no traffic statistics.
		DeferredStatOptions: &bootstrapv3.Bootstrap_DeferredStatOptions{EnableDeferredCreationStats: true},
	})
}

func dynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	// No time-out: an Envoy without a control plane waits, and is not ready.
	ads := &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(0),
	}
	return &bootstrapv3.Bootstrap_DynamicResources{
		CdsConfig: ads,
		LdsConfig: ads,
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName: ServerCluster,
					RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
						BaseInterval: durationpb.New(reconnectBase),
						MaxInterval:  durationpb.New(reconnectMax),
					}},
				}},
			}},
		},
	}
}

func admin(socket string) *bootstrapv3.Admin {
	if socket == "" {
		return nil
	}
	return &bootstrapv3.Admin{
		Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: socket, Mode: 0o600}}},
		// An Envoy with all its connections taken must still answer for itself.
		IgnoreGlobalConnLimit: true,
	}
}

func runtimeLayers() (*bootstrapv3.LayeredRuntime, error) {
	values, err := structpb.NewStruct(map[string]any{
		"re2.max_program_size.error_level": maxRegexProgram,
		"re2.max_program_size.warn_level":  warnRegexProgram,
	})
	if err != nil {
		return nil, fmt.Errorf("runtime layer: %w", err)
	}
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name:           "signet",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: values},
	}}}, nil
}

func overloadManager(c Config) (*overloadv3.OverloadManager, error) {
	limit := c.MaxConnections
	if limit == 0 {
		limit = DefaultMaxConnections
	}
	connections, err := pack(&connectionsv3.DownstreamConnectionsConfig{
		MaxActiveDownstreamConnections: int64(min(limit, math.MaxInt64)),
	})
	if err != nil {
		return nil, err
	}
	m := &overloadv3.OverloadManager{
		RefreshInterval: durationpb.New(overloadRefresh),
		ResourceMonitors: []*overloadv3.ResourceMonitor{{
			Name:       "envoy.resource_monitors.global_downstream_max_connections",
			ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: connections},
		}},
	}
	if c.MaxHeapBytes == 0 {
		return m, nil
	}
	const monitor = "envoy.resource_monitors.fixed_heap"
	heap, err := pack(&heapv3.FixedHeapConfig{MaxHeapSizeBytes: c.MaxHeapBytes})
	if err != nil {
		return nil, err
	}
	m.ResourceMonitors = append(m.ResourceMonitors, &overloadv3.ResourceMonitor{
		Name: monitor, ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: heap},
	})
	m.Actions = []*overloadv3.OverloadAction{
		heapAction("envoy.overload_actions.shrink_heap", monitor, shrinkHeapAt),
		heapAction("envoy.overload_actions.stop_accepting_requests", monitor, refuseAt),
	}
	return m, nil
}

func heapAction(name, monitor string, at float64) *overloadv3.OverloadAction {
	return &overloadv3.OverloadAction{
		Name: name,
		Triggers: []*overloadv3.Trigger{{
			Name:         monitor,
			TriggerOneof: &overloadv3.Trigger_Threshold{Threshold: &overloadv3.ThresholdTrigger{Value: at}},
		}},
	}
}

func keepalive() *corev3.KeepaliveSettings {
	return &corev3.KeepaliveSettings{
		Interval: durationpb.New(30 * time.Second),
		Timeout:  durationpb.New(5 * time.Second),
	}
}

func uint32Value(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }
