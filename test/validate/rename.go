package validate

import (
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// rename puts a prefix before every name of the part and wherever one is used.
func (a *assembly) rename(prefix string) error {
	return Walk(a.out, func(m proto.Message) {
		switch m := m.(type) {
		case *clusterv3.Cluster:
			m.Name = prefix + m.GetName()
		case *listenerv3.Listener:
			m.Name = prefix + m.GetName()
		case *tlsv3.Secret:
			m.Name = prefix + m.GetName()
		case *tlsv3.SdsSecretConfig:
			// One that is missing is asked of the server, which has none.
			if a.secrets[m.GetName()] {
				m.Name, m.SdsConfig = prefix+m.GetName(), nil
			}
		case *routev3.RouteAction:
			if c, ok := m.GetClusterSpecifier().(*routev3.RouteAction_Cluster); ok {
				c.Cluster = prefix + c.Cluster
			}
		case *routev3.WeightedCluster_ClusterWeight:
			m.Name = prefix + m.GetName()
		case *routev3.RouteAction_RequestMirrorPolicy:
			m.Cluster = prefix + m.GetCluster()
		case *tcpv3.TcpProxy:
			if c, ok := m.GetClusterSpecifier().(*tcpv3.TcpProxy_Cluster); ok {
				c.Cluster = prefix + c.Cluster
			}
		case *tcpv3.TcpProxy_WeightedCluster_ClusterWeight:
			m.Name = prefix + m.GetName()
		case *corev3.GrpcService_EnvoyGrpc:
			m.ClusterName = prefix + m.GetClusterName()
		case *corev3.HttpUri:
			if c, ok := m.GetHttpUpstreamType().(*corev3.HttpUri_Cluster); ok {
				c.Cluster = prefix + c.Cluster
			}
		case *udpv3.Route:
			m.Cluster = prefix + m.GetCluster()
		}
	})
}

// move puts the listeners on loopback addresses of the part's own: Envoy takes
// no address twice, and what a Gateway wants does not depend on the part.
func (a *assembly) move(part int) {
	for _, l := range a.out.GetListeners() {
		if s := l.GetAddress().GetSocketAddress(); strings.HasPrefix(s.GetAddress(), "127.0.0.") {
			last := strings.TrimPrefix(s.GetAddress(), "127.0.0.")
			s.Address = fmt.Sprintf("127.%d.%d.%s", 100+part/256, part%256, last)
		}
	}
}

// Walk visits a message and all messages in it, those in an Any too, the inner
// before the outer; visit may change what it is given.
func Walk(m proto.Message, visit func(proto.Message)) error { return walk(m.ProtoReflect(), visit) }

func walk(m protoreflect.Message, visit func(proto.Message)) error {
	var err error
	each := func(v protoreflect.Value) bool {
		err = walk(v.Message(), visit)
		return err == nil
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { return each(v) })
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				if !each(v.List().Get(i)) {
					break
				}
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			each(v)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	if packed, ok := m.Interface().(*anypb.Any); ok {
		return walkAny(packed, visit)
	}
	visit(m.Interface())
	return nil
}

func walkAny(packed *anypb.Any, visit func(proto.Message)) error {
	inner, err := packed.UnmarshalNew()
	if err != nil {
		return fmt.Errorf("extension %s: %w", packed.GetTypeUrl(), err)
	}
	if err := walk(inner.ProtoReflect(), visit); err != nil {
		return err
	}
	if err := packed.MarshalFrom(inner); err != nil {
		return fmt.Errorf("extension %s: %w", packed.GetTypeUrl(), err)
	}
	return nil
}
