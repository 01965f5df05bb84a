package bootstrap

import (
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// keptPrefixes are whole families that exist once per process.
var keptPrefixes = []string{
	"cluster_manager.",
	"control_plane.",
	"listener_manager.",
	"main_thread.",
	"overload.",
	"runtime.",
	"server.",
	"cluster." + ServerCluster + ".",
}

// keptSuffixes are the counters, gauges and histograms that exist once per
// cluster, listener or HTTP connection manager, and that an operator looks at:
// traffic, connections, health and TLS.
var keptSuffixes = []string{
	// cluster
	".upstream_rq_total",
	".upstream_rq_active",
	".upstream_rq_timeout",
	".upstream_rq_retry",
	".upstream_rq_pending_overflow",
	".upstream_cx_total",
	".upstream_cx_active",
	".upstream_cx_connect_fail",
	".upstream_cx_connect_timeout",
	".membership_total",
	".membership_healthy",
	".health_check.failure",
	".warming_state",
	// listener and HTTP connection manager
	".downstream_cx_total",
	".downstream_cx_active",
	".downstream_cx_overflow",
	".downstream_global_cx_overflow",
	".downstream_rq_total",
	".downstream_rq_active",
	".downstream_rq_timeout",
	".no_filter_chain_match",
	// TLS, on both sides
	".ssl.handshake",
	".ssl.connection_error",
	".ssl.fail_verify_error",
	".ssl.fail_verify_san",
	".ssl.fail_verify_no_cert",
	".ssl.no_certificate",
	// xDS subscriptions
	".update_rejected",
	// scopes, of which a fleet has one table
	".all_scopes",
	".active_scopes",
}

// keptPattern is for answers by class, and their time. A suffix would keep each
// three times: as such, internal and external.
const keptPattern = `(cluster\.[^.]+\.upstream|http\..+\.downstream)_rq_([1-5]xx|time)`

// statsConfig keeps what is listed and rejects the rest when it would be made:
// an Envoy with many clusters spends most of its memory and of the time of a
// change on statistics that nobody reads.
func statsConfig() *metricsv3.StatsConfig {
	patterns := make([]*matcherv3.StringMatcher, 0, len(keptPrefixes)+len(keptSuffixes)+1)
	for _, p := range keptPrefixes {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}})
	}
	for _, s := range keptSuffixes {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: s}})
	}
	patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: keptPattern},
	}})
	return &metricsv3.StatsConfig{StatsMatcher: &metricsv3.StatsMatcher{
		StatsMatcher: &metricsv3.StatsMatcher_InclusionList{
			InclusionList: &matcherv3.ListStringMatcher{Patterns: patterns},
		},
	}}
}
