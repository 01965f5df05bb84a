package envoy

import (
	"fmt"
	"math"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	hashingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signetproxy/signet/translator/ir"
)

// nowhere is a cluster that never exists: to Envoy a connection that is to go
// there has no route and is closed, a datagram is dropped. The names of
// clusters hold slashes.
const nowhere = "-"

// share is a cluster with its weight.
type share struct {
	cluster string
	weight  uint32
}

// sharesOf are the clusters of a route with a weight above 0, and nowhere for
// what is refused.
func sharesOf(t *ir.TCPRoute) ([]share, error) {
	weights, err := backendWeights(t.Backends)
	if err != nil {
		return nil, err
	}
	var (
		out []share
		sum = uint64(t.Refused)
	)
	for i, w := range weights {
		sum += uint64(w)
		if w != 0 {
			out = append(out, share{t.Backends[i].Upstream.Name(), w})
		}
	}
	if sum > math.MaxUint32 {
		return nil, refuse("weight", "the sum of the weights is %d; at most %d is allowed", sum, uint32(math.MaxUint32))
	}
	if t.Refused != 0 {
		out = append(out, share{nowhere, t.Refused})
	}
	return out, nil
}

// StreamPart is what a Gateway's listener does with the connections for one
// server name, or with all of a TCP listener, as a part of the listener. A route
// without backends closes them; it never terminates TLS for that. Connections
// are logged as log says, if at all.
func StreamPart(t *ir.TCPRoute, log *ir.AccessLog) (*Resource, error) {
	at := fmt.Sprintf("chain of %s on %s", t.Host, t.Listener)
	if err := checkHost(t.Host); err != nil {
		return nil, in(at, err)
	}
	if t.Plain && (t.Host != "*" || t.Termination != nil) {
		return nil, refuse(at, "the listener does not speak TLS")
	}
	filter, err := tcpFilter(t, log)
	if err != nil {
		return nil, in(at, err)
	}
	out := &listenerv3.FilterChain{Name: defaultChain, Filters: []*listenerv3.Filter{filter}}
	if !t.Plain {
		// The slash makes it a part: see Parts.
		out.Name, out.FilterChainMatch = "gateway/"+t.Host, bySNI(t.Host)
	}
	if t.Termination != nil && len(t.Backends) != 0 {
		if out.TransportSocket, err = termination(t.Termination, nil); err != nil {
			return nil, in(at, err)
		}
	}
	part, err := seal(ChainType, t.Host, out)
	return part, in(at, err)
}

// DatagramPart is what a UDP listener does with its datagrams. Those of one
// client's address and port go to one backend, until none came for a minute:
// such a session is logged as log says, if at all.
func DatagramPart(t *ir.TCPRoute, log *ir.AccessLog) (*Resource, error) {
	logs, err := accessLog(log, true)
	if err != nil {
		return nil, in(t.Listener, err)
	}
	proxy := &udpv3.UdpProxyConfig{StatPrefix: "udp_" + t.Listener, AccessLog: logs}
	shares := []share{{nowhere, 1}}
	if len(t.Backends) != 0 {
		if shares, err = sharesOf(t); err != nil {
			return nil, in(t.Listener, in("backends", err))
		}
	}
	m, err := byWeight(shares)
	if err != nil {
		return nil, in(t.Listener, err)
	}
	proxy.RouteSpecifier = &udpv3.UdpProxyConfig_Matcher{Matcher: m}
	packed, err := pack(proxy)
	if err != nil {
		return nil, in(t.Listener, err)
	}
	return seal(DatagramType, "*", &listenerv3.ListenerFilter{
		Name:       "envoy.filters.udp_listener.udp_proxy",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed},
	})
}

var sourcePort = &xdscorev3.TypedExtensionConfig{
	Name: "envoy.matching.inputs.source_port", TypedConfig: constant(&networkv3.SourcePortInput{}),
}

// byWeight shares datagrams out by a hash of the client's port: Envoy's UDP
// proxy has no weights, and its only other choice is among endpoints. All
// steps see the same hash, so the shares are exact.
func byWeight(shares []share) (*matcherv3.Matcher, error) {
	last := len(shares) - 1
	final, err := toCluster(shares[last].cluster)
	if err != nil {
		return nil, err
	}
	out := &matcherv3.Matcher{OnNoMatch: final}
	if last == 0 {
		return out, nil
	}
	var sum uint32
	for _, s := range shares {
		sum += s.weight
	}
	list := &matcherv3.Matcher_MatcherList{}
	below := sum
	for _, s := range shares[:last] {
		below -= s.weight
		hash, err := pack(&hashingv3.ConsistentHashing{Threshold: below, Modulo: sum})
		if err != nil {
			return nil, err
		}
		then, err := toCluster(s.cluster)
		if err != nil {
			return nil, err
		}
		list.Matchers = append(list.GetMatchers(), &matcherv3.Matcher_MatcherList_FieldMatcher{
			Predicate: hashIs(hash), OnMatch: then,
		})
	}
	out.MatcherType = &matcherv3.Matcher_MatcherList_{MatcherList: list}
	return out, nil
}

func hashIs(hash *anypb.Any) *matcherv3.Matcher_MatcherList_Predicate {
	return &matcherv3.Matcher_MatcherList_Predicate{MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
			Input: sourcePort,
			Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{CustomMatch: &xdscorev3.TypedExtensionConfig{
				Name: "envoy.matching.matchers.consistent_hashing", TypedConfig: hash,
			}},
		},
	}}
}

func toCluster(name string) (*matcherv3.Matcher_OnMatch, error) {
	route, err := pack(&udpv3.Route{Cluster: name})
	if err != nil {
		return nil, err
	}
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "route", TypedConfig: route},
	}}, nil
}

// composeUDP puts the one part of a UDP listener into it.
func composeUDP(base *listenerv3.Listener, l *ir.Listener, parts []*Resource) (*Resource, error) {
	if len(parts) != 1 || parts[0].Type != DatagramType {
		return nil, refuse(l.Name, "a UDP listener has one part, not %d", len(parts))
	}
	if err := base.ValidateAll(); err != nil {
		return nil, in(l.Name, err)
	}
	body, err := withParts(base, filterListField, parts)
	if err != nil {
		return nil, in(l.Name, err)
	}
	return newResource(ListenerType, l.Name, body), nil
}
